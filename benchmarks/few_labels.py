"""How good is a classifier with few labels? finetext against SetFit, at labels per class.

    FINETEXT_DATA=../shared/data python benchmarks/few_labels.py
    FINETEXT_DATA=../shared/data python benchmarks/few_labels.py --split validation --seeds 2
    FINETEXT_DATA=../shared/data python benchmarks/few_labels.py --llm URL --llm-model NAME

Contenders learn from the same rows, as many of each class, drawn anew for each seed from the rows
that `minutes.py` learns from, and are scored on the same rows; each turn is a process of its own:
  setfit    as in its paper: batches of 16, 1 epoch of 20 pairs for and against each row (needs
            the environment of `minutes.py --set-up-peers`)
  METHOD    `finetext.fit` with that method; `zeroshot` reads the texts of the rows without labels
  finetext  what `finetext.train` recommends, by cross-validation, report included
  llm       the language model of `--llm`, asked about `--asked` rows; two examples of each class
The encoder of all is MiniLM. Labels have the names of zero_shot.py. Seconds are those from the
start of the process to the fitted model, imports included.

Constants of the method `fewshot` were chosen on the rows of `--split validation`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import common
import minutes
import minutes_data
import numpy as np
from common import Answer, Job, JobFailed, Ledger
from record import commit
from sklearn.metrics import f1_score
from zero_shot import NAMES

from finetext.encoders.catalogue import resolve

SETFIT: Final = "setfit"
LLM: Final = "llm"
CONTENDERS: Final = (
    SETFIT, "zeroshot", "tfidf", "static", "probe", "fewshot", "finetune", "finetext", LLM,
)  # fmt: skip
STYLES: Final = {
    "zeroshot": ("#7f7f7f", "D"), "tfidf": ("#8c510a", "X"), "static": ("#cc79a7", "v"),
    "probe": ("#009e73", "p"), "fewshot": ("#0b3c8c", "o"), "finetune": ("#e69f00", "^"),
    SETFIT: ("#b2182b", "s"), LLM: ("#6a3d9a", "h"),
}  # fmt: skip
SETS: Final = ("emotion", "sst2", "films", "banking77", "sms")


def main() -> None:
    """Measure what the ledger does not have, and print the tables."""
    parser = common.parser(__doc__)
    parser.add_argument("--sets", nargs="+", default=SETS, choices=list(minutes_data.SETS))
    parser.add_argument("--each", nargs="+", type=int, default=[8, 16, 64], help="rows a class")
    parser.add_argument("--seeds", type=int, default=10, help="draws of training rows (10)")
    parser.add_argument("--contenders", nargs="+", default=CONTENDERS, choices=CONTENDERS)
    parser.add_argument("--split", default="test", choices=["validation", "test"])
    parser.add_argument("--evaluated", type=int, default=1_000, help="rows at most (1000)")
    parser.add_argument("--longest", type=float, default=3600, help="seconds of a turn (3600)")
    parser.add_argument("--llm", metavar="URL", help="endpoint of the contender llm")
    parser.add_argument("--llm-model", metavar="NAME", help="name of its model")
    parser.add_argument("--asked", type=int, default=200, help="rows it is asked about (200)")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="accuracy over rows a class")
    parser.add_argument("--version", default=commit(), help="of finetext in the ledger")
    options = parser.parse_args()
    if options.llm is not None and options.llm_model is None:
        parser.error("--llm needs the name of the model: --llm-model NAME")
    if options.llm is None:
        options.contenders = [name for name in options.contenders if name != LLM]
    ledger = Ledger("few_labels", options.ledgers)
    found: dict[tuple[str, int, str], dict[int, Answer]] = {}
    for seed in range(options.seeds):
        for each in options.each:
            for name in options.sets:
                for contender in options.contenders:
                    answer = answer_of(options, ledger, (name, each, seed, contender))
                    if answer is not None and "error" not in answer:
                        found.setdefault((name, each, contender), {})[seed] = answer
    rows = [row(*key, answers, found.get((*key[:2], SETFIT))) for key, answers in found.items()]
    titles = ["set", "rows a class", "contender", "draws", "accuracy", "macro F1", "seconds",
              "accuracy less SetFit's", "seconds over SetFit's"]  # fmt: skip
    asked = f", of llm {options.asked:,}" if LLM in options.contenders else ""
    what = f"MiniLM; up to {options.evaluated:,} {options.split} rows{asked}."
    table = common.table(titles, sorted(rows, key=lambda of: (of[0], int(of[1]))))
    if options.picture is not None:
        draw(found, options.picture)
    common.finish(options, "Few labels", what, [table])


def answer_of(
    options: argparse.Namespace, ledger: Ledger, cell: tuple[str, int, int, str]
) -> Answer | None:
    """Return the scores of a turn; None where a class has too few rows."""
    name, each, seed, contender = cell
    evaluated = options.asked if contender == LLM else options.evaluated
    rows = rows_of(name, each, seed, options.split, evaluated)
    if rows is None:
        return None
    job: Job = {"set": name, "each": each, "seed": seed, "split": options.split}
    job |= {"evaluated": evaluated, "threads": options.threads, "contender": contender}
    if contender != SETFIT:
        job["version"] = options.version
    if contender == LLM:
        job["model"] = options.llm_model
    answer = ledger.get(job, lambda: turn(options, job, rows))
    common.say(f"{name}, {each} a class, seed {seed}, {contender}: {answer}")
    return answer


def turn(options: argparse.Namespace, job: Job, rows: dict[str, Any]) -> Answer:
    """Let a contender learn and predict in a process of its own, and score it."""
    is_peer = job["contender"] == SETFIT
    plain = {SETFIT, "finetext"}
    name = job["contender"] if job["contender"] in plain else f"finetext-{job['contender']}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        path.write_text(json.dumps(rows))
        task = {"contender": name, "seed": job["seed"], "rows": str(path), "whole": True}
        task |= {"encoder": resolve("minilm").path, "cpu": True}
        if job["contender"] == LLM:
            task["fields"] = {"url": options.llm, "model": options.llm_model, "concurrency": 1}
        start = time.time()
        try:
            answer = minutes.in_own_process(options, task, is_peer)
        except JobFailed as failure:
            common.say(str(failure)[-2_000:])
            return {"error": str(failure)[-1_000:]}
    point, truth = answer["points"][-1], np.array(rows["truth"])
    given = np.array(point["predictions"])
    return {
        "accuracy": float((given == truth).mean()),
        "macro_f1": float(f1_score(truth, given, average="macro")),
        "seconds": point["seconds"], "cpu": point["cpu"], "took": time.time() - start,
        "name": point["name"],
    }  # fmt: skip


def rows_of(name: str, each: int, seed: int, part: Any, evaluated: int) -> dict[str, Any] | None:
    """Return the rows of a turn in the form of `minutes_data.rows_of`."""
    cut = minutes_data.cut_of(name)
    judged = (cut.test if part == "test" else cut.developing)[:evaluated]
    pool = [*cut.pool, *cut.developing] if part == "test" else cut.pool
    order, drawn = np.random.default_rng(seed).permutation(len(pool)), list[Any]()
    for label in cut.names:
        of_label = [pool[place] for place in order if pool[place].labels[0] == label][:each]
        if len(of_label) < each:
            return None
        drawn += of_label
    number = {label: place for place, label in enumerate(cut.names)}
    named = NAMES.get(name, {})
    return {
        "names": [named.get(label, label) for label in cut.names],
        "multilabel": False,
        "texts": [one.text for one in drawn],
        "labels": [number[one.labels[0]] for one in drawn],
        "groups": None,
        "evaluation": [one.text for one in judged],
        "truth": [number[one.labels[0]] for one in judged],
    }


def row(
    name: str, each: int, contender: str, answers: dict[int, Answer], peer: dict[int, Answer] | None
) -> list[str]:
    """The row of a contender, compared with SetFit on the draws that both have."""
    several, keys = list(answers.values()), ("accuracy", "macro_f1")
    means = [common.mean_and_spread([of[key] for of in several]) for key in keys]
    cells = [name, str(each), contender, str(len(several)), *means]
    cells.append(common.spread([of["cpu"] for of in several], 0))
    both = [(answers[seed], of) for seed, of in (peer or {}).items() if seed in answers]
    if not both or contender == SETFIT:
        return [*cells, "", ""]
    less = common.paired([one["accuracy"] for one, _ in both], [of["accuracy"] for _, of in both])
    return [*cells, less, common.spread([one["cpu"] / of["cpu"] for one, of in both], 2)]


def draw(found: dict[tuple[str, int, str], dict[int, Answer]], path: Path) -> None:
    """Write a picture of accuracy over rows a class: means over draws, with least and greatest."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    sets = list(dict.fromkeys(name for name, _, _ in found))
    ticks = sorted({each for _, each, _ in found})
    figure, axes = pyplot.subplots(
        1, len(sets), figsize=(3.9 * len(sets), 3.9), squeeze=False, layout="constrained"
    )
    lines: dict[str, Any] = {}
    for panel, name in zip(axes[0], sets, strict=True):
        for contender, (color, mark) in STYLES.items():
            points = sorted(key[1] for key in found if key[0] == name and key[2] == contender)
            if not points:
                continue
            scores = [[of["accuracy"] for of in found[name, each, contender].values()]
                      for each in points]  # fmt: skip
            means, ends = [np.mean(of) for of in scores], ([*map(min, scores)], [*map(max, scores)])
            [lines[contender]] = panel.plot(points, means, color=color, marker=mark, markersize=5)
            panel.fill_between(points, *ends, color=color, alpha=0.12, linewidth=0)
        panel.set_xscale("log", base=2)
        panel.set_xticks(ticks, map(str, ticks))
        panel.set_title(name, fontsize=11)
        panel.set_xlabel("labeled texts a class")
        panel.grid(alpha=0.25)
    axes[0][0].set_ylabel("accuracy")
    figure.legend(
        list(lines.values()), list(lines), loc="outside lower center", ncols=len(lines),
        frameon=False,
    )  # fmt: skip
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
