"""Exact contributions: what the n-grams of a text add to a logistic regression on TF-IDF."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.contracts import Classifier, batches_of
from finetext.encoders.words import Span, distribute, without, word_spans
from finetext.methods.tfidf import TOKENS, TfidfClassifier

SURE: Final = 1e-12
"""How far probabilities are kept from 0 and 1 in log-odds."""


@dataclass(frozen=True, eq=False)
class Attributed:
    """What the n words of a text add to a score.

    Attributes:
        words: the words as spans of characters.
        values: (n,) what each adds.
        score: the score of the whole text.
        base: the score without any words, which the values come on top of; None where they are
            differences from the whole text, one word at a time.
    """

    words: Sequence[Span]
    values: Floats
    score: float
    base: float | None = None


def log_odds(probabilities: Floats) -> Floats:
    """The logarithm of each probability over its complement."""
    kept = np.clip(probabilities, SURE, 1 - SURE)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def log_odds_of_logits(logits: Any, column: int, multilabel: bool) -> Any:
    """The log-odds (n,) of one label from logits (n, k), tensors both.

    With several labels a text this is the logit itself; with one of two labels the difference of
    the two logits; with one of more, the logit less the log-sum-exp of the others.
    """
    import torch

    own = logits[:, column]
    others = torch.cat([logits[:, :column], logits[:, column + 1 :]], dim=1)
    if multilabel or not others.shape[1]:
        return own
    return own - torch.logsumexp(others, dim=1)


_TOKEN: Final = re.compile(TOKENS)
_AT_A_TIME: Final = 1_000


def contribute(classifier: TfidfClassifier, text: str, column: int) -> Attributed:
    """The contributions to one label; with the intercept they sum to its score.

    Args:
        classifier: a fitted `Tfidf`.
        text: any text.
        column: the label that is explained.

    Returns:
        value times weight of each n-gram, shared by its occurrences and their tokens equally, and
        summed over the tokens of each word; see `margins` for the score.
    """
    [(words, values)] = contributions(classifier, [text])
    own, base = values[:, column], intercepts(classifier)[column]
    return Attributed(words, own, float(base + own.sum()), float(base))


def contributions(
    classifier: TfidfClassifier, texts: Sequence[str]
) -> Iterator[tuple[list[Span], Floats]]:
    """For each text its n words, and what each adds to the k scores, (n, k)."""
    contrast = margins(len(classifier.scheme), classifier.scheme.multilabel)
    weights = np.ascontiguousarray((contrast @ classifier.head.weights).T)
    for part in batches_of(len(texts), _AT_A_TIME):
        rows = classifier.vectorizer.transform(texts[part])
        for text, start, end in zip(texts[part], rows.indptr, rows.indptr[1:], strict=False):
            tokens = _tokens(text)
            found = _occurrences(classifier, [token for token, _ in tokens])
            features = rows.indices[start:end], rows.data[start:end]
            yield _by_word(text, [place for _, place in tokens], found, features, weights)


def _by_word(
    text: str,
    places: list[Span],
    found: list[tuple[int, int, int]],
    features: tuple[Integers, Floats],
    weights: Floats,
) -> tuple[list[Span], Floats]:
    """Value times weight of each n-gram, shared by its tokens wherever it occurs, by word.

    Args:
        text: the text.
        places: the characters of each token.
        found: see `_occurrences`.
        features: the columns of the n-grams in the text, and their values.
        weights: (d, k).
    """
    starts, stops, columns = np.array(found, dtype=np.int64).reshape(-1, 3).T
    _, at, occurrences = np.unique(columns, return_inverse=True, return_counts=True)
    values = features[1][np.argsort(features[0])] / occurrences
    shares = values[at] / (stops - starts)
    of_tokens = np.zeros((len(places), weights.shape[1]))
    for offset in range(int((stops - starts).max(initial=0))):
        longer = starts + offset < stops
        added = shares[longer, None] * weights[columns[longer]]
        np.add.at(of_tokens, starts[longer] + offset, added)
    words = word_spans(text, cuts={start for start, _ in places})
    return words, distribute(of_tokens, places, words)


def intercepts(classifier: TfidfClassifier) -> Floats:
    """(k,) the scores of a text without any known n-gram."""
    contrast = margins(len(classifier.scheme), classifier.scheme.multilabel)
    return np.asarray(contrast @ classifier.head.bias)


def margins(labels: int, multilabel: bool) -> Floats:
    """(k, k) from logits to the scores that are explained.

    With one label a text, what all logits have in common changes nothing, so the score of a label
    is its logit less the mean of the others: with two labels their difference, the log-odds. With
    several labels a text it is the logit.
    """
    if multilabel or labels < 2:
        return np.eye(labels)
    return (np.eye(labels) * labels - 1) / (labels - 1)


def _occurrences(classifier: TfidfClassifier, tokens: list[str]) -> list[tuple[int, int, int]]:
    """First token, the one after the last, and column of every known n-gram in the text."""
    columns = classifier.vectorizer.vocabulary_
    found = []
    for length in range(1, classifier.vectorizer.ngram_range[1] + 1):
        for start in range(len(tokens) - length + 1):
            of = columns.get(" ".join(tokens[start : start + length]))
            if of is not None:
                found.append((start, start + length, int(of)))
    return found


def _tokens(text: str) -> list[tuple[str, Span]]:
    """The tokens in lower case, with their characters in the text as it is."""
    lowered = text.lower()
    origin = list(range(len(text)))
    if len(lowered) != len(text):
        origin = [place for place, letter in enumerate(text) for _ in letter.lower()]
    return [
        (match[0], (origin[match.start()], origin[match.end() - 1] + 1))
        for match in _TOKEN.finditer(lowered)
    ]


def occlude(classifier: Classifier, text: str, column: int) -> Attributed:
    """Leave each word out in turn; works for any classifier, in one prediction a word.

    Args:
        classifier: any rung.
        text: what the classifier reads of a text.
        column: the label that is explained.

    Returns:
        how much the log-odds of the label lose without each word.
    """
    words = word_spans(text)
    variants = [text, *(without(text, words, [number]) for number in range(len(words)))]
    scores = log_odds(classifier.predict_proba(variants)[:, column])
    return Attributed(words, scores[0] - scores[1:], float(scores[0]))
