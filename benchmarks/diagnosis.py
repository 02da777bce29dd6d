"""How long does it take to look through predictions, and how much memory?

    python benchmarks/diagnosis.py

Predictions are made up: 5,427 rows of 28 labels that do not exclude each other (as many as
GoEmotions has to test on), and a million rows of 5 labels that do. Texts are twelve words of a
vocabulary of 2,000. Each is looked through in a process of its own, in which no more than
`--gigabytes` can be had for the arrays: scores and scores of each label with intervals,
calibration, abstaining, prediction sets, the comparison of two sets of predictions, the highest
losses and most frequent confusions as a page, slices, labels that look wrong, and the layout of the
map, which draws 5,000 rows at most. What cleanlab and UMAP take to be imported stands by itself.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import common
import numpy as np

import finetext
from finetext.core.types import Predicted
from finetext.diagnosis.label_errors import suspects_in
from finetext.diagnosis.text_map import MOST_TEXTS, States, layout
from finetext.evaluation.calibration import calibration, fit_temperature
from finetext.evaluation.deciding import selective, set_from
from finetext.report.errors import write_errors_page

SHAPES: Final = {"5,427 x 28": (5_427, 28, True), "1,000,000 x 5": (1_000_000, 5, False)}
VOCABULARY: Final = 2_000
WORDS: Final = 12
WIDTH: Final = 384


def main() -> None:
    """Look through both and print a table."""
    if common.served(work):
        return
    parser = common.parser(__doc__)
    parser.add_argument("--gigabytes", type=float, default=4.0, help="of memory (4)")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    options = parser.parse_args()
    found = {
        name: common.alone(__file__, {"shape": name, "gigabytes": options.gigabytes}, 1)
        for name in options.shapes
    }
    steps = list(next(iter(found.values()))["seconds"])
    for of in found.values():
        steps += [step for step in of["seconds"] if step not in steps]
    shown = {
        name: {step: f"{seconds:.1f}" for step, seconds in of["seconds"].items()}
        for name, of in found.items()
    }
    rows = [[step, *(of.get(step, "-") for of in shown.values())] for step in steps]
    rows.append(["together", *(f"{sum(of['seconds'].values()):.1f}" for of in found.values())])
    rows.append(["peak MiB", *(f"{of['peak']:,.0f}" for of in found.values())])
    what = f"Seconds on one thread, with at most {options.gigabytes:g} GiB of address space added."
    common.finish(options, "Looking through predictions", what,
                  [common.table(["", *found], rows)])  # fmt: skip


def work(job: common.Job) -> common.Answer:
    """Look through one set of predictions."""
    predicted, other = made_up(*SHAPES[job["shape"]])
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize() + int(job["gigabytes"] * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, look in looks(predicted, other, Path(folder) / "errors.html").items():
            started = time.perf_counter()
            look()
            seconds[name] = time.perf_counter() - started
            common.say(f"{name}: {seconds[name]:.1f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "peak": peak}


def looks(
    predicted: Predicted, other: finetext.Predictions, page: Path
) -> dict[str, Callable[[], Any]]:
    """What is done, by name."""
    predictions = predicted.predictions
    several = predictions.scheme.multilabel
    states = np.random.default_rng(0).normal(size=(min(len(predictions.ids), MOST_TEXTS), WIDTH))
    found = {
        "scores": lambda: finetext.evaluate(predictions),
        "scores of each label": lambda: finetext.per_class(predictions),
        "calibration": lambda: (fit_temperature(predictions), calibration(predictions)),
        "prediction sets": lambda: set_from(predictions, 0.9),
        "comparison": lambda: finetext.compare(predictions, other, "macro_f1"),
        "errors": lambda: write_errors_page(finetext.find_errors(predicted), "made-up", page),
        "slices": lambda: finetext.find_slices(predicted),
        "(importing cleanlab and UMAP)": lambda: [
            import_module(name) for name in ("cleanlab.filter", "umap")
        ],
        "labels that look wrong": lambda: suspects_in(predictions, predicted.texts or ()),
        "map": lambda: layout(States(states, "made-up", cosine=True), 0),
    }
    return found if several else found | {"abstaining": lambda: selective(predictions)}


def made_up(rows: int, labels: int, several: bool) -> tuple[Predicted, finetext.Predictions]:
    """Predictions of a good model with texts, and those of a slightly worse one."""
    random = np.random.default_rng(0)
    scheme = finetext.LabelScheme(tuple(f"label {i}" for i in range(labels)), several)
    logits = random.normal(-2 if several else 0, 2, (rows, labels))
    likely = 1 / (1 + np.exp(-logits))
    if several:
        targets = (random.random((rows, labels)) < likely).astype(np.int64)
    else:
        targets = (logits + random.gumbel(size=(rows, labels))).argmax(axis=1)
        likely /= likely.sum(axis=1, keepdims=True)
    words = np.array([f"word{i}" for i in range(VOCABULARY)])
    drawn = (VOCABULARY * random.random((rows, WORDS)) ** 3).astype(np.int64)
    texts = tuple(" ".join(words[row]) for row in drawn)
    ids = tuple(map(str, range(rows)))
    blurred = np.clip(likely + random.normal(0, 0.05, likely.shape), 1e-6, 1 - 1e-6)
    if not several:
        blurred /= blurred.sum(axis=1, keepdims=True)
    predictions = finetext.Predictions(ids, targets, likely, scheme)
    other = finetext.Predictions(ids, targets, blurred, scheme)
    return Predicted("made-up", predictions, texts, "macro_f1"), other


if __name__ == "__main__":
    main()
