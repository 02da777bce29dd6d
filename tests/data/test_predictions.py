"""Tables of predictions made elsewhere."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.core.decision import Decision
from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predictions, SplitName
from finetext.data.predictions import read_predicted_table
from finetext.data.write import encoded, text_of

NAMES = st.lists(
    st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters=",;|[\""), min_size=1),
    min_size=2, max_size=4, unique=True,
)  # fmt: skip


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def read_lines(folder: Path, *lines: str, part: SplitName = "test") -> Predictions:
    return read_predicted_table(write(folder / "p.csv", "\n".join(lines) + "\n"), part).predictions


def as_table(predictions: Predictions, texts: Sequence[str]) -> dict[str, list[Any]]:
    """Columns as `finetext predict` writes them, and the truth beside them."""
    decode, p = predictions.scheme.decode, predictions.probabilities
    named = {f"probability:{name}": p[:, c].tolist() for c, name in
             enumerate(predictions.scheme.names)}  # fmt: skip
    return {
        "id": list(predictions.ids),
        "text": list(texts),
        "prediction": decode(predictions.decisions),
        "probability": p.max(axis=1).tolist(),
        **named,
        "truth": [",".join(each) if isinstance(each, list) else each
                  for each in decode(predictions.targets)],
    }  # fmt: skip


@st.composite
def some_predictions(draw: st.DrawFn) -> Predictions:
    names = tuple(draw(NAMES))
    rows, several = draw(st.integers(1, 6)), draw(st.booleans())
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    k = len(names)
    if not several:
        values = random.dirichlet(np.ones(k), rows)
        scheme, targets = LabelScheme(names), random.integers(0, k, rows)
        return Predictions(tuple(map(str, range(rows))), targets, values, scheme)
    targets = random.integers(0, 2, (rows, k))
    targets[0] = 1
    return Predictions(
        tuple(map(str, range(rows))), targets, random.random((rows, k)), LabelScheme(names, True),
        Decision(thresholds=tuple(random.random(k) / 2 + 0.25)),
    )  # fmt: skip


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
@given(predictions=some_predictions())
@settings(max_examples=15)
def test_output_of_predict_with_truths_round_trip(
    suffix: str, predictions: Predictions, tmp_path_factory: pytest.TempPathFactory
) -> None:
    texts = [f"text {row},\nand more" for row in range(len(predictions))]
    path = tmp_path_factory.mktemp("tables") / f"p{suffix}"
    table = as_table(predictions, texts)
    if suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.table(table), path)
    else:
        path.write_bytes(encoded(text_of(table, suffix, headed=True)))
    found = read_predicted_table(path)
    again = found.predictions
    assert (again.ids, again.scheme) == (predictions.ids, predictions.scheme)
    assert found.texts == tuple(texts)
    assert found.findings == ()
    assert np.array_equal(again.targets, predictions.targets)
    assert np.array_equal(again.decisions, predictions.decisions)
    np.testing.assert_allclose(again.probabilities, predictions.probabilities, atol=1e-12)


def test_columns_may_be_called_by_the_labels_in_any_order(tmp_path: Path) -> None:
    found = read_lines(
        tmp_path, "b,note,id,label,a,group,c", "0.5,fine,x,a,0.3,g,0.2", "0.1,bad,y,b,0.8,g,0.1"
    )
    assert found.scheme == LabelScheme(("b", "a", "c"))
    assert found.targets.tolist() == [1, 0]
    assert found.groups == ("g", "g")


def test_label_ids_are_names(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", "\n".join(
        json.dumps({"id": row, "label": row % 2, "0": 0.25, "1": 0.75}) for row in range(4)
    ))  # fmt: skip
    found = read_predicted_table(path).predictions
    assert (found.ids, found.scheme.names) == (("0", "1", "2", "3"), ("0", "1"))
    assert found.targets.tolist() == [0, 1, 0, 1]


def test_rounded_probabilities_are_normalized(tmp_path: Path) -> None:
    found = read_lines(tmp_path, "id,label,a,b,c", "1,a,0.333,0.333,0.333")
    assert found.probabilities.sum() == pytest.approx(1, abs=1e-12)


def test_several_labels_may_be_lists_or_joined_and_a_row_may_have_none(tmp_path: Path) -> None:
    head = "id,truth,joy,anger"
    for cell in ('"joy,anger"', "joy | anger", "\"['joy', 'anger']\"", '"[""joy"",""anger""]"'):
        found = read_lines(tmp_path, head, f"1,{cell},0.9,0.8", "2,,0.1,0.2", "3,joy,0.9,0.9")
        assert found.scheme.multilabel
        assert found.targets.tolist() == [[1, 1], [0, 0], [1, 0]]


def test_a_label_with_a_comma_is_one_label_if_it_has_a_column(tmp_path: Path) -> None:
    found = read_lines(
        tmp_path, 'id,truth,"Arts, Culture",Arts', '1,"Arts, Culture",0.9,0.1', "2,Arts,0.2,0.8"
    )
    assert found.scheme == LabelScheme(("Arts, Culture", "Arts"))


def test_thresholds_explain_the_given_labels(tmp_path: Path) -> None:
    lines = ["id,truth,prediction,a,b", '1,"a,b","a",0.3,0.6', "2,a,a,0.9,0.69", "3,b,b,0.29,0.7"]
    found = read_lines(tmp_path, *lines)
    assert found.decisions.tolist() == [[1, 0], [1, 0], [0, 1]]


def test_predictions_that_no_rule_explains_are_reported(tmp_path: Path) -> None:
    one = write(tmp_path / "one.csv", "id,label,prediction,a,b\n1,a,b,0.9,0.1\n2,b,,0.2,0.8\n")
    [finding] = read_predicted_table(one).findings
    assert "one.csv, line 2: the column 'prediction' does not give the likeliest" in finding.message
    several = write(tmp_path / "several.csv", 'id,label,prediction,a\n1,"a","[]",0.9\n2,a,a,0.8\n')
    [finding] = read_predicted_table(several).findings
    assert "threshold" in finding.message


def test_the_rows_of_one_split_are_read(tmp_path: Path) -> None:
    lines = ["id,split,label,a,b", "1,dev,a,0.9,0.1", "2,test,b,0.1,0.9", "1,train,b,0.1,0.9"]
    assert read_lines(tmp_path, *lines).ids == ("2",)
    assert read_lines(tmp_path, *lines, part="validation").ids == ("1",)
    with pytest.raises(DataError, match="no test rows; its column 'split' says: dev, train"):
        read_lines(tmp_path, lines[0], lines[1], lines[3])


HEAD = "id,label,a,b"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["label,a,b", "a,1,0"], "no column 'id'"),
        (["id,text,prediction,probability:a", "1,x,a,1"], "no column 'truth' .*finetext predict"),
        (["id,label,text", "1,a,what"], r"no columns of probabilities.*\(a\)"),
        ([HEAD], "p.csv has no rows"),
        ([HEAD, "1,a,0.5,0.5", "2,b,0.5,much"], "line 3, column 'b': 'much' is not a number"),
        ([HEAD, "1,a,1,0", "2,a,0.5,"], "line 3, column 'b': '' is not a number"),
        ([HEAD, "1,a,1,0", "2,a,1,nan"], "line 3, column 'b': 'nan' is not a probability"),
        ([HEAD, "1,a,-0.5,1.5"], "line 2, column 'a': '-0.5' is not a probability between 0 and 1"),
        ([HEAD, "1,a,0.5,0.5", "2,a,0.5,0.6"], "line 3: the probabilities sum to 1.1, not to 1"),
        ([HEAD, "1,a,0.5,0.5", "2,A,0.5,0.5"], "line 3, column 'label': the label 'A' .*'a'"),
        ([HEAD, "1,a,1,0", "2,,1,0"], "line 3: the true label in column 'label' is empty"),
        ([HEAD, "1,a,1,0", "2,a,1,0", "1,b,0,1"], "the id '1' occurs twice, in lines 2, 4"),
        ([HEAD, "1,a,1,0", ",a,1,0"], "line 3: the column 'id' is empty"),
        ([f"{HEAD},length", "1,a,1,0,30"], "column 'length': '30' is not .* name the columns of"),
        ([HEAD, "1,a,1,0", "2,a,1"], "line 3: 4 comma-separated fields expected"),
    ],
)  # fmt: skip
def test_errors_name_the_place(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_lines(tmp_path, *lines)


def test_a_list_with_an_unknown_label_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", '{"id": 1, "label": ["a", "x"], "a": 1, "b": 0}\n')
    with pytest.raises(DataError, match="line 1, column 'label': the label 'x' has no column"):
        read_predicted_table(path)


def test_an_empty_file_and_one_that_is_no_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        read_predicted_table(write(tmp_path / "p.csv", ""))
    with pytest.raises(DataError, match="Parquet"):
        read_predicted_table(write(tmp_path / "p.parquet", "no"))


def test_a_table_of_semicolons_is_read(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=";").writerows([["id", "truth", "a"], [1, "a", 1.0]])
    assert read_predicted_table(path).predictions.scheme.names == ("a",)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("id,truth,a,b,a", "'a' occurs twice (columns 3 and 5)"),
        ("id,truth,probability:a,probability:b,probability:b", "'probability:b' occurs twice"),
        ("id,truth,a,b,truth", "'truth' occurs twice (columns 2 and 5)"),
        ("id,truth,a,b,id", "'id' occurs twice (columns 1 and 5)"),
    ],
)
def test_columns_of_the_same_name_are_refused(tmp_path: Path, header: str, said: str) -> None:
    path = write(tmp_path / "p.csv", f"{header}\n1,a,0.9,0.1,0.9\n2,b,0.2,0.8,0.2\n")
    with pytest.raises(DataError, match=re.escape(f"p.csv: the column {said}")):
        read_predicted_table(path)


def test_unused_columns_can_occur_twice(tmp_path: Path) -> None:
    header = "id,truth,probability:a,probability:b,note,note"
    path = write(tmp_path / "p.csv", f"{header}\n1,a,0.9,0.1,x,y\n2,b,0.2,0.8,x,y\n")
    assert len(read_predicted_table(path).predictions) == 2
    path = write(tmp_path / "q.csv", "id,truth,a,b (4)\n1,a,0.9,0.1\n2,b (4),0.2,0.8\n")
    assert read_predicted_table(path).predictions.scheme.names == ("a", "b (4)")
