"""Few-shot learning: contrastive fine-tuning of a sentence encoder, then a linear head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np

from finetext.core.arrays import Integers, unit
from finetext.core.contracts import FitContext, Method
from finetext.core.decision import Decision
from finetext.core.errors import RecipeError
from finetext.core.settings import Count, NotNegative, Positive, Precision, Tokens
from finetext.core.types import Dataset, LabelScheme
from finetext.encoders.catalogue import is_random
from finetext.encoders.load import (
    load_encoder,
    load_tokenizer,
    longest_input,
    restore_dropout,
)
from finetext.encoders.states import WINDOW, FrozenEncoder
from finetext.methods.label_sentences import (
    Descriptions,
    check_descriptions,
    check_templates,
    is_unclear,
    sentences_of,
    templates_for,
)
from finetext.methods.linear import fit_head
from finetext.methods.probe import ProbeClassifier
from finetext.training.contrastive import ContrastiveTask, rows_of_pairs
from finetext.training.plan import ScheduleName, Stage, learning_rate_for
from finetext.training.precision import choose_device
from finetext.training.record import summary
from finetext.training.tokens import tokenize

RATE: Final = 1e-4
"""The learning rate for a hidden size of 384."""
TEXTS_OF_A_NAME: Final = 9
"""As how many texts a label's name and descriptions count together: they are repeated."""
TEXTS_COMPARED: Final = 500
"""Training texts by which it is judged whether names of labels say what is meant."""
MOST_EPOCHS: Final = 10
MOST_STEPS: Final = 400


@dataclass(frozen=True)
class FewShot(Method):
    """Move texts with the same labels together in a sentence encoder, then fit a linear head.

    That is the idea of SetFit (Tunstall et al. 2022, "Efficient Few-Shot Learning Without
    Prompts"). What is different: all pairs within a batch are compared (see `ContrastiveTask`),
    training ends when the pairs are as similar as their labels, and the names of the labels, where
    they say what is meant, are learned from like texts, in the templates of `ZeroShot`.

    Attributes:
        encoder: alias, Hub name or folder of a sentence encoder, "minilm" by default.
        descriptions: label to a sentence or phrase, or to several, that say what its texts are
            about or look like, and are learned from like texts; none by default.
        templates: sentences in which `{}` is replaced by the name of a label. None (the default)
            is as in `ZeroShot`, but names are left out if the training texts are not nearer to the
            name of their own label than to others; an empty list leaves names out.
        steps: most training steps; None (the default) is those of 10 passes over the rows, at most
            400.
        learned_at: mean contrastive loss of the last pass, and of 8 steps at least, at which
            training ends, 0.05 by default; 0 makes all steps.
        batch_size: texts of a step, 16 by default: 8 pairs.
        learning_rate: highest learning rate; None (the default) is 1e-4 for a hidden size of 384,
            less for wider encoders.
        max_length: tokens to truncate texts to; None (the default) trains on the first 256 tokens
            and predicts whole texts, in windows of 256 tokens whose states are averaged.
        inverse_regularisation: C of the logistic regression, 0.1 by default.
        precision: "fp32", "bf16", "fp16" (on a GPU), or "auto" (the default): bf16 where the
            hardware is fast at it, else fp32. The saved weights are fp32.
    """

    name: ClassVar[str] = "fewshot"
    trains_in_steps: ClassVar[bool] = True
    needs_validation: ClassVar[bool] = False
    encoder: str = "minilm"
    descriptions: Descriptions | None = None
    templates: tuple[str, ...] | None = None
    steps: Count | None = None
    learned_at: NotNegative = 0.05
    batch_size: Count = 16
    learning_rate: Positive | None = None
    max_length: Tokens | None = None
    inverse_regularisation: Positive = 0.1
    precision: Precision = "auto"

    # Hyperparameters of the training loop that nothing is gained by changing.
    schedule: ClassVar[ScheduleName] = "linear"
    warmup_share: ClassVar[float | None] = None
    weight_decay: ClassVar[float] = 0.01
    discriminative: ClassVar[float | None] = None
    head_rate: ClassVar[float | None] = None
    largest_gradient: ClassVar[float] = 1.0
    evaluate_every: ClassVar[int | None] = None
    patience: ClassVar[int | None] = None

    def check(self, scheme: LabelScheme | None = None) -> None:
        """Refuse an unknown encoder, random weights, and descriptions of unknown labels."""
        if is_random(self.encoder):
            raise RecipeError(
                f"fewshot: {self.encoder} has random weights, which few rows cannot train. Leave "
                "fewshot out, or name a sentence encoder: finetext models --task zero-shot"
            )
        longest_input(self.encoder, self.max_length)
        check_templates(self.name, self.templates or ())
        check_descriptions(self.name, self.descriptions or {}, scheme)

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> ProbeClassifier:
        """Train the encoder on `train`, then fit the head on its states; see `Method.fit`."""
        assert train.scheme is not None
        scheme, encoder = train.scheme, self._untrained(context)
        same: Integers = np.eye(len(scheme), dtype=np.int64)
        of_rows = train.targets if scheme.multilabel else same[train.targets]
        sentences = self._sentences(scheme, encoder, train.texts, of_rows, context)
        texts = [*train.texts, *(sentence for sentence, _ in sentences)]
        labels = np.vstack([of_rows, same[[column for _, column in sentences]]])
        encoder, trained = self._trained(encoder, texts, labels, context)
        states = encoder.states(texts)
        mean, scale = states.mean(axis=0), states.std(axis=0) + 1e-6
        targets = labels if scheme.multilabel else labels.argmax(axis=1)
        standardized, chosen = (states - mean) / scale, self.inverse_regularisation
        head = fit_head(standardized, targets, scheme, chosen, context)
        about = {"encoder": self.encoder, "sentences": len(sentences), **trained}
        return ProbeClassifier(scheme, Decision(), encoder, head, mean, scale, about)

    def most_steps(self, texts: int) -> int:
        """Return the steps of a training on so many texts that does not end early."""
        return self.steps or min(MOST_STEPS, MOST_EPOCHS * self._of_epoch(texts))

    def _of_epoch(self, texts: int) -> int:
        """Return the steps in which each text is there once, with a partner."""
        return -(-2 * texts // rows_of_pairs(self.batch_size))

    def _untrained(self, context: FitContext) -> FrozenEncoder:
        """Return the encoder before training, without dropout, which costs accuracy here."""
        length, whole = longest_input(self.encoder, self.max_length), self.max_length is None
        length = min(length, WINDOW) if whole else length
        tokenizer = load_tokenizer(self.encoder)
        device = choose_device(context.device, self.precision)
        model = load_encoder(self.encoder, tokenizer, 0.0).to(device)
        return FrozenEncoder(model, tokenizer, length, device, self.precision, in_windows=whole)

    def _sentences(
        self,
        scheme: LabelScheme,
        encoder: FrozenEncoder,
        texts: Sequence[str],
        labels: Integers,
        context: FitContext,
    ) -> list[tuple[str, int]]:
        """Return what the names and descriptions of labels say, with the column of the label."""
        templates = templates_for(self.encoder) if self.templates is None else self.templates
        parts = [sentences_of(label, self.descriptions or {}, templates) for label in scheme.names]
        clear = [not is_unclear(label) and bool(templates) for label in scheme.names]
        if self.templates is None and any(clear):
            named = [of for (of, _), is_clear in zip(parts, clear, strict=True) if is_clear]
            if not names_fit(encoder, named, texts, labels[:, clear], context):
                context.say(
                    "fewshot: names of labels are left out, as texts are not nearer to the name of "
                    "their own label"
                )
                clear = [False] * len(clear)
        found = list[tuple[str, int]]()
        for column, (of_name, descriptions) in enumerate(parts):
            known = (*(of_name if clear[column] else ()), *descriptions)
            copies = max(1, round(TEXTS_OF_A_NAME / max(1, len(known))))
            found += [(sentence, column) for sentence in known * copies]
        return found

    def _trained(
        self, encoder: FrozenEncoder, texts: Sequence[str], labels: Integers, context: FitContext
    ) -> tuple[FrozenEncoder, dict[str, Any]]:
        """Return the encoder after contrastive training, and how it was trained."""
        import torch

        from finetext.training.loop import train_model
        from finetext.training.tokens import vocabulary_in_use

        model, length = encoder.model, encoder.max_length
        tokens = tokenize(encoder.tokenizer, texts, length)
        task = ContrastiveTask(tokens, labels, self.learned_at)
        rate = self.learning_rate or learning_rate_for(RATE, model.config.hidden_size)
        steps, of_epoch = self.most_steps(len(texts)), self._of_epoch(len(texts))
        epochs = -(-steps // of_epoch)
        stages = [Stage(epochs, rate)]
        context.say(summary(self.name, self.encoder, model, length, stages))
        with (
            torch.random.fork_rng(devices=range(torch.cuda.device_count())),
            vocabulary_in_use(model, [task.tokens]) as tables,
        ):
            torch.manual_seed(context.seed)
            result = train_model(
                model, task.with_tables(tables), self, stages, context, steps / (epochs * of_epoch)
            )
        restore_dropout(model.eval(), self.encoder)
        trained = {**asdict(result.choice), "step": result.step, "steps": result.steps}
        return replace(encoder, model=model), trained  # a new one, as it reads with a copy


def names_fit(
    encoder: FrozenEncoder,
    named: Sequence[Sequence[str]],
    texts: Sequence[str],
    labels: Integers,
    context: FitContext,
) -> bool:
    """Return whether texts are nearer to the name of their own label than to other names.

    The gap of a text is its cosine with the sentences of its own label less the mean of those with
    other labels, each cosine less the mean of its label over all texts. The mean gap must exceed
    its standard error.

    Args:
        encoder: before its training.
        named: k sentences or more of each label.
        texts: n texts, of which up to 500 are read.
        labels: (n, k) of 0 and 1.
        context: of the fit, whose seed draws the texts.
    """
    order = np.random.default_rng(context.seed).permutation(len(texts))[:TEXTS_COMPARED]
    having = labels[order] > 0
    means = np.array([unit(encoder.states(list(of))).mean(axis=0) for of in named])
    cosines = unit(encoder.states([texts[row] for row in order])) @ unit(means).T
    cosines -= cosines.mean(axis=0)
    both = having.any(axis=1) & ~having.all(axis=1)
    having, cosines = having[both], cosines[both]
    if len(cosines) < 2:
        return True  # nothing speaks against them
    own = np.where(having, cosines, 0).sum(axis=1) / having.sum(axis=1)
    others = np.where(having, 0, cosines).sum(axis=1) / (~having).sum(axis=1)
    gaps = own - others
    return bool(gaps.mean() > gaps.std(ddof=1) / math.sqrt(len(gaps)))
