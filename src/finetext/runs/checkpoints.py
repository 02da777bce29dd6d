"""The best evaluated models of a training, which a run keeps beside the model of a method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from finetext.core.contracts import Classifier, Evaluated
from finetext.core.errors import ModelError
from finetext.core.types import Dataset
from finetext.evaluation.calibration import calibrated, for_decisions
from finetext.models.folder import provenance, save_model
from finetext.runs.recipe import Recipe

CHECKPOINTS: Final = "checkpoints"
Kept = tuple[Evaluated, Callable[[], Classifier]]


@dataclass(frozen=True)
class Checkpoint:
    """A model as it was after a step of its training.

    Attributes:
        step: finished steps.
        figures: what validation rows gave then, such as "validation loss"; the probabilities were
            not calibrated yet.
        folder: its model folder, which `finetext.load` takes.
    """

    step: int
    figures: Mapping[str, float]
    folder: Path

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"step": self.step, "figures": dict(self.figures), "folder": str(self.folder)}


def save_checkpoints(
    place: Path,
    kept: Iterable[Kept],
    validation: Dataset,
    recipe: Recipe,
    made_by: Mapping[str, Any],
) -> None:
    """Write the model folders of a method, calibrated like its model; raises a ModelError."""
    for_decision = for_decisions(validation, recipe.decide, recipe.split)[1]
    for evaluated, make in kept:
        classifier = calibrated(make(), validation, recipe.decide, for_decision)[0]
        facts = {"step": evaluated.step, "evaluation": dict(evaluated.figures)}
        folder = place / CHECKPOINTS / f"step-{evaluated.step}"
        folder.parent.mkdir(exist_ok=True)
        save_model(classifier, folder, {**made_by, **facts})


def checkpoints_in(place: Path) -> tuple[Checkpoint, ...]:
    """Return the checkpoints that the folder of a method has, by step; not the damaged ones."""
    found = []
    for folder in (place / CHECKPOINTS).glob("step-*"):
        try:
            facts = provenance(folder)
            found.append(Checkpoint(int(facts["step"]), dict(facts["evaluation"]), folder))
        except (ModelError, KeyError, ValueError, TypeError):
            continue
    return tuple(sorted(found, key=lambda of: of.step))


def checkpoint_lines(method: str, checkpoints: Iterable[Checkpoint]) -> list[str]:
    """Return a line for each checkpoint."""
    return [
        f"{method}, step {of.step:,}: "
        + ", ".join(f"{name} {value:.3f}" for name, value in of.figures.items())
        + f": {of.folder}"
        for of in checkpoints
    ]
