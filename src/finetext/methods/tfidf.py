"""TF-IDF of words and word pairs with logistic regression: cheap and hard to beat."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.budget import take
from finetext.core.contracts import Classifier, FitContext, Method
from finetext.core.decision import Decision
from finetext.core.settings import Count, Positive
from finetext.core.types import Dataset, LabelScheme
from finetext.methods.linear import (
    CANDIDATES,
    LinearHead,
    Regression,
    choose_head,
    fit_head,
)
from finetext.methods.ngrams import NgramFeatures
from finetext.storage.received import read_received_text

LONGEST_NGRAM: Final = 1_000
"""Words of the longest n-gram of a model that is loaded: time grows with it."""
_NODE: Final = 256
"""Bytes that each word of an n-gram after the first takes in the tables of features."""
TOKENS = r"(?u)\b\w+\b|[^\w\s]"


@dataclass(frozen=True)
class Tfidf(Method):
    """Fit TF-IDF with sublinear term frequency, then logistic regression.

    Attributes:
        longest_ngram: words in the longest n-gram; None (the default) chooses 1 or 2 with C.
        minimum_documents: training texts in which an n-gram must occur, 2 by default.
        most_features: how many n-grams are kept, the most frequent, 200,000 by default.
        inverse_regularisation: C of the logistic regression; None (the default) chooses among
            0.1, 1, 10 and 100 by cross-validation on the training rows.
        by_ratios: whether features are scaled by how much classes differ in how often they occur
            (log-count ratios: Wang and Manning 2012, "Baselines and Bigrams"); None (the default)
            chooses that with C.
    """

    name: ClassVar[str] = "tfidf"
    needs_validation: ClassVar[bool] = False
    longest_ngram: Count | None = None
    minimum_documents: Count = 2
    most_features: Count = 200_000
    inverse_regularisation: Positive | None = None
    by_ratios: bool | None = None

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> TfidfClassifier:
        """Learn vocabulary, document frequencies and weights from `train`; see `Method.fit`."""
        assert train.scheme is not None
        lengths = (1, 2) if self.longest_ngram is None else (self.longest_ngram,)
        candidates = self._candidates()
        trials = []
        for length in lengths:
            vectorizer, features = self._features(train.texts, length)
            chosen, score = candidates[0], 0.0
            if len(lengths) * len(candidates) > 1:
                chosen, score = choose_head(
                    features, train.targets, train.scheme, candidates, context, train.groups
                )
            trials.append((score, -length, chosen, vectorizer, features))
        _, _, chosen, vectorizer, features = max(trials, key=lambda trial: trial[:2])
        head = fit_head(features, train.targets, train.scheme, chosen, context)
        return TfidfClassifier(train.scheme, Decision(), vectorizer, head, chosen.by_ratios)

    def _candidates(self) -> list[Regression]:
        """What to choose among: each C, first without and then with log-count ratios."""
        given = self.inverse_regularisation
        values = CANDIDATES if given is None else (given,)
        scaled = (False, True) if self.by_ratios is None else (self.by_ratios,)
        return [Regression(value, by_ratios) for by_ratios in scaled for value in values]

    def _features(self, texts: Sequence[str], length: int) -> tuple[Any, Any]:
        """Return a fitted vectorizer and its (n, d) features, of rarer n-grams if need be."""
        vectorizer = _vectorizer(length)
        vectorizer.set_params(max_features=self.most_features)
        for documents in (self.minimum_documents, 1):
            with suppress(ValueError):  # no n-gram occurs in so many texts
                return vectorizer, vectorizer.set_params(min_df=documents).fit_transform(texts)
        vectorizer.set_params(vocabulary={"": 0})  # there is no token in any text
        return vectorizer, vectorizer.fit_transform(texts)


@dataclass(frozen=True, eq=False)
class TfidfClassifier(Classifier):
    """A fitted `TfidfVectorizer` of scikit-learn and the logistic regression on its features."""

    kind: ClassVar[str] = "tfidf"
    scheme: LabelScheme
    decision: Decision
    vectorizer: Any
    head: LinearHead
    by_ratios: bool = False

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.predict_proba`."""
        probabilities = np.zeros((len(texts), len(self.scheme)))
        done = 0
        for features in self._features.blocks(texts):
            stop = done + features.shape[0]
            probabilities[done:stop] = self._head.probabilities(features, self.scheme)
            done = stop
        return probabilities

    @cached_property
    def _features(self) -> NgramFeatures:
        return NgramFeatures(self.vectorizer.get_feature_names_out().tolist(), self.vectorizer.idf_)

    @cached_property
    def _head(self) -> LinearHead:
        """The head with weights in the memory order that a sparse product needs."""
        return replace(self.head, weights=np.asfortranarray(self.head.weights))

    def with_temperature(self, temperature: float) -> Self:
        """See `Classifier.with_temperature`."""
        return replace(self, head=self.head.with_temperature(temperature))

    def save_weights(self, folder: Path) -> None:
        """Write `vocabulary.json` (n-grams in column order) and `model.safetensors`."""
        described = {
            "longest_ngram": self.vectorizer.ngram_range[1],
            "vocabulary": self.vectorizer.get_feature_names_out().tolist(),
            "by_ratios": self.by_ratios,
        }
        (folder / "vocabulary.json").write_text(json.dumps(described))
        self.head.save(folder / "model.safetensors", idf=self.vectorizer.idf_)

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> Self:
        """Read what `save_weights` wrote."""
        described = json.loads(read_received_text(folder, "vocabulary.json"))
        head, extra = LinearHead.load(folder / "model.safetensors", scheme)
        terms, longest = described["vocabulary"], described["longest_ngram"]
        _check_vocabulary(terms, longest, len(extra["idf"]))
        vectorizer = _vectorizer(longest)
        vectorizer.set_params(vocabulary={term: column for column, term in enumerate(terms)})
        vectorizer.idf_ = extra["idf"]
        return cls(scheme, decision, vectorizer, head, bool(described.get("by_ratios", False)))

    def provenance(self) -> dict[str, Any]:
        """Return the chosen C, whether features were scaled, and the number of n-grams."""
        return {
            "inverse_regularisation": self.head.inverse_regularisation,
            "by_ratios": self.by_ratios,
            "features": len(self.vectorizer.vocabulary_),
        }


def _check_vocabulary(terms: Any, longest: Any, size: int) -> None:
    """Raise a ValueError if a file has no n-grams for `size` features, a TooLargeError for many."""
    if not isinstance(terms, list) or not all(isinstance(term, str) for term in terms):
        raise ValueError("its vocabulary is no list of words")
    if not len(terms) == len(set(terms)) == size:
        raise ValueError(f"it has {len(set(terms)):,} different n-grams for {size:,} features")
    if not isinstance(longest, int) or not 1 <= longest <= LONGEST_NGRAM:
        raise ValueError(f"its longest n-gram has {longest!r} words; at most {LONGEST_NGRAM:,}")
    spaces = [term.count(" ") for term in terms]
    if max(spaces, default=0) >= longest:
        raise ValueError(f"an n-gram has {max(spaces) + 1:,} words, more than {longest:,}")
    take(_NODE * sum(spaces), "its vocabulary")


def _vectorizer(longest_ngram: int) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        ngram_range=(1, longest_ngram), sublinear_tf=True, token_pattern=TOKENS, dtype=np.float64
    )
