"""Examples for a prompt: training rows that are similar to the text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from finetext.core.arrays import unit
from finetext.core.contracts import FitContext
from finetext.core.types import Dataset, LabelScheme
from finetext.encoders.states import FrozenEncoder
from finetext.storage.files import write_json
from finetext.storage.received import read_received_text
from finetext.training.precision import choose_device

MOST_ROWS: Final = 5_000
"""Rows that examples are chosen from; of more, a sample."""
_STATES: Final = "examples.safetensors"
_ROWS: Final = "examples.json"


@dataclass(frozen=True, eq=False)
class Examples:
    """Labeled rows, and (n, d) unit vectors of their texts in an encoder.

    Attributes:
        labels: a label of each row, or a list of labels.
    """

    encoder: FrozenEncoder
    texts: tuple[str, ...]
    labels: tuple[Any, ...]
    states: np.ndarray[Any, np.dtype[np.float32]]

    @classmethod
    def of(cls, rows: Dataset, encoder: str, context: FitContext) -> Self:
        """Return the rows with the vectors of their texts; of many rows the same sample always."""
        order = np.random.default_rng(0).permutation(len(rows))[:MOST_ROWS]
        chosen = rows.select(np.sort(order))
        frozen = FrozenEncoder.for_fits(context, encoder)
        states = unit(frozen.states(chosen.texts, context)).astype(np.float32)
        return cls(frozen, tuple(chosen.texts), tuple(chosen.labels), states)

    def near(
        self, texts: Sequence[str], of_each: int, most: int, scheme: LabelScheme
    ) -> list[list[tuple[str, Any]]]:
        """Return for each text the rows most similar to it, the most similar one last.

        Of each label there are at most `of_each`, and at most `most` in all: with many labels,
        those of the nearest rows. A row with the text itself is none: its label would be the
        answer.
        """
        if not len(texts) or not self.texts:
            return [[] for _ in texts]
        likeness = unit(self.encoder.states(list(texts))).astype(np.float32) @ self.states.T
        found = []
        for text, row in zip(texts, likeness, strict=True):
            # Rounded: in another batch a state differs in its last digits.
            order = np.argsort(-np.round(row, 4), kind="stable")
            found.append(self._chosen(text, order.tolist(), of_each, most, scheme))
        return found

    def _chosen(
        self, text: str, order: Sequence[int], of_each: int, most: int, scheme: LabelScheme
    ) -> list[tuple[str, Any]]:
        """Return the first rows of an order that the limits allow, the first one last."""
        left, taken = dict.fromkeys(scheme.names, of_each), list[tuple[str, Any]]()
        none_left = (
            of_each if scheme.multilabel else 0
        )  # rows without any label, of data with several
        for row in order:
            labels = [self.labels[row]] if isinstance(self.labels[row], str) else self.labels[row]
            if len(taken) == most or not (any(left.values()) or none_left):
                break
            if self.texts[row] == text or not (any(map(left.get, labels)) if labels else none_left):
                continue
            for label in labels:
                left[label] = max(0, left[label] - 1)
            none_left -= 0 if labels else 1
            taken.append((self.texts[row], self.labels[row]))
        return taken[::-1]

    def save(self, folder: Path) -> None:
        """Write encoder, rows and vectors into a folder."""
        from safetensors.numpy import save_file

        about = self.encoder.save(folder / "encoder")
        save_file({"states": np.ascontiguousarray(self.states)}, folder / _STATES)
        write_json(folder / _ROWS, about | {"texts": self.texts, "labels": self.labels})

    @classmethod
    def load(cls, folder: Path, scheme: LabelScheme, device: str) -> Self | None:
        """Read what `save` wrote; None if there is nothing. Raises a ValueError for damage."""
        from safetensors.numpy import load_file

        if not (folder / _ROWS).is_file():
            return None
        about = json.loads(read_received_text(folder, _ROWS))
        encoder = FrozenEncoder.saved(folder / "encoder", about, choose_device(device))
        states = load_file(folder / _STATES)["states"]
        texts, labels = tuple(map(str, about["texts"])), tuple(about["labels"])
        width = encoder.model.config.hidden_size
        if states.shape != (len(texts), width) or len(texts) != len(labels):
            raise ValueError(f"{_STATES} does not have a vector of each example")
        scheme.encode(labels)
        return cls(encoder, texts, labels, states)
