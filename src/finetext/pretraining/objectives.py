"""The objectives of language models, as tasks of the training loop."""

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
"""Shares of the chosen words (Devlin et al. 2019); the rest are kept as they are."""


class Questions(NamedTuple):
    """What the model sees and what it is asked.

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
    """Questions about the tokens of packed texts.

    Attributes:
        texts: what is learned from.
        held_out: what is measured on.
        name: what to call it in messages.
        seed: of the questions about held-out texts, which are always the same.
    """

    texts: PackedTexts
    held_out: PackedTexts
    name: str = field(default="adapt", kw_only=True)
    seed: int = field(default=0, kw_only=True)
    causal: ClassVar[bool]

    @abstractmethod
    def questions(self, texts: PackedTexts, places: Integers, generator: Any = None) -> Questions:
        """What to ask about some tokens.

        Args:
            texts: where they are.
            places: (m,) their positions.
            generator: of random choices; None takes torch's own of the processor.
        """

    @property
    def lengths(self) -> Integers:
        """(n,) tokens of each row."""
        return self.texts.lengths

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[Integers]:
        """All rows once, in batches of rows of like length."""
        return training_batches(self.lengths, batch_size, seed, epoch)

    def batch(self, rows: Sequence[int] | Integers) -> dict[str, Any]:
        """Tensors of the rows, with the `places` that are asked about and their `answers`."""
        places = self.texts.layout(rows).places
        return _batch(self.texts, rows, self.questions(self.texts, places))

    @abstractmethod
    def weight(self, rows: Integers) -> float:
        """Tokens that can be asked about."""

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        """The mean cross-entropy of the answers."""
        from torch.nn import functional

        return functional.cross_entropy(logits_at(model, batch, self.causal), batch["answers"])

    def evaluate(self, model: Any) -> Evaluation:
        """Loss, accuracy and perplexity on held-out texts."""
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
        """Nothing is carried."""
        return {}

    def load_state(self, tensors: Mapping[str, Any]) -> None:  # noqa: B027 (nothing to do)
        """Nothing is carried."""

    @cached_property
    def _fixed(self) -> Questions:
        """The questions about all held-out texts."""
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        return self.questions(self.held_out, np.arange(len(self.held_out.ids)), generator)


@dataclass(frozen=True, eq=False)
class MaskedTask(RowsTask):
    """Masked language modelling of whole words, chosen anew each time (Devlin et al. 2019).

    Attributes:
        texts: what is learned from.
        held_out: what is measured on.
        mask: id of the mask token.
        ordinary: ids that may stand in for a word: all that are not special.
        share: share of the tokens that are asked about, 0.15 by default.
        name: what to call it in messages.
        seed: of the masks of held-out texts.
    """

    mask: int
    ordinary: Integers
    share: float = 0.15
    causal: ClassVar[bool] = False

    @classmethod
    def of(
        cls, tokenizer: Any, texts: PackedTexts, held_out: PackedTexts, share: float, **named: Any
    ) -> MaskedTask:
        """The task of a tokenizer.

        Raises:
            ModelError: it has no mask token.
        """
        if tokenizer.mask_token_id is None:
            raise ModelError("the tokenizer has no mask token, so words cannot be masked")
        ordinary = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
        return cls(texts, held_out, int(tokenizer.mask_token_id), ordinary, share, **named)

    def questions(self, texts: PackedTexts, places: Integers, generator: Any = None) -> Questions:
        """Ask about words of the share; 8 in 10 are masked, 1 in 10 is replaced by random tokens.

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
        """Tokens that are not special."""
        return float((self.texts.words[self.texts.layout(rows).places] != SPECIAL).sum())


@dataclass(frozen=True, eq=False)
class CausalTask(RowsTask):
    """The next token, from those before it in the same chunk."""

    causal: ClassVar[bool] = True

    def questions(self, texts: PackedTexts, places: Integers, generator: Any = None) -> Questions:
        """Ask everywhere but at the last token of each chunk."""
        ids = texts.ids.astype(np.int64)
        asked = texts.chunks[texts.chunk_of[places] + 1] > places + 1
        answers = np.where(asked, ids[np.minimum(places + 1, len(ids) - 1)], 0)
        return Questions(ids[places], asked, answers)

    def weight(self, rows: Integers) -> float:
        """Tokens but for the last of each chunk."""
        rows = np.asarray(rows)
        chunks = self.texts.rows[rows + 1] - self.texts.rows[rows]
        return float((self.lengths[rows] - chunks).sum())


class Score:
    """The sum of what is found on held-out text."""

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self._loss, self._right, self._tokens = 0.0, 0, 0

    def count(self, logits: Any, answers: Any) -> None:
        """Take (m, vocabulary) logits and the m right tokens into account."""
        from torch.nn import functional

        self._loss += float(functional.cross_entropy(logits.float(), answers, reduction="sum"))
        self._right += int((logits.argmax(dim=-1) == answers).sum())
        self._tokens += len(answers)

    def evaluation(self) -> Evaluation:
        """Mean loss, share of right tokens and perplexity; the lowest loss is the best."""
        loss = self._loss / max(1, self._tokens)
        figures = {
            "validation loss": loss,
            "validation accuracy": self._right / max(1, self._tokens),
            "perplexity": math.exp(min(loss, 100.0)),
        }
        collapse = "" if math.isfinite(loss) else "the validation loss is not a number"
        return Evaluation(-loss, figures, collapse)


def logits_at(model: Any, batch: dict[str, Any], causal: bool) -> Any:
    """(m, vocabulary) outputs at the places that are asked about, and there alone.

    The head, whose product with the vocabulary is most of the work of a small model, is spared
    all the others.
    """
    bare = getattr(model, "module", model)
    with _states_at(bare, batch["places"]):
        return model(**model_inputs(bare, batch, causal)).logits[0].float()


@contextmanager
def _states_at(model: Any, places: Any) -> Iterator[None]:
    """While the body runs, the head is given the last hidden states of these places alone."""

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
    """The tensors of rows, with the places in them that are asked about and the answers."""
    import torch

    layout = texts.layout(rows)
    places = np.flatnonzero(layout.there)[questions.asked]
    return texts.batch(layout, questions.ids) | {
        "places": torch.from_numpy(places),
        "answers": torch.from_numpy(questions.answers[questions.asked]),
    }
