"""Folders that one process at a time writes into, and what a killed process left in them.

A lock ends with the process that holds it, so a lock file that is left behind blocks nobody.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final

from finetext.core.errors import RunError
from finetext.core.paths import ON_WINDOWS, refuse_reserved
from finetext.storage.received import refuse_links
from finetext.storage.unfinished import is_unfinished, settle

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK: Final = ".lock"
STARTED: Final = ("data.json", "splits.parquet", "recipe.toml")
"""The files of a started run; the recipe is written last."""
RUN_FILES: Final = frozenset({
    "adapted", "recipe.toml", "data.json", "data.parquet", "splits.parquet", "environment.json",
    "leaderboard.json", "verdict.json", "report.html", "openings.jsonl", "test_set.json",
    "diagnosis", "minutes.json",
})  # fmt: skip
"""What a run folder holds beside the folders of its methods."""
CURVE_LOG: Final = "fits.jsonl"  # of a learning curve, and the first file in its folder
_EARLY: Final = {"data.parquet", "splits.parquet", "environment.json", "data.json"}
Held = tuple[str, bool] | None
"""What a folder holds, such as "an unfinished run", and whether that can be resumed."""


def try_lock(path: Path) -> BaseFileLock | None:
    """Return the lock of a file, made if missing; None if another process holds it."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0)
    if path.is_symlink():  # older versions of filelock empty what it leads to
        raise OSError(errno.ELOOP, "the lock is a symbolic link; delete it", str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        return None
    return lock


def is_started(folder: Path) -> bool:
    """Return whether a folder holds a run, finished or not."""
    return all((folder / name).is_file() for name in STARTED)


def is_free(folder: Path) -> bool:
    """Return whether a folder is missing, empty, or holds only what was written before a start."""
    if not folder.is_dir():
        return not folder.exists()
    names = {path.name for path in folder.iterdir()}
    early = {LOCK, *_EARLY}
    return not names or (LOCK in names and all(n in early or _is_half_written(n) for n in names))


def check_folder(out: Path, resume: bool, held: Callable[[Path], Held]) -> None:
    """Raise a RunError for a folder that cannot be used, before any work is done."""
    if not os.path.isdir(out) or is_free(out):
        check_writable(out)
        return
    if (found := held(out)) is None:
        raise RunError(f"{out} already exists and is not empty; choose another folder")
    what, can_resume = found
    if not resume:
        advice = "resume it with --resume, or choose" if can_resume else "choose"
        raise RunError(f"{out} already holds {what}: {advice} another folder")
    if can_resume:
        with claimed(out):
            return


def check_writable(out: Path) -> None:
    """Raise an error if no file can be made in the part of a path that exists."""
    refuse_reserved(out)
    above = next(place for place in (out, *out.absolute().parents) if os.path.exists(place))
    if not above.is_dir():
        raise RunError(f"the folder cannot be {out}: {above} is a file")
    try:
        with TemporaryFile(dir=above):
            return
    except OSError as error:
        raise RunError(f"the folder {out} cannot be written: {error.strerror}") from None


def claimed(folder: Path) -> AbstractContextManager[Path]:
    """Lock a folder while the body runs; it is made if missing, and removed again if still free."""
    return _claimed_first([folder])


@contextmanager
def claimed_new(out: Path | None, name: str) -> Iterator[Path]:
    """Lock a folder for something new: `out`, or the first free `runs/NAME`, `runs/NAME-2`, ..."""
    if out is not None and not is_free(out):
        raise RunError(f"{out} already exists and is not empty; choose another folder")
    numbered = (Path("runs") / (name if n == 1 else f"{name}-{n}") for n in count(1))
    free = (folder for folder in numbered if is_free(folder))
    with _claimed_first(free if out is None else [out]) as folder:
        sweep(folder)
        yield folder


@contextmanager
def _claimed_first(folders: Iterable[Path]) -> Iterator[Path]:
    """Lock the first of the folders that no other process holds; raises a RunError if all are."""
    for folder in folders:
        made = [place for place in (folder, *folder.parents) if not place.exists()]
        was_free = is_free(folder)
        try:
            lock = try_lock(folder / LOCK)
        except OSError as error:
            raise RunError(f"the folder {folder} cannot be written: {error}") from None
        if lock is not None and (not was_free or is_free(folder)):
            break
        if lock is not None:
            lock.release()
    else:
        raise RunError(
            f"another process is writing into {folder}; wait until it ends, or choose another "
            "folder"
        )
    try:
        refuse_links(folder)
        yield folder
    finally:
        if is_free(folder):
            with suppress(OSError, RunError):
                sweep(folder)
                if ON_WINDOWS:  # what is open cannot be removed there
                    lock.release()
                (folder / LOCK).unlink(missing_ok=True)
                for place in made:
                    place.rmdir()
        lock.release()


def sweep(folder: Path) -> None:
    """Remove what a killed run left half-written in its folder; raises a RunError."""
    for part in (folder, folder / "diagnosis"):
        settle(part)
    early = _EARLY if not (folder / STARTED[-1]).is_file() else ()
    try:
        for path in list(folder.iterdir()):
            if path.is_file() and (path.name in early or _is_half_written(path.name)):
                path.unlink()
        for path in folder.glob("diagnosis/.*.json.*"):
            path.unlink()
    except OSError as error:
        raise RunError(f"the folder {folder} cannot be written: {error}") from None


def _is_half_written(name: str) -> bool:
    if is_unfinished(name):
        return True
    # What versions before 0.2 left.
    files = {*RUN_FILES, CURVE_LOG}
    stems = {file.split(".")[0] for file in files}
    hidden = any(name.startswith(f".{file}.") for file in files)
    return hidden or (name.endswith(".part") and name.removesuffix(".part") in stems)
