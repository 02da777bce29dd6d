"""What a folder is, what is known about the model in it, and whether its files are unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetext.core.errors import ModelError
from finetext.models.files import (
    CARD,
    DESCRIPTION,
    Checked,
    checked,
    files_in,
    pickles_in,
    sha256_of,
)
from finetext.models.folder import (
    NO_WEIGHTS,
    WEIGHTS,
    best_model,
    is_foreign,
    is_handwritten,
    looks_like,
    read_description,
    scheme_of,
)
from finetext.models.hub import model_folder


@dataclass(frozen=True)
class File:
    """A file of a folder.

    Attributes:
        name: relative to the folder.
        size: in bytes.
        sha256: in hexadecimal digits.
        state: "ok", "changed", "extra", "pickle", "own" for a handwritten model card, or "unknown"
            if the folder does not list its files.
    """

    name: str
    size: int
    sha256: str
    state: str


@dataclass(frozen=True)
class About:
    """What `finetext info` reports about a folder.

    Attributes:
        folder: where it is.
        kind: "finetext", "foreign" for a classifier that transformers saved, or "unusable".
        looks_like: what a folder that finetext did not write seems to be.
        described: the content of `finetext.json`; empty for others.
        labels: the label names, in the order of the columns.
        multilabel: whether a text can have several.
        files: every file.
        checked: how they compare with those that were written.
        pickles: names of the files that hold a pickle.
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
        if self.kind == "foreign" and not any(of.name.endswith(WEIGHTS) for of in self.files):
            return f"{self.folder} {NO_WEIGHTS}"
        if not self.checked.is_sound:
            return f"{self.folder} is not as finetext wrote it: {self.checked.words}"
        return None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "folder": str(self.folder),
            "kind": self.kind,
            "looks_like": self.looks_like,
            "problem": self.problem,
            "labels": list(self.labels),
            "multilabel": self.multilabel,
            "hashes_known": self.checked.is_known,
            "missing": list(self.checked.missing),
            "changed": list(self.checked.changed),
            "extra": list(self.checked.extra),
            "pickles": list(self.pickles),
            "files": [vars(file) for file in self.files],
            "description": {
                k: of for k, of in self.described.items() if k not in ("files", "sha256")
            },
        }


def info(model: str | Path) -> About:
    """Inspect a model without loading it, and compare each file with its hash.

    Args:
        model: a folder of any kind, where a run folder stands for its best model; or
            "hub:owner/name".

    Returns:
        what is known; `problem` says why it must not be used, if so.

    Raises:
        ModelError: the folder does not exist or cannot be read, `finetext.json` is damaged, or a
            model on the Hub cannot be fetched.
        RunError: the run is damaged.
    """
    folder = best_model(model_folder(model))
    if not folder.is_dir():
        raise ModelError(f"there is no model or run folder {folder}")
    described = read_description(folder) if (folder / DESCRIPTION).is_file() else {}
    found = checked(folder, described) if described else Checked(False)
    kind = "finetext" if described else "foreign" if is_foreign(folder) else "unusable"
    scheme = scheme_of(folder) if kind == "foreign" else None
    try:
        pickles = tuple(pickles_in(folder))
        files = tuple(
            File(name, path.stat().st_size, sha256_of(path), _state(name, path, found, pickles))
            for name, path in files_in(folder).items()
        )
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error}") from None
    return About(
        folder=folder,
        kind=kind,
        looks_like="" if described else looks_like(folder),
        described=described,
        labels=tuple(described.get("labels", () if scheme is None else scheme.names)),
        multilabel=bool(described.get("multilabel", scheme is not None and scheme.multilabel)),
        files=files,
        checked=found,
        pickles=pickles,
    )


def _state(name: str, path: Path, found: Checked, pickles: tuple[str, ...]) -> str:
    if name in pickles:
        return "pickle"
    if name == CARD:
        return "own" if is_handwritten(path) else "ok"
    if not found.is_known:
        return "unknown"
    if name in found.changed:
        return "changed"
    return "extra" if name in found.extra else "ok"
