"""Occlusion: by how much the log-odds fall when a word is left out (Zeiler and Fergus 2014)."""

from __future__ import annotations

from finetext.diagnosis.attributions.attributed import Attributed, log_odds
from finetext.diagnosis.words import without, word_spans
from finetext.methods.base import Classifier


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
