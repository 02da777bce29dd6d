// Training runs of a project: estimate, start, watch, judge.

import { count, make, percent, tell, whole } from "/page/dom.js";
import { ask, of } from "./api.js";
import { announce, fail } from "./main.js";
import { button, field, input, interval, table, ways } from "./parts.js";

const AGAIN = 1_000;
const BUSY = ["running", "waiting"];
const STATES = { running: "running", waiting: "waits for another run", done: "done", failed: "failed", cancelled: "cancelled", interrupted: "interrupted" };

export async function showTrain(view, project) {
  const train = new Train(view, project);
  await train.begin();
  return () => train.end();
}

class Train {
  constructor(view, project) {
    this.project = project;
    this.runs = make("div");
    this.detail = make("section");
    this.detail.setAttribute("aria-label", "Run");
    view.append(make("h1", "", "Train"), ...this.form(), make("h2", "", "Runs"), this.runs, this.detail);
  }

  async begin() {
    await this.refresh();
    const first = this.known.find((run) => run.state === "done");
    if (first) await this.open(first.name);
  }

  end() {
    this.isOver = true;
    clearTimeout(this.timer);
  }

  form() {
    const minutes = input("number", "", { min: 1, max: 100000, placeholder: "no limit" });
    const methods = input("text", "", { placeholder: "chosen for the data", autocomplete: "off" });
    const told = make("div");
    told.setAttribute("role", "status");
    const request = () => {
      const asked = {};
      if (minutes.value) asked.minutes = Number(minutes.value);
      if (methods.value.trim()) asked.methods = methods.value.split(",").map((one) => one.trim()).filter(Boolean);
      return asked;
    };
    const estimate = button("Estimate", async () => {
      const found = await ask(of(this.project.name, "/runs/estimate"), request());
      const plan = make("pre", "", found.lines.join("\n"));
      plan.tabIndex = 0;
      told.replaceChildren(...found.problems.map((line) => make("p", "failure", line)), plan, ways(found, "train"));
    });
    const start = button("Start training", async () => {
      const { run } = await ask(of(this.project.name, "/runs"), request());
      announce(`Run ${run} started`);
      await this.refresh();
    }, "main");
    const { random_judged: random, chosen_judged: chosen } = this.project.counts;
    return [
      make("p", "", `Methods learn from ${count(chosen, "label")} and are tested on the random sample of ${whole(random)}.`),
      make("div", "fields", field("Minutes", minutes), field("Methods, by commas", methods)), make("div", "row", start, estimate), told,
    ];
  }

  async refresh() {
    clearTimeout(this.timer);
    const before = new Map((this.known ?? []).map((run) => [run.name, run.state]));
    this.known = await ask(of(this.project.name, "/runs"));
    if (this.isOver) return;
    const ended = this.known.find((run) => BUSY.includes(before.get(run.name)) && !BUSY.includes(run.state));
    this.list();
    if (this.known.some((run) => BUSY.includes(run.state))) {
      this.timer = setTimeout(() => this.refresh().catch((error) => fail(error)), AGAIN);
    }
    if (ended) {
      announce(`Run ${ended.name}: ${STATES[ended.state]}`);
      await this.open(ended.name);
    }
  }

  list() {
    const focused = this.runs.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const items = this.known.map((run) => this.item(run));
    this.runs.replaceChildren(items.length ? make("ul", "cards", ...items) : make("p", "soft", "None yet."));
    if (focused) this.runs.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  item(run) {
    const acts = [];
    const act = (name, how) => {
      const made = button(name, how);
      made.dataset.key = `${run.name} ${name}`;
      made.setAttribute("aria-label", `${name} ${run.name}`);
      acts.push(made);
    };
    const change = (what) => async () => {
      await ask(of(this.project.name, `/runs/${encodeURIComponent(run.name)}/${what}`), {});
      await this.refresh();
    };
    if (BUSY.includes(run.state)) act("Cancel", change("cancel"));
    else if (run.state === "done") act("Open", () => this.open(run.name));
    else act("Resume", change("resume"));
    const item = make("li", "", make("h2", "", run.name), make("p", "soft", STATES[run.state] ?? run.state));
    if (run.state === "running") {
      const bar = make("progress");
      bar.setAttribute("aria-label", `Progress of ${run.name}`);
      if (run.share !== null) bar.value = run.share;
      item.append(bar, make("p", "soft", [run.stage, run.seconds === null ? "" : `${Math.round(run.seconds)} s`].filter(Boolean).join(" · ")));
    }
    if (run.message) item.append(make("p", run.state === "failed" ? "failure" : "soft", run.message));
    if (run.best) item.append(make("p", "", `${run.best.method}: ${run.best.metric} ${interval(run.best, 3)}`));
    item.append(make("div", "row", ...acts));
    return item;
  }

  async open(name) {
    const path = `/runs/${encodeURIComponent(name)}`;
    const run = await ask(of(this.project.name, path));
    if (this.isOver) return;
    const parts = [make("h2", "", `Run ${name}`)];
    if (run.verdict) parts.push(make("p", "verdict whole", run.verdict.headline), ...run.verdict.lines.map((line) => make("p", "", line)));
    if (run.leaderboard?.length) {
      const rows = run.leaderboard.map((one) => [one.method, interval(one.score, 3), one.seconds === null ? "–" : `${one.seconds.toFixed(1)} s`]);
      parts.push(table(`Methods, by ${run.best?.metric ?? "score"}`, ["method", "score and 95%", "training"], rows));
    }
    const use = make("a", "", "Use this model");
    use.href = `#/p/${encodeURIComponent(this.project.name)}/use`;
    parts.push(make("p", "", use), ...this.looks(path));
    if (run.command) parts.push(ways(run, "train"));
    this.detail.replaceChildren(...parts);
  }

  /** Errors, doubtful labels and the report, each shown when it is asked for. */
  looks(path) {
    const at = of(this.project.name, path);
    const errors = lazily("Errors on test rows", async () => {
      const found = await ask(`${at}/errors`);
      const rows = found.map((one) => [one.id, one.text, one.truth, one.prediction, one.probability === null ? "–" : percent(one.probability)]);
      return found.length ? table("Wrong predictions, the surest first", ["id", "text", "label", "prediction", "probability"], rows, "left-table") : make("p", "", "There are none.");
    });
    const doubts = lazily("Doubtful labels", async () => {
      const found = await ask(`${at}/label-errors`);
      if (!found.length) return make("p", "", "No label looks wrong.");
      const rows = found.map((one) => [one.id, one.text, one.label, one.suggested, percent(one.probability)]);
      const said = make("p", "soft");
      const put = button("Put them into review", async () => {
        const { queued } = await ask(`${at}/label-errors`, {});
        tell(said, `${count(queued, "text")} queued under Review.`);
      }, "main");
      return make("div", "", make("div", "row", put, said), table("Labels that the model doubts", ["id", "text", "label", "model", "probability"], rows, "left-table"));
    });
    const report = lazily("Report", async () => {
      const frame = make("iframe", "report");
      frame.title = "Report of the run";
      frame.setAttribute("sandbox", "allow-scripts");
      frame.src = `${at}/report`;
      return frame;
    });
    return [errors, doubts, report];
  }
}

/** A section that is loaded when it is opened. */
function lazily(title, load) {
  const details = make("details", "", make("summary", "", title));
  details.addEventListener("toggle", async () => {
    if (!details.open || details.childElementCount > 1) return;
    const waiting = make("p", "soft", "Loading …");
    details.append(waiting);
    try {
      waiting.replaceWith(await load());
    } catch (error) {
      waiting.remove();
      details.open = false;
      fail(error);
    }
  });
  return details;
}
