"""Language modeling over contiguous streams, for a recurrent model that carries its state.

All documents are one text, shuffled each epoch or in the order of the corpus, cut into as many
streams as the batch has rows. A step reads a window of all streams and starts from the state that
the previous step left; gradients stop at the border. Windows vary in length, so that borders
differ between epochs (Merity, Keskar and Socher 2018, section 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.errors import DataError
from finetext.pretraining.objectives import Score
from finetext.training.plan import Evaluation

SHARE_OF_SHORT: Final = 0.05
SPREAD: Final = 5
SHORTEST: Final = 5
EVALUATED_STREAMS: Final = 8
WINDOWS_A_STREAM: Final = 10
"""Windows per stream; a shorter text gets fewer streams."""


class StreamTask:
    """Causal language modeling in streams; a row is a window of one stream."""

    def __init__(
        self,
        documents: Sequence[Integers],
        held_out: Sequence[Integers],
        *,
        streams: int,
        epochs: int,
        bptt: int = 70,
        shuffle: bool = True,
        seed: int = 0,
        name: str = "adapt",
    ) -> None:
        """Plan the windows of all epochs; raises a DataError if the texts are too short."""
        self.name = name
        self.documents, self.held_out = documents, held_out
        self.bptt, self.shuffle, self.seed = bptt, shuffle, seed
        tokens = sum(map(len, documents))
        if tokens < 2 or sum(map(len, held_out)) < 2:
            raise DataError("the corpus has too few words for a language model")
        self.streams = max(1, min(streams, tokens // (WINDOWS_A_STREAM * bptt)))
        self._length = tokens // self.streams
        windows = [self._windows(epoch) for epoch in range(epochs)]
        self._first = np.cumsum([0, *map(len, windows)])
        self._sizes = np.concatenate(windows)
        self._starts = np.concatenate([np.cumsum(sizes) - sizes for sizes in windows])
        self._read: tuple[int, Any] = (-1, None)
        self.load_state({})

    @property
    def lengths(self) -> Integers:
        """(n,) tokens per row, of all epochs."""
        return np.repeat(self._sizes, self.streams)

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[Integers]:
        """Return the windows of an epoch in order, all streams of one in each step."""
        first, end = self._first[epoch], self._first[epoch + 1]
        return [np.arange(self.streams) + window * self.streams for window in range(first, end)]

    def batch(self, rows: Sequence[int] | Integers) -> dict[str, Any]:
        """Return the tokens of rows of one window; `answers` are the next tokens."""
        import torch

        rows = np.asarray(rows)
        window, streams = int(rows[0]) // self.streams, rows % self.streams
        epoch = int(np.searchsorted(self._first, window, side="right")) - 1
        start, size = int(self._starts[window]), int(self._sizes[window])
        text = self._streams(epoch)[streams, start : start + size + 1]
        return {
            "input_ids": torch.from_numpy(text[:, :-1]),
            "answers": torch.from_numpy(text[:, 1:]),
            "streams": torch.from_numpy(streams),
            "windows": torch.full((len(rows),), window),
        }

    def weight(self, rows: Integers) -> float:
        """Return the number of rows, which have one length."""
        return float(len(rows))

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        """Return the mean cross-entropy with both activation regularizers of the configuration."""
        from torch.nn import functional

        streams, window = batch["streams"], int(batch["windows"][0])
        entered = self._carried.entered(streams, window, anew=window in self._first)
        found = model(input_ids=batch["input_ids"], state=_by_layer(entered, model))
        self._carried.leave(streams, window, [of for layer in found.state for of in layer])
        answers = batch["answers"].flatten()
        loss = functional.cross_entropy(found.logits.float().flatten(0, 1), answers)
        config = getattr(model, "module", model).config
        raw, dropped = found.outputs_raw.float(), found.outputs_dropped.float()
        loss = loss + config.activation_regularisation * dropped.square().mean()
        if raw.shape[1] > 1:
            change = (raw[:, 1:] - raw[:, :-1]).square().mean()
            loss = loss + config.temporal_activation_regularisation * change
        return loss

    def evaluate(self, model: Any) -> Evaluation:
        """Return loss, accuracy and perplexity on held-out documents, without regularizers."""
        import torch

        score = Score()
        was_training = model.training
        model.eval()
        text = np.concatenate(self.held_out).astype(np.int64)
        count = max(1, min(EVALUATED_STREAMS, len(text) // (WINDOWS_A_STREAM * self.bptt)))
        streams = torch.from_numpy(_cut(text, count)).to(model.device)
        state = None
        with torch.inference_mode():
            for start in range(0, streams.shape[1] - 1, self.bptt):
                window = streams[:, start : start + self.bptt + 1]
                found = model(input_ids=window[:, :-1], state=state)
                state = found.state
                score.count(found.logits.flatten(0, 1), window[:, 1:].flatten())
        model.train(was_training)
        return score.evaluation()

    def state(self) -> dict[str, Any]:
        """Return the state that the streams carry."""
        return self._carried.tensors()

    def load_state(self, tensors: Mapping[str, Any]) -> None:
        """Restore what `state` returned; nothing is the state before the first step."""
        self._carried = CarriedState(self.streams, tensors)

    def _streams(self, epoch: int) -> Any:
        """Return the (streams, length) tokens of an epoch."""
        if self._read[0] != epoch:
            documents = self.documents
            if self.shuffle:
                order = np.random.default_rng([self.seed, epoch]).permutation(len(documents))
                documents = [documents[row] for row in order]
            text = np.concatenate(documents).astype(np.int64)
            self._read = (epoch, _cut(text, self.streams))
        return self._read[1]

    def _windows(self, epoch: int) -> Integers:
        """Return the lengths of the windows of an epoch."""
        generator = np.random.default_rng([self.seed, epoch, 1])
        sizes: list[int] = []
        left = self._length - 1
        while left > 0:
            mean = self.bptt / 2 if generator.random() < SHARE_OF_SHORT else self.bptt
            size = max(SHORTEST, round(generator.normal(mean, SPREAD)))
            sizes.append(min(size, left))
            left -= sizes[-1]
        return np.array(sizes, dtype=np.int64)


class CarriedState:
    """The state that each stream was left in, and the window it was last read in."""

    def __init__(self, streams: int, tensors: Mapping[str, Any]) -> None:
        """Restore what `tensors` returned; nothing before the first step."""
        import torch

        self._streams = streams
        self._window = tensors.get("window", torch.full((streams,), -2))
        self._left = [tensors[f"left/{number}"] for number in range(len(tensors) - 1)]

    def tensors(self) -> dict[str, Any]:
        """Return what the next window needs."""
        left = {f"left/{number}": of for number, of in enumerate(self._left)}
        return {"window": self._window, **left} if left else {}

    def entered(self, streams: Any, window: int, anew: bool) -> list[Any]:
        """Return the states with which streams enter a window; zeros after a gap."""
        import torch

        last = self._window.to(streams.device)[streams]
        goes_on = ((last == window - 1) & (not anew))[None, :, None]
        left = [of.to(streams.device)[:, streams] for of in self._left]
        return [torch.where(goes_on, of, 0.0) for of in left]

    def leave(self, streams: Any, window: int, after: list[Any]) -> None:
        """Keep the states with which streams left a window."""
        after = [of.detach() for of in after]
        known = self._left or [of.new_zeros(1, self._streams, of.shape[-1]) for of in after]
        pairs = zip(known, after, strict=True)
        self._left = [of.to(value).index_copy(1, streams, value) for of, value in pairs]
        self._window = self._window.to(streams.device).index_fill(0, streams, window)


def _by_layer(tensors: list[Any], model: Any) -> Any:
    """Return hidden and cell state of each layer in the precision of the model; None for zeros."""
    dtype = next(model.parameters()).dtype
    ready = [of.to(dtype) for of in tensors]
    return tuple(zip(ready[::2], ready[1::2], strict=True)) or None


def _cut(text: Integers, streams: int) -> Any:
    """Return a text as (streams, length), without the remainder."""
    length = len(text) // streams
    return text[: streams * length].reshape(streams, length)
