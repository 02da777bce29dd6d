"""How much each word of a text adds to the score of a label, by three attribution methods.

Exact contributions of a logistic regression on TF-IDF, integrated gradients of transformers
(Sundararajan, Taly and Yan 2017, library captum), and occlusion for every other classifier.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.contracts import Classifier, batches_of
from finetext.core.errors import MissingExtraError
from finetext.encoders.words import Span, distribute, without, word_spans
from finetext.methods.tfidf import TOKENS, TfidfClassifier
from finetext.methods.transformer import TransformerClassifier
from finetext.training.batches import positions_a_batch
from finetext.training.tokens import encoded_as_read, tokenize

_CLIP: Final = 1e-12
"""Distance of probabilities from 0 and 1 in log-odds."""
MOST_OCCLUSIONS: Final = 500
"""Predictions for the occlusion of one text; each reads the whole text."""
_TOKEN: Final = re.compile(TOKENS)
_BATCH: Final = 1_000
_STEPS: Final = 16
"""Points of integrated gradients on each segment of the path."""
_MOST_SEGMENTS: Final = 48
_TOLERANCE: Final = 0.02
"""Share of the change in score that the attributions may miss."""
_LEAST_GAP: Final = 0.01
"""Log-odds that the attributions may miss in any case."""


@dataclass(frozen=True, eq=False)
class Attributions:
    """The n words of a text, the (n,) values they add to its score, and the score without them."""

    words: Sequence[Span]
    values: Floats
    score: float
    base: float | None = None


def occlude(classifier: Classifier, text: str, column: int) -> Attributions:
    """Return how much the log-odds of a label lose without each word, one prediction a word.

    In a text of more than `MOST_OCCLUSIONS` words neighbors are left out together.
    """
    words = word_spans(text)
    groups = np.array_split(np.arange(len(words)), min(MOST_OCCLUSIONS, max(1, len(words))))
    variants = [text, *(without(text, words, group.tolist()) for group in groups)]
    probabilities = np.clip(classifier.predict_proba(variants)[:, column], _CLIP, 1 - _CLIP)
    scores = np.log(probabilities) - np.log1p(-probabilities)
    sizes = [len(group) for group in groups]
    lost = np.repeat((scores[0] - scores[1:]) / np.maximum(sizes, 1), sizes)
    return Attributions(words, lost, float(scores[0]))


def contribute(classifier: TfidfClassifier, text: str, column: int) -> Attributions:
    """Return the exact contributions to one label; with the intercept they sum to its score."""
    [(words, values)] = contributions(classifier, [text])
    own = values[:, column]
    base = (_margins(classifier) @ classifier.head.bias)[column]
    return Attributions(words, own, float(base + own.sum()), float(base))


def contributions(
    classifier: TfidfClassifier, texts: Sequence[str]
) -> Iterator[tuple[list[Span], Floats]]:
    """Yield the n words of each text and what each adds to the k scores, (n, k)."""
    weights = np.ascontiguousarray((_margins(classifier) @ classifier.head.weights).T)
    for part in batches_of(len(texts), _BATCH):
        rows = classifier.vectorizer.transform(texts[part])
        for text, start, end in zip(texts[part], rows.indptr, rows.indptr[1:], strict=False):
            features = rows.indices[start:end], rows.data[start:end]
            yield _contributions_by_word(classifier, text, features, weights)


def _contributions_by_word(
    classifier: TfidfClassifier, text: str, features: tuple[Integers, Floats], weights: Floats
) -> tuple[list[Span], Floats]:
    """Return the words of a text and what its n-grams, by columns and values, add to each."""
    lowered, origin = text.lower(), list(range(len(text)))
    if len(lowered) != len(text):
        origin = [place for place, letter in enumerate(text) for _ in letter.lower()]
    matches = list(_TOKEN.finditer(lowered))
    places = [(origin[match.start()], origin[match.end() - 1] + 1) for match in matches]
    tokens, known = [match[0] for match in matches], classifier.vectorizer.vocabulary_
    found = [
        (start, start + length, int(known[ngram]))
        for length in range(1, classifier.vectorizer.ngram_range[1] + 1)
        for start in range(len(tokens) - length + 1)
        if (ngram := " ".join(tokens[start : start + length])) in known
    ]
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


def _margins(classifier: TfidfClassifier) -> Floats:
    """Return the (k, k) matrix from logits to the scores that are explained."""
    labels = len(classifier.scheme)
    if classifier.scheme.multilabel or labels < 2:
        return np.eye(labels)
    return (np.eye(labels) * labels - 1) / (labels - 1)


def lacks_gradients(classifier: Classifier) -> str:
    """Return why integrated gradients cannot explain a classifier; "" if they can."""
    import torch

    if not isinstance(classifier, TransformerClassifier):
        return "it is not a transformer"
    name = type(classifier.model).__name__
    if not classifier.tokenizer.is_fast:
        return f"the tokenizer of {name} does not map its tokens to characters"
    inputs, shapes = _inputs(classifier, "a text"), []
    embedding = classifier.model.get_input_embeddings()
    seen = embedding.register_forward_hook(lambda _, given, output: shapes.append(output.shape))
    with torch.inference_mode(), seen:
        classifier.model(**inputs)
    if len(shapes) != 1:
        return f"{name} embeds a text {len(shapes)} times"
    return "" if shapes[0][:-1] == inputs["input_ids"].shape else f"{name} rearranges its input"


def integrate(classifier: TransformerClassifier, text: str, column: int) -> Attributions:
    """Return integrated gradients of the log-odds of a label, summed over each word's tokens."""
    import torch

    model, inputs = classifier.model.eval(), _inputs(classifier, text)
    names, parts = list(inputs), tuple(inputs.values())
    layer = model.get_input_embeddings()
    multilabel = classifier.scheme.multilabel

    def score(embedded: Any, *given: Any) -> Any:
        with layer.register_forward_hook(lambda _, given, output: embedded):
            logits = model(**dict(zip(names, given, strict=True))).logits.float()
        own = logits[:, column]
        others = torch.cat([logits[:, :column], logits[:, column + 1 :]], dim=1)
        return own if multilabel or not others.shape[1] else own - torch.logsumexp(others, dim=1)

    masked, places = _masked(classifier, text, inputs["input_ids"])
    with torch.no_grad():
        start, end = layer(masked), layer(inputs["input_ids"])
        base, own = (float(score(embedded, *parts)) for embedded in (start, end))
    size = max(1, positions_a_batch(model.device) // start.shape[1])
    values = _integrated(score, (start, end), parts, size, own - base)
    words = word_spans(text, cuts={place for place, _ in places.values()})
    shared = distribute(values[list(places)], list(places.values()), words)
    return Attributions(words, shared, own, base)


def _integrated(
    score: Any, ends: tuple[Any, Any], parts: tuple[Any, ...], size: int, change: float
) -> Any:
    """Return (length,) attributions of the tokens, halving the segment that misses most."""
    try:
        from captum.attr import IntegratedGradients
    except ModuleNotFoundError:
        raise MissingExtraError("explaining by integrated gradients", "captum", "explain") from None
    gradients = IntegratedGradients(score)

    def segment(start: float, stop: float) -> tuple[float, float, float, Any]:
        """Return what the attributions of a segment miss, its ends as shares, and them."""
        low, high = (ends[0] + share * (ends[1] - ends[0]) for share in (start, stop))
        found, gap = gradients.attribute(
            high, baselines=low, additional_forward_args=parts, n_steps=_STEPS,
            internal_batch_size=size, return_convergence_delta=True,
        )  # fmt: skip
        values = found.detach().sum(dim=2)[0].double().cpu().numpy()
        return abs(float(gap)), start, stop, values

    path = [segment(0.0, 1.0)]
    allowed = max(_LEAST_GAP, _TOLERANCE * abs(change))
    while sum(gap for gap, *_ in path) > allowed and len(path) < _MOST_SEGMENTS:
        _, start, stop, _ = path.pop(int(np.argmax([gap for gap, *_ in path])))
        middle = (start + stop) / 2
        path += [segment(start, middle), segment(middle, stop)]
    return np.sum([values for *_, values in path], axis=0)


def _inputs(classifier: TransformerClassifier, text: str) -> dict[str, Any]:
    """Return the model's input for one text: tensors of shape (1, length) by name."""
    table = tokenize(classifier.tokenizer, [text], classifier.max_length)
    batch = table.batch(np.zeros(1, dtype=np.int64))
    return {name: part.to(classifier.model.device) for name, part in batch.items()}


def _masked(classifier: TransformerClassifier, text: str, ids: Any) -> tuple[Any, dict[int, Span]]:
    """Return the ids with all but special tokens masked (or padding), and the masked spans."""
    tokenizer = classifier.tokenizer
    encoded = encoded_as_read(
        tokenizer, text, classifier.max_length,
        return_offsets_mapping=True, return_special_tokens_mask=True,
    )  # fmt: skip
    blank = tokenizer.mask_token_id
    blank = tokenizer.pad_token_id if blank is None else blank
    masked, places = ids.clone(), {}
    for number, special in enumerate(encoded["special_tokens_mask"]):
        if not special:
            masked[0, number] = blank
            start, end = encoded["offset_mapping"][number]
            token = text[start:end]
            places[number] = start + len(token) - len(token.lstrip()), end
    return masked, places
