// How far annotators agree: in sentences, by class, by pair, by person, and what is confused with what.

import { head, make, whole } from "/page/dom.js";
import { get, placeOf } from "./ask.js";
import { interval, share, table } from "./parts.js";

export async function showAgreement(root, { project, signal }) {
  const found = await get(`${placeOf(project.name)}/agreement`, { signal });
  root.append(make("h1", "", "Agreement"));
  if (found.why_not) {
    root.append(...whyNot(found.why_not, project));
    return;
  }
  const [first, ...others] = found.lines;
  root.append(make("p", "verdict", first ?? ""), ...others.map((line) => make("p", "", line)));
  root.append(...classes(found), ...pairs(found), ...people(found), ...(found.confusion ?? []).map(confusion));
}

function whyNot(why, project) {
  const double = Math.round(100 * project.settings.double_share);
  const told = `${double}% of the texts go to two people, who do not see each other's answer. When both have answered, this page says how far they agree.`;
  return [make("p", "verdict", "Nothing to compare yet"), make("p", "", `${why[0].toUpperCase()}${why.slice(1)}.`), make("p", "soft", told)];
}

function classes(found) {
  const rows = found.classes.map((of) => [of.name, share(of.agreed), interval(of.alpha), interval(of.kappa), whole(of.agreed?.n ?? 0)]);
  const columns = ["Label", "Given again by another", "Alpha", "Kappa", "Answers"];
  return rows.length ? [make("h2", "", "By label"), table("Each label against all others, with 95% intervals", columns, rows)] : [];
}

function pairs(found) {
  const rows = found.pairs.map((of) => [`${of.a} and ${of.b}`, share(of.agreed), interval(of.kappa), whole(of.agreed?.n ?? 0)]);
  const columns = ["Pair", "Same label", "Cohen's kappa", "Texts"];
  return rows.length ? [make("h2", "", "By pair"), table("Pairs of annotators, with 95% intervals", columns, rows)] : [];
}

function people(found) {
  if (found.people.length < 3) return [];
  const rows = found.people.map((of) => [of.name, share(of.agreed), whole(of.agreed?.n ?? 0)]);
  return [make("h2", "", "By person"), table("Each annotator against the majority of the others", ["Annotator", "Same label", "Texts"], rows)];
}

function confusion({ labels, counts, a, b }, place) {
  const caption = a ? `Rows: label by ${a}. Columns: label by ${b}.` : "What pairs of annotators said of the same texts.";
  const most = Math.max(1, ...counts.flatMap((row, at) => row.filter((_, other) => other !== at)));
  const corner = head("col", "Label", "left");
  const titles = make("tr", "", corner, ...labels.map((label) => head("col", label)));
  const rows = counts.map((row, at) =>
    make("tr", "", head("row", labels[at]), ...row.map((number, other) => cell(number, at === other, most))));
  const made = make("table", "matrix", make("caption", "", caption), make("thead", "", titles), make("tbody", "", ...rows));
  const region = make("div", "wide", made);
  region.tabIndex = 0;
  region.setAttribute("role", "region");
  region.setAttribute("aria-label", caption);
  return make("section", "", make("h2", "", place ? "All pairs" : "What is confused with what"), region);
}

function cell(number, isSame, most) {
  const made = make("td", isSame ? "same" : "", number ? whole(number) : "·");
  if (!isSame && number) made.style.setProperty("--depth", `${Math.round(10 + (50 * number) / most)}%`);
  return made;
}
