"""Why a classifier says what it says: what each word of a text adds, and whether that holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, Literal, cast, get_args, overload

import numpy as np

from finetext.core.contracts import Classifier, ProgressEvent, batches_of, silent
from finetext.core.errors import RecipeError, UnknownNameError
from finetext.diagnosis.attributions import Attributed, contribute, occlude
from finetext.diagnosis.gradients import integrate, unsuited
from finetext.encoders.words import Span, seen_span, without, word_spans
from finetext.methods.finetune import TransformerClassifier
from finetext.methods.probe import ProbeClassifier
from finetext.methods.tfidf import TfidfClassifier

Way = Literal["auto", "gradients", "exact", "occlusion"]
GRADIENTS: Final = "integrated gradients"
EXACT: Final = "exact contributions"
OCCLUSION: Final = "occlusion"


@dataclass(frozen=True, eq=False)
class Explainer:
    """A classifier with the way in which it is explained.

    Attributes:
        classifier: any rung.
        way: see `Explanation.way`.
        remark: why it is not the usual one; "" if it is.
    """

    classifier: Classifier
    way: str
    remark: str = ""

    def attribute(self, text: str, column: int) -> Attributed:
        """What each word of a text, as far as it is read, adds to the score of a label."""
        if self.way == EXACT:
            return contribute(cast(TfidfClassifier, self.classifier), text, column)
        if self.way == GRADIENTS:
            return integrate(cast(TransformerClassifier, self.classifier), text, column)
        return occlude(self.classifier, text, column)

    def read(self, text: str) -> Span:
        """The part of a text that the classifier reads."""
        if isinstance(self.classifier, TransformerClassifier):
            return seen_span(self.classifier.tokenizer, self.classifier.max_length, text)
        if isinstance(self.classifier, ProbeClassifier):
            encoder = self.classifier.encoder
            return seen_span(encoder.tokenizer, encoder.max_length, text)
        return 0, len(text)


def choose_way(classifier: Classifier, way: str = "auto") -> Explainer:
    """The classifier with the way asked for, or with its own; see `explain` for what it raises."""
    if way not in get_args(Way):
        raise RecipeError(f"{way!r} is no way to explain; use {', '.join(get_args(Way))}")
    if way in ("auto", "exact") and isinstance(classifier, TfidfClassifier):
        return Explainer(classifier, EXACT)
    if way == "exact":
        raise RecipeError("exact contributions are for tfidf models; leave --way out")
    if way == "occlusion" or (way == "auto" and not isinstance(classifier, TransformerClassifier)):
        return Explainer(classifier, OCCLUSION)
    if not (reason := unsuited(classifier)):
        return Explainer(classifier, GRADIENTS)
    if way == "gradients":
        raise RecipeError(f"there are no integrated gradients: {reason}; use --way occlusion")
    return Explainer(classifier, OCCLUSION, f"no integrated gradients: {reason}")


TOP_SHARE: Final = 0.2
"""Share of the words that are removed to see whether the attributions hold."""
RANDOM_CHOICES: Final = 10
_AT_A_TIME: Final = 256


@dataclass(frozen=True)
class Word:
    """A word of a text.

    Attributes:
        text: the word as it stands there.
        start: its first character in the text, from 0.
        end: the character after its last.
        attribution: what it adds to the log-odds of the label; negative where it speaks against
            it. See `Explanation.way`.
    """

    text: str
    start: int
    end: int
    attribution: float


@dataclass(frozen=True)
class Explanation:
    """Why a text gets a label, or does not.

    Attributes:
        text: the whole text.
        label: the label that is explained.
        probability: of the label.
        predicted: the labels that the text gets.
        way: "integrated gradients", "exact contributions" or "occlusion".
        words: those that the model reads, in their order.
        unread: words after those, where the model cuts the text.
        score: what is explained: the log-odds of the label. For exact contributions with more
            than two labels, its logit less the mean of the others.
        base: the score without any word, which the attributions come on top of; None for
            occlusion, where each is the fall of the score without that word.
        lost_top: probability of the label that is lost when the words with the highest attributions
            are removed.
        lost_random: the same for as many random words, the mean over ten choices.
        removed: how many words were removed, a fifth of them and at least one.
        remark: why it was not done in the usual way; "" if it was.
    """

    text: str
    label: str
    probability: float
    predicted: tuple[str, ...]
    way: str
    words: tuple[Word, ...]
    unread: int
    score: float
    base: float | None
    lost_top: float
    lost_random: float
    removed: int
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Explanation:
        """The inverse of `to_json`."""
        words = tuple(Word(**word) for word in values["words"])
        return cls(**{**values, "words": words, "predicted": tuple(values["predicted"])})


@dataclass(frozen=True)
class ClassWords:
    """The words that speak for each label, strongest first.

    Attributes:
        method: kind of the classifier, such as "tfidf".
        way: how the attributions were made; see `Explanation`.
        texts: texts that they are of.
        words: label to its words in lower case, each with its mean attribution over the texts in
            which it occurs, where all of its occurrences count together, and their number.
    """

    method: str
    way: str
    texts: int
    words: Mapping[str, tuple[tuple[str, float, int], ...]]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ClassWords:
        """The inverse of `to_json`."""
        words = {
            label: tuple((str(word), float(mean), int(texts)) for word, mean, texts in rows)
            for label, rows in values["words"].items()
        }
        return cls(str(values["method"]), str(values["way"]), int(values["texts"]), words)


@overload
def explain(  # type: ignore[overload-overlap]
    classifier: Classifier, texts: str, label: str | None = None, way: Way = "auto", seed: int = 0
) -> Explanation: ...


@overload
def explain(
    classifier: Classifier,
    texts: Sequence[str],
    label: str | None = None,
    way: Way = "auto",
    seed: int = 0,
) -> list[Explanation]: ...


def explain(
    classifier: Classifier,
    texts: str | Sequence[str],
    label: str | None = None,
    way: Way = "auto",
    seed: int = 0,
) -> Explanation | list[Explanation]:
    """Say what each word of a text adds to a label, with a check of whether that holds.

    The check removes the words with the highest attributions, and as many random ones: if the
    attributions are faithful to the model, the first costs the label more probability
    (DeYoung et al. 2020, ERASER, "comprehensiveness").

    Args:
        classifier: any rung.
        texts: one text or several.
        label: the label to explain; None (the default) for that which each text gets, the
            likeliest where a text can have several.
        way: "gradients" (integrated gradients; transformers), "exact" (contributions; TF-IDF),
            "occlusion" (leaving out one word at a time; anything), or "auto" (the default) for
            the first of these that the classifier has.
        seed: seed of the random words, 0 by default.

    Returns:
        an explanation, or one for each text.

    Raises:
        UnknownNameError: the classifier has no such label.
        RecipeError: the classifier cannot be explained in that way.
        MissingExtraError: integrated gradients, and captum is not installed.
    """
    several = [texts] if isinstance(texts, str) else texts
    found = list(explanations(choose_way(classifier, way), several, label, seed))
    return found[0] if isinstance(texts, str) else found


def explanations(
    explainer: Explainer,
    texts: Sequence[str],
    label: str | None = None,
    seed: int = 0,
    progress: Callable[[ProgressEvent], None] = silent,
) -> Iterator[Explanation]:
    """Explain text after text; see `explain`."""
    classifier, scheme = explainer.classifier, explainer.classifier.scheme
    if label is not None and label not in scheme.index:
        raise UnknownNameError("label", label, scheme.names)
    for part in batches_of(len(texts), _AT_A_TIME):
        probabilities = classifier.predict_proba(texts[part])
        given = scheme.decode(classifier.decision.labels(probabilities, scheme.multilabel))
        for number, (text, labels) in enumerate(zip(texts[part], given, strict=True)):
            predicted = tuple(labels) if scheme.multilabel else (labels,)
            own = label
            if own is None:
                likeliest = scheme.names[int(probabilities[number].argmax())]
                own = likeliest if scheme.multilabel else labels
            column = scheme.index[own]
            asked = partial(_explained, explainer, text, column, seed)
            yield asked(float(probabilities[number, column]), predicted)
            progress(ProgressEvent("explaining", part.start + number + 1, len(texts)))


def _explained(
    explainer: Explainer,
    text: str,
    column: int,
    seed: int,
    probability: float,
    predicted: tuple[str, ...],
) -> Explanation:
    start, end = explainer.read(text)
    found = explainer.attribute(text[start:end], column)
    places = [(first + start, stop + start) for first, stop in found.words]
    removed, lost_top, lost_random = _lost(explainer, text[start:end], found, column, seed)
    words = [
        Word(text[first:stop], first, stop, float(value))
        for (first, stop), value in zip(places, found.values, strict=True)
    ]
    return Explanation(
        text=text,
        label=explainer.classifier.scheme.names[column],
        probability=probability,
        predicted=predicted,
        way=explainer.way,
        words=tuple(words),
        unread=len(word_spans(text[:start])) + len(word_spans(text[end:])),
        score=found.score,
        base=found.base,
        lost_top=lost_top,
        lost_random=lost_random,
        removed=removed,
        remark=explainer.remark,
    )


def _lost(
    explainer: Explainer, text: str, found: Attributed, column: int, seed: int
) -> tuple[int, float, float]:
    """Words removed, the probability lost without the top ones, and without random ones."""
    n = len(found.words)
    if not n:
        return 0, 0.0, 0.0
    count = max(1, round(TOP_SHARE * n))
    generator = np.random.default_rng(seed)
    choices = [np.argsort(-found.values, kind="stable")[:count]]
    choices += [generator.choice(n, count, replace=False) for _ in range(RANDOM_CHOICES)]
    variants = [text, *(without(text, found.words, map(int, choice)) for choice in choices)]
    own, top, *others = explainer.classifier.predict_proba(variants)[:, column].tolist()
    return count, own - top, float(np.mean([own - other for other in others]))
