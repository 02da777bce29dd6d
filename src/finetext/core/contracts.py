"""What a rung of the ladder is: a `Method` that is fitted, and the `Classifier` that comes out."""

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
from finetext.core.decision import Decision
from finetext.core.errors import DataError
from finetext.core.settings import Precision
from finetext.core.types import Dataset, Finding, LabelScheme, Predictions


def texts_of(given: Any) -> list[str]:
    """Texts as a list of strings.

    Args:
        given: a list, tuple, generator or other iterable of strings, a numpy array of one
            dimension, or a column of pandas, polars, pyarrow or datasets.

    Raises:
        DataError: it is a single string, a table or without an order, or holds something else
            than strings; the message has the first place, counted from 0.
    """
    if type(given) is list and set(map(type, given)) <= {str}:
        return given
    if isinstance(given, str | bytes):
        raise DataError(f"texts must be a list, not {_shown(given)} alone: put it in brackets")
    values = _values(given)
    for place, value in enumerate(values):
        if not isinstance(value, str):
            hint = "; for two dimensions give one column" if _is_nested(value) else ""
            raise DataError(f"text {place}, counted from 0, is {_shown(value)}, no string{hint}")
    return [str(value) for value in values]


def _values(given: Any) -> list[Any]:
    """The values of a column, or of anything that can be gone through in order."""
    if isinstance(given, Mapping | set | frozenset) or hasattr(given, "columns"):
        kind = type(given).__name__
        raise DataError(f"texts must be a list or a column, not a {kind}; give one column of it")
    if len(getattr(given, "shape", (1,))) != 1:
        raise DataError(
            f"texts must have one dimension, not the shape {tuple(given.shape)}; give one column"
        )
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(given, method):
            return list(getattr(given, method)())
    try:
        return list(given)
    except TypeError:
        raise DataError(f"texts must be a list of strings, not {_shown(given)}") from None


def _is_nested(value: Any) -> bool:
    return isinstance(value, list | tuple) or hasattr(value, "__array__")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


@dataclass(frozen=True)
class ProgressEvent:
    """How far a slow step has come.

    Attributes:
        stage: what is being done, for people ("finetune: epoch 1 of 2").
        done: rows handled so far.
        total: rows in all.
        values: figures worth showing, such as loss and metric.
    """

    stage: str
    done: int
    total: int
    values: Mapping[str, float] = field(default_factory=dict)


def silent(event: ProgressEvent) -> None:
    """The default listener to progress: says nothing."""


@dataclass(frozen=True)
class Checkpoints:
    """Where and how often training keeps its state, so that a killed run can go on.

    Attributes:
        folder: where the state lies; made when it is first written.
        data: hash of the data and the split that are trained on; a state of others is refused.
        every_seconds: seconds between two states.
        every_steps: steps between two states, or None to go by the seconds alone.
    """

    folder: Path
    data: str = ""
    every_seconds: float = 60.0
    every_steps: int | None = None


@dataclass(frozen=True)
class FitContext:
    """What a method needs beside the data and its own hyperparameters.

    Attributes:
        seed: seed of every random choice.
        device: "auto", "cpu", "cuda", "cuda:1", "mps"; auto takes the best there is.
        metric: name of the metric by which the best checkpoint is chosen on validation rows.
        cache: folder for frozen encoder states, or None for no cache on disk.
        log: file to which training appends one JSON object a line, or None.
        checkpoints: where training keeps its state and finds that of a killed run, or None.
        trackers: names of the trackers that get the scalars too, such as "tensorboard"; their
            files lie beside the log.
        progress: called with a `ProgressEvent` now and then.
        say: called with a line of text worth reading once, such as the model's summary.
        find: called with what the report must tell of the training, such as that it diverged.
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


class Method(ABC):
    """A way to make a classifier. Subclasses are frozen dataclasses of hyperparameters."""

    name: ClassVar[str]

    def check(self, scheme: LabelScheme | None = None) -> None:  # noqa: B027 (most need no check)
        """Raise a `FinetextError` if it could not be fitted; called before anything is trained.

        Args:
            scheme: labels of the data, or None as long as they are not known.
        """

    @abstractmethod
    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> Classifier:
        """Learn from `train`; `validation` may only choose between checkpoints.

        Args:
            train: labelled rows to learn from.
            validation: labelled rows of the same scheme.
            context: seed, device and listeners.

        Returns:
            a classifier that predicts in the columns of `train.scheme`.
        """


class Classifier(ABC):
    """Texts in, probabilities out. Subclasses are final.

    Texts are a list, or any column or iterable of strings: `texts_of` makes
    lists of them before a subclass sees them.
    """

    kind: ClassVar[str]
    scheme: LabelScheme
    decision: Decision

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        for name in ("predict_proba", "logits"):
            if name in cls.__dict__:
                setattr(cls, name, _of_texts(cls.__dict__[name]))

    @property
    def number_format(self) -> Precision | None:
        """The precision that prediction was asked to have; None where there is no choice."""
        return None

    @abstractmethod
    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """Probabilities of every class for every text.

        Args:
            texts: n texts of any length, the empty one included.

        Returns:
            (n, k) in the order of the texts and of `scheme.names`; rows sum to 1 unless the
            scheme is multi-label.
        """

    def logits(self, texts: Sequence[str]) -> Floats:
        """What softmax, or the sigmoid when multi-label, turns into the probabilities.

        Args:
            texts: n texts of any length.

        Returns:
            (n, k) in the order of the texts and of `scheme.names`; up to a constant for each row,
            and infinite where a probability is 0 or 1, unless the model has logits of its own.
        """
        return logits_of(self.predict_proba(texts), self.scheme.multilabel)

    def predict(self, texts: Sequence[str]) -> list[Any]:
        """The label of each text, as the decision of the model says.

        Args:
            texts: n texts of any length.

        Returns:
            n labels, None where the model abstains; n lists of labels when multi-label.
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
        """The inverse of `save_weights`."""

    def provenance(self) -> dict[str, Any]:
        """What `finetext.json` should say of how it came to be; nothing by default."""
        return {}

    @abstractmethod
    def with_temperature(self, temperature: float) -> Self:
        """The same classifier with its logits divided by a positive number.

        Whatever reads the weights, such as `transformers.pipeline`, then gives the same
        probabilities. `decision.temperature` is left as it is.
        """

    def with_decision(self, decision: Decision) -> Self:
        """The same classifier with another rule of decision."""
        return replace(self, decision=decision)  # type: ignore[type-var]

    def with_precision(self, precision: Precision) -> Self:
        """The same classifier predicting in another number format; most have only one.

        Args:
            precision: "fp32", "bf16", or "auto" for bf16 where the hardware is fast at it.
        """
        return self

    def __call__(self, text: str) -> dict[str, float]:
        """Label to probability for one text, likeliest first.

        Raises:
            DataError: it is no string.
        """
        if not isinstance(text, str):
            raise DataError(
                f"this takes one text, not a {type(text).__name__}; predict_proba takes several"
            )
        row = self.predict_proba([text])[0]
        return {self.scheme.names[i]: float(row[i]) for i in np.argsort(-row, kind="stable")}

    def save(self, folder: str | Path) -> Path:
        """Write the model folder, whole or not at all; see `finetext.models.folder`."""
        written: Path = registry.load("storage", "save")(self, Path(folder))
        return written

    @staticmethod
    def load(folder: str | Path, device: str = "auto") -> Classifier:
        """Read a model folder, the best model of a run folder, or one of the Hub.

        Args:
            folder: it, or "hub:owner/name" or "hub:owner/name@revision".
            device: where a neural model predicts; see `FitContext.device`.

        Raises:
            ModelError: it is none of these, damaged, or cannot be fetched.
            RunError: the run is unfinished or damaged.
        """
        loaded: Classifier = registry.load("storage", "load")(folder, device)
        return loaded


def _of_texts(predicts: Callable[[Any, Sequence[str]], Floats]) -> Any:
    """A method that takes texts in any form, from one that takes a list of them."""

    @wraps(predicts)
    def wrapped(self: Any, texts: Sequence[str]) -> Floats:
        return predicts(self, texts_of(texts))

    return wrapped


def decided(scheme: LabelScheme, decision: Decision, probabilities: Floats) -> list[Any]:
    """Labels for (n, k) probabilities; see `Classifier.predict`."""
    labels = scheme.decode(decision.labels(probabilities, scheme.multilabel))
    if scheme.multilabel or decision.least is None:
        return labels
    abstains = decision.abstains(probabilities)
    return [None if none else label for label, none in zip(labels, abstains, strict=True)]


def predict(classifier: Classifier, dataset: Dataset) -> Predictions:
    """Predict every row of a labelled data set.

    Args:
        classifier: any rung.
        dataset: labelled rows; their label names must be known to the classifier.

    Returns:
        predictions in the order of the rows, with the classifier's scheme and decision.

    Raises:
        DataError: the data have no labels, or one that the classifier does not know.
    """
    known = replace(dataset, scheme=classifier.scheme)
    groups = dataset.groups
    return Predictions(
        ids=tuple(dataset.ids),
        targets=known.targets,
        probabilities=classifier.predict_proba(dataset.texts),
        scheme=classifier.scheme,
        decision=classifier.decision,
        groups=None if groups is None else tuple(groups),
    )


def batches_of(count: int, size: int) -> Iterator[slice]:
    """Slices that cover `count` rows, `size` at a time."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def hyperparameters(of: Any) -> dict[str, Any]:
    """The hyperparameters of a method or an adaptation, by name."""
    return {f.name: getattr(of, f.name) for f in dataclasses.fields(of)}


def encoder_of(method: Method) -> str | None:
    """The encoder that a method names, or None if it has none."""
    encoder = getattr(method, "encoder", None)
    return encoder if isinstance(encoder, str) else None


@dataclass(frozen=True)
class Listener:
    """Who hears what a run has to say while it goes on.

    Attributes:
        say: called with a line of text.
        progress: called with a `ProgressEvent` now and then.
        finding: called with each `Finding` of reading, checking and training.
    """

    say: Callable[[str], None] = lambda line: None
    progress: Callable[[ProgressEvent], None] = silent
    finding: Callable[[Finding], None] = lambda finding: None
