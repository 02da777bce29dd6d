"""Leaving out what a classification head never reads.

The heads of the BERT family read the state of the first token alone. So in the last layer the
output of the attention, the feed-forward block and both normalisations are needed for that token
only: the logits are the same, for an eighth less arithmetic in an encoder of six layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

HEADS_ON_THE_FIRST_TOKEN: Final = frozenset({
    "BertForSequenceClassification",
    "CamembertForSequenceClassification",
    "ElectraForSequenceClassification",
    "RobertaForSequenceClassification",
    "XLMRobertaForSequenceClassification",
    "XLMRobertaXLForSequenceClassification",
})  # fmt: skip
"""Models of transformers whose encoder has `layer[-1].attention.output(states, residual)`."""


@contextmanager
def only_first_token(model: Any) -> Iterator[None]:
    """While the body runs, the last layer of the model works for the first token alone.

    A model of another kind works as ever.

    Args:
        model: a transformers model with a classification head; texts are padded on the right.
    """
    layer = _last_layer(model)
    if layer is None:
        yield
        return
    hook = layer.attention.output.register_forward_pre_hook(_first_of_each)
    try:
        yield
    finally:
        hook.remove()


def _last_layer(model: Any) -> Any | None:
    bare = getattr(model, "module", model)
    if type(bare).__name__ not in HEADS_ON_THE_FIRST_TOKEN:
        return None
    return bare.base_model.encoder.layer[-1]


def _first_of_each(module: Any, states: tuple[Any, Any]) -> tuple[Any, Any]:
    """The attention's output and its residual, (rows, tokens, width) each, cut to one token."""
    output, residual = states
    return output[:, :1], residual[:, :1]
