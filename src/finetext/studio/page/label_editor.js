// Rows of labels that can be named, described, colored, moved, retired and removed.

import { make } from "/page/dom.js";
import { RESERVED } from "./label_buttons.js";
import { colorOf } from "./label_colors.js";
import { button, input, say } from "./parts.js";

/** An editor of labels. `labels()` returns those with a name; `onRename` is for labels in use. */
export function labelEditor(labels, { isStored = false } = {}) {
  const rows = make("ol", "label-rows");
  const add = (label, isNew = false) => {
    const row = rowOf(label, rows, isStored);
    rows.append(row);
    if (isNew) row.querySelector("input[type=text]").focus();
  };
  for (const label of labels.length ? labels : [{ name: "" }, { name: "" }]) add(label);
  const more = button("Add a label", () => add({ name: "" }, true));
  const all = () => [...rows.children].map((row) => row.label()).filter((label) => label.name);
  return { element: make("div", "", rows, make("p", "row", more)), labels: all, problem: () => problemOf(all()) };
}

/** What is wrong with labels, or "". */
function problemOf(labels) {
  const seen = new Set();
  for (const { name } of labels) {
    if (seen.has(name)) return `The label “${name}” is there twice. Rename one of them.`;
    seen.add(name);
  }
  const keys = new Map();
  for (const { name, key, retired } of labels) {
    if (!key || retired) continue;
    if (RESERVED.has(key.toLowerCase())) return `The key ${key} of “${name}” is used by the page. Choose another one.`;
    const other = keys.get(key.toLowerCase());
    if (other !== undefined) return `The key ${key} belongs to “${other}” and “${name}”. Choose another one.`;
    keys.set(key.toLowerCase(), name);
  }
  return "";
}

function rowOf(label, rows, isStored) {
  const place = rows.children.length;
  const known = label.name || `label ${place + 1}`;
  const color = input("color", colorOf(label, place), { "aria-label": `Color of ${known}` });
  let isColored = Boolean(label.color);
  color.addEventListener("input", () => {
    isColored = true;
  });
  const name = input("text", label.name, { "aria-label": `Name of ${known}`, placeholder: "Name", maxlength: "200" });
  const isInUse = isStored && Boolean(label.name);
  name.readOnly = isInUse;
  const told = input("text", label.description ?? "", {
    "aria-label": `Description of ${known}`, placeholder: "What belongs to it", maxlength: "2000",
  });
  const key = input("text", label.key ?? "", { "aria-label": `Key of ${known}`, placeholder: "key", maxlength: "1" });
  key.autocomplete = "off";
  key.className = "key";
  const row = make("li", "label-row");
  const acts = make("span", "acts", mover("↑", "up", row, known), mover("↓", "down", row, known), ender(row, label, known, isInUse));
  row.append(color, name, told, key, acts);
  row.classList.toggle("retired", Boolean(label.retired));
  row.label = () => ({
    name: name.value.trim(), description: told.value.trim(), color: isColored ? color.value : "",
    key: key.value.trim(), retired: row.classList.contains("retired"),
  });
  return row;
}

function mover(sign, where, row, known) {
  const made = button(sign, () => {
    const other = where === "up" ? row.previousElementSibling : row.nextElementSibling;
    if (!other) return;
    if (where === "up") other.before(row);
    else other.after(row);
    made.focus();
    say(`${known} is number ${[...row.parentElement.children].indexOf(row) + 1}`);
  }, "small");
  made.setAttribute("aria-label", `Move ${known} ${where}`);
  return made;
}

/** The button that removes a row, or retires a label that judgements can have. */
function ender(row, label, known, isInUse) {
  if (!isInUse) {
    const made = button("Remove", () => {
      const next = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
      next?.querySelector("input[type=text]").focus();
      say(`${known} is removed`);
    }, "small");
    made.setAttribute("aria-label", `Remove ${known}`);
    return made;
  }
  const title = () => (row.classList.contains("retired") ? "Restore" : "Retire");
  const made = button("", () => {
    row.classList.toggle("retired");
    show();
  }, "small");
  const show = () => {
    made.textContent = title();
    made.setAttribute("aria-label", `${title()} ${known}`);
  };
  row.classList.toggle("retired", Boolean(label.retired));
  show();
  return made;
}
