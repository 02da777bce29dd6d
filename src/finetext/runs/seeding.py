"""The rungs of a run with further seeds, on the same rows: how far do their scores vary?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from finetext.artefact.folder import write_json
from finetext.errors import RunError
from finetext.evaluation.metrics import values_of
from finetext.evaluation.seeds import SeedScores
from finetext.methods.base import FitContext, Method, predict
from finetext.methods.calibrate import calibrated
from finetext.recipe import LARGEST_SEED, Recipe
from finetext.runs.attempts import Attempts, forget
from finetext.runs.folder import finding_from_json, finding_to_json
from finetext.runs.rungs import ENTRY, Rung, fitted, write_parts
from finetext.types import Finding, Predictions, SplitName, Splits


@dataclass(frozen=True)
class _OfSeed:
    """What came of a rung with one seed: its scores, and what training noticed."""

    scores: SeedScores
    findings: tuple[Finding, ...]


def with_seeds(
    rungs: Mapping[str, Rung],
    methods: Mapping[str, Method],
    splits: Splits,
    folder: Path,
    context: FitContext,
    recipe: Recipe,
) -> dict[str, Rung]:
    """The rungs with their scores and findings for every seed of the recipe, if it has several.

    All rungs are trained with the second seed, then all with the third, and so on. No model is
    kept, but the predictions are, in `METHOD/seed-NUMBER`; what was finished before is read.
    A finding names the seeds that it is of, unless all have it.

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
    done = {name: [_of_first(rung, recipe.seed)] for name, rung in rungs.items()}
    for number in range(1, recipe.seeds):
        seed = (recipe.seed + number) % (LARGEST_SEED + 1)
        for name, method in methods.items():
            context.say(f"{name}: seed {seed}")
            place = folder / name / f"seed-{seed}"
            done[name].append(
                _read(place) or _climb(method, splits, place, replace(context, seed=seed), recipe)
            )
    return {name: _with_all(name, rung, done[name]) for name, rung in rungs.items()}


def _with_all(name: str, rung: Rung, done: Sequence[_OfSeed]) -> Rung:
    """A rung with what came of all seeds."""
    entry = replace(rung.entry, seeds=tuple(of.scores for of in done))
    return replace(rung, entry=entry, findings=tuple(_findings(name, done)))


def _findings(name: str, done: Sequence[_OfSeed]) -> list[Finding]:
    """What training noticed: what all seeds share once, anything else with its seeds."""
    every = [of.scores.seed for of in done]
    seeds: dict[Finding, list[int]] = {}
    for of in done:
        for finding in of.findings:
            message = finding.message.removeprefix(f"{_named(name, [of.scores.seed])}: ")
            message = message.removeprefix(f"{name}: ")
            seeds.setdefault(replace(finding, message=message), []).append(of.scores.seed)
    told = ((finding, _named(name, () if of == every else of)) for finding, of in seeds.items())
    return [replace(finding, message=f"{rung}: {finding.message}") for finding, rung in told]


def _named(name: str, seeds: Sequence[int]) -> str:
    """A rung with its seeds: "finetune", "finetune, seed 1" or "finetune, seeds 1 and 2"."""
    if len(seeds) < 2:
        return name + "".join(f", seed {seed}" for seed in seeds)
    return f"{name}, seeds {', '.join(map(str, seeds[:-1]))} and {seeds[-1]}"


def _of_first(rung: Rung, seed: int) -> _OfSeed:
    metrics = {str(part): values_of(of) for part, of in rung.predictions.items()}
    return _OfSeed(SeedScores(seed, metrics, rung.entry.seconds_to_train), rung.findings)


def _read(place: Path) -> _OfSeed | None:
    """What was finished before, or None."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        values = json.loads((place / ENTRY).read_text("utf-8"))
        findings = tuple(map(finding_from_json, values.get("findings", ())))
        return _OfSeed(SeedScores.from_json(values), findings)
    return None


def _climb(
    method: Method, splits: Splits, place: Path, context: FitContext, recipe: Recipe
) -> _OfSeed:
    """Fit with one seed, measure, and write the predictions."""
    try:
        place.mkdir(exist_ok=True)
        attempts = Attempts(place, context)
        name = _named(place.parent.name, [context.seed])
        classifier = fitted(method, splits, attempts, place, name)
        seconds = attempts.seconds
        classifier, on_validation = calibrated(classifier, splits.validation, recipe.decide)
        on_test = predict(classifier, splits.test)
        predictions: dict[SplitName, Predictions] = {"validation": on_validation, "test": on_test}
        write_parts(predictions, splits, place)
        metrics = {str(part): values_of(of) for part, of in predictions.items()}
        scores = SeedScores(context.seed, metrics, seconds)
        found = list(map(finding_to_json, attempts.findings))
        write_json(place / ENTRY, scores.to_json() | {"findings": found})
        forget(place)
    except OSError as error:
        raise RunError(f"{place} cannot be written: {error}") from error
    return _OfSeed(scores, attempts.findings)
