// What can be done with a text besides labeling it: suggestion, skip, flag, note, undo.

import { make, percent } from "/page/dom.js";
import { labelTags } from "./label_colors.js";
import { button, input } from "./parts.js";

/** A button with the key that does the same. */
function keyed(name, key, onClick, className = "small") {
  const made = button("", onClick, className);
  const shown = make("kbd", "", key);
  shown.setAttribute("aria-hidden", "true");
  made.append(make("span", "", name), shown);
  made.setAttribute("aria-keyshortcuts", key);
  made.setAttribute("aria-label", `${name}, key ${key}`);
  return made;
}

export class AnswerBar {
  /** `does` has the functions accept, save, none, skip, flag, undo and keys. */
  constructor(labels, isMultilabel, does) {
    this.labels = labels;
    this.isMultilabel = isMultilabel;
    this.suggested = make("span", "suggested-labels");
    this.accept = keyed("Accept suggestion", "Enter", does.accept, "small");
    this.suggestion = make("p", "suggestion", make("span", "tag", "Suggestion"), this.suggested, this.accept);
    this.save = keyed("Save", "Enter", does.save, "main small");
    this.none = keyed("None of them", "0", does.none);
    this.flag = keyed("Flag", "f", does.flag);
    this.noteOpen = keyed("Note", "n", () => this.openNote());
    this.note = input("text", "", { maxlength: "2000", "aria-label": "Note on this text", placeholder: "Note on this text" });
    this.note.autocomplete = "off";
    this.note.hidden = true;
    this.note.addEventListener("keydown", (event) => this.#onNoteKey(event));
    this.undo = keyed("Undo", "u", does.undo);
    this.skip = keyed("Skip", "s", does.skip);
    const several = isMultilabel ? [this.save, this.none] : [];
    this.tools = make("div", "tools", ...several, this.skip, this.flag, this.noteOpen, this.undo, keyed("Keys", "?", does.keys));
    this.element = make("div", "answer-bar", this.note, this.tools);
  }

  /** Show a suggestion with its source and probability, or none. */
  showSuggestion(suggestion) {
    this.suggestion.hidden = !suggestion;
    if (!suggestion) return;
    const sure = suggestion.probability === null || suggestion.probability === undefined ? "" : `, ${percent(suggestion.probability)}`;
    const source = suggestion.source === "model" ? "the model of your labels" : suggestion.source;
    this.suggested.replaceChildren(
      labelTags(suggestion.labels, this.labels), make("span", "soft", ` from ${source}${sure}`),
    );
  }

  /** Show what is chosen so far. */
  mark(chosen, isFlagged) {
    this.flag.setAttribute("aria-pressed", String(isFlagged));
    const saves = chosen.size === 1 ? "Save 1 label" : `Save ${chosen.size} labels`;
    this.save.firstChild.textContent = saves;
    this.save.setAttribute("aria-label", `${saves}, key Enter`);
    this.save.disabled = chosen.size === 0;
    this.accept.hidden = chosen.size > 0 && this.isMultilabel;
  }

  openNote() {
    this.note.hidden = false;
    this.note.focus();
  }

  /** Empty the note for the next text, or fill it with an older note. */
  fillNote(text) {
    this.note.value = text;
    this.note.hidden = !text;
  }

  #onNoteKey(event) {
    if (event.isComposing || (event.key !== "Escape" && event.key !== "Enter")) return;
    event.preventDefault();
    event.stopPropagation();
    this.note.hidden = !this.note.value;
    this.note.dispatchEvent(new CustomEvent("leave", { bubbles: true }));
  }
}
