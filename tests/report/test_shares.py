"""The share of each label in each split."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import numpy as np
import pytest

import finetext
from finetext.core.errors import DataError, RunError, UnknownNameError
from finetext.core.types import Dataset, LabelScheme, Splits
from finetext.report.shares import Shares
from finetext.runs.run import Run


def part(labels: list[object], scheme: LabelScheme | None) -> Dataset:
    rows = {"id": [str(n) for n in range(len(labels))], "text": ["a text"] * len(labels)}
    return Dataset(datasets.Dataset.from_dict(rows | {"label": labels}), scheme)


TWO = LabelScheme(("no", "<yes>"))
SPLITS = Splits(part(["no"] * 3 + ["<yes>"], TWO), part(["no"] * 2, TWO), part(["<yes>"], TWO))


def test_counts_and_shares_of_each_split() -> None:
    found: Shares = SPLITS.shares()
    assert found["train"] == {"no": 0.75, "<yes>": 0.25}
    assert dict(found)["validation"] == {"no": 1.0, "<yes>": 0.0}
    assert found.counts["train"] == {"no": 3, "<yes>": 1}
    assert found.rows == {"train": 4, "validation": 2, "test": 1}
    np.testing.assert_array_equal(np.asarray(found), [[0.75, 1, 0], [0.25, 0, 1]])
    assert (found.labels, list(found), len(found)) == (("no", "<yes>"), [*found.keys()], 3)
    assert json.loads(json.dumps(found.to_json()))["shares"]["test"]["<yes>"] == 1.0
    with pytest.raises(UnknownNameError, match="did you mean 'train'"):
        found["trian"]


def test_it_displays_itself() -> None:
    found = SPLITS.shares()
    rows = {line.split()[0]: line.split()[1:] for line in repr(found).splitlines()[2:]}
    assert rows["no"] == ["3", "75.0%", "2", "100.0%", "0", "0.0%", "5", "71.4%"]
    assert rows["all"] == ["rows", "4", "2", "1", "7"]
    assert "&lt;yes&gt;" in found._repr_html_()


def test_several_labels_need_not_add_up() -> None:
    scheme = LabelScheme(("a", "b"), multilabel=True)
    rows = part([["a", "b"], ["a"], [], ["a"]], scheme)
    found = Splits(rows, rows, rows).shares()
    assert found["test"] == {"a": 0.75, "b": 0.25}
    assert "several labels" in repr(found)


def test_many_labels_are_cut_in_lines() -> None:
    scheme = LabelScheme(tuple(f"label {n:02}" for n in range(30)))
    labels = [f"label {n:02}" for n in range(30)] + ["label 07"]
    lines = Splits(*[part(labels, scheme)] * 3).shares().lines(10)
    assert len(lines) == 12
    assert lines[1].startswith("label 07")
    assert lines[-1] == "and 20 less frequent labels"


def test_without_labels_there_are_none() -> None:
    rows = part(["x"], None)
    with pytest.raises(DataError, match="no labels"):
        Splits(rows, rows, rows).shares()


def test_a_run_has_the_shares_of_its_splits(finished: Path, reviews: Path) -> None:
    own = finetext.split(finetext.read(reviews, settings=finetext.ReadSettings(label="label")))
    assert Run.open(finished).shares().to_json() == own.shares().to_json()
    (finished / "data.json").write_text("{}")
    with pytest.raises(RunError, match=r"data\.json is damaged"):
        Run.open(finished).shares()
