"""Files on disk, from the network and out of archives, which are never unpacked to disk."""

from __future__ import annotations

import gzip
import io
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.error import URLError
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

from finetext.data.raw import File
from finetext.errors import DataError

_LITTER: Final = {"thumbs.db", "desktop.ini", "__macosx"}
_TIMEOUT: Final = 60.0


def file_at(path: Path) -> File:
    """The file at a path, its bytes read when asked for."""
    return File(str(path), PurePosixPath(path.name), lambda: read_bytes(path))


def read_bytes(path: Path) -> bytes:
    """All bytes of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def files_below(folder: Path) -> list[File]:
    """All files below a folder in the order of their paths, hidden ones and litter left out.

    Raises:
        DataError: a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"cannot read {error.filename}: {error.strerror}")

    found = []
    for place, _, names in os.walk(folder, onerror=refuse):
        for name in names:
            path = Path(place, name)
            inner = PurePosixPath(path.relative_to(folder).as_posix())
            if not is_litter(inner):
                found.append(File(str(path), inner, lambda path=path: read_bytes(path)))  # type: ignore[misc]
    return sorted(found, key=lambda file: file.path.parts)


def is_litter(path: PurePosixPath) -> bool:
    """Whether a path is hidden or left behind by an operating system."""
    return any(part.startswith(".") or part.lower() in _LITTER for part in path.parts)


def download(url: str) -> File:
    """The file at an http or https address.

    Raises:
        DataError: it cannot be fetched; the message has the reason.
    """
    try:
        with urlopen(url, timeout=_TIMEOUT) as response:
            data: bytes = response.read()
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(f"cannot fetch {url}: {reason}") from None
    name = PurePosixPath(unquote(urlsplit(url).path)).name or "download"
    return File(url, PurePosixPath(name), lambda: data)


def gunzipped(file: File) -> File:
    """The file inside a .gz file; any other file as it is.

    Raises:
        DataError: the file is broken.
    """
    data = file.load()
    if not data.startswith(b"\x1f\x8b") and file.path.suffix.lower() not in {".gz", ".tgz"}:
        return File(file.name, file.path, lambda: data)
    try:
        plain = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file.name} is broken: {error}") from None
    inner = re.sub(r"\.tgz$", ".tar", re.sub(r"\.gz$", "", file.path.name, flags=re.I), flags=re.I)
    return File(file.name, file.path.with_name(inner or file.path.name), lambda: plain)


def is_archive(file: File) -> bool:
    """Whether a file, no longer gzipped, is a tar or zip archive (an Excel file is not)."""
    suffix = file.path.suffix.lower()
    return suffix in {".zip", ".tar"} or file.load()[257:262] == b"ustar"


def members(archive: File) -> list[File]:
    """All files in a tar or zip archive in the order of their paths.

    Raises:
        DataError: the archive is broken, or has a member that is a link or whose path leads out.
    """
    inside = _tar_members if archive.path.suffix.lower() != ".zip" else _zip_members
    try:
        found = [
            File(f"{archive.name}/{path}", path, lambda data=data: data)  # type: ignore[misc]
            for path, data in inside(archive)
            if not is_litter(path)
        ]
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{archive.name} is a broken archive: {error}") from None
    except (RuntimeError, NotImplementedError) as error:
        raise DataError(f"{archive.name} cannot be unpacked: {error}") from None
    return sorted(found, key=lambda file: file.path.parts)


def _tar_members(archive: File) -> Iterator[tuple[PurePosixPath, bytes]]:
    data = archive.load()
    if any(data[-tarfile.BLOCKSIZE :]):
        raise tarfile.ReadError("it ends too early")
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for member in tar:
            path = _safe(member.name, archive.name)
            if member.isdir():
                continue
            stream = tar.extractfile(member) if member.isfile() else None
            if stream is None:
                raise DataError(f"{archive.name}: {member.name!r} is a link or device, not a file")
            yield path, stream.read()


def _zip_members(archive: File) -> Iterator[tuple[PurePosixPath, bytes]]:
    with zipfile.ZipFile(io.BytesIO(archive.load())) as folder:
        for member in folder.infolist():
            path = _safe(member.filename, archive.name)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise DataError(f"{archive.name}: {member.filename!r} is a link, not a file")
            if not member.is_dir():
                yield path, folder.read(member)


def _safe(name: str, archive: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise DataError(f"{archive}: the path {name!r} leads out of the archive; it is not read")
    return path
