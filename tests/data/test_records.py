"""Objects in memory, data sets of the Hub, and what a missing package means."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from finetext.core.errors import DataError, MissingExtraError
from finetext.core.settings import ReadSettings
from finetext.core.types import Dataset
from finetext.data.read import read

UNLABELED = ReadSettings(labelled=False)


def names(data: Dataset) -> tuple[str, ...]:
    assert data.scheme is not None
    return data.scheme.names


def codes(data: Dataset) -> list[str]:
    return [finding.code for finding in data.findings]


ROWS = [
    {"text": "a fine film", "label": "pos"},
    {"text": "a dull film", "label": "neg"},
    {"text": "not bad at all", "label": "pos"},
]


def in_memory() -> dict[str, object]:
    import datasets
    import pandas as pd
    import polars as pl

    columns = {key: [row[key] for row in ROWS] for key in ROWS[0]}
    return {
        "list of mappings": ROWS,
        "mapping of lists": columns,
        "pair": (columns["text"], columns["label"]),
        "list of pairs": list(zip(*columns.values(), strict=True)),
        "pandas": pd.DataFrame(columns),
        "pandas category": pd.DataFrame(columns).astype({"label": "category"}),
        "polars": pl.DataFrame(columns),
        "datasets": datasets.Dataset.from_dict(columns),
    }


@pytest.mark.parametrize("kind", in_memory())
def test_objects_in_memory(kind: str) -> None:
    data = read(in_memory()[kind])
    assert data.texts == [row["text"] for row in ROWS]
    assert data.labels == [row["label"] for row in ROWS]
    assert data.ids == ["1", "2", "3"]
    assert names(data) == ("neg", "pos")


def test_texts_alone_must_be_requested() -> None:
    texts = ["one text", "another text"]
    assert read(texts, settings=UNLABELED).texts == texts
    with pytest.raises(DataError, match="labels"):
        read(texts)


def test_class_labels_keep_their_order_and_minus_one_is_missing() -> None:
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "Fine", "a"])}
    )
    rows = {"text": ["one text", "two texts", "three texts", "four"], "label": [2, 0, -1, 1]}
    source = datasets.Dataset.from_dict(rows, features=features)
    with pytest.raises(DataError, match="row 3"):
        read(source)
    data = read(source, settings=ReadSettings(drop_unlabelled=True))
    assert names(data) == ("neg", "Fine", "a")
    assert data.labels == ["a", "neg", "Fine"]
    assert data.ids == ["1", "2", "4"]


def test_dataset_dict_gives_ready_made_splits() -> None:
    import datasets

    part = datasets.Dataset.from_list(ROWS)
    source = datasets.DatasetDict({"test": part, "train": part, "unsupervised": part})
    data = read(source)
    assert data.column("split") == ["train"] * 3 + ["test"] * 3
    assert data.ids[3] == "test/1"
    assert "other-splits" in codes(data)


def test_pandas_numbers_and_gaps() -> None:
    import pandas as pd

    frame = pd.DataFrame({"text": ["one a", "two b", "three c"], "label": [1.0, None, 0.0]})
    with pytest.raises(DataError, match="1 of 3 rows"):
        read(frame)
    data = read(frame, settings=ReadSettings(drop_unlabelled=True))
    assert data.labels == ["1", "0"]


def test_hub_names(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked = []

    def load(path: str, config: str | None = None) -> datasets.DatasetDict:
        asked.append((path, config))
        if path == "glue" and config == "sst2":
            return datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)})
        raise FileNotFoundError(f"Dataset '{path}' doesn't exist on the Hub")

    monkeypatch.setattr("finetext.data.records.hub_answers", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", load)
    assert len(read("hub:glue/sst2")) == 3
    assert asked == [("glue/sst2", None), ("glue", "sst2")]
    with pytest.raises(DataError, match=r"owner/name/config.*doesn't exist"):
        read("hub:owner/name/config")
    assert asked[-1] == ("owner/name", "config")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionError("Couldn't reach it"), "from the Hub: Couldn't reach it"),
        (ValueError("\n"), "from the Hub: ValueError: $"),
    ],
)
def test_errors_of_the_hub(monkeypatch: pytest.MonkeyPatch, error: Exception, message: str) -> None:
    def load(path: str, config: str | None = None) -> None:
        raise error

    monkeypatch.setattr("finetext.data.records.hub_answers", lambda: True)
    monkeypatch.setattr("datasets.load_dataset", load)
    with pytest.raises(DataError, match=message):
        read("hub:owner/name")


def test_excel_without_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.xlsx"
    path.write_bytes(b"PK")
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "openpyxl":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"finetext\[excel\]"):
        read(path)


def test_an_unreachable_hub_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import datasets

    monkeypatch.setattr("finetext.data.records.hub_answers", lambda: False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    with pytest.raises(DataError, match="the Hugging Face Hub cannot be reached"):
        read("hub:nobody/nothing-at-all")
    table = datasets.Dataset.from_dict({"text": ["a b", "c d"], "label": ["x", "y"]})
    fetched = datasets.DatasetDict({"train": table})
    monkeypatch.setattr(datasets, "load_dataset", lambda path, config: fetched)
    (tmp_path / "nobody___nothing-at-all").mkdir()
    assert len(read("hub:nobody/nothing-at-all")) == 2


@pytest.mark.parametrize("source", [3, None, [], [1, 2], {}, b"bytes", ["a", 3], object()])
def test_odd_objects(source: object) -> None:
    with pytest.raises(DataError):
        read(source)
