"""How many wrong labels does `find_label_errors` find?

    FINETEXT_DATA=../shared/data python benchmarks/planted_noise.py

5% of the labels of BBC News (2,225 articles), of the emotion tweets (16,000 of training), of
banking77 (10,003 queries of training, 77 classes) and of the film snippets (12,808) are each
changed to another class, drawn evenly. The rule by which labels are doubted was chosen on the first
two sets, with other labels changed; the last two had no say.

Precision is the share of a list that was changed, recall the share of what was changed that is on
it: for lists of several lengths, from the top of the ranking, and for the list that confident
learning itself ends. A list drawn at random has a precision of 5%. Labels that were wrong before
count against precision.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import common
import numpy as np

import finetext
from finetext.core import registry
from finetext.core.contracts import FitContext
from finetext.core.environment import cache_folder
from finetext.diagnosis.label_errors import label_quality, out_of_fold

CHANGED: Final = 0.05
LENGTHS: Final = (0.005, 0.01, 0.025, 0.05, 0.10)
FILES: Final = {
    "bbc": "bbc_news/bbc_news.tar.gz",
    "emotion": "emotion/train.txt",
    "banking": "banking77/train.csv",
    "films": "rotten_tomatoes_movies/rotten_tomatoes_movies.csv",
}
TITLES: Final = {"bbc": "BBC News", "emotion": "emotion", "banking": "banking77", "films": "films"}


def main() -> None:
    """Measure every data set with every seed and print the tables."""
    if common.served(work):
        return
    parser = common.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=list(FILES), choices=list(FILES))
    parser.add_argument("--method", default="tfidf", help="tfidf, or probe with minilm (tfidf)")
    parser.add_argument("--seeds", type=int, default=3, help="how many (3)")
    options = parser.parse_args()
    ledger = common.Ledger("planted_noise", options.ledgers)
    tables = []
    for name in options.data:
        answers = []
        for seed in range(options.seeds):
            job = {"data": name, "method": options.method, "seed": seed, "device": options.device}
            answers.append(
                ledger.get(job, lambda job=job: common.alone(__file__, job, options.threads))
            )
            common.say(f"{name}, seed {seed}: {answers[-1]['seconds']:.0f} s")
        tables.append(table_of(name, answers))
    what = (
        f"{CHANGED:.0%} of the labels changed at random; {options.method}, out of five folds; mean "
        f"and standard deviation of {options.seeds} seeds, which choose the labels, the folds and "
        "the training. " + common.threads_in_words(options.threads)
    )
    common.finish(options, "Planted wrong labels", what, tables)


def work(job: common.Job) -> common.Answer:
    """Precision and recall with one seed, in a process of its own."""
    data = finetext.read(Path(os.environ["FINETEXT_DATA"]) / FILES[job["data"]])
    noisy, is_changed = planted(data, job["seed"])
    context = FitContext(seed=job["seed"], device=job["device"], cache=cache_folder())
    started = time.perf_counter()
    predictions = out_of_fold(noisy, registry.load("methods", job["method"])(), 5, context)
    quality, wrong = label_quality(predictions)
    seconds = time.perf_counter() - started
    order = np.argsort(quality, kind="stable")
    lists = [order[: round(share * len(order))] for share in LENGTHS]
    found = [measured(rows, is_changed) for rows in [*lists, np.flatnonzero(wrong)]]
    right = predictions.probabilities.argmax(axis=1) == data.targets
    return {"lists": found, "seconds": seconds, "rows": len(data), "accuracy": float(right.mean())}


def planted(data: finetext.Dataset, seed: int) -> tuple[finetext.Dataset, Any]:
    """A copy with wrong labels, and (n,) which they are."""
    assert data.scheme is not None
    generator = np.random.default_rng([seed, len(data)])
    rows = generator.choice(len(data), round(CHANGED * len(data)), replace=False)
    targets = data.targets.copy()
    targets[rows] += generator.integers(1, len(data.scheme), len(rows))
    labels = data.scheme.decode(targets % len(data.scheme))
    table = data.table.remove_columns("label").add_column("label", labels)
    is_changed = np.isin(np.arange(len(data)), rows)
    return finetext.Dataset(table, data.scheme), is_changed


def measured(rows: Any, is_changed: Any) -> dict[str, float]:
    """Length, precision and recall of a list of rows."""
    found = float(is_changed[rows].sum())
    return {
        "length": len(rows),
        "precision": found / max(len(rows), 1),
        "recall": found / float(is_changed.sum()),
    }


def table_of(name: str, answers: list[common.Answer]) -> list[str]:
    """A line for every length."""
    titles = [f"{TITLES[name]}: list", "rows", "precision", "recall", "a random list"]
    return common.table(titles, list(lines_of(answers)))


def lines_of(answers: list[common.Answer]) -> Iterator[list[str]]:
    """The cells of the table of one data set."""
    names = [f"{share:.1%} of all rows" for share in LENGTHS] + ["what confident learning chose"]
    for place, name in enumerate(names):
        lists = [answer["lists"][place] for answer in answers]
        yield [
            name,
            common.mean_and_spread([one["length"] for one in lists], 0),
            common.mean_and_spread([one["precision"] for one in lists]),
            common.mean_and_spread([one["recall"] for one in lists]),
            f"{CHANGED:.3f}",
        ]
    accuracy = common.mean_and_spread([answer["accuracy"] for answer in answers])
    yield ["(accuracy on the true labels)", f"{answers[0]['rows']:,}", accuracy, "", ""]


if __name__ == "__main__":
    main()
