"""The rungs of a run with further seeds, on the same rows: how far do their scores vary?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from finetext.artefact.folder import write_json
from finetext.errors import RunError
from finetext.evaluation.metrics import values_of
from finetext.evaluation.seeds import SeedScores
from finetext.methods.base import FitContext, Method, predict
from finetext.methods.calibrate import calibrated
from finetext.recipe import LARGEST_SEED, Recipe
from finetext.runs.attempts import Attempts, forget
from finetext.runs.rungs import ENTRY, Rung, fitted, write_parts
from finetext.types import Predictions, SplitName, Splits


def with_seeds(
    rungs: Mapping[str, Rung],
    methods: Mapping[str, Method],
    splits: Splits,
    folder: Path,
    context: FitContext,
    recipe: Recipe,
) -> dict[str, Rung]:
    """The rungs with their scores for every seed of the recipe, if it has several.

    All rungs are trained with the second seed, then all with the third, and so on. No model is
    kept, but the predictions are, in `METHOD/seed-NUMBER`; what was finished before is read.

    Args:
        rungs: as they were trained with the first seed.
        methods: what to fit, by the same names.
        splits: the frozen rows.
        folder: the run folder.
        context: that of the first seed.
        recipe: that of the run.

    Raises:
        FinetextError: a method cannot be fitted, or the folder cannot be written.
    """
    if recipe.seeds == 1:
        return dict(rungs)
    scores = {name: [_of_first(rung, recipe.seed)] for name, rung in rungs.items()}
    for number in range(1, recipe.seeds):
        seed = (recipe.seed + number) % (LARGEST_SEED + 1)
        for name, method in methods.items():
            context.say(f"{name}: seed {seed}")
            place = folder / name / f"seed-{seed}"
            scores[name].append(
                _read(place) or _climb(method, splits, place, replace(context, seed=seed), recipe)
            )
    return {
        name: replace(rung, entry=replace(rung.entry, seeds=tuple(scores[name])))
        for name, rung in rungs.items()
    }


def _of_first(rung: Rung, seed: int) -> SeedScores:
    metrics = {str(part): values_of(of) for part, of in rung.predictions.items()}
    return SeedScores(seed, metrics, rung.entry.seconds_to_train)


def _read(place: Path) -> SeedScores | None:
    """What was finished before, or None."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        return SeedScores.from_json(json.loads((place / ENTRY).read_text("utf-8")))
    return None


def _climb(
    method: Method, splits: Splits, place: Path, context: FitContext, recipe: Recipe
) -> SeedScores:
    """Fit with one seed, measure, and write the predictions."""
    try:
        place.mkdir(exist_ok=True)
        attempts = Attempts(place, context)
        classifier = fitted(method, splits, attempts, place)
        seconds = attempts.seconds
        classifier, on_validation = calibrated(classifier, splits.validation, recipe.decide)
        on_test = predict(classifier, splits.test)
        predictions: dict[SplitName, Predictions] = {"validation": on_validation, "test": on_test}
        write_parts(predictions, splits, place)
        metrics = {str(part): values_of(of) for part, of in predictions.items()}
        scores = SeedScores(context.seed, metrics, seconds)
        write_json(place / ENTRY, scores.to_json())
        forget(place)
    except OSError as error:
        raise RunError(f"{place} cannot be written: {error}") from error
    return scores
