// What stands beside the text: guidelines, the labels with their descriptions, the last answers.

import { make } from "/page/dom.js";
import { get, placeOf } from "./ask.js";
import { colorOf, dot, labelTags } from "./label_colors.js";
import { alertLine, attempt, button } from "./parts.js";

const MOST = 20;
const LONGEST = 90;

/** The panels; `onAgain` gets the id of a text whose answer is to be changed. */
export function sidePanels(project, signal, onAgain) {
  const isWide = matchMedia("(min-width: 64rem)");
  const guidelines = make("details", "panel", make("summary", "", "Guidelines"), guidelinesOf(project));
  const labels = make("details", "panel", make("summary", "", "Labels"), descriptionsOf(project));
  const last = lastAnswers(project, signal, onAgain);
  const open = () => {
    guidelines.open = isWide.matches;
    labels.open = isWide.matches && project.labels.some((label) => label.description);
  };
  open();
  isWide.addEventListener("change", open, { signal });
  const beside = make("aside", "beside", guidelines, labels, last);
  beside.setAttribute("aria-label", "Guidelines and last answers");
  return beside;
}

function guidelinesOf({ guidelines }) {
  if (!guidelines?.text) return make("p", "soft", "There are no guidelines yet. Write them under “Labels”.");
  const text = make("p", "guidelines", guidelines.text);
  text.dir = "auto";
  return make("div", "", text, make("p", "soft", `Version ${guidelines.version}`));
}

function descriptionsOf({ labels }) {
  const rows = labels.flatMap((label, place) => {
    if (label.retired) return [];
    const name = make("dt", "", dot(colorOf(label, place)), make("bdi", "", label.name));
    return [name, make("dd", "", label.description || "no description")];
  });
  return make("dl", "descriptions", ...rows);
}

function lastAnswers(project, signal, onAgain) {
  const list = make("ol", "last");
  const failure = alertLine();
  const panel = make("details", "panel", make("summary", "", "My last answers"), failure, list);
  const load = () =>
    attempt(failure, null, async () => {
      const judged = await get(`${placeOf(project.name)}/history?limit=${MOST}`, { signal });
      const current = judged.filter((one) => !one.replaced && !one.undone && one.kind !== "decision");
      const items = current.map((one) => itemOf(one, project.labels, onAgain));
      list.replaceChildren(...(items.length ? items : [make("li", "soft", "No answers yet.")]));
    });
  panel.addEventListener("toggle", () => panel.open && load(), { signal });
  return panel;
}

function itemOf(judged, labels, onAgain) {
  const { text } = judged.text;
  const short = text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text;
  const given = judged.kind === "skip" ? make("span", "soft", "skipped") : labelTags(judged.labels, labels);
  const change = button("Change", () => onAgain(judged.text.id), "link");
  change.setAttribute("aria-label", `Change the answer to: ${short}`);
  const shown = make("bdi", "short", short);
  return make("li", "", shown, make("span", "row", given, change));
}
