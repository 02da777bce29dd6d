"""The transformer encoder of the original paper, for weights that other programs trained.

Vaswani et al. 2017, "Attention Is All You Need", section 3: embeddings times the square root of the
width, sinusoids for the positions, and layers that normalize after each residual sum. BERT differs
(it normalizes its embeddings, too), so such weights do not fit it. `convert` writes its folders.
"""

from __future__ import annotations

import math
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    SequenceClassifierOutput,
)

Activation = Literal["relu", "gelu", "gelu-tanh", "silu"]
Positions = Literal["sinusoidal", "learned", "none"]
ACTIVATIONS: Final[dict[str, Any]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "gelu-tanh": lambda: nn.GELU("tanh"),
    "silu": nn.SiLU,
}
"""By name; `gelu-tanh` is what JAX calls gelu."""
LONGEST_WAVE: Final = 10_000


class TransformerConfig(PreTrainedConfig):
    """Sizes and choices of an encoder; dropout is that of training, as in the paper."""

    model_type = "finetext-transformer"

    vocab_size: int = 25_000
    hidden_size: int = 128
    num_hidden_layers: int = 6
    num_attention_heads: int = 8
    intermediate_size: int = 256
    max_position_embeddings: int = 512
    positions: str = "sinusoidal"
    activation: str = "relu"
    scale_embedding: bool = True
    layer_norm_eps: float = 1e-5
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    pad_token_id: int | None = 0
    tie_word_embeddings: bool = False


class Attention(nn.Module):
    """Scaled dot-product attention with several heads."""

    def __init__(self, config: TransformerConfig) -> None:
        """Allocate the four linear layers."""
        super().__init__()
        width = config.hidden_size
        self.heads, self.dropout = config.num_attention_heads, config.attention_dropout
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.output = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """Return (b, t, width) for the same; the mask fits (b, heads, t, t)."""
        query, key, value = (
            layer(values).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        found = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=self.dropout if self.training else 0.0
        )
        return self.output(found.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, config: TransformerConfig) -> None:
        """Allocate the layers."""
        super().__init__()
        self.up = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACTIVATIONS[config.activation]()
        self.down = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, values: Tensor) -> Tensor:
        """Return (b, t, width) for the same."""
        return self.down(self.activation(self.up(values)))  # type: ignore[no-any-return]


class TransformerLayer(nn.Module):
    """Attention and a feed-forward network, each added to its input and then normalized."""

    def __init__(self, config: TransformerConfig) -> None:
        """Allocate the parts."""
        super().__init__()
        self.attention, self.attention_norm = Attention(config), _norm(config)
        self.feed_forward, self.feed_forward_norm = FeedForward(config), _norm(config)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """Return (b, t, width) for the same."""
        values = self.attention_norm(values + self.dropout(self.attention(values, mask)))
        return self.feed_forward_norm(  # type: ignore[no-any-return]
            values + self.dropout(self.feed_forward(values))
        )


class Transform(nn.Module):
    """The last layer before the outputs, alike for masked tokens and for classes."""

    def __init__(self, config: TransformerConfig) -> None:
        """Allocate a linear layer, an activation and a normalization."""
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACTIVATIONS[config.activation]()
        self.norm = _norm(config)

    def forward(self, values: Tensor) -> Tensor:
        """Return (..., width) for the same."""
        return self.norm(self.activation(self.dense(values)))  # type: ignore[no-any-return]


def _norm(config: TransformerConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.hidden_size, config.layer_norm_eps)


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Return (..., width) sines and cosines in turn, from short waves to long ones."""
    steps = torch.arange(0, width, 2, device=positions.device, dtype=torch.float32)
    angles = positions.unsqueeze(-1) * torch.exp(steps * (-math.log(LONGEST_WAVE) / width))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)[..., :width]


class TransformerPreTrained(PreTrainedModel):
    """Base of the three models."""

    config_class = TransformerConfig
    base_model_prefix = "encoder"
    _input_embed_layer = "embedding"
    _no_split_modules = ["TransformerLayer"]  # noqa: RUF012 (required by transformers)
    _supports_sdpa = True


class TransformerModel(TransformerPreTrained):
    """The embedding and the layers."""

    def __init__(self, config: TransformerConfig) -> None:
        """Build the layers."""
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        if config.positions == "learned":
            self.positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(config) for _ in range(config.num_hidden_layers)
        )
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> BaseModelOutput:
        """Read (b, t) tokens; the mask is (b, t) of 1 and 0, or (b, 1, t, t) to be added."""
        if attention_mask is not None and attention_mask.dim() == 2:
            attention_mask = attention_mask[:, None, None, :].to(torch.bool)
        values = self.dropout(self._embed(input_ids, position_ids))
        hidden = [values]
        for layer in self.layers:
            values = layer(values, attention_mask)
            hidden.append(values)
        return BaseModelOutput(values, tuple(hidden) if output_hidden_states else None)

    def _embed(self, input_ids: Tensor, position_ids: Tensor | None) -> Tensor:
        """(b, t, width) embeddings of tokens and positions, counted from 0."""
        values: Tensor = self.embedding(input_ids)
        if self.config.scale_embedding:
            values = values * math.sqrt(self.config.hidden_size)
        if self.config.positions == "none":
            return values
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1], device=input_ids.device).unsqueeze(0)
        if self.config.positions == "learned":
            places: Tensor = self.positions(position_ids)
        else:
            places = sinusoids(position_ids, self.config.hidden_size).to(values.dtype)
        return values + places


class TransformerForMaskedLM(TransformerPreTrained):
    """The language model, which predicts masked tokens."""

    _tied_weights_keys = {"output.weight": "encoder.embedding.weight"}  # noqa: RUF012

    def __init__(self, config: TransformerConfig) -> None:
        """Build the encoder and an output layer, tied to the embedding if the configuration is."""
        super().__init__(config)
        self.encoder = TransformerModel(config)
        self.head = Transform(config)
        self.output = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()  # type: ignore[no-untyped-call]

    def get_output_embeddings(self) -> nn.Linear:
        """Return the output layer."""
        return self.output

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the output layer."""
        self.output = new_embeddings

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> MaskedLMOutput:
        """Return (b, t, v) logits; (b, t) labels of -100 are ignored."""
        states = self.encoder(input_ids, attention_mask, position_ids).last_hidden_state
        logits = self.output(self.head(states))
        loss = None
        if labels is not None:
            loss = functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())
        return MaskedLMOutput(loss, logits)


class TransformerForSequenceClassification(TransformerPreTrained):
    """A classifier that reads the state of the first token."""

    def __init__(self, config: TransformerConfig) -> None:
        """Build the encoder and a head of `config.num_labels` outputs."""
        super().__init__(config)
        self.encoder = TransformerModel(config)
        self.head = Transform(config)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels or 2)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None
    ) -> SequenceClassifierOutput:
        """Return (b, k) logits of (b, t) tokens, padded on the right; labels as in `heads`."""
        states = self.encoder(input_ids, attention_mask).last_hidden_state
        logits = self.classifier(self.dropout(self.head(states[:, 0])))
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(loss=loss, logits=logits)
