// The labels as buttons with keys and a search, for annotating and for deciding.

import { make } from "/page/dom.js";

const MANY = 9;

/**
 * Buttons of labels. `onChoose` gets the name of a label that is chosen by key, button or search.
 *
 * Returns the element, `choose(key)` that says whether a key is that of a label, `mark(names)` that
 * shows which are chosen, `suggest(names)` and `search()`.
 */
export function palette(labels, isSeveral, onChoose) {
  const usable = labels.filter((label) => !label.retired);
  const buttons = new Map(usable.map((label) => [label.name, button(label, isSeveral, onChoose)]));
  const box = make("div", "palette", ...buttons.values());
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", isSeveral ? "Labels: any number" : "Labels: one");
  const element = make("div", "", box);
  const field = usable.length > MANY ? searchField(usable, buttons, onChoose) : null;
  if (field) element.prepend(field.element);
  const byKey = new Map(usable.filter((label) => label.key).map((label) => [label.key.toLowerCase(), label.name]));
  return {
    element,
    choose(key) {
      const name = byKey.get(key.toLowerCase());
      if (name === undefined) return false;
      onChoose(name);
      return true;
    },
    press(names) {
      for (const [name, of] of buttons) of.classList.toggle("pressed", names.includes(name));
    },
    mark(names) {
      for (const [name, of] of buttons) if (isSeveral) of.setAttribute("aria-pressed", String(names.includes(name)));
    },
    suggest(names) {
      for (const [name, of] of buttons) of.classList.toggle("likely", names.includes(name));
    },
    search() {
      field?.input.focus();
      return field !== null;
    },
  };
}

function button(label, isSeveral, onChoose) {
  const made = make("button", "", make("span", "", label.name));
  made.type = "button";
  made.style.setProperty("--of-label", label.color);
  if (label.key) {
    made.prepend(make("kbd", "", label.key));
    made.setAttribute("aria-keyshortcuts", label.key);
  }
  if (label.description) made.title = label.description;
  if (isSeveral) made.setAttribute("aria-pressed", "false");
  made.addEventListener("click", () => onChoose(label.name));
  return made;
}

/** A field that hides the labels without its words; Enter takes the first that is left. */
function searchField(labels, buttons, onChoose) {
  const input = make("input");
  input.type = "search";
  input.autocomplete = "off";
  input.setAttribute("aria-label", "Search labels; Enter takes the first");
  input.placeholder = "Search labels ( / )";
  const matching = () => {
    const words = input.value.toLowerCase().split(/\s+/);
    return labels.filter((label) => words.every((word) => `${label.name} ${label.description}`.toLowerCase().includes(word)));
  };
  const filter = () => {
    const left = new Set(matching().map((label) => label.name));
    for (const [name, of] of buttons) of.hidden = !left.has(name);
  };
  input.addEventListener("input", filter);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    const first = matching()[0];
    const wasAsked = event.key === "Enter" && input.value && first;
    input.value = "";
    filter();
    input.blur();
    if (wasAsked) onChoose(first.name);
  });
  return { element: make("p", "", input), input };
}
