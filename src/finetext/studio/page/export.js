// Labels as files.

import { make } from "/page/dom.js";
import { download, placeOf } from "./ask.js";
import { alertLine, attempt, button, copyable, field, select } from "./parts.js";

const WHAT = [
  ["texts", "All texts, with the decided label and all columns of the file"],
  ["labeled", "Texts with a decided label, to train on"],
  ["answers", "What each annotator says now, for finetext agreement"],
  ["judgements", "Every answer ever given, also undone and replaced ones"],
];
const FORMATS = [["xlsx", "Excel"], ["csv", "CSV"], ["jsonl", "JSON lines"], ["parquet", "Parquet"]];
const TOLD = "The column “split” is “test” for the random sample and “train” for all others, as finetext train expects it. "
  + "Cells that a spreadsheet would run as formulas are neutralized.";

export async function showExport(root, { project }) {
  const what = select(WHAT, "texts");
  const format = select(FORMATS, "xlsx");
  const failure = alertLine();
  const told = make("span", "soft");
  told.setAttribute("role", "status");
  const get = button("Download", () =>
    attempt(failure, get, async () => {
      told.textContent = "";
      const asked = `what=${what.value}&format=${format.value}`;
      const name = await download(`${placeOf(project.name)}/export?${asked}`, `${project.name}-${what.value}.${format.value}`);
      told.textContent = `${name} is downloaded.`;
    }), "main");
  root.append(make("h1", "", "Export"), make("div", "fields", field("What", what), field("Format", format)), failure,
    make("p", "row", get, told), make("p", "soft", TOLD));
  if (project.command) root.append(make("h2", "", "The same without the page"), copyable("Open this project", project.command));
  if (project.python) root.append(copyable("The labeled texts in Python", project.python));
}
