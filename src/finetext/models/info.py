"""What a folder is, what is known about the model in it, and whether its files are unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetext.core.budget import within_memory
from finetext.core.errors import ModelError
from finetext.models import files
from finetext.models import folder as folders
from finetext.models.files import CARD, DESCRIPTION, Checked
from finetext.models.hub import model_folder
from finetext.storage.received import names_received, sha256_received, size_received


@dataclass(frozen=True)
class File:
    """A file of a folder, with its relative name and its size in bytes.

    A link that leads out of the folder has the state "not followed", size 0 and no hash.
    """

    name: str
    size: int
    sha256: str
    state: str


@dataclass(frozen=True)
class About:
    """What `finetext info` reports about a folder.

    Attributes:
        kind: "finetext", "foreign" for a classifier that transformers saved, or "unusable".
        looks_like: what a folder that finetext did not write seems to be.
        described: the content of `finetext.json`; empty for others.
        checked: how the files compare with those that were written.
    """

    folder: Path
    kind: str
    looks_like: str
    described: Mapping[str, Any]
    labels: tuple[str, ...]
    multilabel: bool
    files: tuple[File, ...]
    checked: Checked
    pickles: tuple[str, ...]

    @property
    def problem(self) -> str | None:
        """Why it must not be used; None if it can be."""
        if self.pickles:
            return (
                f"{self.folder} holds a pickle, which can run any code when it is loaded: "
                f"{', '.join(self.pickles[:5])}"
            )
        if self.kind == "unusable":
            like = f"; it is {self.looks_like}" if self.looks_like else ""
            return f"{self.folder} is not a finetext model: it has no {DESCRIPTION}{like}"
        has_weights = any(of.name.endswith(folders.WEIGHTS) for of in self.files)
        if self.kind == "foreign" and not has_weights:
            return f"{self.folder} {folders.NO_WEIGHTS}"
        if not self.checked.is_sound:
            return f"{self.folder} is not as finetext wrote it: {self.checked.words}"
        return None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        told = {key: of for key, of in self.described.items() if key not in ("files", "sha256")}
        return {
            "folder": str(self.folder),
            "kind": self.kind,
            "looks_like": self.looks_like,
            "problem": self.problem,
            "labels": list(self.labels),
            "multilabel": self.multilabel,
            "hashes_known": self.checked.is_known,
            **{
                of: list(getattr(self.checked, of))
                for of in ("missing", "changed", "extra", "outside")
            },
            "pickles": list(self.pickles),
            "files": [vars(file) for file in self.files],
            "description": told,
        }


@within_memory
def info(model: str | Path) -> About:
    """Inspect a model without loading it, and compare each file with its hash.

    Args:
        model: a folder of any kind, where a run folder stands for its best model; or
            "hub:owner/name".

    Returns:
        what is known; `problem` says why it must not be used, if so.

    Raises:
        ModelError: it does not exist, cannot be read or fetched, or `finetext.json` is damaged.
        RunError: the run is damaged.
    """
    folder = folders.best_model(model_folder(model))
    if not folder.is_dir():
        raise ModelError(f"there is no model or run folder {folder}")
    described = folders.read_description(folder) if folders.is_described(folder) else {}
    found = files.checked(folder, described) if described else Checked(False)
    kind = "finetext" if described else "foreign" if folders.is_foreign(folder) else "unusable"
    scheme = folders.scheme_of(folder) if kind == "foreign" else None
    try:
        pickles = tuple(files.pickles_in(folder))
        all_files = []
        names, others = names_received(folder)
        for name in names:
            state, size = _state(name, folder, found, pickles), size_received(folder, name)
            all_files.append(File(name, size, sha256_received(folder, name), state))
        all_files += [File(name, 0, "", "not followed") for name in others]
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error}") from None
    return About(
        folder=folder,
        kind=kind,
        looks_like="" if described else folders.looks_like(folder),
        described=described,
        labels=tuple(described.get("labels", () if scheme is None else scheme.names)),
        multilabel=bool(described.get("multilabel", scheme is not None and scheme.multilabel)),
        files=tuple(all_files),
        checked=found,
        pickles=pickles,
    )


def _state(name: str, folder: Path, found: Checked, pickles: tuple[str, ...]) -> str:
    if name in pickles:
        return "pickle"
    if name == CARD:
        return "own" if folders.is_handwritten(folder) else "ok"
    if not found.is_known:
        return "unknown"
    if name in found.changed:
        return "changed"
    return "extra" if name in found.extra else "ok"
