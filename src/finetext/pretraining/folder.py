"""The folder that an encoder is made in: claimed, gone on with after a kill, never half there.

While training goes on, everything lies in `.training` inside the folder, but for `log.jsonl`. In
the end the files of the encoder are moved to their place, `config.json` last: without it no folder
counts as an encoder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError

from finetext.artefact.folder import write_json
from finetext.durable import finish_folder, sync_names
from finetext.errors import RecipeError, RunError
from finetext.pretraining.origin import ORIGIN
from finetext.runs.claiming import check_writable, claimed, is_free

STATE: Final = ".training"
BEGUN: Final = "begun.json"
LAST: Final = "config.json"


@dataclass(frozen=True)
class Workplace:
    """The folder of an encoder that is being made.

    Attributes:
        folder: where it will be.
        state: what is only needed until then.
    """

    folder: Path
    state: Path

    def recalled(self, name: str) -> Any:
        """What was remembered under a name, before a kill too; None if nothing."""
        return _begun(self.folder)["facts"].get(name)

    def remember(self, name: str, value: Any) -> None:
        """Keep a value, in the types of JSON, for as long as training goes on."""
        values = _begun(self.folder)
        write_json(self.state / BEGUN, values | {"facts": values["facts"] | {name: value}})

    def finish(self, write: Callable[[Path], None]) -> None:
        """Put an encoder into the folder, and remove what is no longer needed.

        Args:
            write: writes all files of the encoder into an empty folder.

        Raises:
            RunError: they cannot be written.
        """
        result = self.state / "result"
        try:
            shutil.rmtree(result, ignore_errors=True)
            result.mkdir()
            write(result)
            finish_folder(result)
            for path in sorted(result.iterdir(), key=lambda path: (path.name == LAST, path.name)):
                os.replace(path, self.folder / path.name)
            sync_names(self.folder)
            shutil.rmtree(self.state)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(result, ignore_errors=True)
            raise RunError(f"{self.folder} cannot be written: {error}") from None


def is_finished(folder: Path) -> bool:
    """Whether a folder holds an encoder that was made by finetext."""
    return all((folder / name).is_file() for name in (ORIGIN, LAST))


def check_place(out: Path, resume: bool) -> None:
    """Refuse a folder that cannot be used, before any work is done.

    Args:
        out: the folder that was asked for.
        resume: whether what was begun or finished in it may be used.

    Raises:
        RunError: it is a file, holds something else, or cannot be written.
    """
    if is_free(out):
        check_writable(out)
    elif is_finished(out):
        if not resume:
            raise RunError(
                f"{out} is there already and holds a finished encoder: choose another folder"
            )
    elif not (out / STATE).is_dir():
        raise RunError(f"{out} is there already and not empty; choose another folder")
    elif not resume:
        raise RunError(
            f"{out} is there already and holds an unfinished encoder: go on with it by --resume, "
            "or choose another folder"
        )


@contextmanager
def workplace(out: Path, resume: bool, asked: Mapping[str, Any]) -> Iterator[Workplace]:
    """A folder to make an encoder in, for this process alone.

    Args:
        out: the folder; made where it is missing.
        resume: whether to go on with what was begun in it.
        asked: what determines the result, in the types of JSON; what was begun must have been
            asked for the same.

    Raises:
        RunError: the folder cannot be used, or another process is writing into it.
        RecipeError: it was begun with other settings.
    """
    check_place(out, resume)
    with claimed(out):
        place = Workplace(out, out / STATE)
        try:
            place.state.mkdir(exist_ok=True)
            if (place.state / BEGUN).is_file():
                refuse_other(out, _begun(out)["asked"], asked)
            else:
                write_json(place.state / BEGUN, {"asked": asked, "facts": {}})
        except OSError as error:
            raise RunError(f"{out} cannot be written: {error}") from None
        yield place


def _begun(folder: Path) -> dict[str, Any]:
    path = folder / STATE / BEGUN
    try:
        values = json.loads(path.read_text("utf-8"))
        return {"asked": dict(values["asked"]), "facts": dict(values["facts"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {error}; begin anew in another folder") from None


def refuse_other(folder: Path, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with what is in a folder, or to give it back, if it is not what is asked for.

    Raises:
        RecipeError: a setting differs.
    """
    differing = [
        f"{name} was {was.get(name)} and is {now.get(name)}"
        for name in sorted({*was, *now})
        if was.get(name) != now.get(name)
    ]
    if differing:
        raise RecipeError(
            f"the encoder in {folder} has other settings: {'; '.join(differing)}. Give it the "
            "same settings to go on, or choose another folder"
        )
