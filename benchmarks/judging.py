"""Are the verdicts of finetext right as often as they promise?

Rows and decisions are drawn from known methods, and judged by the code that judges runs.

    python benchmarks/judging.py shift --record    # are warnings of shift raised only where due?
    python benchmarks/judging.py choice --record   # is a cheaper method called as good falsely?
    python benchmarks/judging.py choice-by-folds --record  # likewise in cross-validated runs?
    python benchmarks/judging.py differences --record  # are equal, unlike methods said to differ?
    python benchmarks/judging.py seeds --record    # do intervals over rows and seeds hold?
    python benchmarks/judging.py calibration --record  # are verdicts on probabilities and targets?
    python benchmarks/judging.py cross-validation --record  # do intervals of such runs hold?
    python benchmarks/judging.py decisions-by-folds --record  # are their rules judged fairly?
    python benchmarks/judging.py accesses --record # how optimistic is the best of several?
    python benchmarks/judging.py duplicates --record  # are copies of a text kept in one split?

Only cross-validation and decisions-by-folds train; they and duplicates need data (`FINETEXT_DATA`).
Each section takes some minutes on one thread.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
from common import finish, parser, say, share, table
from cross_validation import DRAWS, FOLDS, REPEATS, cross_validation, decisions_by_folds
from planted_copies import duplicates
from shift import shift
from stated_probabilities import PARTS, calibration

from finetext.core.arrays import Floats, Integers
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.choice import MARGIN, Choice, Grounds, choose, choose_among
from finetext.evaluation.compare import compare, estimate_score
from finetext.evaluation.estimates import SIGNIFICANT
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.evaluation.metrics import metric_for
from finetext.report.optimism import optimism

FIVE: Final = LabelScheme(("a", "b", "c", "d", "e"))
SHARES: Final = np.array((0.45, 0.25, 0.16, 0.10, 0.04))
ACCURACY: Final = 0.85
"""Of the best method, in every class."""
METRICS: Final = ("accuracy", "macro_f1")
GAPS: Final = (0.0, MARGIN / 2, MARGIN, 2 * MARGIN, 0.2)
ROWS: Final = (9, 15, 25, 60, 150, 300, 1000)
FEWEST: Final = 149
"""Rows of which one at least shows a difference of the margin with 95%."""
FEW: Final = (149, 200, 300)
"""Rows of cross-validated runs."""
CANDIDATES: Final = (1, 3)
GAINED: Final = {"both ways": 0.05, "one way": 0.0}
"""Share of all rows that only the cheaper method has right, by the kind of its disagreement."""
TWO: Final = LabelScheme(("x", "y"))
SEED_ROWS: Final = 2000
SEED_SD: Final = 0.015
SEED_ACCURACY: Final = 0.8
DIFFICULT: Final = 0.9
"""Correlation of difficulty between methods that are chosen from."""
ALIKE: Final = 0.6
"""Correlation of difficulty between trainings, whether of one method or of two."""


def predictions(scheme: LabelScheme, targets: Integers, given: Integers) -> Predictions:
    """Predictions of such labels, each with probability 1."""
    ids = tuple(map(str, range(len(targets))))
    return Predictions(ids, targets, np.eye(len(scheme))[given], scheme)


class Method(NamedTuple):
    """A cheaper method: how often it differs from the best one, in every class alike.

    Attributes:
        lost: share of the rows that the best has right and it has wrong.
        gained: share of the rows that the best has wrong and it has right.
    """

    lost: float
    gained: float

    def decide(self, truth: Integers, best: Integers, random: np.random.Generator) -> Integers:
        """The decisions of the method beside those of the best."""
        right, chance = best == truth, random.random(len(truth))
        given = np.where(~right & (chance < self.gained), truth, best)
        return np.where(right & (chance < self.lost), other_class(truth, random), given)

    def confusion(self) -> Floats:
        """Expected shares of (truth, decision)."""
        right = ACCURACY * (1 - self.lost) + (1 - ACCURACY) * self.gained
        wrong = SHARES[None, :].repeat(len(SHARES), 0) * (1 - np.eye(len(SHARES)))
        wrong /= wrong.sum(axis=1, keepdims=True)
        return np.asarray(SHARES[:, None] * (right * np.eye(len(SHARES)) + (1 - right) * wrong))


def other_class(truth: Integers, random: np.random.Generator) -> Integers:
    """A class other than the true one, by the frequency of classes."""
    odds = np.log(SHARES) + random.gumbel(size=(len(truth), len(SHARES)))
    odds[np.arange(len(truth)), truth] = -np.inf
    return np.asarray(odds.argmax(axis=1))


def expected(metric: str, confusion: Floats) -> float:
    """Accuracy or macro F1 of expected shares."""
    hits = np.diag(confusion)
    if metric == "accuracy":
        return float(hits.sum())
    return float((2 * hits / (confusion.sum(axis=0) + confusion.sum(axis=1))).mean())


def cheaper(metric: str, gap: float, gained: float) -> Method:
    """The method that is so far behind the best in expectation."""
    from scipy.optimize import brentq

    of_wrong = gained / (1 - ACCURACY)
    best = expected(metric, Method(0, 0).confusion())

    def behind(lost: float) -> float:
        return best - expected(metric, Method(lost, of_wrong).confusion()) - gap

    return Method(float(brentq(behind, 0, 0.9)), of_wrong)


def drawn(
    method: Method, rows: int, count: int, random: np.random.Generator
) -> dict[str, list[Predictions]]:
    """The majority class, `count` cheaper methods and the best one on rows that are drawn."""
    truth = random.choice(len(SHARES), size=rows, p=SHARES)
    right = random.random(rows) < ACCURACY
    best = np.where(right, truth, other_class(truth, random))
    given = {"majority": np.zeros_like(truth)}
    given |= {f"cheap {n}": method.decide(truth, best, random) for n in range(count)}
    return {name: [predictions(FIVE, truth, of)] for name, of in (given | {"best": best}).items()}


class Chosen(NamedTuple):
    """What was chosen with the truly best method as the best, and with the best on these rows."""

    known: Choice
    found: Choice


def chosen(sets: dict[str, list[Predictions]], metric: str) -> Chosen:
    """Choose as runs do."""
    of = metric_for(metric, FIVE)
    cost = {name: float(place) for place, name in enumerate(sets)}
    grounds = Grounds.of(metric, "validation", sets["best"], "majority")
    known = choose_among(sets, cost, "best", grounds)
    best = max((name for name in sets if name != "majority"), key=lambda name: of(sets[name][0]))
    found = known if best == "best" else choose_among(sets, cost, best, grounds)
    return Chosen(known, found)


def simulate_choice(
    metric: str, kind: str, gap: float, options: argparse.Namespace
) -> Iterator[list[Chosen]]:
    """All choices for each number of rows and of cheaper methods."""
    method = cheaper(metric, gap, GAINED[kind])
    for count in CANDIDATES:
        for rows in ROWS:
            key = [options.seed, METRICS.index(metric), list(GAINED).index(kind),
                   round(1000 * gap), count, rows]  # fmt: skip
            random = np.random.default_rng(key)
            draws = options.simulations // (1 if gap == MARGIN else 4)
            if rows < FEWEST:  # where nothing is called as good
                draws = options.simulations // 8
            yield [chosen(drawn(method, rows, count, random), metric) for _ in range(draws)]


def choice(options: argparse.Namespace) -> None:
    """False "as good", wrong recommendations, and how often an equal is accepted."""
    tables: list[list[str]] = []
    titles = [f"{count} cheaper, {rows:,} rows" for count in CANDIDATES for rows in ROWS]
    for metric in options.metrics:
        for kind in GAINED:
            started = time.perf_counter()
            gaps = options.gaps
            seen = {gap: list(simulate_choice(metric, kind, gap, options)) for gap in gaps}
            rows = []
            for place, title in enumerate(titles):
                good = [
                    [any(c.status == "as good" for c in of.known.candidates) for of in draws[place]]
                    for draws in seen.values()
                ]
                wrong = [
                    [of.found.recommended != "best" for of in seen[gap][place]]
                    for gap in gaps
                    if gap > MARGIN
                ]
                rows.append([title, *(f"{np.mean(of):.1%}" for of in (*good, *wrong))])
            heads = [f"{metric}, {kind}", *(f"as good, {gap:g} behind" for gap in gaps)]
            heads += [f"recommended, {gap:g} behind" for gap in gaps if gap > MARGIN]
            tables.append(table(heads, rows))
            say(f"{metric}, {kind}: {time.perf_counter() - started:.0f} s")
    error = math.sqrt(SIGNIFICANT * (1 - SIGNIFICANT) / options.simulations)
    what = (
        f"{options.simulations:,} draws of each kind with a gap of {MARGIN:g}, a quarter as many "
        f"with others, an eighth with less than {FEWEST} rows, of five classes "
        f"({', '.join(f'{of:.0%}' for of in SHARES)}). The best "
        f"method has {ACCURACY:.0%} of each class right, the cheaper ones are behind it by the "
        f"gap. Both ways: they have {GAINED['both ways']:.0%} of the rows right that the best has "
        "wrong, and it has so many and the gap; one way: they have nothing right that the best "
        f'has wrong, the hardest case. Margin {MARGIN:g}, one-sided 5%, Holm. "As good": any of '
        'the cheaper methods is called as good as the truly best one. "Recommended": any is, '
        "where the best is chosen on the same rows. Standard error of the simulation at 5%: "
        f"{error:.1%}."
    )
    finish(options, "Is a cheaper method called as good falsely?", what, tables)


def chosen_by_folds(
    sets: dict[str, list[Predictions]], metric: str, random: np.random.Generator
) -> Choice:
    """Choose as cross-validated runs do, where every repeat decides alike."""
    rows = len(sets["best"][0])
    fold = [random.permutation(rows) % FOLDS for _ in range(REPEATS)]
    found = {
        name: FoldPredictions(tuple(
            tuple(of[0].select(each == number) for number in range(FOLDS)) for each in fold
        ))
        for name, of in sets.items()
    }  # fmt: skip
    leads, over = (
        {name: of.minus(found[beside], metric) for name, of in found.items()}
        for beside in ("best", "majority")
    )
    cost = {name: float(place) for place, name in enumerate(sets)}
    grounds = Grounds.of(metric, "cross-validation", sets["best"], "majority")
    cheap = {name: of for name, of in leads.items() if name.startswith("cheap")}
    del over["majority"]
    return choose(cheap, cost, "best", grounds, over=over)


def choice_by_folds(options: argparse.Namespace) -> None:
    """False "as good" in cross-validated runs."""
    tables = []
    for metric in options.metrics:
        rows = []
        for kind, gained in GAINED.items():
            method, cells = cheaper(metric, MARGIN, gained), list[str]()
            for count in FEW:
                random = np.random.default_rng([options.seed, METRICS.index(metric), count])
                cells.append(share([
                    chosen_by_folds(drawn(method, count, 1, random), metric, random)
                    .candidates[0].status == "as good"
                    for _ in range(options.simulations)
                ]))  # fmt: skip
            rows.append([f"{metric}, {kind}", *cells])
            say(" ".join(rows[-1]))
        tables.append(table(["as good, the margin behind", *(f"{n} rows" for n in FEW)], rows))
    what = (
        f"{options.simulations:,} draws of each kind with a gap of {MARGIN:g}, of the classes and "
        f"methods of `choice`, in {FOLDS} folds {REPEATS} times. All repeats decide "
        "alike, so that they tell no more than one. One-sided 5%. In brackets: 95% interval of the "
        "simulation."
    )
    title = "Is a cheaper method called as good falsely in cross-validated runs?"
    finish(options, title, what, tables)


def habits(recall: float, of_rarest: float, tilt: float) -> Floats:
    """Shares of decisions for each class, (k, k).

    All classes have a recall but the rarest, which has its own and is `tilt` times as tempting.
    """
    tempting = SHARES.copy()
    tempting[-1] *= tilt
    recalls = np.full(len(SHARES), recall)
    recalls[-1] = of_rarest
    wrong = tempting[None, :].repeat(len(SHARES), 0) * (1 - np.eye(len(SHARES)))
    wrong /= wrong.sum(axis=1, keepdims=True)
    return np.asarray(np.diag(recalls) + (1 - recalls)[:, None] * wrong)


def unlike(metric: str) -> tuple[Floats, Floats]:
    """Habits of a method that gives the rarest class freely, and of an equal that is wary of it."""
    from scipy.optimize import brentq

    free = habits(0.8, 0.9, 4.0)
    wanted = expected(metric, SHARES[:, None] * free)

    def above(recall: float) -> float:
        return expected(metric, SHARES[:, None] * habits(recall, 0.45, 0.1)) - wanted

    return free, habits(float(brentq(above, 0.3, 0.999)), 0.45, 0.1)


def differences(options: argparse.Namespace) -> None:
    """How often methods that are equal, but unlike, are said to differ."""
    rows = []
    for metric in options.metrics:
        pairs = {"alike": (habits(0.8, 0.8, 1.0),) * 2, "unlike": unlike(metric)}
        for kind, both in pairs.items():
            cells = []
            for count in (25, 60, 150, 300, 1000):
                random = np.random.default_rng([options.seed, METRICS.index(metric), count])
                alarms = list[bool]()
                for _ in range(options.simulations):
                    truth = random.choice(len(SHARES), size=count, p=SHARES)
                    # Half of the rows have one draw for both, so that methods often agree.
                    chance = random.random((2, count))
                    chance[1] = np.where(random.random(count) < 0.5, chance[0], chance[1])
                    one, other = (
                        predictions(
                            FIVE, truth, (of.cumsum(axis=1)[truth] < u[:, None]).sum(axis=1)
                        )
                        for of, u in zip(both, chance, strict=True)
                    )
                    alarms.append(compare(one, other, metric).p_value < 0.05)
                cells.append(share(alarms))
            rows.append([f"{metric}, {kind}", *cells])
            say(rows[-1][0])
    heads = ["equals said to differ (p < 0.05)", *(f"{n:,} rows" for n in (25, 60, 150, 300, 1000))]
    what = (
        f"{options.simulations:,} draws of each kind of five classes "
        f"({', '.join(f'{of:.0%}' for of in SHARES)}). Unlike: one method gives the rarest class "
        "freely (recall 90%), the other is wary of it (recall 45%), and the other classes make up "
        "for that, so that the metric is equal. In brackets: 95% interval of the simulation."
    )
    finish(options, "Equal methods that are unlike", what, [table(heads, rows)])


def of_seeds(accuracies: Floats, difficulty: Floats, targets: Integers,
             random: np.random.Generator) -> list[Predictions]:  # fmt: skip
    """One set of predictions for each training, which has such an accuracy."""
    from scipy.special import ndtri

    sets = []
    for accuracy in accuracies:
        own = math.sqrt(1 - ALIKE) * random.normal(size=len(targets))
        right = math.sqrt(ALIKE) * difficulty + own < ndtri(accuracy)
        sets.append(predictions(TWO, targets, np.where(right, targets, 1 - targets)))
    return sets


def seeds(options: argparse.Namespace) -> None:
    """Coverage of intervals over rows and seeds, and false alarms between equal methods."""
    rows = []
    for metric in options.metrics:
        of = metric_for(metric, TWO)
        for count in options.seeds:
            started = time.perf_counter()
            held, alarms = list[bool](), list[bool]()
            for number in range(options.simulations):
                random = np.random.default_rng([options.seed, METRICS.index(metric), count, number])
                targets = random.integers(2, size=SEED_ROWS)
                difficulty = random.normal(size=SEED_ROWS)
                one, other = (
                    of_seeds(random.normal(SEED_ACCURACY, SEED_SD, count), difficulty, targets,
                             random)
                    for _ in range(2)
                )  # fmt: skip
                low, high = estimate_score(of, one).interval()
                held.append(low <= SEED_ACCURACY <= high)
                alarms.append(compare(one, other, metric).p_value < 0.05)
            rows.append([metric, str(count), share(held), share(alarms)])
            say(f"{metric}, {count} seeds: {time.perf_counter() - started:.0f} s")
    heads = ["metric", "seeds", "95% interval holds the method's mean", "equals said to differ"]
    what = (
        f"{options.simulations:,} draws of {SEED_ROWS:,} rows of two classes and two equal methods "
        f"of {SEED_ACCURACY:.0%} on average, whose trainings vary by a standard deviation of "
        f"{SEED_SD:g}. With one seed the interval is over rows alone, about this model. In "
        "brackets: 95% interval of the simulation."
    )
    finish(options, "Intervals over rows and seeds", what, [table(heads, rows)])


def accesses(options: argparse.Namespace) -> None:
    """How far the best of several equal methods scores above the truth, on the same test rows."""
    from scipy.special import ndtri

    rows, counts = [], (2, 5, 20, 50)
    for accuracy in (0.7, 0.85, 0.95):
        for n in (50, 150, 1000):
            random = np.random.default_rng([options.seed, n])
            highest, same = {count: list[float]() for count in counts}, list[float]()
            for _ in range(options.simulations):
                own = math.sqrt(1 - DIFFICULT) * random.normal(size=(max(counts), n))
                right = math.sqrt(DIFFICULT) * random.normal(size=n) + own < ndtri(accuracy)
                scores = right.mean(axis=1) - accuracy
                same.append(float(np.mean(right[0] == right[1])))
                for count, of in highest.items():
                    of.append(float(scores[:count].max()))
            alike = 1 - (1 - float(np.mean(same))) / (2 * accuracy * (1 - accuracy))
            error = math.sqrt(accuracy * (1 - accuracy) / n)
            cells = (f"{np.mean(of):.3f} ({optimism(k, error):.3f})" for k, of in highest.items())
            rows.append([f"{accuracy:g}", f"{n:,}", f"{alike:.2f}", *cells])
    heads = ["accuracy", "rows", "correlation", *(f"best of {count}" for count in counts)]
    what = (
        f"{options.simulations:,} draws of test rows and of equal methods that are right on mostly "
        "the same ones. Correlation: between two methods, of which rows are right. How far the "
        "best scores above the truth on average; in parentheses what the report says."
    )
    finish(options, "Optimism of the best of several on one test set", what, [table(heads, rows)])


SECTIONS: Final[dict[str, Callable[[argparse.Namespace], None]]] = {
    "shift": shift,
    "accesses": accesses,
    "choice": choice,
    "choice-by-folds": choice_by_folds,
    "cross-validation": cross_validation,
    "decisions-by-folds": decisions_by_folds,
    "duplicates": duplicates,
    "differences": differences,
    "seeds": seeds,
    "calibration": calibration,
}


def main() -> None:
    """Run one section."""
    made = parser(__doc__)
    made.add_argument("section", choices=SECTIONS)
    made.add_argument("--simulations", type=int, default=400, help="draws of each kind (400)")
    made.add_argument("--metrics", nargs="+", default=METRICS, choices=METRICS)
    made.add_argument("--rows", nargs="+", type=int, default=DRAWS, choices=DRAWS,
                      help="of the sections that train (all)")  # fmt: skip
    made.add_argument("--gaps", nargs="+", type=float, default=GAPS, choices=GAPS,
                      help="of choice (all)")  # fmt: skip
    made.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS,
                      help="of calibration (all)")  # fmt: skip
    made.add_argument("--seeds", nargs="+", type=int, default=(1, 3, 5), help="of seeds (1 3 5)")
    made.add_argument("--seed", type=int, default=0)
    options = made.parse_args()
    SECTIONS[options.section](options)


if __name__ == "__main__":
    main()
