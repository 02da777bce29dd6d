// One run: verdict, leaderboard, errors, labels that may be wrong, report, and the same without the page.

import { count, make, percent } from "/page/dom.js";
import { get, post, runPlace } from "./ask.js";
import { alertLine, attempt, button, copyable, duration, interval, link, table } from "./parts.js";

const MOST = 100;

/** The parts of a run. */
export function runDetails(project, run, signal) {
  const place = runPlace(project.name, run.name);
  const parts = [...verdictOf(run), ...leaderboardOf(run)];
  if (run.state === "done") {
    const use = link("Use this model", `#/${encodeURIComponent(project.name)}/use/${encodeURIComponent(run.name)}`);
    parts.push(make("p", "", use), errors(place, signal), labelErrors(project, place, signal), report(place));
  }
  return [...parts, ...findingsOf(run), ...logOf(run), ...waysOf(run)];
}

function verdictOf({ verdict }) {
  if (!verdict) return [];
  const lines = (verdict.lines ?? []).map((line) => make("p", "", line));
  return [make("p", "verdict", verdict.headline ?? verdict), ...lines];
}

function leaderboardOf({ leaderboard, best }) {
  if (!leaderboard?.length) return [];
  const rows = leaderboard.map((of) => {
    const name = make("span", "", of.method);
    if (of.recommended ?? of.method === best?.method) name.append(make("span", "tag", "recommended"));
    return [name, interval(of.score), duration(of.seconds)];
  });
  const caption = `Methods by ${best?.metric ?? "score"} on the random sample, with 95% intervals`;
  return [table(caption, ["Method", "Score", "Training"], rows)];
}

function findingsOf({ findings }) {
  const items = (findings ?? []).map((of) => make("li", "", make("span", `tag ${of.severity}`, of.severity), ` ${of.message}`));
  return items.length ? [fold(`Findings: ${items.length}`, make("ul", "remarks", ...items))] : [];
}

function logOf({ lines_of_log: lines }) {
  if (!lines?.length) return [];
  const log = make("pre", "", lines.join("\n"));
  log.tabIndex = 0;
  log.setAttribute("aria-label", "Last lines of the log");
  return [fold("Log", log)];
}

function waysOf({ command, python }) {
  if (!command) return [];
  return [fold("The same without the page", copyable("Command", command), ...(python ? [copyable("Python", python)] : []))];
}

function errors(place, signal) {
  return lazily("Errors on test rows", async () => {
    const found = await get(`${place}/errors?limit=${MOST}`, { signal });
    if (!found.length) return make("p", "", "There are none.");
    const rows = found.map((of) => [of.id, textCell(of.text), of.truth, of.prediction, probability(of.probability)]);
    return table("Wrong predictions, the most probable first", ["Row", "Text", "Label", "Prediction", "Probability"], rows, { left: [1, 2, 3], className: "of-texts" });
  });
}

function labelErrors(project, place, signal) {
  return lazily("Labels that may be wrong", async () => {
    const found = await get(`${place}/label-errors`, { signal });
    if (!found.length) return make("p", "", "No label looks wrong.");
    const rows = found.map((of) => [of.id, textCell(of.text), of.label, of.suggested, probability(of.probability)]);
    const told = make("span", "soft");
    told.setAttribute("role", "status");
    const failure = alertLine();
    const queue = button("Put them into review", () => attempt(failure, queue, async () => {
      const { queued } = await post(`${place}/label-errors`, {}, { signal });
      const number = queued ?? found.length;
      told.replaceChildren(`${count(number, "text")} in review. `, link("Review", `#/${encodeURIComponent(project.name)}/review`));
    }), "main");
    const columns = ["Row", "Text", "Label", "Model", "Probability"];
    return make("div", "", failure, make("p", "row", queue, told),
      table("Labels that the model doubts, the most doubtful first", columns, rows, { left: [1, 2, 3], className: "of-texts" }));
  });
}

/** The report in a frame that can reach neither the page nor the network. */
function report(place) {
  return lazily("Report", async () => {
    const frame = make("iframe", "report");
    frame.title = "Report of the run";
    frame.setAttribute("sandbox", "allow-scripts");
    frame.src = `${place}/report`;
    return frame;
  });
}

const probability = (of) => (of === null || of === undefined ? null : percent(of));

function textCell(text) {
  const made = make("bdi", "cell-text", text);
  made.dir = "auto";
  return made;
}

const fold = (title, ...parts) => make("details", "", make("summary", "", title), ...parts);

/** A section that is loaded when it is opened, and again if that failed. */
function lazily(title, load) {
  const failure = alertLine();
  const body = make("div");
  const made = fold(title, failure, body);
  made.addEventListener("toggle", () => {
    if (!made.open || body.childElementCount) return;
    body.replaceChildren(make("p", "soft", "Loading …"));
    attempt(failure, null, async () => {
      try {
        body.replaceChildren(await load());
      } catch (error) {
        body.replaceChildren();
        throw error;
      }
    });
  });
  return made;
}
