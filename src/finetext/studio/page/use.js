// The model of a run in use: try texts, predict a table, and the same without the page.

import { barRow, head, make, percent } from "/page/dom.js";
import { download, get, placeOf, post, runPlace } from "./ask.js";
import { alertLine, attempt, button, copyable, field, interval, link, say, select } from "./parts.js";
import { dropZone, FileReading } from "./reading.js";

const FORMATS = [["xlsx", "Excel"], ["csv", "CSV"]];
const SHOWN = 10;
const MOST_TEXTS = 20;
const TITLES = { predict: "Predict", serve: "Serve over HTTP", export: "Export for other programs" };

export async function showUse(root, { project, signal, rest }) {
  const runs = await get(`${placeOf(project.name)}/runs`, { signal });
  const done = runs.filter((run) => run.state === "done");
  root.append(make("h1", "", "Use a model"));
  if (!done.length) {
    root.append(make("p", "", "No run is done yet. ", link("Train one", `#/${encodeURIComponent(project.name)}/train`), "."));
    return;
  }
  const named = (run) => (run.best ? `${run.name}: ${run.best.method}, ${run.best.metric} ${interval(run.best)}` : run.name);
  const first = done.find((run) => run.name === rest[0]) ?? done[0];
  const chosen = select(done.map((run) => [run.name, named(run)]), first.name);
  const place = () => runPlace(project.name, chosen.value);
  const elsewhere = make("div");
  const failure = alertLine();
  const showWays = () => attempt(failure, null, async () => {
    elsewhere.replaceChildren(...waysOf(await get(`${place()}/use`, { signal })));
  });
  const attempted = tryTexts(place, signal);
  chosen.addEventListener("change", () => {
    attempted.forget();
    showWays();
  });
  root.append(field("Run", chosen), ...attempted.parts, ...predictTable(place, signal),
    make("h2", "", "Without the page"), failure, elsewhere);
  await showWays();
}

function tryTexts(place, signal) {
  const text = make("textarea");
  text.rows = 4;
  text.dir = "auto";
  const failure = alertLine();
  const result = make("div");
  const classify = button("Classify", () => attempt(failure, classify, async () => {
    const texts = text.value.split("\n\n\n").filter((one) => one.trim()).slice(0, MOST_TEXTS);
    if (!texts.length) {
      text.focus();
      return;
    }
    const found = await post(`${place()}/predict`, { texts }, { signal });
    result.replaceChildren(...found.flatMap((one, at) => predictionOf(one, texts.length > 1 ? texts[at] : "")));
    say(found.map(({ label }) => [label].flat().join(", ") || "no label").join("; "));
  }), "main");
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) classify.click();
  });
  const hint = make("span", "soft", "or Ctrl+Enter");
  const labeled = field("Your text", text, "Several texts: leave two empty lines between them.");
  return {
    parts: [make("h2", "", "Try a text"), labeled, failure, make("p", "row", classify, hint), result],
    forget: () => result.replaceChildren(),
  };
}

function predictionOf({ label, probabilities }, text) {
  const given = [label].flat();
  const likely = Object.entries(probabilities).sort(([, one], [, other]) => other - one);
  const rows = likely.slice(0, SHOWN).map(([name, of]) => barRow(name, of, percent(of), [], given.includes(name)));
  const hidden = (title) => {
    const cell = head("col", "");
    cell.append(make("span", "unseen", title));
    return cell;
  };
  const header = make("thead", "", make("tr", "", hidden("Label"), hidden("Probability")));
  const caption = likely.length > SHOWN ? `Probability of the ${SHOWN} most likely labels` : "Probability of each label";
  const narrow = make("col", "name");
  const bars = make("table", "bars", make("caption", "", caption), make("colgroup", "", narrow, make("col")), header, make("tbody", "", ...rows));
  const told = make("p", "verdict", given.join(", ") || "no label");
  return text ? [make("p", "text", text.trim()), told, bars] : [told, bars];
}

function predictTable(place, signal) {
  const format = select(FORMATS, "xlsx");
  const told = make("p", "soft");
  told.setAttribute("role", "status");
  const failure = alertLine();
  const reading = new FileReading((found) => {
    rest.hidden = !found;
  }, { withLabels: false });
  const predict = button("Predict and download", () => attempt(failure, predict, async () => {
    told.textContent = "Predicting …";
    try {
      const { file, settings } = reading;
      const path = `${place()}/predict-file?format=${format.value}`;
      const name = await download(path, `predictions.${format.value}`, { ...file, settings }, { signal });
      told.textContent = `${name} is downloaded: all columns of the file, with predictions and probabilities.`;
    } catch (error) {
      told.textContent = "";
      throw error;
    }
  }), "main");
  const rest = make("div", "", make("div", "fields", field("Format", format)), make("p", "row", predict));
  rest.hidden = true;
  const zone = dropZone("Choose a table", (file) => {
    told.textContent = "";
    return reading.take(file);
  });
  return [make("h2", "", "Predict a table"), zone, reading.element, failure, rest, told];
}

const waysOf = (uses) =>
  Object.entries(uses).flatMap(([what, { command, python }]) => [
    make("h3", "", TITLES[what] ?? what), copyable("Command", command), copyable("Python", python),
  ]);
