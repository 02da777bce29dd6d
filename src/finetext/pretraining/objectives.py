"""Masked and causal language modeling as tasks of the training loop.

A recurrent model reads all documents as one text, cut into as many streams as the batch has rows.
A step reads a window of each from the state that the previous step left; gradients stop there.
Windows vary in length, so that borders differ (Merity, Keskar and Socher 2018, section 5).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, ClassVar, Final

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.errors import DataError, ModelError
from finetext.pretraining.packing import BEGINS, SPECIAL, PackedTexts, logits_at
from finetext.training.batches import (
    in_parts,
    positions_a_batch,
    prediction_batches,
    training_batches,
)
from finetext.training.task import Evaluation, Loss

REPLACED_BY_MASK: Final = 0.8
REPLACED_AT_RANDOM: Final = 0.1
"""Shares of the chosen words (Devlin et al. 2019); the rest stay as they are."""
SHARE_OF_SHORT: Final = 0.05
SPREAD: Final = 5
SHORTEST: Final = 5
EVALUATED_STREAMS: Final = 8
WINDOWS_A_STREAM: Final = 10
"""Windows per stream; a shorter text gets fewer streams."""
Questions = tuple[Integers, Any, Integers]
"""For (m,) places, what the model sees, whether it is asked there, and the right token."""


@dataclass(frozen=True, eq=False)
class RowsTask(ABC):
    """Predict tokens of packed texts; `seed` fixes the questions about held-out texts."""

    texts: PackedTexts
    held_out: PackedTexts
    name: str = field(default="adapt", kw_only=True)
    seed: int = field(default=0, kw_only=True)
    causal: ClassVar[bool]
    is_learned: ClassVar[bool] = False

    @abstractmethod
    def questions(self, texts: PackedTexts, places: Integers, generator: Any = None) -> Questions:
        """Return inputs and targets for the tokens at (m,) places."""

    @property
    def lengths(self) -> Integers:
        """(n,) tokens per row."""
        return self.texts.lengths

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[Integers]:
        """Return all rows once, in batches of similar length."""
        return training_batches(self.lengths, batch_size, seed, epoch)

    def batch(self, rows: Sequence[int] | Integers) -> dict[str, Any]:
        """Return tensors of the rows, with the `places` to predict and their `answers`."""
        return self._batch(self.texts, rows)

    @abstractmethod
    def weight(self, rows: Integers) -> float:
        """Return the number of tokens that can be predicted."""

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        """Return the mean cross-entropy of the answers."""
        return loss_of_answers(model, batch, self.causal)

    @property
    def divided_loss(self) -> Loss:
        """The same without the texts."""
        return partial(loss_of_answers, causal=self.causal)

    def evaluate(self, model: Any) -> Evaluation:
        """Return loss, accuracy and perplexity on held-out texts."""
        with _evaluating(model) as score:

            def forward(rows: Integers) -> None:
                batch = self._batch(self.held_out, rows, self._fixed)
                batch = {name: of.to(model.device) for name, of in batch.items()}
                if len(batch["answers"]):
                    score.count(logits_at(model, batch, self.causal), batch["answers"])

            for rows in prediction_batches(self.held_out.lengths, positions_a_batch(model.device)):
                in_parts(forward, rows)
        return score.evaluation()

    def state(self) -> dict[str, Any]:
        """Return no state."""
        return {}

    def load_state(self, tensors: Mapping[str, Any]) -> None:  # noqa: B027 (nothing to do)
        """Ignore the state."""

    def _batch(self, texts: PackedTexts, rows: Any, fixed: Any = None) -> dict[str, Any]:
        import torch

        places, there = texts.layout(rows)
        if fixed is None:
            ids, asked, answers = self.questions(texts, places)
        else:
            ids, asked, answers = (part[places] for part in fixed)
        return texts.batch((places, there), ids) | {
            "places": torch.from_numpy(np.flatnonzero(there)[asked]),
            "answers": torch.from_numpy(answers[asked]),
        }

    @cached_property
    def _fixed(self) -> Questions:
        """The questions about held-out texts."""
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        return self.questions(self.held_out, np.arange(len(self.held_out.ids)), generator)


@dataclass(frozen=True, eq=False)
class MaskedTask(RowsTask):
    """Masked language modeling of whole words (Devlin et al. 2019), masked anew each time."""

    mask: int
    ordinary: Integers
    share: float = 0.15
    causal: ClassVar[bool] = False

    @classmethod
    def of(
        cls, tokenizer: Any, texts: PackedTexts, held_out: PackedTexts, share: float, **named: Any
    ) -> MaskedTask:
        """Return the task; raises a ModelError if the tokenizer has no mask token."""
        if tokenizer.mask_token_id is None:
            raise ModelError("the tokenizer has no mask token, so words cannot be masked")
        ordinary = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
        return cls(texts, held_out, int(tokenizer.mask_token_id), ordinary, share, **named)

    def questions(self, texts: PackedTexts, places: Integers, generator: Any = None) -> Questions:
        """Choose whole words of the share, at least one; 8 in 10 are masked, 1 in 10 replaced."""
        import torch

        ids, kinds = texts.ids[places].astype(np.int64), texts.words[places]
        word = np.cumsum(kinds == BEGINS) - 1
        there = kinds != SPECIAL
        count = int(word[-1]) + 1
        chance = torch.rand(count, generator=generator).numpy()
        chosen = chance < self.share
        chosen[chance.argmin()] = True
        asked = there & chosen[word]
        fate = torch.rand(count, generator=generator).numpy()[word]
        drawn = torch.randint(len(self.ordinary), (len(ids),), generator=generator).numpy()
        seen = np.where(asked & (fate < REPLACED_BY_MASK), self.mask, ids)
        at_random = asked & (fate >= 1 - REPLACED_AT_RANDOM)
        seen[at_random] = self.ordinary[drawn[at_random]]
        return seen, asked, ids

    def weight(self, rows: Integers) -> float:
        """Return the number of tokens that are not special."""
        return float((self.texts.words[self.texts.layout(rows)[0]] != SPECIAL).sum())


@dataclass(frozen=True, eq=False)
class CausalTask(RowsTask):
    """Causal language modeling: predict the next token of the same chunk."""

    causal: ClassVar[bool] = True

    def questions(self, texts: PackedTexts, places: Integers, generator: Any = None) -> Questions:
        """Predict everywhere but at the last token of each chunk."""
        ids = texts.ids.astype(np.int64)
        asked = texts.chunks[texts.chunk_of[places] + 1] > places + 1
        answers = np.where(asked, ids[np.minimum(places + 1, len(ids) - 1)], 0)
        return ids[places], asked, answers

    def weight(self, rows: Integers) -> float:
        """Return the number of tokens without the last of each chunk."""
        rows = np.asarray(rows)
        chunks = self.texts.rows[rows + 1] - self.texts.rows[rows]
        return float((self.lengths[rows] - chunks).sum())


class StreamTask:
    """Causal language modeling in streams; a row is a window of one stream."""

    is_learned: ClassVar[bool] = False
    divided_loss: ClassVar[None] = None  # a window is read from the state that the last one left

    def __init__(
        self,
        documents: Sequence[np.ndarray[Any, Any]],
        held_out: Sequence[np.ndarray[Any, Any]],
        *,
        streams: int,
        epochs: int,
        bptt: int = 70,
        shuffle: bool = True,
        seed: int = 0,
        name: str = "adapt",
    ) -> None:
        """Plan the windows of the epochs; raises a DataError if the texts are too short."""
        self.name = name
        self.documents, self.held_out = documents, held_out
        self.bptt, self.shuffle, self.seed = bptt, shuffle, seed
        tokens = sum(map(len, documents))
        if tokens < 2 or sum(map(len, held_out)) < 2:
            raise DataError("the corpus has too few words for a language model")
        self.streams = max(1, min(streams, tokens // (WINDOWS_A_STREAM * bptt)))
        self._length = tokens // self.streams
        self._plan_windows(epochs)
        self._read: tuple[int, Any] = (-1, None)
        self._window: Any
        self._left: list[Any]
        self.load_state({})

    def in_streams(self, streams: int, epochs: int) -> StreamTask:
        """Return the task with that many streams, or fewer if the texts are short, and epochs."""
        return StreamTask(
            self.documents, self.held_out, streams=streams, epochs=epochs, bptt=self.bptt,
            shuffle=self.shuffle, seed=self.seed, name=self.name,
        )  # fmt: skip

    @property
    def lengths(self) -> Integers:
        """(n,) tokens per row, of all epochs."""
        return np.repeat(self._sizes, self.streams)

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[Integers]:
        """Return the windows of an epoch in order, all streams of one in each step."""
        if epoch + 1 >= len(self._first):
            self._plan_windows(epoch + 1)
        first, end = self._first[epoch], self._first[epoch + 1]
        return [np.arange(self.streams) + window * self.streams for window in range(first, end)]

    def batch(self, rows: Sequence[int] | Integers) -> dict[str, Any]:
        """Return the tokens of rows of one window; `answers` are the next tokens."""
        import torch

        rows = np.asarray(rows)
        window, streams = int(rows[0]) // self.streams, rows % self.streams
        epoch = int(np.searchsorted(self._first, window, side="right")) - 1
        start, size = int(self._starts[window]), int(self._sizes[window])
        if self._read[0] != epoch:
            documents = self.documents
            if self.shuffle:
                order = np.random.default_rng([self.seed, epoch]).permutation(len(documents))
                documents = [documents[row] for row in order]
            whole = np.concatenate(documents).astype(np.int64)[: self._length * self.streams]
            self._read = (epoch, whole.reshape(self.streams, -1))
        text = self._read[1][streams, start : start + size + 1]
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
        import torch
        from torch.nn import functional

        streams, window = batch["streams"], int(batch["windows"][0])
        dtype = next(model.parameters()).dtype
        last = self._window.to(streams.device)[streams]
        continues = ((last == window - 1) & (window not in self._first))[None, :, None]
        left = [of.to(streams.device)[:, streams] for of in self._left]
        entered = [torch.where(continues, of, 0.0).to(dtype) for of in left]  # zeros after a gap
        layers = tuple(zip(entered[::2], entered[1::2], strict=True)) or None
        found = model(input_ids=batch["input_ids"], state=layers)
        after = [of.detach() for layer in found.state for of in layer]
        known = self._left or [of.new_zeros(1, self.streams, of.shape[-1]) for of in after]
        pairs = zip(known, after, strict=True)
        self._left = [of.to(value).index_copy(1, streams, value) for of, value in pairs]
        self._window = self._window.to(streams.device).index_fill(0, streams, window)
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

        text = np.concatenate(self.held_out).astype(np.int64)
        count = max(1, min(EVALUATED_STREAMS, len(text) // (WINDOWS_A_STREAM * self.bptt)))
        streams = torch.from_numpy(text[: len(text) // count * count].reshape(count, -1))
        streams = streams.to(model.device)
        state = None
        with _evaluating(model) as score:
            for start in range(0, streams.shape[1] - 1, self.bptt):
                window = streams[:, start : start + self.bptt + 1]
                found = model(input_ids=window[:, :-1], state=state)
                state = found.state
                score.count(found.logits.flatten(0, 1), window[:, 1:].flatten())
        return score.evaluation()

    def state(self) -> dict[str, Any]:
        """Return the state that the streams carry, and the window each was last read in."""
        left = {f"left/{number}": of for number, of in enumerate(self._left)}
        return {"window": self._window, **left} if left else {}

    def load_state(self, tensors: Mapping[str, Any]) -> None:
        """Restore what `state` returned; nothing is the state before the first step."""
        import torch

        self._window = tensors.get("window", torch.full((self.streams,), -2))
        self._left = [tensors[f"left/{number}"] for number in range(len(tensors) - 1)]

    def _plan_windows(self, epochs: int) -> None:
        """Plan the windows of that many epochs; those of an epoch are always the same."""
        windows = [self._windows(epoch) for epoch in range(epochs)]
        self._first = np.cumsum([0, *map(len, windows)])
        self._sizes = np.concatenate(windows)
        self._starts = np.concatenate([np.cumsum(sizes) - sizes for sizes in windows])

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


@dataclass
class Score:
    """Running sums of loss and correct tokens on held-out text."""

    _loss: float = 0.0
    _right: int = 0
    _tokens: int = 0

    def count(self, logits: Any, answers: Any) -> None:
        """Add (m, vocabulary) logits and the m correct tokens."""
        from torch.nn import functional

        self._loss += float(functional.cross_entropy(logits.float(), answers, reduction="sum"))
        self._right += int((logits.argmax(dim=-1) == answers).sum())
        self._tokens += len(answers)

    def evaluation(self) -> Evaluation:
        """Return mean loss, accuracy and perplexity; the lowest loss is best."""
        loss = self._loss / max(1, self._tokens)
        figures = {
            "validation loss": loss,
            "validation accuracy": self._right / max(1, self._tokens),
            "perplexity": math.exp(min(loss, 100.0)),
        }
        collapse = "" if math.isfinite(loss) else "the validation loss is not a number"
        return Evaluation(-loss, figures, collapse)


@contextmanager
def _evaluating(model: Any) -> Iterator[Score]:
    """Yield a score to count in, without gradients and dropout while the body runs."""
    import torch

    was_training = model.training
    model.eval()
    with torch.inference_mode():
        yield Score()
    model.train(was_training)


def loss_of_answers(model: Any, batch: dict[str, Any], causal: bool) -> Any:
    """Return the mean cross-entropy of the answers of a batch."""
    from torch.nn import functional

    return functional.cross_entropy(logits_at(model, batch, causal), batch["answers"])
