"""Which method is to be taken if few rows say which is best? Ways to choose, on the same runs.

    FINETEXT_DATA=../shared/data python benchmarks/choosing.py --sizes 100 --threads 1

Each cell is a run of the ladder on rows of `minutes.py`: training rows are drawn anew for each
seed, and other rows of the training part, 1,000 at most, stand for test rows. Nothing is fitted for
a way to choose: it has the predictions of validation rows to choose by, and those of the other rows
give its score, macro F1. Of methods with the same score, the one with the lower log loss is taken.
"Best in hindsight" is what nobody can know beforehand. Blends are weighed as
`finetext.evaluation.blending` does it, toward equal weights of the methods with a pretrained
encoder or toward the method with the lowest log loss, and always taken. Test rows are never read.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import common
import minutes_data
import minutes_finetext
from common import Answer, Job, Ledger
from record import commit

import finetext
from finetext.core.types import Predictions
from finetext.evaluation.blending import PRIOR_ROWS, blended, fit_weights
from finetext.evaluation.calibration import fit_temperature, with_temperature
from finetext.evaluation.deciding import Deciding, choose_decision
from finetext.evaluation.metrics import log_loss, metric_for

SETS: Final = ("emotion", "sst2", "films", "banking77", "sms", "goemotions")
METHODS: Final = ("tfidf", "static", "probe", "finetune")
PRETRAINED: Final = METHODS[1:]
JUDGED: Final = 1_000
Both = dict[str, tuple[Predictions, Predictions]]
"""Method to its predictions of validation rows and of the rows that judge."""


def main() -> None:
    """Make the runs, and print how well each way chooses."""
    if common.served(work):
        return
    parser = common.parser(__doc__)
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 500], metavar="ROWS")
    parser.add_argument("--seeds", type=int, default=3, help="how many (3)")
    parser.add_argument(
        "--version", default=commit(), help="of finetext in the ledger (its commit)"
    )
    options = parser.parse_args()
    ledger, tables = Ledger("choosing", options.ledgers), []
    for size in options.sizes:
        found: dict[str, list[Answer]] = {}
        for seed in range(options.seeds):
            for name in options.sets:
                job = {"set": name, "size": size, "seed": seed}
                job |= {"version": options.version, "threads": options.threads}
                work_of = lambda job=job: common.alone(__file__, job, options.threads)  # noqa: E731
                found.setdefault(name, []).append(ledger.get(job, work_of))
                common.say(f"{name}, {size} rows, seed {seed}: {found[name][-1]}")
        tables.append(table(found, size))
    what = f"Macro F1, the mean over {options.seeds} draws of training rows."
    common.finish(options, "Ways to choose a method", what, tables)


def table(found: Mapping[str, list[Answer]], size: int) -> list[str]:
    """A row for each way, with a column for each set; the difference is to the highest score."""
    first = next(iter(found.values()))[0]["scores"]
    means = {
        way: [fmean(of["scores"][way] for of in answers) for answers in found.values()]
        for way in first
    }
    rows = fmean(of["rows"] for answers in found.values() for of in answers)
    before = means["highest macro F1"]
    lines = [
        [way, *(f"{of:.3f}" for of in values), f"{fmean(values):.3f}",
         "" if values is before else common.paired(values, before)]
        for way, values in means.items()
    ]  # fmt: skip
    title = f"{size} rows, {rows:.0f} to choose by"
    return common.table([title, *found, "mean", "difference"], lines)


def work(job: Job) -> Answer:
    """Run the ladder once, and score what each way chooses."""
    rows = minutes_data.rows_of(job["set"], job["size"], job["seed"], "validation", JUDGED)
    assert rows is not None
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FINETEXT_CACHE"] = f"{folder}/cache"
        data = Path(folder) / "data.jsonl"
        data.write_text(minutes_finetext.table(rows), encoding="utf-8")
        read = finetext.ReadSettings(
            text="text", label="label", id="id", multilabel=rows["multilabel"],
            group="group" if rows["groups"] else None,
        )  # fmt: skip
        run = finetext.train(
            str(data), METHODS, read=read, out=Path(folder) / "run", seed=job["seed"],
            listener=finetext.Listener(),
        )  # fmt: skip
        both = {
            name: (run.predictions(name, "validation"), run.predictions(name, "test"))
            for name in METHODS
        }
    return {"scores": scores(both), "rows": len(both["tfidf"][0])}


def scores(both: Both) -> dict[str, float]:
    """What each way to choose is worth on the rows that judge."""
    metric = metric_for("macro_f1", both["tfidf"][0].scheme)
    known = {name: validation for name, (validation, _) in both.items()}
    alone = {name: metric.goodness(judged) for name, (_, judged) in both.items()}
    chosen = max(METHODS, key=lambda name: [of.goodness(known[name]) for of in (metric, log_loss)])
    likely = min(METHODS, key=lambda name: log_loss(known[name]))
    weights = {
        "blend near the likeliest": fit_weights(known, PRIOR_ROWS),
        "blend near equal weights": fit_weights(known, PRIOR_ROWS, PRETRAINED),
        "equal weights": dict.fromkeys(PRETRAINED, 1 / len(PRETRAINED)),
    }
    return {
        "highest macro F1": alone[chosen],
        "lowest log loss": alone[likely],
        **{way: metric.goodness(combined(both, of)) for way, of in weights.items()},
        **{f"always {name}": score for name, score in alone.items()},
        "best in hindsight": max(alone.values()),
    }


def combined(both: Both, weights: Mapping[str, float]) -> Predictions:
    """A blend's predictions of the rows that judge, with temperature and rule of the others."""
    validation, judged = (
        blended({name: of[part] for name, of in both.items()}, weights) for part in (0, 1)
    )
    temperature = fit_temperature(validation)
    validation, judged = (with_temperature(of, temperature) for of in (validation, judged))
    rule: Any = choose_decision(validation, Deciding())
    return replace(judged, decision=rule)


if __name__ == "__main__":
    main()
