// A file that is chosen or dropped: how the studio reads it, its first rows, and fields to change that.

import { count, head, make, whole } from "/page/dom.js";
import { post } from "./ask.js";
import { alertLine, attempt, button, field, input, say, select, showFailure } from "./parts.js";

const FORMS = ".csv,.tsv,.tab,.txt,.xlsx,.xlsm,.json,.jsonl,.ndjson,.parquet,.zip,.gz";
const HEADER = [["", "found automatically"], ["true", "is a header"], ["false", "is data"]];
const DELIMITER = [["", "found automatically"], [",", "comma"], [";", "semicolon"], ["\t", "tab"], ["|", "bar |"]];
const SHOWN = 6;
const READINGS = {
  header: (value) => ({ true: "First row is a header", false: "First row is data" })[value] ?? value,
  delimiter: (value) => DELIMITER.find(([of]) => of === value)?.[1] ?? value,
};

/** A drop zone with a file input; `onFile` gets {name, content} with the content in Base64. */
export function dropZone(title, onFile) {
  const chooser = input("file", "", { accept: FORMS });
  chooser.id = `file-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  const label = make("label", "", title);
  label.htmlFor = chooser.id;
  const failure = alertLine();
  const zone = make("div", "drop", make("p", "", label, make("span", "soft", " or drop it here")), chooser);
  const take = (file) => file && attempt(failure, null, async () => onFile(await contentOf(file)));
  chooser.addEventListener("change", () => take(chooser.files[0]));
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  return make("div", "", zone, failure);
}

async function contentOf(file) {
  const address = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(new Error(`${file.name} cannot be read. Choose it again.`)));
    reader.readAsDataURL(file);
  });
  return { name: file.name, content: address.slice(address.indexOf(",") + 1) };
}

/** How a file is read. */
export class FileReading {
  /** `onRead` gets what was found, and null as long as the file cannot be read. */
  constructor(onRead, { withLabels = true } = {}) {
    Object.assign(this, { onRead, withLabels, file: null, settings: {}, found: null, turn: 0 });
    this.told = make("p", "soft");
    this.told.setAttribute("role", "status");
    this.failure = alertLine();
    this.body = make("div");
    this.element = make("div", "reading-of-file", this.told, this.failure, this.body);
  }

  /** Read another file: {name, content}, or {name, path} on the machine of the studio. */
  take(file) {
    this.file = file;
    this.settings = {};
    return this.#read();
  }

  #set(name, value) {
    if (value === "") delete this.settings[name];
    else this.settings[name] = value;
    return this.#read();
  }

  async #read() {
    const mine = ++this.turn;
    this.told.textContent = `Reading ${this.file.name} …`;
    showFailure(this.failure, null);
    try {
      const found = await post("/api/read", { ...this.file, settings: this.settings });
      if (mine !== this.turn) return;
      this.found = found;
      this.told.textContent = this.found.description;
      this.body.replaceChildren(...this.#foundParts());
    } catch (failure) {
      if (mine !== this.turn) return;
      this.found = null;
      this.told.textContent = "";
      if (failure.choice) this.body.replaceChildren(this.#choice(failure.choice), this.#fields());
      else this.body.replaceChildren(this.#fields());
      if (!failure.choice) showFailure(this.failure, failure);
    }
    this.onRead(this.found);
  }

  /** Buttons that choose one of the readings of a setting that is unclear. */
  #choice({ setting, problem, readings }) {
    const parse = (value) => (setting === "header" ? JSON.parse(value) : setting === "text" ? [value] : value);
    const ways = readings.map(({ value, examples }) => {
      const shown = READINGS[setting]?.(value) ?? value;
      const list = make("ul", "remarks", ...examples.map((one) => make("li", "", make("bdi", "", one))));
      return make("div", "way", button(shown, () => this.#set(setting, parse(value))), list);
    });
    const title = make("p", "", `${problem}. Choose one:`);
    const box = make("section", "choice", title, make("div", "ways", ...ways));
    say(title.textContent);
    return box;
  }

  #foundParts() {
    const { notes, checks, count: rows } = this.found;
    const remarks = make("ul", "remarks", ...notes.map((note) => make("li", "", note)));
    const severe = checks.map(({ severity, message }) =>
      make("li", "", make("span", `tag ${severity}`, severity), ` ${message}`));
    const checked = severe.length
      ? make("details", "checks", make("summary", "", `Data checks: ${count(severe.length, "finding")}`), make("ul", "remarks", ...severe))
      : make("p", "soft", "The data checks found nothing.");
    return [remarks, this.#fields(), this.#preview(rows), checked];
  }

  #preview(number) {
    const { names, rows } = this.found;
    const titles = names.map((name) => head("col", this.#titled(name), this.#rolesOf(name).length ? "chosen" : ""));
    const body = rows.slice(0, SHOWN).map((row) =>
      make("tr", "", ...row.map((cell, place) => make("td", this.#rolesOf(names[place]).length ? "chosen" : "", cell))));
    const caption = `The first of ${count(number, "row")}`;
    const made = make("table", "preview", make("caption", "", caption), make("thead", "", make("tr", "", ...titles)), make("tbody", "", ...body));
    const region = make("div", "wide", made);
    region.tabIndex = 0;
    region.setAttribute("role", "region");
    region.setAttribute("aria-label", caption);
    return region;
  }

  #rolesOf(name) {
    const { text, label, id } = this.found;
    const roles = [];
    if (text.includes(name)) roles.push("text");
    if (this.withLabels && [label].flat().includes(name)) roles.push("label");
    if (id === name) roles.push("id");
    return roles;
  }

  #titled(name) {
    const roles = this.#rolesOf(name);
    return roles.length ? `${name} (${roles.join(", ")})` : name;
  }

  #fields() {
    const chosen = (title, setting, options, value, parse = (of) => of) => {
      const made = select(options, value ?? "");
      made.addEventListener("change", () => this.#set(setting, made.value === "" ? "" : parse(made.value)));
      return field(title, made);
    };
    const fields = make("div", "fields");
    if (this.found) {
      const names = this.found.names.map((name) => [name, name]);
      fields.append(chosen("Text column", "text", names, this.found.text[0], (of) => [of]));
      const none = this.found.label ? "found automatically" : "none";
      if (this.withLabels) fields.append(chosen("Label column", "label", [["", none], ...names], [this.found.label].flat()[0]));
      fields.append(chosen("Column of row names", "id", [["", "numbers of rows"], ...names], this.found.id));
    }
    const isWide = ["header", "delimiter", "sheet"].some((name) => name in this.settings) || !this.found;
    const sheet = input("text", this.settings.sheet ?? "", { placeholder: "found automatically", spellcheck: "false" });
    sheet.addEventListener("change", () => this.#set("sheet", sheet.value.trim()));
    const form = make("div", "fields",
      chosen("First row", "header", HEADER, String(this.settings.header ?? ""), (of) => of === "true"),
      chosen("Delimiter", "delimiter", DELIMITER, this.settings.delimiter), field("Sheet", sheet));
    const more = make("details", "", make("summary", "", "Header, delimiter and sheet"), form);
    more.open = isWide;
    return make("div", "", fields, more);
  }
}

/** "sport 120, money 80, …" */
export const classesOf = (classes, most = 5) =>
  classes.slice(0, most).map((of) => `${of.name} ${whole(of.rows)}`).join(", ") + (classes.length > most ? ", …" : "");
