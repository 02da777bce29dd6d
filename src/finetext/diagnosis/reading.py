"""How much of a text the model of a rung reads, as its folder says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from finetext.errors import ModelError
from finetext.types import Integers

if TYPE_CHECKING:
    from finetext.runs.predicted import Predicted


@dataclass(frozen=True)
class Reading:
    """How a model reads texts.

    Attributes:
        tokenizer: the folder of its tokenizer.
        most: word pieces of a text that it reads, special ones included.
    """

    tokenizer: Path
    most: int

    def cut(self, texts: Sequence[str]) -> Integers:
        """The places of the texts that are longer, ascending. The tokenizer is loaded for it.

        Raises:
            ModelError: the tokenizer cannot be loaded.
        """
        from finetext.data.pieces import count_pieces
        from finetext.encoders.load import load_tokenizer

        pieces = count_pieces(load_tokenizer(str(self.tokenizer)), texts)
        return np.flatnonzero(pieces > self.most)


def reading_of(predicted: Predicted) -> Reading | None:
    """How the model behind predictions reads; None if it is not known, or has no word pieces."""
    from finetext.artefact.folder import provenance

    if predicted.run is None or predicted.method is None:
        return None
    model = predicted.run / predicted.method / "model"
    folders = [place for place in (model, model / "encoder") if _has_tokenizer(place)]
    try:
        most = provenance(model).get("max_length")
    except ModelError:
        return None
    return Reading(folders[0], most) if folders and isinstance(most, int) else None


def _has_tokenizer(folder: Path) -> bool:
    return (folder / "tokenizer_config.json").is_file()
