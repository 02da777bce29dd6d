// A new project: a file, its labels, and how many texts are drawn and labeled twice.

import { make } from "/page/dom.js";
import { post } from "./ask.js";
import { labelEditor } from "./label_editor.js";
import { alertLine, attempt, button, check, field, input } from "./parts.js";
import { classesOf, dropZone, FileReading } from "./reading.js";

const RANDOM =
  "Drawn at random, and never chosen by a model. They measure how good a model is, and become the test rows. 20% suits most projects.";
const DOUBLE = "Two people label these without seeing the other's answer. They show how far people agree. Needs a second person.";

/** The form; `source` is the file that the command named, and `go` opens a view of the project. */
export function newProject(source, go) {
  const form = new NewProject(go);
  if (source) form.take({ name: source.split(/[\\/]/).pop(), path: source });
  return form.element;
}

class NewProject {
  constructor(go) {
    this.go = go;
    this.reading = new FileReading((found) => this.#show(found));
    this.rest = make("form", "new-project");
    this.rest.noValidate = true;
    this.rest.hidden = true;
    this.rest.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#create();
    });
    const told = "One text per row: CSV, Excel, JSON lines, Parquet and others. All other columns are kept and shown beside the text. "
      + "The file stays on the machine that runs the studio.";
    this.element = make("div", "", make("p", "soft", told), dropZone("Choose a file", (file) => this.take(file)), this.reading.element, this.rest);
  }

  take(file) {
    return this.reading.take(file);
  }

  #show(found) {
    this.rest.hidden = !found;
    if (!found) return;
    const { file } = this.reading;
    const classes = found.classes ?? [];
    const name = this.name?.value || nameFrom(file.name);
    this.name = input("text", name, { maxlength: "60", autocomplete: "off", spellcheck: "false" });
    this.editor = labelEditor(classes.map((of) => ({ name: of.name })));
    this.several = check("A text can have several labels", hasSeveral(found));
    this.take_labels = check("Use the labels of the file as answers", classes.length > 0,
      `They count as answers of an annotator called “file”: ${classesOf(classes)}.`);
    this.take_labels.whole.hidden = !classes.length;
    this.random = percentInput(20, 50);
    this.double = percentInput(10, 100);
    this.failure = alertLine();
    this.submit = make("button", "main", "Create the project");
    this.submit.type = "submit";
    this.rest.replaceChildren(
      make("h3", "", "Name"), field("Name of the project", this.name),
      make("h3", "", "Labels"), make("p", "soft", labelsTold(classes)), this.editor.element,
      this.several.whole, this.take_labels.whole,
      make("h3", "", "Which texts people get"),
      make("div", "fields", field("Random sample, in % of the texts", this.random, RANDOM),
        field("Labeled by two people, in % of the texts", this.double, DOUBLE)),
      this.failure, make("p", "row", this.submit),
    );
  }

  #create() {
    attempt(this.failure, this.submit, async () => {
      const problem = this.editor.problem();
      if (problem) throw new Error(problem);
      const { file, settings } = this.reading;
      const labels = this.editor.labels();
      const project = await post("/api/projects", {
        name: this.name.value.trim(), settings, labels, multilabel: this.several.control.checked,
        ...(file.path ? { path: file.path } : { file: { name: file.name, content: file.content } }),
        random_share: Number(this.random.value) / 100, double_share: Number(this.double.value) / 100,
        take_labels: !this.take_labels.whole.hidden && this.take_labels.control.checked,
      });
      this.go(project.name, project.labels.length ? "annotate" : "labels");
    });
  }
}

const labelsTold = (classes) =>
  classes.length
    ? "These are in the label column of the file. Add, remove or describe them."
    : "What a text can be. You can change them, and write guidelines, at any time. Keys 1 to 9 are given in this order.";

function percentInput(value, most) {
  return input("number", value, { min: "0", max: String(most), step: "1" });
}

/** A name of a project after a file. */
function nameFrom(file) {
  const stem = file.replace(/\.[^.]+$/, "").replace(/[^\p{L}\p{N} ._-]+/gu, "-");
  return stem.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, "").slice(0, 60);
}

const hasSeveral = (found) => Array.isArray(found.label);
