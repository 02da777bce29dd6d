"""How good is `finetext.fit` on the sets and sizes that finetext has set itself figures for?

    FINETEXT_DATA=../shared/data python benchmarks/targets.py
    FINETEXT_DATA=../shared/data python benchmarks/targets.py --cells films --method blend

One call with defaults for each cell and seed; a seed also draws the rows where not all are used.
Scores are on ready-made validation rows where a set has them, else on other training rows that
`minutes.py` develops on; those of IMDb and films are about other films. The recipe of fine-tuning
was developed on the same rows, so that these scores are optimistic; test rows are never scored.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import common
import minutes_data
import numpy as np
from common import Answer, Job, Ledger, data_folder
from minutes_data import Row
from record import commit

import finetext


class Target(NamedTuple):
    """A cell: what to learn from, how many rows of it, what to judge on, and the figure."""

    read: Callable[[], tuple[list[Row], list[Row]]]
    rows: int | None
    metric: str
    wanted: float


def emotion() -> tuple[list[Row], list[Row]]:
    """The ready-made training and validation tweets."""
    folder = data_folder() / "emotion"
    lines = [(folder / name).read_text().splitlines() for name in ("train.txt", "val.txt")]
    first, second = ([line.rsplit(";", 1) for line in part if line] for part in lines)
    return [Row(text, (of,)) for text, of in first], [Row(text, (of,)) for text, of in second]


def phrases() -> tuple[list[Row], list[Row]]:
    """The phrases of GLUE's SST-2, and its 872 sentences."""
    parts = []
    for name in ("train.tsv", "dev.tsv"):
        with (data_folder() / "sst2/glue" / name).open(encoding="utf-8", newline="") as file:
            table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            parts.append([Row(row["sentence"], (row["label"],)) for row in table])
    return parts[0], parts[1]


def goemotions() -> tuple[list[Row], list[Row]]:
    """The ready-made training and development comments."""
    folder = data_folder() / "goemotions"
    names = (folder / "labels.txt").read_text().split()
    parts = []
    for name in ("train.tsv", "dev.tsv"):
        cells = [line.split("\t") for line in (folder / name).read_text().split("\n") if line]
        rows = [Row(text, tuple(names[int(one)] for one in of.split(","))) for text, of, _ in cells]
        parts.append(rows)
    return parts[0], parts[1]


def developing(name: str) -> Callable[[], tuple[list[Row], list[Row]]]:
    """The rows of a set that training rows are drawn from, and those to develop on."""

    def read() -> tuple[list[Row], list[Row]]:
        cut = minutes_data.cut_of(name)
        return cut.pool, cut.developing

    return read


CELLS: Final[dict[str, Target]] = {
    "emotion": Target(emotion, None, "accuracy", 0.93),
    "emotion-500": Target(emotion, 500, "accuracy", 0.78),
    "banking77": Target(developing("banking77"), None, "accuracy", 0.92),
    "films": Target(developing("films"), None, "accuracy", 0.87),
    "imdb-3000": Target(developing("imdb"), 3_000, "macro_f1", 0.90),
    "goemotions": Target(goemotions, None, "macro_f1", 0.46),
    "sst2-phrases": Target(phrases, None, "accuracy", 0.905),
}


def main() -> None:
    """Fit every cell with every seed, and print a table."""
    if common.served(work):
        return
    parser = common.parser(__doc__)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--seeds", type=int, default=3, help="how many (3)")
    parser.add_argument("--method", default="finetune", help="of finetext.fit (finetune)")
    parser.add_argument(
        "--version", default=commit(), help="of finetext in the ledger (its commit)"
    )
    options = parser.parse_args()
    ledger = Ledger("targets", options.ledgers)
    found: dict[str, list[Answer]] = {}
    for seed in range(options.seeds):
        for name in options.cells:
            job = {"cell": name, "seed": seed, "method": options.method}
            job |= {"version": options.version, "threads": options.threads}
            answer = ledger.get(job, lambda job=job: common.alone(__file__, job, options.threads))
            found.setdefault(name, []).append(answer)
            common.say(f"{name}, seed {seed}: {answer}")
    rows = [row(name, answers) for name, answers in found.items()]
    titles = ["cell", "rows", "metric", "mean ± standard deviation", "aim", "seconds"]
    what = f"finetext.fit with {options.method}; {options.seeds} seeds."
    common.finish(options, "One call against the aims", what, [common.table(titles, rows)])


def row(name: str, answers: list[Answer]) -> list[str]:
    """The row of one cell."""
    of = CELLS[name]
    scores = [answer["score"] for answer in answers]
    seconds = common.spread([answer["seconds"] for answer in answers], 0)
    rows = f"{answers[0]['rows']:,}"
    return [name, rows, of.metric, common.mean_and_spread(scores), f"{of.wanted:g}", seconds]


def work(job: Job) -> Answer:
    """Fit one cell with one seed, and score it."""
    of = CELLS[job["cell"]]
    learned, judged = of.read()
    judging = {one.text for one in judged}
    learned = [one for one in learned if one.text not in judging]
    if of.rows is not None:
        order = np.random.default_rng(job["seed"]).permutation(len(learned))[: of.rows]
        learned = [learned[place] for place in order]
    several = any(len(one.labels) > 1 for one in learned)
    texts, labels = [one.text for one in learned], [labels_of(one, several) for one in learned]
    start = time.perf_counter()
    fitted = finetext.fit(texts, labels, job["method"], seed=job["seed"], device="cpu")
    seconds = time.perf_counter() - start
    data: Any = finetext.read(
        ([one.text for one in judged], [labels_of(one, several) for one in judged]),
        settings=finetext.ReadSettings(multilabel=several, classes=fitted.scheme.names),
    )
    scores = finetext.evaluate(finetext.predict(fitted, data))
    return {"score": scores[of.metric].value, "seconds": seconds, "rows": len(learned)}


def labels_of(row: Row, several: bool) -> Any:
    """The label of a row, or its labels."""
    return list(row.labels) if several else row.labels[0]


if __name__ == "__main__":
    main()
