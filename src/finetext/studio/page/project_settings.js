// The settings of a project, and a form that adds texts to it.

import { count, make, whole } from "/page/dom.js";
import { patch, placeOf, post } from "./ask.js";
import { alertLine, attempt, button, check } from "./parts.js";
import { classesOf, dropZone, FileReading } from "./reading.js";

const SUGGEST = "For texts that the model chose and one person labels. How often a suggestion is accepted is shown under Progress.";
const EVERYWHERE = "People follow suggestions, so accuracy and agreement would look better than they are.";

export function settingsForm(project) {
  const { settings } = project;
  const suggest = check("Suggest the label that the model finds most likely", settings.suggestions !== "none", SUGGEST);
  const everywhere = check("Suggest also in the random sample and for texts that two people label", settings.suggest_everywhere, EVERYWHERE);
  const several = check("A text can have several labels", settings.multilabel);
  const failure = alertLine();
  const told = make("span", "soft");
  told.setAttribute("role", "status");
  const save = button("Save settings", () =>
    attempt(failure, save, async () => {
      told.textContent = "";
      const changed = { suggestions: suggest.control.checked ? "model" : "none", suggest_everywhere: everywhere.control.checked };
      if (several.control.checked !== settings.multilabel) changed.multilabel = several.control.checked;
      await patch(placeOf(project.name), { settings: changed });
      told.textContent = "Saved";
    }), "main");
  const shares = make("p", "soft",
    `Random sample: ${whole(Math.round(100 * settings.random_share))}% of the texts. `
    + `Labeled by two people: ${whole(Math.round(100 * settings.double_share))}%.`);
  return make("div", "", suggest.whole, everywhere.whole, several.whole, shares, failure, make("p", "row", save, told));
}

export function moreTexts(project) {
  const failure = alertLine();
  const told = make("p");
  told.setAttribute("role", "status");
  const take = check("Use the labels of the file as answers", false);
  const rest = make("div");
  rest.hidden = true;
  const reading = new FileReading((found) => {
    rest.hidden = !found;
    take.whole.hidden = !found?.classes?.length;
    if (found?.classes) take.whole.title = classesOf(found.classes);
  });
  const add = button("Add the texts", () =>
    attempt(failure, add, async () => {
      const { file, settings } = reading;
      const body = { file, settings, take_labels: !take.whole.hidden && take.control.checked };
      const { added, skipped, notes } = await post(`${placeOf(project.name)}/texts`, body);
      told.textContent = [`${count(added, "text")} added, ${whole(skipped)} left out.`, ...notes].join(" ");
      rest.hidden = true;
      reading.element.hidden = true;
    }), "main");
  rest.append(take.whole, make("p", "row", add));
  const zone = dropZone("Choose a file", (file) => {
    told.textContent = "";
    reading.element.hidden = false;
    return reading.take(file);
  });
  const has = make("p", "soft", `The project has ${count(project.counts.texts, "text")}. Texts that it has already are left out.`);
  return make("div", "", has, zone, reading.element, failure, rest, told);
}
