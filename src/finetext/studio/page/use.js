// Using a trained model: try texts, predict a table, commands.

import { barRow, head, make, percent, tell } from "/page/dom.js";
import { ask, download, fileContent, of } from "./api.js";
import { announce } from "./main.js";
import { FileReading, fileChooser } from "./new_project.js";
import { button, field, select, ways } from "./parts.js";

const FORMATS = [["xlsx", "Excel"], ["csv", "CSV"]];

export async function showUse(view, project) {
  const runs = (await ask(of(project.name, "/runs"))).filter((run) => run.state === "done");
  view.append(make("h1", "", "Use"));
  if (!runs.length) {
    const train = make("a", "", "Train one");
    train.href = `#/p/${encodeURIComponent(project.name)}/train`;
    view.append(make("p", "", "There is no trained model yet. ", train, "."));
    return;
  }
  const chosen = select(runs.map((run) => [run.name, run.best ? `${run.name} (${run.best.method})` : run.name]), runs[0].name);
  const path = (rest) => of(project.name, `/runs/${encodeURIComponent(chosen.value)}${rest}`);
  const code = make("div");
  const showCode = async () => code.replaceChildren(...commands(await ask(path("/use"))));
  chosen.addEventListener("change", showCode);
  view.append(make("div", "fields", field("Run", chosen)), ...tryTexts(path), ...predictTable(path), make("h2", "", "Serve, export, predict elsewhere"), code);
  await showCode();
}

function tryTexts(path) {
  const text = make("textarea");
  text.rows = 4;
  text.dir = "auto";
  const result = make("div");
  const classify = button("Classify", async () => {
    if (!text.value.trim()) return;
    const [found] = await ask(path("/predict"), { texts: [text.value] });
    const likely = Object.entries(found.probabilities).sort(([, a], [, b]) => b - a).slice(0, 12);
    const given = [found.label].flat();
    const rows = likely.map(([name, of]) => barRow(name, of, percent(of), [], given.includes(name)));
    const heads = make("tr", "", head("col", "Label"), head("col", "Probability"));
    heads.className = "unseen";
    result.replaceChildren(make("p", "verdict", given.join(", ") || "no label"),
      make("table", "bars", make("caption", "", "Probability of each label"), make("thead", "", heads), make("tbody", "", ...rows)));
    announce(given.join(", ") || "no label");
  }, "main");
  return [make("h2", "", "Try a text"), field("Your text", text), make("div", "row", classify), result];
}

function predictTable(path) {
  let file = null;
  const format = select(FORMATS, "xlsx");
  const said = make("p", "soft");
  said.setAttribute("role", "status");
  const predict = button("Predict and download", async () => {
    tell(said, "Predicting …");
    const name = await download(path(`/predict-file?format=${format.value}`), { ...file, settings: withoutLabel(reading.settings) }).catch((error) => {
      tell(said, "");
      throw error;
    });
    tell(said, `${name} is downloaded: all columns of the file, with predictions and probabilities.`);
  }, "main");
  const rest = make("div", "", make("div", "fields", field("Format", format)), make("div", "row", predict), said);
  rest.hidden = true;
  const reading = new FileReading((found) => {
    rest.hidden = !found;
  });
  const chooser = fileChooser(async (chosen) => {
    file = await fileContent(chosen);
    await reading.take(file);
  }, "Choose a table");
  return [make("h2", "", "Predict a table"), chooser, reading.element, rest];
}

const withoutLabel = ({ label, ...rest }) => rest;

const commands = (found) =>
  Object.entries(found).map(([what, how]) => {
    const details = ways(how, what);
    details.querySelector("summary").textContent = what[0].toUpperCase() + what.slice(1);
    return details;
  });
