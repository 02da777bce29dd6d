// The page: who is there, which view is shown.

import { byId, make, tell } from "/page/dom.js";
import { ask, of, storedName, storeName, takeToken } from "./api.js";
import { showAgreement } from "./agreement.js";
import { showAnnotate } from "./annotate.js";
import { showExport } from "./export.js";
import { showHome } from "./home.js";
import { showLabels } from "./label_set.js";
import { showNew } from "./new_project.js";
import { showProgress } from "./progress.js";
import { showReview } from "./review.js";
import { showTrain } from "./train.js";
import { showUse } from "./use.js";

const VIEWS = {
  annotate: ["Annotate", showAnnotate],
  progress: ["Progress", showProgress],
  agreement: ["Agreement", showAgreement],
  review: ["Review", showReview],
  train: ["Train", showTrain],
  use: ["Use", showUse],
  export: ["Export", showExport],
  labels: ["Labels", showLabels],
};
const FOR_ALL = ["annotate", "progress", "agreement"];

let leave = () => {};
let studio = null;
let turn = 0;

/** Show an error until it is closed or another view opens. */
export function fail(error) {
  if (error.name === "AbortError") return;
  byId("failure-said").textContent = error.message;
  byId("failure").hidden = false;
  if (!(error.status >= 0)) throw error;
}

/** Say something to screen readers alone. */
export const announce = (text) => {
  byId("live").textContent = text;
};

/** Start a view of the address; what the last one began ends. */
async function route() {
  const mine = ++turn;
  leave();
  leave = () => {};
  byId("failure").hidden = true;
  const [kind, name, asked] = location.hash.slice(2).split("/").map(decodeURIComponent);
  const view = byId("view");
  try {
    studio = await ask("/api/studio");
    showWho();
    if (mine !== turn) return;
    view.replaceChildren();
    view.className = "";
    if (kind === "p" && name) {
      const key = asked in VIEWS ? asked : "annotate";
      await openProject(view, name, key, mine);
    } else {
      byId("views").hidden = true;
      leave = (await (kind === "new" ? showNew : showHome)(view, studio)) ?? (() => {});
      document.title = "finetext studio";
    }
  } catch (error) {
    fail(error);
  }
}

async function openProject(view, name, key, mine) {
  const project = await ask(of(name));
  if (mine !== turn) return;
  showTabs(project, key);
  const [title, show] = VIEWS[key];
  document.title = `${title} · ${name} · finetext studio`;
  view.dataset.view = key;
  leave = (await show(view, project, studio)) ?? (() => {});
}

function showTabs(project, current) {
  const keys = Object.keys(VIEWS).filter((key) => studio.is_owner || FOR_ALL.includes(key));
  const links = keys.map((key) => {
    const link = make("a", "", VIEWS[key][0]);
    if (key === "review" && project.counts.to_review) link.append(` (${project.counts.to_review})`);
    link.href = `#/p/${encodeURIComponent(project.name)}/${key}`;
    if (key === current) link.setAttribute("aria-current", "page");
    return link;
  });
  byId("views").replaceChildren(make("span", "project", project.name), ...links);
  byId("views").hidden = false;
}

function showWho() {
  const name = studio.annotator ?? storedName();
  tell(byId("who"), name ? `You are ${name}` : "");
  byId("change-name").hidden = studio.needs_token || !name;
}

function askName() {
  const dialog = byId("name-dialog");
  byId("name").value = storedName();
  dialog.showModal();
  byId("name").select();
}

byId("name-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = byId("name").value.trim();
  if (!name) return;
  storeName(name);
  byId("name-dialog").close();
  route();
});
byId("name-dialog").addEventListener("cancel", (event) => {
  if (!storedName()) event.preventDefault();
});
byId("change-name").addEventListener("click", askName);
byId("failure-close").addEventListener("click", () => {
  byId("failure").hidden = true;
});
window.addEventListener("hashchange", () => {
  takeToken();
  route();
});

takeToken();
const first = await ask("/api/studio").catch((error) => {
  fail(error);
  return null;
});
if (first && !first.needs_token && !storedName()) askName();
else if (first) route();
