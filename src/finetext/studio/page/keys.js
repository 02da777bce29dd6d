// Single keys as shortcuts, the list of them, and the choice to turn them off.

import { byId, head, make } from "/page/dom.js";

const OFF = "finetext-studio-keys-off";

export const keysAreOn = () => localStorage.getItem(OFF) === null;

const TYPED = "input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]";
const PRESSED = "button, a, summary, input, select, textarea";

/**
 * Call `onKey` for single keys outside of fields and dialogs, with letters in lower case.
 *
 * It returns whether it used the key. Held keys, and keys together with others, do nothing.
 */
export function listen(onKey, signal) {
  const onKeyDown = (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    if (event.target.closest?.(TYPED)) return;
    const isUndo = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z";
    if (!isUndo && (event.ctrlKey || event.metaKey || event.altKey)) return;
    if (event.key === "Enter" && event.target.closest?.(PRESSED)) return;
    if (!isUndo && !keysAreOn()) return;
    if (event.repeat) {
      if (event.key.length === 1 && event.key !== " ") event.preventDefault();
      return;
    }
    const key = isUndo ? "u" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (onKey(key)) event.preventDefault();
  };
  document.addEventListener("keydown", onKeyDown, { signal });
}

/** Open the dialog with the keys of a view, as [key, what it does] pairs. */
export function openKeys(pairs) {
  const rows = pairs.map(([key, what]) => {
    const title = head("row", "");
    title.append(make("kbd", "", key));
    return make("tr", "", title, make("td", "left", what));
  });
  byId("keys-list").replaceChildren(make("table", "", make("tbody", "", ...rows)));
  const isOn = byId("keys-on");
  isOn.checked = keysAreOn();
  isOn.onchange = () => (isOn.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "1"));
  byId("keys-dialog").showModal();
}
