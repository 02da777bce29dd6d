"""The folder that an encoder is made in: claimed, gone on with after a kill, never half there.

While training goes on, everything lies in `.training` inside the folder, but for `log.jsonl`. In
the end the files of the encoder are moved to their place, `config.json` last: without it no folder
counts as an encoder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError

from finetext.core.errors import ModelError, RecipeError, RunError
from finetext.runs.claiming import check_writable, claimed, is_free
from finetext.storage.files import finish_folder, sync_names, write_json

FORMAT_VERSION: Final = 1
ORIGIN: Final = "origin.json"
CORPUS: Final = "corpus.npy"
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Origin:
    """How an encoder was adapted or pretrained.

    Attributes:
        kind: "adapted" from another encoder, or "pretrained" from random weights.
        base: the encoder it started from, as it was named; "" for random weights.
        corpus: source, content_hash, documents, held_out, tokens, excluded (reason to number of
            texts), with_test, in_order.
        seconds: time it took, evaluation included.
        before: loss, accuracy and perplexity on held-out text before the first step.
        after: the same figures of the weights that were saved.
        settings: the hyperparameters as they were asked for; None left it to finetext.
        chosen: the learning rate and the tokens of a row that were taken.
        seed: seed of every random choice.
        versions: package to version.
        head_is_fresh: whether the language-model head had random weights before the first step.
    """

    kind: Literal["adapted", "pretrained"]
    base: str
    corpus: Mapping[str, Any]
    seconds: float
    before: Mapping[str, float]
    after: Mapping[str, float]
    settings: Mapping[str, Any]
    chosen: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    head_is_fresh: bool = False


def read_origin(folder: str | Path) -> Origin | None:
    """The origin of an encoder; None if its folder tells of none, or it is no folder.

    Raises:
        ModelError: the file is damaged, or of a newer finetext.
    """
    path = Path(folder) / ORIGIN
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged: {error}") from None
    try:
        version = int(values.pop("format_version"))
        if version <= FORMAT_VERSION:
            return Origin(**values)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is damaged: {error!r}") from None
    raise ModelError(
        f"{path} has format version {version}, but this finetext reads up to {FORMAT_VERSION}; "
        "upgrade finetext"
    )


def write_origin(folder: Path, origin: Origin) -> None:
    """Write `origin.json`, whole or not at all."""
    write_json(folder / ORIGIN, {"format_version": FORMAT_VERSION} | asdict(origin))


def normalised(text: str) -> str:
    """What counts as the same text: spaces aside, as in the check for leakage."""
    return " ".join(text.split())


def text_hashes(texts: Iterable[str]) -> Hashes:
    """(n,) a hash of each text, spaces aside."""
    raw = (normalised(text).encode("utf-8", "surrogatepass") for text in texts)
    return np.array(
        [int.from_bytes(blake2b(of, digest_size=8).digest(), "little") for of in raw],
        dtype=np.uint64,
    )


def write_corpus_hashes(folder: Path, texts: Iterable[str]) -> None:
    """Write `corpus.npy`: the hashes of the texts, sorted and each once."""
    np.save(folder / CORPUS, np.unique(text_hashes(texts)), allow_pickle=False)


def texts_in_corpus(folder: str | Path, texts: Iterable[str]) -> int:
    """How many of the texts the encoder of a folder was trained on, spaces aside.

    Raises:
        ModelError: the record of the corpus is damaged.
    """
    path = Path(folder) / CORPUS
    try:
        known = np.load(path, allow_pickle=False)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(f"{path} is damaged: {error}") from None
    return int(np.isin(text_hashes(texts), known).sum())


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
