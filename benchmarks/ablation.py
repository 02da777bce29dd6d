"""What do gradual unfreezing, discriminative rates and one-cycle do for a few labeled rows?

    FINETEXT_DATA=../shared/data python benchmarks/ablation.py

Fine-tunes MiniLM on 500 rows of the emotion tweets and of the film snippets. For each seed the
rows to learn from (500), to choose the checkpoint on (250) and to measure on (1,000) are drawn anew
from the training part of the data; films are split by film. Test files are not read, so that
defaults may follow from the outcome. All variants see the rows as often: `--epochs` times in all,
and gradual unfreezing divides these among its stages.

Differences are paired by seed: mean, and 95% interval by Student's t.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

import common
import numpy as np

import finetext
from finetext.core.contracts import FitContext

ROWS: Final = {"train": 500, "validation": 250, "held_out": 1_000}
STAGES: Final = {6: (1, 1, 1, 3), 10: (2, 2, 2, 4), 5: (1, 1, 1, 2)}
ULMFIT: Final = {"unfreeze": "gradual", "discriminative": 2.6, "schedule": "one-cycle"}
VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "plain": {},
    "one-cycle": {"schedule": "one-cycle"},
    "slanted triangular": {"schedule": "slanted-triangular"},
    "discriminative, 1.2": {"discriminative": 1.2},
    "discriminative, 2.6": {"discriminative": 2.6},
    "gradual unfreezing": {"unfreeze": "gradual"},
    "all three (ULMFiT)": ULMFIT,
    "concat pooling": {"head": "concat"},
}
RATES: Final = {
    "plain": 3e-4,
    "one-cycle": 3e-4,
    "slanted triangular": 3e-4,
    "discriminative, 1.2": 1e-3,
    "discriminative, 2.6": 1e-3,
    "gradual unfreezing": 1e-4,
    "all three (ULMFiT)": 1e-3,
    "concat pooling": 3e-4,
}
"""Learning rate of each variant: the best of 1e-4, 3e-4 and 1e-3 on the tweets of seed 99, which
is none of the seeds of the ablation; one-cycle, slanted triangular and concat pooling have that of
plain. With discriminative rates it is the rate of the head, in gradual unfreezing that of the last
stage."""
SOURCES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "emotion": ("emotion/train.txt", {}),
    "films": common.SOURCES["films"],
}


def main() -> None:
    """Fit every variant for every seed, and print a table for each data set."""
    if common.served(work):
        return
    parser = common.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=list(SOURCES), choices=list(SOURCES))
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=5, help="seeds of rows and training (5)")
    parser.add_argument("--first-seed", type=int, default=0, help="of the seeds (0)")
    parser.add_argument("--rates", type=float, nargs="*", help="try these rates for all variants")
    parser.add_argument("--epochs", type=int, default=6, choices=list(STAGES))
    options = parser.parse_args()
    ledger = common.Ledger("ablation", options.ledgers)
    if options.rates:
        try_rates(options, ledger)
        return
    tables = [table(options, ledger, data) for data in options.data]
    rows = ", ".join(f"{count:,} {part.replace('_', '-')}" for part, count in ROWS.items())
    what = (
        f"MiniLM, {options.epochs} epochs, batches of 32, {rows} rows, {options.seeds} seeds; "
        "mean ± standard deviation over seeds, differences to plain with their 95% interval."
    )
    common.finish(options, "Ablation of the ULMFiT options", what, tables)


def try_rates(options: Any, ledger: common.Ledger) -> None:
    """Print the accuracy of every variant at every learning rate."""
    for data in options.data:
        for name in options.variants:
            for rate in options.rates:
                found = [
                    answer(options, ledger, data, name, options.first_seed + seed, rate)["accuracy"]
                    for seed in range(options.seeds)
                ]
                print(f"{data}, {name}, {rate:g}: {common.mean_and_spread(found)}", flush=True)


def answer(
    options: Any, ledger: common.Ledger, data: str, name: str, seed: int, rate: float
) -> common.Answer:
    """What one variant achieved with one seed."""
    job = {"data": data, "variant": name, "seed": seed, "epochs": options.epochs, "rate": rate}
    found = ledger.get(job, lambda: common.alone(__file__, job, options.threads))
    common.say(f"{job}: {found}")
    return found


def table(options: Any, ledger: common.Ledger, data: str) -> list[str]:
    """The table of one data set."""
    found: dict[str, list[common.Answer]] = {name: [] for name in options.variants}
    for seed in range(options.seeds):
        for name in options.variants:
            number, rate = options.first_seed + seed, RATES[name]
            found[name].append(answer(options, ledger, data, name, number, rate))
    rows = []
    for name, answers in found.items():
        scores = {
            metric: [answer[metric] for answer in answers] for metric in ("accuracy", "macro_f1")
        }
        plain = [answer["macro_f1"] for answer in found["plain"]]
        rows.append(
            [
                name,
                common.mean_and_spread(scores["accuracy"]),
                common.mean_and_spread(scores["macro_f1"]),
                "" if name == "plain" else common.paired(scores["macro_f1"], plain),
                common.spread([answer["seconds"] for answer in answers], 0),
            ]
        )
    return common.table([data, "accuracy", "macro F1", "difference to plain", "seconds"], rows)


def work(job: common.Job) -> common.Answer:
    """Fit one variant with one seed."""
    path, settings = SOURCES[job["data"]]
    data = finetext.read(Path(os.environ["FINETEXT_DATA"]) / path, **settings)
    others = ROWS["validation"] + ROWS["held_out"]
    sizes = finetext.SplitSettings(train=ROWS["train"], validation=others)
    parts = finetext.split(data, sizes, seed=job["seed"])
    order = np.random.default_rng(job["seed"]).permutation(len(parts.validation))
    validation = parts.validation.select(np.sort(order[: ROWS["validation"]]))
    held_out = parts.validation.select(np.sort(order[ROWS["validation"] :]))
    values = VARIANTS[job["variant"]] | {"learning_rate": job["rate"]}
    if values.get("unfreeze") == "gradual":
        values["stage_epochs"] = STAGES[job["epochs"]]
    else:
        values["epochs"] = job["epochs"]
    started = time.perf_counter()
    classifier = finetext.Finetune(**values).fit(
        parts.train, validation, FitContext(seed=job["seed"])
    )
    seconds = time.perf_counter() - started
    scores = finetext.evaluate(finetext.predict(classifier, held_out))
    return {
        "accuracy": scores["accuracy"].value,
        "macro_f1": scores["macro_f1"].value,
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()
