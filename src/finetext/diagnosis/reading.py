"""What a classifier with an encoder reads of texts that are longer than it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from finetext.core.contracts import Classifier
from finetext.diagnosis.data_checks import count_tokens
from finetext.encoders.words import Span, spans_read, word_spans
from finetext.evaluation.leaderboard import TextsRead
from finetext.methods.probe import ProbeClassifier
from finetext.methods.transformer import TransformerClassifier
from finetext.methods.zeroshot import ZeroShotClassifier

_WITH_ENCODER: Final = TransformerClassifier | ProbeClassifier | ZeroShotClassifier


@dataclass(frozen=True)
class ReadText:
    """What a classifier reads of a text, as one text, and the spans where its parts stand.

    `unread` is the number of words outside of the spans.
    """

    text: str
    spans: Sequence[Span]
    unread: int

    @classmethod
    def of(cls, text: str, spans: Sequence[Span]) -> ReadText:
        """Return the parts of a text with a space between them."""
        places = [0, *(place for span in spans for place in span), len(text)]
        outside = [text[places[at] : places[at + 1]] for at in range(0, len(places), 2)]
        unread = sum(len(word_spans(part)) for part in outside)
        return cls(" ".join(text[start:end] for start, end in spans), spans, unread)

    def place(self, span: Span) -> Span:
        """Return where a span of what is read stands in the text."""
        done = 0
        for start, end in self.spans:
            if span[1] <= done + end - start:
                return span[0] - done + start, span[1] - done + start
            done += end - start + 1
        raise ValueError(f"the span {span} is outside of the text")


def read_text(classifier: Classifier, text: str) -> ReadText:
    """Return what a classifier reads of a text."""
    reader = _truncating(classifier.original)
    if reader is None:
        return ReadText.of(text, [(0, len(text))])
    return ReadText.of(text, spans_read(reader.tokenizer, reader.max_length, text))


def texts_read(classifier: Classifier, texts: Sequence[str]) -> TextsRead | None:
    """Return how much of some texts a classifier reads; None if it has no encoder, or no texts."""
    classifier = classifier.original
    if not isinstance(classifier, _WITH_ENCODER) or not len(texts):
        return None
    reader = _truncating(classifier)
    if reader is None:
        return TextsRead(len(texts), 0, 1.0)
    tokens = np.maximum(count_tokens(reader.tokenizer, texts), 1)
    shares = np.minimum(reader.max_length / tokens, 1)
    return TextsRead(len(texts), int((shares < 1).sum()), float(shares.mean()))


def _truncating(classifier: Classifier) -> Any:
    """Return what has the tokenizer and its `max_length`; None if texts are read whole."""
    if isinstance(classifier, ProbeClassifier | ZeroShotClassifier):
        return None if classifier.encoder.in_windows else classifier.encoder
    return classifier if isinstance(classifier, TransformerClassifier) else None
