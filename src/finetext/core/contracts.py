"""The contracts: a `Method` is fitted in a `FitContext` and returns a `Classifier`."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from finetext.core import registry
from finetext.core.arrays import Floats, logits_of
from finetext.core.deadline import Deadline
from finetext.core.decision import Decision
from finetext.core.display import (
    classifier_facts,
    decision_in_words,
    html_table,
    labels_in_words,
)
from finetext.core.errors import DataError
from finetext.core.settings import Precision
from finetext.core.shared_texts import SharedTexts
from finetext.core.text_columns import texts_of
from finetext.core.types import Dataset, Finding, LabelScheme, Predictions, Splits


@dataclass(frozen=True)
class ProgressEvent:
    """Progress of a slow step, in rows.

    Attributes:
        stage: what is being done, such as "finetune: epoch 1 of 2".
        values: figures worth showing, such as loss and metric.
    """

    stage: str
    done: int
    total: int
    values: Mapping[str, float] = field(default_factory=dict)


def silent(event: ProgressEvent) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Checkpoints:
    """Where and how often training writes checkpoints, so that a killed run can resume.

    Attributes:
        folder: created with the first checkpoint.
        data: hash of the data and the split; a checkpoint of other data is refused.
        every_steps: steps between two checkpoints; None goes by the seconds alone.
        keep: how many of the best evaluated models `FitContext.keep` gets; 0 by default.
    """

    folder: Path
    data: str = ""
    every_seconds: float = 60.0
    every_steps: int | None = None
    keep: int = 0


@dataclass(frozen=True)
class Evaluated:
    """What validation rows gave after a step of a training, such as "validation loss"."""

    step: int
    figures: Mapping[str, float]


@dataclass(frozen=True)
class FitContext:
    """What a method needs beside the data and its hyperparameters.

    Attributes:
        device: "auto", "cpu", "cuda", "cuda:1", "mps"; auto takes the best one available.
        metric: name of the metric by which the best checkpoint is chosen on validation rows.
        cache: folder for frozen encoder states, or None for no cache on disk.
        log: file to which training appends JSON lines, or None.
        checkpoints: where training writes and finds checkpoints, or None.
        trackers: names of trackers that also get the scalars, such as "tensorboard"; their files
            are beside the log.
        say: called with a line of text, such as a summary of the model.
        find: called with findings of the training, such as divergence.
        keep: called after the training with each of the best evaluated models that `checkpoints`
            asks for, in the order of steps. Its second argument makes the classifier; it works
            until the folder of the checkpoints is removed.
        shared: the texts of all folds of a cross-validation, or None.
        members: what a method that combines others gets of them, by their names.
        deadline: when a training that is made of steps ends with the weights it has; None: never.
    """

    seed: int = 0
    device: str = "auto"
    metric: str = "macro_f1"
    cache: Path | None = None
    log: Path | None = None
    checkpoints: Checkpoints | None = None
    trackers: tuple[str, ...] = ()
    progress: Callable[[ProgressEvent], None] = silent
    say: Callable[[str], None] = lambda line: None
    find: Callable[[Finding], None] = lambda finding: None
    keep: Callable[[Evaluated, Callable[[], Classifier]], None] = lambda evaluated, make: None
    shared: SharedTexts | None = None
    members: Mapping[str, Member] = field(default_factory=dict)
    deadline: Deadline | None = None


@dataclass(frozen=True, eq=False)
class Member:
    """A fitted method that another one combines.

    Attributes:
        classifier: calibrated.
        predictions: its calibrated predictions of rows that it did not learn from.
        is_pretrained: whether it knows more than the rows that it learned from.
    """

    classifier: Classifier
    predictions: Predictions
    is_pretrained: bool = False


class Method(ABC):
    """Fits a classifier. Subclasses are frozen dataclasses of hyperparameters.

    Attributes:
        trains_in_steps: whether a fit is so costly that cross-validation repeats it less often.
        needs_validation: whether a fit looks at validation rows, as to choose a checkpoint. One
            that does not learns from all rows of a cross-validated run, and gets no others.
        pays_per_text: whether each prediction is asked of an endpoint, which takes money or long. A
            run then asks for no row twice, and for a random sample where a budget ends.
        combines: whether it learns from no text but combines what other methods learned, which it
            gets as `FitContext.members`. It is fitted last, and no method combines it.
        is_baseline: whether it is there to be compared with only, so that no method combines it.
        learns: whether it learns anything of a run. One that does not stands on the leaderboard for
            comparison: it is never chosen, combined or fitted again.
    """

    name: ClassVar[str]
    trains_in_steps: ClassVar[bool] = False
    needs_validation: ClassVar[bool] = True
    pays_per_text: ClassVar[bool] = False
    combines: ClassVar[bool] = False
    is_baseline: ClassVar[bool] = False
    learns: ClassVar[bool] = True

    def check(self, scheme: LabelScheme | None = None) -> None:  # noqa: B027 (most need no check)
        """Raise a `FinetextError` if it cannot be fitted; called before anything is trained.

        The scheme is None if the labels of the data are not known yet.
        """

    @abstractmethod
    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> Classifier:
        """Return a classifier that learned from `train`, and predicts in the columns of its scheme.

        `validation`, of the same scheme, may only choose between checkpoints. It has no rows if the
        method declares that it needs none (`needs_validation`).
        """

    def refit(self, rows: Dataset, fitted: Classifier, context: FitContext) -> Classifier:
        """Return a classifier that learned from all of `rows`, training and validation.

        What validation rows chose for `fitted` stays. By default a method that needs none is
        fitted again, and of any other `fitted` itself is returned: it cannot be trained without.
        """
        return fitted if self.needs_validation else self.fit(rows, rows.select([]), context)


class Classifier(ABC):
    """Texts in, probabilities out. Subclasses are final.

    Texts are a list, or any column or iterable of strings: `texts_of` makes a list before a
    subclass gets them. Of a model of several text columns (`scheme.text_columns`) each text is a
    tuple, or a mapping from the columns to their texts.

    Attributes:
        has_members: whether it consists of other classifiers. Its `load_weights` then has a last
            argument `load`, which loads each of them (`finetext.methods.members.LoadKind`).
    """

    kind: ClassVar[str]
    has_members: ClassVar[bool] = False
    scheme: LabelScheme
    decision: Decision

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        for name in {"predict_proba", "logits"} & cls.__dict__.keys():
            setattr(cls, name, _of_texts(cls.__dict__[name]))
        if "__repr__" not in cls.__dict__:  # else that of a dataclass prints all weights
            cls.__repr__ = Classifier.__repr__  # type: ignore[method-assign]

    @property
    def number_format(self) -> Precision | None:
        """The requested precision of prediction; None if there is no choice."""
        return None

    @property
    def original(self) -> Classifier:
        """The classifier of the method itself, where this one predicts in its place; else itself.

        Whatever reads more than predictions, such as an encoder or a tokenizer, takes this one.
        """
        return self

    @abstractmethod
    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """Return the probability of every class for each of n texts of any length, even empty.

        Returns:
            (n, k) in the order of the texts and of `scheme.names`; rows sum to 1 unless the
            scheme is multi-label.
        """

    def logits(self, texts: Sequence[str]) -> Floats:
        """Return (n, k) logits, of which softmax or, when multi-label, the sigmoid is taken.

        They are known up to a constant for each row, and infinite where a probability is 0 or 1,
        unless the model has logits of its own.
        """
        return logits_of(self.predict_proba(texts), self.scheme.multilabel)

    def predict(self, texts: Sequence[str]) -> list[Any]:
        """Return the label of each text by the decision rule of the model.

        It is None where the model abstains or the text belongs to no class, which
        `decision.out_of_scope` tells apart, and a list of labels when multi-label.
        """
        return decided(self.scheme, self.decision, self.predict_proba(texts))

    @abstractmethod
    def save_weights(self, folder: Path) -> None:
        """Write what was learned into an existing empty folder, without pickle."""

    @classmethod
    @abstractmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> Self:
        """Read what `save_weights` wrote."""

    def provenance(self) -> dict[str, Any]:
        """Return what `finetext.json` states of the training; nothing by default."""
        return {}

    @abstractmethod
    def with_temperature(self, temperature: float) -> Self:
        """Return the classifier with its logits divided by a positive number.

        The division is in the weights, so `transformers.pipeline` gives the same probabilities.
        `decision.temperature` stays as it is.
        """

    def with_decision(self, decision: Decision) -> Self:
        """Return the classifier with another decision rule."""
        return replace(self, decision=decision)  # type: ignore[type-var]

    def with_positive(self, label: object) -> Self:
        """Return the classifier with that positive class; see `LabelScheme.with_positive`."""
        return replace(self, scheme=self.scheme.with_positive(label))  # type: ignore[type-var]

    def with_precision(self, precision: Precision) -> Self:
        """Return the classifier with another precision, such as "bf16"; most have only one."""
        return self

    def __call__(self, text: Any) -> dict[str, float]:
        """Return label to probability for one text, likeliest first."""
        if not isinstance(text, str | Mapping) and not self.scheme.text_columns:
            raise DataError(
                f"call it with one text, not {type(text).__name__}; predict_proba takes several"
            )
        row = self.predict_proba([text])[0]
        return {self.scheme.names[i]: float(row[i]) for i in np.argsort(-row, kind="stable")}

    def __repr__(self) -> str:
        return f"<{self.kind} classifier, {labels_in_words(self.scheme.names)}>"

    def _repr_html_(self) -> str:
        rule = decision_in_words(self.decision, self.scheme.multilabel)
        facts = classifier_facts(self.kind, self.scheme.names, rule, self.provenance())
        return html_table("A text classifier", ("", ""), facts)

    def save(self, folder: str | Path) -> Path:
        """Write the model folder, completely or not at all; see `finetext.models.folder`."""
        written: Path = registry.load("storage", "save")(self, Path(folder))
        return written

    @staticmethod
    def load(folder: str | Path, device: str = "auto") -> Classifier:
        """Read a model folder, the best model of a run, or "hub:owner/name"; neural ones in torch.

        Raises:
            ModelError: it is none of these, damaged, or cannot be fetched.
            RunError: the run is unfinished or damaged.
        """
        loaded: Classifier = registry.load("storage", "load")(folder, device, engine="torch")
        return loaded


def _of_texts(predicts: Callable[[Any, Sequence[str]], Floats]) -> Any:
    """Wrap a method that takes a list of texts so that it takes them in any form.

    It gets a text that repeats once: real texts repeat often, and each costs the same.
    """

    @wraps(predicts)
    def wrapped(self: Any, texts: Sequence[str]) -> Floats:
        given = texts_of(texts, self.scheme.text_columns)
        places = {text: place for place, text in enumerate(dict.fromkeys(given))}
        if len(places) == len(given):
            return predicts(self, given)
        return predicts(self, list(places))[[places[text] for text in given]]

    return wrapped


def decided(scheme: LabelScheme, decision: Decision, probabilities: Floats) -> list[Any]:
    """Return labels for (n, k) probabilities; see `Classifier.predict`."""
    labels = scheme.decode(decision.labels(probabilities, scheme.multilabel))
    if scheme.multilabel or not decision.can_abstain:
        return labels
    abstains = decision.abstains(probabilities)
    return [None if none else label for label, none in zip(labels, abstains, strict=True)]


def check_read(name: str, data: object) -> None:
    """Raise a DataError that says how to read data first, unless they were read."""
    if not isinstance(data, Dataset | Splits):
        raise DataError(
            f"{name} takes data that were read, not a {type(data).__name__}; read them first: "
            f"finetext.{name}(finetext.read(data))"
        )


def predict(classifier: Classifier, dataset: Dataset) -> Predictions:
    """Return predictions for every row, with the scheme and decision of the classifier.

    Raises:
        DataError: the data have no labels, or one that the classifier does not know.
    """
    if not isinstance(dataset, Dataset):
        raise DataError(
            f"predict takes labeled data, not a {type(dataset).__name__}; read them first: "
            "finetext.predict(classifier, finetext.read(data))"
        )
    scheme, groups = classifier.scheme, dataset.groups
    targets, likely = (
        replace(dataset, scheme=scheme).targets,
        classifier.predict_proba(dataset.texts),
    )
    names = None if groups is None else tuple(groups)
    return Predictions(tuple(dataset.ids), targets, likely, scheme, classifier.decision, names)


def batches_of(count: int, size: int) -> Iterator[slice]:
    """Return slices that cover `count` rows, `size` at a time."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def hyperparameters(of: Any) -> dict[str, Any]:
    """Return the hyperparameters of a method or an adaptation by name; stages as dictionaries."""
    values = {f.name: getattr(of, f.name) for f in dataclasses.fields(of)}
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    """Return a tuple of dataclasses as one of dictionaries, and other values as they are."""
    if isinstance(value, list | tuple) and any(map(dataclasses.is_dataclass, value)):
        return tuple(dataclasses.asdict(of) for of in value)
    return value


def encoder_of(method: Method) -> str | None:
    """Return the encoder that a method names, or None."""
    encoder = getattr(method, "encoder", None)
    return encoder if isinstance(encoder, str) else None


@dataclass(frozen=True)
class Listener:
    """Receives what a run reports: lines of text, progress, and findings.

    Attributes:
        scored: called with the `Run` once its leaderboard is known. Only then are its errors
            diagnosed and its report written.
    """

    say: Callable[[str], None] = lambda line: None
    progress: Callable[[ProgressEvent], None] = silent
    finding: Callable[[Finding], None] = lambda finding: None
    scored: Callable[[Any], None] = lambda run: None
