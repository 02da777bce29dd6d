// The start: projects, a new project, and the runs of all projects compared.

import { count, make, whole } from "/page/dom.js";
import { get } from "./ask.js";
import { newProject } from "./new_project.js";
import { alertLine, attempt, bar, duration, interval, link, moment, table } from "./parts.js";

export async function showHome(root, { studio, signal, go, isNew }) {
  const { projects } = studio;
  root.append(make("h1", "", projects.length ? "Projects" : "Start with your texts"));
  if (projects.length) root.append(make("ul", "projects", ...projects.map(projectItem)));
  if (studio.is_owner) root.append(startOf(studio, go, isNew));
  else if (!projects.length) root.append(make("p", "", "There are no projects yet. The owner of the studio can make one."));
  if (studio.is_owner && projects.length) await addComparison(root, signal);
}

function projectItem(of) {
  const title = make("h2", "", link(of.name, `#/${encodeURIComponent(of.name)}/annotate`));
  if (of.problem) return make("li", "project", title, make("p", "failure", of.problem));
  const judged = make("p", "", `${whole(of.judged)} of ${count(of.texts, "text")} labeled`);
  const track = bar(of.texts ? of.judged / of.texts : 0);
  const facts = [
    count(of.labels.length, "label"), people(of.annotators), count(of.runs, "run"),
    of.last ? `last answer ${moment(of.last)}` : `created ${moment(of.created)}`,
  ];
  const item = make("li", "project", title, track, judged, make("p", "soft", facts.filter(Boolean).join(" · ")));
  if (of.open_reviews) {
    item.append(make("p", "", link(`${count(of.open_reviews, "text")} to review`, `#/${encodeURIComponent(of.name)}/review`)));
  }
  return item;
}

function people(names) {
  if (!names.length) return "nobody has labeled yet";
  return names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
}

/** The form for a new project, folded as long as there are others. */
function startOf(studio, go, isNew) {
  const form = newProject(isNew ? studio.source : null, go);
  if (!studio.projects.length || isNew) {
    return make("section", "", studio.projects.length ? make("h2", "", "New project") : "", form);
  }
  return make("details", "panel begin", make("summary", "", "New project"), form);
}

async function addComparison(root, signal) {
  const failure = alertLine();
  root.append(failure);
  const runs = await attempt(failure, null, () => get("/api/compare", { signal }));
  if (!runs?.length) return;
  const rows = runs.map((of) => [
    link(of.project, `#/${encodeURIComponent(of.project)}/train`), of.run,
    of.best ? `${of.best.method}: ${of.best.metric}` : null, interval(of.best), whole(of.rows), duration(of.seconds), of.verdict,
  ]);
  const columns = ["Project", "Run", "Best method", "Score [95% interval]", "Rows", "Time", "Verdict"];
  root.append(make("h2", "", "Best method of each run"), table("Runs of all projects", columns, rows, { left: [1, 2, 6], className: "compare" }));
}
