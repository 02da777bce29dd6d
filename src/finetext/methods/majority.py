"""The majority baseline: class frequencies of the training rows, whatever the text says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.contracts import Classifier, FitContext, Method
from finetext.core.decision import Decision
from finetext.core.types import Dataset, LabelScheme
from finetext.evaluation.calibration import tempered
from finetext.storage.received import read_received_text


@dataclass(frozen=True)
class Majority(Method):
    """Predict the class frequencies of the training rows, so the largest class always wins.

    The baseline that every other method has to beat. It has no hyperparameters.
    """

    name: ClassVar[str] = "majority"
    needs_validation: ClassVar[bool] = False
    is_baseline: ClassVar[bool] = True

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> MajorityClassifier:
        """Count the classes of `train`; see `Method.fit`."""
        assert train.scheme is not None
        targets = train.targets
        if not train.scheme.multilabel:
            targets = np.eye(len(train.scheme), dtype=np.int64)[targets]
        return MajorityClassifier(train.scheme, Decision(), targets.mean(axis=0))


@dataclass(frozen=True, eq=False)
class MajorityClassifier(Classifier):
    """The same (k,) `frequencies` for every text."""

    kind: ClassVar[str] = "majority"
    scheme: LabelScheme
    decision: Decision
    frequencies: Floats

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """Return the frequencies, once per text."""
        return np.tile(self.frequencies, (len(texts), 1))

    def with_temperature(self, temperature: float) -> Self:
        """See `Classifier.with_temperature`."""
        scaled = tempered(self.frequencies[None], self.scheme.multilabel, temperature)[0]
        return replace(self, frequencies=scaled)

    def save_weights(self, folder: Path) -> None:
        """Write `frequencies.json`."""
        (folder / "frequencies.json").write_text(json.dumps(self.frequencies.tolist()))

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> Self:
        """Read `frequencies.json`."""
        frequencies = json.loads(read_received_text(folder, "frequencies.json"))
        if len(frequencies) != len(scheme):
            raise ValueError(f"it has {len(frequencies)} frequencies for {len(scheme)} labels")
        return cls(scheme, decision, np.array(frequencies, dtype=np.float64))
