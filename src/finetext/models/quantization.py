"""8-bit integers in an ONNX graph: weights, and the activations that meet them.

Weights have a scale for each output. Activations get a scale for each token while the graph is
computed: a token with large values costs the others no precision, and a text is predicted alike in
any batch. (The dynamic quantization of ONNX Runtime has one scale for a whole batch.)

- Weights are rounded so that the outputs on given texts change least (Frantar et al. 2022, "GPTQ:
  Accurate Post-Training Quantization for Generative Pre-trained Transformers").
- Channels with large activations are made smaller, and their weights larger (Xiao et al. 2023,
  "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models").
- Activations after GELU use all codes but for the few that its smallest value needs.
- Token vectors have a scale each. The head stays in float32.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from finetext.core.arrays import Floats, probabilities_of
from finetext.models.onnx import OnnxClassifier

SAFE: Final = 0.99
"""Share of the less clear rows whose error is below the margin."""
CLOSE: Final = 0.05
"""Difference of a probability that does not count."""
_MOST_OFF: Final = 0.01
"""Share of the probabilities that may be further off."""
_WIDER: Final = 1.02
"""What the margin is multiplied with until that holds."""
RESERVE: Final = 2.0
"""What the margin is multiplied with at last: of other rows than those that it was chosen on, more
are off. See "int8" in benchmarks/LOG.md."""
_LEAST_MARGIN: Final = 1e-3
_FEWEST_ROWS: Final = 50
USUAL_MARGIN: Final = 0.5
"""For `OnnxClassifier` where few texts are there to choose it by, or none."""
_MOST: Final = 127
_MOST_OF_TWO: Final = 128
"""The largest sum of the sizes of the codes of two neighboring inputs. Processors without VNNI add
the products of two neighbors in 16 bits, where 255 times a larger sum would be cut off."""
_TOGETHER: Final = 128
"""Inputs whose errors are passed on to later inputs at once."""
_LEAST_GELU: Final = -0.17
_GELU_ZERO: Final = 20
"""The code of 0 after GELU: as many codes are for values below 0."""
_ZERO: Final = 128
_LEAST_STEP: Final = 1e-30
_LEAST_SIZE: Final = 1e-3
_DAMPING: Final = 0.01
_FEWEST_VECTORS: Final = 1_000
_FEWEST_HALVED: Final = 1_000
_DOMAIN: Final = "com.microsoft"
Codes = npt.NDArray[np.int8]
Scales = npt.NDArray[np.float32]


def quantize(graph: Any, moments: Mapping[str, Floats] | None = None) -> Any:
    """Return a float32 model of onnx with 8-bit weights; raises a ValueError if it has none.

    Args:
        graph: the model, which stays as it is.
        moments: (inputs, inputs) second moments of the input of each product, by its name, as
            `second_moments` returns; without them weights are rounded to the nearest.
    """
    import copy

    from onnx import helper

    made = copy.deepcopy(graph)
    del made.graph.value_info[:]  # recorded shapes are wrong for transposed matrices
    weights = {of.name: of for of in made.graph.initializer}
    chosen = {node.output[0] for node in products(made)}
    if not chosen:
        raise ValueError("the graph has no matrix products with constant weights")
    builder = _Builder(made, moments or {})
    for node in graph.graph.node:
        if node.output[0] in chosen:
            builder.product(node, _matrix(weights, node))
        elif (table := _vectors(weights, node)) is not None:
            builder.lookup(node, table)
        else:
            builder.nodes.append(node)
    del made.graph.node[:]
    made.graph.node.extend(builder.nodes)
    used = {name for node in made.graph.node for name in node.input}
    kept = [of for of in made.graph.initializer if of.name in used]
    del made.graph.initializer[:]
    made.graph.initializer.extend(kept)
    if all(of.domain != _DOMAIN for of in made.opset_import):
        made.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    return made


def halved(graph: Any) -> Any:
    """Return a float32 model of onnx with weights of 16 bits, which become float32 when loaded."""
    import copy

    from onnx import TensorProto, helper, numpy_helper

    made = copy.deepcopy(graph)
    kept, nodes = list[Any](), list[Any]()
    for of in made.graph.initializer:
        values = numpy_helper.to_array(of)
        is_large = of.data_type == TensorProto.FLOAT and values.size >= _FEWEST_HALVED
        if not is_large or not np.abs(values).max() < np.finfo(np.float16).max:
            kept.append(of)
            continue
        name = f"{of.name}.half"
        kept.append(numpy_helper.from_array(values.astype(np.float16), name))
        nodes.append(helper.make_node("Cast", [name], [of.name], to=TensorProto.FLOAT))
    kept = [copy.deepcopy(of) for of in kept]
    nodes += [copy.deepcopy(node) for node in made.graph.node]
    del made.graph.initializer[:], made.graph.node[:], made.graph.value_info[:]
    made.graph.initializer.extend(kept)
    made.graph.node.extend(nodes)
    return made


def safe_margin(near: OnnxClassifier, logits: Floats, exact: Floats, close: float = CLOSE) -> float:
    """Return the margin below which a decision in 8 bits is computed again in float32.

    It is the error of logits that 1 of 100 of the less clear rows exceeds, or more: until at most 1
    of 100 probabilities is off by more than `close`, were there another row above the margin in
    which they are. That is doubled, as it is chosen on few rows.

    Args:
        near: the classifier in 8 bits.
        logits: its (n, k) logits before the temperature, of rows that it did not learn from, as it
            is more certain of those, and errors are smaller.
        exact: those in float32.
        close: largest difference of a probability that does not count.
    """
    several = near.scheme.multilabel
    ordered = np.sort(np.abs(logits) if several else logits, axis=1)
    clear = ordered[:, 0] if several else ordered[:, -1] - ordered[:, -2]
    if several:
        errors = np.abs(logits - exact).max(axis=1)
    else:
        rows = np.arange(len(logits))[:, None]
        best = np.argsort(-logits, axis=1)[:, :2]
        errors = np.abs(np.diff(logits[rows, best] - exact[rows, best], axis=1))[:, 0]
    if not np.isfinite(errors).all():  # the export is refused
        return USUAL_MARGIN
    unclear = errors[clear <= np.median(clear)]
    least = USUAL_MARGIN if len(logits) < _FEWEST_ROWS else _LEAST_MARGIN
    margin = max(float(np.quantile(unclear, SAFE, method="higher")), least)
    found, wanted = (probabilities_of(of / near.temperature, several) for of in (logits, exact))
    off = (np.abs(found - wanted) > close).mean(axis=1)
    most = max(_MOST_OFF * len(off) - 1, 0)
    while margin < 2 * np.abs(logits).max():
        if off[~near.is_close(logits, margin)].sum() <= most:
            break
        margin *= _WIDER
    return margin * RESERVE


def products(model: Any) -> list[Any]:
    """Return the nodes that multiply with constant weights, but for those of the head.

    The head is what follows the last normalization of layers, or else the last product.
    """
    weights = {of.name: of for of in model.graph.initializer}
    found = [node for node in model.graph.node if _matrix(weights, node) is not None]
    makers = {name: node for node in model.graph.node for name in node.output}
    head, waiting = set[str](), [of.name for of in model.graph.output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.op_type == "LayerNormalization" or node.output[0] in head:
            continue
        head.add(node.output[0])
        waiting += node.input
    return [node for node in found if node.output[0] not in head] or found[:-1] or found


def second_moments(
    model: Any, batches: Iterable[Mapping[str, Any]], work: Path
) -> dict[str, Floats]:
    """Return the mean of x xᵀ over tokens for the input x of each product, by its name.

    Args:
        model: a float32 model of onnx.
        batches: inputs of the graph; tokens count where `attention_mask` is 1.
        work: a folder for files, which are removed.
    """
    import copy

    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    watched = copy.deepcopy(model)
    del watched.graph.value_info[:]
    names = list(dict.fromkeys(node.input[0] for node in products(watched)))
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    with tempfile.TemporaryDirectory(dir=work) as folder:
        file = Path(folder) / "watched.onnx"
        onnx.save(watched, str(file), save_as_external_data=True)
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    given = [of.name for of in session.get_inputs()]
    sums, counts = dict[str, Floats](), Counter[str]()
    for batch in batches:
        mask = np.asarray(batch["attention_mask"]).astype(bool)
        values = session.run(names, {name: batch[name] for name in given})
        for name, of in zip(names, values, strict=True):
            rows = of.reshape(-1, of.shape[-1])
            if len(rows) == mask.size:  # else states of some tokens alone
                rows = rows[mask.ravel()]
            sums[name] = sums.get(name, 0.0) + (rows.T @ rows).astype(np.float64)
            counts[name] += len(rows)
    return {name: of / max(counts[name], 1) for name, of in sums.items()}


def _matrix(weights: Mapping[str, Any], node: Any) -> Floats | None:
    """Return the (inputs, outputs) constant weights of a product; None of any other node."""
    from onnx import helper, numpy_helper

    if node.op_type not in ("MatMul", "Gemm") or node.input[1] not in weights:
        return None
    how = {of.name: helper.get_attribute_value(of) for of in node.attribute}
    if how.get("transA") or how.get("alpha", 1.0) != 1.0 or how.get("beta", 1.0) != 1.0:
        return None
    of = weights[node.input[1]]
    if len(of.dims) != 2 or of.data_type != 1:
        return None
    values = numpy_helper.to_array(of)
    return values.T if how.get("transB") else values


def _vectors(weights: Mapping[str, Any], node: Any) -> Floats | None:
    """Return the table of token vectors that a node looks up; None of any other node."""
    from onnx import numpy_helper

    if node.op_type != "Gather" or node.input[0] not in weights:
        return None
    if any(of.name == "axis" and of.i for of in node.attribute):
        return None
    of = weights[node.input[0]]
    is_table = len(of.dims) == 2 and of.data_type == 1 and of.dims[0] >= _FEWEST_VECTORS
    return numpy_helper.to_array(of) if is_table else None


@dataclass
class _Builder:
    """The nodes of a graph in 8 bits, in order; constants are added to the model at once."""

    model: Any
    moments: Mapping[str, Floats]
    nodes: list[Any] = field(default_factory=list)
    constants: set[str] = field(default_factory=set)
    quantized: set[str] = field(default_factory=set)
    makers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.makers = {name: node.op_type for node in self.model.graph.node for name in node.output}

    def product(self, node: Any, weights: Any) -> None:
        """Add the nodes of a product with (inputs, outputs) weights, and of its bias if any."""
        given, name = node.input[0], node.output[0]
        moments, is_gelu = self.moments.get(given), self.makers.get(given) == "Gelu"
        factors = None if moments is None or is_gelu else _factors(moments)
        if given not in self.quantized:
            self._quantize(given, factors, is_gelu)
        if factors is not None and moments is not None:
            weights, moments = weights / factors[:, None], moments * np.outer(factors, factors)
        codes, scales = rounded(weights, moments)
        self._add(
            "MatMulIntegerToFloat",
            [f"{given}.codes", self._constant(f"{name}.codes", codes),
             self._constant("one", np.float32(1)), self._constant(f"{name}.scales", scales),
             self._zero(is_gelu)],
            f"{name}.steps", domain=_DOMAIN,
        )  # fmt: skip
        bias = [name for name in node.input[2:3] if name]
        self._add("Mul", [f"{name}.steps", f"{given}.step"], f"{name}.product" if bias else name)
        if bias:
            self._add("Add", [f"{name}.product", *bias], name)

    def _quantize(self, name: str, factors: Floats | None, is_gelu: bool) -> None:
        """Add the nodes that divide the values of each token by a step of its own, and round."""
        self.quantized.add(name)
        values = name
        if factors is not None:
            given = self._constant(f"{name}.factors", factors.astype(np.float32))
            values = self._add("Mul", [name, given], f"{name}.even")
        sizes, above, least = values, 255 - _GELU_ZERO, -_LEAST_GELU / _GELU_ZERO
        if not is_gelu:
            sizes, above = self._add("Abs", [values], f"{name}.sizes"), _MOST
            least = _LEAST_STEP
        largest = self._add(
            "ReduceMax", [sizes, self._constant("last axis", np.array([-1]))], f"{name}.largest"
        )
        part = self._constant(f"1/{above}", np.float32(1 / above))
        part = self._add("Mul", [largest, part], f"{name}.part")
        least_step = self._constant(f"least of {above}", np.float32(least))
        step = self._add("Max", [part, least_step], f"{name}.step")
        inverse = self._add("Reciprocal", [step], f"{name}.inverse")
        scaled = self._add("Mul", [values, inverse], f"{name}.scaled")
        one = self._constant("one", np.float32(1))
        self._add("QuantizeLinear", [scaled, one, self._zero(is_gelu)], f"{name}.codes")

    def lookup(self, node: Any, table: Any) -> None:
        """Add the nodes that look up 8-bit vectors and multiply them with their scales."""
        from onnx import TensorProto

        largest = np.abs(table).max(axis=1, keepdims=True)
        scales = np.where(largest > 0, largest / _MOST, 1).astype(np.float32)
        name, ids = node.output[0], node.input[1]
        codes = self._constant(f"{name}.table", np.round(table / scales).astype(np.int8))
        code = self._add("Gather", [codes, ids], f"{name}.vector")
        steps = self._add("Cast", [code], f"{name}.whole", to=TensorProto.FLOAT)
        scale = self._add(
            "Gather", [self._constant(f"{name}.sizes of rows", scales), ids], f"{name}.size of row"
        )
        self._add("Mul", [steps, scale], name)

    def _add(self, operator: str, inputs: list[str], output: str, **more: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, [output], **more))
        return output

    def _zero(self, is_gelu: bool) -> str:
        code = _GELU_ZERO if is_gelu else _ZERO
        return self._constant(f"code {code}", np.uint8(code))

    def _constant(self, name: str, value: Any) -> str:
        """Add a constant unless it is there, and return its name."""
        from onnx import numpy_helper

        if name not in self.constants:
            self.constants.add(name)
            self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def rounded(weights: Floats, moments: Floats | None = None) -> tuple[Codes, Scales]:
    """Return (inputs, outputs) codes and (outputs,) scales of weights: a weight is their product.

    With the (inputs, inputs) second moments of the inputs, rounding errors of one input are made up
    for by the weights of later ones (GPTQ); else codes are nearest. The sizes of the codes of two
    neighboring inputs sum to `_MOST_OF_TWO` at most.
    """
    inputs, outputs = weights.shape
    left = np.array(weights, dtype=np.float64)
    scales = _scales(left)
    codes = np.zeros((inputs, outputs), dtype=np.int8)
    factor = np.eye(inputs) if moments is None else _factor(moments)
    for start in range(0, inputs, _TOGETHER):
        stop = min(start + _TOGETHER, inputs)
        errors = np.zeros((stop - start, outputs))
        for row in range(start, stop):
            most: Any = _MOST
            if row % 2:
                most = np.minimum(_MOST, _MOST_OF_TWO - np.abs(codes[row - 1].astype(int)))
            step = np.clip(np.round(left[row] / scales), -most, most)
            codes[row] = step
            error = (left[row] - step * scales) / factor[row, row]
            left[row + 1 : stop] -= np.outer(factor[row, row + 1 : stop], error)
            errors[row - start] = error
        left[stop:] -= factor[start:stop, stop:].T @ errors
    return codes, scales


def _scales(weights: Floats) -> Scales:
    """Return (outputs,) the least scales with which no code is cut off."""
    sizes = np.abs(weights)
    if len(sizes) % 2:
        sizes = np.concatenate([sizes, np.zeros((1, sizes.shape[1]))])
    of_two = sizes[::2] + sizes[1::2]
    least = np.maximum(sizes.max(axis=0) / _MOST, of_two.max(axis=0) / _MOST_OF_TWO)
    return np.where(least > 0, least, 1).astype(np.float32)


def _factors(moments: Floats) -> Floats:
    """Return (inputs,) factors that make the sizes of inputs more even."""
    sizes = np.sqrt(np.diag(moments))
    return np.asarray(np.maximum(sizes, max(_LEAST_SIZE * sizes.max(), _LEAST_STEP)) ** -0.5)


def _factor(moments: Floats) -> Floats:
    """Return the upper Cholesky factor of the inverse of damped second moments."""
    damped = moments.copy()
    places = np.arange(len(damped))
    damped[places, places] += _DAMPING * max(float(np.diag(damped).mean()), 1e-12)
    return np.asarray(np.linalg.cholesky(np.linalg.inv(damped)).T)
