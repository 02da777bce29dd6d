// The start: projects, a new project, runs compared.

import { count, make } from "/page/dom.js";
import { link, table } from "./parts.js";

export async function showHome(root, { studio }) {
  const rows = studio.projects.map((one) => [
    link(one.name, `#/${encodeURIComponent(one.name)}/annotate`),
    count(one.texts, "text"),
  ]);
  root.replaceChildren(make("h1", "", "Projects"), table("Projects", ["Project", "Texts"], rows));
}
