// The buttons of the labels, with their keys and a search; they stay the same elements from text to text.

import { make } from "/page/dom.js";
import { colorOf, dot } from "./label_colors.js";
import { button, input } from "./parts.js";

/** Keys that the page itself uses while annotating. */
export const RESERVED = new Set(["s", "f", "n", "u", "a", "0", "/", "?"]);
const SEARCH_FROM = 6;

/** The labels that can be given, each with its key: its own, else the next free digit, else "". */
export function withKeys(labels) {
  const active = labels
    .map((label, place) => ({ ...label, color: colorOf(label, place) }))
    .filter((label) => !label.retired);
  const own = new Set(active.map((label) => label.key).filter(Boolean));
  const free = [..."123456789"].filter((digit) => !own.has(digit));
  return active.map((label) => ({ ...label, key: label.key || (free.shift() ?? "") }));
}

export class LabelButtons {
  /** `onPick` gets the name of a label that was clicked or found. */
  constructor(labels, isMultilabel, onPick) {
    this.labels = withKeys(labels);
    this.isMultilabel = isMultilabel;
    this.onPick = onPick;
    this.buttons = new Map(this.labels.map((label) => [label.name, this.#button(label)]));
    this.list = make("div", "labels", ...this.buttons.values());
    this.list.setAttribute("role", "group");
    this.list.setAttribute("aria-label", isMultilabel ? "Labels, any number of them" : "Labels, one of them");
    this.none = make("p", "soft none", "No label contains this.");
    this.none.hidden = true;
    this.search = input("search", "", { placeholder: "Search labels", "aria-label": "Search labels", "aria-keyshortcuts": "/" });
    this.search.autocomplete = "off";
    this.search.hidden = this.labels.length <= SEARCH_FROM;
    this.search.addEventListener("input", () => this.#filter());
    this.search.addEventListener("keydown", (event) => this.#onSearchKey(event));
    this.element = make("div", "labels-box", this.search, this.list, this.none);
  }

  /** The name of the label with this key, or undefined. */
  named(key) {
    return this.labels.find((label) => label.key !== "" && label.key.toLowerCase() === key)?.name;
  }

  openSearch() {
    this.search.hidden = false;
    this.search.focus();
    this.search.select();
  }

  /** Mark the labels that are chosen, and those that are suggested. */
  mark(chosen, suggested) {
    for (const [name, one] of this.buttons) {
      if (this.isMultilabel) one.setAttribute("aria-pressed", String(chosen.has(name)));
      one.classList.toggle("chosen", chosen.has(name));
      one.classList.toggle("suggested", suggested.has(name));
    }
  }

  #button(label) {
    const name = make("bdi", "label-name", label.name);
    const told = make("span", "label-told", name);
    if (label.description) told.append(make("span", "soft description", label.description));
    const made = button("", () => this.onPick(label.name), "label");
    made.append(dot(label.color), told);
    if (label.key) {
      const key = make("kbd", "", label.key);
      key.setAttribute("aria-hidden", "true");
      made.append(key);
      made.setAttribute("aria-keyshortcuts", label.key);
    }
    made.setAttribute("aria-label", label.key ? `${label.name}, key ${label.key}` : label.name);
    made.style.setProperty("--label", label.color);
    made.dataset.label = label.name;
    return made;
  }

  #found() {
    const wanted = this.search.value.trim().toLowerCase();
    const starts = (label) => (label.name.toLowerCase().startsWith(wanted) ? 0 : 1);
    return this.labels
      .filter((label) => label.name.toLowerCase().includes(wanted))
      .sort((one, other) => starts(one) - starts(other));
  }

  #filter() {
    const found = this.#found();
    const names = new Set(found.map((label) => label.name));
    for (const [name, one] of this.buttons) one.hidden = !names.has(name);
    this.none.hidden = found.length > 0;
  }

  #onSearchKey(event) {
    if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
    event.preventDefault();
    event.stopPropagation();
    const first = event.key === "Enter" && this.search.value.trim() ? this.#found()[0] : undefined;
    if (event.key === "Enter" && !first) return;
    this.search.value = "";
    this.#filter();
    this.search.hidden = this.labels.length <= SEARCH_FROM;
    this.search.blur();
    this.search.dispatchEvent(new CustomEvent("leave", { bubbles: true }));
    if (first && !event.repeat) this.onPick(first.name);
  }
}
