// The page: its tabs, the token dialog, and the model information that it loads first.

import { showColumns } from "./columns.js";
import { byId, tell, whole } from "./dom.js";
import { showModel } from "./model.js";
import { setUpTable } from "./table.js";
import { ask, forgetToken, hasToken, onTokenWanted, setRequestSeconds } from "./talk.js";
import { setUpText } from "./text.js";

const FEW_LABELS = 8;
const TOKEN = /^[\x21-\x7e]+$/;

let info = null;

async function start() {
  byId("start-failure").hidden = true;
  try {
    info = await ask("info");
    setRequestSeconds(info.limits.request_seconds);
    showModel(info);
    showColumns(info.text_columns);
    const labels = info.labels.length <= FEW_LABELS ? info.labels.join(", ") : `${whole(info.labels.length)} labels`;
    byId("what").textContent = `${info.name || info.kind}: ${labels}`;
    document.title = info.name ? `${info.name} – finetext` : "finetext";
  } catch (error) {
    byId("what").textContent = "";
    byId("start-failure").querySelector("p").textContent = error.message;
    byId("start-failure").hidden = false;
  }
  byId("forget").hidden = !hasToken();
}

async function whenTold() {
  await told;
  return info;
}

function setUpTabs() {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const choose = (chosen) => {
    for (const tab of tabs) {
      const isChosen = tab === chosen;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      byId(tab.getAttribute("aria-controls")).hidden = !isChosen;
    }
  };
  tabs.forEach((tab, place) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const last = tabs.length - 1;
      const next = { ArrowRight: place < last ? place + 1 : 0, ArrowLeft: place > 0 ? place - 1 : last, Home: 0, End: last };
      if (!(event.key in next)) return;
      event.preventDefault();
      choose(tabs[next[event.key]]);
      tabs[next[event.key]].focus();
    });
  });
}

/** Ask for the token in a dialog; null if it is cancelled. */
function tokenFromDialog(wasRefused) {
  const dialog = byId("token-dialog");
  const [field, told] = [byId("token"), byId("token-told")];
  told.textContent = wasRefused ? "The server rejects that token. Try another." : "Ask the administrator of the server for it.";
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    byId("token-form").onsubmit = (event) => {
      event.preventDefault();
      const token = field.value.trim();
      if (TOKEN.test(token)) dialog.close(token);
      else told.textContent = "A token is one line of letters, digits and punctuation, without spaces.";
    };
    byId("token-cancel").onclick = () => dialog.close("");
    dialog.onclose = () => {
      field.value = "";
      const token = dialog.returnValue;
      dialog.returnValue = "";
      resolve(token || null);
      queueMicrotask(() => tell(byId("forget"), token ? "Forget the token" : ""));
    };
  });
}

byId("start-again").addEventListener("click", () => {
  told = start();
});
byId("forget").addEventListener("click", () => {
  forgetToken();
  location.reload();
});
onTokenWanted(tokenFromDialog);
setUpTabs();
setUpText(whenTold);
setUpTable(whenTold);
let told = start();
