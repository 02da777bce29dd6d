"""What the ledger of `minutes.py` says: tables, plots and three summary figures.

Comparisons at equal time take of a contender the last point that is not later; before its first
one it is worth the most frequent label. All are made cell by cell, on the same evaluation rows.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final, NamedTuple

import common
import numpy as np
from common import Answer, Job, Ledger

from finetext.core.wording import counted

REFERENCE: Final = "trainer"
PERMUTATIONS: Final = 19_999
RESAMPLED: Final = 2_000
LEVEL: Final = 0.05

Floats = Any


class Cell(NamedTuple):
    """A set, a number of training rows, and the seed of their draw and of all training."""

    name: str
    size: int
    seed: int


class Truth(NamedTuple):
    """The labels of the evaluation rows of a set."""

    names: list[str]
    labels: list[Any]
    multilabel: bool


class Point(NamedTuple):
    """What a contender was worth after so many seconds."""

    seconds: float
    accuracy: float
    macro_f1: float
    score: float
    predictions: list[Any]


class Results:
    """The answers of a selection of cells and contenders."""

    def __init__(self, options: argparse.Namespace, ledger: Ledger) -> None:
        """Read them; of several versions of finetext the newest, or the one of the options."""
        self.options = options
        self.failures: dict[tuple[str, Cell], str] = {}
        self.versions: dict[str, None] = {}
        self.in_all: dict[tuple[str, Cell], float] = {}
        self._points: dict[tuple[str, Cell], list[Point]] = {}
        wanted = {
            "split": options.split,
            "evaluated": options.evaluated,
            "threads": options.threads,
        }
        for job, answer in ledger.answers():
            cell, name = Cell(job["name"], job["size"], job["seed"]), job["contender"]
            is_wanted = wanted.items() <= job.items() and options.version in (
                None, job.get("version", options.version)
            )  # fmt: skip
            if is_wanted and self._is_selected(cell, name):
                self._add(name, cell, job, answer)

    def _is_selected(self, cell: Cell, name: str) -> bool:
        chosen = self.options
        return (
            cell.name in chosen.sets and cell.size in chosen.sizes and cell.seed < chosen.seeds
            and name in (*chosen.contenders, "majority")
        )  # fmt: skip

    def _add(self, name: str, cell: Cell, job: Job, answer: Answer) -> None:
        key = (name, cell)
        for of in (self.failures, self.in_all, self._points):
            of.pop(key, None)
        if "error" in answer:
            self.failures[key] = answer["error"].strip().splitlines()[-1]
            return
        if "version" in job:
            self.versions[job["version"]] = None
        predictions = json.loads(side_file(self.options, job).read_text())
        is_multilabel = self.truth(cell.name).multilabel
        self.in_all[key] = answer["in_all"]
        self._points[key] = [
            Point(
                of[self.options.clock], of["accuracy"], of["macro_f1"],
                of["macro_f1" if is_multilabel else "accuracy"], labels,
            )
            for of, labels in zip(answer["points"], predictions, strict=True)
        ]  # fmt: skip

    @cache  # noqa: B019 (there is one object of this class)
    def truth(self, name: str) -> Truth:
        """The labels of the evaluation rows of a set."""
        return Truth(**json.loads(truth_file(self.options, name).read_text()))

    def contenders(self) -> list[str]:
        """Those that have a point, in the order of the options."""
        found = {name for name, _ in self._points}
        return [name for name in self.options.contenders if name in found]

    def cells(self, name: str) -> list[Cell]:
        """The cells in which a contender has points."""
        return sorted(cell for of, cell in self._points if of == name)

    def points(self, name: str, cell: Cell) -> list[Point]:
        """The points of a contender, the earliest first; none if it has not had its turn."""
        return self._points.get((name, cell), [])

    def in_all_of(self, name: str, size: int) -> str:
        """Mean seconds of a whole turn with so many rows; "-" if there was none."""
        found = [of for (who, cell), of in self.in_all.items() if (who, cell.size) == (name, size)]
        return f"{fmean(found):.0f}" if found else "-"

    def at(self, name: str, cell: Cell, seconds: float) -> Point:
        """What a contender was worth by then."""
        reached = [point for point in self.points(name, cell) if point.seconds <= seconds]
        return reached[-1] if reached else self.points("majority", cell)[0]


def truth_file(options: argparse.Namespace, name: str) -> Path:
    """The file with the truth of the evaluation rows of a set."""
    folder: Path = options.ledgers / "minutes"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"truth-{name}-{options.split}-{options.evaluated}.json"


def keep_truth(options: argparse.Namespace, name: str, rows: dict[str, Any]) -> None:
    """Keep the labels of the evaluation rows of a set beside the ledger."""
    truth = Truth(rows["names"], rows["truth"], rows["multilabel"])
    truth_file(options, name).write_text(json.dumps(truth._asdict()))


def side_file(options: argparse.Namespace, job: Job) -> Path:
    """The file with the predictions of a turn."""
    words = (str(job[key]) for key in sorted(job) if key != "contender")
    return options.ledgers / "minutes" / f"{job['contender']}-{'-'.join(words)}.json"


def scored(options: argparse.Namespace, job: Job, rows: dict[str, Any], answer: Answer) -> Answer:
    """Put scores in place of the predictions of an answer, which go into a file."""
    truth = Truth(rows["names"], rows["truth"], rows["multilabel"])
    predictions = [point.pop("predictions") for point in answer["points"]]
    for point, labels in zip(answer["points"], predictions, strict=True):
        right = [one == other for one, other in zip(truth.labels, labels, strict=True)]
        point["accuracy"] = fmean(right)
        point["macro_f1"] = macro_f1(truth, labels)
    side_file(options, job).write_text(json.dumps(predictions))
    return answer


def macro_f1(truth: Truth, labels: Sequence[Any]) -> float:
    """Macro F1 over the classes that truth or predictions have."""
    return float(_f1_of(_counts(truth, labels).sum(axis=0)))


def _counts(truth: Truth, labels: Sequence[Any]) -> Floats:
    """Of each row and class 2 x true positives, and false positives + negatives: (n, 2, k)."""
    wanted, found = (_indicators(truth, of) for of in (truth.labels, labels))
    both = wanted * found
    return np.stack([2 * both, wanted + found - 2 * both], axis=1).astype(np.float32)


def _f1_of(counts: Floats) -> Floats:
    """Macro F1 of (..., 2, k) counts."""
    hits, misses = counts[..., 0, :], counts[..., 1, :]
    known = hits + misses > 0
    values = np.where(known, hits / np.maximum(hits + misses, 1), 0.0)
    return values.sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)


def _indicators(truth: Truth, labels: Sequence[Any]) -> Floats:
    table = np.zeros((len(labels), len(truth.names)), dtype=np.int32)
    for row, of in enumerate(labels):
        table[row, of] = 1
    return table


def report(options: argparse.Namespace, ledger: Ledger) -> None:
    """Print tables and figures, and write the plots."""
    results = Results(options, ledger)
    if not results.contenders():
        raise SystemExit("the ledger has nothing of these sets, sizes, seeds and contenders")
    folder = options.pictures or options.ledgers / "minutes"
    folder.mkdir(parents=True, exist_ok=True)
    import minutes_plots

    drawn = [minutes_plots.draw(results, name, folder) for name in options.sets]
    for path in filter(None, drawn):
        common.say(f"wrote {path}")
    clock = "" if options.clock == "seconds" else "Seconds are those of the processor. "
    what = clock + (
        f"{options.split} rows, at most {options.evaluated:,} a set; mean ± standard deviation "
        f"over {counted(options.seeds, 'draw')} of training rows. "
        f"{common.threads_in_words(options.threads)} "
        f"finetext: {', '.join(results.versions) or 'not among them'}. Score: accuracy; macro F1 "
        "of several labels."
    )
    tables = [set_table(results, name) for name in options.sets]
    tables = [
        means_table(results),
        seconds_table(results),
        *tables,
        *summary(results),
        failures(results),
    ]
    common.finish(options, "Accuracy over wall-clock seconds", what, [of for of in tables if of])


def set_table(results: Results, name: str) -> list[str]:
    """Seconds, accuracy and macro F1 of every contender on a set, by number of rows."""
    rows = []
    for size in results.options.sizes:
        for contender in results.contenders():
            last = [
                results.points(contender, cell)[-1]
                for cell in results.cells(contender) if cell[:2] == (name, size)
            ]  # fmt: skip
            if last:
                seconds = common.mean_and_spread([point.seconds for point in last], 1)
                accuracy = common.mean_and_spread([point.accuracy for point in last])
                f1 = common.mean_and_spread([point.macro_f1 for point in last])
                rows.append([f"{size:,}", contender, seconds, accuracy, f1])
    title = f"{name}: rows"
    return (
        common.table([title, "contender", "seconds", "accuracy", "macro F1"], rows) if rows else []
    )


def means_table(results: Results) -> list[str]:
    """Mean score over sets that all contenders have, at their end, and mean seconds until then."""
    sizes, rows = results.options.sizes, []
    for contender in results.contenders():
        line = [contender]
        for size in sizes:
            shared = set.intersection(
                *({cell for cell in results.cells(of) if cell.size == size}
                  for of in results.contenders())
            )  # fmt: skip
            last = [results.points(contender, cell)[-1] for cell in sorted(shared)]
            line += [f"{fmean(of.score for of in last):.3f}"] if last else ["-"]
            line += [f"{fmean(of.seconds for of in last):.0f}"] if last else ["-"]
        rows.append(line)
    titles = [of for size in sizes for of in (f"{size:,} rows: score", "seconds")]
    return common.table(["mean over sets", *titles], rows)


def seconds_table(results: Results) -> list[str]:
    """Mean seconds of a whole turn, prediction included, by number of rows."""
    rows = []
    for contender in results.contenders():
        cells = [results.in_all_of(contender, size) for size in results.options.sizes]
        rows.append([contender, *cells])
    titles = [f"{size:,} rows" for size in results.options.sizes]
    return common.table(["seconds of a turn in all", *titles], rows)


def failures(results: Results) -> list[str]:
    """The turns without an answer."""
    lines = [
        f"- {cell.name}, {cell.size:,} rows, seed {cell.seed}, {name}: {why}"
        for (name, cell), why in sorted(results.failures.items())
    ]
    return ["Failed:", "", *lines] if lines else []


def summary(results: Results) -> list[list[str]]:
    """The three figures for each contender of finetext, and the list of its significant losses."""
    ours = [name for name in results.contenders() if name.startswith("finetext")]
    rows, lost = [], []
    for name in ours:
        losses, compared = significant_losses(results, name)
        at_end, _ = significant_losses(results, name, at_end=True)
        lost += [f"- {name}, at a peer's time: {', '.join(losses) or 'none'}"]
        lost += [f"- {name}, both at their end: {', '.join(at_end) or 'none'}"]
        counts = [f"{len(losses)} of {compared}", f"{len(at_end)} of {compared}"]
        rows.append([name, time_to_reach(results, name), difference(results, name), *counts])
    titles = [
        "contender", f"seconds to reach {REFERENCE}'s final score, share of its seconds",
        f"points above {REFERENCE} at its time [95%]", "significant losses at a peer's time",
        "and both at their end",
    ]  # fmt: skip
    note = (
        "Losses: paired permutation tests on the evaluation rows, one for each set, size and peer, "
        f"over the seeds that both have; significant at {LEVEL:.0%} after Holm's correction for "
        "all tests of a contender. In points; * where it had no model with one of the "
        "seeds, because it came later or failed: then it is worth the most frequent label."
    )
    return [common.table(titles, rows), [note, "", *lost]] if rows else []


def time_to_reach(results: Results, name: str) -> str:
    """Median over sets and sizes of the share of the reference's time, and where it never does.

    A cell where it is never reached has an infinite ratio; of a cell the median over seeds.
    """
    ratios: dict[tuple[str, int], list[float]] = {}
    for cell in _shared(results, name, REFERENCE):
        goal = results.points(REFERENCE, cell)[-1]
        times = [of.seconds for of in results.points(name, cell) if of.score >= goal.score]
        ratio = min(times, default=math.inf) / goal.seconds
        ratios.setdefault(cell[:2], []).append(ratio)
    if not ratios:
        return "-"
    medians = [median(of) for of in ratios.values()]
    never = sum(map(math.isinf, medians))
    return f"{median(medians):.2f}; never in {never} of {len(medians)}"


def difference(results: Results, name: str) -> str:
    """Mean difference at the reference's own time in points, with its interval.

    The interval resamples sets and sizes, and within each the seeds.
    """
    found: dict[tuple[str, int], list[float]] = {}
    for cell in _shared(results, name, REFERENCE):
        goal = results.points(REFERENCE, cell)[-1]
        gain = 100 * (results.at(name, cell, goal.seconds).score - goal.score)
        found.setdefault(cell[:2], []).append(gain)
    if not found:
        return "-"
    cells = [np.array(of) for of in found.values()]
    rng = np.random.default_rng(0)
    means = [
        fmean(
            rng.choice(cells[place], len(cells[place])).mean()
            for place in rng.integers(len(cells), size=len(cells))
        )
        for _ in range(RESAMPLED)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{fmean(of.mean() for of in cells):+.1f} [{low:+.1f}, {high:+.1f}]"


def significant_losses(results: Results, name: str, at_end: bool = False) -> tuple[list[str], int]:
    """In words where a contender is significantly worse than a peer at its time, and the tests.

    Args:
        results: of all contenders.
        name: of the one that may lose.
        at_end: whether its last point counts, however late it is.
    """
    tests: list[tuple[float, str]] = []
    peers = [one for one in results.contenders() if not one.startswith("finetext")]
    for peer in peers:
        shared = _shared(results, name, peer)
        for set_and_size in dict.fromkeys(cell[:2] for cell in shared):
            pairs, mark = [], ""
            for cell in (cell for cell in shared if cell[:2] == set_and_size):
                goal = results.points(peer, cell)[-1]
                ours = results.at(name, cell, math.inf if at_end else goal.seconds)
                mark = "*" if ours.seconds == 0 else mark
                pairs.append((ours, goal))
            gap = 100 * fmean(ours.score - theirs.score for ours, theirs in pairs)
            p = 1.0
            if gap < 0:
                both = [(ours.predictions, theirs.predictions) for ours, theirs in pairs]
                p = p_value(results.truth(set_and_size[0]), both)
            tests.append((p, f"{set_and_size[0]} {set_and_size[1]:,} {peer} {gap:+.1f}{mark}"))
    return holm(tests), len(tests)


def _shared(results: Results, name: str, other: str) -> list[Cell]:
    """The cells of both; where the first one failed, it is worth the most frequent label."""
    failed = [cell for who, cell in results.failures if who == name]
    cells = sorted([*results.cells(name), *failed])
    return [cell for cell in cells if results.points(other, cell)]


def holm(tests: Sequence[tuple[float, str]]) -> list[str]:
    """The tests whose p-value stands Holm's correction (Holm 1979)."""
    found = []
    for place, (p, words) in enumerate(sorted(tests)):
        if p * (len(tests) - place) > LEVEL:
            break
        found.append(words)
    return found


def p_value(truth: Truth, pairs: Sequence[tuple[list[Any], list[Any]]]) -> float:
    """Two-sided p-value of a paired permutation test of the mean score over the seeds.

    Under the null hypothesis the two contenders may swap their predictions of any row, in all
    seeds at once.
    """
    rng = np.random.default_rng(0)
    statistic = _macro_f1_swapped(truth, pairs) if truth.multilabel else _swapped(truth, pairs)
    rows = len(truth.labels)
    observed = abs(statistic(np.zeros((1, rows), dtype=np.float32))[0])
    as_far = 0
    for start in range(0, PERMUTATIONS, 1_000):
        count = min(1_000, PERMUTATIONS - start)
        swaps = rng.integers(0, 2, size=(count, rows)).astype(np.float32)
        as_far += int((np.abs(statistic(swaps)) >= observed - 1e-9).sum())
    return (1 + as_far) / (1 + PERMUTATIONS)


def _swapped(
    truth: Truth, pairs: Sequence[tuple[list[Any], list[Any]]]
) -> Callable[[Floats], Floats]:
    wanted = np.array(truth.labels)
    gains = np.mean(
        [
            (np.array(ours) == wanted).astype(float) - (np.array(theirs) == wanted)
            for ours, theirs in pairs
        ],
        axis=0,
    )
    return lambda swaps: (1 - 2 * swaps) @ gains / len(wanted)


def _macro_f1_swapped(
    truth: Truth, pairs: Sequence[tuple[list[Any], list[Any]]]
) -> Callable[[Floats], Floats]:
    counts = [tuple(_counts(truth, of) for of in pair) for pair in pairs]

    def statistic(swaps: Floats) -> Floats:
        found = np.zeros(len(swaps))
        for ours, theirs in counts:
            change = np.tensordot(swaps, theirs - ours, axes=1)
            found += _f1_of(ours.sum(axis=0) + change) - _f1_of(theirs.sum(axis=0) - change)
        return found / len(counts)

    return statistic
