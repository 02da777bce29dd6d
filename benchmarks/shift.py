"""Are warnings of shift raised where there is one, and only there?

    python benchmarks/shift.py gap --record   # validation and test scores differ

Everything is drawn, nothing is trained. Each section takes a few minutes on one thread.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from common import finish, parser, say, table

from finetext.core.arrays import Booleans
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.split_gap import validation_test_gap

TWO: Final = LabelScheme(("neg", "pos"))
ACCURACY: Final = 0.85
METHODS: Final = 4
CHECKPOINTS: Final = 10
ALIKE: Final = 0.8
"""Correlation of difficulty between two checkpoints."""


def share(values: Sequence[bool] | Booleans) -> str:
    """A share in percent with its 95% interval (Wilson, JASA 1927)."""
    n, middle, z2 = len(values), float(np.mean(values)), 1.96**2
    half = 1.96 * math.sqrt(middle * (1 - middle) * n + z2 / 4) / (n + z2)
    centre = (middle * n + z2 / 2) / (n + z2)
    return f"{middle:.1%} [{max(0, centre - half):.1%}, {centre + half:.1%}]"


def judged(right: Booleans) -> Predictions:
    """Predictions of two classes, right on these rows."""
    truth = np.arange(len(right)) % 2
    given = np.where(right, truth, 1 - truth)
    return Predictions(tuple(map(str, range(len(right)))), truth, np.eye(2)[given], TWO)


def right_rows(models: int, accuracy: float, rows: int, random: np.random.Generator) -> Booleans:
    """Which of the rows each model has right, (models, rows): rows are hard for all alike."""
    from scipy.special import ndtri

    shared, own = random.normal(size=rows), random.normal(size=(models, rows))
    hard = math.sqrt(ALIKE) * shared + math.sqrt(1 - ALIKE) * own
    return np.asarray(hard < ndtri(accuracy))


def gap(options: argparse.Namespace) -> None:
    """How often the best of many models is said to be worse on test rows."""
    rows = []
    for validation, test in ((100, 100), (300, 300), (1000, 1000), (300, 3000), (10000, 10000)):
        simulations = max(100, options.simulations // (8 if validation > 1000 else 1))
        cells = []
        for drop in (0.0, 0.02, 0.05, 0.1):
            random = np.random.default_rng([options.seed, validation, test, round(1000 * drop)])
            alarms = []
            for _ in range(simulations):
                on = right_rows(METHODS * CHECKPOINTS, ACCURACY, validation, random)
                best = on[on.sum(axis=1).argmax()]
                tested = right_rows(1, ACCURACY - drop, test, random)[0]
                found = validation_test_gap("m", judged(best), judged(tested), "accuracy", METHODS)
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


SECTIONS: Final[dict[str, Callable[[argparse.Namespace], None]]] = {"gap": gap}


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
