"""Keeping the weights that were best on validation rows."""

from __future__ import annotations

from typing import Any


class BestWeights:
    """A copy in memory of the weights with the highest score so far; the earliest among equals."""

    def __init__(self, patience: int | None) -> None:
        """Start without any weights.

        Args:
            patience: evaluations without improvement after which training should stop, or None.
        """
        self._patience = patience
        self._score = float("-inf")
        self._weights: dict[str, Any] | None = None
        self._since_best = 0

    def offer(self, score: float, model: Any) -> None:
        """Take the weights of `model` if `score` beats what is kept."""
        self._since_best += 1
        if score > self._score or self._weights is None:
            self._score, self._since_best = score, 0
            self._weights = {
                name: tensor.detach().clone() for name, tensor in model.state_dict().items()
            }

    @property
    def is_stale(self) -> bool:
        """Whether patience has run out."""
        return self._patience is not None and self._since_best >= self._patience

    def restore(self, model: Any) -> None:
        """Put the best weights back into `model`."""
        if self._weights is not None:
            model.load_state_dict(self._weights)
