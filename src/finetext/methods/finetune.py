"""Fine-tuning: train all weights of a pretrained encoder on the task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Final, Literal

import numpy as np

from finetext.core.contracts import Classifier, FitContext, Method
from finetext.core.decision import Decision
from finetext.core.errors import RecipeError
from finetext.core.settings import (
    Count,
    NotNegative,
    NotNegativeCount,
    Positive,
    Precision,
    Share,
    ShareBelowOne,
    Tokens,
    made,
)
from finetext.core.types import Dataset, Finding, LabelScheme
from finetext.encoders.auto import model_type_of
from finetext.encoders.catalogue import is_random
from finetext.encoders.load import (
    load_for_classification,
    load_tokenizer,
    longest_input,
    restore_dropout,
)
from finetext.encoders.scratch import initialized
from finetext.methods import regimes
from finetext.methods.transformer import TransformerClassifier
from finetext.training import plan
from finetext.training.batches import resampled
from finetext.training.classification import (
    ClassificationTask,
    balanced_weights,
    check_best_by,
    hand_over_kept,
    predict_logits,
)
from finetext.training.plan import OpenBatchSize, ScheduleName, Stage
from finetext.training.precision import choose_device
from finetext.training.record import summary
from finetext.training.tokens import tokenize, vocabulary_in_use
from finetext.training.truncation import Truncation

ROWS_MEASURED: Final = 256
"""Training rows whose statistics standardize the input of a head."""
GROUPS_OF_STAGES: Final = (1, 2, 3, None)
"""Layer groups that learn in each stage of gradual unfreezing, counted from the top."""
STAGE_EPOCHS: Final = (1, 1, 1, 2)
STAGE_RATES: Final = (20.0, 10.0, 5.0, 1.0)
StageEpochs = tuple[NotNegativeCount, NotNegativeCount, NotNegativeCount, Count]
StageRates = tuple[Positive, Positive, Positive, Positive]


@dataclass(frozen=True)
class Finetune(Method):
    """Fine-tune any encoder that `AutoModelForSequenceClassification` loads.

    Attributes:
        encoder: alias, Hub name or folder of the encoder, "minilm" by default.
        epochs: passes over the training rows; None (the default) is the fewest from 1 to 10 that
            make 250 steps, but 2 if one makes less than 1,500, fewer for long texts; from 2 to 10
            and 200 steps where all layers have the same learning rate.
        batch_size: rows per step; None (the default) is as many, from 8 to 32, as make 250 steps in
            four epochs, fewer for long texts, but 32 where all layers have the same learning rate;
            "auto" tries 2, 4, 8, ... and takes the largest that fits into memory, at most 32 on a
            CPU, elsewhere 512 or a 20th of the rows.
        learning_rate: highest learning rate, that of the head (before `head_rate`) if rates fall;
            None (the default) follows the table in `finetext.methods.regimes`, 3e-4 for a hidden
            size of 384. With a `discriminative` of your own it is 1e-3 at most.
        max_length: tokens to truncate texts to; None (the default) is 256, but the whole context
            if that is smaller, if the encoder is an AWD-LSTM, or if you choose `truncation`.
        truncation: of a longer text "head", "tail" or "head+tail" (see `Probe`); None (the
            default) is "head+tail", or "head" if you choose `max_length`.
        head: "standard" (the default) is that of the architecture; "concat" joins the state of the
            first token (the last, if the encoder reads one way), the maximum and the mean over
            all tokens (Howard and Ruder 2018, section 3.3).
        unfreeze: "gradual" trains in four stages: the head, then the last two layer groups, the
            last three, and all (Howard and Ruder 2018, section 3.3); `epochs` is left out then.
            "none" (the default) trains all weights from the start. Either is a preset of `stages`.
        stage_epochs: epochs of each stage of gradual unfreezing; 1, 1, 1 and 2 by default.
        stage_rates: highest rate of each stage in multiples of `learning_rate`; 20, 10, 5, 1.
        stages: the stages of the training by hand, as `finetext.Stage`, in place of `epochs`,
            `learning_rate` and `unfreeze`; None (the default) for those that `unfreeze` makes.
        discriminative: by how much the learning rate falls from one layer group to the one below:
            2.6 divides by 2.6 each time (Howard and Ruder 2018, section 3.2), 0.9 multiplies by
            0.9, 1 gives all groups the same. None (the default) is 0.8, or 1 if you choose a
            learning rate, stages or gradual unfreezing, or an encoder with random weights.
        head_rate: factor on the learning rate of the head; None (the default) is 1 to 10, an
            eighth of the number of classes, with the usual rates, and 1 with your own.
        schedule: of the learning rate in each stage: "linear" (the default) rises and falls
            linearly, "one-cycle" along cosines, "slanted-triangular" rises for a tenth; the last
            two move the momentum in the opposite direction.
        warmup_share: share of the steps for warm-up; None (the default) is
            0.06 for "linear", 0.25 for "one-cycle", 0.1 for "slanted-triangular".
        weight_decay: decoupled decay of the matrices, 0.01 by default.
        largest_gradient: norm to which gradients are clipped, 1.0 by default.
        dropout_multiplier: factor on dropout probabilities; 0 by default: no result changed with 1.
        label_smoothing: share of the target spread over all classes, 0 by default.
        class_weights: "balanced" weighs classes by their inverse frequency; "none" by default.
        resample: "over" repeats training rows of smaller classes, "under" leaves out some of larger
            ones; "none" by default. Single-label only.
        evaluate_every: steps between evaluations; None (the default) evaluates after each epoch.
        patience: evaluations without improvement before training stops; None (the default): never.
        best_by: "loss" or the name of a metric, which choose the best weights on validation rows;
            None (the default) is the metric of the run. Of weights within one standard error of
            the best, the latest are kept, unless the score is outside 0 to 1 or `patience` is set.
        precision: "fp32", "bf16", "fp16" (on a GPU; with loss scaling), or "auto" (the default):
            bf16 where the hardware is fast at it, measured if the training is long enough, else
            fp32. The saved weights are fp32.
    """

    name: ClassVar[str] = "finetune"
    trains_in_steps: ClassVar[bool] = True
    encoder: str = "minilm"
    epochs: Count | None = None
    batch_size: OpenBatchSize = None
    learning_rate: Positive | None = None
    max_length: Tokens | None = None
    truncation: Truncation | None = None
    head: Literal["standard", "concat"] = "standard"
    unfreeze: Literal["none", "gradual"] = "none"
    stage_epochs: StageEpochs = STAGE_EPOCHS
    stage_rates: StageRates = STAGE_RATES
    stages: tuple[Stage, ...] | None = None
    discriminative: Positive | None = None
    head_rate: Positive | None = None
    schedule: ScheduleName = "linear"
    warmup_share: Share | None = None
    weight_decay: NotNegative = 0.01
    largest_gradient: Positive = 1.0
    dropout_multiplier: NotNegative = 0.0
    label_smoothing: ShareBelowOne = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    resample: Literal["none", "over", "under"] = "none"
    evaluate_every: Count | None = None
    patience: Count | None = None
    best_by: str | None = None
    precision: Precision = "auto"

    def check(self, scheme: LabelScheme | None = None) -> None:
        """Refuse an unknown encoder, more tokens than its context, or options that clash."""
        longest_input(self.encoder, self.max_length)
        self._check_stages()
        check_best_by(self.best_by, scheme)
        if self.unfreeze == "gradual" and self.epochs is not None:
            raise RecipeError(
                'finetune: unfreeze = "gradual" takes its epochs from stage_epochs: set that '
                "instead of epochs"
            )
        if self.resample != "none" and scheme is not None and scheme.multilabel:
            raise RecipeError(
                "finetune: resample needs one label per text. With several, use class_weights"
            )

    def _check_stages(self) -> None:
        """Refuse stages by hand that are invalid, or beside what else would make stages."""
        if self.stages is None:
            return
        if not isinstance(self.stages, Sequence):
            raise RecipeError("finetune: stages is not a list; put the stages in brackets")
        if not self.stages:
            raise RecipeError("finetune: stages = []: give at least one stage, or leave it out")
        others = {"epochs": None, "learning_rate": None, "unfreeze": "none"}
        for name, usual in others.items():
            if getattr(self, name) != usual:
                raise RecipeError(
                    f"finetune: {name} does not go with stages, which have epochs, learning rates "
                    "and layer groups of their own; leave one of the two out"
                )
        for number, stage in enumerate(self.stages, 1):
            made(f"finetune: stage {number}", Stage, asdict(stage))

    @classmethod
    def frozen_then_full(
        cls, epochs: int, learning_rate: float, frozen_epochs: int = 1, **others: Any
    ) -> Finetune:
        """Return the method that trains the head alone, then everything with lower rates.

        The stages are those of `fine_tune` of fastai (Howard and Gugger 2020, "fastai: A Layered
        API for Deep Learning"): the head for `frozen_epochs`, with a rate that rises nearly to the
        end; then all layer groups for `epochs`, with half that at the top and a 200th of it at the
        bottom. Each one-cycle starts at a 25th of its highest rate; the second of fastai at a 5th.

        Args:
            epochs: epochs of all layer groups.
            learning_rate: highest of the head; about 1e-2 for AWD-LSTM, 1e-3 for transformers.
            frozen_epochs: epochs of the head alone, 1 by default.
            others: further hyperparameters of `Finetune`.
        """
        top = learning_rate / 2
        head = Stage(frozen_epochs, learning_rate, 1, "one-cycle", 0.99)
        everything = Stage(epochs, (top / 100, top), None, "one-cycle", 0.3)
        return cls(stages=(head, everything), **others)

    def fit(
        self, train: Dataset, validation: Dataset, context: FitContext
    ) -> TransformerClassifier:
        """Train on `train` and keep weights by their score on `validation`; see `best_by`."""
        return self._fitted(train, validation, context)

    def refit(self, rows: Dataset, fitted: Classifier, context: FitContext) -> Classifier:
        """Train on all rows for as many epochs, up to the share of steps that `fitted` is of."""
        assert isinstance(fitted, TransformerClassifier)
        done = fitted.trained_with
        found = {name: done[name] for name in ("batch_size", "epochs") if name in done}
        method, share = replace(self, **found), done["step"] / done["steps"]
        again = method._fitted(rows, rows.select([]), context, share)
        return replace(again, trained_with={**again.trained_with, **found})

    def _fitted(
        self, train: Dataset, validation: Dataset, context: FitContext, share: float = 1.0
    ) -> TransformerClassifier:
        """See `fit`; the training ends after `share` of its steps."""
        from finetext.training.batch_size import with_batch_size
        from finetext.training.loop import train_model

        train = self.resampled(train, context.seed)
        with self.begun(train, context) as classifier:
            model = classifier.model
            task = self.task(classifier, train, validation, context)
            tokens = float(task.lengths.mean())
            method = self.settled(len(task.scheme), model.config).sized(len(train), tokens)
            method = with_batch_size(method, model, task, context)
            stages = method.stages_for(len(train), tokens, model.config)
            context.say(summary(self.name, self.encoder, model, classifier.max_length, stages))
            with vocabulary_in_use(model, task.tables) as tables:
                used = task.with_tables(tables)
                result = train_model(model, used, method, stages, context, share)
        model.eval()
        trained = {**classifier.trained_with, **asdict(result.choice)}
        trained |= {"step": result.step, "steps": result.steps}
        if self.epochs is None and self.stages is None and self.unfreeze == "none":
            trained["epochs"] = stages[0].epochs
        if method.batch_size != self.batch_size:
            trained["batch_size"] = method.batch_size
        classifier = replace(classifier, trained_with=trained)
        hand_over_kept(classifier, task.tables, context)
        return classifier

    @contextmanager
    def begun(self, train: Dataset, context: FitContext) -> Iterator[TransformerClassifier]:
        """Yield the untrained classifier; the body trains it with the seed's random generators.

        Afterward the generators are as before, and the configuration has its dropout back.
        """
        import torch

        with (
            initialized(self.encoder, train.texts, context.seed, context.say) as encoder,
            torch.random.fork_rng(devices=range(torch.cuda.device_count())),
        ):
            torch.manual_seed(context.seed)
            classifier = self._untrained(encoder, train, context)
            yield classifier
            restore_dropout(classifier.model, encoder)

    def task(
        self,
        classifier: TransformerClassifier,
        train: Dataset,
        validation: Dataset,
        context: FitContext,
    ) -> ClassificationTask:
        """Return the task of the training loop."""
        assert train.scheme is not None
        is_balanced = self.class_weights == "balanced"
        weights = balanced_weights(train.targets, train.scheme) if is_balanced else None
        tokens, validation_tokens = (
            tokenize(classifier.tokenizer, of.texts, classifier.max_length, context.cache)
            for of in (train, validation)
        )
        return ClassificationTask(
            tokens, train.targets, train.scheme, validation_tokens, validation, context.metric,
            self.label_smoothing, weights, self.best_by,
        )  # fmt: skip

    def _untrained(
        self, encoder: str, train: Dataset, context: FitContext
    ) -> TransformerClassifier:
        """Return the pretrained encoder with a new head for the labels of `train`."""
        from finetext.encoders.heads import standardize, start_at

        assert train.scheme is not None
        tokenizer = load_tokenizer(encoder, self.kept_of_long)
        notes: list[str] = []
        model = load_for_classification(
            encoder, tokenizer, train.scheme, self.dropout_multiplier, self.head, notes.append
        )
        for note in notes:
            context.say(f"finetune: {note}")
            context.find(Finding("note", "encoder-folder", f"finetune: {note}"))
        model = model.to(choose_device(context.device, self.precision))
        length = self.longest
        measured = np.random.default_rng(context.seed).permutation(len(train))[:ROWS_MEASURED]
        texts = [train.texts[row] for row in measured]
        some = tokenize(tokenizer, texts, length)
        standardize(model, lambda: predict_logits(model, some))
        if train.scheme.multilabel and self.class_weights == "none":
            start_at(model, regimes.first_bias(train.targets), some.batch([0]))
        return TransformerClassifier(
            train.scheme, Decision(), model, tokenizer, length, self.precision,
            {"notes": notes} if notes else {},
        )  # fmt: skip

    def settled(self, classes: int, config: Any) -> Finetune:
        """Return the method with the rates that `finetext.methods.regimes` has for the data.

        Only what the user left open is filled in: one that chose a learning rate, stages or
        gradual unfreezing gets the same rate for all layers, unless `discriminative` says else, as
        does an encoder with random weights.
        """
        is_open = self.stages is None and self.unfreeze == "none" and self.learning_rate is None
        is_open &= not is_random(self.encoder)  # whose lower layers have all to learn
        if self.discriminative is None and is_open and regimes.falls(config):
            head = self.head_rate or regimes.head_factor(classes)
            rate = regimes.top_rate(config)
            return replace(self, learning_rate=rate, discriminative=regimes.DECAY, head_rate=head)
        return replace(
            self, discriminative=self.discriminative or 1.0, head_rate=self.head_rate or 1.0
        )

    def sized(self, rows: int, tokens: float) -> Finetune:
        """Return the settled method with the batch size for such rows, if none was chosen."""
        if self.batch_size is not None:
            return self
        is_flat = self.discriminative in (None, 1)
        return replace(self, batch_size=regimes.batch_size_for(rows, tokens, is_flat))

    @property
    def longest(self) -> int:
        """Tokens that texts are truncated to."""
        context = longest_input(self.encoder, self.max_length)
        if self.max_length is not None or self.truncation is not None:
            return context
        return regimes.longest(context, model_type_of(self.encoder))

    @property
    def kept_of_long(self) -> Truncation:
        """What is read of a text with more tokens."""
        return self.truncation or ("head+tail" if self.max_length is None else "head")

    def stages_for(self, rows: int, tokens: float, config: Any) -> list[Stage]:
        """Return the stages of a training on this many rows of so many tokens on average."""
        if self.stages is not None:
            return list(self.stages)
        rate = self.learning_rate or regimes.flat_rate(config)
        if self.learning_rate is None and self.discriminative not in (None, 1):
            rate = regimes.steep_rate(config)
        if self.unfreeze == "none":
            size, is_flat = plan.rows_per_step(self), self.discriminative in (None, 1)
            return [Stage(self.epochs or regimes.epochs_for(rows, size, tokens, is_flat), rate)]
        gradual = zip(self.stage_epochs, self.stage_rates, GROUPS_OF_STAGES, strict=True)
        return [Stage(epochs, rate * of, groups) for epochs, of, groups in gradual if epochs]

    def resampled(self, train: Dataset, seed: int) -> Dataset:
        """Return the rows to train on, over- or undersampled as `resample` says."""
        if self.resample == "none":
            return train
        self.check(train.scheme)
        return train.select(resampled(train.targets, self.resample, seed))
