"""Integrated gradients of transformers (Sundararajan, Taly and Yan 2017), by captum.

The path goes from a text whose pieces are all masked to the text itself, in the space of the word
embeddings; special pieces, positions and the attention mask stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from finetext.core.contracts import Classifier
from finetext.core.errors import MissingExtraError
from finetext.diagnosis.attributions import Attributed, log_odds_of_logits
from finetext.encoders.words import Span, distribute, word_spans
from finetext.methods.finetune import TransformerClassifier
from finetext.training.batches import positions_a_batch
from finetext.training.tokens import encodable, tokenize

STEPS: Final = 16
"""Points on the path, or on each stretch of it."""
MOST_STRETCHES: Final = 48
TOLERANCE: Final = 0.02
"""Share of the change in score that the attributions may miss."""
LEAST_GAP: Final = 0.01
"""What they may miss of the log-odds in any case."""


def unsuited(classifier: Classifier) -> str:
    """Why a classifier has no integrated gradients by word; "" if it has them."""
    if not isinstance(classifier, TransformerClassifier):
        return "it is no transformer"
    name = type(classifier.model).__name__
    if not classifier.tokenizer.is_fast:
        return f"the tokenizer of {name} does not tell which characters its pieces stand for"
    inputs = _inputs(classifier, "a text")
    if len(shapes := _embedded(classifier.model, inputs)) != 1:
        return f"{name} embeds a text {len(shapes)} times"
    return "" if shapes[0][:-1] == inputs["input_ids"].shape else f"{name} rearranges its input"


def integrate(classifier: TransformerClassifier, text: str, column: int) -> Attributed:
    """Integrated gradients of the log-odds of a label, summed over the pieces of each word.

    Args:
        classifier: one that is not `unsuited`.
        text: what the classifier reads of a text.
        column: the label that is explained.

    Returns:
        attributions that sum to the score of the text less that of masked pieces, but for what
        the tolerance leaves.

    Raises:
        MissingExtraError: captum is not installed.
    """
    import torch

    model, inputs = classifier.model.eval(), _inputs(classifier, text)
    names, parts = list(inputs), tuple(inputs.values())
    layer = model.get_input_embeddings()
    several = classifier.scheme.multilabel

    def score(embedded: Any, *given: Any) -> Any:
        with _replaced(layer, embedded):
            logits = model(**dict(zip(names, given, strict=True))).logits
        return log_odds_of_logits(logits.float(), column, several)

    masked, places = _masked(classifier, text, inputs["input_ids"])
    with torch.no_grad():
        start, end = layer(masked), layer(inputs["input_ids"])
        base, own = (float(score(embedded, *parts)) for embedded in (start, end))
    size = max(1, positions_a_batch(model.device) // start.shape[1])
    values = _converged(score, (start, end), parts, size, own - base)
    words = word_spans(text, cuts={place for place, _ in places.values()})
    shared = distribute(values[list(places)], list(places.values()), words)
    return Attributed(words, shared, own, base)


@dataclass(frozen=True, eq=False)
class _Stretch:
    """A stretch of the path, from one share of it to another.

    Attributes:
        start: share of the path, from 0.
        stop: share of the path, to 1.
        values: (length,) attributions of the pieces.
        gap: what these miss of the change in score.
    """

    start: float
    stop: float
    values: Any
    gap: float


def _converged(
    score: Any, ends: tuple[Any, Any], parts: tuple[Any, ...], size: int, change: float
) -> Any:
    """(length,) attributions of the pieces; the path is halved where they miss most.

    Gradients along a straight path add up, so a sudden turn of the model needs more points just
    where it is.
    """
    integrated = _captum()(score)

    def stretch(start: float, stop: float) -> _Stretch:
        low, high = (ends[0] + share * (ends[1] - ends[0]) for share in (start, stop))
        found, gap = integrated.attribute(
            high, baselines=low, additional_forward_args=parts, n_steps=STEPS,
            internal_batch_size=size, return_convergence_delta=True,
        )  # fmt: skip
        values = found.detach().sum(dim=2)[0].double().cpu().numpy()
        return _Stretch(start, stop, values, abs(float(gap)))

    path = [stretch(0.0, 1.0)]
    allowed = max(LEAST_GAP, TOLERANCE * abs(change))
    while sum(part.gap for part in path) > allowed and len(path) < MOST_STRETCHES:
        worst = path.pop(int(np.argmax([part.gap for part in path])))
        middle = (worst.start + worst.stop) / 2
        path += [stretch(worst.start, middle), stretch(middle, worst.stop)]
    return np.sum([part.values for part in path], axis=0)


def _captum() -> Any:
    try:
        from captum.attr import IntegratedGradients
    except ModuleNotFoundError:
        raise MissingExtraError("explaining by integrated gradients", "captum", "explain") from None
    return IntegratedGradients


def _inputs(classifier: TransformerClassifier, text: str) -> dict[str, Any]:
    """What the model is given for one text: tensors of shape (1, length) by name."""
    table = tokenize(classifier.tokenizer, [text], classifier.max_length)
    batch = table.batch(np.zeros(1, dtype=np.int64))
    return {name: part.to(classifier.model.device) for name, part in batch.items()}


def _masked(classifier: TransformerClassifier, text: str, ids: Any) -> tuple[Any, dict[int, Span]]:
    """The pieces with all but the special ones masked, and the characters of each that is.

    A tokenizer without a mask has padding in its place.
    """
    tokenizer = classifier.tokenizer
    encoded = tokenizer(
        encodable(text), truncation=True, max_length=classifier.max_length,
        return_offsets_mapping=True, return_special_tokens_mask=True,
    )  # fmt: skip
    blank = tokenizer.mask_token_id
    blank = tokenizer.pad_token_id if blank is None else blank
    masked, places = ids.clone(), {}
    for number, special in enumerate(encoded["special_tokens_mask"]):
        if not special:
            masked[0, number] = blank
            start, end = encoded["offset_mapping"][number]
            places[number] = start + _spaces(text[start:end]), end
    return masked, places


def _spaces(text: str) -> int:
    return len(text) - len(text.lstrip())


@contextmanager
def _replaced(layer: Any, embedded: Any) -> Iterator[None]:
    """While the body runs, the embedding gives what it is told."""
    hook = layer.register_forward_hook(lambda module, inputs, output: embedded)
    try:
        yield
    finally:
        hook.remove()


def _embedded(model: Any, inputs: dict[str, Any]) -> list[Any]:
    """The shape of what the word embedding gives each time that it is asked for one text."""
    import torch

    shapes: list[Any] = []
    hook = model.get_input_embeddings().register_forward_hook(
        lambda module, given, output: shapes.append(output.shape)
    )
    try:
        with torch.inference_mode():
            model(**inputs)
    finally:
        hook.remove()
    return shapes
