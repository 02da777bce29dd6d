// Parts of which the views are made. All content is set as text, never as HTML.

import { head, make, percent, whole } from "/page/dom.js";
import { isLeft } from "./ask.js";

export function button(name, onClick, className = "") {
  const made = make("button", className, name);
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
}

export function link(name, address, className = "") {
  const made = make("a", className, name);
  made.href = address;
  return made;
}

/** A paragraph for a failure, which is read out as soon as it has a text. */
export function alertLine() {
  const line = make("p", "failure");
  line.setAttribute("role", "alert");
  line.hidden = true;
  return line;
}

/** Show a failure, or nothing for null. */
export function showFailure(line, failure) {
  line.textContent = failure?.message ?? "";
  line.hidden = !failure;
  if (failure) line.scrollIntoView({ block: "nearest" });
}

/** Do something with `line` for its failure, and `control` disabled as long as it takes. */
export async function attempt(line, control, work) {
  showFailure(line, null);
  if (control) control.disabled = true;
  try {
    return await work();
  } catch (failure) {
    if (!isLeft(failure)) showFailure(line, failure);
    return undefined;
  } finally {
    if (control) control.disabled = false;
  }
}

/** Say a short text to screen readers. */
export function say(text) {
  document.getElementById("live").textContent = text;
}

let hints = 0;

/** A labeled control; `hint` is a plain explanation below it, which is no part of its name. */
export function field(name, control, hint = "") {
  const labeled = make("label", "", make("span", "", name), control);
  if (!hint) return make("div", "field", labeled);
  return make("div", "field", labeled, hintFor(control, hint));
}

function hintFor(control, hint) {
  hints += 1;
  const told = make("span", "soft hint", hint);
  told.id = `hint-${hints}`;
  control.setAttribute("aria-describedby", told.id);
  return told;
}

export function input(type, value = "", attributes = {}) {
  const made = make("input");
  made.type = type;
  made.value = value;
  for (const [name, of] of Object.entries(attributes)) made.setAttribute(name, of);
  return made;
}

/** A checkbox: the control, and `whole` to show. */
export function check(name, isOn, hint = "") {
  const control = input("checkbox");
  control.checked = isOn;
  const whole = make("div", "check-field", make("label", "check", control, make("span", "", name)));
  if (hint) whole.append(hintFor(control, hint));
  return { control, whole };
}

/** A select of [value, name] pairs. */
export function select(options, value = "") {
  const made = make("select", "", ...options.map(([of, name]) => new Option(name, of)));
  made.value = value;
  return made;
}

/** A table in a region that scrolls sideways; a row is a list of cells, its first one the header. */
export function table(caption, columns, rows, { left = [], className = "" } = {}) {
  const isLeft = (place) => place === 0 || left.includes(place);
  const titles = columns.map((name, place) => head("col", name, isLeft(place) ? "left" : ""));
  const body = rows.map((cells) => {
    const [first, ...others] = cells;
    const made = others.map((cell, place) => make("td", isLeft(place + 1) ? "left" : "", cell ?? "–"));
    return make("tr", "", head("row", first), ...made);
  });
  const made = make(
    "table", className, make("caption", "", caption),
    make("thead", "", make("tr", "", ...titles)), make("tbody", "", ...body),
  );
  const region = make("div", "wide", made);
  region.tabIndex = 0;
  region.setAttribute("role", "region");
  region.setAttribute("aria-label", caption);
  return region;
}

/** A bar for a share, with an interval as a line if there is one; for eyes only. */
export function bar(share, low = null, high = null) {
  const filled = make("i");
  filled.style.setProperty("--share", percentOf(share));
  const track = make("span", "track", filled);
  if (low !== null) {
    const range = make("b");
    range.style.setProperty("--low", percentOf(low));
    range.style.setProperty("--width", percentOf(high - low));
    track.append(range);
  }
  track.setAttribute("aria-hidden", "true");
  return track;
}

const percentOf = (share) => `${100 * Math.min(1, Math.max(0, share))}%`;

/** "0.912 [0.874, 0.941]", or a dash. */
export function interval(of) {
  if (!of || of.value === null || of.value === undefined) return "–";
  const digits = (number) => number.toFixed(3);
  return of.low === null || of.low === undefined
    ? digits(of.value)
    : `${digits(of.value)} [${digits(of.low)}, ${digits(of.high)}]`;
}

/** "91% (87 to 94)" */
export function share(of) {
  if (!of || of.value === null || of.value === undefined) return "–";
  const rounded = (number) => Math.round(100 * number);
  return of.low === null || of.low === undefined
    ? percent(of.value)
    : `${rounded(of.value)}% (${rounded(of.low)} to ${rounded(of.high)})`;
}

/** "40 s", "3 min", "2 h 5 min" */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  return `${whole(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}

/** A time of the server, seconds since 1970, as people here write it. */
export function moment(seconds) {
  if (!seconds) return "–";
  return new Date(1000 * seconds).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** Code or a command with a button that copies it. */
export function copyable(title, code) {
  const told = make("span", "soft");
  told.setAttribute("role", "status");
  const copy = button("Copy", async () => {
    told.textContent = (await copied(code)) ? "Copied" : "Select the text and copy it";
  }, "small");
  copy.setAttribute("aria-label", `Copy: ${title}`);
  const block = make("pre", "", make("code", "", code));
  block.tabIndex = 0;
  return make("div", "copyable", make("p", "row", make("b", "", title), copy, told), block);
}

/** Whether the text is in the clipboard, also on pages without TLS. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = make("textarea", "unseen");
    area.value = text;
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    return isCopied;
  }
}
