"""Classification as a task of the training loop, and the prediction of logits."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Final, Self

import numpy as np

from finetext.core import registry
from finetext.core.arrays import Floats, Integers, probabilities_of
from finetext.core.contracts import FitContext
from finetext.core.decision import Decision
from finetext.core.errors import UnknownNameError
from finetext.core.types import Dataset, LabelScheme, Predictions
from finetext.evaluation.metrics import metric_for
from finetext.evaluation.thresholds import choose_thresholds
from finetext.training.batches import (
    in_parts,
    positions_a_batch,
    prediction_batches,
    training_batches,
)
from finetext.training.checkpoint import Kept, kept_in
from finetext.training.task import Evaluation, Loss
from finetext.training.tokens import TokenTable, vocabulary_in_use

HEADS_ON_THE_FIRST_TOKEN: Final = frozenset(
    f"{name}ForSequenceClassification"
    for name in ("Bert", "Camembert", "Electra", "Roberta", "XLMRoberta", "XLMRobertaXL")
)
"""Models of transformers whose encoder has `layer[-1].attention.output(states, residual)`."""
LEARNED_SOMETHING: Final = 0.98
"""Log loss, as a share of that of the class frequencies, below which a model learned something."""
RUINED: Final = 2.0
"""Log loss, as a multiple of that of equal probabilities, above which a model is ruined."""
LOSS: Final = "loss"
VALIDATION_LOSS: Final = f"validation {LOSS}"


@contextmanager
def only_first_token(model: Any) -> Iterator[None]:
    """Compute the last layer only for the first token, if the head reads no other one."""
    bare = getattr(model, "module", model)
    if type(bare).__name__ not in HEADS_ON_THE_FIRST_TOKEN:
        yield
        return

    def first(module: Any, inputs: tuple[Any, Any]) -> tuple[Any, Any]:
        states, residual = inputs  # (rows, tokens, width) each
        return states[:, :1], residual[:, :1]

    layer = bare.base_model.encoder.layer[-1]
    hook = layer.attention.output.register_forward_pre_hook(first)
    try:
        yield
    finally:
        hook.remove()


@dataclass(frozen=True, eq=False)
class ClassificationLoss:
    """The mean cross-entropy of a batch, binary per label when multi-label."""

    multilabel: bool
    label_smoothing: float = 0.0
    class_weights: Floats | None = None

    def __call__(self, model: Any, batch: dict[str, Any]) -> Any:
        """Return it for a batch with `labels`, weighted as its rows are."""
        import torch
        from torch.nn import functional

        labels = batch["labels"]
        inputs = {name: part for name, part in batch.items() if name != "labels"}
        with only_first_token(model):
            logits = model(**inputs).logits.float()
        weights = None
        if self.class_weights is not None:
            weights = torch.as_tensor(self.class_weights, dtype=torch.float32, device=logits.device)
        if not self.multilabel:
            return functional.cross_entropy(
                logits, labels, weight=weights, label_smoothing=self.label_smoothing
            )
        smoothed = labels * (1 - self.label_smoothing) + self.label_smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, smoothed, pos_weight=weights)


@dataclass(frozen=True, eq=False)
class ClassificationTask:
    """Labeled training rows, and validation rows on which the best weights are chosen.

    `best_by` is "loss" or the name of a metric; None is `metric`.
    """

    tokens: TokenTable
    targets: Integers
    scheme: LabelScheme
    validation_tokens: TokenTable
    validation: Dataset
    metric: str
    label_smoothing: float = 0.0
    class_weights: Floats | None = None
    best_by: str | None = None
    name: str = "finetune"
    is_learned: ClassVar[bool] = False

    @property
    def tables(self) -> list[TokenTable]:
        """The training and the validation texts."""
        return [self.tokens, self.validation_tokens]

    def with_tables(self, tables: Sequence[TokenTable]) -> Self:
        """Return the task with other token ids, in the order of `tables`."""
        return replace(self, tokens=tables[0], validation_tokens=tables[1])

    @property
    def lengths(self) -> Integers:
        """(n,) tokens of each training row."""
        return self.tokens.lengths

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[Integers]:
        """See `training_batches`."""
        return training_batches(self.lengths, batch_size, seed, epoch)

    def batch(self, rows: Sequence[int] | Integers) -> dict[str, Any]:
        """Return padded tokens and `labels` of the rows."""
        import torch

        return self.tokens.batch(rows) | {"labels": torch.from_numpy(self.targets[rows])}

    def weight(self, rows: Integers) -> float:
        """Return the sum of the rows' class weights; their number if multi-label."""
        if self.class_weights is None or self.scheme.multilabel:
            return float(len(rows))
        return float(self.class_weights[self.targets[rows]].sum())

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        """Return the mean cross-entropy, binary per label when multi-label."""
        return self.divided_loss(model, batch)

    @property
    def divided_loss(self) -> Loss:
        """The same without the texts."""
        return ClassificationLoss(self.scheme.multilabel, self.label_smoothing, self.class_weights)

    def evaluate(self, model: Any) -> Evaluation | None:
        """Return metric and loss on validation rows, and whether all predictions are of one class.

        None without such rows.

        The loss is the mean cross-entropy, binary per label when multi-label, without class weights
        and label smoothing.
        """
        if not len(self.validation):
            return None
        logits = predict_logits(model, self.validation_tokens)
        mean_loss = cross_entropy(logits, self.validation.targets, self.scheme.multilabel)
        predictions = Predictions(
            tuple(self.validation.ids),
            self.validation.targets,
            probabilities_of(logits, self.scheme.multilabel),
            self.scheme,
        )
        if self.scheme.multilabel:
            limits = choose_thresholds(predictions.probabilities, predictions.targets)
            predictions = replace(predictions, decision=Decision(thresholds=limits))
        by = self.best_by or self.metric
        names = dict.fromkeys([self.metric, *([] if by == LOSS else [by])])
        figures = {f"validation {of}": registry.load("metrics", of)(predictions) for of in names}
        error = None
        if by != LOSS:
            score = registry.load("metrics", by).goodness(predictions)
            error = standard_error(score, len(self.validation))
        else:
            score = -np.inf if np.isnan(mean_loss) else -mean_loss
        figures |= {VALIDATION_LOSS: mean_loss}
        collapse = collapse_of(predictions)
        ruined = bool(collapse) and not mean_loss <= RUINED * math.log(len(self.scheme))
        return Evaluation(score, figures, collapse, error, ruined)

    def state(self) -> dict[str, Any]:
        """Return no tensors: nothing is carried from step to step."""
        return {}

    def load_state(self, tensors: Mapping[str, Any]) -> None:
        """Do nothing."""


def standard_error(score: float, rows: int) -> float | None:
    """Return the standard error of a share measured on `rows` rows; None outside 0 to 1.

    Half a row on either side (as many as Agresti and Coull 1998 add for one standard error) keeps
    it above 0 where all rows are right.
    """
    if not 0 <= score <= 1:
        return None
    share = (score * rows + 0.5) / (rows + 1)
    return math.sqrt(share * (1 - share) / rows)


def cross_entropy(logits: Floats, targets: Integers, multilabel: bool) -> float:
    """Return the mean over rows, and over labels when multi-label, for (n, k) logits."""
    import torch
    from torch.nn import functional

    outputs, truth = torch.from_numpy(logits), torch.from_numpy(targets)
    if multilabel:
        return float(functional.binary_cross_entropy_with_logits(outputs, truth.to(outputs)))
    return float(functional.cross_entropy(outputs, truth.long()))


def collapse_of(predictions: Predictions) -> str:
    """Return how predictions fail to distinguish texts; "" if they do not fail."""
    scheme, targets = predictions.scheme, predictions.targets
    if not np.isfinite(predictions.probabilities).all():
        return "predictions are not numbers"
    decided = np.unique(predictions.decisions)
    if scheme.multilabel or len(np.unique(targets)) < 2 or len(decided) > 1:
        return ""
    shares = np.bincount(targets, minlength=len(scheme)) / len(targets)
    entropy = -float((shares * np.log(np.maximum(shares, 1e-12))).sum())
    truths = predictions.probabilities[np.arange(len(targets)), targets]
    if -float(np.log(np.maximum(truths, 1e-12)).mean()) < LEARNED_SOMETHING * entropy:
        return ""
    only = scheme.names[int(decided[0])]
    return f"all {len(targets):,} validation rows are predicted as {only!r}"


def predict_logits(
    model: Any, tokens: TokenTable, progress: Callable[[int], None] = lambda rows: None
) -> Floats:
    """Return the outputs of a model for every row, in the number format of its weights.

    Returns:
        (n, k) in the order of the rows.
    """
    import torch

    logits = np.zeros((len(tokens), model.config.num_labels))
    was_training = model.training
    model.eval()

    def forward(rows: Integers) -> None:
        batch = {name: part.to(model.device) for name, part in tokens.batch(rows).items()}
        logits[rows] = model(**batch).logits.float().cpu().numpy()
        progress(len(rows))

    with torch.inference_mode(), only_first_token(model):
        for rows in prediction_batches(tokens.lengths, positions_a_batch(model.device)):
            in_parts(forward, rows)
    model.train(was_training)
    return logits


def check_best_by(name: str | None, scheme: LabelScheme | None) -> None:
    """Raise an error if there is no such metric, or it does not apply to the labels."""
    if name is None or name == LOSS:
        return
    known = registry.names("metrics")
    if name not in known:
        raise UnknownNameError("value of best_by", name, (LOSS, *known))
    if scheme is not None:
        metric_for(name, scheme)


def hand_over_kept(classifier: Any, tables: Sequence[TokenTable], context: FitContext) -> None:
    """Call `context.keep` with the best evaluated models of a training on texts in `tables`."""
    if context.checkpoints is None:
        return
    for kept in kept_in(context.checkpoints.folder, context.checkpoints.keep):
        context.keep(kept.evaluated, partial(_with_weights, classifier, tables, kept))


def _with_weights(classifier: Any, tables: Sequence[TokenTable], kept: Kept) -> Any:
    """Return a copy of a classifier with the kept weights, which lack tokens not in use."""
    import torch

    model, weights = copy.deepcopy(classifier.model), kept.weights()
    with vocabulary_in_use(model, tables), torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
    return replace(classifier, model=model)


def balanced_weights(targets: Integers, scheme: LabelScheme) -> Floats:
    """Return (k,) weights in inverse proportion to the frequency of each label."""
    if scheme.multilabel:
        positives = np.maximum(targets.sum(axis=0), 1)
        return np.asarray(np.clip((len(targets) - positives) / positives, 1.0, 100.0), np.float64)
    counts = np.maximum(np.bincount(targets, minlength=len(scheme)), 1)
    weights: Floats = len(targets) / (len(scheme) * counts)
    return weights
