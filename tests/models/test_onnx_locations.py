"""Files outside an ONNX graph are found wherever the graph names them, without running it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetext.models.onnx import open_session
from finetext.models.onnx_locations import external_files

onnx = pytest.importorskip("onnx")


def tensor(location: str) -> Any:
    made = onnx.numpy_helper.from_array(np.ones((2, 2), dtype=np.float32), "w")
    made.ClearField("raw_data")
    made.data_location = onnx.TensorProto.EXTERNAL
    made.external_data.add(key="offset", value="0")
    made.external_data.add(key="location", value=location)
    return made


def graph(nodes: list[Any] = [], weights: list[Any] = []) -> Any:  # noqa: B006
    helper = onnx.helper
    outputs = [helper.make_tensor_value_info("logits", 1, [2, 2])]
    return helper.make_graph(nodes, "g", [], outputs, weights)


def constant(value: Any) -> Any:
    return onnx.helper.make_node("Constant", [], ["logits"], value=value)


def branch(inner: Any) -> Any:
    return onnx.helper.make_node("If", ["c"], ["logits"], then_branch=inner, else_branch=inner)


def function(name: str) -> Any:
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_function("own", "f", [], ["logits"], [constant(tensor(name))], opset)


def sparse(name: str) -> Any:
    made = onnx.SparseTensorProto(values=tensor(name), indices=tensor("indices"), dims=[2])
    whole = graph()
    whole.sparse_initializer.append(made)
    return whole


CASES: dict[str, Any] = {
    "a weight": lambda name: onnx.helper.make_model(graph(weights=[tensor(name)])),
    "a constant": lambda name: onnx.helper.make_model(graph([constant(tensor(name))])),
    "a branch": lambda name: onnx.helper.make_model(
        graph([branch(graph([branch(graph(weights=[tensor(name)]))]))])
    ),
    "a function": lambda name: onnx.helper.make_model(graph(), functions=[function(name)]),
    "a sparse weight": lambda name: onnx.helper.make_model(sparse(name)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "model.onnx"])
def test_every_file_that_a_graph_names_is_found_and_refused(
    tmp_path: Path, case: str, name: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(CASES[case](name).SerializeToString())
    assert name in external_files(path)
    pytest.importorskip("onnxruntime")
    with pytest.raises(ValueError, match=r"reads weights from the file"):
        open_session(path, "cpu")


def test_a_graph_without_other_files_names_none(tmp_path: Path) -> None:
    weight = onnx.numpy_helper.from_array(np.ones((2, 2), dtype=np.float32), "w")
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx.helper.make_model(graph(weights=[weight])).SerializeToString())
    assert external_files(path) == set()


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 20, b"\x3a\xff\xff\xff\x7f", b"\x3b", b"\x3a\x05ab", b"\x09abc"]
)
def test_damaged_graphs_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged|empty"):
        external_files(path)
