"""What a server says of its model beside the numbers: name, origin, run, card; no path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

from finetext.artefact.folder import provenance
from finetext.artefact.hub import model_folder
from finetext.errors import FinetextError
from finetext.finite import finite

LONGEST_CARD: Final = 200_000
_PLACE: Final = re.compile(r"^(?:[/\\~]|\.{1,2}[/\\]|[A-Za-z]:[/\\]|file:)")


def about(model: str | Path) -> dict[str, Any]:
    """What a folder tells beside the classifier: name, provenance, run and card.

    Args:
        model: a model folder, a run folder for its best model, or "hub:owner/name".
    """
    from finetext.runs.run import Run

    folder = model_folder(model).resolve()
    run, method = _run_of(folder)
    place = folder
    if run is not None and Run.is_at(folder):
        method = run.best
        entry = next(entry for entry in run.leaderboard if entry.method == method)
        place = folder / entry.model
    told: dict[str, Any] = {
        "name": folder.name if run is None else f"{run.folder.name}/{method}",
        "provenance": without_places(_provenance(place)),
        "run": None,
        "card": _card(place),
    }
    if run is not None:
        told["run"] = {
            "name": run.folder.name,
            "method": method,
            "metric": run.metric,
            "best": run.best,
            "leaderboard": [without_places(entry.to_json()) for entry in run.leaderboard],
        }
    return dict(finite(told))


def _run_of(folder: Path) -> tuple[Any, str | None]:
    """The run that a folder is, or is the model of, and the method in the second case."""
    from finetext.runs.run import Run

    try:
        if Run.is_at(folder):
            return Run.open(folder), None
        if folder.name == "model" and Run.is_at(folder.parent.parent):
            run, method = Run.open(folder.parent.parent), folder.parent.name
            if method in {entry.method for entry in run.leaderboard}:
                return run, method
    except FinetextError:
        pass
    return None, None


def _provenance(model: Path) -> dict[str, Any]:
    try:
        return provenance(model)
    except FinetextError:
        return {}


def _card(model: Path) -> str | None:
    try:
        return (model / "README.md").read_text("utf-8", errors="replace")[:LONGEST_CARD]
    except OSError:
        return None


def without_places(value: Any) -> Any:
    """The same, with the last part alone of what looks like a place on this machine."""
    if isinstance(value, Mapping):
        return {name: without_places(of) for name, of in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(of) for of in value]
    if isinstance(value, str) and _PLACE.match(value):
        return PureWindowsPath(value).name if "\\" in value else PurePosixPath(value).name
    return value
