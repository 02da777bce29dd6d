"""What a format of export is: a frozen dataclass of settings that makes one classifier of another.

A new one is one file, plus one line in the table `exporters` of the registry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from finetext.artefact.onnx import OnnxClassifier
from finetext.artefact.static import StaticClassifier
from finetext.methods.base import Classifier

if TYPE_CHECKING:
    from finetext.exporting.origin import Origin
    from finetext.types import Dataset


EXPORTS: Final = frozenset({OnnxClassifier.kind, StaticClassifier.kind})
"""Kinds of classifier that are exports."""


@dataclass(frozen=True, eq=False)
class Made:
    """What an exporter made.

    Attributes:
        classifier: it, loaded from its files where it has some.
        rows: the rows to compare it with the original on, if not those of the origin.
        remark: what is to be known of these rows; "" for nothing.
    """

    classifier: Classifier
    rows: Dataset | None = None
    remark: str = ""


class Exporter(ABC):
    """A format of export. Subclasses are frozen dataclasses of settings."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def least_agreement(self) -> float:
        """Share of rows on which both must give the same labels, unless another is asked for."""

    @property
    def folder_name(self) -> str:
        """Name of the folder beside the model's, where no other is given."""
        return self.name

    @abstractmethod
    def check(self, origin: Origin) -> None:
        """Raise a `FinetextError` if it cannot be done; called before anything is done.

        Args:
            origin: what is to be exported.
        """

    @abstractmethod
    def make(self, origin: Origin, work: Path) -> Made:
        """Make the classifier.

        Args:
            origin: what is exported.
            work: an empty folder for its files, which is gone afterwards.
        """
