"""The files of a model folder: their sizes and hashes, and whether one holds a pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from finetext.core.errors import ModelError
from finetext.models.pickles import holds_pickle
from finetext.storage.received import (
    is_inner_name,
    names_received,
    sha256_received,
    size_received,
)

DESCRIPTION: Final = "finetext.json"
CARD: Final = "README.md"
KEPT_ROWS: Final = "reference.safetensors"
"""What a model keeps of held-out rows; see `finetext.models.reference`."""
UNLISTED: Final = frozenset({DESCRIPTION, CARD, ".gitattributes", KEPT_ROWS})
"""Files that `finetext.json` does not list: itself, those that people edit, and one to delete."""
OUTWARD: Final = "link that leads out of the folder"
_SEAL: Final = "sha256"


@dataclass(frozen=True)
class Checked:
    """The files of a model folder compared with its list; early finetext 0.1 wrote no list.

    `outside` are files of the model that are links out of the folder, which are never followed.
    """

    is_known: bool
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether no file is known to be missing or changed."""
        return not (self.missing or self.changed or self.outside)

    @property
    def words(self) -> str:
        """The missing, changed and outward files in words; "" for none."""
        parts = {"missing": self.missing, "changed": self.changed, OUTWARD: self.outside}
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names)


def listed(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size in bytes and SHA-256 of every file but the `UNLISTED`; raises an OSError."""
    names = (name for name in names_received(folder)[0] if name not in UNLISTED)
    return {
        name: {"size": size_received(folder, name), "sha256": sha256_received(folder, name)}
        for name in names
    }


def sealed(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description with its own hash, which shows later changes."""
    return {**described, _SEAL: _seal(described)}


def is_changed(described: Mapping[str, Any]) -> bool:
    """Return whether a description differs from its hash; without a hash that is unknown."""
    return _SEAL in described and described[_SEAL] != _seal(described)


def _seal(described: Mapping[str, Any]) -> str:
    values = {name: value for name, value in described.items() if name != _SEAL}
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def names_of(described: Mapping[str, Any]) -> dict[str, Mapping[str, Any]] | None:
    """Return the files that a description lists, or None; raises a ModelError if damaged."""
    files = described.get("files")
    if files is None:
        return None
    try:
        known = {str(name): dict(of) for name, of in files.items()}
        wrong = [n for n, of in known.items() if not is_inner_name(n) or of["size"] < 0]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{DESCRIPTION} is damaged: its list of files: {error!r}") from None
    if wrong:
        raise ModelError(f"{DESCRIPTION} is damaged: it lists {wrong[0]!r}, no file of the model")
    return dict(known)


def check_sizes(folder: Path, place: Path, described: Mapping[str, Any]) -> None:
    """Raise a `ModelError` if a file in `place` has another size than the model in `folder`."""
    for name, of in (names_of(described) or {}).items():
        size = (place / name).stat().st_size
        if size != of["size"]:
            raise ModelError(
                f"the model in {folder} is damaged: {name} has {size:,} bytes, not "
                f"the {of['size']:,} that were written; see `finetext info {folder}`"
            )


def checked(folder: Path, described: Mapping[str, Any]) -> Checked:
    """Compare size and hash of every file with the description; raises a ModelError."""
    known = names_of(described)
    if known is None:
        return Checked(False)
    there, others = names_received(folder)
    try:
        changed = [
            name
            for name, of in known.items()
            if name in there
            and (
                size_received(folder, name) != of["size"]
                or sha256_received(folder, name) != of.get("sha256")
            )
        ]
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error}") from None
    if is_changed(described):
        changed.append(DESCRIPTION)
    outside = tuple(name for name in known if _is_below(name, others))
    return Checked(
        True,
        missing=tuple(name for name in known if name not in there and name not in outside),
        changed=tuple(changed),
        extra=(
            *(name for name in there if name not in known and name not in UNLISTED),
            *(name for name in others if name not in known),
        ),
        outside=outside,
    )


def _is_below(name: str, links: Sequence[str]) -> bool:
    """Return whether a name is that of a link, or lies in a folder that is one."""
    return any(name == link or name.startswith(f"{link}/") for link in links)


def refuse_pickles(folder: Path) -> None:
    """Raise a `ModelError` that names the files of a folder that hold a pickle, if any."""
    try:
        found = sorted(pickles_in(folder))
    except OSError as error:
        raise ModelError(f"{folder} cannot be searched for pickles: {error}") from None
    if found:
        named = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
        raise ModelError(
            f"{folder} holds a pickle, which can run any code when it is loaded: {named}; finetext "
            "writes none: use a model with safetensors only, or remove the file if you do not "
            "need it"
        )


def pickles_in(folder: Path) -> Iterator[str]:
    """Yield the relative names of the files that hold a pickle; raises an OSError."""
    return (name for name in names_received(folder)[0] if holds_pickle(folder, name))
