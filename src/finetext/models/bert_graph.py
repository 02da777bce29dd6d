"""Build the ONNX graph of a fine-tuned BERT from its model folder, without torch.

Each layer is a few nodes, which ONNX Runtime computes with fused kernels ("contrib operators" in
its documentation). The graph refers to the weights in `model.safetensors`, so nothing is written.
The builder raises a `NoGraphError` for a configuration that it does not know; torch predicts then.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.budget import take_json

Weights = Mapping[str, np.ndarray[Any, Any]]
MICROSOFT: Final = "com.microsoft"
LOGITS: Final = "logits"
INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
_OPSETS: Final = {"": 17, MICROSOFT: 1}
_IR_VERSION: Final = 8
_GELUS: Final = {"gelu": "BiasGelu", "gelu_new": "FastGelu", "gelu_pytorch_tanh": "FastGelu"}
"""Names of activations in transformers, and the operators that add a bias and apply them."""
_UNUSED: Final = {"EmbedLayerNormalization": ("mask index",)}
"""Outputs that an operator requires and nothing reads."""
_SIZES: Final = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings", "type_vocab_size",
)  # fmt: skip
_NEEDED: Final = {
    "model_type": ("bert",), "hidden_act": tuple(_GELUS), "position_embedding_type": ("absolute",),
    "is_decoder": (False,), "add_cross_attention": (False,), "is_encoder_decoder": (False,),
    "pruned_heads": ({}, None),
}  # fmt: skip
"""Configuration keys with the values for which the graph is correct. A key may be missing."""
_WITHOUT_EFFECT: Final = frozenset((
    "_name_or_path", "architectures", "attention_probs_dropout_prob", "bos_token_id",
    "chunk_size_feed_forward", "classifier_dropout", "cls_token_id", "dtype", "eos_token_id",
    "finetext_vocabulary", "finetuning_task", "gradient_checkpointing", "hidden_dropout_prob",
    "id2label", "initializer_range", "label2id", "layer_norm_eps", "mask_token_id", "num_labels",
    "output_attentions", "output_hidden_states", "pad_token_id", "problem_type", "return_dict",
    "sep_token_id", "tie_word_embeddings", "torch_dtype", "transformers_version", "use_cache",
))  # fmt: skip
"""Keys that do not change the logits of a model in evaluation mode, or are read elsewhere."""
_LARGEST_HEADER: Final = 16 << 20
_ALIGNMENT: Final = 4


class NoGraphError(ValueError):
    """The builder does not know the model, or the weights do not fit the configuration."""


@dataclass(frozen=True)
class ProbeHead:
    """The linear head of a probe on mean-pooled states.

    `mean` and `scale` are (d,) and standardize the states, `weights` are (k, d), `bias` is (k,).
    """

    mean: Floats
    scale: Floats
    weights: Floats
    bias: Floats


@dataclass(frozen=True)
class BertGraph:
    """A serialized graph for ONNX Runtime, and the weights that it refers to by name."""

    content: bytes
    weights: Weights

    @classmethod
    def of(
        cls,
        config: Mapping[str, Any],
        weights: Weights,
        labels: int,
        probe: ProbeHead | None = None,
        has_types: bool = True,
    ) -> BertGraph:
        """Return the graph from token ids to logits.

        Args:
            config: `config.json` of a BERT.
            weights: its float32 weights by name.
            labels: the number of outputs.
            probe: the head of a bare encoder; None for a model with a head of its own.
            has_types: whether token types are an input; all are 0 otherwise.

        Raises:
            NoGraphError: the configuration has something unknown, or does not fit the weights.
        """
        _check(config, "BertForSequenceClassification" if probe is None else "BertModel")
        inputs = INPUTS if has_types else INPUTS[:2]
        builder = _Builder(config, weights, "bert." if probe is None else "", inputs)
        states, is_first = builder.embeddings(), probe is None
        for layer in range(config["num_hidden_layers"]):
            is_last = layer == config["num_hidden_layers"] - 1
            states = builder.layer(f"encoder.layer.{layer}.", states, is_first and is_last)
        if probe is None:
            builder.classify(states, labels)
        else:
            builder.probe(states, probe)
        return cls(builder.content(labels), builder.used)


def _check(config: Mapping[str, Any], architecture: str) -> None:
    if config.get("architectures") != [architecture]:
        raise NoGraphError(f"architectures is {config.get('architectures')!r}")
    for name, value in config.items():
        if name in _NEEDED and value not in _NEEDED[name]:
            raise NoGraphError(f"{name} is {value!r}")
        if name not in _NEEDED and name not in _SIZES and name not in _WITHOUT_EFFECT:
            raise NoGraphError(f"the configuration has {name!r}, which is not known here")
    for name in _SIZES:
        if type(config.get(name)) is not int or config[name] < 1:
            raise NoGraphError(f"{name} is {config.get(name)!r}")
    if "hidden_act" not in config or not isinstance(config.get("layer_norm_eps"), float):
        raise NoGraphError("the configuration lacks hidden_act or layer_norm_eps")
    if config["hidden_size"] % config["num_attention_heads"] or config["type_vocab_size"] < 2:
        raise NoGraphError("hidden_size is no multiple of num_attention_heads, or types are few")


def mapped_weights(path: Path) -> Weights:
    """Return the float32 tensors of a safetensors file by name, mapped into memory but on Windows.

    Raises:
        NoGraphError: the file is damaged.
        ValueError, KeyError, TypeError, RecursionError: so is its header.
        TooLargeError: the header takes more memory than it may.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _LARGEST_HEADER:
            raise NoGraphError(f"{path.name} has a header of {length:,} bytes")
        text = file.read(length).decode()
        take_json(text, str(path))
        header = json.loads(text)
        if os.name == "nt":  # where a mapped file cannot be replaced or deleted
            content = np.fromfile(file, dtype=np.uint8)
        else:
            content = np.memmap(file, dtype=np.uint8, mode="r", offset=0)[8 + length :]
    found = dict[str, np.ndarray[Any, Any]]()
    for name, about in header.items():
        if name == "__metadata__" or about["dtype"] != "F32":
            continue
        (start, end), shape = about["data_offsets"], tuple(about["shape"])
        if not 0 <= start <= end <= len(content) or end - start != 4 * math.prod(shape):
            raise NoGraphError(f"{path.name}: {name} is not where the header says")
        array = content[start:end]
        if array.ctypes.data % _ALIGNMENT:
            array = array.copy()
        found[name] = array.view("<f4").reshape(shape)
    return found


@dataclass
class _Builder:
    """Collects the nodes of a graph, in order, and the weights that they read."""

    config: Mapping[str, Any]
    weights: Weights
    prefix: str
    inputs: tuple[str, ...]
    nodes: list[Any] = field(default_factory=list)
    used: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    places: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    mask: str = ""

    def embeddings(self) -> str:
        """Add the embeddings of tokens, positions and types; return the normalized sum."""
        size, names = self.config["hidden_size"], "embeddings."
        ids, self.mask, *given = (self._cast(name, "INT32") for name in self.inputs)
        [types] = given or [self._add("Sub", [ids, ids], "")]
        tables = {"word": "vocab_size", "position": "max_position_embeddings"}
        tables |= {"token_type": "type_vocab_size"}
        rows_of = [
            self._copied(f"{names}{table}_embeddings.weight", (self.config[rows], size))
            for table, rows in tables.items()
        ]
        return self._add(
            "EmbedLayerNormalization", [ids, types, *rows_of, *self._norm(f"{names}LayerNorm.")],
            epsilon=self.config["layer_norm_eps"],
        )  # fmt: skip

    def layer(self, name: str, states: str, only_first: bool) -> str:
        """Add an encoder layer; return its states, with `only_first` those of the first token."""
        size, inner = self.config["hidden_size"], self.config["intermediate_size"]
        read = self._first(states) if only_first else states
        mixed = self._attention(f"{name}attention.self.", read, states)
        mixed = self._matmul(mixed, f"{name}attention.output.dense.weight", (size, size))
        kept = self._residual(mixed, read, f"{name}attention.output.")
        wide = self._matmul(kept, f"{name}intermediate.dense.weight", (inner, size))
        bias = self._copied(f"{name}intermediate.dense.bias", (inner,))
        wide = self._add(_GELUS[self.config["hidden_act"]], [wide, bias])
        back = self._matmul(wide, f"{name}output.dense.weight", (size, inner))
        return self._residual(back, kept, f"{name}output.")

    def _attention(self, name: str, read: str, states: str) -> str:
        size = self.config["hidden_size"]
        parts = [
            self._matmul(of, f"{name}{part}.weight", (size, size))
            for part, of in (("query", read), ("key", states), ("value", states))
        ]
        biases = [self._weight(f"{name}{part}.bias", (size,)) for part in ("query", "key", "value")]
        bias = self._own(f"{name}bias", np.concatenate(biases))
        heads = self.config["num_attention_heads"]
        return self._add("MultiHeadAttention", [*parts, bias, self.mask], num_heads=heads)

    def _residual(self, states: str, before: str, name: str) -> str:
        bias = self._copied(f"{name}dense.bias", (self.config["hidden_size"],))
        return self._add(
            "SkipLayerNormalization", [states, before, *self._norm(f"{name}LayerNorm."), bias],
            epsilon=self.config["layer_norm_eps"],
        )  # fmt: skip

    def classify(self, states: str, labels: int) -> None:
        """Add the pooling layer and the classifier, which read the first token."""
        size = self.config["hidden_size"]
        flat = self._add("Flatten", [states], "", axis=1)  # (texts, 1, size)
        pooled = self._linear(flat, "pooler.dense.", (size, size))
        self.prefix = ""
        self._linear(self._add("Tanh", [pooled], ""), "classifier.", (labels, size), LOGITS)

    def probe(self, states: str, head: ProbeHead) -> None:
        """Add the mean over the tokens and a linear head."""
        if head.mean.shape != (self.config["hidden_size"],):
            raise NoGraphError(f"the head takes {head.mean.shape}, not the states of the encoder")
        is_token = self._cast(INPUTS[1], "FLOAT")
        axis, second = self._place(1), self._place(2)
        weights = self._add("Unsqueeze", [is_token, second], "")
        count = self._add("ReduceSum", [is_token, axis], "")
        summed = self._add(
            "ReduceSum", [self._add("Mul", [states, weights], ""), axis], "", keepdims=0
        )
        mean = self._add("Div", [summed, count], "")
        given = {"mean": head.mean, "scale": head.scale, "weight": head.weights, "bias": head.bias}
        own = {
            name: self._own(f"probe.{name}", of.astype(np.float32)) for name, of in given.items()
        }
        scaled = self._add("Div", [self._add("Sub", [mean, own["mean"]], ""), own["scale"]], "")
        self._add("Gemm", [scaled, own["weight"], own["bias"]], "", LOGITS, transB=1)

    def content(self, labels: int) -> bytes:
        """Return the graph in protocol buffers."""
        from onnx import TensorProto, helper, numpy_helper

        axes = ["texts", "tokens"]
        inputs = [helper.make_tensor_value_info(of, TensorProto.INT64, axes) for of in self.inputs]
        output = helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["texts", labels])
        stored = [_outside(name, array) for name, array in self.used.items()]
        stored += [numpy_helper.from_array(array, name) for name, array in self.places.items()]
        graph = helper.make_graph(self.nodes, "bert", inputs, [output], stored)
        opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        return bytes(model.SerializeToString())

    def _add(
        self,
        operator: str,
        inputs: list[str],
        domain: str = MICROSOFT,
        output: str = "",
        **more: Any,
    ) -> str:
        from onnx import helper

        output = output or f"{operator} {len(self.nodes)}"
        outputs = [output, *_UNUSED.get(operator, ())]
        self.nodes.append(helper.make_node(operator, inputs, outputs, domain=domain, **more))
        return output

    def _cast(self, name: str, kind: str) -> str:
        from onnx import TensorProto

        return self._add("Cast", [name], "", to=getattr(TensorProto, kind))

    def _first(self, states: str) -> str:
        return self._add("Slice", [states, self._place(0), self._place(1), self._place(1)], "")

    def _place(self, number: int) -> str:
        """Add an index or an axis as a constant of the graph."""
        name = f"place {number}"
        self.places[name] = np.array([number], dtype=np.int64)
        return name

    def _linear(self, states: str, name: str, shape: tuple[int, int], output: str = "") -> str:
        given = [self._copied(f"{name}weight", shape), self._copied(f"{name}bias", shape[:1])]
        return self._add("Gemm", [states, *given], "", output, transB=1)

    def _matmul(self, states: str, name: str, shape: tuple[int, int]) -> str:
        """Add a product with (outputs, inputs) weights.

        ONNX Runtime packs them when it opens the session, so they need no other copy.
        """
        self.used[f"{self.prefix}{name}"] = self._weight(name, shape)
        return self._add("FusedMatMul", [states, f"{self.prefix}{name}"], transB=1)

    def _norm(self, name: str) -> list[str]:
        shape = (self.config["hidden_size"],)
        return [self._copied(f"{name}{part}", shape) for part in ("weight", "bias")]

    def _copied(self, name: str, shape: tuple[int, ...]) -> str:
        """Take a copy of weights that each prediction reads, as the file may change."""
        return self._own(name, self._weight(name, shape).copy())

    def _own(self, name: str, array: np.ndarray[Any, Any]) -> str:
        self.used[f"{self.prefix}{name}"] = array
        return f"{self.prefix}{name}"

    def _weight(self, name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        array = self.weights.get(f"{self.prefix}{name}")
        if array is None or array.shape != shape:
            found = "missing" if array is None else f"of the shape {array.shape}, not {shape}"
            raise NoGraphError(f"the weights {self.prefix}{name} are {found}")
        return array


def _outside(name: str, array: np.ndarray[Any, Any]) -> Any:
    """Return a tensor whose values ONNX Runtime gets beside the graph."""
    from onnx import TensorProto, helper

    tensor = TensorProto(
        name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
        data_location=TensorProto.EXTERNAL,
    )  # fmt: skip
    tensor.external_data.add(key="location", value="weights")
    return tensor
