"""Which folder a run gets, and that no other run gets it at the same time.

A run holds the lock `.lock` in its folder. The lock goes with the process that holds it, however
that ends, so a file that is left behind blocks nobody.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final

from finetext.core.errors import RunError

if TYPE_CHECKING:
    from filelock import BaseFileLock


LOCK: Final = ".lock"
STARTED: Final = ("data.json", "splits.parquet", "recipe.toml")
"""What is there when a run has been started; the recipe is written last."""
_BEFORE: Final = {"data.parquet", "splits.parquet", "environment.json", "data.json"}


def is_started(folder: Path) -> bool:
    """Whether a folder holds a run, finished or not."""
    return all((folder / name).is_file() for name in STARTED)


def is_free(folder: Path) -> bool:
    """Whether a run can be started in a folder.

    It is missing, empty, or holds only what a run wrote that was killed before it was started.
    """
    if not folder.is_dir():
        return not folder.exists()
    names = {path.name for path in folder.iterdir()}
    return not names or (LOCK in names and all(name == LOCK or _is_early(name) for name in names))


def check_place(out: Path, resume: bool) -> None:
    """Refuse a run folder that cannot be used, before any work is done.

    Args:
        out: the folder that was asked for.
        resume: whether the run in it may be gone on with.

    Raises:
        RunError: it is a file, holds something else, cannot be written, or another run is writing
            into it.
    """
    if not os.path.isdir(out) or is_free(out):
        check_writable(out)
        return
    if not is_started(out):
        raise RunError(f"{out} is there already and not empty; choose another folder")
    from finetext.runs.run import is_finished

    if resume and is_finished(out):
        return
    if resume:
        with claimed(out):
            return
    if is_finished(out):
        raise RunError(f"{out} is there already and holds a finished run: choose another folder")
    raise RunError(
        f"{out} is there already and holds an unfinished run: go on with it by --resume, or choose "
        "another folder"
    )


def check_writable(out: Path) -> None:
    """Refuse a folder if no file can be made in what is there of its path.

    Raises:
        RunError: it cannot be written, or it or a folder above it is a file.
    """
    above = next(place for place in (out, *out.absolute().parents) if os.path.exists(place))
    if not above.is_dir():
        raise RunError(f"the run folder cannot be {out}: {above} is a file")
    try:
        with TemporaryFile(dir=above):
            return
    except OSError as error:
        raise RunError(f"the run folder {out} cannot be written: {error.strerror}") from None


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """A folder for as long as the body runs, made where it is missing.

    A folder in which nothing came to be is removed again.

    Raises:
        RunError: another run is writing into it, or it cannot be written.
    """
    with _claimed_first([folder]) as first:
        if first is None:
            raise RunError(
                f"another run is writing into {folder}; wait for its end, or choose another folder"
            )
        yield first


@contextmanager
def claimed_new(out: Path | None, name: str) -> Iterator[Path]:
    """A folder for a new run: what was asked for, or the first free `runs/NAME`, `runs/NAME-2`, ...

    Raises:
        RunError: what was asked for is not free, or cannot be written.
    """
    if out is not None:
        check_place(out, resume=False)
        with claimed(out):
            sweep(out)
            yield out
        return
    numbered = (Path("runs") / (name if n == 1 else f"{name}-{n}") for n in count(1))
    with _claimed_first(folder for folder in numbered if is_free(folder)) as folder:
        assert folder is not None
        sweep(folder)
        yield folder


@contextmanager
def _claimed_first(folders: Iterable[Path]) -> Iterator[Path | None]:
    """The first of the folders whose lock is to be had, or None."""
    for folder in folders:
        made = [place for place in (folder, *folder.parents) if not place.exists()]
        was_free = is_free(folder)
        lock = _locked(folder)
        if lock is None:
            continue
        if was_free and not is_free(folder):
            lock.release()
            continue
        try:
            yield folder
        finally:
            _tidy(folder, made)
            lock.release()
        return
    yield None


def _locked(folder: Path) -> BaseFileLock | None:
    """The lock of a folder, or None if somebody else has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        return None
    except OSError as error:
        raise RunError(f"the run folder {folder} cannot be written: {error}") from None
    return lock


def _tidy(folder: Path, made: Iterable[Path]) -> None:
    """Remove the folders that were made, if no run came to be in them."""
    if is_free(folder):
        with suppress(OSError):
            sweep(folder)
            (folder / LOCK).unlink(missing_ok=True)
            for place in made:
                place.rmdir()


def sweep(folder: Path) -> None:
    """Remove what a killed run left half-written at the top of its folder.

    Raises:
        RunError: it cannot be removed.
    """
    early = not (folder / STARTED[-1]).is_file()
    try:
        for path in list(folder.iterdir()):
            name = path.name
            if path.is_file() and (_is_unfinished(name) or (early and name in _BEFORE)):
                path.unlink()
    except OSError as error:
        raise RunError(f"the run folder {folder} cannot be written: {error}") from None


def _is_early(name: str) -> bool:
    return name in _BEFORE or _is_unfinished(name)


def _is_unfinished(name: str) -> bool:
    """Whether a name is that of a file of a run before it is renamed to its place."""
    from finetext.runs.recipe import RUN_FILES

    stems = {file.split(".")[0] for file in RUN_FILES}
    hidden = any(name.startswith(f".{file}.") for file in RUN_FILES)
    return hidden or (name.endswith(".part") and name.removesuffix(".part") in stems)
