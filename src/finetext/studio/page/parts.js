// Parts that several views share.

import { head, make } from "/page/dom.js";
import { announce, fail } from "./main.js";

/** A button that does one thing at a time, and shows its errors. */
export function button(name, act, className = "") {
  const made = make("button", className, name);
  made.type = "button";
  made.addEventListener("click", async () => {
    made.disabled = true;
    try {
      await act();
    } catch (error) {
      fail(error);
    } finally {
      made.disabled = false;
    }
  });
  return made;
}

/** A labeled field; `element` is the control. */
export function field(name, element, hint = "") {
  const made = make("label", "", name, element);
  if (hint) made.append(make("span", "soft", hint));
  return made;
}

export function input(type, value = "", attributes = {}) {
  const made = make("input");
  made.type = type;
  for (const [name, of] of Object.entries(attributes)) made[name] = of;
  if (type === "checkbox") made.checked = Boolean(value);
  else made.value = value;
  return made;
}

export function checkbox(name, isOn, hint = "") {
  const box = input("checkbox", isOn);
  const label = make("label", "check", box, make("span", "", name, hint ? make("span", "soft", ` ${hint}`) : ""));
  return { label, box };
}

export function select(options, value = "") {
  const made = make("select", "", ...options.map(([of, name]) => new Option(name, of)));
  made.value = value;
  return made;
}

/** A table with a caption; the first cell of each row is its head. Cells are texts or nodes. */
export function table(caption, titles, rows, className = "") {
  const headings = make("tr", "", ...titles.map((title, at) => head("col", title, at ? "" : "left")));
  const lines = rows.map(([first, ...rest]) => make("tr", "", head("row", first), ...rest.map((cell) => make("td", "", cell ?? ""))));
  const made = make("table", className, make("caption", "", caption), make("thead", "", headings), make("tbody", "", ...lines));
  const around = make("div", "wide", made);
  around.tabIndex = 0;
  around.setAttribute("role", "region");
  around.setAttribute("aria-label", caption);
  return around;
}

export const two = (number) => (number === null || number === undefined ? "–" : number.toFixed(2));

/** "0.82 [0.74, 0.90]", or a dash. */
export function interval(score, digits = 2) {
  if (!score || score.value === null) return "–";
  const known = score.low !== null && score.high !== null;
  return known ? `${score.value.toFixed(digits)} [${score.low.toFixed(digits)}, ${score.high.toFixed(digits)}]` : score.value.toFixed(digits);
}

/** "82% [74%, 90%]", or a dash. */
export function share(score) {
  if (!score || score.value === null) return "–";
  const whole = (of) => `${Math.round(100 * of)}%`;
  return score.low === null ? whole(score.value) : `${whole(score.value)} [${whole(score.low)}, ${whole(score.high)}]`;
}

/** A command or code with a button that copies it. */
export function copyable(text, what) {
  const copy = button("Copy", async () => {
    await navigator.clipboard.writeText(text);
    announce(`${what} copied`);
    copy.textContent = "Copied";
  });
  copy.setAttribute("aria-label", `Copy ${what}`);
  const code = make("pre", "", make("code", "", text));
  code.tabIndex = 0;
  return make("div", "copy", code, copy);
}

/** The same thing as a command and in Python. */
export function ways({ command, python }, what) {
  const details = make("details", "", make("summary", "", "The same at the command line and in Python"));
  details.append(copyable(command, `command to ${what}`), copyable(python, `Python code to ${what}`));
  return details;
}
