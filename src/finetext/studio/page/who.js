// The dialogs that ask who labels: a name, or the token of this studio.

import { byId, tell } from "/page/dom.js";
import { annotator, setAnnotator } from "./ask.js";

/** Ask for the name of the person, and return it, or null if the dialog was left. */
export async function askForName() {
  tell(byId("name-failure"), "");
  byId("name").value = annotator();
  const name = await asked("name", (value) => {
    if (value) return true;
    tell(byId("name-failure"), "Type a name, such as your first name.");
    return false;
  });
  if (name) setAnnotator(name);
  return name;
}

/** Ask for a token, and return it, or null if the dialog was left. */
export function askForToken(wasRejected) {
  byId("token").value = "";
  byId("token-told").textContent = wasRejected
    ? "The studio rejects this token. Open the link that the owner of the studio sent you, or paste the token from it."
    : "Open the link that the owner of the studio sent you, or paste the token from it.";
  return asked("token", (value) => Boolean(value));
}

/** The value of the only field of a dialog, once it is valid. */
function asked(what, isValid) {
  const dialog = byId(`${what}-dialog`);
  const control = byId(what);
  let value = null;
  return new Promise((resolve) => {
    const done = new AbortController();
    const { signal } = done;
    byId(`${what}-form`).addEventListener("submit", (event) => {
      event.preventDefault();
      if (!isValid(control.value.trim())) {
        control.focus();
        return;
      }
      value = control.value.trim();
      dialog.close();
    }, { signal });
    byId(`${what}-cancel`).addEventListener("click", () => dialog.close(), { signal });
    dialog.addEventListener("close", () => {
      done.abort();
      resolve(value);
    }, { signal });
    if (!dialog.open) dialog.showModal();
  });
}
