"""The stages of a training: how long, how fast, and which layer groups learn."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A part of a training with a learning-rate cycle of its own.

    Attributes:
        epochs: passes over the rows.
        learning_rate: the highest one, of the topmost layer group.
        groups: how many of the topmost layer groups learn while the others are frozen; None (the
            default) lets all learn.
    """

    epochs: int
    learning_rate: float
    groups: int | None = None
