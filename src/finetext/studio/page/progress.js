// What the labels are worth so far, and when to stop.

import { count, make, whole } from "/page/dom.js";
import { ask, of } from "./api.js";
import { share, table } from "./parts.js";

const SVG = "http://www.w3.org/2000/svg";
const AGAIN = 5_000;

export async function showProgress(view, project) {
  let isOver = false;
  let shown = "";
  const show = async () => {
    const now = await ask(of(project.name, "/progress"));
    const text = JSON.stringify(now);
    if (isOver || text === shown) return;
    shown = text;
    view.replaceChildren(...parts(now, project));
  };
  await show();
  const timer = setInterval(() => show().catch(() => {}), AGAIN);
  return () => {
    isOver = true;
    clearInterval(timer);
  };
}

function parts(now, project) {
  const made = [make("h1", "", "Progress"), make("p", "verdict whole", now.sentence), make("p", "", now.advice)];
  if (now.encoding.problem) made.push(make("p", "failure", `Texts come in random order, since the encoder cannot be used: ${now.encoding.problem}`));
  else if (now.encoding.done < now.encoding.total) {
    made.push(make("p", "soft", `The encoder has read ${whole(now.encoding.done)} of ${count(now.encoding.total, "text")}.`));
  }
  made.push(make("p", "soft", "The estimate is that of a linear probe, on texts of the random sample, from which it does not learn. Trained methods are often better."));
  if (now.forecast) made.push(forecast(now.forecast));
  if (now.curve.length > 1) made.push(make("h2", "", "Learning curve"), curve(now.curve), curveTable(now.curve));
  made.push(make("h2", "", "Labels per class"), coverage(now.coverage));
  if (now.suggestions) {
    const { shown, accepted, rate } = now.suggestions;
    made.push(make("h2", "", "Suggestions"), make("p", "", `${whole(accepted)} of ${whole(shown)} were accepted as they were: ${share(rate)}.`));
  }
  if (now.speed.median_seconds !== null) {
    made.push(make("p", "soft", `Half of the latest answers took ${now.speed.median_seconds.toFixed(1)} s or less.`));
  }
  if (project.counts.to_review) made.push(make("p", "", `To decide under Review: ${count(project.counts.to_review, "text")}.`));
  return made;
}

function forecast(gains) {
  const points = (of) => `${of >= 0 ? "+" : "−"}${Math.abs(100 * of).toFixed(1)}`;
  const rows = gains.map((of) => [`${whole(of.labels)} more`, points(of.gain), `${points(of.low)} to ${points(of.high)}`]);
  return table("Forecast: what more labels add", ["labels", "points", "95%"], rows);
}

function coverage(classes) {
  const name = (of) => make("span", "", of.label, of.enough ? "" : make("span", "tag", "few"));
  const rows = classes.map((of) => [name(of), whole(of.judged), whole(of.random), share(of.share)]);
  return table("Labels of each class", ["class", "labels", "of them random", "share of all texts"], rows);
}

const curveTable = (points) =>
  table("Accuracy with a part of the labels", ["labels to learn from", "accuracy"], points.map((of) => [whole(of.labels), share(of)]));

/** A small line chart; the table below says the same. */
function curve(points) {
  const width = 480, height = 200, left = 44, bottom = 30, top = 10, right = 10;
  const logs = points.map((of) => Math.log(of.labels));
  const x = (at) => left + ((logs[at] - logs[0]) / Math.max(logs[logs.length - 1] - logs[0], 1e-9)) * (width - left - right);
  const y = (of) => top + (1 - of) * (height - top - bottom);
  const draw = (tag, attributes, text = "") => {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = text;
    return made;
  };
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, class: "curve", role: "img", "aria-label": "Accuracy by number of labels; the table below has the figures" });
  for (const level of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(draw("line", { x1: left, x2: width - right, y1: y(level), y2: y(level), stroke: "var(--line)" }),
      draw("text", { x: left - 6, y: y(level) + 4, "text-anchor": "end" }, `${100 * level}%`));
  }
  const band = [...points.map((of, at) => `${x(at)},${y(of.high)}`), ...points.map((of, at) => `${x(at)},${y(of.low)}`).reverse()];
  svg.append(draw("polygon", { points: band.join(" "), fill: "var(--accent)", opacity: 0.15 }),
    draw("polyline", { points: points.map((of, at) => `${x(at)},${y(of.value)}`).join(" "), fill: "none", stroke: "var(--accent)", "stroke-width": 2 }));
  points.forEach((of, at) => svg.append(draw("circle", { cx: x(at), cy: y(of.value), r: 3, fill: "var(--accent)" }),
    draw("text", { x: x(at), y: height - 10, "text-anchor": at ? (at === points.length - 1 ? "end" : "middle") : "start" }, whole(of.labels))));
  return svg;
}
