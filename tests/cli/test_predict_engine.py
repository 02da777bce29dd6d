"""Which engine the commands use, and that each says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from finetext.batch.predict_file import predict_file
from finetext.core.contracts import Listener

pytest.importorskip("onnxruntime")

Command = Callable[..., Any]
ONNX = "engine: ONNX Runtime in fp32"
TORCH = "engine: torch in fp32"
TEXT = "the team won the match"


@pytest.fixture
def table(workplace: Path) -> Path:
    Path("new.csv").write_text(f"text,label\n{TEXT},sport\nsoup with bread,food\n" * 20)
    return Path("new.csv")


@pytest.fixture
def without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    def spec(name: str) -> Any:
        return None if name == "onnxruntime" else find_spec(name)

    monkeypatch.setattr("finetext.models.engines.find_spec", spec)


@pytest.fixture
def with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU have instructions for bf16."""
    monkeypatch.setattr("finetext.training.precision._processor_has_bf16", lambda: True)


def words_of(name: str, model: Path, table: Path) -> list[object]:
    words = {
        "text": ["predict", model, TEXT],
        "file": ["predict", model, table],
        "parts": ["predict", model, table, "--out", "parts/"],
        "plot": ["plot", model, TEXT],
        "monitor": ["monitor", model, table, "--reference", table],
    }
    return [*words[name], "--device", "cpu"]


@pytest.mark.parametrize("name", ["text", "file", "parts", "plot", "monitor"])
def test_commands_use_onnx_and_say_so(
    name: str, command: Command, tuned: Path, table: Path
) -> None:
    assert ONNX in command(*words_of(name, tuned, table), status=0).err.splitlines()


@pytest.mark.parametrize("name", ["text", "file", "parts", "plot", "monitor"])
def test_a_missing_package_is_no_news_of_a_command(
    name: str, command: Command, tuned: Path, table: Path, without_onnx: None
) -> None:
    told = command(*words_of(name, tuned, table), status=0).err
    assert TORCH in told.splitlines()
    assert "install" not in told


@pytest.mark.parametrize("how", [[], ["--json"], ["--precision", "fp32"]])
def test_labels_and_probabilities_are_those_of_torch(
    how: list[str], command: Command, tuned: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*words_of("text", tuned, table), *how]
    onnx = command(*words, status=0)
    monkeypatch.setattr("finetext.models.engines._PACKAGES", ("no_such_package",))
    torch = command(*words, status=0)
    if how != ["--json"]:
        assert (ONNX in onnx.err, TORCH in torch.err) == (True, True)
        assert onnx.out == torch.out
        return
    [one], [other] = json.loads(onnx.out), json.loads(torch.out)
    assert one["prediction"] == other["prediction"]
    for key, value in one.items():
        assert value == (pytest.approx(other[key]) if isinstance(value, float) else other[key])


def test_tables_are_predicted_in_bf16_where_that_is_fast(
    command: Command, tuned: Path, table: Path, with_bf16: None
) -> None:
    for name in ("file", "parts", "monitor"):
        told = command(*words_of(name, tuned, table), status=0).err
        assert "engine: torch in bf16" in told
    for name in ("text", "plot"):
        words = words_of(name, tuned, table)
        for asked in ([], ["--precision", "auto"]):  # the same, as the model was trained in auto
            assert ONNX in command(*words, *asked, status=0).err
        assert "engine: torch in bf16" in command(*words, "--precision", "bf16", status=0).err
    assert ONNX in command(*words_of("file", tuned, table), "--precision", "fp32", status=0).err


@pytest.mark.parametrize(("is_typed", "engine"), [(True, ONNX), (False, "engine: torch in bf16")])
def test_lines_that_are_typed_are_single_texts(
    is_typed: bool,
    engine: str,
    tuned: Path,
    tmp_path: Path,
    with_bf16: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (tmp_path / "lines.txt").open("w+", encoding="utf-8") as lines:
        lines.write(f"{TEXT}\n")
        lines.seek(0)
        monkeypatch.setattr(lines, "isatty", lambda: is_typed, raising=False)
        monkeypatch.setattr("sys.stdin", lines)
        said: list[str] = []
        predict_file(tuned, "-", device="cpu", listener=Listener(said.append))
    assert engine in said


def test_bars_as_json_have_the_engine(command: Command, tuned: Path, table: Path) -> None:
    told = json.loads(command(*words_of("plot", tuned, table), "--json", status=0).out)
    assert told["engine"] == "ONNX Runtime in fp32"


def test_the_server_says_it_when_it_is_ready(
    command: Command, tuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("uvicorn")
    monkeypatch.setattr(
        "finetext.serving.server.answer", lambda *given: given[-1]("http://127.0.0.1:1")
    )
    words = ["serve", tuned, "--port", 0, "--device", "cpu"]
    assert f"is at http://127.0.0.1:1, {ONNX}" in command(*words, status=0).out
    assert json.loads(command(*words, "--json", status=0).out)["engine"] == ONNX[8:]
