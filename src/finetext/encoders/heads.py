"""Concat pooling on top of any encoder (Howard and Ruder 2018, section 3.3).

What decides the class of a long text may stand anywhere in it. So the head reads three vectors side
by side: the state that sums the text up (of the first token, or of the last one in a model that
reads from left to right), the maximum and the mean over all tokens.

The paper normalises over the batch. Here it is layer normalisation: the output for a text must not
depend on what else is in its batch, a batch that is gone through in parts must give the same
gradient, a batch of one must be possible, and there must be no running averages that lie outside
of the weights that are kept and resumed.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils.generic import can_return_tuple

MODEL_TYPE: Final = "finetext-concat-pooled"


HEAD_WIDTH: Final = 50


HEAD_DROPOUT: Final = 0.1


def summed_up_by(config: Any) -> Literal["first", "last"]:
    """Which token's state sums a text up, by the configuration of an encoder.

    A model that was pretrained on masked tokens sees the whole text from its first token; any
    other has seen all of it at the last one.
    """
    from transformers import MODEL_FOR_MASKED_LM_MAPPING

    masked = type(config) in MODEL_FOR_MASKED_LM_MAPPING
    return "first" if masked and not getattr(config, "is_decoder", False) else "last"


class ConcatPooledConfig(PreTrainedConfig):
    """Configuration of an encoder with concat pooling.

    What describes the encoder, such as `hidden_size`, is passed through from its own configuration.
    """

    model_type = MODEL_TYPE
    sub_configs = {"encoder": AutoConfig}  # noqa: RUF012 (the form that transformers asks for)

    def __init__(
        self,
        encoder: PreTrainedConfig | dict[str, Any] | None = None,
        token: Literal["first", "last"] | None = None,
        head_width: int = HEAD_WIDTH,
        head_dropout: float = HEAD_DROPOUT,
        **others: Any,
    ) -> None:
        """Take over the configuration of an encoder.

        Args:
            encoder: of any model that `AutoModel` loads, or the same as a mapping with its
                `model_type`; BERT by default.
            token: whose state is read beside maximum and mean; see `summed_up_by`, the default.
            head_width: width of the hidden layer of the head.
            head_dropout: share dropped before each of the two layers of the head.
            others: what every configuration has, such as `id2label`.
        """
        if not isinstance(encoder, PreTrainedConfig):
            values = {"model_type": "bert", **(encoder or {})}
            encoder = AutoConfig.for_model(values.pop("model_type"), **values)
        self.encoder = encoder
        self.encoder.name_or_path = ""  # where it lay is nobody's business, and means nothing there
        self.token = token or summed_up_by(encoder)
        self.head_width = head_width
        self.head_dropout = head_dropout
        super().__init__(**others)

    def get_text_config(self, decoder: Any = None, encoder: Any = None) -> Any:
        """The configuration of the encoder."""
        return self.encoder.get_text_config(decoder=decoder, encoder=encoder)

    @property
    def _attn_implementation(self) -> Any:
        return self.encoder._attn_implementation

    @_attn_implementation.setter
    def _attn_implementation(self, value: Any) -> None:
        if value is not None:
            self.encoder._attn_implementation = value


def _passed_through(name: str) -> property:
    """An attribute that is that of the encoder's configuration."""

    def read(config: ConcatPooledConfig) -> Any:
        return getattr(config.encoder, name)

    def write(config: ConcatPooledConfig, value: Any) -> None:
        setattr(config.encoder, name, value)

    return property(read, write)


for _name in (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("vocab_size", "max_position_embeddings", "pad_token_id"),
):
    setattr(ConcatPooledConfig, _name, _passed_through(_name))


class ConcatPooledPreTrained(PreTrainedModel):
    """What the encoder alone and the classifier have in common: all but the head is the encoder."""

    config_class = ConcatPooledConfig
    base_model_prefix = "encoder"
    supports_gradient_checkpointing = True
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True  # as far as the encoder does

    def __init__(self, config: ConcatPooledConfig, encoder: Any = None) -> None:
        """Make the encoder, unless one is at hand, without its own pooling layer.

        Args:
            config: its `encoder` is that of the encoder.
            encoder: a model of that configuration, or None for a random one.
        """
        super().__init__(config)
        self.encoder = AutoModel.from_config(config.encoder) if encoder is None else encoder
        self.encoder.config = config.encoder
        if "add_pooling_layer" in inspect.signature(type(self.encoder).__init__).parameters:
            self.encoder.pooler = None  # a layer for the first token, which nothing here reads

    def set_attn_implementation(self, *choice: Any, **options: Any) -> None:
        """As of the encoder, which alone has attention."""
        self.encoder.set_attn_implementation(*choice, **options)


class ConcatPooledModel(ConcatPooledPreTrained):
    """The encoder of a classifier with concat pooling, for frozen states."""

    def __init__(self, config: ConcatPooledConfig) -> None:
        """Make the encoder; see `ConcatPooledPreTrained`."""
        super().__init__(config)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, **inputs: Any) -> Any:
        """Whatever the encoder gives."""
        return self.encoder(**inputs)


class ConcatPooledForSequenceClassification(ConcatPooledPreTrained):
    """An encoder, concat pooling and two layers that classify."""

    def __init__(self, config: ConcatPooledConfig, encoder: Any = None) -> None:
        """Put a head on an encoder; see `ConcatPooledPreTrained`."""
        super().__init__(config, encoder)
        self.head = torch.nn.Sequential(
            torch.nn.Dropout(config.head_dropout),
            torch.nn.Linear(3 * config.hidden_size, config.head_width),
            torch.nn.ReLU(),
            torch.nn.LayerNorm(config.head_width),
            torch.nn.Dropout(config.head_dropout),
            torch.nn.Linear(config.head_width, config.num_labels or 2),
        )
        self.post_init()  # type: ignore[no-untyped-call]

    @cached_property
    def _counts_from_the_left(self) -> bool:
        """Whether the encoder would count padding on the left as positions, as GPT-2 does."""
        takes = "position_ids" in inspect.signature(self.encoder.forward).parameters
        return takes and self.config.token == "last"

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **inputs: Any,
    ) -> SequenceClassifierOutput:
        """Logits of texts that are padded on either side.

        Args:
            input_ids: (n, length) tokens; or give `inputs_embeds`.
            attention_mask: (n, length) 1 for tokens and 0 for padding, at least one 1 a row; all
                are tokens by default.
            labels: (n,) columns, or (n, k) of 0.0 and 1.0, for a loss.
            inputs: anything else that the encoder takes.

        Returns:
            logits (n, k), and the mean loss if there are labels.
        """
        if attention_mask is not None and self._counts_from_the_left:
            inputs.setdefault("position_ids", (attention_mask.cumsum(1) - 1).clamp(min=0))
        found = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs)
        states = found.last_hidden_state
        if attention_mask is None:
            attention_mask = states.new_ones(states.shape[:2])
        logits = self.head(concat_pooled(states, attention_mask, self.config.token))
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(
            loss=loss,
            logits=logits,
            hidden_states=found.get("hidden_states"),
            attentions=found.get("attentions"),
        )


def concat_pooled(
    states: torch.Tensor, attention_mask: torch.Tensor, token: Literal["first", "last"]
) -> torch.Tensor:
    """The state of one token, the maximum and the mean over all tokens, side by side.

    Args:
        states: (n, length, width) states of the last layer.
        attention_mask: (n, length) 1 for tokens and 0 for padding, on either side.
        token: whose state is read.

    Returns:
        (n, 3 * width); what stands at padded positions makes no difference.
    """
    there = attention_mask.to(torch.bool)
    places = there.cumsum(1)
    wanted = 1 if token == "first" else places[:, -1:]
    place = (there & (places == wanted)).to(torch.int64).argmax(1)
    one = states[torch.arange(len(states), device=states.device), place]
    kept = there.unsqueeze(-1)
    highest = states.masked_fill(~kept, float("-inf")).amax(1)
    summed = states.masked_fill(~kept, 0.0).sum(1, dtype=torch.float32)
    mean = (summed / kept.sum(1)).to(states.dtype)
    return torch.cat([one, highest, mean], dim=1)


SAME: Final = 1e-5
"""Deviation up to which a value is the same in all texts, and is not scaled."""


SMALL: Final = 0.01
"""The same, as a share of the mean: what differs less is rounded away in bf16."""


class Standardized(nn.Module):
    """Values less their mean, in units of their deviation; unchanged until `standardize` is called.

    Attributes:
        mean: (width,) over training texts.
        deviation: (width,) standard deviation over training texts.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int) -> None:
        """Begin with a mean of 0 and a deviation of 1.

        Args:
            width: number of values of a text.
        """
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    def forward(self, values: Tensor) -> Tensor:
        """(n, width) values in, as many out, in the same number format."""
        return ((values - self.mean) / self.deviation).to(values.dtype)

    @property
    def is_measured(self) -> bool:
        """Whether it was measured, now or before the model was saved."""
        return bool(self.mean.any())

    @torch.no_grad()
    def measure(self, values: Tensor) -> None:
        """Take mean and deviation from (n, width) values of n texts, at least two."""
        mean, deviation = values.float().mean(dim=0), values.float().std(dim=0)
        differs = deviation > torch.clamp(SMALL * mean.abs(), min=SAME)
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(differs, deviation, 1.0))


def standardize(model: nn.Module, read: Callable[[], Any]) -> None:
    """Measure what the `Standardized` layers of a model are given, those that are not measured yet.

    Args:
        model: a model with any number of such layers; without one nothing is done.
        read: puts training texts through the model.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, Standardized)]
    for layer in (layer for layer in layers if not layer.is_measured):
        given: list[Tensor] = []
        hook = layer.register_forward_pre_hook(lambda _, values, to=given: to.append(values[0]))
        try:
            read()
        finally:
            hook.remove()
        if sum(map(len, given)) > 1:
            layer.measure(torch.cat(given))


def with_temperature(
    model: Any, labels: int, temperature: float, inputs: Mapping[str, Any]
) -> Any | None:
    """The model with the weights of its last layer divided by a temperature, and so its logits.

    Args:
        model: a `PreTrainedModel` with a classification head; it stays as it is, and shares all
            other weights with the one returned.
        labels: number of its outputs.
        temperature: a positive number.
        inputs: what the tokenizer makes of a text, to run the model with: some models ask for
            their own special tokens, or for a few tokens at least.

    Returns:
        a model of the same class, or None where its outputs do not come from one linear layer.
    """
    name = _last_layer(model, labels, inputs)
    if name is None:
        return None
    return _with_module(model, name.split("."), _scaled(model.get_submodule(name), temperature))


def _last_layer(model: Any, labels: int, inputs: Mapping[str, Any]) -> str | None:
    """The name of the linear layer whose outputs are the logits, found by running the model."""
    import torch

    outputs: dict[str, Any] = {}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: outputs.update({name: out}))
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == labels
    ]
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            logits = model(**{name: of.to(model.device) for name, of in inputs.items()}).logits
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return next((name for name, out in outputs.items() if _is(out, logits)), None)


def _is(out: Any, logits: Any) -> bool:
    """Whether logits are the outputs of a layer, perhaps those at one of its positions."""
    import torch

    if out.dim() == 3:
        return any(torch.equal(out[:, i], logits) for i in range(out.shape[1]))
    return bool(torch.equal(out, logits))


def _scaled(layer: Any, temperature: float) -> Any:
    import torch

    scaled = copy.deepcopy(layer)
    with torch.no_grad():
        for parameter in scaled.parameters():
            parameter.div_(temperature)
    return scaled


def _with_module(module: Any, path: list[str], new: Any) -> Any:
    """A copy of a module with another part at a path, sharing all other parts."""
    if not path:
        return new
    copied = copy.copy(module)
    part = _with_module(module.get_submodule(path[0]), path[1:], new)
    object.__setattr__(copied, "_modules", {**module._modules, path[0]: part})
    return copied
