"""Contrastive learning as a task of the training loop: texts with the same labels come together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Final, Self

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.training.task import Evaluation
from finetext.training.tokens import TokenTable

STEPS_AVERAGED: Final = 8
"""Fewest steps whose mean loss says whether there is anything left to learn; they see each row."""


@dataclass(frozen=True, eq=False)
class ContrastiveTask:
    """Texts whose states are to be as similar as their labels are.

    The loss of a batch is the mean squared difference between the cosine of two texts' states and
    that of their labels (the cosine loss of SetFit, Tunstall et al. 2022, "Efficient Few-Shot
    Learning Without Prompts"), over all pairs of the batch instead of one pair a row. Pairs that
    share a label weigh as much together as all others, which are far more.

    Pairs are drawn as they are needed, so that memory grows with the rows and not with their
    square. An epoch takes each row once, with a partner that shares a label.

    Attributes:
        labels: (n, k) of 0 and 1, which labels each text has. Texts without any are alike.
        learned_at: mean loss at which there is nothing left to learn, over the last steps that saw
            as many texts as an epoch has, at least 8.
    """

    tokens: TokenTable
    labels: Integers
    learned_at: float
    name: str = "fewshot"
    _losses: list[Any] = field(default_factory=list)
    divided_loss: ClassVar[None] = None  # each text is compared with all others of its batch

    @property
    def lengths(self) -> Integers:
        """(n,) tokens of each text."""
        return self.tokens.lengths

    def with_tables(self, tables: Sequence[TokenTable]) -> Self:
        """Return the task with other token ids."""
        return replace(self, tokens=tables[0])

    @cached_property
    def _labels(self) -> Floats:
        """(n, k + 1) unit vectors of the labels; the last column is for texts without any."""
        none = self.labels.sum(axis=1, keepdims=True) == 0
        having = np.hstack([self.labels, none]).astype(np.float32)
        return np.asarray(having / np.linalg.norm(having, axis=1, keepdims=True))

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[Integers]:
        """Return batches of up to `batch_size` rows: rows in random order, each with a partner."""
        generator = np.random.default_rng([seed, epoch])
        having = self._labels > 0
        members = [np.flatnonzero(column) for column in having.T]
        is_shared = having.sum(axis=0) > 1
        rows: list[int] = []
        for row in generator.permutation(len(having)):
            shared = np.flatnonzero(having[row] & is_shared)
            others = members[generator.choice(shared)] if len(shared) else np.array([row])
            others = others[others != row] if len(shared) else others
            rows += [int(row), int(generator.choice(others))]
        size = rows_of_pairs(batch_size)
        return [np.array(rows[start : start + size]) for start in range(0, len(rows), size)]

    def batch(self, rows: Sequence[int] | Integers) -> dict[str, Any]:
        """Return padded tokens, and the unit vectors of labels as `labels`."""
        import torch

        return self.tokens.batch(rows) | {"labels": torch.from_numpy(self._labels[rows])}

    def weight(self, rows: Integers) -> float:
        """Return how many rows there are."""
        return float(len(rows))

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        """Return the mean of the squared differences; see the class."""
        import torch
        from torch.nn import functional

        inputs = {name: part for name, part in batch.items() if name != "labels"}
        states = model(**inputs).last_hidden_state.float()
        mask = inputs["attention_mask"].unsqueeze(-1)
        vectors = functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
        wanted = batch["labels"] @ batch["labels"].T
        squares = (vectors @ vectors.T - wanted).square()
        others = ~torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
        parts = [squares[others & (wanted > 0)], squares[others & (wanted == 0)]]
        means = [part.mean() for part in parts if len(part)] or [squares.mean()]  # one text: 0
        loss = torch.stack(means).mean()
        self._losses.append(torch.tensor([float(loss.detach()), float(len(vectors))]))
        while len(self._losses) > STEPS_AVERAGED and self._texts_seen(1) >= 2 * len(self.labels):
            del self._losses[0]
        return loss

    def _texts_seen(self, first: int = 0) -> float:
        """Return how many texts the last steps saw, from one of them on."""
        return sum(float(texts) for _, texts in self._losses[first:])

    @property
    def is_learned(self) -> bool:
        """Whether the pairs of the last steps were about as similar as their labels."""
        steps = len(self._losses)
        if steps < STEPS_AVERAGED or self._texts_seen() < 2 * len(self.labels):
            return False
        return sum(float(loss) for loss, _ in self._losses) < self.learned_at * steps

    def evaluate(self, model: Any) -> Evaluation | None:
        """Return None: there are no validation rows."""
        return None

    def state(self) -> dict[str, Any]:
        """Return the losses of the last steps, each with its number of texts."""
        return {f"loss/{number}": loss for number, loss in enumerate(self._losses)}

    def load_state(self, tensors: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._losses[:] = [tensors[f"loss/{number}"] for number in range(len(tensors))]


def rows_of_pairs(batch_size: int) -> int:
    """Return how many rows a batch of whole pairs has."""
    return max(2, batch_size - batch_size % 2)
