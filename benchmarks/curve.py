"""Do forecasts of a learning curve come true?

    FINETEXT_DATA=../shared/data python benchmarks/curve.py

`finetext learning-curve` forecasts up to four times the labels. Here it gets a quarter of the
training rows, then methods are trained on the rest, too: its forecasts for 1.5, 2 and 4 times the
labels are compared with the mean of three fits on as many, on the same validation rows. TF-IDF on
emotion tweets, banking77 and film snippets; each seed splits the rows anew. A forecast of
"no gain" is the one to beat. No test row is read.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import common

import finetext

FILES: Final = {
    "emotion": "emotion/train.txt",
    "banking77": "banking77/train.csv",
    "films": "rotten_tomatoes_movies/rotten_tomatoes_movies.csv",
}
SHARES: Final = {"emotion": (16, 8, 4, 2, 1), "banking77": (8, 4, 2, 1), "films": (16, 8, 4, 2, 1)}
"""What the numbers of rows are divided by; a share must have two rows of each of 77 classes."""
TIMES: Final = (1.5, 2.0, 4.0)
TRAININGS: Final = 3


def main() -> None:
    """Look ahead and wait, for every data set and seed, and print a table."""
    if common.served(work):
        return
    parser = common.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=list(FILES), choices=list(FILES))
    parser.add_argument("--seeds", type=int, default=5, help="divisions of the rows (5)")
    options = parser.parse_args()
    ledger = common.Ledger("curve", options.ledgers)
    lines = []
    for data in options.data:
        answers = []
        for seed in range(options.seeds):
            answers.append(_answer(ledger, {"data": data, "seed": seed}, options.threads))
            common.say(f"{data}, seed {seed}: {answers[-1]}")
        lines += lines_of(data, answers)
    titles = [
        "data", "times the labels", "forecasts", "held the score", "forecast off by",
        '"no gain" off by', "width of the interval", "gain there was",
    ]  # fmt: skip
    what = (
        "TF-IDF, accuracy on validation rows; shares of a sixteenth (banking77: an eighth) to all "
        f"of a quarter of the training rows, {TRAININGS} trainings each; {options.seeds} seeds. "
    )
    what += common.threads_in_words(options.threads)
    common.finish(options, "Forecasts of learning curves", what, [common.table(titles, lines)])


def _answer(ledger: common.Ledger, job: common.Job, threads: int) -> common.Answer:
    return ledger.get(job, lambda: common.alone(__file__, job, threads))


def work(job: common.Job) -> common.Answer:
    """What was said of more labels, and what they brought."""
    data = finetext.read(Path(os.environ["FINETEXT_DATA"]) / FILES[job["data"]])
    rows = len(finetext.split(data, seed=job["seed"]).train) // 4
    early = _curve(data, tuple(rows // share for share in SHARES[job["data"]]), job["seed"])
    late = _curve(data, tuple(round(rows * times) for times in TIMES), job["seed"])
    now = early.points[-1].score.value
    return {
        "outlook": early.outlook,
        "now": now,
        "told": [
            [of.score.value, of.score.low, of.score.high, point.score.value]
            for of, point in zip(early.expected, late.points, strict=False)
        ],
    }


def _curve(data: finetext.Dataset, sizes: tuple[int, ...], seed: int) -> Any:
    """The learning curve of TF-IDF."""
    with tempfile.TemporaryDirectory() as folder:
        settings = finetext.CurveSettings(sizes, trainings=TRAININGS)
        found = finetext.learning_curve(
            data, "tfidf", settings=settings, out=Path(folder) / "curve", seed=seed,
            listener=finetext.Listener(say=common.say),
        )  # fmt: skip
    return found.rung("tfidf")


def lines_of(data: str, answers: list[common.Answer]) -> list[list[str]]:
    """A line for every number of labels."""
    lines = []
    for place, times in enumerate(TIMES):
        told = [(answer["now"], *answer["told"][place]) for answer in answers if answer["told"]]
        held = sum(low <= reached <= high for _, _, low, high, reached in told)
        line = [data, f"{times:g}", f"{len(told)} of {len(answers)}", f"{held} of {len(told)}"]
        if told:
            line += [
                f"{fmean(abs(said - reached) for _, said, _, _, reached in told):.3f}",
                f"{fmean(abs(now - reached) for now, *_, reached in told):.3f}",
                f"{fmean(high - low for _, _, low, high, _ in told):.3f}",
                f"{fmean(reached - now for now, *_, reached in told):+.3f}",
            ]
        lines.append(line + ["-"] * (8 - len(line)))
    return lines


if __name__ == "__main__":
    main()
