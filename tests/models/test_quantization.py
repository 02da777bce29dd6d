"""8-bit weights: how they are rounded, and what graphs with them compute."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import finetext
from finetext.core.arrays import Booleans, Floats, probabilities_of
from finetext.core.decision import Decision
from finetext.core.errors import ModelError
from finetext.core.types import LabelScheme
from finetext.models.onnx import OnnxClassifier
from finetext.models.quantization import (
    RESERVE,
    USUAL_MARGIN,
    products,
    quantize,
    rounded,
    safe_margin,
    second_moments,
)

onnx = pytest.importorskip("onnx")
Without = Callable[[tuple[str, ...], str, Path], str]


def restored(weights: Floats, moments: Floats | None = None) -> Floats:
    """The weights that codes and scales stand for."""
    codes, scales = rounded(weights, moments)
    assert (codes.dtype, codes.shape) == (np.int8, weights.shape)
    return codes * scales.astype(float)


def test_each_weight_is_off_by_half_a_step_at_most() -> None:
    weights = np.random.default_rng(0).normal(size=(71, 5)) * np.array([1, 100, 1e-3, 0, 7])
    codes, scales = rounded(weights)
    assert (np.abs(restored(weights) - weights) <= scales / 2 + 1e-9).all()
    assert not codes[:, 3].any()


@given(st.integers(0, 2**32 - 1), st.integers(1, 70), st.booleans())
def test_products_of_two_neighbors_fit_16_bits(seed: int, inputs: int, by_moments: bool) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.standard_t(2, size=(inputs, 4))
    drawn = generator.normal(size=(50, inputs)) @ generator.normal(size=(inputs, inputs))
    codes, _ = rounded(weights, drawn.T @ drawn / 50 if by_moments else None)
    sizes = np.abs(codes.astype(int))
    assert sizes.max() <= 127
    pairs = sizes[: inputs - inputs % 2].reshape(-1, 2, 4).sum(axis=1)
    assert 255 * pairs.max(initial=0) < 2**15


def test_second_moments_make_the_outputs_more_exact() -> None:
    generator = np.random.default_rng(0)
    common = generator.normal(size=(500, 4)) @ generator.normal(size=(4, 64))
    inputs = common + 0.1 * generator.normal(size=(500, 64))
    weights = generator.normal(size=(64, 8))
    moments = inputs.T @ inputs / len(inputs)

    def error(found: Floats) -> float:
        return float(np.square(inputs @ found - inputs @ weights).mean())

    assert error(restored(weights, moments)) < error(restored(weights)) / 2


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
        "Gather", "Cast", "Gather", "Mul", "Abs", "ReduceMax", "Mul", "Max", "Reciprocal", "Mul",
        "QuantizeLinear", "MatMulIntegerToFloat", "Mul", "Add", "LayerNormalization", "MatMul",
    ]  # fmt: skip
    assert len(small.SerializeToString()) < len(before) / 3
    ids = list(range(0, 2_000, 7))
    found, wanted = computed(small, ids), computed(exact, ids)
    assert np.abs(found - wanted).max() < 0.05 * wanted.std()
    assert not np.array_equal(found, wanted)
    alone = np.concatenate([computed(small, [one]) for one in ids[:9]])
    np.testing.assert_allclose(found[:9], alone, atol=1e-5)


def two_layers() -> Any:
    """Values through a normalization, a product, GELU and a product."""
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(0)
    weights = {
        "scale": np.r_[60.0, np.ones(31)], "first": generator.normal(size=(32, 64)) / 8,
        "second": generator.normal(size=(64, 16)), "last": np.ones(16),
    }  # fmt: skip
    nodes = [
        helper.make_node("LayerNormalization", ["x", "scale"], ["normal"]),
        helper.make_node("MatMul", ["normal", "first"], ["wide"]),
        helper.make_node("Gelu", ["wide"], ["active"]),
        helper.make_node("MatMul", ["active", "second"], ["states"]),
        helper.make_node("LayerNormalization", ["states", "last"], ["y"]),
    ]
    whole = helper.make_graph(
        nodes, "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 32]),
         helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(of.astype(np.float32), name) for name, of in weights.items()],
    )  # fmt: skip
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def test_a_channel_with_large_values_costs_the_others_little(tmp_path: Path) -> None:
    import onnxruntime

    exact, generator = two_layers(), np.random.default_rng(1)
    values = generator.normal(size=(300, 32)).astype(np.float32)
    values[0] = 0  # a token without any value

    def run(model: Any) -> Floats:
        given = {"x": values, "attention_mask": np.ones(len(values), dtype=np.int64)}
        session = onnxruntime.InferenceSession(model.SerializeToString())
        return np.asarray(session.run(None, given)[0], dtype=np.float64)

    batch = {"x": values, "attention_mask": np.ones(len(values), dtype=np.int64)}
    moments = second_moments(exact, [batch], tmp_path)
    wanted = run(exact)
    plain, even = (np.abs(run(quantize(exact, of)) - wanted) for of in (None, moments))
    assert np.isfinite(plain).all()
    assert even.mean() < plain.mean() / 2
    assert even.max() < 0.1


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


def test_what_is_no_table_of_vectors_and_the_last_product_stay() -> None:
    exact = graph()
    exact.graph.node[0].attribute.append(onnx.helper.make_attribute("axis", 1))
    del exact.graph.node[2]
    exact.graph.node[2].input[0] = "states"
    kept = [node.op_type for node in quantize(exact).graph.node]
    assert kept[0] == "Gather"
    assert kept[-1] == "MatMul"
    assert kept.count("MatMulIntegerToFloat") == 1


def test_a_graph_without_products_is_refused() -> None:
    exact = graph()
    del exact.graph.node[1:]
    exact.graph.output[0].name = "vectors"
    with pytest.raises(ValueError, match="no matrix products"):
        quantize(exact)


@pytest.fixture(scope="module")
def small(encoder_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 export of the small run."""
    folder = tmp_path_factory.mktemp("int8") / "int8"
    settings = {"quantize": "int8"}
    return finetext.export(encoder_run / "finetune", "onnx", folder, settings=settings).folder


def test_an_export_in_8_bits_states_agreement_and_what_it_computes_again(
    small: Path, onnx_model: Path, topic_rows: tuple[list[str], list[str]]
) -> None:
    kinds = {node.op_type for node in onnx.load(str(small / "model.onnx")).graph.node}
    assert "MatMulIntegerToFloat" in kinds
    compared = json.loads((small / "export.json").read_text())
    assert compared["agreement"] >= 0.99
    assert "are close calls, which float32 computes again" in compared["remark"]
    assert compared["remark"] in (small / "README.md").read_text()
    near, exact = finetext.load(small), finetext.load(onnx_model)
    found, wanted = near.predict_proba(topic_rows[0]), exact.predict_proba(topic_rows[0])
    assert 0 < np.abs(found - wanted).max() < 0.05
    alone = np.concatenate([near.predict_proba([text]) for text in topic_rows[0][:9]])
    np.testing.assert_allclose(found[:9], alone, atol=1e-5)


def test_close_calls_are_computed_in_float32_by_whatever_rule_decides(
    small: Path, onnx_model: Path, topic_rows: tuple[list[str], list[str]]
) -> None:
    near, exact = finetext.load(small), finetext.load(onnx_model)
    assert isinstance(near, OnnxClassifier)
    texts = topic_rows[0]
    in_8_bits, wanted = replace(near, exact=None).logits(texts), exact.logits(texts)

    def again(classifier: OnnxClassifier) -> Booleans:
        found = classifier.logits(texts)
        was_exact = np.isclose(found, wanted, atol=2e-3).all(axis=1)
        assert (was_exact | np.isclose(found, in_8_bits, atol=1e-6).all(axis=1)).all()
        return classifier.is_close(in_8_bits)

    gaps = np.diff(np.sort(in_8_bits, axis=1)[:, -2:])[:, 0]
    wide = replace(near, about={**near.about, "margin": float(np.median(gaps)) + 1e-9})
    np.testing.assert_array_equal(again(wide), gaps <= np.median(gaps))
    narrow = replace(near, about={**near.about, "margin": 1e-9})
    assert not again(narrow).any()
    likely = probabilities_of(in_8_bits, multilabel=False)
    border = float(np.sort(likely.max(axis=1))[20])
    abstaining = narrow.with_decision(Decision(least=(border,) * 3))
    np.testing.assert_array_equal(again(abstaining), likely.max(axis=1) == border)


def test_each_label_of_several_is_a_call(small: Path) -> None:
    near = finetext.load(small)
    assert isinstance(near, OnnxClassifier)
    several = replace(
        near, scheme=LabelScheme(near.scheme.names, multilabel=True),
        decision=Decision(thresholds=(0.5, 0.5, 0.9)), about={**near.about, "margin": 0.3},
    )  # fmt: skip
    at = math.log(9)  # the log-odds of 0.9
    logits = np.array([[2, -2, 0], [0.2, -2, 0], [2, -0.2, 0], [2, 2, at - 0.2], [2, 2, at + 0.4]])
    assert several.is_close(logits).tolist() == [False, True, True, True, False]


@given(st.integers(0, 2**32 - 1), st.sampled_from(["likely", "costs", "least", "sets", "scope"]))
def test_no_row_that_a_logit_off_by_the_margin_decides_otherwise_is_missed(
    small: Path, seed: int, rule: str
) -> None:
    near = finetext.load(small)
    assert isinstance(near, OnnxClassifier)
    decision = {
        "likely": Decision(), "least": Decision(least=(0.6, 0.7, 0.5)),
        "costs": Decision(costs=((0, 1, 0.3), (1, 0, 0.3), (1, 1, 0))),
        "sets": Decision(set_from=0.3, coverage=0.9), "scope": Decision(in_scope_up_to=-0.6),
    }[rule]  # fmt: skip
    near = replace(near, decision=decision, temperature=1.3)
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(300, 3))
    close = near.is_close(logits, 0.2)
    for column in range(3) if rule in ("costs", "sets") else (logits.argmax(axis=1),):
        for change in (0.19, -0.19):
            moved = logits.copy()
            moved[np.arange(300), column] += change
            differs = (near._decided(moved) != near._decided(logits)).any(axis=1)
            assert not (differs & ~close).any()
    assert not close.all()
    assert near.is_close(np.full((2, 3), np.nan), 0.2).all()


@pytest.mark.parametrize("margin", ["abc", None, -1.0, float("nan"), float("inf"), [1.0], True])
def test_a_margin_that_is_none_is_an_error_of_the_model(
    small: Path, tmp_path: Path, margin: Any
) -> None:
    folder = shutil.copytree(small, tmp_path / "m")
    about = json.loads((folder / "onnx.json").read_text())
    (folder / "onnx.json").write_text(json.dumps({**about, "margin": margin}))
    described = json.loads((folder / "finetext.json").read_text(encoding="utf-8"))
    del described["files"]
    (folder / "finetext.json").write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(ModelError, match=r"margin|NaN|Infinity"):
        finetext.load(folder)


def test_the_program_in_the_card_computes_close_calls_again(
    small: Path, snippet_of: Callable[[Path], str], without: Without, tmp_path: Path,
    topic_rows: tuple[list[str], list[str]],
) -> None:  # fmt: skip
    near = finetext.load(small)
    assert isinstance(near, OnnxClassifier)
    texts, folder = topic_rows[0], tmp_path / "m"
    gaps = np.diff(np.sort(replace(near, exact=None).logits(texts), axis=1)[:, -2:])
    about = {**near.about, "margin": float(np.median(gaps)) + 1e-9}
    wide = replace(near, about=about).with_temperature(1.5)
    wide.save(folder)
    program = snippet_of(folder) + f"\nprint(json.dumps(predict_proba({texts!r}).tolist()))\n"
    said = json.loads(without(("torch", "finetext"), program, folder).splitlines()[-1])
    np.testing.assert_allclose(said, wide.predict_proba(texts), atol=1e-5)


def test_without_rows_the_margin_is_the_usual_one(encoder_run: Path, tmp_path: Path) -> None:
    made = finetext.export(
        finetext.load(encoder_run / "finetune" / "model", device="cpu"), "onnx", tmp_path / "m",
        settings={"quantize": "int8"}, terms=finetext.ExportTerms(force=True),
    )  # fmt: skip
    assert made.classifier.provenance()["margin"] == USUAL_MARGIN


@pytest.mark.parametrize("several", [False, True])
def test_a_margin_is_the_error_of_unclear_rows(small: Path, several: bool) -> None:
    near = finetext.load(small)
    assert isinstance(near, OnnxClassifier)
    near = replace(near, scheme=LabelScheme(near.scheme.names, multilabel=several))
    exact = np.tile([20.0, 1.0, -30.0], (400, 1))
    exact[:200, 0] = 12.0
    logits = exact.copy()
    logits[:200, 0] += np.arange(200) / 100
    logits[200:, 0] += 5.0
    if several:
        logits[:, 1] = exact[:, 1] = np.where(np.arange(400) < 200, 8.0, 9.0)
    assert safe_margin(near, logits, exact) / RESERVE == pytest.approx(1.98, abs=0.011)


def test_a_margin_is_widened_until_few_probabilities_are_off(small: Path) -> None:
    near = finetext.load(small)
    assert isinstance(near, OnnxClassifier)
    gaps = np.r_[np.linspace(0, 5, 400), np.linspace(5, 9, 120)]
    logits = np.stack([gaps, np.zeros(520), np.full(520, -30.0)], axis=1)
    exact = logits - np.array([0.4, 0, 0])
    margin = safe_margin(near, logits, exact) / RESERVE
    off = np.abs(probabilities_of(logits, multilabel=False) - probabilities_of(exact, False)) > 0.05
    assert margin > 0.4
    assert 0 < off[gaps > margin].sum() <= 0.01 * off.size - 3
    assert off[gaps > margin / 1.02].sum() > 0.01 * off.size - 3
    assert safe_margin(near, logits, exact, close=1) == pytest.approx(2 * 0.4)


def test_folders_in_8_bits_of_earlier_versions_still_load(onnx_model: Path, tmp_path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    folder = shutil.copytree(onnx_model, tmp_path / "m")
    graph = onnx.load(str(onnx_model / "model.onnx"))
    del graph.graph.value_info[:]
    quantize_dynamic(
        graph, str(folder / "model.onnx"), per_channel=True, reduce_range=True,
        weight_type=QuantType.QInt8,
    )  # fmt: skip
    kinds = {node.op_type for node in onnx.load(str(folder / "model.onnx")).graph.node}
    assert {"MatMulInteger", "DynamicQuantizeLinear"} <= kinds
    described = json.loads((folder / "finetext.json").read_text(encoding="utf-8"))
    del described["files"]
    (folder / "finetext.json").write_text(json.dumps(described), encoding="utf-8")
    texts: Any = ["fresh bread", "the match", "the bank", "a late goal in the final game"]
    near, exact = finetext.load(folder), finetext.load(onnx_model)
    off = np.abs(near.predict_proba(texts) - exact.predict_proba(texts)).max()
    assert 0 < off < 0.1
