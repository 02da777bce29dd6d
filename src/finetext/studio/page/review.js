// Texts that somebody has to decide: what annotators and a model said, and the same keys as in annotate.

import { count, make, percent } from "/page/dom.js";
import { get, isLeft, placeOf } from "./ask.js";
import { listen, openKeys } from "./keys.js";
import { LabelButtons } from "./label_buttons.js";
import { labelTags } from "./label_colors.js";
import { deliver, keep, randomId, retryNow, unsent } from "./outbox.js";
import { alertLine, button, input, say, showFailure } from "./parts.js";
import { Stopwatch } from "./stopwatch.js";

const REASONS = { differ: "annotators differ", flagged: "flagged", doubtful: "a model doubts the label" };
const EMPTY = "Texts come here when annotators differ, when somebody flags one, or when a trained model doubts labels (under Train).";
const REACTION = 150;

export async function showReview(root, context) {
  await new Review(root, context).start();
}

class Review {
  #isBusy = true;
  #readyAt = 0;
  #queue = [];
  #chosen = new Set();

  constructor(root, { project, who, signal }) {
    Object.assign(this, { root, project, who, signal, isMultilabel: project.settings.multilabel });
    this.watch = new Stopwatch(signal);
    this.buttons = new LabelButtons(project.labels, this.isMultilabel, (name) => this.#pick(name));
    this.alert = alertLine();
    this.waiting = make("div", "failure waiting");
    this.waiting.hidden = true;
    this.told = make("p", "row where");
    this.text = make("p", "reader");
    this.text.dir = "auto";
    this.reading = make("div", "reading", this.text);
    this.reading.tabIndex = 0;
    this.reading.setAttribute("role", "region");
    this.reading.setAttribute("aria-label", "Text to decide");
    this.said = make("ul", "said");
    this.note = input("text", "", { "aria-label": "Note on this decision", placeholder: "Note on this decision", maxlength: "2000" });
  }

  async start() {
    document.body.classList.add("annotating");
    this.signal.addEventListener("abort", () => document.body.classList.remove("annotating"));
    const save = button("Save", () => this.#decide([...this.#chosen]), "main small");
    save.hidden = !this.isMultilabel;
    const later = button("Later", () => this.#later(), "small");
    const tools = make("div", "tools", save, later, button("Keys", () => openKeys(this.#keys()), "small"));
    const answers = make("div", "answers", this.buttons.element, make("div", "answer-bar", this.note, tools));
    this.work = make("section", "work review", this.told, this.reading, this.said, answers);
    this.work.setAttribute("aria-label", "Review");
    this.work.hidden = true;
    this.empty = make("section", "end", make("h2", "", "Nothing waits for a decision."), make("p", "", EMPTY));
    this.empty.hidden = true;
    this.root.append(make("h1", "", "Review"), this.waiting, this.alert, this.empty, this.work);
    this.note.addEventListener("keydown", (event) => {
      if (event.key === "Escape" || event.key === "Enter") this.reading.focus();
    });
    this.root.addEventListener("leave", () => this.reading.focus(), { signal: this.signal });
    listen((key) => this.#onKey(key), this.signal);
    await this.#busy(async () => {
      for (const entry of unsent(this.project.name).filter((one) => one.path === "decisions")) await this.#deliver(entry);
      this.#queue = await get(`${placeOf(this.project.name)}/review`, { signal: this.signal });
      this.#show();
    });
  }

  #show() {
    const [first] = this.#queue;
    this.work.hidden = !first;
    this.empty.hidden = Boolean(first);
    if (!first) {
      say("Nothing waits for a decision");
      return;
    }
    this.#chosen = new Set();
    this.text.textContent = first.text.text;
    this.reading.scrollTop = 0;
    this.note.value = "";
    const why = first.reasons.map((reason) => make("span", "tag", REASONS[reason] ?? reason));
    this.told.replaceChildren(make("span", "soft", `${count(this.#queue.length, "text")} to decide`), make("span", "tags", ...why));
    this.said.replaceChildren(...first.answers.map((answer) => this.#answer(answer)), ...this.#doubt(first.doubt));
    this.buttons.mark(this.#chosen, new Set());
    this.watch.start();
    this.#readyAt = performance.now() + REACTION;
    this.reading.focus({ preventScroll: true });
    say(`${count(this.#queue.length, "text")} to decide. ${first.text.text.slice(0, 300)}`);
  }

  #answer({ annotator, labels, note, flagged }) {
    const item = make("li", "", make("b", "", make("bdi", "", annotator)), labelTags(labels, this.project.labels));
    if (flagged) item.append(make("span", "tag", "flagged"));
    if (note) item.append(make("bdi", "soft note", `“${note}”`));
    return item;
  }

  #doubt(doubt) {
    if (!doubt) return [];
    const said = make("span", "soft", `, ${percent(doubt.probability)}, instead of ${doubt.label}`);
    return [make("li", "", make("b", "", `Model of ${doubt.run}`), labelTags([doubt.suggested].flat(), this.project.labels), said)];
  }

  #pick(name) {
    if (!this.isMultilabel) {
      this.#decide([name]);
      return;
    }
    if (!this.#chosen.delete(name)) this.#chosen.add(name);
    this.buttons.mark(this.#chosen, new Set());
  }

  #later() {
    if (this.#isBusy || !this.#queue.length) return;
    this.#queue.push(this.#queue.shift());
    this.#show();
  }

  async #decide(labels) {
    if (this.#isBusy || !this.#queue.length || performance.now() < this.#readyAt) return;
    const entry = keep(this.project.name, "decisions", this.who, {
      token: randomId(), text: this.#queue[0].text.id, labels, note: this.note.value.trim(), seconds: this.watch.seconds,
    });
    await this.#busy(async () => {
      await this.#deliver(entry);
      this.#queue.shift();
      this.#show();
    });
  }

  #deliver(entry) {
    const onWait = (failure, seconds) => {
      this.waiting.hidden = !failure;
      if (!failure) return;
      const told = make("p", "", `${failure.message} The decision is kept in this browser. Next try in ${seconds} s.`);
      told.setAttribute("role", "alert");
      this.waiting.replaceChildren(told, button("Try now", retryNow, "small"));
    };
    return deliver(entry, { signal: this.signal, onWait });
  }

  async #busy(work) {
    this.#isBusy = true;
    this.work.setAttribute("aria-busy", "true");
    showFailure(this.alert, null);
    try {
      await work();
    } catch (failure) {
      if (!isLeft(failure)) showFailure(this.alert, failure);
    } finally {
      this.#isBusy = false;
      setTimeout(() => this.work.setAttribute("aria-busy", String(this.#isBusy)), Math.max(0, this.#readyAt - performance.now()));
    }
  }

  #onKey(key) {
    const label = this.buttons.named(key);
    if (!this.#queue.length) return false;
    if (label !== undefined) this.#pick(label);
    else if (key === "Enter" && this.isMultilabel) this.#decide([...this.#chosen]);
    else if (key === "s") this.#later();
    else if (key === "n") this.note.focus();
    else if (key === "/") this.buttons.openSearch();
    else if (key === "?") openKeys(this.#keys());
    else return false;
    return true;
  }

  #keys() {
    const labels = this.buttons.labels.filter((label) => label.key).map((label) => [label.key, label.name]);
    const save = this.isMultilabel ? [["Enter", "save the chosen labels"]] : [];
    return [...labels, ...save, ["/", "search a label; Enter takes the first"], ["s", "decide this text later"],
      ["n", "write a note; Escape goes back"], ["?", "show the keys"]];
  }
}
