"""Why a classifier predicts a label: what each word adds, with a check of faithfulness."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args, overload

import numpy as np

from finetext.core import label_names
from finetext.core.arrays import Floats
from finetext.core.budget import within_memory
from finetext.core.contracts import Classifier, ProgressEvent, batches_of, silent
from finetext.core.display import ShownInNotebook
from finetext.core.errors import RecipeError, UnknownNameError
from finetext.diagnosis.attributions import (
    Attributions,
    contribute,
    contributions,
    integrate,
    lacks_gradients,
    occlude,
)
from finetext.diagnosis.reading import read_text
from finetext.encoders.words import Span, without
from finetext.methods.llm import LlmClassifier
from finetext.methods.tfidf import TfidfClassifier
from finetext.methods.transformer import TransformerClassifier
from finetext.storage.codec import Jsonable

AttributionMethod = Literal["auto", "gradients", "exact", "occlusion"]
GRADIENTS: Final = "integrated gradients"
EXACT: Final = "exact contributions"
OCCLUSION: Final = "occlusion"
TOP_SHARE: Final = 0.2
"""Share of the words that the faithfulness check removes."""
RANDOM_CHOICES: Final = 10
_BATCH: Final = 256
FEWEST_TEXTS: Final = 3
MOST_TEXTS: Final = 500
"""Texts that `class_words` explains where each is slow."""


@dataclass(frozen=True, eq=False)
class Explainer:
    """A classifier with its attribution method, and why that is not the usual one ("" if it is)."""

    classifier: Classifier
    way: str
    remark: str = ""

    def attribute(self, text: str, column: int) -> Attributions:
        """Return what each word of a text that fits the model adds to the score of a label."""
        if self.way == EXACT:
            return contribute(cast(TfidfClassifier, self.classifier), text, column)
        if self.way == GRADIENTS:
            return integrate(cast(TransformerClassifier, self.classifier), text, column)
        return occlude(self.classifier, text, column)


def choose_explainer(classifier: Classifier, way: str = "auto") -> Explainer:
    """Return the explainer for an attribution method; see `explain` for names and errors."""
    if way not in get_args(AttributionMethod):
        known = ", ".join(get_args(AttributionMethod))
        raise RecipeError(f"{way!r} is not an attribution method; use {known}")
    original = classifier.original
    if isinstance(original, LlmClassifier) and way == "auto":
        raise RecipeError(
            f"to explain a text, {original.endpoint.url} would be asked once for each word that "
            "is left out; --way occlusion does that"
        )
    if isinstance(original, TfidfClassifier) and way in ("auto", "exact"):
        return Explainer(original, EXACT)
    if way == "exact":
        raise RecipeError("exact contributions are for tfidf models; leave --way out")
    if way == "occlusion" or (way == "auto" and not isinstance(original, TransformerClassifier)):
        return Explainer(classifier, OCCLUSION)
    if not (reason := lacks_gradients(original)):
        return Explainer(original, GRADIENTS)
    if way == "gradients":
        raise RecipeError(f"no integrated gradients: {reason}; use --way occlusion")
    return Explainer(classifier, OCCLUSION, f"no integrated gradients: {reason}")


@dataclass(frozen=True)
class Word:
    """A word of a text, from character `start` up to `end`, and what it adds to the log-odds."""

    text: str
    start: int
    end: int
    attribution: float


@dataclass(frozen=True)
class Explanation(Jsonable, ShownInNotebook):
    """Why a text gets a label, or does not.

    Attributes:
        predicted: the labels that the text gets; none where the classifier abstains or the text
            belongs to no class (`out_of_scope`), and what is explained is the label it would get.
        way: "integrated gradients", "exact contributions" or "occlusion".
        words: the words that the model reads; `unread` is the number of those that it truncates.
        score: what is explained: the log-odds of the label. For exact contributions with more
            than two labels, its logit minus the mean of the others.
        base: the score without any word, so that base and attributions sum to the score; None for
            occlusion, where each is the fall of the score without that word.
        lost_top: probability of the label lost by removing the words with the highest attributions.
        lost_random: probability lost by removing as many random words, the mean of ten choices.
        removed: how many words were removed: a fifth, at least one.
        remark: why the usual method was not used; "" if it was.
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
    out_of_scope: bool = False

    @property
    def given(self) -> str:
        """The labels that the text gets, in words."""
        reason = " (out of scope)" if self.out_of_scope else ""
        return ", ".join(self.predicted) or f"no label{reason}"


@dataclass(frozen=True)
class ClassWords(Jsonable, ShownInNotebook):
    """The words that speak for each label, strongest first.

    `words` are label to its words in lower case, each with its mean attribution over the texts in
    which it occurs, where all of its occurrences count together, and their number.
    """

    method: str
    way: str
    texts: int
    words: Mapping[str, tuple[tuple[str, float, int], ...]]


@overload
def explain(  # type: ignore[overload-overlap]
    classifier: Classifier,
    texts: str,
    label: str | None = None,
    way: AttributionMethod = "auto",
    seed: int = 0,
) -> Explanation: ...


@overload
def explain(
    classifier: Classifier,
    texts: Sequence[str],
    label: str | None = None,
    way: AttributionMethod = "auto",
    seed: int = 0,
) -> list[Explanation]: ...


@within_memory
def explain(
    classifier: Classifier,
    texts: str | Sequence[str],
    label: str | None = None,
    way: AttributionMethod = "auto",
    seed: int = 0,
) -> Explanation | list[Explanation]:
    """Return what each word of a text adds to a label, with a check of faithfulness.

    The check removes the words with the highest attributions, and as many random ones: if the
    attributions are faithful to the model, the first costs the label more probability
    (DeYoung et al. 2020, ERASER, "comprehensiveness").

    Args:
        classifier: any classifier.
        texts: one text or several.
        label: the label to explain; by default the one that each text gets, or would get if the
            classifier did not abstain; the most probable in a multi-label scheme.
        way: attribution method: "gradients" (integrated gradients; transformers), "exact"
            (contributions; TF-IDF), "occlusion" (leaving out one word at a time, of more than 500
            a few neighbors at a time; anything), or "auto" (the default) for the first of these
            that the classifier supports.
        seed: seed of the random words.

    Raises:
        UnknownNameError: the classifier has no such label.
        RecipeError: the classifier does not support the attribution method.
        MissingExtraError: integrated gradients, and captum is not installed.
    """
    several = [texts] if isinstance(texts, str) else texts
    found = list(explanations(choose_explainer(classifier, way), several, label, seed))
    return found[0] if isinstance(texts, str) else found


def explanations(
    explainer: Explainer,
    texts: Sequence[str],
    label: str | None = None,
    seed: int = 0,
    progress: Callable[[ProgressEvent], None] = silent,
) -> Iterator[Explanation]:
    """Yield the explanation of each text; see `explain`."""
    classifier, scheme = explainer.classifier, explainer.classifier.scheme
    if label is not None:
        known = label_names.find(label, scheme.index)
        if known is None:
            raise UnknownNameError("label", label, scheme.names)
        label = known
    for part in batches_of(len(texts), _BATCH):
        probabilities = classifier.predict_proba(texts[part])
        rule = classifier.decision
        given = scheme.decode(rule.labels(probabilities, scheme.multilabel))
        refused = rule.out_of_scope(probabilities).tolist()
        mute = rule.abstains(probabilities).tolist() if rule.can_abstain else refused
        for number, (text, labels) in enumerate(zip(texts[part], given, strict=True)):
            own = label
            if own is None:
                likeliest = scheme.names[int(probabilities[number].argmax())]
                own = likeliest if scheme.multilabel else labels
            column = scheme.index[own]
            read = read_text(classifier, text)
            found = explainer.attribute(read.text, column)
            places = map(read.place, found.words)
            words = tuple(
                Word(text[first:stop], first, stop, value)
                for (first, stop), value in zip(places, found.values.tolist(), strict=True)
            )
            predicted = tuple(labels) if scheme.multilabel else () if mute[number] else (labels,)
            lost = _comprehensiveness(classifier, read.text, found, column, seed)
            yield Explanation(
                text, own, float(probabilities[number, column]), predicted, explainer.way, words,
                read.unread, found.score, found.base, *lost, explainer.remark, refused[number],
            )  # fmt: skip
            progress(ProgressEvent("explaining", part.start + number + 1, len(texts)))


def _comprehensiveness(
    classifier: Classifier, text: str, found: Attributions, column: int, seed: int
) -> tuple[float, float, int]:
    """Return the probability lost without the top words, without random ones, and their number."""
    n = len(found.words)
    if not n:
        return 0.0, 0.0, 0
    count = max(1, round(TOP_SHARE * n))
    generator = np.random.default_rng(seed)
    choices = [np.argsort(-found.values, kind="stable")[:count]]
    choices += [generator.choice(n, count, replace=False) for _ in range(RANDOM_CHOICES)]
    variants = [text, *(without(text, found.words, map(int, choice)) for choice in choices)]
    own, top, *others = classifier.predict_proba(variants)[:, column].tolist()
    return own - top, float(np.mean([own - other for other in others])), count


def class_words(
    classifier: Classifier | Explainer,
    texts: Sequence[str],
    way: AttributionMethod = "auto",
    count: int = 20,
    seed: int = 0,
    progress: Callable[[ProgressEvent], None] = silent,
) -> ClassWords:
    """Return the words that speak for each label, over many texts.

    For TF-IDF these are the contributions to every label, of all texts. Otherwise they are the
    attributions of the label that each text gets, of at most 500 texts drawn at random.

    The words of a label are the `count` with the highest mean attribution above 0 among those that
    occur in three texts or more. For the attribution method and errors see `finetext.explain`.
    """
    explainer = (
        classifier if isinstance(classifier, Explainer) else choose_explainer(classifier, way)
    )
    classifier = explainer.classifier
    if explainer.way != EXACT and len(texts) > MOST_TEXTS:
        drawn = np.random.default_rng(seed).choice(len(texts), MOST_TEXTS, replace=False)
        texts = [texts[row] for row in sorted(drawn)]
    found: dict[str, dict[str, list[float]]] = {
        name: defaultdict(list) for name in classifier.scheme.names
    }
    for number, (text, spans, by_label) in enumerate(_attributed(explainer, texts), start=1):
        for label, values in by_label.items():
            sums: dict[str, float] = defaultdict(float)
            for (first, stop), value in zip(spans, values.tolist(), strict=True):
                sums[text[first:stop].lower()] += value
            for word, total in sums.items():
                found[label][word].append(total)
        progress(ProgressEvent("explaining", number, len(texts)))
    words = {}
    for label, of_words in found.items():
        rows = [(word, sum(of) / len(of), len(of)) for word, of in of_words.items()]
        strong = [row for row in rows if row[2] >= FEWEST_TEXTS and row[1] > 0]
        words[label] = tuple(sorted(strong, key=lambda row: (-row[1], row[0]))[:count])
    return ClassWords(classifier.kind, explainer.way, len(texts), words)


def _attributed(
    explainer: Explainer, texts: Sequence[str]
) -> Iterator[tuple[str, Sequence[Span], dict[str, Floats]]]:
    """Yield what the classifier reads of each text, its words, and their attributions by label."""
    classifier, names = explainer.classifier, explainer.classifier.scheme.names
    if explainer.way == EXACT:
        exact = contributions(cast(TfidfClassifier, classifier), texts)
        for text, (words, values) in zip(texts, exact, strict=True):
            yield text, words, dict(zip(names, values.T, strict=True))
        return
    probabilities = classifier.predict_proba(texts)
    columns = probabilities.argmax(axis=1)
    if not classifier.scheme.multilabel:
        columns = classifier.decision.labels(probabilities, multilabel=False)
    for text, column in zip(texts, columns.tolist(), strict=True):
        read = read_text(classifier, text).text
        found = explainer.attribute(read, column)
        yield read, found.words, {names[column]: found.values}
