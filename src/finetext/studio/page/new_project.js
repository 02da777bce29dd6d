// A new project: a file, how it is read, labels, shares.

import { count, head, make, tell, whole } from "/page/dom.js";
import { ask, fileContent } from "./api.js";
import { labelEditor } from "./label_editor.js";
import { fail } from "./main.js";
import { button, checkbox, field, input, select } from "./parts.js";

const FORMS = ".csv,.tsv,.tab,.txt,.xlsx,.xlsm,.json,.jsonl,.ndjson,.parquet,.zip,.gz";
const HEADER = [["", "found automatically"], ["true", "is a header"], ["false", "is data"]];
const DELIMITER = [["", "found automatically"], [",", "comma"], [";", "semicolon"], ["\t", "tab"], ["|", "bar |"]];

export function showNew(view, studio) {
  const form = new NewProject(view);
  if (studio.source) form.take({ path: studio.source, name: studio.source.split(/[\\/]/).pop() });
}

/** A drop zone and a file input; `onFile` gets the file. */
export function fileChooser(onFile, name = "Choose a file") {
  const chooser = input("file", "", { accept: FORMS });
  chooser.id = `file-${Math.random().toString(36).slice(2)}`;
  const label = make("label", "", name);
  label.htmlFor = chooser.id;
  const zone = make("div", "drop", make("p", "", label, make("span", "soft", " or drop it here")), chooser);
  chooser.addEventListener("change", () => chooser.files[0] && onFile(chooser.files[0]));
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files[0]) onFile(event.dataTransfer.files[0]);
  });
  return zone;
}

/** How a file is read: columns, first rows, checks, and fields to change that. */
export class FileReading {
  constructor(onRead) {
    this.onRead = onRead;
    this.settings = {};
    this.element = make("div");
    this.said = make("p");
    this.said.setAttribute("role", "status");
  }

  async take(file) {
    this.file = file;
    this.settings = {};
    await this.read();
  }

  async read() {
    this.said.textContent = `Reading ${this.file.name} …`;
    this.element.replaceChildren(this.said);
    try {
      this.show(await ask("/api/read", { ...this.file, settings: this.settings }));
    } catch (error) {
      this.said.textContent = "";
      this.onRead(null);
      if (error.choice) this.showChoice(error);
      else fail(error);
    }
  }

  set(name, value) {
    if (value === "" || value === null) delete this.settings[name];
    else this.settings[name] = value;
    return this.read();
  }

  showChoice(error) {
    const { setting, problem, readings } = error.choice;
    const value = (of) => (setting === "header" ? JSON.parse(of) : setting === "text" ? [of] : of);
    const ways = readings.map((of) => {
      const use = button(of.value, () => this.set(setting, value(of.value)));
      const examples = make("ul", "remarks", ...of.examples.map((one) => make("li", "", one)));
      return make("div", "", use, examples);
    });
    const box = make("section", "choice", make("p", "", `${problem}.`), ...ways);
    box.setAttribute("role", "alert");
    this.element.append(box, this.fields({ names: [] }));
  }

  show(found) {
    this.found = found;
    this.said.textContent = found.description;
    const notes = [...found.notes, ...found.checks.map((check) => `${check.severity}: ${check.message}`)];
    const columns = make("tr", "", ...found.names.map((name) => head("col", this.roleOf(name, found))));
    const rows = found.rows.slice(0, 6).map((row) => make("tr", "", ...row.map((cell) => make("td", "", cell))));
    const preview = make("div", "wide", make("table", "left-table", make("caption", "", `The first of ${count(found.count, "row")}`),
      make("thead", "", columns), make("tbody", "", ...rows)));
    preview.tabIndex = 0;
    preview.setAttribute("role", "region");
    preview.setAttribute("aria-label", "First rows");
    this.element.append(make("ul", "remarks", ...notes.map((note) => make("li", "", note))), this.fields(found), preview);
    this.onRead(found);
  }

  roleOf(name, found) {
    const roles = [];
    if (found.text.includes(name)) roles.push("text");
    if ([found.label].flat().includes(name)) roles.push("label");
    if (found.id === name) roles.push("id");
    return roles.length ? `${name} (${roles.join(", ")})` : name;
  }

  fields(found) {
    const names = found.names.map((name) => [name, name]);
    const make_ = (title, options, value, name, parse = (of) => of) => {
      const chosen = select(options, value);
      chosen.addEventListener("change", () => this.set(name, chosen.value === "" ? "" : parse(chosen.value)));
      return field(title, chosen);
    };
    const sheet = input("text", this.settings.sheet ?? "", { placeholder: "found automatically" });
    sheet.addEventListener("change", () => this.set("sheet", sheet.value.trim()));
    const every = found.names.length
      ? [make_("Text column", names, found.text?.[0] ?? "", "text", (of) => [of]),
        make_("Label column", [["", found.label ? "none" : "none found"], ...names], [found.label].flat()[0] ?? "", "label"),
        make_("Id column", [["", "row numbers"], ...names], found.id ?? "", "id")]
      : [];
    return make("div", "fields", ...every,
      make_("First row", HEADER, String(this.settings.header ?? ""), "header", (of) => of === "true"),
      make_("Delimiter", DELIMITER, this.settings.delimiter ?? "", "delimiter"), field("Sheet", sheet));
  }
}

class NewProject {
  constructor(view) {
    this.reading = new FileReading((found) => this.onRead(found));
    this.rest = make("div");
    this.rest.hidden = true;
    view.append(make("h1", "", "New project"),
      make("p", "", "Choose a file with one text per row: CSV, Excel, JSON lines and others. Other columns are kept, and shown beside the text."),
      fileChooser((file) => this.choose(file)), this.reading.element, this.rest);
  }

  async choose(file) {
    try {
      await this.take(await fileContent(file));
    } catch (error) {
      fail(error);
    }
  }

  async take(file) {
    this.file = file;
    await this.reading.take(file);
  }

  onRead(found) {
    this.rest.hidden = !found;
    if (!found) return;
    const stem = this.file.name.replace(/\.[^.]+$/, "").replace(/[^\p{L}\p{N} ._-]+/gu, "-").replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, "");
    this.name = input("text", this.name?.value || stem.slice(0, 60), { maxLength: 60, required: true });
    const classes = found.classes ?? [];
    this.editor = labelEditor(classes.map(({ name }) => ({ name })));
    this.several = checkbox("A text can have several labels", false);
    this.takeLabels = checkbox("Take over the labels of the file", classes.length > 0,
      `as answers of an annotator called “file”: ${classes.slice(0, 5).map((of) => `${of.name} ${whole(of.rows)}`).join(", ")}`);
    this.takeLabels.label.hidden = !classes.length;
    this.random = input("number", 20, { min: 0, max: 50, step: 5 });
    this.double = input("number", 10, { min: 0, max: 100, step: 5 });
    const told = make("p", "failure");
    told.setAttribute("role", "alert");
    told.hidden = true;
    this.rest.replaceChildren(
      make("h2", "", "Project"), make("div", "fields", field("Name", this.name)),
      make("h2", "", "Labels"), make("p", "soft", "You can change labels and write guidelines later. Keys 1 to 9 are given in order."),
      this.editor.element, this.several.label, this.takeLabels.label,
      make("h2", "", "Which texts are labeled"),
      make("div", "fields",
        field("Random sample, % of texts", this.random, "They are labeled in random order, test the model and are never learned from."),
        field("Labeled by two people, % of texts", this.double, "Neither sees the other's answer; agreement is computed from them.")),
      told, make("div", "row", button("Create the project", () => this.create(told), "main")));
  }

  async create(told) {
    tell(told, "");
    const labels = this.editor.labels();
    try {
      const project = await ask("/api/projects", {
        name: this.name.value.trim(), file: this.file.content === undefined ? null : this.file, path: this.file.path ?? null,
        settings: this.reading.settings, labels, multilabel: this.several.box.checked,
        random_share: Number(this.random.value) / 100, double_share: Number(this.double.value) / 100,
        take_labels: this.takeLabels.box.checked && !this.takeLabels.label.hidden,
      });
      location.hash = `#/p/${encodeURIComponent(project.name)}/${labels.length || project.labels.length ? "annotate" : "labels"}`;
    } catch (error) {
      tell(told, error.message);
    }
  }
}
