// The start of the page: who asks, which view the address names, and the way between views.

import { byId, make, tell, whole } from "/page/dom.js";
import { annotator, Failure, get, isLeft, onTokenWanted, placeOf, setToken, takeToken } from "./ask.js";
import { askForName, askForToken } from "./who.js";
import { button, link } from "./parts.js";

const VIEWS = {
  annotate: ["Annotate", async () => (await import("./annotate.js")).showAnnotate],
  labels: ["Labels", async () => (await import("./labels.js")).showLabels],
  progress: ["Progress", async () => (await import("./progress.js")).showProgress],
  agreement: ["Agreement", async () => (await import("./agreement.js")).showAgreement],
  review: ["Review", async () => (await import("./review.js")).showReview],
  train: ["Train", async () => (await import("./train.js")).showTrain],
  use: ["Use", async () => (await import("./use.js")).showUse],
  export: ["Export", async () => (await import("./export.js")).showExport],
};
const FOR_ALL = ["annotate", "progress", "agreement"];
const FIRST = "annotate";
const HOME = async () => (await import("./home.js")).showHome;

let leaving = new AbortController();

onTokenWanted(askForToken);
takeToken();
byId("leap").addEventListener("click", (event) => {
  event.preventDefault();
  byId("view").focus();
});
byId("who").addEventListener("click", async () => {
  if (await askForName()) open();
});
addEventListener("hashchange", () => {
  takeToken();
  open();
});
open();

/** Show the view that the address names. */
async function open() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  tell(byId("page-failure"), "");
  const root = make("main", "");
  root.id = "view";
  root.tabIndex = -1;
  try {
    const [name, view, ...rest] = partsOf(location.hash);
    const studio = await whoAsks(signal);
    if (name === "new" && !view) await showStart(root, studio, signal, true);
    else if (name) await showProject(root, studio, [name, view ?? FIRST, ...rest], signal);
    else await showStart(root, studio, signal, false);
  } catch (failure) {
    if (!isLeft(failure)) fail(failure);
  }
}

/** The parts of an address; #/p/NAME is what the command opens. */
function partsOf(hash) {
  const parts = hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  const isOfCommand = parts[0] === "p" && parts[1] && !(parts.length === 2 && parts[1] in VIEWS);
  return isOfCommand ? parts.slice(1) : parts;
}

async function whoAsks(signal) {
  const studio = await get("/api/studio", { signal });
  if (!studio.needs_token || studio.annotator) return studio;
  const token = await askForToken(false);
  if (token === null) throw new Failure(401, "This studio requires a token. Open the link that its owner sent you.");
  setToken(token);
  return get("/api/studio", { signal });
}

async function showStart(root, studio, signal, isNew) {
  const show = await HOME();
  signal.throwIfAborted();
  nameTop(studio, null, "");
  place(root, "finetext studio");
  await show(root, { studio, signal, go, isNew });
}

async function showProject(root, studio, [name, view, ...rest], signal) {
  if (!(view in VIEWS)) throw new Failure(404, `There is no view “${view}”. Choose one at the top of the page.`);
  const [title, load] = VIEWS[view];
  const project = await get(placeOf(name), { signal });
  nameTop(studio, project, view);
  const who = studio.annotator ?? (annotator() || (await askForName()) || "");
  const show = await load();
  signal.throwIfAborted();
  nameTop(studio, project, view);
  place(root, `${title} · ${name} · finetext studio`);
  await show(root, { studio, project, who, signal, rest, go });
}

function place(root, title) {
  document.title = title;
  byId("view").replaceWith(root);
  scrollTo(0, 0);
  if (document.activeElement === document.body) root.focus({ preventScroll: true });
}

/** Go to a view, or show the current one anew. */
function go(...parts) {
  const address = `#/${parts.map(encodeURIComponent).join("/")}`;
  if (location.hash === address) open();
  else location.hash = address;
}

function nameTop(studio, project, view) {
  byId("project-name").textContent = project ? `/ ${project.name}` : "";
  const shown = Object.entries(VIEWS).filter(([of]) => studio.is_owner || FOR_ALL.includes(of));
  const links = project ? shown.map(([of, [title]]) => viewLink(project, of, title, of === view)) : [];
  byId("views").replaceChildren(...links);
  byId("views").hidden = !project;
  byId("views").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  const who = studio.annotator ?? annotator();
  byId("who").textContent = who ? `You: ${who}` : "Say who you are";
  byId("who").disabled = studio.needs_token;
  byId("who").hidden = false;
}

function viewLink(project, view, title, isCurrent) {
  const waiting = view === "review" && project.counts.to_review ? ` (${whole(project.counts.to_review)})` : "";
  const made = link(`${title}${waiting}`, `#/${encodeURIComponent(project.name)}/${view}`);
  if (isCurrent) made.setAttribute("aria-current", "page");
  return made;
}

function fail(failure) {
  tell(byId("page-failure"), failure.message);
  byId("page-failure").append(" ", button("Try again", open, "small"));
  if (byId("view").querySelector(":scope > .soft:only-child")) byId("view").replaceChildren();
}
