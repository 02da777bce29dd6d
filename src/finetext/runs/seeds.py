"""Fit the methods of a run with further seeds, which show how much scores vary."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from finetext.core.contracts import Method
from finetext.core.settings import LARGEST_SEED
from finetext.core.types import Finding, Predictions, SplitName
from finetext.evaluation.leaderboard import SeedScores
from finetext.runs.fit_methods import (
    ENTRY,
    UNREADABLE,
    FittedMethod,
    Started,
    attempt,
    fit,
    values_of_parts,
)
from finetext.runs.predictions import read_predictions
from finetext.storage.codec import from_json, to_json
from finetext.storage.files import write_json
from finetext.storage.received import read_received_text


def fit_seeds(
    fitted: Mapping[str, FittedMethod], methods: Mapping[str, Method], started: Started
) -> dict[str, FittedMethod]:
    """Fit the methods with the further seeds of the recipe, and return them with all scores."""
    first, context, done = started.recipe.seed, started.context, dict[str, list[_OfSeed]]()
    if started.recipe.seeds == 1:
        return dict(fitted)
    pace = context.checkpoints and replace(context.checkpoints, keep=0)
    for name, one in fitted.items():
        scores = SeedScores(first, values_of_parts(one.predictions), one.entry.seconds_to_train)
        done[name] = [(scores, one.findings)]
    for number in range(1, started.recipe.seeds):
        seed = (first + number) % (LARGEST_SEED + 1)
        of_seed = replace(started, context=replace(context, seed=seed, checkpoints=pace))
        for name, method in methods.items():
            context.say(f"{name}: seed {seed}")
            done[name].append(_fit_seed(name, method, of_seed))
    return {
        name: replace(
            one,
            entry=replace(one.entry, seeds=tuple(scores for scores, _ in done[name])),
            findings=_merged(name, done[name]),
        )
        for name, one in fitted.items()
    }


def predictions_of_seeds(
    fitted: Mapping[str, FittedMethod], part: SplitName, folder: Path
) -> dict[str, list[Predictions]]:
    """Return method to its predictions of a split, one set for each seed, the first in front."""
    found = {name: [one.predictions[part]] for name, one in fitted.items()}
    for name, one in fitted.items():
        for of_seed in one.entry.seeds[1:]:
            path = folder / name / f"seed-{of_seed.seed}" / "predictions.parquet"
            found[name].append(read_predictions(path, part))
    return found


_OfSeed = tuple[SeedScores, tuple[Finding, ...]]


def _fit_seed(name: str, method: Method, started: Started) -> _OfSeed:
    """Fit with one seed, measure, and write the predictions; or read what was finished before."""
    seed = started.context.seed
    place = started.folder / name / f"seed-{seed}"
    with suppress(*UNREADABLE):
        values = json.loads(read_received_text(place, ENTRY))
        findings = from_json(tuple[Finding, ...], values.get("findings", ()), ENTRY)
        return from_json(SeedScores, values, ENTRY), findings
    with attempt(place, started.context) as attempts:
        shown = _with_seeds(name, [seed])
        made = fit(shown, method, started, attempts, place)
        scores = SeedScores(seed, values_of_parts(made.predictions), made.seconds)
        write_json(place / ENTRY, to_json(scores) | {"findings": to_json(attempts.findings)})
    return scores, attempts.findings


def _merged(name: str, done: Sequence[_OfSeed]) -> tuple[Finding, ...]:
    """Return what training noticed: findings of all seeds once, others with their seeds."""
    every, seeds = [scores.seed for scores, _ in done], dict[Finding, list[int]]()
    for scores, findings in done:
        for finding in findings:
            message = finding.message.removeprefix(f"{_with_seeds(name, [scores.seed])}: ")
            message = message.removeprefix(f"{name}: ")
            seeds.setdefault(replace(finding, message=message), []).append(scores.seed)
    return tuple(
        replace(of, message=f"{_with_seeds(name, () if its == every else its)}: {of.message}")
        for of, its in seeds.items()
    )


def _with_seeds(name: str, seeds: Sequence[int]) -> str:
    """Return "finetune", "finetune, seed 1" or "finetune, seeds 1 and 2"."""
    if len(seeds) < 2:
        return name + "".join(f", seed {seed}" for seed in seeds)
    return f"{name}, seeds {', '.join(map(str, seeds[:-1]))} and {seeds[-1]}"
