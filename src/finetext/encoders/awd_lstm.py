"""AWD-LSTM: a recurrent language model, and a classifier on top of it.

Merity, Keskar and Socher 2018, "Regularizing and Optimizing LSTM Language Models"; the classifier
and its dropouts are those of ULMFiT (Howard and Ruder 2018). Five kinds of dropout regularize the
LSTM layers: on whole words of the vocabulary, on the input of the first layer and between layers
(one mask for all tokens of a text), on the output of the last layer, and on the recurrent weights.

The models keep no state between two calls: to continue a text, pass the `state` of the last call.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedConfig, PreTrainedModel, initialization
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils.generic import ModelOutput

from finetext.encoders.heads import HEAD_WIDTH, Standardized, concat_pooled

State = tuple[tuple[Tensor, Tensor], ...]
"""Hidden and cell state of each layer after the last token, each (1, b, width)."""
EMBEDDING_RANGE: Final = 0.1
"""Initial embeddings are uniform between minus and plus this."""


class AwdLstmConfig(PreTrainedConfig):
    """Sizes and dropout probabilities of an AWD-LSTM; defaults are the published English model.

    `embedding_size` is also the width of the last layer, `inner_size` that of all others. Gradients
    flow back over `bptt` tokens. The two regularization weights multiply the mean square of the
    outputs, and of their differences from token to token, in the loss on a stream.
    """

    model_type = "awd_lstm"
    attribute_map = {"hidden_size": "embedding_size"}  # noqa: RUF012 (required by transformers)

    vocab_size: int = 60_000
    embedding_size: int = 400
    inner_size: int = 1152
    num_hidden_layers: int = 3
    embedding_dropout: float = 0.02
    input_dropout: float = 0.25
    weight_dropout: float = 0.2
    hidden_dropout: float = 0.15
    output_dropout: float = 0.1
    classifier_embedding_dropout: float = 0.05
    classifier_input_dropout: float = 0.4
    classifier_weight_dropout: float = 0.5
    classifier_hidden_dropout: float = 0.3
    classifier_output_dropout: float = 0.4
    classifier_head_dropout: float = 0.1
    bptt: int = 72
    activation_regularisation: float = 2.0
    temporal_activation_regularisation: float = 1.0
    unk_token_id: int = 0
    pad_token_id: int | None = 1
    bos_token_id: int | None = 2
    eos_token_id: int | None = None
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        """Set the fields above; other values are those of every configuration (`id2label`, ...)."""
        for name in AwdLstmConfig.__annotations__:
            setattr(self, name, values.pop(name, getattr(AwdLstmConfig, name)))
        super().__init__(**values)


class AwdLstmLayer(nn.Module):
    """An LSTM layer whose recurrent weights get a new dropout mask in every call."""

    def __init__(self, inputs: int, width: int, weight_dropout: float) -> None:
        """Allocate the weights; `AwdLstmPreTrained` initializes them."""
        super().__init__()
        self.width = width
        self.weight_dropout = weight_dropout
        self.weight_ih = nn.Parameter(torch.empty(4 * width, inputs))
        self.weight_hh = nn.Parameter(torch.empty(4 * width, width))
        self.bias_ih = nn.Parameter(torch.empty(4 * width))
        self.bias_hh = nn.Parameter(torch.empty(4 * width))

    def forward(
        self, values: Tensor, state: tuple[Tensor, Tensor] | None, bptt: int | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return (b, t, width) outputs and the final state for (b, t, inputs) values."""
        zeros = values.new_zeros(1, values.shape[0], self.width)
        hidden, cell = (zeros, zeros) if state is None else state
        recurrent = functional.dropout(self.weight_hh, self.weight_dropout, self.training)
        weights = (self.weight_ih, recurrent, self.bias_ih, self.bias_hh)
        length = bptt if torch.is_grad_enabled() else None
        outputs: list[Tensor] = []
        for part in (values,) if length is None else torch.split(values, length, dim=1):
            if outputs:
                hidden, cell = hidden.detach(), cell.detach()
            with warnings.catch_warnings():
                if values.is_cuda:  # dropped weights never are one block of memory
                    warnings.filterwarnings("ignore", message="RNN module weights are not part of")
                options = (True, 1, 0.0, torch.is_grad_enabled(), False, True)
                output, hidden, cell = torch._VF.lstm(part, (hidden, cell), weights, *options)
            outputs.append(output)
        return (outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)), (hidden, cell)


def variational_dropout(values: Tensor, share: float, training: bool) -> Tensor:
    """Drop the same features of all tokens of (b, t, width) values (Gal and Ghahramani 2016)."""
    if not training or not share:
        return values
    return values * functional.dropout(values.new_ones(values.shape[0], 1, values.shape[2]), share)


@dataclass
class AwdLstmOutput(ModelOutput):
    """(b, t, hidden size) outputs of the last layer before dropout, and the final state.

    `hidden_states` are the embeddings and the outputs of all layers, if asked for.
    """

    last_hidden_state: Tensor | None = None
    state: State | None = None
    hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class AwdLstmCausalOutput(ModelOutput):
    """Mean loss if there are labels, (b, t, v) logits of the next tokens, and the final state."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    state: State | None = None
    outputs_raw: Tensor | None = None
    outputs_dropped: Tensor | None = None


class AwdLstmPreTrained(PreTrainedModel):
    """Base of the three models."""

    config_class = AwdLstmConfig
    base_model_prefix = "model"
    _input_embed_layer = "embedding"
    _no_split_modules = ["AwdLstmLayer"]  # noqa: RUF012 (required by transformers)

    def _init_weights(self, module: nn.Module) -> None:
        """Initialize as torch does for an LSTM, and as the paper does for embeddings."""
        if isinstance(module, AwdLstmLayer):
            for weight in module.parameters():
                initialization.uniform_(weight, -(module.width**-0.5), module.width**-0.5)
        elif isinstance(module, nn.Embedding):
            initialization.uniform_(module.weight, -EMBEDDING_RANGE, EMBEDDING_RANGE)
        elif isinstance(module, Standardized):
            initialization.zeros_(module.mean)
            initialization.ones_(module.deviation)
        else:
            super()._init_weights(module)  # type: ignore[no-untyped-call]


class AwdLstmModel(AwdLstmPreTrained):
    """The embedding and the LSTM layers."""

    def __init__(self, config: AwdLstmConfig, prefix: Literal["", "classifier_"] = "") -> None:
        """Build the layers, with the dropouts of the language model or of the classifier."""
        super().__init__(config)
        places = ("embedding", "input", "weight", "hidden")
        self.dropouts = {of: getattr(config, f"{prefix}{of}_dropout") for of in places}
        inner, last = config.inner_size, config.num_hidden_layers - 1
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.layers = nn.ModuleList(
            AwdLstmLayer(
                inner if number else config.embedding_size,
                inner if number < last else config.embedding_size,
                self.dropouts["weight"],
            )
            for number in range(config.num_hidden_layers)
        )
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        state: State | None = None,
        bptt: int | None = None,
        output_hidden_states: bool = False,
    ) -> AwdLstmOutput:
        """Read (b, t) tokens from left to right, from the state where an earlier call ended.

        The mask is ignored: padding on the right changes nothing to its left.
        """
        values = self._embed(input_ids)
        final, hidden = [], [values]
        for number, layer in enumerate(self.layers):
            share = self.dropouts["hidden" if number else "input"]
            values = variational_dropout(values, share, self.training)
            values, reached = layer(values, None if state is None else state[number], bptt)
            final.append(reached)
            hidden.append(values)
        hidden_states = tuple(hidden) if output_hidden_states else None
        return AwdLstmOutput(values, tuple(final), hidden_states)

    def _embed(self, input_ids: Tensor) -> Tensor:
        """(b, t, embedding size); a dropped word is 0 wherever it occurs in the batch."""
        values: Tensor = self.embedding(input_ids)
        if self.training and self.dropouts["embedding"]:
            ones = values.new_ones(self.embedding.num_embeddings)
            kept = functional.dropout(ones, self.dropouts["embedding"])
            values = values * kept[input_ids].unsqueeze(-1)
        return values


class AwdLstmForCausalLM(AwdLstmPreTrained):
    """The language model, which predicts the next word."""

    _tied_weights_keys = {"lm_head.weight": "model.embedding.weight"}  # noqa: RUF012

    def __init__(self, config: AwdLstmConfig) -> None:
        """Build the layers and an output layer with a bias, tied to the embedding."""
        super().__init__(config)
        self.model = AwdLstmModel(config)
        self.output_dropout = config.output_dropout
        self.lm_head = nn.Linear(config.embedding_size, config.vocab_size)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        state: State | None = None,
        labels: Tensor | None = None,
    ) -> AwdLstmCausalOutput:
        """Return logits of the next words; (b, t) labels are shifted by one here, -100 ignored."""
        found = self.model(input_ids, attention_mask, state)
        raw = found.last_hidden_state
        dropped = variational_dropout(raw, self.output_dropout, self.training)
        logits = self.lm_head(dropped)
        loss = None
        if labels is not None:
            predicted = logits[:, :-1].flatten(0, 1).float()
            loss = functional.cross_entropy(predicted, labels[:, 1:].flatten())
        return AwdLstmCausalOutput(loss, logits, found.state, raw, dropped)


class AwdLstmForSequenceClassification(AwdLstmPreTrained):
    """A classifier that reads whole texts: the last state, maximum and mean over the tokens.

    ULMFiT normalizes these over the batch; here they are standardized by statistics of training
    texts, so that the logits of a text do not depend on its batch.
    """

    def __init__(self, config: AwdLstmConfig) -> None:
        """Build the layers and a head of `config.num_labels` outputs."""
        super().__init__(config)
        self.model = AwdLstmModel(config, "classifier_")
        self.head = nn.Sequential(
            Standardized(3 * config.embedding_size),
            nn.Dropout(config.classifier_output_dropout),
            nn.Linear(3 * config.embedding_size, HEAD_WIDTH),
            nn.ReLU(),
            nn.LayerNorm(HEAD_WIDTH),
            nn.Dropout(config.classifier_head_dropout),
            nn.Linear(HEAD_WIDTH, config.num_labels or 2),
        )
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None
    ) -> SequenceClassifierOutput:
        """Return (b, k) logits of (b, t) tokens, padded on the right; labels as in `heads`."""
        states = self.model(input_ids, bptt=self.config.bptt).last_hidden_state
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        logits = self.head(concat_pooled(states, attention_mask, "last"))
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(loss=loss, logits=logits)
