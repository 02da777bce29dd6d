"""What the commands that look at predictions with their truths have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetext.core.console import Screen
from finetext.core.errors import FinetextError, RecipeError, RunError

if TYPE_CHECKING:
    from finetext.core.types import Predicted, SplitName


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
    from finetext.runs.run import predicted_in

    predicted = predicted_in(source, method, part)
    for finding in predicted.findings:
        screen.finding(finding)
    return predicted


def count_opening(predicted: Predicted, part: SplitName, by: str, screen: Screen) -> int | None:
    """Count that test rows of a run are shown; returns how often they were, None for others."""
    from finetext.runs.run import accesses_in_words, record_access

    if predicted.run is None or part != "test":
        return None
    times = record_access(predicted.run, by)
    screen.say(accesses_in_words(predicted.run, times))
    return times


def count_if_test_rows(model: Path, texts: Sequence[str], screen: Screen) -> int | None:
    """Count that rows which are measured are test rows of the run in whose folder a model lies.

    They are if half of them are, or half of the test rows are among them, by their texts: the ids
    of rows that are read again can be others.

    Args:
        model: a run folder, or the model folder of a rung in it.
        texts: those of the rows.
        screen: is told how often the test set was accessed.

    Returns:
        how often they were, or None if the rows are others, or the model is of no run.
    """
    from finetext.models.hub import model_folder
    from finetext.runs.run import Run, accesses_in_words, record_access

    model = model_folder(model)
    place = model.resolve()
    run = model if Run.is_at(place) else place.parent.parent
    if not Run.is_at(run):
        return None
    rung = None if run is model else place.parent.name
    try:
        own = set(Run.open(run).texts(rung, "test"))
    except FinetextError:
        return None
    measured = set(texts)
    if 2 * len(measured & own) < min(len(measured), len(own)) or not own:
        return None
    times = record_access(run, "finetext evaluate")
    screen.say(accesses_in_words(run, times))
    return times


def keep_for_report(
    predicted: Predicted, part: SplitName, kind: str, find: Callable[[], Any], screen: Screen
) -> None:
    """Keep what `find` gives for the report, if that is on the validation rows of the best rung.

    The report shows no errors in test rows. A run folder that cannot be written is left alone.
    """
    from finetext.runs.diagnosing import keep
    from finetext.runs.run import Run

    if predicted.run is None or part != "validation":
        return
    if predicted.method != Run.open(predicted.run).best:
        return
    try:
        keep(predicted.run, kind, find())
    except RunError as error:
        screen.say(f"not kept for the report: {error}")
