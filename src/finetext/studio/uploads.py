"""Files that the page sends, as files on the disk for as long as they are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from finetext.core.paths import why_reserved
from finetext.storage.unfinished import room_in

LONGEST_NAME: Final = 120
"""Characters of a file name that are kept, from its end: file systems take 255 bytes."""
_ALIKE: Final = "_"
_FALLBACK: Final = "data"


def file_name(name: str) -> str:
    """Return the name of a file that was sent, without folders and what a file system refuses.

    Its end stays, which says what kind of file it is.
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(
        sign if sign.isprintable() and sign not in '<>:"|?*' else _ALIKE for sign in last
    ).strip(" .")
    while len(plain.encode()) > LONGEST_NAME:
        plain = plain[1:]
    plain = plain.strip(" .")
    return _ALIKE + plain if plain and why_reserved(plain) else plain or _FALLBACK


@contextmanager
def placed(folder: Path, name: str, data: bytes) -> Iterator[Path]:
    """Yield a file with the data in a private folder, which goes when the body ends."""
    with room_in(folder) as room:
        path = room / file_name(name)
        path.write_bytes(data)
        yield path
