"""Few-shot learning: contrastive fine-tuning of a sentence encoder, then a linear head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np

from finetext.core.arrays import Floats, Integers
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
    LabelSentences,
    check_descriptions,
    check_templates,
    repeated,
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

        def states_of(rows: Integers) -> Floats:
            return encoder.states([train.texts[row] for row in rows])

        sentences = repeated(self._known.of(scheme, encoder, states_of, of_rows, context))
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

    @property
    def _known(self) -> LabelSentences:
        """What is known of the labels beside the rows."""
        described = self.descriptions or {}
        return LabelSentences(self.name, self.encoder, described, self.templates)

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
