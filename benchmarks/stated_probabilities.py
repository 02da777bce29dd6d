"""Are probabilities blamed for chance, and do new rows reach the targets of decision rules?

    python benchmarks/judging.py calibration --record

A model of five classes states the true probabilities, or logits that are too large or too small.
What it does on new rows is known exactly: the mean of the true probabilities.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from common import finish, say, table

from finetext.core.arrays import Floats, probabilities_of
from finetext.core.decision import Decision
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.calibration import calibration_error, fit_temperature, with_temperature
from finetext.evaluation.consistency import consistency
from finetext.evaluation.deciding import (
    Deciding,
    choose_decision,
    has_label,
    set_from,
    set_from_by_label,
)
from finetext.evaluation.metrics import log_loss
from finetext.evaluation.proportions import proportion
from finetext.evaluation.thresholds import lowest_for_precision

SCHEME: Final = LabelScheme(("a", "b", "c", "d", "e"))
SHARES: Final = np.array((0.45, 0.25, 0.16, 0.10, 0.04))
SKILL: Final = 2.5
"""Standard deviation of the logits: the model is right on about 71% of the rows."""
BETTER_SKILL: Final = 4.0
"""Of the model that is to reach targets: right on about 81%."""
NEW_ROWS: Final = 20_000
PRIORS: Final = (0.0, 1.0, 5.0, 10.0, 20.0)
TRUSTED: Final = 0.05
"""The plain calibration error from which reports warned before."""
TARGET: Final = 0.95


class Draw(NamedTuple):
    """Predictions, and the true probabilities behind them."""

    predictions: Predictions
    true: Floats


def drawn(
    rows: int, random: np.random.Generator, times: float = 1.0, size: int = 1, alike: float = 0.0,
    skill: float = SKILL,
) -> Draw:  # fmt: skip
    """Rows whose logits are `times` too large; those in a group are right or wrong together."""
    from scipy.special import ndtr

    logits = random.normal(0, skill, (rows, len(SHARES))) + np.log(SHARES)
    true, group = probabilities_of(logits, False), np.arange(rows) // size
    shared = random.normal(size=int(group[-1]) + 1)[group]
    chance = ndtr(np.sqrt(alike) * shared + np.sqrt(1 - alike) * random.normal(size=rows))
    order = np.argsort(-true, axis=1)
    place = (chance[:, None] > np.take_along_axis(true, order, 1).cumsum(axis=1)).sum(axis=1)
    targets = order[np.arange(rows), place.clip(0, len(SHARES) - 1)]
    ids, groups = tuple(map(str, range(rows))), tuple(map(str, group))
    stated = probabilities_of(times * logits, False)
    made = Predictions(ids, targets, stated, SCHEME, groups=None if size == 1 else groups)
    return Draw(made, true)


def of_labels(rows: int, random: np.random.Generator, times: float) -> Predictions:
    """Rows with several labels, which depend on each other."""
    from scipy.special import ndtr

    logits = random.normal(-1, SKILL, (rows, len(SHARES)))
    shared, own = random.normal(size=(rows, 1)), random.normal(size=logits.shape)
    targets = (ndtr((shared + own) / np.sqrt(2)) < probabilities_of(logits, True)).astype(np.int64)
    scheme = replace(SCHEME, multilabel=True)
    likely = probabilities_of(times * logits, True)
    return Predictions(tuple(map(str, range(rows))), targets, likely, scheme)


def share(values: Sequence[bool]) -> str:
    """A share in percent with its exact 95% interval."""
    found = proportion(np.array(values, dtype=np.bool_))
    return f"{found.value:.1%} [{found.low:.1%}, {found.high:.1%}]"


def verdicts(options: argparse.Namespace) -> list[str]:
    """How often a calibrated and an overconfident model are blamed, now and before."""
    kinds: dict[str, Callable[[np.random.Generator, float], Predictions]] = {
        f"{rows:,} rows": lambda random, times, rows=rows: drawn(rows, random, times).predictions
        for rows in (75, 150, 300, 1000)
    }
    for size, groups in ((5, 75), (20, 75)):
        kinds[f"{size * groups:,} rows in {groups} groups"] = (
            lambda random, times, size=size, groups=groups: (
                drawn(size * groups, random, times, size, 0.5).predictions
            )
        )
    kinds["150 rows with several labels"] = lambda random, times: of_labels(150, random, times)
    rows = []
    for place, (name, make) in enumerate(kinds.items()):
        started, seen = time.perf_counter(), {}
        for times in (1.0, 2.0):
            random = np.random.default_rng([options.seed, place, int(times)])
            found = [make(random, times) for _ in range(options.simulations)]
            checks = list(map(consistency, found))
            seen[times] = (
                share([of.p_value <= 0.05 for of in checks]),
                share([calibration_error(of) > TRUSTED for of in found]),
                f"{np.mean([of.excess for of in checks]):.3f}",
            )
        error = f"{np.mean([calibration_error(make(random, 1.0)) for _ in range(100)]):.3f}"
        (alarms, alarms_before, _), (power, power_before, excess) = seen.values()
        rows.append([name, error, alarms, alarms_before, power, power_before, excess])
        say(f"{name}: {time.perf_counter() - started:.0f} s")
    heads = [
        "test rows", "plain calibration error if calibrated", "calibrated model blamed",
        "before", "temperature 2 found", "before", "its excess",
    ]  # fmt: skip
    return table(heads, rows)


def priors(options: argparse.Namespace) -> list[str]:
    """Log loss on new rows after temperature scaling, less that without."""
    rows = []
    for times in (1.0, 2.0, 0.6):
        new = drawn(NEW_ROWS, np.random.default_rng([options.seed, 9]), times).predictions
        grid = np.exp(np.linspace(np.log(0.05), np.log(20), 61))
        losses = np.array([log_loss(with_temperature(new, of)) for of in grid]) - log_loss(new)
        for count in (15, 30, 75, 150):
            random = np.random.default_rng([options.seed, count, round(10 * times)])
            sets = [
                drawn(count, random, times).predictions for _ in range(options.simulations // 4)
            ]
            gains = [
                np.interp(np.log([fit_temperature(of, prior) for of in sets]), np.log(grid), losses)
                for prior in PRIORS
            ]
            rows.append([f"{times:g}", str(count), *(f"{of.mean():+.4f}" for of in gains)])
    say("priors done")
    return table(["true temperature", "validation rows", *(f"{p:g} rows" for p in PRIORS)], rows)


class Reached(NamedTuple):
    """What a rule does on new rows: whether it was assured, its true share right, rows decided."""

    assured: bool
    right: float
    decided: float


def reached(new: Draw, column: int | None, limit: float, assured: bool) -> Reached:
    """The true share right from a probability on: of all rows, or of those given one label."""
    likely, true = new.predictions.probabilities, new.true
    given = likely.argmax(axis=1)
    of = np.ones(len(given), dtype=np.bool_) if column is None else given == column
    rows = np.flatnonzero(of & (likely.max(axis=1) >= limit))
    right = float(true[rows, given[rows]].mean()) if len(rows) else 1.0
    return Reached(assured, right, len(rows) / max(1, int(of.sum())))


def targets(options: argparse.Namespace) -> list[str]:
    """How often new rows miss a target, by the rules now and before."""
    new = drawn(NEW_ROWS, np.random.default_rng([options.seed, 8]), skill=BETTER_SKILL)
    rows = []
    for aim, columns in (
        (f"abstain accuracy={TARGET:g}", (None,)),
        (f"precision={TARGET:g}", (0, 4)),
    ):
        wanted = (
            Deciding(abstain=f"accuracy={TARGET:g}") if columns == (None,) else Deciding(aim=aim)
        )
        for column in columns:
            for count in (15, 100, 300, 1000, 3000):
                random = np.random.default_rng([options.seed, count, 7])
                before, now = list[Reached](), list[Reached]()
                for _ in range(options.simulations // 2):
                    of = drawn(count, random, skill=BETTER_SKILL).predictions
                    rule = choose_decision(of, wanted)
                    assert rule.least is not None
                    assert rule.assured is not None
                    place = 0 if column is None else column
                    now.append(reached(new, column, rule.least[place], rule.assured[place]))
                    given = of.probabilities.argmax(axis=1)
                    kept = given >= 0 if column is None else given == column
                    sure, right = of.probabilities.max(axis=1)[kept], (given == of.targets)[kept]
                    limit = lowest_for_precision(sure, right, TARGET)
                    before.append(reached(new, column, limit, False))
                told = [of for of in now if of.assured]
                name = wanted.words + ("" if column is None else f", label of {SHARES[column]:.0%}")
                rows.append([
                    name, f"{count:,}",
                    f"{np.mean([of.right for of in before]):.3f}",
                    share([of.right < TARGET for of in before]),
                    share([of.right < TARGET - 0.01 for of in before]),
                    share([of.assured for of in now]),
                    share([of.assured and of.right < TARGET for of in now]),
                    f"{np.mean([of.decided for of in before]):.2f}",
                    f"{np.mean([of.decided for of in told]):.2f}" if told else "-",
                ])  # fmt: skip
            say(f"{wanted.words}, {column}: done")
    heads = [
        "target", "rows", "reached before", "missed before", "by more than 0.01", "assured now",
        "assured but missed", "decided before", "decided if assured",
    ]  # fmt: skip
    return table(heads, rows)


def coverages(options: argparse.Namespace) -> list[str]:
    """Coverage of prediction sets on new rows, for the most frequent and the rarest label."""
    new = drawn(NEW_ROWS, np.random.default_rng([options.seed, 6])).predictions
    rows = []
    for count in (100, 300, 1000):
        random = np.random.default_rng([options.seed, count, 5])
        for name in ("0.9", "class=0.9"):
            seen = []
            for _ in range(options.simulations // 4):
                of = drawn(count, random).predictions
                limit = set_from(of, 0.9) if name == "0.9" else set_from_by_label(of, 0.9)
                sets = Decision(set_from=limit).sets(new.probabilities)
                assert sets is not None
                ends = (0, len(SHARES) - 1)
                of_labels = [sets[has_label(new.targets, end), end].mean() for end in ends]
                all_rows = sets[np.arange(len(new)), new.targets].mean()
                seen.append([all_rows, *of_labels, sets.sum(axis=1).mean()])
            rows.append([name, f"{count:,}", *(f"{of:.3f}" for of in np.mean(seen, axis=0))])
    heads = ["coverage", "rows", "all rows", "label of 45%", "label of 4%", "labels in a set"]
    return table(heads, rows)


def shares(options: argparse.Namespace) -> list[str]:
    """How often the interval of a share holds the truth."""
    from scipy.special import ndtr

    rows = []
    for count, size in ((25, 1), (300, 1), (75, 5), (200, 5), (300, 20)):
        for true in (0.8, 0.95):
            random, held = np.random.default_rng([options.seed, count, size]), list[bool]()
            for _ in range(options.simulations):
                group = np.arange(count) // size
                shared = random.normal(size=int(group[-1]) + 1)[group]
                chance = ndtr((shared + random.normal(size=count)) / np.sqrt(2))
                if size == 1:
                    chance = random.random(count)
                found = proportion(chance < true, None if size == 1 else tuple(map(str, group)))
                held.append(found.low <= true <= found.high)
            name = f"{count} rows" + (f" in {count // size} groups" if size > 1 else "")
            rows.append([name, f"{true:g}", share(held)])
    return table(["rows", "true share", "95% interval holds it"], rows)


PARTS: Final[dict[str, Callable[[argparse.Namespace], list[str]]]] = {
    "verdicts": verdicts,
    "priors": priors,
    "targets": targets,
    "coverages": coverages,
    "shares": shares,
}


def calibration(options: argparse.Namespace) -> None:
    """False alarms and power of the verdict, priors of the temperature, and targets."""
    tables = [PARTS[name](options) for name in options.parts]
    what = (
        f"{options.simulations:,} draws of each kind (a half of them for targets, a quarter for "
        "priors and prediction sets) from a model of five classes "
        f"({', '.join(f'{of:.0%}' for of in SHARES)} before its evidence), which states the true "
        "probabilities, or logits twice as large (temperature 2) or 0.6 times as large. Before: "
        f"a plain calibration error above {TRUSTED:g} (15 bins) counted as blame, and the lowest "
        "threshold that reached the target on the validation rows was taken; targets are of a "
        "better model. Priors: log loss on "
        "new rows after scaling less that before, negative is better, for priors worth so many "
        "rows. Groups have a latent correlation of 0.5. In brackets: exact 95% interval of the "
        "simulation."
    )
    finish(options, "Verdicts on probabilities, and targets on new rows", what, tables)
