"""AWD-LSTM: a recurrent language model, and a classifier on top of it.

Merity, Keskar and Socher 2018, "Regularizing and Optimizing LSTM Language Models"; the classifier
and its dropouts are those of ULMFiT (Howard and Ruder 2018). Layers of LSTM are regularised by
dropout of five kinds: of whole words of the vocabulary, of what a layer reads (one mask for all
tokens of a text), of what the last layer gives, and of the recurrent weights.

Nothing is remembered between two calls: who wants to go on where the last call ended passes the
`state` that it gave.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedConfig, PreTrainedModel, initialization
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils.generic import ModelOutput

from finetext.encoders.heads import Standardized, concat_pooled

State = tuple[tuple[Tensor, Tensor], ...]
"""The hidden and the cell state of each layer after the last token, each (1, b, width)."""


class AwdLstmLayer(nn.Module):
    """One layer of LSTM whose recurrent weights are dropped anew for every call."""

    def __init__(self, inputs: int, width: int, weight_dropout: float) -> None:
        """Make room for the weights; `AwdLstmPreTrained` fills them.

        Args:
            inputs: width of what the layer reads.
            width: width of what it gives.
            weight_dropout: share of `weight_hh` dropped in training.
        """
        super().__init__()
        self.width = width
        self.weight_dropout = weight_dropout
        self.weight_ih = nn.Parameter(torch.empty(4 * width, inputs))
        self.weight_hh = nn.Parameter(torch.empty(4 * width, width))
        self.bias_ih = nn.Parameter(torch.empty(4 * width))
        self.bias_hh = nn.Parameter(torch.empty(4 * width))

    def forward(
        self, values: Tensor, state: tuple[Tensor, Tensor] | None, back_propagated: int | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Read a batch.

        Args:
            values: (b, t, inputs).
            state: hidden and cell state to begin with, each (1, b, width); zeros by default.
            back_propagated: tokens over which gradients flow back; None for all.

        Returns:
            (b, t, width), and the state after the last token.
        """
        zeros = values.new_zeros(1, values.shape[0], self.width)
        hidden, cell = (zeros, zeros) if state is None else state
        recurrent = functional.dropout(self.weight_hh, self.weight_dropout, self.training)
        weights = (self.weight_ih, recurrent, self.bias_ih, self.bias_hh)
        cut = back_propagated if torch.is_grad_enabled() else None
        outputs: list[Tensor] = []
        for part in torch.split(values, cut or values.shape[1], dim=1):
            if outputs:
                hidden, cell = hidden.detach(), cell.detach()
            given, hidden, cell = _lstm(part, (hidden, cell), weights)
            outputs.append(given)
        return (outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)), (hidden, cell)


def dropped_alike(values: Tensor, share: float, training: bool) -> Tensor:
    """Variational dropout (Gal and Ghahramani 2016): one mask for all tokens of a sequence.

    Args:
        values: (b, t, width).
        share: what is dropped, from 0 to 1.
        training: whether anything is dropped at all.
    """
    if not training or not share:
        return values
    return values * functional.dropout(values.new_ones(values.shape[0], 1, values.shape[2]), share)


def _lstm(
    values: Tensor, state: tuple[Tensor, Tensor], weights: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """The fused kernel on (b, t, inputs): outputs, hidden and cell state.

    On CUDA it warns of weights that are not one piece of memory, which dropped ones never are.
    """
    with warnings.catch_warnings():
        if values.is_cuda:
            warnings.filterwarnings("ignore", message="RNN module weights are not part of single")
        options = (True, 1, 0.0, torch.is_grad_enabled(), False, True)
        outputs, hidden, cell = torch._VF.lstm(values, state, weights, *options)
    return outputs, hidden, cell


HEAD_WIDTH: Final = 50
EMBEDDING_RANGE: Final = 0.1
"""Embeddings start out evenly spread from minus to plus this."""


class AwdLstmConfig(PreTrainedConfig):
    """Sizes and dropouts of an AWD-LSTM; by default those of the published English model.

    Attributes:
        vocab_size: words of the vocabulary, v.
        embedding_size: width of the embeddings and of the last layer, also `hidden_size`.
        inner_size: width of all layers but the last.
        num_hidden_layers: layers of LSTM.
        embedding_dropout: share of the words that are left out of a batch, in the language
            model; so are the four that follow.
        input_dropout: share dropped of the embeddings.
        weight_dropout: share dropped of the recurrent weights (DropConnect).
        hidden_dropout: share dropped between layers.
        output_dropout: share dropped of the output of the last layer.
        classifier_embedding_dropout: as `embedding_dropout`, in the classifier.
        classifier_input_dropout: as `input_dropout`, in the classifier.
        classifier_weight_dropout: as `weight_dropout`, in the classifier.
        classifier_hidden_dropout: as `hidden_dropout`, in the classifier.
        classifier_output_dropout: share dropped of what the head of the classifier reads.
        classifier_head_dropout: share dropped before the last layer of the head.
        bptt: tokens over which gradients flow back: of a text in the
            classifier, on average in training on a stream.
        activation_regularisation: weight of the mean square of the outputs in the loss of
            training on a stream.
        temporal_activation_regularisation: weight of the mean square of their differences
            from token to token.
        unk_token_id: number of the unknown word.
        pad_token_id: number of padding.
        bos_token_id: number of the beginning of a text.
        eos_token_id: there is none by default: a text ends where the next one begins.
        tie_word_embeddings: whether the language model's output layer is the embedding.
    """

    model_type = "awd_lstm"
    attribute_map = {"hidden_size": "embedding_size"}  # noqa: RUF012 (the form transformers asks)

    def __init__(
        self,
        vocab_size: int = 60_000,
        embedding_size: int = 400,
        inner_size: int = 1152,
        num_hidden_layers: int = 3,
        embedding_dropout: float = 0.02,
        input_dropout: float = 0.25,
        weight_dropout: float = 0.2,
        hidden_dropout: float = 0.15,
        output_dropout: float = 0.1,
        classifier_embedding_dropout: float = 0.05,
        classifier_input_dropout: float = 0.4,
        classifier_weight_dropout: float = 0.5,
        classifier_hidden_dropout: float = 0.3,
        classifier_output_dropout: float = 0.4,
        classifier_head_dropout: float = 0.1,
        bptt: int = 72,
        activation_regularisation: float = 2.0,
        temporal_activation_regularisation: float = 1.0,
        unk_token_id: int = 0,
        pad_token_id: int | None = 1,
        bos_token_id: int | None = 2,
        eos_token_id: int | None = None,
        tie_word_embeddings: bool = True,
        **others: Any,
    ) -> None:
        """Keep the settings; `others` are what every configuration has, such as `id2label`."""
        self.vocab_size = vocab_size
        self.embedding_size = embedding_size
        self.inner_size = inner_size
        self.num_hidden_layers = num_hidden_layers
        self.embedding_dropout = embedding_dropout
        self.input_dropout = input_dropout
        self.weight_dropout = weight_dropout
        self.hidden_dropout = hidden_dropout
        self.output_dropout = output_dropout
        self.classifier_embedding_dropout = classifier_embedding_dropout
        self.classifier_input_dropout = classifier_input_dropout
        self.classifier_weight_dropout = classifier_weight_dropout
        self.classifier_hidden_dropout = classifier_hidden_dropout
        self.classifier_output_dropout = classifier_output_dropout
        self.classifier_head_dropout = classifier_head_dropout
        self.bptt = bptt
        self.activation_regularisation = activation_regularisation
        self.temporal_activation_regularisation = temporal_activation_regularisation
        self.unk_token_id = unk_token_id
        self.pad_token_id = pad_token_id
        self.bos_token_id = bos_token_id
        self.eos_token_id = eos_token_id
        self.tie_word_embeddings = tie_word_embeddings
        super().__init__(**others)


class Dropouts(NamedTuple):
    """Shares dropped inside the layers of LSTM."""

    embedding: float
    input: float
    weight: float
    hidden: float

    @classmethod
    def of_language_model(cls, config: AwdLstmConfig) -> Dropouts:
        """Those that training a language model uses."""
        return cls(
            config.embedding_dropout, config.input_dropout,
            config.weight_dropout, config.hidden_dropout,
        )  # fmt: skip

    @classmethod
    def of_classifier(cls, config: AwdLstmConfig) -> Dropouts:
        """Those that training a classifier uses."""
        return cls(
            config.classifier_embedding_dropout, config.classifier_input_dropout,
            config.classifier_weight_dropout, config.classifier_hidden_dropout,
        )  # fmt: skip


@dataclass
class AwdLstmOutput(ModelOutput):
    """What the layers give.

    Attributes:
        last_hidden_state: (b, t, hidden size) outputs of the last layer, nothing dropped.
        state: of each layer after the last token.
    """

    last_hidden_state: Tensor | None = None
    state: State | None = None


@dataclass
class AwdLstmCausalOutput(ModelOutput):
    """What the language model gives.

    Attributes:
        loss: mean cross-entropy of the next words, if there are labels.
        logits: (b, t, v) of the next word after each token.
        state: of each layer after the last token.
        outputs_raw: (b, t, hidden size) outputs of the last layer.
        outputs_dropped: the same after dropout, which the logits come from.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    state: State | None = None
    outputs_raw: Tensor | None = None
    outputs_dropped: Tensor | None = None


class AwdLstmPreTrained(PreTrainedModel):
    """What the three models have in common."""

    config_class = AwdLstmConfig
    base_model_prefix = "model"
    _input_embed_layer = "embedding"
    _no_split_modules = ["AwdLstmLayer"]  # noqa: RUF012 (the form that transformers asks for)

    def _init_weights(self, module: nn.Module) -> None:
        """Random weights, as torch has them for an LSTM and the paper for embeddings."""
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
    """The embedding and the layers of LSTM."""

    def __init__(self, config: AwdLstmConfig, dropouts: Dropouts | None = None) -> None:
        """Make the layers.

        Args:
            config: the sizes.
            dropouts: shares dropped; by default those of the language model.
        """
        super().__init__(config)
        self.dropouts = dropouts or Dropouts.of_language_model(config)
        inner, last = config.inner_size, config.num_hidden_layers - 1
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.layers = nn.ModuleList(
            AwdLstmLayer(
                inner if number else config.embedding_size,
                inner if number < last else config.embedding_size,
                self.dropouts.weight,
            )
            for number in range(config.num_hidden_layers)
        )
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        state: State | None = None,
        back_propagated: int | None = None,
    ) -> AwdLstmOutput:
        """Read tokens from left to right.

        Args:
            input_ids: (b, t) tokens, padded on the right.
            attention_mask: not looked at: what stands on the right changes nothing on the left.
                The state that is given back is that after the padding.
            state: where an earlier call ended; a new text by default.
            back_propagated: tokens over which gradients flow back; None for all.
        """
        values = self._embedded(input_ids)
        after = []
        for number, layer in enumerate(self.layers):
            share = self.dropouts.hidden if number else self.dropouts.input
            values = dropped_alike(values, share, self.training)
            before = None if state is None else state[number]
            values, reached = layer(values, before, back_propagated)
            after.append(reached)
        return AwdLstmOutput(last_hidden_state=values, state=tuple(after))

    def _embedded(self, input_ids: Tensor) -> Tensor:
        """(b, t, embedding size); a word that is dropped is 0 wherever it occurs in the batch."""
        values: Tensor = self.embedding(input_ids)
        if self.training and self.dropouts.embedding:
            ones = values.new_ones(self.embedding.num_embeddings)
            kept = functional.dropout(ones, self.dropouts.embedding)
            values = values * kept[input_ids].unsqueeze(-1)
        return values


class AwdLstmForCausalLM(AwdLstmPreTrained):
    """The language model: which word comes next."""

    _tied_weights_keys = {"lm_head.weight": "model.embedding.weight"}  # noqa: RUF012

    def __init__(self, config: AwdLstmConfig) -> None:
        """Make the layers and an output layer, which has a bias and shares the embedding."""
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
        """Logits of the next word after each token.

        Args:
            input_ids: (b, t) tokens, padded on the right.
            attention_mask: see `AwdLstmModel`.
            state: where an earlier call ended; a new text by default. In training, detach it.
            labels: (b, t) as `input_ids`, which the model moves by one itself; -100 is left out.
        """
        found = self.model(input_ids, attention_mask, state)
        raw = found.last_hidden_state
        kept = dropped_alike(raw, self.output_dropout, self.training)
        logits = self.lm_head(kept)
        loss = None
        if labels is not None:
            guessed = logits[:, :-1].flatten(0, 1).float()
            loss = functional.cross_entropy(guessed, labels[:, 1:].flatten())
        return AwdLstmCausalOutput(loss, logits, found.state, raw, kept)


class AwdLstmForSequenceClassification(AwdLstmPreTrained):
    """A classifier that reads a whole text and learns from all of it.

    Gradients flow back over `bptt` at a time, so that the memory of training on
    a long text is that of its outputs. The head reads the last state, the maximum and the mean
    over the tokens, standardised by what training texts gave before the first step. Where ULMFiT
    normalises over the batch, here the logits of a text do not depend on its batch, and a batch of
    one can be learnt from.
    """

    def __init__(self, config: AwdLstmConfig) -> None:
        """Make the layers and the head, of `config.num_labels` outputs."""
        super().__init__(config)
        self.model = AwdLstmModel(config, Dropouts.of_classifier(config))
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
        """Logits (b, k) of texts.

        Args:
            input_ids: (b, t) tokens, padded on the right.
            attention_mask: (b, t) 1 for tokens and 0 for padding; all are tokens by default.
            labels: (b,) columns, or (b, k) of 0.0 and 1.0, for a loss.
        """
        cut = self.config.bptt
        states = self.model(input_ids, back_propagated=cut).last_hidden_state
        there = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        logits = self.head(concat_pooled(states, there, "last"))
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(loss=loss, logits=logits)
