// The texts of several columns: a field and a choice for each, and one joined text for the server.

import { byId, make } from "./dom.js";

const UNIT = "\u001f";

/** Texts as the model reads them, joined by a line break and a unit separator; "" if all are blank. */
export function joined(texts) {
  if (texts.length === 1) return texts[0];
  return texts.some((text) => text.trim()) ? texts.map((text) => text.replaceAll(UNIT, " ")).join(`\n${UNIT}`) : "";
}

/** A joined text for people. */
export const shown = (text) => text.replaceAll(UNIT, "");

export const fields = () => [byId("text"), ...byId("more-texts").querySelectorAll("textarea")];
export const choices = () => [byId("column"), ...byId("more-columns").querySelectorAll("select")];

/** Show a field and a choice for each text column of the model, none for a model of one. */
export function showColumns(names) {
  const [first, ...others] = names;
  if (!others.length) return;
  document.querySelector("label[for=text]").textContent = first;
  byId("column-name").textContent = `Column for ${first}`;
  byId("column").dataset.name = first;
  byId("more-texts").replaceChildren(
    ...others.flatMap((name, place) => {
      const field = make("textarea", "");
      field.id = `text-${place + 2}`;
      field.rows = 5;
      const label = make("label", "", name);
      label.htmlFor = field.id;
      return [label, field];
    }),
  );
  byId("more-columns").replaceChildren(
    ...others.map((name) => {
      const choice = make("select", "");
      choice.dataset.name = name;
      return make("label", "", `Column for ${name} `, choice);
    }),
  );
}
