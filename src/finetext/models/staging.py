"""A model folder made ready for others: its own files alone, without a trace of this machine."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetext.core.errors import ModelError, RunError
from finetext.models.card import is_ours, without_path
from finetext.models.files import (
    CARD,
    DESCRIPTION,
    checked,
    is_changed,
    listed,
    names_of,
    refuse_pickles,
)
from finetext.models.folder import (
    load_model,
    provenance,
    read_description,
    record_of,
    save_model,
    write_description,
)
from finetext.models.foreign import FOREIGN, is_foreign

if TYPE_CHECKING:
    from finetext.core.contracts import Classifier


@dataclass(frozen=True)
class Stage:
    """A folder with what is to be sent.

    Attributes:
        folder: it holds nothing else.
        files: names of its files.
        left_out: files of the model folder that do not belong to the model.
        kind: kind of classifier.
        card: "own" if it was written by hand, else "new".
    """

    folder: Path
    files: tuple[str, ...]
    left_out: tuple[str, ...]
    kind: str
    card: str


@contextmanager
def staged(model: str | Path | Classifier, name: str) -> Iterator[Stage]:
    """A temporary folder with the files of a model, and a card that calls it by its name.

    Args:
        model: a model folder, a run folder for its best model, or a classifier.
        name: "owner/name" on the Hub.

    Raises:
        ModelError: it is no model of finetext, is not as it was written, or holds a pickle.
        RunError: the run is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="finetext-") as temporary:
        if isinstance(model, str | Path):
            source = best_model(Path(model))
        else:
            source = model.save(Path(temporary) / "saved")
        described = read_description(source)
        refuse_pickles(source)
        found = checked(source, described)
        if not found.is_sound:
            raise ModelError(f"{source} is not as finetext wrote it: {found.words}")
        if not found.is_known:
            source = _again(source, Path(temporary) / "again")
            described = read_description(source)
        folder = Path(temporary) / "stage"
        folder.mkdir()
        yield _filled(folder, source, described, name, found.extra)


def best_model(folder: Path) -> Path:
    """Return the folder itself, or of a run folder the folder of its best model.

    Raises:
        RunError: the run is damaged.
    """
    leaderboard = folder / "leaderboard.json"
    if not leaderboard.is_file():
        return folder
    try:
        best = json.loads((folder / "verdict.json").read_text("utf-8"))["best"]
        models = {of["method"]: of["model"] for of in json.loads(leaderboard.read_text("utf-8"))}
        return folder / str(models[best])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"the run in {folder} is damaged: {error}") from None


def warning_of(folder: Path) -> str:
    """What to know of a model before it is used; nothing if finetext wrote all that is said of it.

    Args:
        folder: a model folder, or a run folder for its best model.

    Raises:
        ModelError: it is neither, or damaged.
        RunError: the run is damaged.
    """
    folder = best_model(folder)
    if is_foreign(folder):
        return FOREIGN
    if is_changed(read_description(folder)):
        return (
            f"{folder / DESCRIPTION}, which names the labels and how they are given, was changed "
            "since finetext wrote it"
        )
    return ""


def _again(source: Path, folder: Path) -> Path:
    """A model without hashes, loaded and written anew, so that it is known what belongs to it."""
    save_model(load_model(source, "cpu"), folder, provenance(source), record_of(source))
    if (source / CARD).is_file():
        shutil.copyfile(source / CARD, folder / CARD)
    return folder


def _filled(
    folder: Path, source: Path, described: Mapping[str, Any], name: str, extra: tuple[str, ...]
) -> Stage:
    """Bring the files into the folder."""
    try:
        for file in names_of(described) or {}:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            _link(source / file, folder / file)
        card = source / CARD
        is_own = card.is_file() and not is_ours(card.read_text("utf-8", errors="replace"))
        if is_own:
            shutil.copyfile(card, folder / CARD)
        write_description(folder, _portable(described), name)
    except OSError as error:
        raise ModelError(f"{source} cannot be made ready to be sent: {error}") from None
    files = (*listed(folder), DESCRIPTION, CARD)
    kind = str(described["classifier"])
    return Stage(folder, files, extra, kind, "own" if is_own else "new")


def _link(source: Path, target: Path) -> None:
    """A link to a file, or a copy where there can be none."""
    try:
        target.symlink_to(source.resolve())
    except OSError:
        shutil.copyfile(source, target)


def _portable(described: Mapping[str, Any]) -> dict[str, Any]:
    """A description whose hyperparameters name no folder of this machine."""
    known = dict(described.get("provenance", {}))
    if isinstance(settings := known.get("hyperparameters"), Mapping):
        known["hyperparameters"] = {key: without_path(value) for key, value in settings.items()}
    return {**described, "provenance": known}
