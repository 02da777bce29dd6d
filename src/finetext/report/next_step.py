"""What to do after a run, with a command that runs as printed.

It rests on stored facts alone, so that terminal and report agree.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from finetext.core import registry
from finetext.diagnosis.curve import FEWEST_OF_A_CLASS
from finetext.evaluation.leaderboard import LeaderboardEntry
from finetext.evaluation.usability import Status
from finetext.pretraining.generate import ADAPTED
from finetext.storage.codec import Jsonable

FEW_TO_LEARN: Final = 1000
"""Training texts below which more of them are the first thing to try."""
QUICK: Final = 10.0
"""Seconds of a fit up to which a learning curve, of 18 fits or of 90, takes minutes."""
_USUAL: Final = "tfidf"


@dataclass(frozen=True)
class NextStep(Jsonable):
    """What to do next: why, and a command that runs as printed."""

    why: str
    command: str


@dataclass(frozen=True)
class Judged:
    """The method that a verdict is about, and what commands need to know of its run.

    Attributes:
        best: the method that commands take by default.
        place: the run folder, as commands should name it.
        rows: split to number of rows.
    """

    method: str
    best: str
    place: Path
    rows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Learning:
    """What a method learned from.

    Attributes:
        rows: number of texts.
        share: the most that a learning curve can learn from: of a cross-validated run the texts
            outside a fold, else all.
        labels: number of labels.
    """

    rows: int
    share: int
    labels: int

    @property
    def is_enough_for_a_curve(self) -> bool:
        """Whether a learning curve has two shares, the smaller one with two texts a label."""
        return self.share >= 2 * FEWEST_OF_A_CLASS * self.labels


def next_step(
    judged: Judged, entry: LeaderboardEntry, status: Status, weakest: str | None, of: Learning
) -> NextStep:
    """Return the next step after a run.

    Args:
        judged: the method, and its run.
        entry: its line of the leaderboard.
        status: how usable it is.
        weakest: the weakest label of a method that is better than guessing; None without any.
        of: what it learned from.
    """
    run, is_named = shlex.quote(str(judged.place)), judged.method != judged.best
    named = f" --method {shlex.quote(judged.method)}" if is_named else ""
    if weakest is not None:
        return NextStep(
            f"read what it gets wrong about “{weakest}”", f"finetext errors {run}{named}"
        )
    if status == "usable":
        model = shlex.quote(str(judged.place / judged.method)) if is_named else run
        return NextStep("use it on a text of yours", f'finetext predict {model} "A new text"')
    if of.rows < FEW_TO_LEARN and not of.is_enough_for_a_curve:
        return NextStep(
            "label more texts like those that it gets wrong", f"finetext errors {run}{named}"
        )
    if of.rows < FEW_TO_LEARN:
        method = _grown(judged, entry)
        why = "find out whether more labeled texts would help"
        if method != judged.method:
            why += f", by {method}, which is quick"
        recipe = shlex.quote(str(judged.place / "recipe.toml"))
        return NextStep(why, f"finetext learning-curve --recipe {recipe} --methods {method}")
    return NextStep("look for wrong labels in the data", f"finetext label-errors {run}")


def _grown(judged: Judged, entry: LeaderboardEntry) -> str:
    """Return the method of a learning curve: the one that was judged, if it can learn and is quick.

    One in a run with an encoder of its own may use that, which a learning curve does not have.
    """
    name = judged.method
    if name not in registry.names("methods") or (judged.place / ADAPTED).exists():
        return _USUAL
    kind = registry.load("methods", name)
    is_slow = entry.seconds_to_train > QUICK or kind.trains_in_steps or kind.pays_per_text
    return _USUAL if is_slow or kind.combines or kind.is_baseline or not kind.learns else name
