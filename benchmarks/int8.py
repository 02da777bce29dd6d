"""What does an int8 export change, and how much faster is it than the same graph in float32?

    FINETEXT_DATA=../shared/data python benchmarks/int8.py --record

For each data set: MiniLM, fine-tuned on `--learn` rows; its exports `onnx` and `onnx --quantize
int8`, which chooses by validation rows without their labels; and up to `--rows` held-out rows,
never test rows, which both predict by turns in parts of 100 within one process. "probabilities" are
all cells, "rows" those of which no probability is off by more than 0.05. Models stay in `--models`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import common
import numpy as np
from common import Answer, Job

import finetext
from finetext.core.contracts import FitContext
from finetext.evaluation.proportions import score_interval
from finetext.models.onnx import OnnxClassifier

CHOOSING: Final = 600
PART: Final = 100
CLOSE: Final = 0.05
SINGLE: Final = 60


def main() -> None:
    """Measure each set in a process of its own, and print the tables."""
    if common.served(work):
        return
    parser = common.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=["emotion", "films", "banking77", "imdb"])
    parser.add_argument("--learn", type=int, default=1_000, help="rows to train on (1000)")
    parser.add_argument("--rows", type=int, default=1_000, help="rows to predict (1000)")
    parser.add_argument("--models", type=Path, default=Path("runs/int8"), metavar="FOLDER")
    options = parser.parse_args()
    answers = {}
    for name in options.data:
        job = {
            "data": name, "learn": options.learn, "rows": options.rows,
            "models": str(options.models),
        }  # fmt: skip
        answers[name] = common.alone(__file__, job, options.threads)
        common.say(f"{name}: {answers[name]}")
    what = (
        f"MiniLM on {options.learn:,} rows of each set; times as fast: the median of parts of "
        f"{PART} rows with the least and the greatest, one text the median of {SINGLE} calls. "
        f"{common.threads_in_words(options.threads)}"
    )
    common.finish(
        options, "int8 against float32, both ONNX", what, [changed(answers), speed(answers)]
    )


def changed(answers: dict[str, Answer]) -> list[str]:
    """The table of what differs."""
    titles = ["data", "rows", "same label [95%]", f"probabilities within {CLOSE}",
              f"rows within {CLOSE}", "largest difference", "accuracy float32", "int8"]  # fmt: skip
    rows = []
    for name, of in answers.items():
        low, high = score_interval(of["same"], of["rows"])
        rows.append(
            [name, f"{of['rows']:,}", f"{of['same']:.2%} [{low:.2%}, {high:.2%}]",
             f"{of['cells']:.2%}", f"{of['close']:.2%}", f"{of['largest']:.2g}",
             f"{of['accuracy'][0]:.4f}", f"{of['accuracy'][1]:.4f}"]
        )  # fmt: skip
    return common.table(titles, rows)


def speed(answers: dict[str, Answer]) -> list[str]:
    """The table of what is gained."""
    titles = ["data", "rows/s float32", "int8, times as fast", "without computing again",
              "computed again", "one text", "MB float32", "int8"]  # fmt: skip
    rows = [
        [name, f"{of['rate']:.0f}", common.spread(of["times"], 2), common.spread(of["alone"], 2),
         f"{of['again']:.1%}", common.spread(of["single"], 2), f"{of['mb'][0]:.1f}",
         f"{of['mb'][1]:.1f}"]
        for name, of in answers.items()
    ]  # fmt: skip
    return common.table(titles, rows)


def work(job: Job) -> Answer:
    """Make model and exports of a set unless they are there, and measure them."""
    rows = common.rows_of(job["data"], job["learn"], CHOOSING, job["rows"])
    folder = Path(job["models"]) / job["data"]
    exact, near = exports(rows, folder)
    in_8_bits = replace(near, exact=None)
    texts, forms = list(rows.held_out.texts)[: job["rows"]], (exact, near, in_8_bits)
    for classifier in forms:
        classifier.predict_proba(texts[:8])
    seconds, found = np.zeros((3, -(-len(texts) // PART))), [list[Any]() for _ in forms]
    for number in range(seconds.shape[1]):
        part = texts[number * PART : (number + 1) * PART]
        for turn in np.roll(np.arange(3), number):
            started = time.perf_counter()
            found[turn].append(forms[turn].predict_proba(part))
            seconds[turn, number] = time.perf_counter() - started
    wanted, given = (np.concatenate(of) for of in found[:2])
    single = np.zeros((2, SINGLE))
    for number, text in enumerate(texts[:SINGLE]):
        for turn in (0, 1) if number % 2 else (1, 0):
            started = time.perf_counter()
            forms[turn].predict_proba([text])
            single[turn, number] = time.perf_counter() - started
    off, targets = np.abs(wanted - given), rows.held_out.targets[: len(texts)]
    return {
        "rows": len(texts),
        "same": float(np.mean(wanted.argmax(1) == given.argmax(1))),
        "cells": float(np.mean(off <= CLOSE)),
        "close": float(np.mean(off.max(axis=1) <= CLOSE)),
        "largest": float(off.max()),
        "accuracy": [float(np.mean(of.argmax(1) == targets)) for of in (wanted, given)],
        "rate": len(texts) / float(seconds[0].sum()),
        "times": (seconds[0] / seconds[1]).tolist(),
        "alone": (seconds[0] / seconds[2]).tolist(),
        "again": float(near.is_close(in_8_bits.logits(texts)).mean()),
        "single": [float(median(single[0]) / median(single[1]))],
        "mb": [sum(of.stat().st_size for of in form.folder.iterdir()) / 1e6 for form in forms[:2]],
    }


def exports(rows: common.Rows, folder: Path) -> tuple[OnnxClassifier, OnnxClassifier]:
    """The exports in float32 and in 8 bits."""
    if not (folder / "model").is_dir():
        context = FitContext(device="cpu", metric="accuracy", say=common.say)
        fitted = finetext.Finetune().fit(rows.train, rows.validation, context)
        fitted.save(folder / "model")
    made = []
    for name, settings in (("onnx", {}), ("int8", {"quantize": "int8"})):
        if not (folder / name).is_dir():
            finetext.export(
                folder / "model", folder=folder / name, data=rows.validation, settings=settings,
                terms=finetext.ExportTerms(least_agreement=0),
            )  # fmt: skip
        classifier = finetext.load(folder / name)
        assert isinstance(classifier, OnnxClassifier)
        made.append(classifier)
    return made[0], made[1]


if __name__ == "__main__":
    main()
