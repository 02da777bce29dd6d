// The start of the page: who asks, which view the address names, and the way between views.

import { byId, make, tell } from "/page/dom.js";
import { annotator, Failure, get, hasToken, isLeft, onTokenWanted, placeOf, takeToken } from "./ask.js";
import { askForName, askForToken } from "./who.js";
import { button, link } from "./parts.js";

const VIEWS = {
  annotate: ["Annotate", async () => (await import("./annotate.js")).showAnnotate],
};
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
  const [name, view = FIRST, ...rest] = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  const root = make("main", "");
  root.id = "view";
  root.tabIndex = -1;
  try {
    const shown = name ? await showProject(root, name, view, rest, signal) : await showStart(root, signal);
    signal.throwIfAborted();
    return shown;
  } catch (failure) {
    if (!isLeft(failure)) fail(failure);
    return undefined;
  }
}

async function showStart(root, signal) {
  const studio = await get("/api/studio", { signal });
  nameTop("", "", studio.annotator);
  const show = await HOME();
  byId("view").replaceWith(root);
  document.title = "finetext studio";
  await show(root, { studio, signal, go });
}

async function showProject(root, name, view, rest, signal) {
  if (!(view in VIEWS)) throw new Failure(404, `There is no view “${view}”. Choose one at the top of the page.`);
  const studio = await get("/api/studio", { signal });
  const who = studio.annotator ?? (annotator() || (await askForName()) || "");
  signal.throwIfAborted();
  const project = await get(placeOf(name), { signal });
  const [title, load] = VIEWS[view];
  const show = await load();
  signal.throwIfAborted();
  nameTop(name, view, studio.annotator);
  document.title = `${title} · ${name} · finetext studio`;
  byId("view").replaceWith(root);
  if (!document.activeElement || document.activeElement === document.body) root.focus({ preventScroll: true });
  await show(root, { studio, project, who, signal, rest, go });
}

/** Go to a view, or show the current one anew. */
function go(...parts) {
  const address = `#/${parts.map(encodeURIComponent).join("/")}`;
  if (location.hash === address) open();
  else location.hash = address;
}

function nameTop(project, view, named) {
  byId("project-name").textContent = project ? ` / ${project}` : "";
  const links = Object.entries(VIEWS).map(([of, [title]]) => {
    const made = link(title, `#/${encodeURIComponent(project)}/${of}`);
    if (of === view) made.setAttribute("aria-current", "page");
    return made;
  });
  byId("views").replaceChildren(...links);
  byId("views").hidden = !project;
  byId("views").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  const who = named ?? annotator();
  byId("who").textContent = who ? `You: ${who}` : "Say who you are";
  byId("who").hidden = Boolean(named && hasToken());
}

function fail(failure) {
  tell(byId("page-failure"), failure.message);
  byId("page-failure").append(" ", button("Try again", open, "small"));
  if (byId("view").querySelector(":scope > .soft:only-child")) byId("view").replaceChildren();
}
