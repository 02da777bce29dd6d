// A model card from Markdown; unknown markup stays text.

import { head, make } from "./dom.js";

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([^)\s]+)\)/g;
const FENCE = /^\s*```/;
const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;
const ITEM = /^\s*(?:[-*+]|(\d+)[.)])\s+(.*)$/;
const ROW = /^\s*\|(.*)\|\s*$/;
const RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

/** Elements of a card without its metadata; headings are two levels lower. */
export function cardElements(markdown) {
  const lines = markdown.replace(/^---\r?\n[\s\S]*?\r?\n---\r?\n/, "").replace(/<!--[\s\S]*?-->/g, "").split(/\r?\n/);
  const elements = [];
  while (lines.length) {
    if (!lines[0].trim()) lines.shift();
    else elements.push(block(lines));
  }
  return elements;
}

function block(lines) {
  if (FENCE.test(lines[0])) return fenced(lines);
  const heading = HEADING.exec(lines[0]);
  if (heading) {
    lines.shift();
    return make(`h${Math.min(6, heading[1].length + 2)}`, "", ...inline(heading[2]));
  }
  if (ROW.test(lines[0]) && RULE.test(lines[1] ?? "")) return pipeTable(lines);
  if (ITEM.test(lines[0])) return list(lines);
  const words = [lines.shift()];
  while (lines.length && lines[0].trim() && ![FENCE, HEADING, ITEM, ROW].some((form) => form.test(lines[0]))) {
    words.push(lines.shift());
  }
  return make("p", "", ...inline(words.join(" ")));
}

function fenced(lines) {
  lines.shift();
  const end = lines.findIndex((line) => FENCE.test(line));
  const code = lines.splice(0, end < 0 ? lines.length : end);
  lines.shift();
  const shown = make("pre", "", make("code", "", code.join("\n")));
  shown.tabIndex = 0;
  return shown;
}

function pipeTable(lines) {
  const cells = (line) => ROW.exec(line)[1].split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
  const names = cells(lines.shift());
  lines.shift();
  const body = make("tbody", "");
  while (lines.length && ROW.test(lines[0])) {
    const filled = cells(lines.shift()).map((cell, place) => make("td", place ? "" : "left", ...inline(cell)));
    body.append(make("tr", "", ...filled));
  }
  const top = make("tr", "", ...names.map((name, place) => head("col", name, place ? "" : "left")));
  const wide = make("div", "wide", make("table", "", make("thead", "", top), body));
  wide.tabIndex = 0;
  wide.setAttribute("role", "region");
  wide.setAttribute("aria-label", `Table: ${names.filter(Boolean).join(", ")}`);
  return wide;
}

function list(lines) {
  const isOrdered = ITEM.exec(lines[0])[1] !== undefined;
  const items = make(isOrdered ? "ol" : "ul", "");
  while (lines.length && ITEM.test(lines[0])) {
    const words = [ITEM.exec(lines.shift())[2]];
    while (lines.length && /^\s+\S/.test(lines[0]) && !ITEM.test(lines[0])) words.push(lines.shift().trim());
    items.append(make("li", "", ...inline(words.join(" "))));
  }
  return items;
}

function inline(text) {
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(INLINE)) {
    parts.push(text.slice(at, found.index), styled(found));
    at = found.index + found[0].length;
  }
  return [...parts, text.slice(at)];
}

function styled([whole, code, bold, name, address]) {
  if (code !== undefined) return make("code", "", code);
  if (bold !== undefined) return make("strong", "", bold);
  if (!/^https?:\/\//i.test(address)) return name ?? whole;
  const link = make("a", "", name);
  link.href = address;
  link.rel = "noreferrer noopener";
  return link;
}
