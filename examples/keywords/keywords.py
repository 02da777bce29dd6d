"""A method of your own: a few telling words of each label.

Once the package is installed (`pip install examples/keywords`), it is a method like any other:

    finetext train reviews.csv --methods majority,keywords --set methods.keywords.words=20
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from finetext.core.arrays import Floats, probabilities_of
from finetext.core.contracts import Classifier, FitContext, Method
from finetext.core.decision import Decision
from finetext.core.errors import RecipeError
from finetext.core.types import Dataset, LabelScheme


def words_of(text: str) -> set[str]:
    """Return the words of a text in lower case."""
    return set(re.findall(r"\w+", text.lower()))


@dataclass(frozen=True)
class Keywords(Method):
    """Add up how much each known word speaks for each label.

    Args:
        words: how many words of each label are kept, those that speak most for it.
    """

    name: ClassVar[str] = "keywords"
    needs_validation: ClassVar[bool] = False
    words: int = 50

    def check(self, scheme: LabelScheme | None = None) -> None:
        """Raise a RecipeError for fewer than one word."""
        if self.words < 1:
            raise RecipeError(f"words = {self.words}: the method keywords needs 1 or more")

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> KeywordsClassifier:
        """Compare in how many texts of each label a word is; see `Method.fit`."""
        assert train.scheme is not None
        several, size = train.scheme.multilabel, len(train.scheme)
        given = train.targets if several else np.eye(size)[train.targets]
        known = sorted({word for text in train.texts for word in words_of(text)})
        place = {word: row for row, word in enumerate(known)}
        with_label, without = np.ones((len(known), size)), np.ones((len(known), size))
        for text, labels in zip(train.texts, given, strict=True):
            rows = [place[word] for word in words_of(text)]
            with_label[rows] += labels
            without[rows] += 1 - labels
        frequencies = given.sum(axis=0) + 1
        others = len(given) + 2 - frequencies
        weights = np.log(with_label / frequencies) - np.log(without / others)
        kept = np.unique(np.argsort(-weights, axis=0, kind="stable")[: self.words])
        table = {known[row]: weights[row].tolist() for row in kept}
        prior = np.log(frequencies / others)
        return KeywordsClassifier(train.scheme, Decision(), table, prior, 1.0)


@dataclass(frozen=True, eq=False)
class KeywordsClassifier(Classifier):
    """The (k,) weights of each word, the (k,) logits of a text without any, and a temperature."""

    kind: ClassVar[str] = "keywords"
    scheme: LabelScheme
    decision: Decision
    weights: dict[str, list[float]]
    prior: Floats
    temperature: float

    def logits(self, texts: Sequence[str]) -> Floats:
        """Return (n, k) logits: the prior, and the weights of the words of a text."""
        rows = [[self.weights[w] for w in sorted(words_of(t)) if w in self.weights] for t in texts]
        found = np.array([self.prior + np.sum(row, axis=0) for row in rows])
        return found.reshape(len(rows), len(self.prior)) / self.temperature

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.predict_proba`."""
        return probabilities_of(self.logits(texts), self.scheme.multilabel)

    def with_temperature(self, temperature: float) -> Self:
        """See `Classifier.with_temperature`."""
        return replace(self, temperature=self.temperature * temperature)

    def save_weights(self, folder: Path) -> None:
        """Write `keywords.json`."""
        told = {"weights": self.weights, "prior": self.prior.tolist()}
        told["temperature"] = self.temperature
        (folder / "keywords.json").write_text(json.dumps(told), encoding="utf-8")

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> Self:
        """Read `keywords.json`."""
        told = json.loads((folder / "keywords.json").read_text(encoding="utf-8"))
        return cls(scheme, decision, told["weights"], np.array(told["prior"]), told["temperature"])
