"""What the commands that look for mistakes in predictions have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finetext.console import Screen
from finetext.errors import RecipeError, RunError

if TYPE_CHECKING:
    from finetext.runs.predicted import Predicted
    from finetext.types import SplitName


def part_of(name: str) -> SplitName:
    """The rows that `--part` names.

    Raises:
        RecipeError: it is neither.
    """
    if name not in ("validation", "test"):
        raise RecipeError(f"--part {name}: it is validation or test")
    return "test" if name == "test" else "validation"


def open_rows(source: str, method: str | None, part: SplitName, screen: Screen) -> Predicted:
    """The predictions of one part; says what reading noticed."""
    from finetext.runs.predicted import open_predicted

    predicted = open_predicted(source, method, part)
    for finding in predicted.findings:
        screen.finding(finding)
    return predicted


def count_opening(predicted: Predicted, part: SplitName, by: str, screen: Screen) -> int | None:
    """Count that test rows of a run are shown; returns how often they were, None for others."""
    from finetext.runs.openings import opened, opened_in_words

    if predicted.run is None or part != "test":
        return None
    times = opened(predicted.run, by)
    screen.say(opened_in_words(predicted.run, times))
    return times


def keep_for_report(
    predicted: Predicted, part: SplitName, kind: str, found: Any, screen: Screen
) -> None:
    """Keep what was found for the report, if it is about the validation rows of the best rung.

    The report shows no errors in test rows. A run folder that cannot be written is left alone.
    """
    from finetext.runs.diagnosing import keep
    from finetext.runs.run import Run

    if predicted.run is None or part != "validation":
        return
    if predicted.method != Run.open(predicted.run).best:
        return
    try:
        keep(predicted.run, kind, found)
    except RunError as error:
        screen.say(f"not kept for the report: {error}")
