"""Pieces of a large table."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data import pieces as module
from finetext.data.pieces import (
    InputFile,
    Piece,
    input_files,
    pieces_of,
    share_of,
    tables_of,
    text_columns_of,
    texts_in,
)

UNLABELED = ReadSettings(labelled=False)


def written(path: Path, columns: dict[str, Any], **how: Any) -> str:
    pq.write_table(pa.table(columns), path, **how)
    return str(path)


@given(
    sizes=st.lists(st.none() | st.integers(0, 40), max_size=8),
    most=st.integers(1, 15),
    count=st.integers(1, 20),
)
def test_shares_of_pieces_have_every_row_once(
    sizes: list[int | None], most: int, count: int
) -> None:
    files = [InputFile(f"f{number}", 0, "", rows) for number, rows in enumerate(sizes)]
    pieces = pieces_of(files, most)
    assert [piece for n in range(1, count + 1) for piece in share_of(pieces, n, count)] == pieces
    counts = [len(share_of(pieces, n, count)) for n in range(1, count + 1)]
    assert max(counts) - min(counts) <= 1
    assert len({piece.name for piece in pieces}) == len(pieces)
    assert [piece.name for piece in pieces] == sorted(piece.name for piece in pieces)
    for number, rows in enumerate(sizes):
        own = [piece for piece in pieces if piece.number == number]
        if rows is None:
            assert own == [Piece(number, f"f{number}")]
        else:
            covered = [row for p in own for row in range(p.start, p.stop or 0)]
            assert covered == list(range(rows))
            assert all((p.stop or 0) - p.start <= most for p in own)


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
    schema, texts = text_columns_of(piece, ReadSettings(labelled=False, text="text"))
    assert (schema, texts) == (table.schema, ("text",))
    assert texts_in(table, texts, source) == ["one", None, "three"]


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


def test_a_folder_or_a_pattern_stands_for_its_files(tmp_path: Path) -> None:
    for name in ("b.parquet", "a.parquet", "_old.parquet", "c[1].parquet"):
        written(tmp_path / name, {"text": ["a text"]})

    def names(*sources: object) -> list[str]:
        return [Path(file.source).name for file in input_files([str(of) for of in sources])]

    assert names(tmp_path) == ["a.parquet", "b.parquet", "c[1].parquet"]
    assert names(tmp_path / "[ab].parquet") == ["a.parquet", "b.parquet"]
    assert names(tmp_path / "c[1].parquet") == ["c[1].parquet"]
    assert names(tmp_path / "b.parquet", tmp_path / "a.parquet") == ["b.parquet", "a.parquet"]
    with pytest.raises(DataError, match="given twice"):
        names(tmp_path / "a.parquet", tmp_path / "?.parquet")
    with pytest.raises(DataError, match="no file fits"):
        names(tmp_path / "x*.parquet")
    with pytest.raises(DataError, match="there is no file or folder"):
        names(tmp_path / "x.parquet")
    (tmp_path / "readme.txt").write_text("no table")
    with pytest.raises(DataError, match=r"no tables of .*: readme.txt; name the files"):
        names(tmp_path)
    with pytest.raises(DataError, match=r"readme.txt: a table in parts is made of .parquet"):
        names(tmp_path / "readme.txt")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"text": ["a"]}, "it lacks the column 'n'"),
        ({"text": ["a"], "n": [1], "m": [1]}, "it has a column 'm'"),
        ({"text": ["a"], "n": [1.5]}, "column 'n' is double, and int64 there"),
        ({"n": [1], "text": ["a"]}, "its columns are in another order"),
    ],
)
def test_a_file_with_other_columns_is_named(
    tmp_path: Path, columns: dict[str, Any], said: str
) -> None:
    written(tmp_path / "a.parquet", {"text": ["a"], "n": [1]})
    written(tmp_path / "b.parquet", columns)
    with pytest.raises(DataError, match=f"b.parquet has other columns than .*a.parquet: {said}"):
        input_files([str(tmp_path)])


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    empty = written(tmp_path / "a.parquet", {"text": pa.array([], pa.string())})
    with pytest.raises(DataError, match="there are no rows"):
        input_files([empty])
    full = written(tmp_path / "b.parquet", {"text": ["a"]})
    assert [piece.number for piece in pieces_of(input_files([empty, full]))] == [1]


def test_a_file_is_known_by_name_size_and_end(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    one = written(tmp_path / "one" / "a.parquet", {"text": ["a", "b"]})
    same = written(tmp_path / "a.parquet", {"text": ["a", "b"]})
    assert input_files([one])[0].facts == input_files([same])[0].facts
    written(tmp_path / "a.parquet", {"text": ["a", "c"]})
    assert input_files([one])[0].facts != input_files([same])[0].facts


def test_a_change_in_the_middle_of_a_text_file_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large one by its time, and else by every byte, so that copies have the same facts."""
    path, copy = tmp_path / "a.csv", tmp_path / "copy" / "a.csv"
    copy.parent.mkdir()
    rows = ["text,n", *(f"a text,{number:09}" for number in range(200_000))]
    for place, time in ((path, 1), (copy, 2)):
        place.write_text("\n".join(rows))
        os.utime(place, ns=(time, time))
    (file,), (other,) = input_files([str(path)]), input_files([str(copy)])
    assert file.facts == other.facts
    rows[100_000] = "a film,000000000"
    path.write_text("\n".join(rows))
    os.utime(path, ns=(1, 1))
    assert path.stat().st_size == file.size
    with pytest.raises(DataError, match=r"a.csv changed while it was read"):
        file.check_unchanged()
    monkeypatch.setattr(module, "_HASHED_WHOLE", 1 << 10)
    (file,) = input_files([str(path)])
    os.utime(path, ns=(3, 3))
    assert input_files([str(path)])[0].facts != file.facts


def test_a_folder_whose_name_looks_like_a_pattern_is_one(tmp_path: Path) -> None:
    (tmp_path / "data [v2]").mkdir()
    written(tmp_path / "data [v2]" / "a.parquet", {"text": ["a"]})
    assert [file.rows for file in input_files([str(tmp_path / "data [v2]")])] == [1]


def test_a_text_file_of_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,n\n")
    (piece,) = pieces_of(input_files([str(tmp_path / "a.csv")]))
    assert not list(tables_of(piece, UNLABELED, 10))


def test_batches_begin_where_those_of_a_file_do() -> None:
    from finetext.batch import tables
    from finetext.data import stream

    assert module.ROWS_A_PIECE % stream.ROWS == 0
    assert stream.ROWS % tables.ROWS == 0
