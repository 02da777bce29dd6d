"""What every export format has in common: the exporter, what it is given, and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

from finetext.core.contracts import Classifier, ProgressEvent, silent
from finetext.core.errors import ModelError
from finetext.core.types import Dataset
from finetext.evaluation.deciding import Deciding

EXPORTS: Final = frozenset({"onnx", "static"})
"""Kinds of classifier that are exports."""
_SMALL: Final = {"majority": "a few numbers", "tfidf": "words and weights"}


@dataclass(frozen=True, eq=False)
class HeadRows:
    """The rows that a new head is fitted, calibrated and compared on.

    Attributes:
        train: rows to fit the head on.
        validation: rows to choose temperature and decision rule on.
        compared: rows to compare on, or None for those of the original.
        remark: what to know about the comparison; "" for nothing.
    """

    train: Dataset
    validation: Dataset
    compared: Dataset | None = None
    remark: str = ""


@dataclass(frozen=True, eq=False)
class Original:
    """A classifier to export, and what exporters may need beside it.

    Attributes:
        classifier: on the CPU.
        name: what the model card calls it, such as "reviews/finetune".
        seed: seed of every random choice.
        metric: the metric to choose hyperparameters by.
        decide: how the decision rule is chosen.
        head_rows: return the rows for a new head; None if there are none.
        say: called with a line worth reading once.
        progress: called with a `ProgressEvent` now and then.
    """

    classifier: Classifier
    name: str = ""
    seed: int = 0
    metric: str = "macro_f1"
    decide: Deciding = field(default_factory=Deciding)
    head_rows: Callable[[], HeadRows] | None = None
    say: Callable[[str], None] = lambda line: None
    progress: Callable[[ProgressEvent], None] = silent


@dataclass(frozen=True, eq=False)
class Made:
    """What an exporter returns.

    Attributes:
        classifier: the export, loaded from its files where it has some.
        rows: rows to compare it with the original on, or None for those of the original.
        remark: what to know about these rows; "" for nothing.
    """

    classifier: Classifier
    rows: Dataset | None = None
    remark: str = ""


class Exporter(ABC):
    """An export format. Subclasses are frozen dataclasses of settings."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def least_agreement(self) -> float:
        """The default share of rows on which export and original must predict the same labels."""

    @property
    def folder_name(self) -> str:
        """The name of the folder beside the model's, where no other is given."""
        return self.name

    @abstractmethod
    def check(self, original: Original) -> None:
        """Raise a `FinetextError` if the export is impossible; called before any work."""

    @abstractmethod
    def make(self, original: Original, work: Path) -> Made:
        """Return the exported classifier.

        Args:
            original: what to export.
            work: an empty folder for files, which is removed afterwards.
        """


def check_has_encoder(classifier: Classifier, form: str) -> None:
    """Raise a `ModelError` that says what to do if a classifier has no encoder.

    Args:
        classifier: any.
        form: what it was to become, such as "ONNX".
    """
    if (what := _SMALL.get(classifier.kind)) is not None:
        raise ModelError(
            f"a {classifier.kind} model is {what} and needs no export to {form}: copy its model "
            "folder, which predicts without torch as it is"
        )
    if classifier.kind in EXPORTS:
        raise ModelError(
            f"this model is itself an export ({classifier.kind}); export the model that it was "
            "made from"
        )
    if classifier.kind not in ("transformer", "probe"):
        raise ModelError(f"a {classifier.kind} classifier cannot be exported to {form}")


def encoder_of(classifier: Any) -> Any:
    """Return the bare encoder of a classifier that has one."""
    return classifier.encoder.model if classifier.kind == "probe" else classifier.model.base_model


def tokenizer_of(classifier: Any) -> Any:
    """Return the tokenizer of a classifier that has an encoder."""
    return classifier.encoder.tokenizer if classifier.kind == "probe" else classifier.tokenizer
