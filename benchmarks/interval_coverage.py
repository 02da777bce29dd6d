"""Do intervals, tests and prediction sets keep what they promise?

A model is known in full: 200,000 predictions with their true labels, of five classes of which the
rarest has 4%. Test sets are drawn from them, and each is judged with the defaults of finetext:
does the 95% interval have the true value in it; is a difference found between two methods that are
equal (unlike methods of equal macro F1 are in judging.py); do prediction sets hold the truth as
often as they say? In the population with groups the rows of a group are alike in label and
difficulty, and whole groups are drawn.

    python benchmarks/interval_coverage.py --record

Nothing is trained, and no data are needed. One thread takes about ten minutes; for sharper figures
of small test sets: `--rows 300 1000 --simulations 2000`.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from dataclasses import replace
from statistics import fmean, stdev
from typing import Final, NamedTuple

import numpy as np
from common import finish, parser, say, share, table

import finetext
from finetext.core.arrays import Floats, Integers, probabilities_of
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.deciding import covered, set_from
from finetext.evaluation.metrics import metric_for
from finetext.evaluation.proportions import QUANTILE

SCHEME: Final = LabelScheme(("a", "b", "c", "d", "e"))
SHARES: Final = (0.45, 0.25, 0.16, 0.10, 0.04)
SKILL: Final = 2.0
NOISE: Final = 0.8
POPULATION: Final = 200_000
GROUP_ROWS: Final = 5
METRICS: Final = ("accuracy", "macro_f1", "log_loss")
COVERAGES: Final = (0.8, 0.9, 0.95)
VALIDATION_ROWS: Final = 1000


class Population(NamedTuple):
    """Rows with two methods that are alike: one signal, each sees it through noise of its own.

    Attributes:
        targets: (n,).
        methods: the probabilities of each, (n, k).
        groups: number of groups, which have `GROUP_ROWS` rows each; None without groups.
    """

    targets: Integers
    methods: tuple[Floats, Floats]
    groups: int | None


def population(grouped: bool) -> Population:
    """A known model on all the rows there are."""
    random = np.random.default_rng(0)
    n, k = POPULATION, len(SHARES)
    groups = n // GROUP_ROWS if grouped else None
    targets = random.choice(k, size=n, p=SHARES)
    signal = random.normal(size=(n, k)) + np.log(SHARES)
    if groups is not None:
        of_row = np.arange(n) // GROUP_ROWS
        usual = random.choice(k, size=groups, p=SHARES)
        targets = np.where(random.random(n) < 0.5, usual[of_row], targets)
        signal += random.normal(size=(groups, k))[of_row]
    signal[np.arange(n), targets] += SKILL
    first, second = (
        probabilities_of(signal + NOISE * random.normal(size=(n, k)), False) for _ in range(2)
    )
    return Population(targets, (first, second), groups)


def drawn(
    of: Population, rows: int, random: np.random.Generator
) -> tuple[Predictions, Predictions]:
    """Two methods on a test set of so many rows, drawn by group where there are groups.

    In each row or group it is up to chance which method is the first, so that the two are equal:
    over all such draws they do not differ at all.
    """
    if of.groups is None:
        chosen, names = random.integers(len(of.targets), size=rows), None
        units = np.arange(rows)
    else:
        firsts = random.integers(of.groups, size=rows // GROUP_ROWS) * GROUP_ROWS
        chosen = (firsts[:, None] + np.arange(GROUP_ROWS)).ravel()
        units = np.arange(len(chosen)) // GROUP_ROWS
        names = tuple(map(str, units))
    swapped = random.integers(2, size=len(units))[units][:, None] == 1
    one, other = (of.methods[i][chosen] for i in (0, 1))
    ids = tuple(map(str, range(len(chosen))))
    made = [
        Predictions(ids, of.targets[chosen], likely, SCHEME, groups=names)
        for likely in (np.where(swapped, other, one), np.where(swapped, one, other))
    ]
    return made[0], made[1]


def true_values(of: Population) -> dict[str, float]:
    """Each metric on the whole population, halfway between its two methods, which nearly agree."""
    ids = tuple(map(str, range(len(of.targets))))
    methods = [Predictions(ids, of.targets, likely, SCHEME) for likely in of.methods]
    metrics = {name: metric_for(name, SCHEME) for name in METRICS}
    return {name: float(np.mean(list(map(metric, methods)))) for name, metric in metrics.items()}


Seen = defaultdict[str, list[float]]


def simulate(of: Population, rows: int, options: argparse.Namespace) -> Seen:
    """What was seen in each simulation, as lists of 0 and 1, or of shares."""
    truth = true_values(of)
    seen: Seen = defaultdict(list)
    for number in range(options.simulations):
        random = np.random.default_rng([options.seed, rows, of.groups or 0, number])
        one, other = drawn(of, rows, random)
        for name, score in finetext.evaluate(one, seed=number, metrics=METRICS).items():
            seen[f"held {name}"].append(score.low <= truth[name] <= score.high)
        for name in METRICS:
            found = finetext.compare(one, other, name, seed=number)
            low, high = found.difference.low, found.difference.high
            seen[f"alarm {name}"].append(found.p_value < 0.05)
            seen[f"zero {name}"].append(low <= 0 <= high)
        validation, _ = drawn(of, VALIDATION_ROWS, random)
        for coverage in COVERAGES:
            decision = replace(one.decision, set_from=set_from(validation, coverage))
            hits = covered(replace(one, decision=decision))
            seen[f"set {coverage}"].append(float(hits.mean()))
    return seen


def mean(values: list[float]) -> str:
    """The mean in percent with its 95% interval; that of `share` where values are 0 or 1."""
    if set(map(float, values)) <= {0.0, 1.0}:
        return share(values)
    middle, half = fmean(values), QUANTILE * stdev(values) / math.sqrt(len(values))
    return f"{middle:.1%} [{middle - half:.1%}, {middle + half:.1%}]"


def main() -> None:
    """Simulate and print."""
    made = parser(__doc__)
    made.add_argument("--simulations", type=int, default=400, help="test sets of each kind (400)")
    made.add_argument("--rows", type=int, nargs="+", default=[300, 1000, 5000], metavar="ROWS")
    made.add_argument("--seed", type=int, default=0)
    options = made.parse_args()
    seen: dict[str, Seen] = {}
    for grouped in (False, True):
        of = population(grouped)
        for rows in options.rows:
            started = time.perf_counter()
            name = f"{rows:,} rows" + (f" in {rows // GROUP_ROWS:,} groups" if grouped else "")
            seen[name] = simulate(of, rows, options)
            say(f"{name}: {time.perf_counter() - started:.0f} s")
    tables: list[list[str]] = []
    for title, kind, columns in (
        ("95% interval holds the truth", "held", METRICS),
        ("equals said to differ (p < 0.05)", "alarm", METRICS),
        ("interval of equals' difference holds 0", "zero", METRICS),
        ("truth in the prediction set", "set", COVERAGES),
    ):
        titles = [title, *(f"{c:.0%} promised" if kind == "set" else str(c) for c in columns)]
        body = [[name, *(mean(of[f"{kind} {c}"]) for c in columns)] for name, of in seen.items()]
        tables.append(table(titles, body))
    what = (
        f"{options.simulations:,} test sets of each kind from a known model of five classes "
        f"({', '.join(f'{of:.0%}' for of in SHARES)}), with the defaults of `evaluate` and "
        "`compare`; prediction sets are fitted on "
        f"{VALIDATION_ROWS:,} other rows each time. In brackets: 95% interval of the simulation."
    )
    finish(options, "Coverage of intervals, tests and prediction sets", what, tables)


if __name__ == "__main__":
    main()
