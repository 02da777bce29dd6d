"""How do time and peak memory grow with the number of rows and with the length of texts?

    FINETEXT_DATA=../shared/data python benchmarks/scaling.py

Two tables of one epoch of training and of one prediction of the same texts, each point in a
process of its own:
  rows     emotion tweets, drawn with repetition, cut to 16 tokens; by default with a tiny
           random encoder (two layers, 32 wide), as MiniLM takes hours for 100,000 rows on a slow
           machine and memory that grows with rows shows as well
  lengths  the longest IMDb reviews, each cut to exactly so many tokens; MiniLM

finetext has, for each point, a cache folder that holds what it found before to be the fastest
number format, attention and threads on this machine, from at most 4,000 of the rows; for fewer
than 100 steps it measures nothing and takes its defaults.

Timed: all of `Finetune.fit`, that is loading the model, tokenization, training and evaluating a
few validation rows; and all of `predict_proba`. Not timed: imports, reading the data and that
trial. Memory is resident memory of the process: before the step (with imports and texts in it),
and how much higher its peak was during the step.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path
from statistics import median
from typing import Final

import common
import numpy as np
from common import Answer, Job

import finetext
from finetext.core.contracts import FitContext
from finetext.core.wording import counted

TITLES: Final = (
    "training s", "rows/s", "time grows as", "before MiB", "peak above it MiB",
    "prediction s", "rows/s", "peak above it MiB",
)  # fmt: skip
SHORTEST_OF_IMDB: Final = 2_500
"""Characters; reviews that long have more than 512 tokens, all but a few."""
MOST_ROWS_TO_CHOOSE: Final = 4_000


def main() -> None:
    """Measure both axes and print a table for each."""
    if common.served(work):
        return
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        measure_rows(options, Path(scratch))
        measure_lengths(options, Path(scratch))


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = common.parser(__doc__)
    parser.add_argument(
        "--rows", type=int, nargs="*", default=[1_000, 10_000, 100_000],
        help="points of the first table; none leaves it out (1000 10000 100000)",
    )  # fmt: skip
    parser.add_argument(
        "--lengths", type=int, nargs="*", default=[16, 32, 64, 128, 256, 512],
        help="points of the second table; none leaves it out (16 32 64 128 256 512)",
    )  # fmt: skip
    parser.add_argument("--rows-model", default="tiny", choices=common.MODELS)
    parser.add_argument("--lengths-model", default="minilm", choices=common.MODELS)
    parser.add_argument("--max-length", type=int, default=16, help="of the first table (16)")
    parser.add_argument("--length-rows", type=int, default=128, help="of the second table (128)")
    parser.add_argument("--rounds", type=int, default=1, help="turns of each point (1)")
    parser.add_argument("--seeds", type=int, default=1, help="turns with another seed (1)")
    return parser.parse_args()


def measure_rows(options: argparse.Namespace, scratch: Path) -> None:
    """The table of numbers of rows."""
    if not options.rows:
        return
    turns = options.rounds * options.seeds
    folder = common.model_folder(options.rows_model, scratch)
    jobs = [
        {"data": "emotion", "rows": rows, "max_length": options.max_length, "folder": folder}
        for rows in options.rows
    ]
    what = (
        f"One epoch of {options.rows_model} on emotion tweets drawn with repetition, at most "
        f"{options.max_length} tokens; medians of {counted(turns, 'turn')}. The "
        "exponent is of the number of rows, from the line above."
    )
    lines, choices = points(options, jobs, "rows", scratch)
    common.finish(options, f"Scaling with rows: {options.rows_model}", f"{what} {choices}", [lines])


def measure_lengths(options: argparse.Namespace, scratch: Path) -> None:
    """The table of lengths."""
    if not options.lengths:
        return
    turns = options.rounds * options.seeds
    folder = common.model_folder(options.lengths_model, scratch)
    jobs = [
        {"data": "imdb", "rows": options.length_rows, "max_length": length, "folder": folder}
        for length in options.lengths
    ]
    what = (
        f"One epoch of {options.lengths_model} on {counted(options.length_rows, 'IMDb review')} "
        f"cut to exactly so many tokens; medians of {counted(turns, 'turn')}. The exponent "
        "is of the length, from the line above."
    )
    lines, choices = points(options, jobs, "max_length", scratch)
    title = f"Scaling with length: {options.lengths_model}"
    common.finish(options, title, f"{what} {choices}", [lines])


def points(
    options: argparse.Namespace, jobs: list[Job], axis: str, scratch: Path
) -> tuple[list[str], str]:
    """Measure the jobs by turns; a table with a line for each, and what finetext chose."""
    jobs, choices = with_choices(options, jobs, axis, scratch)
    answers: list[list[Answer]] = [[] for _ in jobs]
    for number in range(options.rounds * options.seeds):
        for job, found in zip(jobs, answers, strict=True):
            turn = job | {"task": "train", "seed": number % options.seeds}
            found.append(common.alone(__file__, turn, options.threads))
            seconds = found[-1]["training"]["seconds"]
            common.say(f"{axis} {job[axis]:,}, turn {number + 1}: {seconds:.1f} s of training")
    rows: list[list[str]] = []
    last: tuple[int, float] | None = None
    for job, found in zip(jobs, answers, strict=True):
        seconds = median(answer["training"]["seconds"] for answer in found)
        rows.append(
            [f"{job[axis]:,}", *cells(job["rows"], found, growth(last, job[axis], seconds))]
        )
        last = (job[axis], seconds)
    return common.table([axis.replace("max_", ""), *TITLES], rows), choices


def with_choices(
    options: argparse.Namespace, jobs: list[Job], axis: str, scratch: Path
) -> tuple[list[Job], str]:
    """The jobs with the folders of what finetext chose for each, and its choices in words."""
    done, words = [], []
    for job in jobs:
        folder = str(scratch / f"choice for {axis} {job[axis]}")
        job = job | {"device": options.device, "cache": folder}
        found = common.alone(__file__, job | {"task": "choose"}, options.threads)
        words.append(f"{job[axis]:,}: {common.choice_in_words(found)}")
        common.say(f"{axis} {words[-1]}")
        done.append(job | {"cache": folder if found["choice"] else None})
    return done, " ".join([*words, common.threads_in_words(options.threads)])


def growth(last: tuple[int, float] | None, size: int, seconds: float) -> str:
    """The exponent with which time grew since the last point."""
    if last is None or size == last[0]:
        return "-"
    return f"n^{math.log(seconds / last[1]) / math.log(size / last[0]):.2f}"


def cells(rows: int, answers: list[Answer], exponent: str) -> list[str]:
    """Time and memory of training and prediction, medians over turns."""

    def middle(step: str, key: str) -> float:
        return median(answer[step][key] for answer in answers)

    def above(step: str) -> str:
        return f"{middle(step, 'peak_mib') - middle(step, 'before_mib'):.0f}"

    training, prediction = middle("training", "seconds"), middle("prediction", "seconds")
    return [
        f"{training:.1f}", f"{rows / training:,.1f}", exponent,
        f"{middle('training', 'before_mib'):.0f}", above("training"),
        f"{prediction:.1f}", f"{rows / prediction:,.1f}", above("prediction"),
    ]  # fmt: skip


def work(job: Job) -> Answer:
    """Choose how to train, or train for one epoch, then predict the same texts."""
    import accelerate  # noqa: F401
    from transformers import AutoModelForSequenceClassification

    data = repeated(job["rows"]) if job["data"] == "emotion" else longest(job["rows"])
    few = data.select(np.arange(min(16, len(data))))
    AutoModelForSequenceClassification.from_pretrained(job["folder"])
    method = finetext.Finetune(encoder=job["folder"], epochs=1, max_length=job["max_length"])
    if job["task"] == "choose":
        some = data.select(np.arange(min(MOST_ROWS_TO_CHOOSE, len(data))))
        return common.chosen_by_finetext(method, some, few, job)
    with common.choice_alone(job) as cache:
        context = FitContext(seed=job["seed"], device=job["device"], cache=cache)
        with common.measured() as training:
            classifier = method.fit(data, few, context)
    texts = data.texts
    with common.measured() as prediction:
        classifier.predict_proba(texts)
    return {"training": training, "prediction": prediction}


def repeated(count: int) -> finetext.Dataset:
    """So many emotion tweets, drawn with repetition where there are not enough."""
    train = common.rows_of("emotion", 16_000, 50, 50).train
    generator = np.random.default_rng(0)
    rows = generator.choice(len(train), count, replace=count > len(train))
    texts, labels = list(train.texts), list(train.labels)
    return finetext.read(([texts[row] for row in rows], [labels[row] for row in rows]))


def longest(count: int) -> finetext.Dataset:
    """So many IMDb reviews that are longer than any model here can see."""
    train = common.rows_of("imdb", 10_000, 50, 50).train
    long = [row for row, text in enumerate(train.texts) if len(text) >= SHORTEST_OF_IMDB]
    if len(long) < count:
        raise SystemExit(f"only {len(long):,} reviews are long enough: give fewer --length-rows")
    return train.select(np.array(long[:count]))


if __name__ == "__main__":
    main()
