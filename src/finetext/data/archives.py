"""Compressed files and archives: what is in them, counted against the budget while it is read.

Nothing is unpacked to disk, and no size that an archive states is trusted. Hidden members, links
and sparse members are left out or refused before their content is read.
"""

from __future__ import annotations

import bz2
import gzip
import io
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, Final, Self

from finetext.core.budget import read_all, take
from finetext.core.errors import DataError
from finetext.data.rows import File

_LITTER: Final = {"thumbs.db", "desktop.ini", "__macosx"}
_DEEPEST: Final = 3
"""Archives inside each other; an archive can be made to hold itself."""
_MEMBER: Final = 2_000
"""Bytes of memory that the description of a member takes, at most."""
_FIELD: Final = 300
_DESCRIBING: Final = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE}
_NAMING: Final = {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
_LONGEST_HEADER: Final = 1 << 20
_MOST_HEADERS: Final = 10
_RECORD: Final = re.compile(rb"(\d{1,8}) ([^=\n]+)=")
_ENTRY: Final = b"PK\x01\x02"
_LOCAL_HEADER: Final = 30
"""Bytes before the name of a member, of which the lengths of name and extra field are the last."""
_STEP: Final = 1 << 20
_SMALL_STEP: Final = 1 << 12
"""Compressed bytes taken at once of what has no limit on how much comes out."""


def is_litter(path: PurePosixPath) -> bool:
    """Whether a path is hidden or left behind by an operating system."""
    return any(part.startswith(".") or part.lower() in _LITTER for part in path.parts)


def gunzipped(file: File) -> File:
    """Return the file inside a .gz file; any other file as it is."""
    data = file.load()
    if not data.startswith(b"\x1f\x8b") and file.path.suffix.lower() not in {".gz", ".tgz"}:
        return File(file.name, file.path, lambda: data, file.depth)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            plain = read_all(packed, file.name)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file.name} is broken: {error}") from None
    inner = re.sub(r"\.tgz$", ".tar", re.sub(r"\.gz$", "", file.path.name, flags=re.I), flags=re.I)
    path = file.path.with_name(inner or file.path.name)
    return File(file.name, path, lambda: plain, file.depth)


def is_archive(file: File) -> bool:
    """Whether a file, no longer gzipped, is a tar or zip archive (an Excel file is not)."""
    suffix = file.path.suffix.lower()
    return suffix in {".zip", ".tar"} or file.load()[257:262] == b"ustar"


def members(archive: File) -> list[File]:
    """Return the files in a tar or zip archive in the order of their paths, without litter."""
    if archive.depth == _DEEPEST:
        raise DataError(
            f"{archive.name}: more than {_DEEPEST} archives inside each other are not read; unpack "
            "it, and give the file with the texts"
        )
    inside = _zip_members if archive.path.suffix.lower() == ".zip" else _tar_members
    try:
        found = [
            File(f"{archive.name}/{path}", path, lambda data=data: data, archive.depth + 1)  # type: ignore[misc]
            for path, data in inside(archive)
        ]
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{archive.name} is a broken archive: {error}") from None
    except RecursionError:
        raise DataError(f"{archive.name} is a broken archive: it is nested too deeply") from None
    except (RuntimeError, NotImplementedError, ValueError) as error:
        raise DataError(f"{archive.name} cannot be unpacked: {error}") from None
    return sorted(found, key=lambda file: file.path.parts)


def _tar_members(archive: File) -> Iterator[tuple[PurePosixPath, bytes]]:
    data = archive.load()
    if any(data[-tarfile.BLOCKSIZE :]):
        raise tarfile.ReadError("it ends too early")
    with open_tar(io.BytesIO(data), archive.name) as tar:
        for member in tar:
            take(_MEMBER + _FIELD * len(member.pax_headers), archive.name)
            path = _safe(member.name, archive.name)
            if member.isdir() or (member.isfile() and is_litter(path)):
                continue
            if member.issparse():
                raise _sparse(archive.name, member.name)
            stream = tar.extractfile(member) if member.isfile() else None
            if stream is None:
                raise DataError(f"{archive.name}: {member.name!r} is a link or device, not a file")
            yield path, read_all(stream, archive.name)


@contextmanager
def open_tar(file: IO[bytes], name: str) -> Iterator[tarfile.TarFile]:
    """Open an uncompressed tar archive; each header is checked before it is followed."""

    class Header(tarfile.TarInfo):
        """A header that refuses what makes a small archive large."""

        in_a_row = 0

        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
            header = super().frombuf(buf, encoding, errors)
            cls.in_a_row = cls.in_a_row + 1 if header.type in _DESCRIBING | _NAMING else 0
            if cls.in_a_row > _MOST_HEADERS:
                raise tarfile.ReadError("a file has too many headers")
            if header.type == tarfile.GNUTYPE_SPARSE:
                raise _sparse(name, header.name)
            if cls.in_a_row and not 0 <= header.size <= _LONGEST_HEADER:
                raise tarfile.ReadError(f"a header of {header.size:,} bytes")
            if header.type in _DESCRIBING:
                place = file.tell()
                blocks = -(-header.size // tarfile.BLOCKSIZE)
                _check_records(file.read(blocks * tarfile.BLOCKSIZE), name)
                file.seek(place)
            return header

    with tarfile.open(fileobj=file, mode="r:", tarinfo=Header) as tar:
        yield tar


def _check_records(records: bytes, name: str) -> None:
    """Refuse records that describe a sparse file, or that overlap, whose sizes would multiply."""
    start = count = 0
    while (found := _RECORD.match(records, start)) is not None:
        end = start + int(found[1])
        if end <= found.end() or records[end - 1 : end] != b"\n":
            raise tarfile.ReadError("a record of a header has another length")
        if found[2].startswith(b"GNU.sparse"):
            raise _sparse(name, "a file in it")
        start, count = end, count + 1
    if records[start:].strip(b"\0"):
        raise tarfile.ReadError("a header that cannot be read")
    take(_FIELD * count + len(records), name)


def _sparse(archive: str, member: str) -> DataError:
    return DataError(
        f"{archive}: {member!r} is sparse, so that its size says nothing of what it holds; pack it "
        "as a plain file"
    )


def _zip_members(archive: File) -> Iterator[tuple[PurePosixPath, bytes]]:
    with open_zip(io.BytesIO(archive.load()), archive.name) as folder:
        for member in folder.infolist():
            path = _safe(member.filename, archive.name)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise DataError(f"{archive.name}: {member.filename!r} is a link, not a file")
            if not member.is_dir() and not is_litter(path):
                yield path, unzipped(folder, member, archive.name)


def open_zip(file: IO[bytes], name: str) -> zipfile.ZipFile:
    """Open a zip archive, the descriptions of whose members are counted; raises a BadZipFile."""
    file.seek(0)
    while data := file.read(_STEP):
        take(_MEMBER * data.count(_ENTRY), name)
    return zipfile.ZipFile(file)


def unzipped(folder: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    """Return the content of a member, counted while it is decompressed."""
    with open_member(folder, member) as packed:
        data = read_all(packed, name, step_of(member))
    if zlib.crc32(data) != member.CRC:
        raise zipfile.BadZipFile(f"{member.filename} has another checksum than was written")
    return data


def open_member(folder: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    """Open a member as a stream that decompresses no more than is read of it, or little more."""
    opened = folder.open(member)
    if member.compress_type != zipfile.ZIP_BZIP2 or folder.fp is None:
        return opened
    opened.close()  # of a few bytes of bzip2 it would make hundreds of megabytes at once
    folder.fp.seek(member.header_offset)
    head = folder.fp.read(_LOCAL_HEADER)
    folder.fp.seek(sum(int.from_bytes(head[at : at + 2], "little") for at in (26, 28)), 1)
    packed = io.BytesIO(folder.fp.read(member.compress_size))
    return bz2.BZ2File(packed)


def step_of(member: zipfile.ZipInfo) -> int:
    """Return how many bytes of a member to read at once."""
    return _SMALL_STEP if member.compress_type == zipfile.ZIP_LZMA else _STEP


def _safe(name: str, archive: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise DataError(f"{archive}: the path {name!r} leads out of the archive; it is not read")
    return path
