"""Fit the methods of a run with further seeds, which show how much scores vary."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetext.core.contracts import Listener, Method
from finetext.core.settings import LARGEST_SEED
from finetext.core.types import Finding, Predictions, SplitName
from finetext.evaluation.leaderboard import SeedScores
from finetext.evaluation.metrics import values_of
from finetext.runs.fit_methods import (
    ENTRY,
    UNREADABLE,
    FittedMethod,
    Started,
    attempt,
    fit,
)
from finetext.runs.jobs import Jobs, heard_by
from finetext.runs.predictions import read_predictions
from finetext.storage.codec import from_json, to_json
from finetext.storage.files import write_json
from finetext.storage.received import read_received_text


def fit_seeds(
    fitted: Mapping[str, FittedMethod], methods: Mapping[str, Method], started: Started, jobs: Jobs
) -> dict[str, FittedMethod]:
    """Fit the methods with the further seeds of the recipe, and return them with all scores."""
    first, context = started.recipe.seed, heard_by(started.context, Listener())
    if started.recipe.seeds == 1:
        return dict(fitted)
    pace = context.checkpoints and replace(context.checkpoints, keep=0)
    done = dict[tuple[str, int], _OfSeed]()
    for name, one in fitted.items():
        scores = SeedScores(first, _values(one.predictions), one.entry.seconds_to_train)
        done[name, first] = scores, one.findings
    seeds = [(first + number) % (LARGEST_SEED + 1) for number in range(1, started.recipe.seeds)]
    waiting = list[_Further]()
    for seed in seeds:
        of_seed = replace(started, context=replace(context, seed=seed, checkpoints=pace))
        for name, method in methods.items():
            if (known := _finished(started.folder / name / f"seed-{seed}")) is not None:
                done[name, seed] = known
            else:
                waiting.append(_Further(name, method, of_seed))
    for of, found in jobs.each(_fit_seed, waiting, lambda one: one.method.pays_per_text):
        done[of.name, found[0].seed] = found
    every = {name: [done[name, seed] for seed in (first, *seeds)] for name in fitted}
    return {
        name: replace(
            one,
            entry=replace(one.entry, seeds=tuple(scores for scores, _ in every[name])),
            findings=_merged(name, every[name]),
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


@dataclass(frozen=True, eq=False)
class _Further:
    """A method to fit in a run whose context has a further seed."""

    name: str
    method: Method
    started: Started


def _finished(place: Path) -> _OfSeed | None:
    """Return what was finished before in a folder; None if it is to be fitted."""
    with suppress(*UNREADABLE):
        values = json.loads(read_received_text(place, ENTRY))
        findings = from_json(tuple[Finding, ...], values.get("findings", ()), ENTRY)
        return from_json(SeedScores, values, ENTRY), findings
    return None


def _values(predictions: Mapping[SplitName, Predictions]) -> dict[str, Any]:
    """Return the values of all metrics for each split."""
    return {str(part): values_of(of) for part, of in predictions.items()}


def _fit_seed(of: _Further, listener: Listener) -> _OfSeed:
    """Fit with a further seed, measure, and write the predictions."""
    started = replace(of.started, context=heard_by(of.started.context, listener))
    seed = started.context.seed
    place = started.folder / of.name / f"seed-{seed}"
    listener.say(f"{of.name}: seed {seed}")
    with attempt(place, started.context) as attempts:
        shown = _with_seeds(of.name, [seed])
        made = fit(shown, of.method, started, attempts, place)
        scores = SeedScores(seed, _values(made.predictions), made.seconds)
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
