// The label set, guidelines and settings of a project, and more texts.

import { count, make, whole } from "/page/dom.js";
import { ask, fileContent, of } from "./api.js";
import { labelEditor } from "./label_editor.js";
import { announce, fail } from "./main.js";
import { FileReading, fileChooser } from "./new_project.js";
import { button, checkbox, field, input, select, table } from "./parts.js";

export function showLabels(view, project) {
  view.append(make("h1", "", "Labels"), ...labelPart(project), ...renamePart(project), ...guidePart(project), ...settingsPart(project),
    ...textsPart(project));
}

const saved = (what) => announce(`${what} saved`);

function labelPart(project) {
  const usable = project.labels.filter((label) => !label.retired);
  const retired = project.labels.filter((label) => label.retired);
  const editor = labelEditor(usable);
  const said = make("p", "soft");
  said.setAttribute("role", "status");
  const save = button("Save labels", async () => {
    await ask(of(project.name, "/labels"), editor.labels(), "PUT");
    said.textContent = "Saved. Labels that were removed but are in use are kept as retired.";
  }, "main");
  const rows = project.labels.map((label) => [label.retired ? `${label.name} (retired)` : label.name, whole(label.judged)]);
  const parts = [editor.element, make("div", "row", save), said];
  if (retired.length || usable.length) parts.push(table("Answers with each label", ["label", "answers"], rows));
  return parts;
}

function renamePart(project) {
  if (!project.labels.length) return [];
  const from = select(project.labels.map((label) => [label.name, label.name]), project.labels[0].name);
  const to = input("text", "", { maxLength: 200 });
  const rename = button("Rename", async () => {
    await ask(of(project.name, "/labels/rename"), { from: from.value, to: to.value });
    location.reload();
  });
  const details = make("details", "", make("summary", "", "Rename a label everywhere, also in answers given"));
  details.append(make("div", "fields", field("Label", from), field("New name", to)), make("div", "row", rename));
  return [details];
}

function guidePart(project) {
  const text = make("textarea");
  text.rows = 8;
  text.value = project.guidelines.text;
  text.dir = "auto";
  const said = make("p", "soft", project.guidelines.version ? `Version ${project.guidelines.version}` : "Not written yet");
  said.setAttribute("role", "status");
  const save = button("Save guidelines", async () => {
    const after = await ask(of(project.name, "/guidelines"), { text: text.value }, "PUT");
    said.textContent = `Saved as version ${after.guidelines.version}; each answer keeps the version that was shown`;
  }, "main");
  return [make("h2", "", "Guidelines"), field("Shown beside each text", text), make("div", "row", save, said)];
}

function settingsPart(project) {
  const now = project.settings;
  const suggest = checkbox("Show what the model would answer", now.suggestions !== "none",
    "for texts that the model chose and one person labels; how often it is accepted is recorded");
  const everywhere = checkbox("Also in the random sample and for texts that two people label", now.suggest_everywhere,
    "people follow suggestions, so accuracy and agreement would look better than they are");
  const save = button("Save settings", async () => {
    const settings = { suggestions: suggest.box.checked ? "model" : "none", suggest_everywhere: everywhere.box.checked };
    await ask(of(project.name), { settings }, "PATCH");
    saved("Settings");
  }, "main");
  return [make("h2", "", "Suggestions"), suggest.label, everywhere.label, make("div", "row", save)];
}

function textsPart(project) {
  const said = make("p");
  said.setAttribute("role", "status");
  let file = null;
  const take = checkbox("Take over the labels of the file", false);
  const add = button("Add the texts", async () => {
    const body = { file, settings: reading.settings, take_labels: take.box.checked };
    const { added, skipped, notes } = await ask(of(project.name, "/texts"), body);
    said.textContent = `${count(added, "text")} added, ${whole(skipped)} left out. ${notes.join(". ")}`;
    rest.hidden = true;
  }, "main");
  const rest = make("div", "", take.label, make("div", "row", add));
  rest.hidden = true;
  const reading = new FileReading((found) => {
    rest.hidden = !found;
  });
  const chooser = fileChooser(async (chosen) => {
    try {
      file = await fileContent(chosen);
      await reading.take(file);
    } catch (error) {
      fail(error);
    }
  });
  const shares = `Random sample ${Math.round(100 * project.settings.random_share)}%, labeled by two people ${Math.round(100 * project.settings.double_share)}%.`;
  return [make("h2", "", "More texts"), make("p", "soft", `The project has ${count(project.counts.texts, "text")}. ${shares}`), chooser,
    reading.element, rest, said];
}
