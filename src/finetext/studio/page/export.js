// Labels as files.

import { make, tell } from "/page/dom.js";
import { download, of } from "./api.js";
import { button, field, select, ways } from "./parts.js";

const WHAT = [
  ["texts", "All texts, with the decided label and all columns of the file"],
  ["labeled", "Texts with a decided label, to train on"],
  ["answers", "What each annotator says now, for an agreement study"],
  ["judgements", "Every answer ever given, also those undone or replaced"],
];
const FORMATS = [["xlsx", "Excel"], ["csv", "CSV"], ["jsonl", "JSON lines"], ["parquet", "Parquet"]];

export function showExport(view, project) {
  const what = select(WHAT, "texts");
  const format = select(FORMATS, "xlsx");
  const said = make("p", "soft");
  said.setAttribute("role", "status");
  const get = button("Download", async () => {
    tell(said, "");
    const name = await download(of(project.name, `/export?what=${what.value}&format=${format.value}`));
    tell(said, `${name} is downloaded.`);
  }, "main");
  view.append(make("h1", "", "Export"), make("div", "fields", field("What", what), field("Format", format)), make("div", "row", get), said,
    make("p", "soft", "The column split says “test” for the random sample and “train” for the others: finetext train takes it as it is. Cells that a spreadsheet would run as formulas are made harmless."));
  if (project.command) view.append(ways(project, "train on these labels"));
}
