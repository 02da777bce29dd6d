"""The words that matter for each label: attributions over many texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, cast

import numpy as np

from finetext.core.contracts import Classifier, ProgressEvent, silent
from finetext.diagnosis.attributions import contributions
from finetext.diagnosis.explain import EXACT, ClassWords, Explainer, Way, choose_way
from finetext.methods.tfidf import TfidfClassifier

FEWEST_TEXTS: Final = 3
MOST_TEXTS: Final = 500
"""Texts that are explained, where that takes long for each."""
_Sums = dict[str, dict[str, float]]
"""Label to word to attribution, summed over one text."""


def class_words(
    classifier: Classifier,
    texts: Sequence[str],
    way: Way = "auto",
    count: int = 20,
    seed: int = 0,
    progress: Callable[[ProgressEvent], None] = silent,
) -> ClassWords:
    """The words that speak for each label, over many texts.

    For TF-IDF the contributions to every label, of all texts. Otherwise the attributions of the
    label that each text gets, of at most 500 texts drawn at random.

    Args:
        classifier: any rung.
        texts: n texts, such as those of the training rows.
        way: as in `finetext.explain`.
        count: most words of a label, 20 by default.
        seed: seed of the choice of texts, 0 by default.
        progress: told how many texts are done.

    Returns:
        for each label the words with the highest mean attribution above 0 among those that occur
        in three texts or more.

    Raises:
        RecipeError: the classifier cannot be explained in that way.
        MissingExtraError: integrated gradients, and captum is not installed.
    """
    return words_of(choose_way(classifier, way), texts, count, seed, progress)


def words_of(
    explainer: Explainer,
    texts: Sequence[str],
    count: int = 20,
    seed: int = 0,
    progress: Callable[[ProgressEvent], None] = silent,
) -> ClassWords:
    """The same as `class_words` in a way that was chosen before."""
    classifier = explainer.classifier
    if explainer.way != EXACT and len(texts) > MOST_TEXTS:
        drawn = np.random.default_rng(seed).choice(len(texts), MOST_TEXTS, replace=False)
        texts = [texts[row] for row in sorted(drawn)]
    found: dict[str, dict[str, list[float]]] = {
        name: defaultdict(list) for name in classifier.scheme.names
    }
    sums = _exact_sums(explainer, texts) if explainer.way == EXACT else _sums(explainer, texts)
    for number, of_text in enumerate(sums, start=1):
        for label, of_words in of_text.items():
            for word, value in of_words.items():
                found[label][word].append(value)
        progress(ProgressEvent("explaining", number, len(texts)))
    strongest = {label: _strongest(of_words, count) for label, of_words in found.items()}
    return ClassWords(classifier.kind, explainer.way, len(texts), strongest)


def _strongest(
    values: Mapping[str, Sequence[float]], count: int
) -> tuple[tuple[str, float, int], ...]:
    rows = [(word, sum(of) / len(of), len(of)) for word, of in values.items()]
    kept = [row for row in rows if row[2] >= FEWEST_TEXTS and row[1] > 0]
    return tuple(sorted(kept, key=lambda row: (-row[1], row[0]))[:count])


def _sums(explainer: Explainer, texts: Sequence[str]) -> Iterator[_Sums]:
    """For each text the attributions of the label that it gets, the likeliest of several."""
    classifier = explainer.classifier
    probabilities = classifier.predict_proba(texts)
    columns = probabilities.argmax(axis=1)
    if not classifier.scheme.multilabel:
        columns = classifier.decision.labels(probabilities, multilabel=False)
    for text, column in zip(texts, columns.tolist(), strict=True):
        start, end = explainer.read(text)
        read = text[start:end]
        attributed = explainer.attribute(read, column)
        sums: dict[str, float] = defaultdict(float)
        for (first, stop), value in zip(attributed.words, attributed.values, strict=True):
            sums[read[first:stop].lower()] += float(value)
        yield {classifier.scheme.names[column]: sums}


def _exact_sums(explainer: Explainer, texts: Sequence[str]) -> Iterator[_Sums]:
    """For each text the contributions to every label."""
    classifier = cast(TfidfClassifier, explainer.classifier)
    for text, (words, values) in zip(texts, contributions(classifier, texts), strict=True):
        sums: _Sums = {name: defaultdict(float) for name in classifier.scheme.names}
        for (first, stop), of_labels in zip(words, values.tolist(), strict=True):
            word = text[first:stop].lower()
            for name, value in zip(classifier.scheme.names, of_labels, strict=True):
                sums[name][word] += value
        yield sums
