// What the labels are worth so far, what more of them would add, and which classes lack some.

import { count, head, make, whole } from "/page/dom.js";
import { get, placeOf } from "./ask.js";
import { curve } from "./curve.js";
import { labelTag } from "./label_colors.js";
import { bar, link, share, table } from "./parts.js";

const AGAIN = 5000;

export async function showProgress(root, { project, signal }) {
  const place = `${placeOf(project.name)}/progress`;
  let shown = "";
  const show = async () => {
    const now = await get(place, { signal });
    const text = JSON.stringify(now);
    if (text === shown) return;
    shown = text;
    const open = [...root.querySelectorAll("details")].map((one) => one.open);
    root.replaceChildren(...partsOf(now, project));
    root.querySelectorAll("details").forEach((one, place_) => {
      one.open = open[place_] ?? one.open;
    });
  };
  await show();
  const timer = setInterval(() => !document.hidden && show().catch(() => {}), AGAIN);
  signal.addEventListener("abort", () => clearInterval(timer));
}

function partsOf(now, project) {
  const parts = [make("h1", "", "Progress"), make("p", "verdict", now.sentence)];
  if (now.advice) parts.push(make("p", "", now.advice));
  parts.push(...stateOf(now, project), ...accuracyOf(now), ...forecastOf(now), ...curveOf(now), ...coverageOf(now, project));
  return [...parts, ...habitsOf(now)];
}

/** What stands in the way of an estimate, or is still to do. */
function stateOf({ encoding, undecided }, project) {
  const parts = [];
  if (encoding?.problem) {
    parts.push(make("p", "failure", `Texts come in random order, as the encoder cannot be used: ${encoding.problem}`));
  } else if (encoding && encoding.done < encoding.total) {
    const read = make("progress", "slim");
    read.max = encoding.total;
    read.value = encoding.done;
    read.setAttribute("aria-label", "Texts that the encoder has read");
    parts.push(make("p", "soft", `The encoder has read ${whole(encoding.done)} of ${count(encoding.total, "text")}.`), read);
  }
  const waiting = undecided || project.counts.to_review;
  if (waiting) {
    const place = `#/${encodeURIComponent(project.name)}/review`;
    parts.push(make("p", "", link(`${count(project.counts.to_review || waiting, "text")} to review`, place)));
  }
  return parts;
}

function accuracyOf({ accuracy, why_not }) {
  if (!accuracy) return why_not ? [make("p", "soft", why_not)] : [];
  const title = make("h2", "", "Accuracy");
  const line = make("p", "gauge", bar(accuracy.value, accuracy.low, accuracy.high), make("b", "", share(accuracy)));
  const told = `With its 95% interval, by ${count(accuracy.n, "label")} of the random sample. It is that of a linear model, which does `
    + "not learn from this sample. Methods that you train are often better.";
  return [title, line, make("p", "soft", told)];
}

function forecastOf({ forecast, forecast_why_not }) {
  if (!forecast?.length) return forecast_why_not ? [make("p", "soft", forecast_why_not)] : [];
  const points = (of) => `${of >= 0 ? "+" : "−"}${Math.abs(100 * of).toFixed(1)}`;
  const rows = forecast.map((of) => [`${whole(of.labels)} more labels`, points(of.gain), `${points(of.low)} to ${points(of.high)}`]);
  return [make("h2", "", "What more labels would add"), table("Gain in accuracy, in percentage points", ["With", "Gain", "95% interval"], rows)];
}

function curveOf({ curve: points }) {
  if (!points || points.length < 2) return [];
  const rows = points.map((of) => [whole(of.labels), share(of)]);
  const figures = make("details", "", make("summary", "", "The learning curve as a table"),
    table("Accuracy by the number of labels", ["Labels", "Accuracy (95% interval)"], rows));
  return [make("h2", "", "Learning curve"), curve(points), figures];
}

function coverageOf({ coverage }, project) {
  if (!coverage?.length) return [];
  const most = Math.max(1, ...coverage.map((of) => of.judged));
  const rows = coverage.map((of) => {
    const title = head("row", labelTag(of.label, project.labels));
    if (!of.enough) title.append(make("span", "tag", "few"));
    const shown = make("div", "", bar(of.judged / most), make("span", "number", whole(of.judged)));
    return make("tr", "", title, make("td", "", shown), make("td", "", whole(of.random)), make("td", "", share(of.share)));
  });
  const titles = ["Label", "Labeled texts", "In the random sample", "Share of all texts"];
  const header = make("tr", "", ...titles.map((title, place) => head("col", title, place < 2 ? "left" : "")));
  const made = make("table", "bars coverage", make("caption", "", "Texts of each label"), make("thead", "", header), make("tbody", "", ...rows));
  const region = make("div", "wide", made);
  region.tabIndex = 0;
  region.setAttribute("role", "region");
  region.setAttribute("aria-label", "Texts of each label");
  return [make("h2", "", "Coverage"), region];
}

function habitsOf({ suggestions, speed }) {
  const parts = [];
  if (suggestions) {
    const told = `${whole(suggestions.accepted)} of ${count(suggestions.shown, "suggestion")} accepted as they were: ${share(suggestions.rate)}.`;
    parts.push(make("h2", "", "Suggestions"), make("p", "", told));
  }
  if (speed?.median_seconds !== null && speed?.median_seconds !== undefined) {
    parts.push(make("p", "soft", `Half of the latest answers took ${speed.median_seconds.toFixed(1)} s or less.`));
  }
  return parts;
}
