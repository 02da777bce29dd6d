"""How often a test set was used, in words, and how much too high that makes the best score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from finetext.core.types import Score
from finetext.core.wording import pipeline_in_words

ALIKE: Final = 0.7
"""Assumed correlation between two methods of which rows are right."""


@dataclass(frozen=True)
class TestSetUse:
    """How many runs were scored on the same test rows, with this one.

    `looks` counts accesses by commands and programs to any of these runs afterwards.
    """

    __test__ = False  # no tests, for pytest
    runs: int = 1
    looks: int = 0


def optimism(choices: int, error: float) -> float:
    """Return how far the best of some equal methods scores above their true score, on average.

    The largest of normal values (Blom, Statistical estimates and transformed beta-variables, 1958),
    with the standard error of a score, less what methods have in common on the same rows.

    Args:
        choices: from how many methods, or runs, the best is chosen.
        error: standard error of one score, over rows.
    """
    from scipy.special import ndtri

    if choices < 2:
        return 0.0
    largest = float(ndtri((choices - 0.375) / (choices + 0.25)))
    return largest * error * math.sqrt(1 - ALIKE)


def accesses_sentence(
    openings: Sequence[Mapping[str, Any]], use: TestSetUse, score: Score | None = None
) -> str:
    """Return how often the test set was accessed, and by what, and what follows."""
    by = sorted({str(each.get("by", "an unknown command")) for each in openings})
    later = f"{len(openings) + 1} times: for this leaderboard, then by {', '.join(by)}"
    said = [
        f"The test set was accessed {later if openings else 'once, for this leaderboard'}. "
        "Whatever is chosen after that is no longer tested by these rows."
    ]
    if use.runs > 1:
        looks = f", and read {use.looks:,} times afterwards" if use.looks else ""
        said.append(f"{use.runs:,} runs on this machine were scored on the same test rows{looks}.")
        error = (score.high - score.low) / (2 * 1.96) if score is not None else math.nan
        if math.isfinite(error) and error > 0:
            said.append(
                f"If you chose the best of {use.runs:,} equal ones by them, its score is about "
                f"{optimism(use.runs, error):.3f} too high; test the choice on new rows."
            )
    return " ".join(said)


def without_test_set(folds: int) -> str:
    """Return that a cross-validated run has no test set, and what follows."""
    return (
        f"No test set was held out: these are {pipeline_in_words(folds)}. Whatever is chosen by "
        "these scores makes them a little too high; new labeled rows test it."
    )
