"""Files that hold a pickle, told by their content: whoever loads one runs what its author wrote."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import pickletools
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from finetext.core.errors import ModelError

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


_HEAD: Final = 65_536
"""Bytes of a file that are looked at."""
_ENOUGH: Final = 200
"""So many instructions in a row are no chance, even if the end was not seen."""
_OBJECTS: Final = re.compile(rb"'descr':[^}]*'[|<>=]?O\d*'")
_GLOBAL: Final = re.compile(rb"c[A-Za-z_][\w.]*\r?\n[A-Za-z_][\w.]*\r?\n")
_COMPRESSED: Final[dict[bytes, Callable[[IO[bytes]], Any]]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x5d\x00\x00": lzma.LZMAFile,
}


def refuse_pickles(folder: Path) -> None:
    """Raise a `ModelError` that names the files of a folder that hold a pickle.

    Raises:
        ModelError: there is one, or a file cannot be read.
    """
    try:
        found = sorted(pickles_in(folder))
    except OSError as error:
        raise ModelError(f"{folder} cannot be looked through for pickles: {error}") from None
    if found:
        named = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
        raise ModelError(
            f"{folder} holds a pickle, which can run any code when it is loaded: {named}; finetext "
            "writes none: take a model with safetensors alone, or remove the file if you do not "
            "need it"
        )


def pickles_in(folder: Path) -> Iterator[str]:
    """The files below a folder that hold a pickle, by their names relative to it.

    Raises:
        OSError: a file cannot be read.
    """
    for path in folder.rglob("*"):
        if path.is_file() and holds_pickle(path):
            yield path.relative_to(folder).as_posix()


def holds_pickle(path: Path) -> bool:
    """Whether a file is a pickle, or has one in it.

    That goes by its content, whatever it is called: pickles of any protocol, also compressed;
    checkpoints of torch in their three formats; arrays of objects of NumPy.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if head.startswith(b"PK\x03\x04") or zipfile.is_zipfile(path):
            return _in_archive(path, head)
        if head[257:262] == b"ustar":
            return _in_tar(path)
        return _is_pickle(file)


def _is_pickle(file: IO[bytes], is_cut: bool = False) -> bool:
    """Whether a file is a pickle, or begins as one.

    Args:
        file: it, open, and such that one can go back to its beginning.
        is_cut: whether it is only the beginning of what it was.
    """
    file.seek(0)
    head = file.read(_HEAD)
    if head.startswith(b"\x93NUMPY"):
        return _OBJECTS.search(head) is not None
    if (inside := _decompressed(head)) is not None:
        return _is_pickle(io.BytesIO(inside), True)
    if len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5:
        return _instructions(file) > 1
    return _GLOBAL.match(head) is not None or _is_old_pickle(file, is_cut or len(head) == _HEAD)


def _instructions(file: IO[bytes]) -> int:
    """How many instructions of a pickle a file begins with, up to its end or `_ENOUGH`.

    It may have to be read beyond its head: a single instruction can hold a long text.
    """
    file.seek(0)
    count = 0
    try:
        for _ in islice(pickletools.genops(file), _ENOUGH):
            count += 1
    except Exception:  # what is no instruction raises errors of many kinds
        return count
    return count


def _is_old_pickle(file: IO[bytes], is_long: bool) -> bool:
    """Whether a file is a pickle of the protocols 0 and 1, which begin with nothing of their own.

    A text can look like a short one, so that one must be sound: no instruction may lack what it
    works on.
    """
    count = _instructions(file)
    if count < 3:
        return False
    if is_long and count == _ENOUGH:
        return True
    file.seek(0)
    try:
        pickletools.dis(file, out=io.StringIO())
    except Exception:  # see _instructions
        return False
    return True


def _decompressed(head: bytes) -> bytes | None:
    """The first bytes of what is compressed; None if nothing is."""
    try:
        for magic, opened in _COMPRESSED.items():
            if head.startswith(magic):
                return _first(opened(io.BytesIO(head)))
        if head[:1] == b"\x78" and len(head) > 1 and int.from_bytes(head[:2], "big") % 31 == 0:
            return zlib.decompressobj().decompress(head, _HEAD)
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error):
        return None
    return None


def _first(file: IO[bytes]) -> bytes:
    """As much as can be had of a compressed file that is cut off, `_HEAD` bytes at most."""
    found = bytearray()
    try:
        while len(found) < _HEAD and (more := file.read(1024)):
            found += more
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        pass
    return bytes(found)


def _in_archive(path: Path, head: bytes) -> bool:
    """Whether a zip archive, as torch and NumPy write them, has a pickle in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                with archive.open(member) as file:
                    if _is_pickle(file):
                        return True
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
        ValueError,
        zlib.error,
    ):
        return b".pkl" in head
    return False


def _in_tar(path: Path) -> bool:
    """Whether a tar archive, the oldest format of torch, has a pickle in it."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member)
                if file is not None and _is_pickle(file):
                    return True
    except (tarfile.TarError, EOFError):
        return b"pickle" in path.name.encode()
    return False
