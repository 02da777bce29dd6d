"""The time that work has."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

SECONDS_A_MINUTE: Final = 60.0
Clock = Callable[[], float]
"""A clock that never goes back, in seconds."""


@dataclass(frozen=True)
class Deadline:
    """When work is to have ended, by a clock."""

    at: float
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        """Return the deadline so many seconds from now."""
        return cls(clock() + seconds, clock)

    @property
    def left(self) -> float:
        """Seconds from now; below 0 once it has passed."""
        return self.at - self.clock()

    def part(self, of: int) -> Deadline:
        """Return the deadline of the first of so many equal parts of the time that is left."""
        return self.after(self.left / of, self.clock)

    def earlier(self, seconds: float) -> Deadline:
        """Return a deadline that comes before, to leave time for what follows the work."""
        return replace(self, at=self.at - seconds)
