"""The folder of an encoder: what it says of its origin, and the place in which it is made.

Training works in `.training` inside the folder and writes `log.jsonl` beside it. At the end the
files of the encoder are moved to their place, `config.json` last: it makes the folder an encoder.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError

from finetext.core.errors import ModelError, RunError
from finetext.storage.files import replaced_folder, sync_names, write_json
from finetext.storage.locks import Held, check_folder, claimed
from finetext.storage.received import open_received, read_received_text
from finetext.storage.resume import check_same
from finetext.storage.unfinished import rename

FORMAT_VERSION: Final = 1
ORIGIN: Final = "origin.json"
CORPUS: Final = "corpus.npy"
STATE: Final = ".training"
BEGUN: Final = "begun.json"
LAST: Final = "config.json"
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Origin:
    """How an encoder was adapted or pretrained.

    Attributes:
        kind: "adapted" from another encoder, or "pretrained" from random weights.
        base: the encoder it started from, as it was named; "" for random weights.
        corpus: source, content_hash, documents, held_out, tokens, excluded (reason to number of
            texts), with_test, in_order.
        seconds: training time, evaluation included.
        before: loss, accuracy and perplexity on held-out text before the first step.
        after: the same figures of the saved weights.
        settings: the hyperparameters as they were asked for; None left the choice to finetext.
        chosen: the learning rate and the tokens of a row that were used, and the batch size found
            for "auto".
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
    """Return the origin of an encoder; None without a record. Raises a ModelError."""
    path = Path(folder) / ORIGIN
    try:
        values = json.loads(read_received_text(Path(folder), ORIGIN))
        version = int(values.pop("format_version"))
        if version <= FORMAT_VERSION:
            return Origin(**values)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is damaged: {error!r}") from None
    raise ModelError(
        f"{path} has format version {version}, but this finetext reads up to {FORMAT_VERSION}; "
        "upgrade finetext"
    )


def write_origin(folder: Path, origin: Origin) -> None:
    """Write `origin.json`."""
    write_json(folder / ORIGIN, {"format_version": FORMAT_VERSION} | asdict(origin))


def text_hashes(texts: Iterable[str]) -> Hashes:
    """Return the (n,) hashes of texts whose white space does not count."""
    raw = (" ".join(text.split()).encode("utf-8", "surrogatepass") for text in texts)
    digests = b"".join(blake2b(of, digest_size=8).digest() for of in raw)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def write_corpus_hashes(folder: Path, texts: Iterable[str]) -> None:
    """Write `corpus.npy`: the hashes of the texts, sorted and each once."""
    np.save(folder / CORPUS, np.unique(text_hashes(texts)), allow_pickle=False)


def texts_in_corpus(folder: str | Path, texts: Iterable[str]) -> int:
    """Return how many of the texts the encoder of a folder was trained on; raises a ModelError."""
    path = Path(folder) / CORPUS
    try:
        with open_received(Path(folder), CORPUS) as file:
            known = np.load(file, allow_pickle=False)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(f"{path} is damaged: {error}") from None
    return int(np.isin(text_hashes(texts), known).sum())


@dataclass(frozen=True)
class Workplace:
    """The folder of an encoder during its training; `state` is for what only training needs."""

    folder: Path
    state: Path

    def remember(self, name: str, value: Any) -> None:
        """Keep a value, in the types of JSON, until training is finished."""
        values = self.begun()
        write_json(self.state / BEGUN, values | {"facts": values["facts"] | {name: value}})

    def begun(self) -> dict[str, Any]:
        """Return what was asked for when training began, and what was remembered since."""
        path = self.state / BEGUN
        try:
            values = json.loads(path.read_text("utf-8"))
            return {"asked": dict(values["asked"]), "facts": dict(values["facts"])}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path} is damaged: {error}; start anew in another folder") from None

    @contextmanager
    def result(self) -> Iterator[Path]:
        """Yield an empty folder to fill with an encoder, and move that to its place."""
        result = self.state / "result"
        try:
            with replaced_folder(result) as unfinished:
                yield unfinished
            for path in sorted(result.iterdir(), key=lambda path: (path.name == LAST, path.name)):
                rename(path, self.folder / path.name)
            sync_names(self.folder)
            shutil.rmtree(self.state)
        except (OSError, SafetensorError) as error:
            raise RunError(f"{self.folder} cannot be written: {error}") from None


def is_finished(folder: Path) -> bool:
    """Return whether a folder holds an encoder that finetext made."""
    return all((folder / name).is_file() for name in (ORIGIN, LAST))


def held(folder: Path) -> Held:
    """Return what a folder holds of an encoder; see `finetext.storage.locks.check_folder`."""
    if is_finished(folder):
        return "a finished encoder", False
    return ("an unfinished encoder", True) if (folder / STATE).is_dir() else None


@contextmanager
def workplace(out: Path, resume: bool, asked: Mapping[str, Any]) -> Iterator[Workplace]:
    """Lock a folder to make an encoder in; what was begun there must have been `asked` the same."""
    check_folder(out, resume, held)
    with claimed(out):
        place = Workplace(out, out / STATE)
        try:
            place.state.mkdir(exist_ok=True)
            if (place.state / BEGUN).is_file():
                check_same(f"the encoder in {out}", place.begun()["asked"], asked)
            else:
                write_json(place.state / BEGUN, {"asked": asked, "facts": {}})
        except OSError as error:
            raise RunError(f"{out} cannot be written: {error}") from None
        yield place
