// The view in which people label: one text, the labels, one key for both, and the next text at once.

import { make } from "/page/dom.js";
import { get, isLeft, placeOf, post } from "./ask.js";
import { AnswerBar } from "./answer_bar.js";
import { sidePanels } from "./beside.js";
import { listen, openKeys } from "./keys.js";
import { LabelButtons } from "./label_buttons.js";
import { deliver, keep, randomId, retryNow, tab, unsent } from "./outbox.js";
import { alertLine, button, link, say, showFailure } from "./parts.js";
import { Stopwatch } from "./stopwatch.js";
import { TextCard } from "./text_card.js";

// Nobody reads a text in this time: a key that comes earlier was meant for the text before.
const REACTION = 150;
const READ_OUT = 300;

const ENDS = {
  all: ["All texts are labeled.", "Add more texts under “Labels”, or see under “Progress” how good a model can get."],
  "none-left-for-you": [
    "Nothing is left for you.",
    "The other texts are labeled, or somebody else has them open. Look again later.",
  ],
  "no-labels": ["This project has no labels yet.", "Add at least two labels under “Labels”."],
};

export async function showAnnotate(root, context) {
  const view = new Annotating(root, context);
  await view.start();
}

class Annotating {
  #isBusy = true;
  #readyAt = 0;
  #current = null;
  #chosen = new Set();
  #isFlagged = false;

  constructor(root, { project, who, signal }) {
    Object.assign(this, { root, project, who, signal });
    this.place = placeOf(project.name);
    this.isMultilabel = project.settings.multilabel;
    this.watch = new Stopwatch(signal);
    this.card = new TextCard();
    this.buttons = new LabelButtons(project.labels, this.isMultilabel, (name) => this.#pick(name));
    this.bar = new AnswerBar(project.labels, this.isMultilabel, {
      accept: () => this.#accept(), save: () => this.#save(), none: () => this.#give([]),
      skip: () => this.#give([], "skip"), flag: () => this.#flag(), undo: () => this.#undo(),
      keys: () => openKeys(this.#keys()),
    });
    this.alert = alertLine();
    this.waiting = make("div", "failure waiting");
    this.waiting.hidden = true;
    this.end = make("section", "end");
    this.end.hidden = true;
  }

  async start() {
    document.body.classList.add("annotating");
    this.signal.addEventListener("abort", () => document.body.classList.remove("annotating"));
    const answers = make("div", "answers", this.bar.suggestion, this.buttons.element, this.bar.element);
    this.work = make("section", "work", this.card.element, answers);
    this.work.setAttribute("aria-label", "Annotate");
    this.work.hidden = true;
    const main = make("div", "main-column", this.waiting, this.alert, this.end, this.work);
    const beside = sidePanels(this.project, this.signal, (id) => this.#showAgain(id));
    this.root.replaceChildren(make("h1", "unseen", "Annotate"), make("div", "annotate", main, beside));
    this.root.addEventListener("leave", () => this.card.region.focus(), { signal: this.signal });
    // After a click, keys go to the page again; those who use the Tab key keep their place.
    answers.addEventListener("click", (event) => {
      if (event.detail > 0 && event.target.closest("button") && document.activeElement !== this.bar.note) {
        this.card.region.focus({ preventScroll: true });
      }
    }, { signal: this.signal });
    listen((key) => this.#onKey(key), this.signal);
    await this.#begin();
    if (!this.work.hidden) this.card.region.focus({ preventScroll: true });
  }

  /** Send what an earlier page could not, then show the next text. */
  async #begin() {
    await this.#busy(async () => {
      let next = null;
      for (const entry of unsent(this.project.name).filter((one) => one.path === "judgements")) {
        next = (await this.#deliver(entry)).next;
      }
      this.#show(next ?? (await get(`${this.place}/next?tab=${tab}`, { signal: this.signal })));
    });
  }

  #show(next) {
    this.#current = next.text ? next : null;
    this.work.hidden = !next.text;
    this.end.hidden = Boolean(next.text);
    if (!next.text) {
      this.#showEnd(next.why);
      return;
    }
    const last = next.answer ?? null;
    this.#chosen = new Set(this.isMultilabel ? (last?.labels ?? []) : []);
    this.#isFlagged = Boolean(last?.flagged);
    this.bar.fillNote(last?.note ?? "");
    this.card.show(next);
    this.bar.showSuggestion(next.suggestion);
    this.#mark();
    this.watch.start();
    this.#readyAt = performance.now() + REACTION;
  }

  #showEnd(why) {
    const [title, told] = ENDS[why] ?? ["There is no text to label.", ""];
    const home = `#/${encodeURIComponent(this.project.name)}`;
    const ways = make("p", "row", link("Progress", `${home}/progress`), link("Labels", `${home}/labels`),
      button("Look again", () => this.#begin()), button("Undo my last answer", () => this.#undo()));
    this.end.replaceChildren(make("h2", "", title), make("p", "", told), ways);
    say(`${title} ${told}`);
  }

  #mark() {
    const suggested = new Set(this.#current.suggestion?.labels ?? []);
    this.buttons.mark(this.#chosen, suggested);
    this.bar.mark(this.#chosen, this.#isFlagged);
  }

  get #isReady() {
    return !this.#isBusy && this.#current !== null && performance.now() >= this.#readyAt;
  }

  #pick(name) {
    if (!this.isMultilabel) {
      this.#give([name]);
    } else if (this.#isReady) {
      if (!this.#chosen.delete(name)) this.#chosen.add(name);
      this.#mark();
    }
  }

  #flag() {
    if (!this.#isReady) return;
    this.#isFlagged = !this.#isFlagged;
    this.#mark();
    say(this.#isFlagged ? "Flagged for review" : "Not flagged");
  }

  #accept() {
    if (this.#current?.suggestion) this.#give(this.#current.suggestion.labels);
  }

  #save() {
    if (this.#chosen.size) this.#give(this.project.labels.map(({ name }) => name).filter((name) => this.#chosen.has(name)));
  }

  /** Store an answer to the text in view; as long as that takes, no other key answers anything. */
  async #give(labels, kind = "label") {
    if (!this.#isReady) return;
    const { text, guideline, suggestion } = this.#current;
    const entry = keep(this.project.name, "judgements", this.who, {
      token: randomId(), text: text.id, labels, kind, flagged: this.#isFlagged,
      note: this.bar.note.value.trim(), seconds: this.watch.seconds, guideline, suggestion: suggestion ?? null,
    });
    await this.#busy(async () => {
      const { next } = await this.#deliver(entry);
      this.#show(next);
      const said = kind === "skip" ? "Skipped." : `Saved: ${labels.join(", ") || "no label"}.`;
      if (next.text) say(`${said} Next text: ${beginningOf(next.text.text)}`);
    });
  }

  async #undo() {
    if (this.#isBusy) return;
    await this.#busy(async () => {
      const { undone, next } = await post(`${this.place}/undo?tab=${tab}`, {}, { signal: this.signal });
      if (!undone) {
        say("There is nothing to undo");
        return;
      }
      this.#show({ ...next, answer: undone, why: "again" });
      say(`Undone. Text: ${beginningOf(next.text?.text ?? "")}`);
    });
  }

  /** Show a text that this person judged before, to judge it again. */
  async #showAgain(id) {
    if (this.#isBusy) return;
    await this.#busy(async () => {
      const text = await get(`${this.place}/texts/${id}`, { signal: this.signal });
      const own = (text.judgements ?? []).filter((one) => !one.replaced && !one.undone && one.kind !== "decision");
      const answer = own.findLast((one) => one.annotator === this.who) ?? null;
      const { guidelines } = this.project;
      this.#show({ text, answer, why: "again", suggestion: null, guideline: guidelines?.version ?? null });
      this.card.region.focus();
    });
  }

  async #busy(work) {
    this.#isBusy = true;
    this.work.setAttribute("aria-busy", "true");
    showFailure(this.alert, null);
    try {
      await work();
    } catch (failure) {
      if (!isLeft(failure)) this.#fail(failure);
    } finally {
      this.#isBusy = false;
      const wait = Math.max(0, this.#readyAt - performance.now());
      setTimeout(() => this.work.setAttribute("aria-busy", String(this.#isBusy)), wait);
    }
  }

  #fail(failure) {
    showFailure(this.alert, failure);
    if (!this.#current && this.end.hidden) this.alert.append(" ", button("Try again", () => this.#begin(), "small"));
  }

  #deliver(entry) {
    return deliver(entry, { signal: this.signal, onWait: (failure, seconds) => this.#tellWaiting(failure, seconds) });
  }

  #tellWaiting(failure, seconds) {
    this.waiting.hidden = !failure;
    if (!failure) return;
    const number = unsent(this.project.name).length;
    const kept = number === 1 ? "1 answer is kept in this browser and sent" : `${number} answers are kept in this browser and sent`;
    const told = make("p", "", `${failure.message} ${kept} as soon as the studio answers. Next try in ${seconds} s.`);
    told.setAttribute("role", "alert");
    this.waiting.replaceChildren(told, button("Try now", retryNow, "small"));
  }

  #onKey(key) {
    const label = this.buttons.named(key);
    if (label !== undefined) this.#pick(label);
    else if (key === "Enter") this.#enter();
    else if (key === "s") this.#give([], "skip");
    else if (key === "f") this.#flag();
    else if (key === "n" && this.#current) this.bar.openNote();
    else if (key === "u") this.#undo();
    else if (key === "0" && this.isMultilabel) this.#give([]);
    else if (key === "/") this.buttons.openSearch();
    else if (key === "?") openKeys(this.#keys());
    else return false;
    return true;
  }

  #enter() {
    if (this.isMultilabel && this.#chosen.size) this.#save();
    else this.#accept();
  }

  #keys() {
    const labels = this.buttons.labels.filter((label) => label.key).map((label) => [label.key, label.name]);
    const several = this.isMultilabel
      ? [["Enter", "save the chosen labels, or accept the suggestion"], ["0", "none of the labels"]]
      : [["Enter", "accept the suggestion"]];
    return [
      ...labels, ["/", "search a label; Enter takes the first"], ...several, ["s", "skip this text"],
      ["f", "flag this text for review, or not"], ["n", "write a note; Escape goes back"],
      ["u", "undo the last answer, as Ctrl+Z does"], ["?", "show the keys"],
    ];
  }
}

const beginningOf = (text) => (text.length > READ_OUT ? `${text.slice(0, READ_OUT)} …` : text);
