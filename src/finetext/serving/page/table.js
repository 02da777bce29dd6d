// A file of texts: read by the server, predicted, and offered with all its columns.

import { predictAll } from "./batches.js";
import { hideChoice, showChoice } from "./choice.js";
import { choices } from "./columns.js";
import { cellOf, isFormula, write } from "./csv.js";
import { barRow, byId, count, head, make, tell, whole } from "./dom.js";
import { ask, isCancelled } from "./talk.js";

const SPARE_BYTES = 16 * 1024;
const PREVIEW_ROWS = 5;
const PREVIEW_COLUMNS = 30;
const PREVIEW_CHARACTERS = 120;
const MOST_COUNTS = 20;
const STEPS_TOLD = 4;
const STATED = ["header", "delimiter", "sheet"];

let getInfo = async () => null;
let info = null;
let file = null;
let given = {};
let table = null;
let results = [];
let work = null;
let reading = null;

/** `howToGet` resolves to the answer of /info, or to null if it failed. */
export function setUpTable(howToGet) {
  getInfo = howToGet;
  byId("file").addEventListener("change", (event) => load(event.target.files[0]));
  for (const id of STATED) {
    byId(id).addEventListener("change", () => {
      const { value } = byId(id);
      const { text, ...others } = given;
      given = { ...others, [id]: id === "header" && value ? JSON.parse(value) : value || null };
      read();
    });
  }
  byId("columns").addEventListener("change", () => {
    given = { ...given, text: choices().map((choice) => choice.value) };
    read();
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
  reading?.abort();
  tell(byId("table-failure"), "");
  tell(byId("work-failure"), "");
  byId("table-told").textContent = "";
  for (const id of ["table-read", "settings", "choice"]) byId(id).hidden = true;
  results = [];
  given = {};
  info = await getInfo();
  try {
    const most = info ? Math.floor((3 * info.limits.table_bytes) / 4) - SPARE_BYTES : Infinity;
    if (chosen.size > most) {
      throw new Error(`This file has ${whole(chosen.size)} bytes, and this server reads ${whole(most)}. The command “finetext predict” takes files of any size.`);
    }
    file = { name: chosen.name, content: await base64(chosen) };
    showSettings(chosen.name);
    await read();
  } catch (error) {
    const reason = error instanceof DOMException ? "It cannot be read. If it was moved or changed, choose it again." : error.message;
    tell(byId("table-failure"), `${chosen.name}: ${reason}`);
  }
}

function base64(chosen) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(",", 2)[1] ?? "");
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(chosen);
  });
}

/** Show the settings that a file of this kind has. */
function showSettings(name) {
  const isSheet = /\.xls[xm]$/i.test(name);
  const isJson = /\.(json|jsonl|ndjson)$/i.test(name);
  for (const id of STATED) byId(id).value = "";
  byId("sheet").parentElement.hidden = !isSheet;
  byId("delimiter").parentElement.hidden = isSheet;
  byId("settings").hidden = isJson;
}

/** Have the file read as `given` says; what that leaves open the server finds, or asks for. */
async function read() {
  reading?.abort();
  const own = new AbortController();
  reading = own;
  hideChoice();
  tell(byId("table-failure"), "");
  byId("table-read").hidden = true;
  byId("table-told").textContent = `Reading ${file.name} …`;
  results = [];
  try {
    const found = await ask("table", { name: file.name, file: file.content, ...given }, { signal: own.signal });
    if (own.signal.aborted) return;
    show(found);
  } catch (error) {
    if (own.signal.aborted) return;
    byId("table-told").textContent = "";
    if (error.choice?.readings.length) showChoice(error.choice, (value) => choose(error.choice.setting, value));
    else tell(byId("table-failure"), error.status === 422 ? `${error.said}.` : error.message);
  }
}

function choose(setting, value) {
  given = { ...given, [setting]: value };
  if (STATED.includes(setting)) {
    const control = byId(setting);
    const isKnown = !control.options || [...control.options].some((option) => option.value === String(value));
    if (!isKnown) control.add(new Option("alone is a header", value));
    control.value = value;
  }
  read();
}

function show(found) {
  table = found;
  choices().forEach((choice, place) => {
    choice.replaceChildren(...table.names.map((name) => new Option(name)));
    choice.value = table.text[place];
  });
  byId("table-told").textContent = `${table.description}.`;
  byId("table-remarks").replaceChildren(...table.notes.map((note) => make("li", "", note)));
  showPreview();
  showState();
  byId("table-read").hidden = false;
}

function showPreview() {
  const chosen = table.text.map((name) => table.names.indexOf(name));
  const cut = (text) => (text.length > PREVIEW_CHARACTERS ? `${text.slice(0, PREVIEW_CHARACTERS)} …` : text);
  const names = table.names.slice(0, PREVIEW_COLUMNS);
  const mark = (column) => (chosen.includes(column) ? "chosen" : "");
  const heads = names.map((name, column) => head("col", chosen.includes(column) ? `${name} (the texts)` : name, mark(column)));
  const rows = table.rows.slice(0, PREVIEW_ROWS).map((row) =>
    make("tr", "", ...names.map((_, column) => make("td", mark(column), cut(row[column])))),
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
  const { texts } = table;
  tell(byId("work-failure"), "");
  work = new AbortController();
  showState();
  byId("cancel").focus();
  const progress = progressOf(texts.length, results.length);
  progress.onProgress(results.length);
  try {
    await predictAll(texts, results, info.limits, { signal: work.signal, keep: keptOf(table.added.every), ...progress });
  } catch (error) {
    if (!isCancelled(error)) tell(byId("work-failure"), `${error.message} The finished rows are kept: resume, or download them.`);
  } finally {
    work = null;
    showState();
    if (!byId("panel-table").hidden) byId(results.length === texts.length ? "download" : "predict").focus();
  }
}

/** With many labels, their probabilities of all rows would fill the memory. */
function keptOf(every) {
  return ({ prediction, out_of_scope, set, probability, probabilities }) => ({
    prediction, out_of_scope, set, probability, ...(every ? { probabilities } : {}),
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
  for (const control of [...choices(), ...["file", ...STATED].map(byId)]) control.disabled = work !== null;
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
  if (result.out_of_scope) return "no label: out of scope";
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

/** The columns of `finetext predict`, and `problem` if a row had one. */
function outputRows() {
  const { added, names } = table;
  const shown = added.every ? info.labels : [];
  const hasScope = results.some((result) => typeof result.out_of_scope === "boolean");
  const hasSets = results.some((result) => result.set);
  const hasProblems = results.some((result) => result.problem);
  const free = (name) => (names.includes(name) ? free(`finetext:${name}`) : name);
  const heads = [
    ...(added.id ? [added.id] : []), ...names, added.prediction, ...(hasScope ? [added.out_of_scope] : []),
    ...(hasSets ? [added.set] : []), added.probability,
    ...shown.map((label) => `${added.prefix}${label}`), ...(hasProblems ? [free("problem")] : []),
  ];
  const rows = results.map((result, place) => {
    const numbers = [result.probability, ...shown.map((label) => result.probabilities?.[label])];
    return [
      ...(added.id ? [table.ids[place]] : []), ...table.rows[place],
      cellOf(result.prediction), ...(hasScope ? [String(result.out_of_scope ?? "")] : []), ...(hasSets ? [cellOf(result.set)] : []),
      ...numbers.map((number) => (number === undefined ? "" : String(number))), ...(hasProblems ? [result.problem ?? ""] : []),
    ];
  });
  return [heads, ...rows];
}
