"""Pieces of a large table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.errors import DataError
from finetext.data import pieces as module
from finetext.data.pieces import (
    InputFile,
    Piece,
    input_files,
    partition_columns,
    pieces_of,
    share_at,
    share_of,
)
from finetext.storage.filesystems import Place


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
    for place, piece in enumerate(pieces):
        assert piece in share_of(pieces, share_at(place, len(pieces), count), count)
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
    """By every byte, so that copies have the same facts; of a large table by the time."""
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
    monkeypatch.setattr(module, "_HASHED", 1 << 10)
    (file,) = input_files([str(path)])
    os.utime(path, ns=(3, 3))
    assert input_files([str(path)])[0].facts != file.facts


def test_a_folder_whose_name_looks_like_a_pattern_is_one(tmp_path: Path) -> None:
    (tmp_path / "data [v2]").mkdir()
    written(tmp_path / "data [v2]" / "a.parquet", {"text": ["a"]})
    assert [file.rows for file in input_files([str(tmp_path / "data [v2]")])] == [1]


def test_of_a_large_table_no_content_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every process plans all files, and would read all of them."""
    for number in range(3):
        (tmp_path / f"{number}.csv").write_text(f"text\na text of {number}\n")
    read: list[str] = []
    opened = Place.open
    monkeypatch.setattr(Place, "open", lambda of: read.append(of.name) or opened(of))
    monkeypatch.setattr(Place, "sha256", lambda of, ends=None: read.append(of.name) or "0" * 64)
    input_files([str(tmp_path)])
    assert sorted(read) == ["0.csv", "1.csv", "2.csv"]
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    monkeypatch.setattr(module, "_HASHED", size - 1)
    read.clear()
    large = input_files([str(tmp_path)])
    assert [file.facts["version"] for file in large] == [
        str(Path(file.source).stat().st_mtime_ns) for file in large
    ]
    for file in large:
        file.check_unchanged()
    assert not read


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
def test_a_file_of_a_large_table_is_known_by_its_time_and_footer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(module, "_HASHED", 0)
    path = tmp_path / name

    def write(text: str, time: int) -> None:
        if name == "a.csv":
            path.write_text(f"text\n{text}\n")
        else:
            written(path, {"text": [text]}, compression="none")
        os.utime(path, ns=(time, time))

    write("one", 1)
    (file,) = input_files([str(path)])
    file.check_unchanged()
    write("two", 2)
    assert path.stat().st_size == file.size
    with pytest.raises(DataError, match=f"{name} changed while it was read"):
        file.check_unchanged()
    assert input_files([str(path)])[0].facts != file.facts
    write("two", 1)  # its time was set back
    is_seen = input_files([str(path)])[0].facts != file.facts
    assert is_seen == (name == "a.parquet")  # whose footer has the ranges of its values


def test_where_no_version_is_known_the_ends_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in file systems that tell neither a version nor a time."""
    monkeypatch.setattr(module, "_HASHED", 0)
    monkeypatch.setattr(MemoryFileSystem, "modified", AbstractFileSystem.modified)
    memory = fsspec.filesystem("memory")
    memory.pipe("/timeless/a.csv", b"text\none\n")
    (file,) = input_files(["memory://timeless/a.csv"])
    assert file.version is None
    file.check_unchanged()
    memory.pipe("/timeless/a.csv", b"text\ntwo\n")
    with pytest.raises(DataError, match="changed while it was read"):
        file.check_unchanged()


def test_a_pattern_at_the_root_of_a_file_system() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/root-a.csv": b"text\none\n", "/root-b.csv": b"text\ntwo\n"})
    try:
        found = [file.source for file in input_files(["memory://root-?.csv"])]
        with pytest.raises(DataError, match=r"no file fits memory://root-\?\?.csv$"):
            input_files(["memory://root-??.csv"])
    finally:
        memory.rm(["/root-a.csv", "/root-b.csv"])
    assert found == ["memory://root-a.csv", "memory://root-b.csv"]


def test_a_link_to_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "a.parquet", {"text": ["a"]})
    (tmp_path / "b.parquet").symlink_to(tmp_path / "gone.parquet")
    for source in (tmp_path, tmp_path / "*.parquet"):
        with pytest.raises(DataError, match=r"b.parquet is a link to a file that is not there"):
            input_files([str(source)])
    (tmp_path / "gone.parquet").write_bytes((tmp_path / "a.parquet").read_bytes())
    assert len(input_files([str(tmp_path / "[ab].parquet")])) == 2


def test_columns_that_only_folders_name_are_known() -> None:
    def columns_of(*paths: str) -> list[str]:
        return partition_columns([InputFile(path, 1, "") for path in paths])

    assert columns_of("in/day=1/a.parquet", "in/day=2/a.parquet") == ["day"]
    assert columns_of("s3://b/y=1/m=1/a.csv", "s3://b/y=1/m=2/a.csv") == ["m"]
    assert columns_of("run=7/a.parquet", "run=7/b.parquet") == []
    assert columns_of("a.parquet", "b.parquet") == []


def test_no_files_are_refused() -> None:
    with pytest.raises(DataError, match="no files are given"):
        input_files([])
