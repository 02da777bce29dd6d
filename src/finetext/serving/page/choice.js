// What is unclear in a file: the readings of the server, and buttons that choose one.

import { choices } from "./columns.js";
import { byId, make } from "./dom.js";

const HEADER = {
  true: "First row is a header", false: "First row is data",
  2: "Second row is a header, too", 1: "Second row is data",
};
const WHAT = { text: "Text column", label: "Label column", sheet: "Sheet", encoding: "Encoding" };
const USE = { text: "Use this column", label: "Use this column", sheet: "Use this sheet", encoding: "Use this encoding" };

export function hideChoice() {
  byId("choice").hidden = true;
  byId("choice-ways").replaceChildren();
}

/** Show the readings of a setting; `onChosen` gets the chosen value, a list for text columns. */
export function showChoice({ setting, problem, readings }, onChosen) {
  byId("choice-problem").textContent = `${problem}.`;
  const ways = setting === "header" ? headerButtons(readings, onChosen) : selects(setting, readings, onChosen);
  byId("choice-ways").replaceChildren(...ways);
  byId("choice").hidden = false;
  byId("choice-problem").focus();
}

function button(className, name, onClick) {
  const made = make("button", className, name);
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
}

function headerButtons(readings, onChosen) {
  const buttons = readings.map(({ value }) => button("", HEADER[value] ?? value, () => onChosen(JSON.parse(value))));
  return [make("div", "row", ...buttons)];
}

/** A choice with example values, one for each text column of the model. */
function selects(setting, readings, onChosen) {
  const columns = setting === "text" ? choices() : [null];
  const made = columns.map((column, place) => {
    const select = make("select", "", ...readings.map(({ value }, at) => new Option(value, at)));
    select.value = Math.min(place, readings.length - 1);
    const list = make("ul", "remarks");
    const showExamples = () => list.replaceChildren(...readings[select.value].examples.map((one) => make("li", "", one)));
    select.addEventListener("change", showExamples);
    showExamples();
    return { select, list, name: columns.length > 1 ? `Column for ${nameOf(column)}` : WHAT[setting] };
  });
  const choose = () => {
    const values = made.map(({ select }) => readings[select.value].value);
    onChosen(setting === "text" ? values : values[0]);
  };
  return [
    ...made.flatMap(({ select, list, name }) => [make("label", "", `${name} `, select), list]),
    make("div", "row", button("main", USE[setting], choose)),
  ];
}

const nameOf = (column) => column.dataset.name;
