"""Which files belong to a model folder, with sizes and hashes, and whether they still are as then.

This finds what was changed by accident or by hand. It is no signature: who can write the folder
can write the hashes, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from finetext.errors import ModelError

DESCRIPTION: Final = "finetext.json"
CARD: Final = "README.md"
OF_THEIR_OWN: Final = frozenset({DESCRIPTION, CARD, ".gitattributes"})
"""Files that may be there without being listed: what lists the others, and what people edit."""
_SEAL: Final = "sha256"


@dataclass(frozen=True)
class Checked:
    """The files of a model folder beside those it should have.

    Attributes:
        is_known: whether the folder says which files it should have; those written by finetext
            0.1 before hashes were kept do not.
        missing: files that should be there.
        changed: files with another size or content; `finetext.json` itself among them.
        extra: files that do not belong to the model.
    """

    is_known: bool
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether nothing is missing or changed, as far as that is known."""
        return not (self.missing or self.changed)

    @property
    def words(self) -> str:
        """What is not as it should be; nothing if all is."""
        parts = {"missing": self.missing, "changed": self.changed}
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names)


def listed(folder: Path) -> dict[str, dict[str, Any]]:
    """Every file of a folder, but those of `OF_THEIR_OWN`, with its size in bytes and its SHA-256.

    Raises:
        OSError: a file cannot be read.
    """
    return {
        name: {"size": path.stat().st_size, "sha256": sha256_of(path)}
        for name, path in files_in(folder).items()
        if name not in OF_THEIR_OWN
    }


def files_in(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its name relative to it, in alphabetical order."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return dict(sorted((path.relative_to(folder).as_posix(), path) for path in found))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed(described: Mapping[str, Any]) -> dict[str, Any]:
    """A description with its own hash, by which a later change shows."""
    return {**described, _SEAL: _seal(described)}


def is_changed(described: Mapping[str, Any]) -> bool:
    """Whether a description is not as it was sealed; one without a seal cannot tell."""
    return _SEAL in described and described[_SEAL] != _seal(described)


def names_of(described: Mapping[str, Any]) -> dict[str, Mapping[str, Any]] | None:
    """The files that a description lists; None if it lists none.

    Raises:
        ModelError: it names a file outside the folder, or is no list of files.
    """
    files = described.get("files")
    if files is None:
        return None
    try:
        known = {str(name): dict(of) for name, of in files.items()}
        wrong = [n for n, of in known.items() if not _is_inside(n) or of["size"] < 0]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{DESCRIPTION} is damaged: its list of files: {error!r}") from None
    if wrong:
        raise ModelError(f"{DESCRIPTION} is damaged: it lists {wrong[0]!r}, which is no file of it")
    return dict(known)


def check_sizes(folder: Path, described: Mapping[str, Any]) -> None:
    """Refuse a folder where files are missing or have another size: quick, as it reads none.

    Raises:
        ModelError: there is such a file.
    """
    for name, of in (names_of(described) or {}).items():
        path = folder / name
        if not path.is_file():
            raise ModelError(f"the model in {folder} is damaged: {name} is missing")
        if path.stat().st_size != of["size"]:
            raise ModelError(
                f"the model in {folder} is damaged: {name} has {path.stat().st_size:,} bytes, not "
                f"the {of['size']:,} that were written; `finetext info {folder}` tells more"
            )


def checked(folder: Path, described: Mapping[str, Any]) -> Checked:
    """Compare every file with what the description says of it; reads them all.

    Raises:
        ModelError: the description is damaged, or a file cannot be read.
    """
    known = names_of(described)
    if known is None:
        return Checked(False)
    there = files_in(folder)
    try:
        changed = [
            name
            for name, of in known.items()
            if name in there and not _is_as_listed(there[name], of)
        ]
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error}") from None
    if is_changed(described):
        changed.append(DESCRIPTION)
    return Checked(
        True,
        missing=tuple(name for name in known if name not in there),
        changed=tuple(changed),
        extra=tuple(name for name in there if name not in known and name not in OF_THEIR_OWN),
    )


def _is_as_listed(path: Path, of: Mapping[str, Any]) -> bool:
    return path.stat().st_size == of["size"] and sha256_of(path) == of.get("sha256")


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def _seal(described: Mapping[str, Any]) -> str:
    values = {name: value for name, value in described.items() if name != _SEAL}
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
