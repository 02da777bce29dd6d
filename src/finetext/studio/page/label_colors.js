// The colors of labels: of the label set, else of a palette that people with any color vision tell apart.

import { make } from "/page/dom.js";

// Okabe and Ito (2008), without black and yellow, which vanish on one of the two backgrounds.
export const PALETTE = [
  "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c6bb1", "#737373",
];

/** The color of a label at a place of the label set. */
export function colorOf(label, place) {
  return /^#[0-9a-f]{6}$/i.test(label.color ?? "") ? label.color : PALETTE[place % PALETTE.length];
}

/** A dot in the color of a label; its name must stand beside it. */
export function dot(color) {
  const made = make("span", "dot");
  made.style.setProperty("--label", color);
  made.setAttribute("aria-hidden", "true");
  return made;
}

/** A label as a tag with its dot. `labels` is the label set of the project. */
export function labelTag(name, labels) {
  const place = labels.findIndex((label) => label.name === name);
  const color = place < 0 ? "#737373" : colorOf(labels[place], place);
  const text = make("bdi", "", name);
  return make("span", "label-tag", dot(color), text);
}

/** Several labels as tags, or "no label". */
export function labelTags(names, labels) {
  if (!names.length) return make("span", "soft", "no label");
  return make("span", "label-tags", ...names.map((name) => labelTag(name, labels)));
}
