"""Language modelling over contiguous streams, for a recurrent model that carries its state.

All documents are one text, in an order of its own each epoch or in that of the corpus. It is cut
into streams, as many as the batch has rows. A step reads a window of all streams, and the state
after it is where the next step begins; gradients stop at the border. Windows vary in length, so
that the borders lie elsewhere each time (Merity, Keskar and Socher 2018, section 5).
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
"""Fewer streams than asked for are made of a text so short that they had fewer windows."""


class StreamTask:
    """The next token, in streams with a state that is carried from window to window.

    A row of the task is a window of one stream; the row of stream s in the w-th window of the
    training is w times the number of streams, plus s.
    """

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
        """Plan the windows of all epochs.

        Args:
            documents: token ids of each.
            held_out: token ids of others, to measure on.
            streams: how many are read side by side; fewer where the text is short.
            epochs: passes over the documents.
            bptt: mean length of a window in tokens.
            shuffle: whether each epoch has an order of the documents of its own.
            seed: of the order of the documents and the lengths of windows.
            name: what to call it in messages.

        Raises:
            DataError: the documents have fewer than two tokens, or the held-out ones have.
        """
        self.name = name
        self.documents, self.held_out = documents, held_out
        self.bptt, self.shuffle, self.seed = bptt, shuffle, seed
        tokens = sum(map(len, documents))
        if tokens < 2 or sum(map(len, held_out)) < 2:
            raise DataError("the corpus has too few words to learn a language model from")
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
        """(n,) tokens of each row, of all epochs."""
        return np.repeat(self._sizes, self.streams)

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[Integers]:
        """The windows of an epoch in their order, all streams of one in each step."""
        first, end = self._first[epoch], self._first[epoch + 1]
        return [np.arange(self.streams) + window * self.streams for window in range(first, end)]

    def batch(self, rows: Sequence[int] | Integers) -> dict[str, Any]:
        """The tokens of rows of one window, each with the token after it in `answers`."""
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
        """The number of rows, which are all of one length."""
        return float(len(rows))

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        """Mean cross-entropy, with the two activation regularisers of the model's configuration.

        The streams of the batch go on from their state, and leave it for their next window.
        """
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
        """Loss, accuracy and perplexity of the held-out documents, without regularisers."""
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
        """The state that the streams carry."""
        return self._carried.tensors()

    def load_state(self, tensors: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; from nothing, as before the first step."""
        self._carried = CarriedState(self.streams, tensors)

    def _streams(self, epoch: int) -> Any:
        """(streams, length) the tokens of an epoch."""
        if self._read[0] != epoch:
            documents = self.documents
            if self.shuffle:
                order = np.random.default_rng([self.seed, epoch]).permutation(len(documents))
                documents = [documents[row] for row in order]
            text = np.concatenate(documents).astype(np.int64)
            self._read = (epoch, _cut(text, self.streams))
        return self._read[1]

    def _windows(self, epoch: int) -> Integers:
        """Lengths of the windows of an epoch."""
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
    """The state in which each stream was left, by the window it was last read in.

    No tensor is changed in place.
    """

    def __init__(self, streams: int, tensors: Mapping[str, Any]) -> None:
        """Take what `tensors` gave; nothing, before the first step."""
        import torch

        self._streams = streams
        self._window = tensors.get("window", torch.full((streams,), -2))
        self._left = [tensors[f"left/{number}"] for number in range(len(tensors) - 1)]

    def tensors(self) -> dict[str, Any]:
        """All that is needed to go on with the next window."""
        left = {f"left/{number}": of for number, of in enumerate(self._left)}
        return {"window": self._window, **left} if left else {}

    def entered(self, streams: Any, window: int, anew: bool) -> list[Any]:
        """The tensors with which streams enter a window; none where nothing is known yet.

        A stream that was last read in the window before goes on; any other begins with zeros.

        Args:
            streams: (b,) their numbers.
            window: its number.
            anew: whether all begin with zeros.
        """
        import torch

        last = self._window.to(streams.device)[streams]
        goes_on = ((last == window - 1) & (not anew))[None, :, None]
        left = [of.to(streams.device)[:, streams] for of in self._left]
        return [torch.where(goes_on, of, 0.0) for of in left]

    def leave(self, streams: Any, window: int, after: list[Any]) -> None:
        """Keep the tensors with which streams left a window."""
        after = [of.detach() for of in after]
        known = self._left or [of.new_zeros(1, self._streams, of.shape[-1]) for of in after]
        pairs = zip(known, after, strict=True)
        self._left = [of.to(value).index_copy(1, streams, value) for of, value in pairs]
        self._window = self._window.to(streams.device).index_fill(0, streams, window)


def _by_layer(tensors: list[Any], model: Any) -> Any:
    """Hidden and cell state of each layer, in the number format of the model; None for zeros."""
    dtype = next(model.parameters()).dtype
    ready = [of.to(dtype) for of in tensors]
    return tuple(zip(ready[::2], ready[1::2], strict=True)) or None


def _cut(text: Integers, streams: int) -> Any:
    """(streams, length) a text in equal pieces, the rest at the end left out."""
    length = len(text) // streams
    return text[: streams * length].reshape(streams, length)
