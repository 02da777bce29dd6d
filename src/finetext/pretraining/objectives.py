"""Masked and causal language modeling as tasks of the training loop."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.errors import ModelError
from finetext.pretraining.packing import BEGINS, SPECIAL, PackedTexts, model_inputs
from finetext.training.batches import (
    in_parts,
    positions_a_batch,
    prediction_batches,
    training_batches,
)
from finetext.training.plan import Evaluation

REPLACED_BY_MASK: Final = 0.8
REPLACED_AT_RANDOM: Final = 0.1
"""Shares of the chosen words (Devlin et al. 2019); the rest stay as they are."""


class Questions(NamedTuple):
    """Inputs and targets of the model.

    Attributes:
        ids: (m,) what it sees in each place.
        asked: (m,) whether it is asked there.
        answers: (m,) the token that is right there, where it is asked.
    """

    ids: Integers
    asked: Any
    answers: Integers


@dataclass(frozen=True, eq=False)
class RowsTask(ABC):
    """Predict tokens of packed texts; `seed` fixes the questions about held-out texts."""

    texts: PackedTexts
    held_out: PackedTexts
    name: str = field(default="adapt", kw_only=True)
    seed: int = field(default=0, kw_only=True)
    causal: ClassVar[bool]

    @abstractmethod
    def questions(self, texts: PackedTexts, places: Integers, generator: Any = None) -> Questions:
        """Return inputs and targets for some tokens.

        Args:
            texts: where they are.
            places: (m,) their positions.
            generator: of random choices; None takes torch's own of the processor.
        """

    @property
    def lengths(self) -> Integers:
        """(n,) tokens per row."""
        return self.texts.lengths

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[Integers]:
        """Return all rows once, in batches of similar length."""
        return training_batches(self.lengths, batch_size, seed, epoch)

    def batch(self, rows: Sequence[int] | Integers) -> dict[str, Any]:
        """Return tensors of the rows, with the `places` to predict and their `answers`."""
        places = self.texts.layout(rows).places
        return _batch(self.texts, rows, self.questions(self.texts, places))

    @abstractmethod
    def weight(self, rows: Integers) -> float:
        """Return the number of tokens that can be predicted."""

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        """Return the mean cross-entropy of the answers."""
        from torch.nn import functional

        return functional.cross_entropy(logits_at(model, batch, self.causal), batch["answers"])

    def evaluate(self, model: Any) -> Evaluation:
        """Return loss, accuracy and perplexity on held-out texts."""
        import torch

        score = Score()
        was_training = model.training
        model.eval()

        def forward(rows: Integers) -> None:
            places = self.held_out.layout(rows).places
            asked = Questions(*(part[places] for part in self._fixed))
            batch = _batch(self.held_out, rows, asked)
            batch = {name: of.to(model.device) for name, of in batch.items()}
            if len(batch["answers"]):
                score.count(logits_at(model, batch, self.causal), batch["answers"])

        with torch.inference_mode():
            for rows in prediction_batches(self.held_out.lengths, positions_a_batch(model.device)):
                in_parts(forward, rows)
        model.train(was_training)
        return score.evaluation()

    def state(self) -> dict[str, Any]:
        """Return no state."""
        return {}

    def load_state(self, tensors: Mapping[str, Any]) -> None:  # noqa: B027 (nothing to do)
        """Ignore the state."""

    @cached_property
    def _fixed(self) -> Questions:
        """The fixed questions about held-out texts."""
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
        """Choose words of the share; 8 in 10 are masked, 1 in 10 is replaced by random tokens.

        A word is chosen and changed as a whole; special tokens never are. At the least one word
        is asked about.
        """
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
        return Questions(seen, asked, ids)

    def weight(self, rows: Integers) -> float:
        """Return the number of tokens that are not special."""
        return float((self.texts.words[self.texts.layout(rows).places] != SPECIAL).sum())


@dataclass(frozen=True, eq=False)
class CausalTask(RowsTask):
    """Causal language modeling: predict the next token of the same chunk."""

    causal: ClassVar[bool] = True

    def questions(self, texts: PackedTexts, places: Integers, generator: Any = None) -> Questions:
        """Predict everywhere but at the last token of each chunk."""
        ids = texts.ids.astype(np.int64)
        asked = texts.chunks[texts.chunk_of[places] + 1] > places + 1
        answers = np.where(asked, ids[np.minimum(places + 1, len(ids) - 1)], 0)
        return Questions(ids[places], asked, answers)

    def weight(self, rows: Integers) -> float:
        """Return the number of tokens without the last of each chunk."""
        rows = np.asarray(rows)
        chunks = self.texts.rows[rows + 1] - self.texts.rows[rows]
        return float((self.lengths[rows] - chunks).sum())


class Score:
    """Running sums of loss and accuracy on held-out text."""

    def __init__(self) -> None:
        """Start at zero."""
        self._loss, self._right, self._tokens = 0.0, 0, 0

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


def logits_at(model: Any, batch: dict[str, Any], causal: bool) -> Any:
    """Return (m, vocabulary) logits, computed at the places to predict only."""
    bare = getattr(model, "module", model)
    with _states_at(bare, batch["places"]):
        return model(**model_inputs(bare, batch, causal)).logits[0].float()


@contextmanager
def _states_at(model: Any, places: Any) -> Iterator[None]:
    """Give the head only the last hidden states of these places while the body runs."""

    def gather(module: Any, inputs: Any, output: Any) -> Any:
        states = output.last_hidden_state
        output.last_hidden_state = states.flatten(0, 1).index_select(0, places)[None]
        return output

    hook = model.base_model.register_forward_hook(gather)
    try:
        yield
    finally:
        hook.remove()


def _batch(
    texts: PackedTexts, rows: Sequence[int] | Integers, questions: Questions
) -> dict[str, Any]:
    """Return the tensors of rows, with the places to predict and the answers."""
    import torch

    layout = texts.layout(rows)
    places = np.flatnonzero(layout.there)[questions.asked]
    return texts.batch(layout, questions.ids) | {
        "places": torch.from_numpy(places),
        "answers": torch.from_numpy(questions.answers[questions.asked]),
    }
