"""One model predicts the same labels, sets and probabilities through every interface."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import finetext
from finetext.core.arrays import Floats
from finetext.core.contracts import FitContext
from finetext.core.decision import Decision
from finetext.core.types import Dataset

TEXTS = [
    "the team won the match", "the bank raised its rates", 'bread, and "salt"', "shares", "late",
    "🥖 خبز パン", "line\nafter line", " soup\t", "the cook " * 60, "'=1+1", "NULL", "0", "a,b;c|d",
]  # fmt: skip
CLOSE = 1e-5


class Row(NamedTuple):
    """What an interface returns for a text; None for what it does not return."""

    scores: Mapping[str, float]
    label: str | None = None
    held: frozenset[str] | None = None


def between(values: Floats, share: float, axis: int | None = None) -> Floats:
    """Return quantiles halfway between values, so that rounding changes no decision."""
    return np.asarray(np.quantile(values, share, axis=axis, method="midpoint"))


@pytest.fixture(scope="module")
def model(topics: Dataset, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fine-tuned encoder that abstains, has thresholds and makes sets."""
    method = finetext.Finetune(
        encoder=str(tiny_encoder), epochs=8, batch_size=8, learning_rate=3e-3
    )
    fitted = method.fit(topics, topics, FitContext(device="cpu"))
    likely = fitted.predict_proba(TEXTS)
    thresholds, least = (between(likely, share, axis=0) for share in (0.8, 0.6))
    rule = Decision(
        thresholds=tuple(thresholds), least=tuple(least),
        set_from=float(between(likely, 0.45)), coverage=0.9,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("doors") / "model"
    fitted.with_decision(rule).save(folder)
    return folder


@pytest.fixture(scope="module")
def expected(model: Path) -> list[Row]:
    """The predictions in Python."""
    rows = decided_by(model)
    assert {row.label for row in rows} > {None}
    assert len({row.held for row in rows}) > 1
    assert any(row.label not in (None, max(row.scores, key=row.scores.__getitem__)) for row in rows)
    return rows


def decided_by(folder: Path) -> list[Row]:
    """Return the predictions of a model in Python."""
    classifier = finetext.load(folder, device="cpu")
    names, likely = classifier.scheme.names, classifier.predict_proba(TEXTS)
    held = classifier.decision.sets(likely)
    assert held is not None
    return [
        Row(dict(zip(names, row, strict=True)), label, frozenset(np.array(names)[inside].tolist()))
        for row, label, inside in zip(likely, classifier.predict(TEXTS), held, strict=True)
    ]


def assert_same(found: Sequence[Row], expected: Sequence[Row]) -> None:
    for text, one, other in zip(TEXTS, found, expected, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=CLOSE), text
        assert (one.label, one.held) == (other.label, other.held), text


def of_columns(rows: Sequence[Mapping[str, Any]], several: Callable[[Any], list[str]]) -> list[Row]:
    """Rows of a table as `predict` writes it."""
    mark = "probability:"
    return [
        Row(
            {name.removeprefix(mark): float(of) for name, of in row.items() if mark in name},
            row["prediction"] or None,
            frozenset(several(row["set"])),
        )
        for row in rows
    ]


def test_calling_the_classifier(model: Path, expected: list[Row]) -> None:
    classifier = finetext.load(model, device="cpu")
    for text, row in zip(TEXTS, expected, strict=True):
        assert classifier(text) == pytest.approx(row.scores, abs=CLOSE)


def test_the_command_line(
    model: Path, expected: list[Row], command: Callable[..., Any], workplace: Path
) -> None:
    with (workplace / "texts.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in TEXTS)])
    assert command("predict", model, "texts.csv", "--all", "--out", "made.csv").status == 0
    assert command("predict", model, "texts.csv", "--all", "--out", "made.jsonl").status == 0
    with (workplace / "made.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == TEXTS
    assert_same(of_columns(rows, lambda cell: cell.split(",") if cell else []), expected)
    lines = (workplace / "made.jsonl").read_text(encoding="utf-8").splitlines()
    assert_same(of_columns([json.loads(line) for line in lines], list), expected)


def test_the_transformers_pipeline(model: Path, expected: list[Row]) -> None:
    from transformers import pipeline

    ask: Any = pipeline("text-classification", model=str(model), top_k=None, device="cpu")
    for row, answer in zip(expected, ask(TEXTS, truncation=True), strict=True):
        assert {of["label"]: of["score"] for of in answer} == pytest.approx(row.scores, abs=CLOSE)


def test_the_onnx_export(model: Path, expected: list[Row], tmp_path: Path) -> None:
    for needed in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(needed)
    rows = {"text": TEXTS, "label": [row.label or "food" for row in expected]}
    made = finetext.export(model, "onnx", tmp_path / "onnx", data=rows)
    assert_same(decided_by(made.folder), expected)


@pytest.fixture(scope="module")
def address(model: Path) -> Iterator[str]:
    """The URL of a server of the model in another process."""
    for needed in ("fastapi", "uvicorn", "prometheus_client"):
        pytest.importorskip(needed)
    words = ("serve", str(model), "--port", "0", "--json", "--device", "cpu", "--precision", "fp32")
    process = subprocess.Popen(
        [sys.executable, "-m", "finetext", *words], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        told = ""
        while not told.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, "the server ended"
            told += line
        yield json.loads(told)["address"]
        process.terminate()


def test_the_server(address: str, expected: list[Row]) -> None:
    asked = urllib.request.Request(
        f"{address}/decide",
        json.dumps({"inputs": TEXTS}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(asked) as answer:
        rows = json.load(answer)
    found = [Row(row["probabilities"], row["prediction"], frozenset(row["set"])) for row in rows]
    assert_same(found, expected)


def test_the_hugging_face_client(address: str, expected: list[Row]) -> None:
    client = pytest.importorskip("huggingface_hub").InferenceClient(address)
    for text, row in zip(TEXTS, expected, strict=True):
        scores = {one.label: one.score for one in client.text_classification(text)}
        assert scores == pytest.approx(row.scores, abs=CLOSE)
