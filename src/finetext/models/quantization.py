"""8-bit integers in an ONNX graph: weights, and the activations that meet them.

Weights get a scale for each block of `BLOCK` inputs of each output. What they are multiplied with
is quantized while it is computed, for each token in blocks of the same inputs, so one token or one
channel with large values costs the others no precision, and a text is predicted alike in any batch.
That is the operator MatMulNBits of ONNX Runtime. Weights are rounded so that the outputs on given
texts change least (Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization for Generative
Pre-trained Transformers"). Token vectors get a scale each. Products after the last normalization,
the head, stay in float32.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from finetext.core.arrays import Floats

BLOCK: Final = 128
"""Inputs that share a scale."""
_MOST: Final = 127
_ZERO: Final = 128
_DOMAIN: Final = "com.microsoft"
_INT8: Final = 4
"""The accuracy level of MatMulNBits that quantizes activations, too."""
_FEWEST_VECTORS: Final = 1_000
_FEWEST_HALVED: Final = 1_000
SAFE: Final = 0.99
USUAL_MARGIN: Final = 0.5
"""For `OnnxClassifier` where no texts are there to choose it by."""
_DAMPING: Final = 0.01
Bytes = npt.NDArray[np.uint8]


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
    nodes: list[Any] = []
    for node in made.graph.node:
        if node.output[0] in chosen:
            nodes += _product(made, node, _matrix(weights, node), moments)
        elif (table := _vectors(weights, node)) is not None:
            nodes += _lookup(made, node, table)
        else:
            nodes.append(node)
    if not chosen:
        raise ValueError("the graph has no matrix products with constant weights")
    nodes = [copy.deepcopy(node) for node in nodes]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
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


def safe_margin(near: Floats, exact: Floats, multilabel: bool) -> float:
    """Return how far logits of 8 bits are off at most, but for 1 of 100 rows.

    Args:
        near: (n, k) logits of the graph in 8 bits.
        exact: (n, k) logits of the same rows in float32.
        multilabel: whether each label is decided by itself.

    Returns:
        the quantile of the errors at `SAFE`: of the difference between the two highest logits of
        each row, or of the logit that is furthest off if there are several labels.
    """
    if multilabel:
        errors = np.abs(near - exact).max(axis=1)
    else:
        rows = np.arange(len(near))[:, None]
        best = np.argsort(-near, axis=1)[:, :2]
        errors = np.abs(np.diff(near[rows, best] - exact[rows, best], axis=1))[:, 0]
    return float(np.quantile(errors, SAFE, method="higher"))


def products(model: Any) -> list[Any]:
    """Return the nodes that multiply with constant weights, but for those of the head."""
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
    return [node for node in found if node.output[0] not in head] or found


def second_moments(
    model: Any, batches: Iterable[Mapping[str, Any]], work: Path
) -> dict[str, Floats]:
    """Return the mean of x xᵀ over tokens for the input x of each product, by its name.

    Args:
        model: a float32 model of onnx.
        batches: inputs of the graph; tokens count where `attention_mask` is 1.
        work: a folder for a file, which is removed.
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
    file = work / "watched.onnx"
    onnx.save(watched, str(file))
    try:
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    finally:
        file.unlink()
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
    of = weights[node.input[0]]
    is_table = len(of.dims) == 2 and of.data_type == 1 and of.dims[0] >= _FEWEST_VECTORS
    return numpy_helper.to_array(of) if is_table else None


def _product(
    model: Any, node: Any, weights: Any, moments: Mapping[str, Floats] | None
) -> Iterator[Any]:
    """Yield the nodes of a product in 8 bits."""
    from onnx import helper, numpy_helper

    inputs, outputs = weights.shape
    known = None if moments is None else moments.get(node.input[0])
    codes, scales = rounded(weights, BLOCK, known)
    name = node.output[0]
    model.graph.initializer.extend(
        [numpy_helper.from_array(codes, f"{name}.codes"),
         numpy_helper.from_array(scales.reshape(-1), f"{name}.scales")]
    )  # fmt: skip
    bias = node.input[2] if len(node.input) > 2 else ""
    yield helper.make_node(
        "MatMulNBits",
        [node.input[0], f"{name}.codes", f"{name}.scales"],
        [f"{name}.product" if bias else name],
        domain=_DOMAIN, K=inputs, N=outputs, bits=8, block_size=BLOCK, accuracy_level=_INT8,
    )  # fmt: skip
    if bias:
        yield helper.make_node("Add", [f"{name}.product", bias], [name])


def _lookup(model: Any, node: Any, table: Any) -> Iterator[Any]:
    """Yield the nodes that look up 8-bit vectors and multiply them with their scales."""
    from onnx import TensorProto, helper, numpy_helper

    largest = np.abs(table).max(axis=1, keepdims=True)
    scales = np.where(largest > 0, largest / _MOST, 1).astype(np.float32)
    name, ids = node.output[0], node.input[1]
    model.graph.initializer.extend(
        [numpy_helper.from_array(np.round(table / scales).astype(np.int8), f"{name}.codes"),
         numpy_helper.from_array(scales, f"{name}.scales")]
    )  # fmt: skip
    yield helper.make_node("Gather", [f"{name}.codes", ids], [f"{name}.code"])
    yield helper.make_node("Cast", [f"{name}.code"], [f"{name}.steps"], to=TensorProto.FLOAT)
    yield helper.make_node("Gather", [f"{name}.scales", ids], [f"{name}.scale"])
    yield helper.make_node("Mul", [f"{name}.steps", f"{name}.scale"], [name])


def rounded(
    weights: Floats, block: int = BLOCK, moments: Floats | None = None
) -> tuple[Bytes, npt.NDArray[np.float32]]:
    """Return (outputs, blocks, block) codes and (outputs, blocks) scales of (inputs, outputs).

    A weight is its scale times its code less 128. With the second moments of the inputs, rounding
    errors of one input are made up for by the weights of later ones (GPTQ); else codes are nearest.
    """
    inputs, outputs = weights.shape
    blocks = -(-inputs // block)
    left = np.zeros((blocks * block, outputs))
    left[:inputs] = weights
    codes = np.full(left.shape, _ZERO, dtype=np.uint8)
    scales = np.ones((blocks, outputs), dtype=np.float32)
    factor = None if moments is None else _factor(moments)
    for start in range(0, inputs, block):
        stop = min(start + block, inputs)
        largest = np.abs(left[start:stop]).max(axis=0)
        scale = np.where(largest > 0, largest / _MOST, 1).astype(np.float32)
        scales[start // block] = scale
        if factor is None:
            steps = np.round(left[start:stop] / scale)
            codes[start:stop] = np.clip(steps, -_MOST, _MOST) + _ZERO
            continue
        errors = np.zeros((stop - start, outputs))
        for row in range(start, stop):
            step = np.clip(np.round(left[row] / scale), -_MOST, _MOST)
            codes[row] = step + _ZERO
            error = (left[row] - step * scale) / factor[row, row]
            left[row + 1 : stop] -= np.outer(factor[row, row + 1 : stop], error)
            errors[row - start] = error
        left[stop:inputs] -= factor[start:stop, stop:].T @ errors
    shaped = codes.T.reshape(outputs, blocks, block)
    return np.ascontiguousarray(shaped), np.ascontiguousarray(scales.T)


def _factor(moments: Floats) -> Floats:
    """Return the upper Cholesky factor of the inverse of damped second moments."""
    damped = moments.copy()
    places = np.arange(len(damped))
    damped[places, places] += _DAMPING * max(float(np.diag(damped).mean()), 1e-12)
    return np.asarray(np.linalg.cholesky(np.linalg.inv(damped)).T)
