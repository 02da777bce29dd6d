// A file of texts: read in the browser, predicted, and offered with all its columns.

import { predictAll } from "./batches.js";
import { choices, joined } from "./columns.js";
import { decode, guess, isFormula, parse, write } from "./csv.js";
import { barRow, byId, count, head, make, tell, whole } from "./dom.js";
import { ask, isCancelled } from "./talk.js";

const LARGEST = 100 * 2 ** 20;
const ASKED_ROWS = 200;
const ASKED_CHARACTERS = 300;
const PREVIEW_ROWS = 5;
const PREVIEW_COLUMNS = 30;
const PREVIEW_CHARACTERS = 120;
const MOST_COUNTS = 20;
const MOST_LABELS = 20;
const STEPS_TOLD = 4;
const CONTROLS = ["file", "delimiter", "header", "quotes"];

let getInfo = async () => null;
let info = null;
let file = null;
let table = null;
let results = [];
let work = null;
let reading = 0;

/** `howToGet` resolves to the answer of /info, or to null if it failed. */
export function setUpTable(howToGet) {
  getInfo = howToGet;
  byId("file").addEventListener("change", (event) => load(event.target.files[0]));
  for (const id of ["delimiter", "header", "quotes"]) {
    byId(id).addEventListener("change", async () => {
      try {
        await read({ header: id === "header" ? byId("header").checked : null });
      } catch (error) {
        tell(byId("table-failure"), `${file.name}: ${error.message}`);
      }
    });
  }
  document.querySelector("#table-read .fields").addEventListener("change", (event) => {
    if (!choices().includes(event.target)) return;
    results = [];
    showPreview();
    showState();
  });
  byId("predict").addEventListener("click", predict);
  byId("cancel").addEventListener("click", () => work?.abort());
  byId("download").addEventListener("click", download);
  window.addEventListener("beforeunload", (event) => {
    if (work) event.preventDefault();
  });
  setUpDrop();
}

function setUpDrop() {
  const over = (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    byId("drop").classList.toggle("over", event.type !== "drop");
    if (event.type === "drop" && !byId("panel-table").hidden) load(event.dataTransfer.files[0]);
  };
  for (const type of ["dragenter", "dragover", "drop"]) document.addEventListener(type, over);
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) byId("drop").classList.remove("over");
  });
}

async function load(chosen) {
  if (!chosen || work) return;
  tell(byId("table-failure"), "");
  tell(byId("work-failure"), "");
  byId("table-read").hidden = true;
  results = [];
  info = await getInfo();
  try {
    if (chosen.size > LARGEST) {
      throw new Error("This file is larger than 100 MiB. The command “finetext predict” takes files of any size.");
    }
    const { text, encoding } = decode(new Uint8Array(await chosen.arrayBuffer()));
    if (/^(PK\x03\x04|%PDF|PAR1|\x1f\x8b)/.test(text) || text.slice(0, 4096).includes("\0\0")) {
      throw new Error("This is not a CSV or TSV file. Save it as CSV, or use “finetext predict”.");
    }
    if (!text.trim()) throw new Error("This file is empty.");
    file = { name: chosen.name, text, encoding };
    const guessed = guess(text, chosen.name);
    byId("delimiter").value = guessed.delimiter === "\t" ? "tab" : guessed.delimiter;
    byId("quotes").checked = guessed.hasQuotes;
    await read({ header: null });
    byId("table-read").hidden = false;
  } catch (error) {
    const reason = error instanceof DOMException ? "It cannot be read. If it was moved or changed, choose it again." : error.message;
    tell(byId("table-failure"), `${chosen.name}: ${reason}`);
  }
}

/** Read the file again as the controls say; a `header` of null is found by the server. */
async function read({ header }) {
  reading += 1;
  const own = reading;
  const delimiter = byId("delimiter").value === "tab" ? "\t" : byId("delimiter").value;
  const rows = parse(file.text, delimiter, byId("quotes").checked);
  const found = await headOf(rows, header);
  if (own !== reading) return;
  byId("header").checked = found.header > 0;
  const heads = rows.slice(found.titles, found.titles + found.header).map(String);
  const below = rows.slice(found.titles + found.header);
  const kept = heads.length ? below.filter((row) => !heads.includes(String(row))) : below;
  const width = rows.slice(found.titles).reduce((most, row) => Math.max(most, row.length), 0);
  const names = Array.from({ length: width }, (_, column) => (heads.length && found.names[column]) || `column ${column + 1}`);
  const uneven = kept.filter((row) => row.length !== found.names.length).length;
  table = { names, rows: kept, uneven, found, repeated: below.length - kept.length };
  results = [];
  choices().forEach((choice, place) => {
    choice.replaceChildren(...names.map((name, column) => new Option(name, column)));
    const known = names.indexOf(info?.text_columns[place]);
    choice.value = known >= 0 ? known : found.text;
  });
  byId("table-told").textContent = `${file.name}: ${count(kept.length, "row")}, ${count(width, "column")}.`;
  showRemarks();
  showPreview();
  showState();
}

/** What the server says of the first rows, which are shortened. */
function headOf(rows, header) {
  const first = rows.slice(0, ASKED_ROWS).map((row) => row.map((field) => field.slice(0, ASKED_CHARACTERS).toWellFormed().replaceAll("\0", "")));
  return ask("table", { rows: first, header });
}

function showRemarks() {
  const remarks = [];
  if (file.encoding === "Windows-1252") remarks.push("The file is not UTF-8 and was read as Windows-1252: check the letters.");
  if (file.text.includes("\ufffd")) remarks.push("Some characters cannot be read and are shown as \ufffd.");
  if (table.uneven) remarks.push(`${count(table.uneven, "row")} with another number of fields than the first: check the delimiter. All fields are kept.`);
  const { titles, header, unclear, lacks } = table.found;
  if (lacks) remarks.push(`There is no column “${info.text_column}”, on which the model was trained: check the column of the texts.`);
  if (unclear) remarks.push("The first row may hold the column names or be a row: check it below.");
  if (titles) remarks.push(`${count(titles, "row")} above the column names passed over.`);
  if (header > 1) remarks.push(`${count(header, "row")} with column names; the first of them counts.`);
  if (table.repeated) remarks.push(`${count(table.repeated, "row")} that repeat${table.repeated === 1 ? "s" : ""} the column names left out.`);
  byId("table-remarks").replaceChildren(...remarks.map((remark) => make("li", "", remark)));
}

function showPreview() {
  const chosen = choices().map((choice) => Number(choice.value));
  const cut = (text) => (text.length > PREVIEW_CHARACTERS ? `${text.slice(0, PREVIEW_CHARACTERS)} …` : text);
  const names = table.names.slice(0, PREVIEW_COLUMNS);
  const mark = (column) => (chosen.includes(column) ? "chosen" : "");
  const heads = names.map((name, column) => head("col", chosen.includes(column) ? `${name} (the texts)` : name, mark(column)));
  const rows = table.rows.slice(0, PREVIEW_ROWS).map((row) =>
    make("tr", "", ...names.map((_, column) => make("td", mark(column), cut(row[column] ?? "")))),
  );
  byId("preview").tHead.replaceChildren(make("tr", "", ...heads));
  byId("preview").tBodies[0].replaceChildren(...rows);
}

async function predict() {
  info = await getInfo();
  if (work) return;
  if (!info) {
    tell(byId("work-failure"), "The model information is not loaded: see the message above.");
    return;
  }
  const columns = choices().map((choice) => Number(choice.value));
  const texts = table.rows.map((row) => {
    const own = columns.map((column) => row[column]?.toWellFormed?.() ?? row[column]);
    return own.includes(undefined) ? undefined : joined(own);
  });
  tell(byId("work-failure"), "");
  work = new AbortController();
  showState();
  byId("cancel").focus();
  const progress = progressOf(texts.length, results.length);
  progress.onProgress(results.length);
  try {
    await predictAll(texts, results, info.limits, { signal: work.signal, keep: keptOf(info), ...progress });
  } catch (error) {
    if (!isCancelled(error)) tell(byId("work-failure"), `${error.message} The finished rows are kept: resume, or download them.`);
  } finally {
    work = null;
    showState();
    if (!byId("panel-table").hidden) byId(results.length === texts.length ? "download" : "predict").focus();
  }
}

/** With many labels, their probabilities of all rows would fill the memory. */
function keptOf({ labels }) {
  return ({ prediction, set, probability, probabilities }) => ({
    prediction, set, probability, ...(labels.length <= MOST_LABELS ? { probabilities } : {}),
  });
}

function progressOf(total, before) {
  const started = performance.now();
  let told = 0;
  const onProgress = (done) => {
    const seconds = (performance.now() - started) / 1000;
    const speed = (done - before) / Math.max(seconds, 0.001);
    const left = done > before ? `, ${whole(Math.round(speed))} rows/s, about ${duration((total - done) / speed)} left` : "";
    byId("progress").max = total;
    byId("progress").value = done;
    byId("progress-told").textContent = `${whole(done)} of ${count(total, "row")}${done < total ? left : ""}`;
    const step = Math.floor((STEPS_TOLD * done) / total);
    if (step > told) byId("progress-live").textContent = `${Math.round((100 * done) / total)}% done`;
    told = Math.max(told, step);
  };
  const onWait = (seconds) => {
    byId("progress-told").textContent = seconds ? `The server is busy: retrying in ${seconds} s` : "Retrying";
  };
  return { onProgress, onWait };
}

function duration(seconds) {
  if (seconds < 90) return `${whole(Math.ceil(seconds))} s`;
  return seconds < 5400 ? `${whole(Math.round(seconds / 60))} min` : `${whole(Math.round(seconds / 3600))} h`;
}

function showState() {
  const total = table.rows.length;
  const isDone = results.length === total;
  for (const control of [...choices(), ...CONTROLS.map(byId)]) control.disabled = work !== null;
  byId("predict").hidden = work !== null || isDone;
  byId("predict").textContent = results.length ? "Resume" : `Predict ${count(total, "row")}`;
  byId("cancel").hidden = work === null;
  byId("work").hidden = work === null && !results.length;
  byId("table-result").hidden = work !== null || !results.length;
  if (byId("table-result").hidden) return;
  byId("progress-told").textContent = `${isDone ? "Done" : "Stopped"}: ${whole(results.length)} of ${count(total, "row")}`;
  showResult(isDone);
}

function showResult(isDone) {
  const counts = new Map();
  for (const result of results) counts.set(nameOf(result), (counts.get(nameOf(result)) ?? 0) + 1);
  const sorted = [...counts].sort((one, other) => other[1] - one[1]);
  const rest = sorted.slice(MOST_COUNTS);
  const shown = sorted.slice(0, MOST_COUNTS);
  if (rest.length) shown.push([`${whole(rest.length)} others`, rest.reduce((sum, [, times]) => sum + times, 0)]);
  const rows = shown.map(([name, times]) => barRow(name, times / results.length, whole(times), [], true));
  byId("counts").tBodies[0].replaceChildren(...rows);
  byId("download").textContent = isDone ? "Download" : `Download the finished ${count(results.length, "row")}`;
  const formulas = table.rows.slice(0, results.length).flat().filter(isFormula).length;
  const field = formulas === 1 ? "1 field of this file begins" : `${whole(formulas)} fields of this file begin`;
  tell(byId("formulas"), formulas ? `${field} like a formula, which a spreadsheet would run. Without this option the fields stay unchanged.` : "");
}

function nameOf(result) {
  if (result.problem) return "not predicted: see the column problem";
  if (Array.isArray(result.prediction)) return result.prediction.join(", ") || "no label";
  return result.prediction ?? "no label: the model abstains";
}

function download() {
  const name = `${file.name.replace(/\.[^.]*$/, "")}-predicted.csv`;
  const content = new Blob([write(outputRows(), byId("spreadsheet").checked)], { type: "text/csv" });
  const link = make("a", "");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** The columns of the file and those of `finetext predict`, and `problem` if a row had one. */
function outputRows() {
  const { labels } = info;
  const shown = labels.length <= MOST_LABELS ? labels : [];
  const hasSets = results.some((result) => result.set);
  const hasProblems = results.some((result) => result.problem);
  const taken = table.names.map((name) => name.toLowerCase());
  const free = (name) => (taken.includes(name) || taken.includes(`finetext:${name}`) ? free(`finetext:${name}`) : name);
  const prefix = (start) => (taken.some((name) => name.startsWith(start) || name.startsWith(`finetext:${start}`)) ? prefix(`finetext:${start}`) : start);
  const start = prefix("probability:");
  const added = [
    free("prediction"), ...(hasSets ? [free("set")] : []), free("probability"),
    ...shown.map((label) => start + label), ...(hasProblems ? [free("problem")] : []),
  ];
  const rows = results.map((result, place) => {
    const own = table.names.map((_, column) => table.rows[place][column] ?? "");
    const joined = (value) => [value ?? []].flat().join(",");
    const numbers = [result.probability, ...shown.map((label) => result.probabilities?.[label])];
    return [
      ...own, joined(result.prediction), ...(hasSets ? [joined(result.set)] : []),
      ...numbers.map((number) => (number === undefined ? "" : String(number))), ...(hasProblems ? [result.problem ?? ""] : []),
    ];
  });
  return [[...table.names, ...added], ...rows];
}
