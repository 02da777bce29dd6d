"""Are warnings of shift raised where there is one, and only there?

    python benchmarks/shift.py gap --record      # validation and test scores differ
    python benchmarks/shift.py rates --record    # new texts have other shares of classes
    python benchmarks/shift.py cautious --record # the same, of underconfident models
    python benchmarks/shift.py groups --record   # error rates differ between groups of rows

Everything is drawn, nothing is trained. Each section takes a few minutes on one thread.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from common import finish, parser, say, share, table

from finetext.core.arrays import Booleans, probabilities_of
from finetext.core.types import LabelScheme, Predictions
from finetext.diagnosis.group_gaps import find_group_gaps
from finetext.evaluation.base_rates import BaseRates, check_base_rates, correct_base_rates
from finetext.evaluation.metrics import accuracy, log_loss
from finetext.evaluation.split_gap import validation_test_gap

TWO: Final = LabelScheme(("neg", "pos"))
ACCURACY: Final = 0.85
METHODS: Final = 4
CHECKPOINTS: Final = 10
ALIKE: Final = 0.8
"""Correlation of difficulty between two checkpoints."""
VALIDATION: Final = 300


class Model(NamedTuple):
    """A model: how far apart the classes are to it, and how much too large its logits."""

    name: str
    distance: float
    sharper: float


def judged(right: Booleans, part: str) -> Predictions:
    """Predictions of two classes, right on these rows."""
    truth = np.arange(len(right)) % 2
    given = np.where(right, truth, 1 - truth)
    ids = tuple(f"{part} {row}" for row in range(len(right)))
    return Predictions(ids, truth, np.eye(2)[given], TWO)


def right_rows(models: int, accuracy: float, rows: int, random: np.random.Generator) -> Booleans:
    """Which of the rows each model has right, (models, rows): rows are hard for all alike."""
    from scipy.special import ndtri

    shared, own = random.normal(size=rows), random.normal(size=(models, rows))
    hard = math.sqrt(ALIKE) * shared + math.sqrt(1 - ALIKE) * own
    return np.asarray(hard < ndtri(accuracy))


def gap(options: argparse.Namespace) -> None:
    """How often the best of many models is said to be worse on test rows."""
    rows = []
    sizes = ((20, 1000), (30, 1000), (50, 1000), (100, 100), (300, 300), (1000, 1000), (300, 3000),
             (10000, 10000))  # fmt: skip
    for validation, test in sizes:
        simulations = max(100, options.simulations // (8 if validation > 1000 else 1))
        cells = []
        for drop in (0.0, 0.02, 0.05, 0.1):
            random = np.random.default_rng([options.seed, validation, test, round(1000 * drop)])
            alarms = []
            for _ in range(simulations):
                on = right_rows(METHODS * CHECKPOINTS, ACCURACY, validation, random)
                best = on[on.sum(axis=1).argmax()]
                tested = right_rows(1, ACCURACY - drop, test, random)[0]
                parts = judged(best, "validation"), judged(tested, "test")
                found = validation_test_gap("m", *parts, "accuracy", METHODS)
                alarms.append(found is not None)
            cells.append(share(alarms))
        rows.append([f"{validation:,} validation, {test:,} test", *cells])
        say(rows[-1][0])
    heads = ["rows", "no drop", *(f"true drop {drop:g}" for drop in (0.02, 0.05, 0.1))]
    what = (
        f"The model with most validation rows right is chosen from {METHODS} methods of "
        f"{CHECKPOINTS} checkpoints each, all of accuracy {ACCURACY:.0%} and alike (correlation of "
        f"difficulty {ALIKE:g}); the alarm knows of {METHODS}. {options.simulations:,} draws (an "
        "eighth for 10,000 rows). In brackets: 95% interval of the simulation."
    )
    title = "Is a drop from validation to test rows noticed?"
    finish(options, title, what, [table(heads, rows)])


def model_on(
    shares: Sequence[float], rows: int, kind: Model, random: np.random.Generator
) -> Predictions:
    """Rows with such shares of classes, and the exact posterior for equal ones, made sharper."""
    k = len(shares)
    truth = random.choice(k, rows, p=shares)
    seen = random.normal(size=(rows, k)) + kind.distance * np.eye(k)[truth]
    logits = kind.sharper * kind.distance * seen
    ids, scheme = tuple(map(str, range(rows))), LabelScheme(tuple("abcde"[:k]))
    return Predictions(ids, truth, probabilities_of(logits, False), scheme)


class Outcome(NamedTuple):
    """Of one file: was a shift found, was each interval right, and what the correction gained."""

    found: bool
    held: list[bool]
    accuracy: float
    log_loss: float


def outcome(shares: Sequence[float], rows: int, kind: Model, seed: Sequence[int]) -> Outcome:
    """Check the base rates of a file, and correct them if that is due."""
    random = np.random.default_rng(seed)
    equal = [1 / len(shares)] * len(shares)
    known = BaseRates.of(model_on(equal, VALIDATION, kind, random))
    new = model_on(shares, rows, kind, random)
    check = check_base_rates(known, new.probabilities, new.scheme)
    held = [
        of.share.low <= shares[new.scheme.index[of.label]] <= of.share.high for of in check.shifted
    ]
    if check.weights is None:
        return Outcome(bool(check.shifted), held, 0.0, 0.0)
    after = replace(new, probabilities=correct_base_rates(new.probabilities, check.weights))
    gains = (metric(after) - metric(new) for metric in (accuracy, log_loss))
    return Outcome(True, held, *gains)


def rates(options: argparse.Namespace) -> None:
    """False alarms, power, coverage of the new share, and what the correction changes."""
    from itertools import product

    kinds = (Model("good", 2.0, 1.0), Model("weak", 1.0, 1.0), Model("too certain", 2.0, 1.5))
    cases = (("none", (0.5, 0.5)), ("50:50 to 70:30", (0.7, 0.3)), ("none", (0.2,) * 5),
             ("20% to 40%", (0.4, 0.15, 0.15, 0.15, 0.15)))  # fmt: skip
    table_rows = []
    for (change, shares), kind, rows in product(cases, kinds, (100, 500, 2000)):
        draws = options.simulations if change == "none" else options.simulations // 4
        key = [options.seed, len(shares), rows, round(100 * shares[0]), round(10 * kind.distance)]
        found = [outcome(shares, rows, kind, [*key, number]) for number in range(draws)]
        held = [each for of in found for each in of.held]
        changed = [of for of in found if of.found]
        gains = [
            f"{np.mean([getattr(of, name) for of in changed]):+.3f}" if changed else "-"
            for name in ("accuracy", "log_loss")
        ]
        covered = share(held) if held and change != "none" else "-"
        labels = f"{len(shares)} classes, {change}, {kind.name}, {rows:,} rows"
        table_rows.append([labels, share([of.found for of in found]), covered, *gains])
        say(labels)
    heads = ["shift, model, rows of the file", "warned", "interval holds the share",
             "accuracy if corrected", "log loss if corrected"]  # fmt: skip
    what = (
        f"Files of classes with Gaussian features and a model that knows equal shares, with "
        f"{VALIDATION} validation rows each time: good (accuracy about 0.92 of two classes), weak "
        "(0.76) and too certain (logits times 1.5). Where something was found, the probabilities "
        f"were corrected; the last columns are the mean change then. {options.simulations:,} "
        "files without a shift, a quarter with one. In brackets: 95% interval of the simulation."
    )
    finish(options, "Are other shares of classes noticed, and corrected?", what,
           [table(heads, table_rows)])  # fmt: skip


def cautious(options: argparse.Namespace) -> None:
    """What a correction does if probabilities are too low, and how often it is refused."""
    table_rows, draws, shares = [], options.simulations // 4, (0.7, 0.3)
    for distance, sharper in ((of, by) for of in (2.0, 1.0) for by in (1.0, 0.7, 0.5, 0.35, 0.2)):
        kind = Model("", distance, sharper)
        random = np.random.default_rng([options.seed, round(10 * distance), round(100 * sharper)])
        large = model_on((0.5, 0.5), 20_000, kind, random)
        low = accuracy(large) - large.probabilities.max(axis=1).mean()
        gains: list[float] = []
        refused: dict[int, list[bool]] = {30: [], VALIDATION: []}
        for _ in range(draws):
            for rows, seen in refused.items():
                known = BaseRates.of(model_on((0.5, 0.5), rows, kind, random))
                seen.append(not known.is_correctable)
            new = model_on(shares, 500, kind, random)
            check = check_base_rates(replace(known, underconfidence=0.0), new.probabilities, TWO)
            if check.weights is not None:
                likely = correct_base_rates(new.probabilities, check.weights)
                gains.append(accuracy(replace(new, probabilities=likely)) - accuracy(new))
        model = f"{'good' if distance > 1 else 'weak'}, logits times {sharper:g}"
        gain = f"{np.mean(gains):+.3f} ± {np.std(gains) / math.sqrt(len(gains)):.3f}"
        table_rows.append([model, f"{low:+.3f}", gain, *map(share, refused.values())])
        say(model)
    heads = ["model", "accuracy less confidence", "accuracy if corrected",
             *(f"refused on {rows} validation rows" for rows in refused)]  # fmt: skip
    what = (
        "Models as in `rates` with logits that are too small; 500 texts of which 70% and 30% "
        f"instead of 50% have each of two labels, {draws:,} draws. Accuracy is corrected whether "
        f"that is refused or not, with {VALIDATION} validation rows, and ± is a standard error of "
        "the simulation; in brackets: its 95% interval."
    )
    finish(options, "Is a correction refused where it does harm?", what, [table(heads, table_rows)])


def groups(options: argparse.Namespace) -> None:
    """False alarms and power of gaps in error rates."""
    table_rows = []
    for rows in (20, 60, 200, 600):
        cells = []
        for copies, gap_of_one in ((1, 0.0), (1, 0.1), (1, 0.2), (4, 0.0)):
            random = np.random.default_rng([options.seed, rows, copies, round(100 * gap_of_one)])
            shown = []
            for _ in range(options.simulations // 2):
                truth = np.arange(8 * rows) % 2
                value = np.repeat(np.arange(4), 2 * rows)
                # Rows of a group are alike in being wrong or not.
                unit = np.arange(8 * rows) // copies // 2 * 2 + truth
                often = np.where(value == 0, 0.2 + gap_of_one, 0.2)
                wrong = random.random(8 * rows)[unit] < often
                given = np.eye(2)[np.where(wrong, 1 - truth, truth)]
                names = tuple(map(str, unit)) if copies > 1 else None
                ids = tuple(map(str, range(8 * rows)))
                of = Predictions(ids, truth, given, TWO, groups=names)
                found = find_group_gaps(of, [f"v{each}" for each in value], "c")
                shown.append(any(each.shown for each in found.gaps))
            cells.append(share(shown))
        table_rows.append([f"{rows:,}", *cells])
        say(table_rows[-1][0])
    heads = ["rows of each class and value", "no gap", "one value 0.1 worse",
             "one value 0.2 worse", "no gap, groups of 4"]  # fmt: skip
    what = (
        "Four values with as many rows of two classes, 20% of them wrong; a gap is in both error "
        f"rates of one value. Shown: any of the 12 gaps. {options.simulations // 2:,} draws. In "
        "brackets: 95% interval of the simulation."
    )
    finish(options, "Are gaps between groups shown?", what, [table(heads, table_rows)])


SECTIONS: Final[dict[str, Callable[[argparse.Namespace], None]]] = {
    "gap": gap,
    "rates": rates,
    "cautious": cautious,
    "groups": groups,
}


def shift(options: argparse.Namespace) -> None:
    """Run all sections."""
    for section in SECTIONS.values():
        section(options)


def main() -> None:
    """Run one section."""
    made = parser(__doc__)
    made.add_argument("section", choices=SECTIONS)
    made.add_argument("--simulations", type=int, default=1000, help="draws of each kind (1000)")
    made.add_argument("--seed", type=int, default=0)
    options = made.parse_args()
    SECTIONS[options.section](options)


if __name__ == "__main__":
    main()
