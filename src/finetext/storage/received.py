"""Files of a folder that somebody else made: no link in it leads out of it.

The path of the folder is the user's own, and links in it are followed. Below it, names are opened
one after the other without following links, so that a link that is swapped in after a check is
refused, too. A link to a file of the same folder is followed, and so is one of the Hub's cache:
`models--OWNER--NAME/snapshots/REVISION/FILE` to `../../blobs/HASH`.

Libraries that take a path get a private folder instead (`private_folder`): it has copies of small
files, and large ones as they were opened.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, Final, final

from finetext.core.budget import take_json
from finetext.core.errors import RunError
from finetext.core.paths import ON_WINDOWS
from finetext.storage.unfinished import is_unfinished

LARGEST_TEXT: Final = 256 << 20
"""Bytes of a file that is read as a whole, such as a tokenizer."""
_COPIED: Final = 16 << 20
"""Bytes up to which a file of a private folder is a copy."""
_MOST_LINKS: Final = 8
_CHUNK: Final = 1 << 20
_BLOB: Final = re.compile(r"((?:\.\./)+)blobs/([0-9a-f]{40,64})")
_OPENED: Final = Path("/proc/self/fd")
_CAN_DESCEND: Final = {os.open, os.stat, os.readlink} <= os.supports_dir_fd
_DIRECTORY: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT: Final = getattr(os, "O_NONBLOCK", 0)


class OutsideError(OSError):
    """A file of a received folder is a link that leads out of it, or no plain file."""

    def __str__(self) -> str:
        """Return the reason without its number."""
        return str(self.strerror)


def is_inner_name(name: str) -> bool:
    """Return whether a name, with "/" between parts, cannot lead out of a folder by itself."""
    path = PurePosixPath(name)
    # On Windows a colon follows a drive, or names a stream of a file.
    is_plain = not any(of in name for of in ("\\", "\0", *([":"] if ON_WINDOWS else [])))
    return bool(path.parts) and is_plain and not path.is_absolute() and ".." not in path.parts


def check_inner_names(names: Iterable[str]) -> None:
    """Raise an OutsideError if a name, such as "../x", can lead out of a folder."""
    for name in names:
        if not is_inner_name(name):
            raise OutsideError(errno.EINVAL, f"{name!r} is no name of something in the folder")


def open_received(folder: Path, name: str) -> BufferedReader:
    """Open a file of a received folder, by its name relative to it, with "/" between parts.

    Raises:
        OutsideError: it is not in the folder, or is no plain file.
        OSError: it is missing or cannot be read.
    """
    if "\0" in name:
        raise OutsideError(errno.EINVAL, f"{name!r} is no name of a file")
    if _private(folder) is not None:
        return (folder / name).open("rb")
    if not _CAN_DESCEND:
        return _open_resolved(folder, name)
    return os.fdopen(_descend(folder, name), "rb")


def read_received(folder: Path, name: str, most: int = LARGEST_TEXT) -> bytes:
    """Return the content of a file of a received folder; see `open_received`.

    Raises:
        OutsideError: also if it has more than `most` bytes.
    """
    with open_received(folder, name) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OutsideError(
            errno.EFBIG, f"{name} has more than {most:,} bytes, too many for a file of its kind"
        )
    return content


def read_received_text(
    folder: Path, name: str, most: int = LARGEST_TEXT, errors: str = "strict"
) -> str:
    """Return the UTF-8 text of a file of a received folder; see `read_received`."""
    text = read_received(folder, name, most).decode("utf-8", errors)
    take_json(text, str(folder / name))
    return text


def received_folder(folder: Path, name: str) -> Path:
    """Return the path of a folder inside a received one; raises an OSError if it is no such."""
    try:
        open_received(folder, name).close()
    except IsADirectoryError:
        return folder / name
    raise NotADirectoryError(errno.ENOTDIR, f"{name} is no folder")


def is_received_file(folder: Path, name: str) -> bool:
    """Return whether a received folder has a file of that name that can be opened."""
    try:
        open_received(folder, name).close()
    except OSError:
        return False
    return True


def copy_received(folder: Path, name: str, target: Path) -> None:
    """Copy the content of a file of a received folder; raises an OSError."""
    with open_received(folder, name) as source, target.open("xb") as copy:
        shutil.copyfileobj(source, copy, _CHUNK)


def sha256_received(folder: Path, name: str) -> str:
    """Return the SHA-256 of a file of a received folder in hexadecimal; raises an OSError."""
    with open_received(folder, name) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size_received(folder: Path, name: str) -> int:
    """Return the size of a file of a received folder in bytes; raises an OSError."""
    with open_received(folder, name) as file:
        return os.fstat(file.fileno()).st_size


def names_received(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the files of a received folder, and of what is none of its files.

    The second are links that lead out of it or nowhere, pipes and the like. Both are sorted. What a
    killed process left unfinished is passed over.
    """
    root, files, others = Path(os.path.realpath(folder)), list[str](), list[str]()
    is_private = _private(folder) is not None
    for place, folders, names in os.walk(root):  # follows no links to folders
        folders[:] = [each for each in folders if not is_unfinished(each)]
        for name in (*names, *(each for each in folders if os.path.islink(Path(place, each)))):
            found = Path(place, name).relative_to(root).as_posix()
            is_file = is_private or is_received_file(folder, found)
            if is_file or not _is_inner_folder(folder, found):
                (files if is_file else others).append(found)
    return sorted(files), sorted(others)


def refuse_links(folder: Path) -> None:
    """Raise a RunError if a folder holds a link that leads out of it, or nowhere."""
    for name in names_received(folder)[1]:
        if os.path.islink(folder / name):
            raise RunError(f"{folder} is not used: {_leads_out(name)}")


def _is_inner_folder(folder: Path, name: str) -> bool:
    try:
        open_received(folder, name).close()
    except IsADirectoryError:
        return True
    except OSError:
        return False
    return False


def _descend(folder: Path, name: str) -> int:
    """Return a descriptor of a file below a folder, having followed no link out of it."""
    root = os.path.realpath(folder)
    parts = list(reversed(PurePosixPath(name).parts))
    if not parts or PurePosixPath(name).is_absolute():
        raise OutsideError(errno.EINVAL, f"{name!r} is no name of a file in the folder")
    places, links = [os.open(root, _DIRECTORY)], 0
    try:
        while parts:
            part = parts.pop()
            if part == "..":
                if len(places) == 1:
                    raise _leads_out(name)
                os.close(places.pop())
                continue
            try:
                about = os.stat(part, dir_fd=places[-1], follow_symlinks=False)
            except FileNotFoundError:
                raise FileNotFoundError(errno.ENOENT, "missing", name) from None
            if stat.S_ISLNK(about.st_mode):
                links += 1
                target = os.readlink(part, dir_fd=places[-1])
                if not parts and (blob := _blob_of(root, len(places), target)) is not None:
                    return _open_blob(*blob, name)
                if links > _MOST_LINKS or os.path.isabs(target):
                    raise _leads_out(name)
                parts.extend(reversed(PurePosixPath(target).parts))
                continue
            opened = _open_plain(part, places[-1], about, name)
            if not stat.S_ISDIR(about.st_mode):
                if parts:
                    os.close(opened)
                    raise NotADirectoryError(errno.ENOTDIR, f"{name}: {part} is no folder")
                return opened
            places.append(opened)
    finally:
        for place in places:
            os.close(place)
    raise IsADirectoryError(errno.EISDIR, f"{name} is a folder")


def _open_plain(part: str, place: int, about: os.stat_result, name: str) -> int:
    """Open a file or folder that is no link, and is still the one that was looked at."""
    is_folder = stat.S_ISDIR(about.st_mode)
    if not is_folder and not stat.S_ISREG(about.st_mode):
        raise OutsideError(errno.EINVAL, f"{name} is no plain file")
    flags = _DIRECTORY if is_folder else os.O_RDONLY | _NO_WAIT | getattr(os, "O_CLOEXEC", 0)
    try:
        opened = os.open(part, flags | _NO_LINK, dir_fd=place)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
            raise _leads_out(name) from None
        raise
    if not os.path.samestat(os.fstat(opened), about):
        os.close(opened)
        raise OutsideError(errno.EAGAIN, f"{name} was replaced while it was opened")
    return opened


def _blob_of(root: str, depth: int, target: str) -> tuple[str, str] | None:
    """Return the repository's folder in the Hub's cache and a hash, if a link is of its layout."""
    found, parts = _BLOB.fullmatch(target), Path(root).parts
    for number in range(1, len(parts) - 1):
        if parts[number] == "snapshots" and parts[number - 1].startswith("models--"):
            below = len(parts) - number + depth - 1
            if found is not None and len(found[1]) // 3 == below:
                return str(Path(*parts[:number])), found[2]
    return None


def _open_blob(repository: str, digest: str, name: str) -> int:
    place = os.open(repository, _DIRECTORY)
    try:
        for part in ("blobs", digest):
            about = os.stat(part, dir_fd=place, follow_symlinks=False)
            opened = _open_plain(part, place, about, name)
            os.close(place)
            place = opened
        if stat.S_ISREG(about.st_mode):
            return place
    except FileNotFoundError:
        os.close(place)
        raise
    except OSError:
        os.close(place)
        raise _leads_out(name) from None
    os.close(place)
    raise _leads_out(name)


def _open_resolved(folder: Path, name: str) -> BufferedReader:
    """Open a file where names cannot be opened one by one: its resolved path is checked."""
    root = Path(os.path.realpath(folder))
    place = Path(os.path.realpath(root / name))
    parts = root.parts
    cached = [
        Path(*parts[:number], "blobs")
        for number in range(1, len(parts))
        if parts[number] == "snapshots" and parts[number - 1].startswith("models--")
    ]
    if not any(place.is_relative_to(inside) for inside in (root, *cached)):
        raise _leads_out(name)
    if not place.is_file():
        missing = FileNotFoundError(errno.ENOENT, f"{name} is missing")
        raise missing if not place.exists() else OutsideError(errno.EINVAL, f"{name} is no file")
    return place.open("rb")


def _leads_out(name: str) -> OutsideError:
    return OutsideError(
        errno.EXDEV,
        f"{name} is a link that leads out of the folder, and is not followed; put the file itself "
        "in its place, or remove the link",
    )


@final
class _Private:
    """A private folder and the files that it keeps open."""

    def __init__(self) -> None:
        self.path = Path(os.path.realpath(tempfile.mkdtemp(prefix="finetext-")))
        self.opened = ExitStack()
        self.users = 1
        _PRIVATE[self.path] = self

    def add(self, folder: Path, name: str, is_large: bool = False) -> None:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source = open_received(folder, name)
        is_large = is_large or os.fstat(source.fileno()).st_size > _COPIED
        if is_large and _OPENED.is_dir():
            self.opened.enter_context(source)
            target.symlink_to(_OPENED / str(source.fileno()))
            return
        with source:
            if is_large and _is_linked(source, Path(os.path.realpath(folder / name)), target):
                return
            with target.open("xb") as copy:
                shutil.copyfileobj(source, copy, _CHUNK)

    def release(self) -> None:
        self.users -= 1
        if not self.users:
            self.opened.close()
            shutil.rmtree(self.path, ignore_errors=True)
            _PRIVATE.pop(self.path, None)


_PRIVATE: Final[dict[Path, _Private]] = {}


def _is_linked(source: BufferedReader, place: Path, target: Path) -> bool:
    """Give an opened file a second name on the same disk; return whether that was possible."""
    try:
        os.link(place, target)
    except OSError:
        return False
    if os.path.samestat(os.fstat(source.fileno()), os.lstat(target)):
        return True
    target.unlink()
    return False


def _private(folder: Path) -> _Private | None:
    if not _PRIVATE:
        return None
    place = Path(os.path.realpath(folder))
    folders = _PRIVATE.copy()  # the garbage collector may remove one meanwhile: see `keep_private`
    return next((of for root, of in folders.items() if place.is_relative_to(root)), None)


@contextmanager
def private_folder(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """Yield a private folder with some files of a received one, for libraries that take a path.

    It is removed at the end of the body, or when everything that `keep_private` names is gone.

    Raises:
        OutsideError: a file is not in the received folder.
        OSError: a file cannot be read.
    """
    made, wanted = _Private(), set(names)
    try:
        for name in sorted(wanted):
            # onnxruntime refuses a graph that lies elsewhere than the weights beside it
            made.add(
                folder, name, len({name, f"{name}.data", name.removesuffix(".data")} & wanted) > 1
            )
        yield made.path
    finally:
        made.release()


def keep_private(path: Path, owner: Any) -> None:
    """Keep the private folder that a path lies in, if any, until `owner` is gone."""
    if (found := _private(path)) is not None:
        found.users += 1
        weakref.finalize(owner, found.release)
