"""Mean-pooled hidden states of a frozen encoder, kept on disk so that they are computed once."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.encoders.load import fingerprint
from finetext.methods.base import FitContext, ProgressEvent
from finetext.training.batches import prediction_batches
from finetext.training.tokens import TokenTable, tokenise
from finetext.types import Floats

POSITIONS_A_BATCH: Final = 4_096


@dataclass(frozen=True, eq=False)
class FrozenEncoder:
    """An encoder that only reads.

    Attributes:
        model: a transformers model in evaluation mode.
        tokenizer: its tokenizer.
        max_length: tokens to cut texts to.
        device: the `torch.device` the model is on.
    """

    model: Any
    tokenizer: Any
    max_length: int
    device: Any

    def states(self, texts: Sequence[str], context: FitContext | None = None) -> Floats:
        """The mean of the last hidden states over the tokens of each text.

        Args:
            texts: n texts.
            context: where to look for and keep states that were computed before (one file a list
                of texts, named by the hash of tokens and weights), and who hears of progress; None
                keeps nothing and says nothing.

        Returns:
            (n, hidden size) in the order of the texts.
        """
        table = tokenise(self.tokenizer, texts, self.max_length)
        if context is None or context.cache is None:
            return self._compute(table, context)
        path = context.cache / "states" / f"{self._key(table)}.npy"
        states = _read_array(path)
        if states is None or states.shape != (len(table), self.model.config.hidden_size):
            states = self._compute(table, context)
            _write_array(path, states.astype(np.float32))
        return states

    def _compute(self, table: TokenTable, context: FitContext | None) -> Floats:
        import torch

        states = np.zeros((len(table), self.model.config.hidden_size), dtype=np.float32)
        done = 0
        with torch.inference_mode():
            for rows in prediction_batches(table.lengths, POSITIONS_A_BATCH):
                batch = {name: part.to(self.device) for name, part in table.batch(rows).items()}
                hidden = self.model(**batch).last_hidden_state
                weights = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
                mean = (hidden * weights).sum(1) / weights.sum(1)
                states[rows] = mean.float().cpu().numpy()
                done += len(rows)
                if context is not None:
                    context.progress(ProgressEvent("probe: encoder states", done, len(table)))
        return states.astype(np.float64)

    def _key(self, table: TokenTable) -> str:
        digest = hashlib.sha256(f"{fingerprint(self.model)} mean {table.padding}".encode())
        for part in (table.starts, table.ids, table.kinds):
            digest.update(b"" if part is None else part.tobytes())
        return digest.hexdigest()


def _read_array(path: Path) -> Floats | None:
    """The array in a file; None if it is missing or damaged."""
    try:
        return np.asarray(np.load(path), dtype=np.float64)
    except (OSError, ValueError, EOFError):
        return None


def _write_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    """Write beside and rename; a cache that cannot be written is done without."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            np.save(file, array)
        os.replace(file.name, path)
    except OSError:
        return
