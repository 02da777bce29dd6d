"""Where an encoder folder comes from: its base, its corpus, and what training on that achieved.

Two files beside the weights: `origin.json`, and `corpus.npy` with a hash of every text that was
trained on, so that a later test on the same texts can be told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from finetext.artefact.folder import write_json
from finetext.errors import ModelError

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
