// All projects, and their runs side by side.

import { count, make, whole } from "/page/dom.js";
import { ask } from "./api.js";
import { interval, table } from "./parts.js";

export async function showHome(view, studio) {
  const cards = studio.projects.map(card);
  const start = make("a", "", "New project");
  start.href = "#/new";
  view.append(make("h1", "", "Projects"));
  if (!cards.length) {
    view.append(make("p", "", "Nothing here yet. A project holds your texts, the labels that people give them, and the models trained on them."));
  }
  if (cards.length) view.append(make("ul", "cards", ...cards));
  if (studio.is_owner) view.append(make("p", "row", start));
  if (studio.is_owner && cards.length) await showComparison(view);
}

function card(project) {
  const link = make("a", "", project.name);
  link.href = `#/p/${encodeURIComponent(project.name)}/annotate`;
  const people = project.annotators.length ? `, by ${project.annotators.join(", ")}` : "";
  const facts = [
    `${whole(project.judged)} of ${count(project.texts, "text")} labeled${people}`,
    project.labels.length ? `labels: ${project.labels.slice(0, 8).join(", ")}${project.labels.length > 8 ? ", …" : ""}` : "no labels yet",
  ];
  if (project.runs) facts.push(count(project.runs, "training run"));
  if (project.open_reviews) facts.push(`${count(project.open_reviews, "text")} to review`);
  return make("li", "", make("h2", "", link), ...facts.map((fact) => make("p", "soft", fact)));
}

async function showComparison(view) {
  const runs = (await ask("/api/compare")).filter((run) => run.best);
  if (!runs.length) return;
  const rows = runs.map((run) => {
    const link = make("a", "", `${run.project}: ${run.run}`);
    link.href = `#/p/${encodeURIComponent(run.project)}/train`;
    return [link, run.best.method, `${run.best.metric} ${interval(run.best, 3)}`, run.rows === null ? "–" : whole(run.rows), run.verdict ?? ""];
  });
  view.append(make("h2", "", "Runs"), table("Best method of each run", ["run", "method", "score", "rows", "verdict"], rows, "left-table"));
}
