// Rows of labels that can be named, described, colored, moved and removed.

import { make } from "/page/dom.js";
import { announce } from "./main.js";
import { button, input } from "./parts.js";

const COLORS = ["#2563a8", "#b3541e", "#2e7d4f", "#8a4fa3", "#a8323e", "#5f6b1d", "#1f7a8c", "#9a5b8a", "#6b5b2e", "#4d5bb0"];

/** An editor of labels; `labels()` returns those with a name, in their order. */
export function labelEditor(labels) {
  const rows = make("div");
  const add = (label, isNew = false) => {
    const row = labelRow(label, rows.children.length, rows);
    rows.append(row);
    if (isNew) row.querySelector("input[type=text]").focus();
  };
  const begin = labels.length ? labels : [{ name: "" }, { name: "" }];
  begin.forEach((label) => add(label));
  const element = make("div", "", rows, make("p", "row", button("Add a label", () => add({ name: "" }, true))));
  return { element, labels: () => [...rows.children].map((row) => row.label()).filter((label) => label.name) };
}

function labelRow(label, place, rows) {
  const number = place + 1;
  const color = input("color", label.color || COLORS[place % COLORS.length], { ariaLabel: `Color of label ${number}` });
  const name = input("text", label.name, { ariaLabel: `Name of label ${number}`, placeholder: "Name", maxLength: 200 });
  const described = input("text", label.description ?? "", { ariaLabel: `Description of label ${number}`, placeholder: "What belongs to it" });
  described.className = "wide-field";
  const key = input("text", label.key ?? "", { ariaLabel: `Key of label ${number}`, placeholder: "key", maxLength: 1 });
  const move = (title, to) => {
    const made = button(title, () => {
      const other = to < 0 ? row.previousElementSibling : row.nextElementSibling;
      if (!other) return;
      if (to < 0) other.before(row);
      else other.after(row);
      made.focus();
      announce(`${name.value} is number ${[...rows.children].indexOf(row) + 1}`);
    });
    made.setAttribute("aria-label", `Move ${label.name || `label ${number}`} ${to < 0 ? "up" : "down"}`);
    return made;
  };
  const remove = button("Remove", () => row.remove());
  remove.setAttribute("aria-label", `Remove ${label.name || `label ${number}`}`);
  const row = make("div", "label-row", color, name, described, key, make("div", "row", move("↑", -1), move("↓", 1), remove));
  row.was = label.name;
  row.label = () => ({ name: name.value.trim(), description: described.value.trim(), color: color.value, key: key.value.trim(), retired: Boolean(label.retired) });
  return row;
}
