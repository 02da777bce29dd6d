// Texts that somebody has to decide.

import { count, make, percent } from "/page/dom.js";
import { ask, of, randomId } from "./api.js";
import { announce, fail } from "./main.js";
import { palette } from "./palette.js";
import { button } from "./parts.js";

const REASONS = { differ: "annotators differ", flagged: "flagged", doubtful: "a model doubts the label" };

export async function showReview(view, project) {
  const queue = await ask(of(project.name, "/review"));
  const review = new Review(view, project, queue);
  review.next();
  return () => review.end();
}

class Review {
  constructor(view, project, queue) {
    Object.assign(this, { view, project, queue, isSeveral: project.settings.multilabel });
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
  }

  end() {
    document.removeEventListener("keydown", this.onKey);
  }

  /** Show the first text of the queue. */
  next() {
    const of = this.queue[0];
    const title = make("h1", "", "Review");
    this.chosen = [];
    this.since = performance.now();
    if (!of) {
      this.labels = null;
      this.view.replaceChildren(title, make("p", "", "Nothing waits for a decision. Texts come here when annotators differ, when somebody flags one, or when a trained model doubts labels (under Train)."));
      announce("Nothing waits for a decision");
      return;
    }
    this.labels = palette(this.project.labels, this.isSeveral, (name) => this.choose(name));
    const text = make("p", "reading", of.text.text);
    text.dir = "auto";
    text.tabIndex = 0;
    text.setAttribute("role", "region");
    text.setAttribute("aria-label", "Text to decide");
    const answers = of.answers.map((one) => make("li", "", make("strong", "", one.annotator), `: ${one.labels.join(", ") || "no label"}${one.flagged ? ", flagged" : ""}${one.note ? ` (${one.note})` : ""}`));
    if (of.doubt) answers.push(make("li", "", make("strong", "", `run ${of.doubt.run}`), `: ${of.doubt.suggested} (${percent(of.doubt.probability)})`));
    this.note = make("textarea", "note");
    this.note.rows = 2;
    const save = button("Decide", () => this.decide(this.chosen), "main");
    save.hidden = !this.isSeveral;
    const later = button("Later", () => {
      this.queue.push(this.queue.shift());
      this.next();
    });
    this.view.replaceChildren(title, make("p", "soft", `${count(this.queue.length, "text")} to decide: ${of.reasons.map((one) => REASONS[one]).join(", ")}`),
      text, make("ul", "answers", ...answers), make("div", "dock", this.labels.element, make("div", "acts", save, later)), make("label", "", "Note", this.note));
    announce(of.text.text.slice(0, 400));
  }

  choose(name) {
    if (!this.isSeveral) {
      this.decide([name]);
      return;
    }
    this.chosen = this.chosen.includes(name) ? this.chosen.filter((one) => one !== name) : [...this.chosen, name];
    this.labels.mark(this.chosen);
  }

  async decide(labels) {
    if (this.isBusy) return;
    this.isBusy = true;
    this.labels.press(labels);
    const seconds = Math.round(performance.now() - this.since) / 1000;
    try {
      const text = this.queue[0].text.id;
      await ask(of(this.project.name, "/decisions"), { token: randomId(), text, labels, note: this.note.value.trim(), seconds });
      this.queue.shift();
      this.next();
    } catch (error) {
      this.labels.press([]);
      fail(error);
    } finally {
      this.isBusy = false;
    }
  }

  key(event) {
    if (!this.labels || event.repeat || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.closest("input, textarea, select, dialog, summary")) return;
    const isSearch = event.key === "/" && this.labels.search();
    const isSave = event.key === "Enter" && this.isSeveral && !event.target.closest("button, a");
    if (isSave) this.decide(this.chosen);
    if (isSearch || isSave || this.labels.choose(event.key)) event.preventDefault();
  }
}
