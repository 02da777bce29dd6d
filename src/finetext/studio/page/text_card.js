// The text to judge with its further columns, and why it is shown.

import { count, make, whole } from "/page/dom.js";

const WHY = {
  random: "random sample",
  diverse: "unlike the labeled texts",
  uncertain: "the model is uncertain",
  "in order": "in order",
  again: "shown again",
};

export class TextCard {
  constructor() {
    this.why = make("span", "tag");
    this.told = make("span", "soft");
    this.share = make("progress", "slim");
    this.share.setAttribute("aria-label", "Labeled texts");
    this.text = make("p", "reader");
    this.text.dir = "auto";
    this.columns = make("dl", "columns");
    this.region = make("div", "reading", this.text, this.columns);
    this.region.tabIndex = 0;
    this.region.setAttribute("role", "region");
    this.region.setAttribute("aria-label", "Text to label");
    this.line = make("p", "row where", this.told, this.why);
    this.element = make("div", "card-of-text", this.share, this.line, this.region);
  }

  show({ text, why, progress }) {
    this.text.textContent = text.text;
    const cells = Object.entries(text.columns ?? {}).filter(([, value]) => value !== null && value !== "");
    this.columns.replaceChildren(...cells.flatMap(([name, value]) => [make("dt", "", name), cellOf(value)]));
    this.columns.hidden = !cells.length;
    this.why.textContent = WHY[why] ?? why ?? "";
    this.why.hidden = !this.why.textContent;
    this.region.scrollTop = 0;
    this.#progress(progress);
  }

  #progress(progress) {
    if (!progress) return;
    this.share.max = Math.max(1, progress.texts);
    this.share.value = progress.judged;
    this.told.textContent =
      `${whole(progress.judged)} of ${count(progress.texts, "text")} labeled, ${whole(progress.mine)} by you`;
  }
}

function cellOf(value) {
  const cell = make("dd", "", make("bdi", "", typeof value === "string" ? value : JSON.stringify(value)));
  return cell;
}
