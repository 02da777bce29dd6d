"""The rows of pieces as tables, and the columns that all files of a table have."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data import piece_tables as module
from finetext.data.piece_tables import CommonColumns, tables_of, texts_in
from finetext.data.pieces import input_files, pieces_of

UNLABELED = ReadSettings(labelled=False)


def written(path: Path, columns: dict[str, Any], **how: Any) -> str:
    pq.write_table(pa.table(columns), path, **how)
    return str(path)


@given(
    rows=st.integers(1, 60),
    group=st.integers(1, 25),
    most=st.integers(1, 70),
    batch=st.integers(1, 30),
)
def test_pieces_of_parquet_are_its_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: int, group: int, most: int, batch: int
) -> None:
    path = tmp_path_factory.mktemp("pieces") / "in.parquet"
    table = pa.table({"text": [f"text {n}" for n in range(rows)], "n": range(rows)})
    pq.write_table(table, path, row_group_size=group)
    (file,) = input_files([str(path)])
    found = [list(tables_of(piece, UNLABELED, batch)) for piece in pieces_of([file], most)]
    for tables in found:
        assert all(len(of) == batch for of in tables[:-1])
        assert 1 <= len(tables[-1]) <= batch
    assert pa.concat_tables(of for tables in found for of in tables).equals(table)


def test_types_are_those_of_the_file(tmp_path: Path) -> None:
    columns = {
        "text": pa.array(["one", None, "three"], pa.large_string()),
        "price": pa.array([1, None, 3], pa.decimal128(9, 2)),
        "day": pa.array([0, 1, None], pa.date32()),
        "tags": pa.array([["a"], None, []], pa.list_(pa.string())),
        "place": pa.array([{"x": 1.5}, None, {"x": None}], pa.struct([("x", pa.float32())])),
        "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
    }
    source = written(tmp_path / "in.parquet", columns, row_group_size=2)
    (file,) = input_files([source])
    (piece,) = pieces_of([file])
    (table,) = tables_of(piece, UNLABELED, 10)
    assert table.schema.equals(pa.table(columns).schema)
    assert table.to_pylist() == pa.table(columns).to_pylist()
    common = CommonColumns.of([file], ReadSettings(labelled=False, text="text"))
    assert (common.schema, common.texts) == (table.schema, ("text",))
    assert texts_in(table, common.texts, source) == ["one", None, "three"]


def test_text_files_are_one_piece_each(tmp_path: Path) -> None:
    rows = "".join(f"a text of {n},{n}\n" for n in range(5))
    (tmp_path / "a.csv").write_text(f"text,n\n{rows}")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(f"text,n\n{rows}".encode()))
    files = input_files([str(tmp_path)])
    assert [Path(file.source).name for file in files] == ["a.csv", "b.csv.gz"]
    for piece in pieces_of(files):
        tables = list(tables_of(piece, UNLABELED, 2))
        assert [len(of) for of in tables] == [2, 2, 1]
        assert pa.concat_tables(tables)["n"].to_pylist() == list("01234")


def test_a_text_file_that_is_empty_or_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    for name, text in (("a.csv", "text,n\n"), ("b.csv", ""), ("c.jsonl", ""), ("d.tsv", "\n")):
        (tmp_path / name).write_text(text)
        (piece,) = pieces_of(input_files([str(tmp_path / name)]))
        assert not list(tables_of(piece, UNLABELED, 10))


def test_batches_begin_where_those_of_a_file_do() -> None:
    from finetext.batch import tables
    from finetext.data import pieces, stream

    assert pieces.ROWS_A_PIECE % stream.ROWS == 0
    assert stream.ROWS % tables.ROWS == 0


def read_in_common(folder: Path, *files: list[dict[str, Any]]) -> pa.Table:
    """Return the rows of files of JSON lines with the columns that they have in common."""
    for number, rows in enumerate(files):
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        (folder / f"{number}.jsonl").write_text(lines)
    found = input_files([str(folder)])
    common = CommonColumns.of(found, UNLABELED)
    assert all(field.nullable for field in common.schema)
    settings = ReadSettings(labelled=False, text=common.texts)
    tables = []
    for piece in pieces_of(found):
        common.check(piece, settings)
        tables += [common.fitted(of, piece.source) for of in tables_of(piece, settings, 2)]
    return pa.concat_tables(tables)


def test_json_lines_of_one_table_show_their_types_together(tmp_path: Path) -> None:
    found = read_in_common(
        tmp_path,
        [],
        [{"text": "one", "stars": None, "price": 1}] * 3,
        [{"price": 2.5, "stars": 4, "text": "two"}],
        [{"text": "three"}, {"text": "four", "by": "me"}],
    )
    assert found.schema.types == [pa.string(), pa.int64(), pa.float64(), pa.string()]
    assert found.to_pydict() == {
        "text": ["one", "one", "one", "two", "three", "four"],
        "stars": [None, None, None, 4, None, None],
        "price": [1.0, 1.0, 1.0, 2.5, None, None],
        "by": [None, None, None, None, None, "me"],
    }


@pytest.mark.parametrize(
    ("stars", "said"),
    [
        ([1, "many"], "column 'stars' is string, and int64 there"),
        ([None, True, 1], "column 'stars' is int64, and bool there"),
        (
            [0.5, 2**60 + 1],
            "values that do not fit the columns of .*0.jsonl: .*1152921504606846977",
        ),
    ],
)
def test_json_lines_of_other_types_are_refused(tmp_path: Path, stars: list[Any], said: str) -> None:
    with pytest.raises(DataError, match=rf"\d.jsonl has .*{said}"):
        read_in_common(tmp_path, *([{"text": "a text", "stars": one}] for one in stars))


def test_the_first_json_lines_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later file has fewer or narrower columns, or is refused: no process reads all of them."""
    monkeypatch.setattr(module, "_SAMPLE", 1)
    first = {"text": "a text", "price": 1.5, "by": "me"}
    found = read_in_common(tmp_path, [first], [{"text": "other", "price": 2}])
    assert found["price"].to_pylist() == [1.5, 2.0]
    with pytest.raises(DataError, match=r"1.jsonl has other columns .*: it has a column 'odd'"):
        read_in_common(tmp_path, [first], [first | {"odd": 1}])
    with pytest.raises(DataError, match=r"column 'stars' is double, and int64 there"):
        read_in_common(tmp_path, *([{"text": "a", "stars": one}] for one in (1, 1.5)))


def test_a_column_may_have_nulls_in_one_file_alone(tmp_path: Path) -> None:
    for name, is_nullable in (("a", False), ("b", True)):
        stars = pa.field("stars", pa.int64(), nullable=is_nullable, metadata={"of": name})
        schema = pa.schema([("text", pa.string()), stars], metadata={"of": name})
        rows = {"text": ["a text"], "stars": [None if is_nullable else 1]}
        pq.write_table(pa.table(rows, schema=schema), tmp_path / f"{name}.parquet")
    files = input_files([str(tmp_path)])
    common = CommonColumns.of(files, UNLABELED)
    tables = [
        common.fitted(of, p.source) for p in pieces_of(files) for of in tables_of(p, UNLABELED, 9)
    ]
    assert pa.concat_tables(tables)["stars"].to_pylist() == [1, None]


def test_values_that_do_not_fit_are_an_error_in_words(tmp_path: Path) -> None:
    inner = pa.struct([pa.field("x", pa.int64(), nullable=False)])
    schema = pa.schema([("text", pa.string()), ("place", inner)])
    common = CommonColumns(schema, ("text",), "first.parquet")
    table = pa.table({"text": ["a"], "place": pa.array([{"x": 1}], inner)})
    assert common.fitted(table, "a.parquet").equals(table)

    class Odd:
        """Arrow raises errors of several classes at a cast."""

        def __init__(self) -> None:
            self.schema = schema

        def cast(self, _: Any) -> None:
            raise ValueError("Casting field 'x' with null values to non-nullable")

    with pytest.raises(DataError, match=r"a.parquet has values that do not fit .* Casting field"):
        common.fitted(Odd(), "a.parquet")
