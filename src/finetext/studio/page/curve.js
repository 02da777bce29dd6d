// A learning curve as a small line chart. Colors come from the style sheet; a table has the figures.

import { percent, whole } from "/page/dom.js";

const SVG = "http://www.w3.org/2000/svg";
const SIZE = { width: 480, height: 220, left: 46, right: 14, top: 12, bottom: 40 };
const LEAST = 0.2;

function draw(tag, attributes, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
}

/** The chart of points {labels, value, low, high}, by increasing labels. */
export function curve(points) {
  const { width, height, left, right, top, bottom } = SIZE;
  const [floor, ceiling] = rangeOf(points);
  const first = Math.log(points[0].labels);
  const span = Math.max(Math.log(points.at(-1).labels) - first, 1e-9);
  const x = (labels) => left + ((Math.log(labels) - first) / span) * (width - left - right);
  const y = (value) => top + ((ceiling - value) / (ceiling - floor)) * (height - top - bottom);
  const last = points.at(-1);
  const said = `Accuracy by number of labels: from ${percent(points[0].value)} with ${whole(points[0].labels)} `
    + `to ${percent(last.value)} with ${whole(last.labels)}`;
  const chart = draw("svg", { viewBox: `0 0 ${width} ${height}`, class: "curve", role: "img", "aria-label": said });
  chart.append(...levels(floor, ceiling, y), band(points, x, y), line(points, x, y), ...marks(points, x, y));
  chart.append(draw("text", { x: (left + width - right) / 2, y: height - 4, class: "middle" }, "labels to learn from"));
  return chart;
}

/** The range of accuracy that is shown: whole tenths around the intervals. */
function rangeOf(points) {
  const low = Math.floor(10 * Math.min(...points.map((of) => of.low ?? of.value)) - 1e-6) / 10;
  const high = Math.ceil(10 * Math.max(...points.map((of) => of.high ?? of.value)) - 1e-6) / 10;
  const ceiling = Math.min(1, Math.max(high, low + LEAST));
  return [Math.max(0, Math.min(low, ceiling - LEAST)), ceiling];
}

function levels(floor, ceiling, y) {
  const step = ceiling - floor > 0.5 ? 0.2 : 0.1;
  const { left, right, width } = SIZE;
  const parts = [];
  for (let level = floor; level <= ceiling + 1e-9; level += step) {
    parts.push(draw("line", { x1: left, x2: width - right, y1: y(level), y2: y(level), class: "level" }));
    parts.push(draw("text", { x: left - 7, y: y(level) + 4, class: "end" }, `${Math.round(100 * level)}%`));
  }
  return parts;
}

function band(points, x, y) {
  const upper = points.map((of) => `${x(of.labels)},${y(of.high ?? of.value)}`);
  const lower = points.map((of) => `${x(of.labels)},${y(of.low ?? of.value)}`).reverse();
  return draw("polygon", { points: [...upper, ...lower].join(" "), class: "band" });
}

function line(points, x, y) {
  return draw("polyline", { points: points.map((of) => `${x(of.labels)},${y(of.value)}`).join(" "), class: "line" });
}

function marks(points, x, y) {
  const baseline = SIZE.height - SIZE.bottom + 16;
  let taken = -Infinity;
  return points.flatMap((of, place) => {
    const at = x(of.labels);
    const dot = draw("circle", { cx: at, cy: y(of.value), r: 3.5, class: "mark" });
    const isLast = place === points.length - 1;
    if (!isLast && (at - taken < 40 || x(points.at(-1).labels) - at < 40)) return [dot];
    taken = at;
    return [dot, draw("text", { x: at, y: baseline, class: isLast ? "end" : "middle" }, whole(of.labels))];
  });
}
