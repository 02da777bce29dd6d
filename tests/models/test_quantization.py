"""8-bit weights: how they are rounded, and what graphs with them compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetext.core.arrays import Floats
from finetext.models.quantization import products, quantize, rounded, second_moments

pytest.importorskip("onnx")


def restored(weights: Floats, block: int, moments: Floats | None = None) -> Floats:
    """The weights that codes and scales stand for."""
    codes, scales = rounded(weights, block, moments)
    assert codes.dtype == np.uint8
    steps = (codes.astype(float) - 128) * scales[..., None]
    return steps.reshape(len(codes), -1)[:, : len(weights)].T


def test_each_weight_is_off_by_half_a_step_of_its_block_at_most() -> None:
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(70, 5)) * np.repeat([1.0, 100.0, 0.0], [32, 32, 6])[:, None]
    found = restored(weights, 32)
    for start in (0, 32, 64):
        part = weights[start : start + 32]
        step = np.abs(part).max(axis=0) / 127
        assert (np.abs(found[start : start + 32] - part) <= step / 2 + 1e-6).all()
    codes, _ = rounded(weights, 32)
    assert codes.shape == (5, 3, 32)
    assert (codes[:, 2] == 128).all()  # weights of 0, and what fills the last block


def test_second_moments_make_the_outputs_more_exact() -> None:
    generator = np.random.default_rng(0)
    common = generator.normal(size=(500, 4)) @ generator.normal(size=(4, 64))
    inputs = common + 0.1 * generator.normal(size=(500, 64))
    weights = generator.normal(size=(64, 8))
    moments = inputs.T @ inputs / len(inputs)

    def error(found: Floats) -> float:
        return float(np.square(inputs @ found - inputs @ weights).mean())

    assert error(restored(weights, 32, moments)) < error(restored(weights, 32)) / 2


def graph() -> Any:
    """Tokens of 40 features: a product with a bias, a normalization, and a head."""
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(0)
    shapes = {
        "table": (2_000, 40),
        "first": (24, 40),
        "bias": (24,),
        "scale": (24,),
        "head": (24, 3),
    }
    weights = {name: generator.normal(size=of).astype(np.float32) for name, of in shapes.items()}
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["vectors"]),
        helper.make_node("Gemm", ["vectors", "first", "bias"], ["states"], transB=1),
        helper.make_node("LayerNormalization", ["states", "scale"], ["normal"]),
        helper.make_node("MatMul", ["normal", "head"], ["logits"]),
    ]
    given = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])]
    made = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])]
    constants = [numpy_helper.from_array(of, name) for name, of in weights.items()]
    whole = helper.make_graph(nodes, "graph", given, made, constants)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def computed(model: Any, ids: list[int]) -> Floats:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.asarray(session.run(None, {"ids": np.array(ids)})[0], dtype=np.float64)


def test_a_graph_computes_nearly_the_same_with_a_quarter_of_the_bytes() -> None:
    exact = graph()
    before = exact.SerializeToString()
    small = quantize(exact)
    assert exact.SerializeToString() == before
    assert [node.op_type for node in small.graph.node] == [
        "Gather", "Cast", "Gather", "Mul", "MatMulNBits", "Add", "LayerNormalization", "MatMul",
    ]  # fmt: skip
    assert len(small.SerializeToString()) < len(before) / 3
    ids = list(range(0, 2_000, 7))
    found, wanted = computed(small, ids), computed(exact, ids)
    assert np.abs(found - wanted).max() < 0.05 * wanted.std()
    assert not np.array_equal(found, wanted)
    alone = np.concatenate([computed(small, [one]) for one in ids[:9]])
    np.testing.assert_allclose(found[:9], alone, atol=1e-5)


def test_moments_are_those_of_tokens_and_not_of_padding(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    exact = graph()
    exact.graph.input.append(
        helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["n"])
    )
    assert [node.output[0] for node in products(exact)] == ["states"]
    batch = {"ids": np.array([5, 6, 7]), "attention_mask": np.array([1, 1, 0])}
    [(name, found)] = second_moments(exact, [batch, batch], tmp_path).items()
    table = np.array(table_of(exact))[[5, 6]]
    assert name == "vectors"
    np.testing.assert_allclose(found, table.T @ table / 2, atol=1e-5)
    assert not list(tmp_path.iterdir())


def table_of(model: Any) -> Any:
    from onnx import numpy_helper

    return next(numpy_helper.to_array(of) for of in model.graph.initializer if of.name == "table")


def test_a_graph_without_products_is_refused() -> None:
    exact = graph()
    del exact.graph.node[1:]
    exact.graph.output[0].name = "vectors"
    with pytest.raises(ValueError, match="no matrix products"):
        quantize(exact)
