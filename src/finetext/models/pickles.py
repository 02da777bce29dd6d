"""Whether a file holds a pickle, also compressed or in an archive, found without unpacking it.

At most some megabytes of a file or a member are looked at, however large it says that it is.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickletools
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, final

from finetext.core.errors import DataError
from finetext.data.archives import open_member, open_tar, open_zip, step_of
from finetext.storage.received import open_received

_HEAD: Final = 65_536
"""Bytes of a file that are read."""
_ENOUGH: Final = 200
"""Pickle instructions in a row that are no coincidence, even if the end was not seen."""
_MOST: Final = 64 << 20
"""Bytes of instructions that are looked at; what goes on longer counts as a pickle."""
_DEEPEST: Final = 4
"""Compressions inside each other; what goes on counts as a pickle. A file can hold itself."""
_LZMA_MEMORY: Final = 256 << 20
_OBJECTS: Final = re.compile(rb"'descr':[^}]*'[|<>=]?O\d*'")
_GLOBAL: Final = re.compile(rb"c[A-Za-z_][\w.]*\r?\n[A-Za-z_][\w.]*\r?\n")
_COMPRESSED: Final[dict[bytes, Callable[[IO[bytes]], Any]]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
}
_LZMA: Final = (b"\xfd7zXZ\x00", b"\x5d\x00\x00")


def holds_pickle(folder: Path, name: str) -> bool:
    """Return whether a file is or contains a pickle, also compressed; raises an OSError."""
    with open_received(folder, name) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(_HEAD)
        try:
            if head.startswith(b"PK\x03\x04") or zipfile.is_zipfile(file):
                with open_zip(file, name) as archive:
                    return any(_is_member_pickle(archive, of) for of in archive.infolist())
        except (zipfile.BadZipFile, RuntimeError, EOFError, ValueError, zlib.error, lzma.LZMAError):
            return b".pkl" in head
        if head[257:262] != b"ustar":
            return _is_pickle(_Limited(file, size))
        try:
            file.seek(0)
            with open_tar(file, name) as packed:  # the oldest format of torch
                parts = ((packed.extractfile(of), of.size) for of in packed if of.isfile())
                return any(of and _is_pickle(_Limited(of, size)) for of, size in parts)
        except (tarfile.TarError, EOFError, RecursionError, ValueError):
            return "pickle" in name
        except DataError:  # a member is sparse, which is a way to hide what is in it
            return True


def _is_member_pickle(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    with open_member(archive, member) as file:
        return _is_pickle(_Limited(file, member.file_size, step_of(member)))


@final
class _Limited:
    """A file that gives no more than `_MOST` bytes from each place that is sought.

    `is_over` says that an instruction goes on longer, and that the file has so much.
    """

    def __init__(self, file: IO[bytes], size: int, step: int = _HEAD) -> None:
        self._file, self._size, self._step = file, size, step
        self._taken, self.is_over = 0, False

    def seek(self, place: int) -> None:
        """Go to a place."""
        self._file.seek(place)
        self._taken = 0

    def tell(self) -> int:
        """Return the place."""
        return self._file.tell()

    def read(self, size: int) -> bytes:
        """Return so many bytes, or fewer at the end; raises a ValueError if they are too many."""
        size = min(size, max(0, self._size - self._file.tell()))
        self._refuse(size)
        found = bytearray()
        while len(found) < size:
            if not (more := self._file.read(min(self._step, size - len(found)))):
                break
            found += more
        self._taken += len(found)
        return bytes(found)

    def readline(self) -> bytes:
        """Return a line; raises a ValueError if it is too long."""
        line = self._file.readline(_MOST - self._taken + 1)
        self._refuse(len(line))
        self._taken += len(line)
        return line

    def _refuse(self, size: int) -> None:
        if self._taken + size > _MOST:
            self.is_over = True
            raise ValueError("an instruction is too long")


def _is_pickle(file: _Limited, depth: int = 0) -> bool:
    """Return whether a file, or the start of one below a compression, is a pickle."""
    file.seek(0)
    head = file.read(_HEAD)
    if head.startswith(b"\x93NUMPY"):
        return _OBJECTS.search(head) is not None
    if (inside := _decompressed(head)) is not None:
        start = _Limited(io.BytesIO(inside), len(inside))
        return depth == _DEEPEST or _is_pickle(start, depth + 1)
    if len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5:
        return _count_instructions(file) > 1
    is_long = depth > 0 or len(head) == _HEAD
    return _GLOBAL.match(head) is not None or _is_old_pickle(file, is_long)


def _count_instructions(file: _Limited) -> int:
    """Count the leading pickle instructions, up to `_ENOUGH`; one may be longer than the head."""
    file.seek(0)
    count = 0
    with suppress(Exception):  # invalid instructions raise errors of many types
        for _ in islice(pickletools.genops(file), _ENOUGH):  # type: ignore[arg-type]
            count += 1
    return _ENOUGH if file.is_over else count


def _is_old_pickle(file: _Limited, is_long: bool) -> bool:
    """Return whether a file is a pickle of protocol 0 or 1, which have no magic number."""
    count = _count_instructions(file)
    if count < 3:
        return False
    if is_long and count == _ENOUGH:
        return True
    file.seek(0)
    try:  # text can look like a short pickle, but not with operands for each instruction
        pickletools.dis(file, out=io.StringIO())  # type: ignore[arg-type]
    except Exception:  # see _count_instructions
        return False
    return True


def _decompressed(head: bytes) -> bytes | None:
    """Return the first bytes of compressed content; None if it is not compressed."""
    with suppress(OSError, EOFError, ValueError, lzma.LZMAError, zlib.error):
        for magic, open_compressed in _COMPRESSED.items():
            if head.startswith(magic):
                return _first_bytes(open_compressed(io.BytesIO(head)))
        if head.startswith(_LZMA):
            return _first_of_lzma(head)
        if head[:1] == b"\x78" and len(head) > 1 and int.from_bytes(head[:2], "big") % 31 == 0:
            return zlib.decompressobj().decompress(head, _HEAD)
    return None


def _first_bytes(file: IO[bytes]) -> bytes:
    """Read up to `_HEAD` bytes of a compressed file that may be cut off."""
    found = bytearray()
    with suppress(OSError, EOFError, zlib.error):
        while len(found) < _HEAD and (more := file.read(1024)):
            found += more
    return bytes(found)


def _first_of_lzma(head: bytes) -> bytes:
    """Return the same of a format whose header says how much memory it needs."""
    found, rest = bytearray(), head
    decompressor = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
    with suppress(EOFError, lzma.LZMAError):
        while rest and len(found) < _HEAD:
            found += decompressor.decompress(rest[:1024], _HEAD - len(found))
            rest = rest[1024:]
            if decompressor.eof:
                rest = decompressor.unused_data + rest
                decompressor = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
    return bytes(found)
