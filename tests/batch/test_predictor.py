"""Batches of Arrow tables get the columns of `finetext predict`, however the rows are cut."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import finetext
from finetext.batch.parts import PartWriter, plan_parts
from finetext.batch.predictor import Predictor, given_cpus, on_this_node
from finetext.core.contracts import FitContext
from finetext.core.errors import DataError, ModelError, RecipeError
from finetext.core.types import Dataset

WORDS = ("team", "bank", "soup", "match", "rates", "bread", "", "loan")


@pytest.fixture(scope="module")
def model(topics: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "topics"
    return finetext.Tfidf().fit(topics, topics.select([]), FitContext()).save(folder)


@pytest.fixture(scope="module")
def rows() -> pyarrow.Table:
    count = 40
    texts = [f"the {WORDS[n % 8]} and the {WORDS[n // 8]}" if n % 9 else None for n in range(count)]
    return pyarrow.table(
        {
            "id": pyarrow.array(range(count), "int16"),
            "text": pyarrow.array(texts, "large_string"),
            "tags": [["a", str(n)] for n in range(count)],
            "seen": pyarrow.array(range(count), pyarrow.timestamp("s")),
        }
    )


def cut(table: pyarrow.Table, ends: Sequence[int]) -> list[pyarrow.Table]:
    places = [0, *sorted(ends), len(table)]
    return [table.slice(a, b - a) for a, b in pairwise(places)]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ends=st.lists(st.integers(0, 40), max_size=5))
def test_it_adds_what_predict_adds_wherever_the_batches_end(
    model: Path, rows: pyarrow.Table, tmp_path_factory: pytest.TempPathFactory, ends: list[int]
) -> None:
    place = tmp_path_factory.mktemp("predicted")
    pyarrow.parquet.write_table(rows, place / "rows.parquet")
    plan = plan_parts(model, place / "rows.parquet", place / "out")
    plan.claim()
    PartWriter(plan, finetext.load(model)).write(plan.pieces[0])
    predictor = Predictor(model)
    found = pyarrow.concat_tables(predictor(batch) for batch in cut(rows, ends))
    expected = pyarrow.parquet.read_table(str(plan.part_of(plan.pieces[0]).path))
    assert found.cast(expected.schema).equals(expected)  # Parquet has no whole seconds
    assert found.select(rows.column_names).equals(rows)
    assert found["rejected"].null_count == found["text"].length() - found["text"].null_count


def test_top_labels_and_names_that_the_data_have_already(model: Path) -> None:
    table = pyarrow.table({"text": ["the team"], "prediction": ["mine"]})
    found = Predictor(model, top=2)(table)
    own = ["finetext:prediction", "probability"]
    likely = ["label_1", "probability_1", "label_2", "probability_2", "rejected"]
    assert found.column_names == ["text", "prediction", *own, *likely]
    with pytest.raises(RecipeError, match="--top 0"):
        Predictor(model, top=0)


def test_lists_of_labels_have_their_type_in_an_empty_batch(
    mixed_topics: Dataset, tmp_path: Path
) -> None:
    fitted = finetext.Tfidf().fit(mixed_topics, mixed_topics.select([]), FitContext())
    predictor = Predictor(fitted.save(tmp_path / "mixed"))
    table = pyarrow.table({"text": ["the team", "the bank"]})
    assert predictor(table.slice(0, 0)).schema == predictor(table).schema
    assert predictor(table).schema.field("prediction").type == pyarrow.list_(pyarrow.string())


def test_a_model_of_several_text_columns(tmp_path: Path) -> None:
    pairs: list[dict[str, Any]] = [
        {"title": f"{word} {n}", "body": f"a film that is {word}", "label": label}
        for n in range(12)
        for word, label in (("fine", "good"), ("dull", "bad"))
    ]
    data = finetext.read(pairs, text=("title", "body"))
    model = finetext.Tfidf().fit(data, data.select([]), FitContext()).save(tmp_path / "pairs")
    table = pyarrow.table({"a": ["fine", None], "b": ["fine", "dull"]})
    found = Predictor(model, text="a,b")(table)
    same = table.rename_columns(["title", "body"])
    assert found["prediction"].to_pylist() == ["good", "bad"]
    assert Predictor(model)(same)["probability"].equals(found["probability"])
    with pytest.raises(DataError, match=r"1 column, but the model reads 2 texts \(title, body\)"):
        Predictor(model, text=["a"])


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        (pyarrow.table({"words": ["x"], "nr": [1]}), "no text column 'text'; there are: 'words', "),
        (pyarrow.table({"text": [["x"]]}), "a batch, row 1: the text is a list"),
        ({"text": ["x"]}, 'a batch is a dict, not an Arrow table: add batch_format="pyarrow"'),
    ],
)
def test_what_it_cannot_predict_is_named(model: Path, batch: Any, said: str) -> None:
    with pytest.raises(DataError) as raised:
        Predictor(model)(batch)
    assert said in str(raised.value)


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(ModelError, match=r"there is no model or run folder nowhere$"):
        Predictor("nowhere")


def test_without_ray_there_is_nothing_to_ask() -> None:
    assert given_cpus() is None
    assert on_this_node() == ""
