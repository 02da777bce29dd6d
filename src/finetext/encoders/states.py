"""Mean-pooled hidden states of a frozen encoder, cached on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.contracts import FitContext, ProgressEvent
from finetext.core.settings import Precision
from finetext.storage.cache import kept
from finetext.training.batches import in_parts, positions_a_batch, prediction_batches
from finetext.training.checkpoint import fingerprint
from finetext.training.precision import reading_copy, refuse_overflow
from finetext.training.tokens import TokenTable, tokenize


@dataclass(frozen=True, eq=False)
class FrozenEncoder:
    """An encoder in evaluation mode, on its device, with its tokenizer and maximum length."""

    model: Any
    tokenizer: Any
    max_length: int
    device: Any
    precision: Precision = "auto"

    def states(self, texts: Sequence[str], context: FitContext | None = None) -> Floats:
        """Return the mean of the last hidden states over the tokens of each text.

        Returns:
            (n, hidden size) in the order of the texts.
        """
        cache = None if context is None else context.cache
        table = tokenize(self.tokenizer, texts, self.max_length, cache)
        key = "" if cache is None else self._key(table)
        arrays = kept(cache, "states", key, lambda: {"states": self._compute(table, context)})
        return np.asarray(arrays["states"], dtype=np.float64)

    def _compute(self, table: TokenTable, context: FitContext | None) -> np.ndarray[Any, Any]:
        import torch

        states = np.zeros((len(table), self.model.config.hidden_size), dtype=np.float32)
        done = 0

        def forward(rows: Integers) -> None:
            nonlocal done
            batch = {name: part.to(self.device) for name, part in table.batch(rows).items()}
            hidden = self._reader(**batch).last_hidden_state.float()
            weights = batch["attention_mask"].unsqueeze(-1)
            states[rows] = ((hidden * weights).sum(1) / weights.sum(1)).cpu().numpy()
            done += len(rows)
            if context is not None:
                context.progress(ProgressEvent("probe: encoder states", done, len(table)))

        with torch.inference_mode():
            for rows in prediction_batches(table.lengths, positions_a_batch(self.device)):
                in_parts(forward, rows)
        refuse_overflow(states, self._reader)
        return states

    @cached_property
    def _reader(self) -> Any:
        return reading_copy(self.model, self.precision)

    def _key(self, table: TokenTable) -> str:
        described = (fingerprint(self.model), "mean", table.padding, self._reader.dtype)
        digest = hashlib.sha256(" ".join(map(str, described)).encode())
        for part in (table.starts, table.ids, table.kinds):
            digest.update(b"" if part is None else part.tobytes())
        return digest.hexdigest()
