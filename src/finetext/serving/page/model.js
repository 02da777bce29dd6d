// The model: facts, scores and card.

import { cardElements } from "./card.js";
import { byId, head, make, percent, rough, whole } from "./dom.js";

const PARTS = { test: "test rows", validation: "validation rows" };

export function showModel(info) {
  const parts = [make("h2", "", "What it is"), facts(info), ...scores(info.run)];
  if (info.card) {
    const card = make("div", "card", make("h2", "", "Model card"), ...cardElements(info.card));
    parts.push(card);
  }
  byId("model").replaceChildren(...parts);
}

function facts(info) {
  const pairs = [
    ["Name", info.name], ["Kind", info.kind], [`Labels (${whole(info.labels.length)})`, info.labels.join(", ")],
    ["Decision", decision(info)], ["Explanations", info.way || "none"], ["Number format", info.precision],
    ["Served by", `finetext ${info.finetext_version}`],
    ["Request limit", `${whole(info.limits.request_texts)} texts of up to ${whole(info.limits.text_characters)} characters`],
  ];
  const list = make("dl", "");
  for (const [name, value] of pairs) if (value) list.append(make("dt", "", name), make("dd", "", value));
  return list;
}

function decision({ decision: rule, multilabel, abstains, coverage }) {
  const parts = [];
  if (multilabel) parts.push(rule.thresholds ? "every label from its own threshold" : "every label from 50%");
  else if (rule.costs) parts.push("the label with the least expected cost");
  else parts.push(rule.thresholds ? "the label with the highest ratio of probability to threshold" : "the most probable label");
  if (abstains) parts.push("no label if that is not probable enough");
  if (rule.in_scope_up_to) parts.push("no label for a text that belongs to none of the classes");
  if (coverage) parts.push(`with a prediction set that contains the true label for ${percent(coverage)} of texts`);
  return `${parts.join("; ")}${rule.aim ? ` (${rule.aim})` : ""}`;
}

function scores(run) {
  if (!run) return [make("p", "soft", "The model is not part of a run folder; its model card may have scores.")];
  const served = run.leaderboard.find((entry) => entry.method === run.method);
  const parts = [make("h2", "", "Scores")];
  if (served) parts.push(ownScores(served));
  if (run.leaderboard.length > 1 || !served) parts.push(leaderboard(run));
  return parts;
}

/** Prefer test rows: nothing was chosen on them. */
const partOf = (entry) => ["test", "validation"].find((part) => entry.metrics[part]) ?? Object.keys(entry.metrics)[0];

const figure = (value) => (value === null || value === undefined ? "not defined" : value.toFixed(3));
const interval = (score) => (score.low === null || score.high === null ? "" : `${figure(score.low)} to ${figure(score.high)}`);
const words = (name) => name.replaceAll("_", " ");

function ownScores(entry) {
  const part = partOf(entry);
  const rows = Object.entries(entry.metrics[part] ?? {}).map(([name, score]) =>
    make("tr", "", head("row", words(name)), cell(figure(score.value)), cell(interval(score)), cell(whole(score.n))),
  );
  return scoreTable(`Scores of ${entry.method} on the ${PARTS[part] ?? part}`, ["Metric", "Score", "95% interval", "Rows"], rows);
}

function leaderboard(run) {
  const rows = run.leaderboard.map((entry) => {
    const score = entry.metrics[partOf(entry)]?.[run.metric] ?? {};
    const name = entry.method === run.method ? `${entry.method} (this one)` : entry.method;
    return make(
      "tr", entry.method === run.method ? "best" : "", head("row", name), cell(figure(score.value)),
      cell(score.value === undefined ? "" : interval(score)), cell(rough(entry.rows_per_second)),
      cell(size(entry.bytes)), cell(duration(entry.seconds_to_train)),
    );
  });
  const names = ["Method", words(run.metric), "95% interval", "Rows/s", "Size", "Training"];
  return scoreTable(`All methods of the run ${run.name}`, names, rows);
}

function scoreTable(title, names, rows) {
  const top = make("tr", "", ...names.map((name, place) => head("col", name, place ? "" : "left")));
  const table = make("table", "", make("caption", "", title), make("thead", "", top), make("tbody", "", ...rows));
  const wide = make("div", "wide", table);
  wide.tabIndex = 0;
  wide.setAttribute("role", "region");
  wide.setAttribute("aria-label", title);
  return wide;
}

const cell = (text) => make("td", "", text);
const size = (bytes) => (bytes < 1e6 ? `${rough(bytes / 1e3)} kB` : `${rough(bytes / 1e6)} MB`);
const duration = (seconds) => (seconds < 90 ? `${seconds < 0.1 ? "< 0.1" : rough(seconds)} s` : `${rough(seconds / 60)} min`);
