// The label set, the guidelines, the settings and further texts of a project.

import { make, whole } from "/page/dom.js";
import { placeOf, post, put } from "./ask.js";
import { labelEditor } from "./label_editor.js";
import { labelTag } from "./label_colors.js";
import { alertLine, attempt, button, field, input, moment, say, select, table } from "./parts.js";
import { moreTexts, settingsForm } from "./project_settings.js";

export async function showLabels(root, { project, go }) {
  const again = () => go(project.name, "labels");
  root.append(
    make("h1", "", "Labels and guidelines"),
    section("Labels", labelForm(project, again)),
    section("Guidelines", guidelinesForm(project)),
    section("Settings", settingsForm(project)),
    section("More texts", moreTexts(project)),
  );
}

const section = (title, ...parts) => make("section", "", make("h2", "", title), ...parts);

function labelForm(project, again) {
  const editor = labelEditor(project.labels, { isStored: true });
  const failure = alertLine();
  const save = button("Save labels", () =>
    attempt(failure, save, async () => {
      const problem = editor.problem();
      if (problem) throw new Error(problem);
      await put(`${placeOf(project.name)}/labels`, editor.labels());
      say("Labels saved");
      again();
    }), "main");
  const told = "The order is that of the keys 1 to 9, if a label has no key of its own. Labels in use are retired, not removed: "
    + "answers that have them stay, and nobody can give them.";
  const parts = [make("p", "soft", told), editor.element, failure, make("p", "row", save)];
  if (project.labels.length) parts.push(renameForm(project, again), usesOf(project));
  return make("div", "", ...parts);
}

function renameForm(project, again) {
  const names = project.labels.map((label) => [label.name, label.name]);
  const from = select(names, names[0][0]);
  const to = input("text", "", { maxlength: "200" });
  const failure = alertLine();
  const rename = button("Rename", () =>
    attempt(failure, rename, async () => {
      await post(`${placeOf(project.name)}/labels/rename`, { from: from.value, to: to.value.trim() });
      say(`${from.value} is now ${to.value.trim()}`);
      again();
    }));
  const fields = make("div", "fields", field("Label", from), field("New name", to));
  return make("details", "", make("summary", "", "Rename a label, also in the answers given"), fields, failure, make("p", "row", rename));
}

function usesOf({ labels }) {
  const rows = labels.map((label) => {
    const name = labelTag(label.name, labels);
    return [label.retired ? make("span", "", name, make("span", "tag", "retired")) : name, whole(label.judged)];
  });
  return make("details", "", make("summary", "", "Answers with each label"), table("Answers with each label", ["Label", "Answers"], rows));
}

function guidelinesForm(project) {
  const { guidelines } = project;
  const text = make("textarea");
  text.rows = 8;
  text.dir = "auto";
  text.value = guidelines?.text ?? "";
  const told = make("span", "soft", guidelines?.version ? `Version ${guidelines.version}, ${moment(guidelines.time)}` : "Not written yet");
  told.setAttribute("role", "status");
  const failure = alertLine();
  const save = button("Save guidelines", () =>
    attempt(failure, save, async () => {
      const after = await put(`${placeOf(project.name)}/guidelines`, { text: text.value });
      told.textContent = `Saved as version ${after.guidelines.version}`;
    }), "main");
  const hint = "Shown beside each text. Each answer is stored with the version that was shown.";
  return make("div", "", field("How to choose a label", text, hint), failure, make("p", "row", save, told));
}
