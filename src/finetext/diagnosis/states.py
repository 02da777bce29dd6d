"""What a classifier sees of each text, as a vector: the input of its last layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from finetext.encoders.load import load_encoder, load_tokenizer, longest_input
from finetext.encoders.states import FrozenEncoder
from finetext.methods.base import Classifier, FitContext, ProgressEvent, silent
from finetext.methods.finetune import TransformerClassifier
from finetext.methods.probe import ProbeClassifier
from finetext.methods.tfidf import TfidfClassifier
from finetext.training.batches import positions_a_batch, prediction_batches
from finetext.training.memory import in_parts
from finetext.training.precision import choose_device
from finetext.training.tokens import TokenTable, tokenise
from finetext.types import Floats, Integers

OTHERWISE = "minilm"
"""Whose frozen states are taken where a classifier has none."""


@dataclass(frozen=True, eq=False)
class States:
    """A vector for each text.

    Attributes:
        vectors: (n, d), dense or sparse.
        source: what they are, for people.
        cosine: whether texts are alike by the angle between their vectors, not by distance.
    """

    vectors: Any
    source: str
    cosine: bool = False


def states_of(
    classifier: Classifier,
    texts: Sequence[str],
    encoder: str | None = None,
    progress: Callable[[ProgressEvent], None] = silent,
) -> States:
    """The states of texts.

    Of a transformer the input of the layer that gives its logits; of a probe the states of its
    frozen encoder; of TF-IDF its features; of anything else the frozen states of `minilm`.

    Args:
        classifier: any rung.
        texts: n texts.
        encoder: alias, Hub name or folder of an encoder whose frozen states are taken instead.
        progress: told how many texts are done, where that takes long.

    Raises:
        ModelError: the encoder cannot be loaded.
    """
    if encoder is None and isinstance(classifier, TransformerClassifier):
        table = tokenise(classifier.tokenizer, texts, classifier.max_length)
        vectors = _inputs_of_last_layer(classifier.model, table, progress)
        return States(vectors, "fine-tuned states")
    context = FitContext(progress=progress)
    if encoder is None and isinstance(classifier, ProbeClassifier):
        found = classifier.encoder.states(texts, context)
        return States((found - classifier.mean) / classifier.scale, "frozen states of its encoder")
    if encoder is None and isinstance(classifier, TfidfClassifier):
        return States(classifier.vectorizer.transform(texts), "TF-IDF vectors", cosine=True)
    name = encoder or OTHERWISE
    tokenizer, device = load_tokenizer(name), choose_device("auto")
    model = load_encoder(name, tokenizer).to(device)
    frozen = FrozenEncoder(model, tokenizer, longest_input(name, None), device)
    return States(frozen.states(texts, context), f"frozen states of {name}", cosine=True)


def _inputs_of_last_layer(
    model: Any, table: TokenTable, progress: Callable[[ProgressEvent], None]
) -> Floats:
    """(n, d) what the last layer of n texts reads; the logits where there is no such layer."""
    import torch

    layers = [
        layer
        for layer in model.modules()
        if isinstance(layer, torch.nn.Linear) and layer.out_features == model.config.num_labels
    ]
    read: list[tuple[Any, Any]] = []
    hook = None
    if layers:
        hook = layers[-1].register_forward_hook(
            lambda layer, given, output: read.append((given[0], output))
        )
    found: dict[int, Any] = {}

    def forward(rows: Integers) -> None:
        read.clear()
        batch = {name: part.to(model.device) for name, part in table.batch(rows).items()}
        logits = model.eval()(**batch).logits
        states = _read_for(logits, *read[-1]) if read else logits
        found.update(zip(rows.tolist(), states.float().cpu().numpy(), strict=True))
        progress(ProgressEvent("map: states", len(found), len(table)))

    try:
        with torch.inference_mode():
            for rows in prediction_batches(table.lengths, positions_a_batch(model.device)):
                in_parts(forward, rows)
    finally:
        if hook is not None:
            hook.remove()
    return np.array([found[row] for row in range(len(table))], dtype=np.float64)


def _read_for(logits: Any, states: Any, outputs: Any) -> Any:
    """(n, d) of what a layer read, (n, d) or (n, length, d), that which became the logits."""
    import torch

    if states.ndim == 2:
        return states
    place = (outputs - logits[:, None]).abs().sum(dim=2).argmin(dim=1)
    return states[torch.arange(len(states), device=states.device), place]
