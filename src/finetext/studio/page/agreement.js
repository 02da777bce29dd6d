// How far annotators agree.

import { head, make, whole } from "/page/dom.js";
import { ask, of } from "./api.js";
import { interval, share, table } from "./parts.js";

export async function showAgreement(view, project) {
  const found = await ask(of(project.name, "/agreement"));
  view.append(make("h1", "", "Agreement"));
  if (found.why_not) {
    const double = Math.round(100 * project.settings.double_share);
    view.append(make("p", "", `There is nothing to compare: ${found.why_not}. ${double}% of the texts are given to two people, who do not see each other's answer.`));
    return;
  }
  view.append(...found.lines.map((line) => make("p", "", line)));
  const classes = found.classes.map((one) => [one.name, share(one.agreed), interval(one.alpha), interval(one.kappa), whole(one.agreed.n)]);
  view.append(table("Each class against all others", ["class", "given again by another", "alpha", "kappa", "texts"], classes));
  if (found.pairs.length) {
    const pairs = found.pairs.map((pair) => [`${pair.a} and ${pair.b}`, interval(pair.kappa), share(pair.agreed), whole(pair.agreed.n)]);
    view.append(table("Pairs of annotators", ["pair", "Cohen's kappa", "agreement", "texts"], pairs));
  }
  if (found.people.length > 2) {
    const people = found.people.map((one) => [one.name, share(one.agreed), whole(one.agreed.n)]);
    view.append(table("Each annotator against the majority of the others", ["annotator", "agreement", "texts"], people));
  }
  view.append(...found.confusion.map(confusion));
}

function confusion({ labels, counts, a, b }) {
  const caption = a === null ? "What pairs of annotators said of the same texts" : `What ${a} said (rows) and ${b} (columns)`;
  const headings = make("tr", "", head("col", ""), ...labels.map((label) => head("col", label)));
  const rows = counts.map((row, at) =>
    make("tr", "", head("row", labels[at]), ...row.map((number, other) => make("td", at === other ? "same" : "", number ? whole(number) : "·"))));
  const made = make("div", "wide", make("table", "matrix", make("caption", "", caption), make("thead", "", headings), make("tbody", "", ...rows)));
  made.tabIndex = 0;
  made.setAttribute("role", "region");
  made.setAttribute("aria-label", caption);
  return made;
}
