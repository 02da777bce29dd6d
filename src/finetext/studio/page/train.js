// Training runs of a project: what a run would take, start, watch, cancel, resume.

import { count, make } from "/page/dom.js";
import { get, isLeft, placeOf, post, runPlace } from "./ask.js";
import { runDetails } from "./run.js";
import { alertLine, attempt, button, copyable, duration, field, input, interval, say, showFailure } from "./parts.js";

const AGAIN = 1000;
const BUSY = ["running", "waiting"];
const STATES = {
  running: "running", waiting: "waits for another run", done: "done", failed: "failed", cancelled: "cancelled",
  interrupted: "interrupted",
};

export async function showTrain(root, context) {
  await new Train(root, context).start();
}

class Train {
  #known = [];
  #open = null;
  #timer = null;

  constructor(root, { project, signal, rest }) {
    Object.assign(this, { root, project, signal, wanted: rest[0] ?? null });
    this.list = make("ul", "runs");
    this.failure = alertLine();
    this.details = make("section", "run");
    this.details.setAttribute("aria-label", "Run");
    this.details.tabIndex = -1;
  }

  async start() {
    this.root.append(make("h1", "", "Train"), this.#form(), make("h2", "", "Runs"), this.failure, this.list, this.details);
    this.signal.addEventListener("abort", () => clearTimeout(this.#timer));
    await this.#refresh();
    const first = this.#known.find((run) => run.name === this.wanted) ?? this.#known.find((run) => run.state === "done");
    if (first) await this.#show(first.name);
  }

  #form() {
    const { chosen_judged: chosen, random_judged: random } = this.project.counts;
    const minutes = input("number", "", { min: "1", max: "100000", placeholder: "no limit" });
    const methods = input("text", "", { placeholder: "chosen for the data", spellcheck: "false" });
    const asked = () => ({
      ...(minutes.value ? { minutes: Number(minutes.value) } : {}),
      ...(methods.value.trim() ? { methods: methods.value.split(/[\s,]+/).filter(Boolean) } : {}),
    });
    const plan = make("div", "plan");
    plan.setAttribute("role", "status");
    const failure = alertLine();
    const place = `${placeOf(this.project.name)}/runs`;
    const estimate = button("Estimate", () => attempt(failure, estimate, async () => {
      plan.replaceChildren(make("p", "soft", "Estimating …"));
      try {
        plan.replaceChildren(...planOf(await post(`${place}/estimate`, asked(), { signal: this.signal })));
      } catch (error) {
        plan.replaceChildren();
        throw error;
      }
    }));
    const start = button("Start training", () => attempt(failure, start, async () => {
      const { run } = await post(place, asked(), { signal: this.signal });
      say(`Run ${run} started`);
      await this.#refresh();
    }), "main");
    const told = `Methods learn from ${count(chosen, "label")}, and are tested on ${count(random, "label")} of the random sample. `
      + "Training takes all cores; you can go on labeling.";
    const hint = "Names separated by commas, such as tfidf, probe";
    const fields = make("div", "fields", field("Minutes", minutes, "Most time for the run"), field("Methods", methods, hint));
    return make("section", "", make("p", "", told), fields, failure, make("p", "row", start, estimate), plan);
  }

  async #refresh() {
    clearTimeout(this.#timer);
    try {
      const before = new Map(this.#known.map((run) => [run.name, run.state]));
      this.#known = await get(`${placeOf(this.project.name)}/runs`, { signal: this.signal });
      showFailure(this.failure, null);
      this.#list();
      const ended = this.#known.find((run) => BUSY.includes(before.get(run.name)) && !BUSY.includes(run.state));
      if (ended) {
        say(`Run ${ended.name}: ${STATES[ended.state] ?? ended.state}`);
        if (ended.state === "done") await this.#show(ended.name);
      }
    } catch (failure) {
      if (isLeft(failure)) return;
      showFailure(this.failure, failure);
    }
    if (this.#known.some((run) => BUSY.includes(run.state))) this.#timer = setTimeout(() => this.#refresh(), AGAIN);
  }

  /** Show all runs; the focus stays on the same button. */
  #list() {
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const none = make("li", "soft", "None yet.");
    this.list.replaceChildren(...(this.#known.length ? this.#known.map((run) => this.#item(run)) : [none]));
    if (focused) this.list.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  #item(run) {
    const state = make("span", `tag ${run.state}`, STATES[run.state] ?? run.state);
    const item = make("li", run.name === this.#open ? "open" : "", make("h3", "", run.name, " ", state));
    if (run.state === "running") item.append(...this.#watching(run));
    if (run.best) item.append(make("p", "", `${run.best.method}: ${run.best.metric} ${interval(run.best)}`));
    if (run.message) item.append(make("p", run.state === "failed" ? "failure" : "soft", run.message));
    if (run.state === "done" && run.seconds !== null) item.append(make("p", "soft", `took ${duration(run.seconds)}`));
    item.append(make("p", "row", ...this.#acts(run)));
    return item;
  }

  #watching(run) {
    const shown = make("progress", "slim");
    shown.setAttribute("aria-label", `Progress of ${run.name}`);
    if (run.share !== null && run.share !== undefined) shown.value = run.share;
    return [shown, make("p", "soft", [run.stage, run.seconds === null ? "" : duration(run.seconds)].filter(Boolean).join(" · "))];
  }

  #acts(run) {
    const place = runPlace(this.project.name, run.name);
    const act = (name, work) => {
      const made = button(name, () => attempt(this.failure, made, work), "small");
      made.dataset.key = `${run.name} ${name}`;
      made.setAttribute("aria-label", `${name} ${run.name}`);
      return made;
    };
    const change = (what) => async () => {
      await post(`${place}/${what}`, {}, { signal: this.signal });
      await this.#refresh();
    };
    if (BUSY.includes(run.state)) return [act("Cancel", change("cancel"))];
    const open = act("Open", () => this.#show(run.name, true));
    return run.state === "done" ? [open] : [act("Resume", change("resume")), open];
  }

  async #show(name, isAsked = false) {
    const run = await get(runPlace(this.project.name, name), { signal: this.signal });
    this.#open = name;
    this.details.replaceChildren(make("h2", "", `Run ${name}`), ...runDetails(this.project, run, this.signal));
    this.#list();
    if (isAsked) {
      this.details.focus();
      this.details.scrollIntoView({ block: "start" });
    }
  }
}

function planOf({ lines, problems, command, python }) {
  const plan = make("pre", "", lines.join("\n"));
  plan.tabIndex = 0;
  plan.setAttribute("aria-label", "Plan of the run");
  const ways = make("details", "", make("summary", "", "The same without the page"));
  if (command) ways.append(copyable("Command", command));
  if (python) ways.append(copyable("Python", python));
  return [...(problems ?? []).map((line) => make("p", "failure", line)), plan, ways];
}
