"""Classification heads: concat pooling for any encoder, standardized inputs, temperature.

Concat pooling is that of Howard and Ruder 2018, section 3.3. What decides the class of a long text
may stand anywhere in it, so the head reads three vectors side by side: the state of the first token
(of the last one in a left-to-right model), and the maximum and the mean over all tokens. The paper
normalizes over the batch; here it is layer normalization, so that the logits of a text do not
depend on its batch, a batch in parts gives the same gradient, and no running averages are needed.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from operator import attrgetter
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils.generic import can_return_tuple

MODEL_TYPE: Final = "finetext-concat-pooled"
HEAD_WIDTH: Final = 50
HEAD_DROPOUT: Final = 0.1
CONSTANT: Final = 1e-5
"""Standard deviation up to which a feature counts as constant and is not scaled."""
NEARLY_CONSTANT: Final = 0.01
"""The same as a share of the mean: smaller differences are lost to rounding in bf16."""


def summary_token(config: Any) -> Literal["first", "last"]:
    """Return which token's state sums a text up, by the configuration of an encoder."""
    from transformers import MODEL_FOR_MASKED_LM_MAPPING

    if isinstance(config, ConcatPooledConfig):
        return config.token
    # A model of masked tokens sees the whole text from its first token, others at the last one.
    masked = type(config) in MODEL_FOR_MASKED_LM_MAPPING
    return "first" if masked and not getattr(config, "is_decoder", False) else "last"


class ConcatPooledConfig(PreTrainedConfig):
    """Configuration of an encoder with concat pooling."""

    model_type = MODEL_TYPE
    sub_configs = {"encoder": AutoConfig}  # noqa: RUF012 (required by transformers)

    def __init__(
        self,
        encoder: PreTrainedConfig | dict[str, Any] | None = None,
        token: Literal["first", "last"] | None = None,
        head_width: int = HEAD_WIDTH,
        head_dropout: float = HEAD_DROPOUT,
        **others: Any,
    ) -> None:
        """Wrap the configuration of an encoder."""
        if not isinstance(encoder, PreTrainedConfig):
            values = {"model_type": "bert", **(encoder or {})}
            encoder = AutoConfig.for_model(values.pop("model_type"), **values)
        self.encoder = encoder
        self.encoder.name_or_path = ""  # a path on this machine says nothing elsewhere
        self.token = token or summary_token(encoder)
        self.head_width = head_width
        self.head_dropout = head_dropout
        super().__init__(**others)

    def get_text_config(self, decoder: Any = None, encoder: Any = None) -> Any:
        """Return the configuration of the encoder."""
        return self.encoder.get_text_config(decoder=decoder, encoder=encoder)

    @property
    def _attn_implementation(self) -> Any:
        return self.encoder._attn_implementation

    @_attn_implementation.setter
    def _attn_implementation(self, value: Any) -> None:
        if value is not None:
            self.encoder._attn_implementation = value


for _name in (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("vocab_size", "max_position_embeddings", "pad_token_id"),
):  # stored in the encoder's configuration

    def _set(config: Any, value: Any, name: str = _name) -> None:
        setattr(config.encoder, name, value)

    setattr(ConcatPooledConfig, _name, property(attrgetter(f"encoder.{_name}"), _set))


class ConcatPooledPreTrained(PreTrainedModel):
    """An encoder without its own pooling layer; base of the bare model and the classifier."""

    config_class = ConcatPooledConfig
    base_model_prefix = "encoder"
    supports_gradient_checkpointing = True
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True  # if the encoder does

    def __init__(self, config: ConcatPooledConfig, encoder: Any = None) -> None:
        """Take a model of the configuration `config.encoder`, or build one with random weights."""
        super().__init__(config)
        self.encoder = AutoModel.from_config(config.encoder) if encoder is None else encoder
        self.encoder.config = config.encoder
        if "add_pooling_layer" in inspect.signature(type(self.encoder).__init__).parameters:
            self.encoder.pooler = None

    def set_attn_implementation(self, *choice: Any, **options: Any) -> None:
        """Set the attention implementation of the encoder."""
        self.encoder.set_attn_implementation(*choice, **options)


class ConcatPooledModel(ConcatPooledPreTrained):
    """The encoder of a classifier with concat pooling."""

    def __init__(self, config: ConcatPooledConfig) -> None:
        """Build the encoder."""
        super().__init__(config)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, **inputs: Any) -> Any:
        """Return the output of the encoder."""
        return self.encoder(**inputs)


class ConcatPooledForSequenceClassification(ConcatPooledPreTrained):
    """An encoder, concat pooling and two layers that classify."""

    def __init__(self, config: ConcatPooledConfig, encoder: Any = None) -> None:
        """Put a head on an encoder; see `ConcatPooledPreTrained`."""
        super().__init__(config, encoder)
        self.head = nn.Sequential(
            nn.Dropout(config.head_dropout),
            nn.Linear(3 * config.hidden_size, config.head_width),
            nn.ReLU(),
            nn.LayerNorm(config.head_width),
            nn.Dropout(config.head_dropout),
            nn.Linear(config.head_width, config.num_labels or 2),
        )
        self.post_init()  # type: ignore[no-untyped-call]

    @cached_property
    def _needs_position_ids(self) -> bool:
        """Whether the encoder would count padding on the left as positions, as GPT-2 does."""
        takes = "position_ids" in inspect.signature(self.encoder.forward).parameters
        return takes and self.config.token == "last"

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **inputs: Any,
    ) -> SequenceClassifierOutput:
        """Return (n, k) logits of (n, length) tokens, padded on either side."""
        if attention_mask is not None and self._needs_position_ids:
            inputs.setdefault("position_ids", (attention_mask.cumsum(1) - 1).clamp(min=0))
        found = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs)
        states = found.last_hidden_state
        if attention_mask is None:
            attention_mask = states.new_ones(states.shape[:2])
        logits = self.head(concat_pooled(states, attention_mask, self.config.token))
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        rest = {name: found.get(name) for name in ("hidden_states", "attentions")}
        return SequenceClassifierOutput(loss=loss, logits=logits, **rest)


def concat_pooled(
    states: Tensor, attention_mask: Tensor, token: Literal["first", "last"]
) -> Tensor:
    """Return (n, 3 * width): the state of one token, the maximum and the mean over all tokens."""
    is_token = attention_mask.to(torch.bool)
    positions = is_token.cumsum(1)
    wanted = 1 if token == "first" else positions[:, -1:]
    position = (is_token & (positions == wanted)).to(torch.int64).argmax(1)
    rows = torch.arange(states.shape[0], device=states.device)  # len() is constant in ONNX
    one = states[rows, position]
    kept = is_token.unsqueeze(-1)
    highest = states.masked_fill(~kept, float("-inf")).amax(1)
    summed = states.masked_fill(~kept, 0.0).sum(1, dtype=torch.float32)
    mean = (summed / kept.sum(1)).to(states.dtype)
    return torch.cat([one, highest, mean], dim=1)


class Standardized(nn.Module):
    """Standardize features by mean and standard deviation of training texts.

    The states of a small recurrent language model are nearly the same for all texts, and a head
    with few rows to learn from sees what they have in common first. Mean and deviation, (width,)
    each, are measured once before training, as in the data-dependent initialization of Salimans
    and Kingma 2016 ("Weight Normalization", section 3); until then nothing is changed.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int) -> None:
        """Start with a mean of 0 and a deviation of 1."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    def forward(self, values: Tensor) -> Tensor:
        """Return (n, width) standardized values in the same number format."""
        return ((values - self.mean) / self.deviation).to(values.dtype)

    @property
    def is_measured(self) -> bool:
        """Whether it was measured, now or before the model was saved."""
        return bool(self.mean.any())

    @torch.no_grad()
    def measure(self, values: Tensor) -> None:
        """Take mean and deviation from (n, width) values of at least two texts."""
        mean, deviation = values.float().mean(dim=0), values.float().std(dim=0)
        differs = deviation > torch.clamp(NEARLY_CONSTANT * mean.abs(), min=CONSTANT)
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(differs, deviation, 1.0))


def standardize(model: nn.Module, predict: Callable[[], Any]) -> None:
    """Measure those `Standardized` layers of a model that are not measured yet."""
    layers = [layer for layer in model.modules() if isinstance(layer, Standardized)]
    for layer in (layer for layer in layers if not layer.is_measured):
        inputs: list[Tensor] = []
        hook = layer.register_forward_pre_hook(lambda _, values, to=inputs: to.append(values[0]))
        try:
            predict()
        finally:
            hook.remove()
        if sum(map(len, inputs)) > 1:
            layer.measure(torch.cat(inputs))


def with_temperature(
    model: Any, labels: int, temperature: float, inputs: Mapping[str, Any]
) -> Any | None:
    """Return a model whose logits are divided by a temperature; None without a linear last layer.

    It shares all other weights with the model, which is not changed.
    """
    name = output_layer(model, labels, inputs)
    if name is None:
        return None
    scaled = copy.deepcopy(model.get_submodule(name))
    with torch.no_grad():
        for parameter in scaled.parameters():
            parameter.div_(temperature)
    return _with_module(model, name.split("."), scaled)


def start_at(model: Any, logits: Any, inputs: Mapping[str, Any]) -> None:
    """Set the bias of the output layer to (k,) logits if it is new: if its biases are all 0."""
    name = output_layer(model, len(logits), inputs)
    bias = None if name is None else model.get_submodule(name).bias
    if bias is not None and not bias.any():
        with torch.no_grad():
            bias.copy_(torch.as_tensor(logits))


def output_layer(model: Any, labels: int, inputs: Mapping[str, Any]) -> str | None:
    """Return the name of the linear layer whose outputs are the logits; None if there is none.

    It is found by running the model.
    """
    outputs: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: outputs.update({name: out}))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == labels
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
    for name, out in outputs.items():  # per text, or per token of which the model takes one
        if any(torch.equal(one, logits) for one in (out.unbind(1) if out.dim() == 3 else [out])):
            return name
    return None


def _with_module(module: Any, path: list[str], new: Any) -> Any:
    """A copy of a module with another submodule at a path, sharing all others."""
    if not path:
        return new
    copied = copy.copy(module)
    part = _with_module(module.get_submodule(path[0]), path[1:], new)
    object.__setattr__(copied, "_modules", {**module._modules, path[0]: part})
    return copied
