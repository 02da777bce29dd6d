// Annotating: one text, one key, the next text.

import { count, make, percent, tell, whole } from "/page/dom.js";
import { ask, of, tabId } from "./api.js";
import { announce, fail } from "./main.js";
import { deliver, keep, left } from "./outbox.js";
import { palette } from "./palette.js";

const WHY_NONE = {
  "no-labels": "Define labels first.",
  "no-texts": "The project has no texts yet.",
  all: "All texts are labeled.",
  "none-left-for-you": "There is no text left for you: the others are labeled, or somebody else looks at them.",
};
const WHY = {
  random: "random sample, for the test set",
  diverse: "unlike those before",
  uncertain: "the model is unsure",
  "in order": "in random order",
};
const KEYS = [
  ["1 … 9", "give a label"], ["Enter", "save (several labels), or accept the suggestion"], ["s", "skip"], ["f", "flag for review"],
  ["n", "write a note; Escape goes back"], ["u", "undo"], ["/", "search labels"], ["?", "show these keys"],
];

/** Show the view; returns what ends it. */
export async function showAnnotate(view, project) {
  const session = new Session(view, project);
  await session.start();
  return () => session.end();
}

class Session {
  constructor(view, project) {
    this.project = project;
    this.isSeveral = project.settings.multilabel;
    this.current = null;
    this.isBusy = false;
    this.labels = palette(project.labels, this.isSeveral, (name) => this.choose(name));
    this.build(view);
    this.onKey = (event) => this.key(event);
    this.onVisible = () => this.clock();
    document.addEventListener("keydown", this.onKey);
    document.addEventListener("visibilitychange", this.onVisible);
  }

  async start() {
    try {
      for (const judgement of left(this.project.name)) await this.deliver(judgement);
      this.show(await ask(of(this.project.name, `/next?tab=${tabId()}`)));
    } catch (error) {
      fail(error);
    }
  }

  end() {
    this.isOver = true;
    document.removeEventListener("keydown", this.onKey);
    document.removeEventListener("visibilitychange", this.onVisible);
  }

  build(view) {
    const button = (name, key, act) => {
      const made = make("button", "", name, " ", make("kbd", "", key));
      made.type = "button";
      made.setAttribute("aria-keyshortcuts", key);
      made.addEventListener("click", act);
      return made;
    };
    this.told = make("span");
    this.why = make("span", "tag");
    this.saving = make("span", "unsaved");
    this.saving.setAttribute("role", "status");
    this.text = make("p", "reading");
    this.text.dir = "auto";
    this.text.tabIndex = 0;
    this.text.setAttribute("aria-label", "Text to label");
    this.text.setAttribute("role", "region");
    this.facts = make("dl", "facts");
    this.suggested = make("p", "suggested");
    this.save = button("Save", "Enter", () => this.submit("label"));
    this.save.className = "main";
    this.save.hidden = !this.isSeveral;
    this.flag = button("Flag", "f", () => this.setFlag(!this.isFlagged));
    this.undo = button("Undo", "u", () => this.takeBack());
    this.note = make("textarea", "note");
    this.note.rows = 2;
    this.note.maxLength = 5000;
    this.noteBox = make("label", "", "Note", this.note);
    this.noteBox.hidden = true;
    this.acts = make("div", "acts", this.save, button("Skip", "s", () => this.submit("skip")), this.flag,
      button("Note", "n", () => this.openNote()), this.undo);
    this.dock = make("div", "dock", this.suggested, this.labels.element, this.acts, this.noteBox);
    this.done = make("div", "done");
    this.done.hidden = true;
    const strip = make("p", "strip soft", this.told, this.why, this.saving);
    const work = make("div", "", this.text, this.facts, this.dock);
    this.work = work;
    view.replaceChildren(make("h1", "unseen", "Annotate"), this.done, make("div", "annotate", strip, work, beside(this.project)));
  }

  /** Show a text, or why there is none. */
  show(next) {
    if (this.isOver) return;
    this.current = next.text ? next : null;
    this.chosen = [];
    this.setFlag(false);
    this.note.value = "";
    this.noteBox.hidden = true;
    this.labels.press([]);
    this.labels.mark([]);
    this.work.hidden = !next.text;
    this.done.hidden = Boolean(next.text);
    if (next.progress) this.told.textContent = said(next.progress);
    if (!next.text) {
      this.why.hidden = true;
      this.showDone(next.why);
      return;
    }
    this.text.textContent = next.text.text;
    this.text.scrollTop = 0;
    const columns = Object.entries(next.text.columns ?? {}).filter(([, value]) => value !== null && value !== "");
    this.facts.replaceChildren(...columns.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", String(value))]));
    tell(this.why, WHY[next.why] ?? "");
    this.showSuggestion(next.suggestion);
    this.seen = 0;
    this.since = document.hidden ? null : performance.now();
    announce(next.text.text.slice(0, 400));
  }

  showSuggestion(suggestion) {
    const names = suggestion ? suggestion.labels : [];
    this.labels.suggest(names);
    this.suggested.replaceChildren();
    if (!suggestion) return;
    this.suggested.append(make("span", "tag", "suggestion"), " ", make("strong", "", names.join(", ") || "no label"),
      make("span", "soft", ` ${percent(suggestion.probability)} by the ${suggestion.source} `), make("kbd", "", "Enter"), " accepts it");
  }

  showDone(why) {
    const link = (name, view) => {
      const made = make("a", "", name);
      made.href = `#/p/${encodeURIComponent(this.project.name)}/${view}`;
      return made;
    };
    const further = why === "no-labels" || why === "no-texts"
      ? [link("Labels and texts", "labels")] : [link("Progress", "progress"), " · ", link("Agreement", "agreement"), " · ", link("Train", "train")];
    this.done.replaceChildren(make("h2", "", WHY_NONE[why] ?? "There is no text now."), make("p", "", ...further));
    announce(WHY_NONE[why] ?? "");
  }

  choose(name) {
    if (!this.current || this.isBusy) return;
    if (!this.isSeveral) {
      this.chosen = [name];
      this.submit("label");
      return;
    }
    this.chosen = this.chosen.includes(name) ? this.chosen.filter((one) => one !== name) : [...this.chosen, name];
    this.labels.mark(this.chosen);
  }

  async submit(kind) {
    if (!this.current || this.isBusy) return;
    const { text, suggestion = null, guideline = null } = this.current;
    const labels = kind === "skip" ? [] : this.chosen;
    this.labels.press(labels);
    const judgement = keep(this.project.name, {
      text: text.id, labels, kind, flagged: this.isFlagged, note: this.note.value.trim(), seconds: this.seconds(), guideline, suggestion,
    });
    this.note.blur();
    await this.busy(async () => this.show((await this.deliver(judgement)).next));
  }

  async takeBack() {
    await this.busy(async () => {
      const { undone, next } = await ask(of(this.project.name, `/undo?tab=${tabId()}`), {});
      this.show(next);
      if (!undone) announce("There is nothing to undo.");
      else if (this.isSeveral) this.labels.mark((this.chosen = undone.labels ?? []));
    });
  }

  /** Do one thing at a time: a key that is pressed before the next text is shown means nothing. */
  async busy(work) {
    if (this.isBusy) return;
    this.isBusy = true;
    try {
      await work();
    } catch (error) {
      this.labels.press([]);
      fail(error);
    } finally {
      this.isBusy = false;
    }
  }

  async deliver(judgement) {
    const waiting = () => {
      this.saving.textContent = "Not saved yet: the studio does not answer. It is kept here and sent again.";
    };
    const answer = await deliver(this.project.name, judgement, tabId(), waiting);
    this.saving.textContent = "";
    return answer;
  }

  setFlag(isFlagged) {
    this.isFlagged = isFlagged;
    this.flag.setAttribute("aria-pressed", String(isFlagged));
  }

  openNote() {
    this.noteBox.hidden = false;
    this.note.focus();
  }

  /** Count the time in which the page is visible. */
  clock() {
    if (!this.current) return;
    if (document.hidden && this.since !== null) {
      this.seen += performance.now() - this.since;
      this.since = null;
    } else if (!document.hidden) {
      this.since = performance.now();
    }
  }

  seconds() {
    const now = this.since === null ? 0 : performance.now() - this.since;
    return Math.min(86_400, Math.round(this.seen + now) / 1000);
  }

  key(event) {
    const inField = event.target.closest("input, textarea, select, dialog, summary");
    if (inField) {
      if (event.key === "Escape" && event.target === this.note) this.note.blur();
      return;
    }
    if (event.repeat || event.altKey || event.isComposing) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") this.takeBack();
    else if (event.ctrlKey || event.metaKey) return;
    else if (!this.act(event.key, event.target)) return;
    event.preventDefault();
  }

  /** Do what a key means; whether it means something. */
  act(key, target) {
    if (this.labels.choose(key)) return true;
    const acts = {
      s: () => this.submit("skip"), f: () => this.setFlag(!this.isFlagged), n: () => this.openNote(), u: () => this.takeBack(),
      "?": () => document.getElementById("keys").toggleAttribute("open"), "/": () => this.labels.search(),
    };
    if (key === "Enter") return !target.closest("button, a") && this.enter();
    if (!(key in acts)) return false;
    acts[key]();
    return true;
  }

  enter() {
    const suggestion = this.current?.suggestion;
    if (suggestion && !this.chosen.length) {
      this.chosen = [...suggestion.labels];
      this.submit("label");
    } else if (this.isSeveral) {
      this.submit("label");
    }
    return true;
  }
}

const said = ({ judged, texts, mine }) => `${whole(judged)} of ${count(texts, "text")} labeled, ${whole(mine)} by you`;

/** Guidelines, what the labels mean, and the keys. */
function beside(project) {
  const described = project.labels.filter((label) => !label.retired && label.description);
  const meanings = make("dl", "", ...described.flatMap((label) => [make("dt", "", label.name), make("dd", "", label.description)]));
  const guide = make("details", "", make("summary", "", "Guidelines"));
  guide.open = window.matchMedia("(min-width: 48rem)").matches;
  guide.append(make("div", "guide", project.guidelines.text || "None yet."), meanings);
  const keys = make("details", "", make("summary", "", "Keys"));
  keys.id = "keys";
  keys.append(make("dl", "", ...KEYS.flatMap(([key, what]) => [make("dt", "", make("kbd", "", key)), make("dd", "", what)])));
  const aside = make("aside", "beside", guide, keys);
  aside.setAttribute("aria-label", "Guidelines and keys");
  return aside;
}
