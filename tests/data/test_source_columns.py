"""Columns of a source beside rows that are known by their ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data.read import read, source_columns


def test_columns_are_joined_by_the_ids_that_reading_gives(reviews: Path) -> None:
    dataset = read(reviews, group="movie")
    ids = list(reversed(dataset.ids))
    found = source_columns(reviews, ["Movie", "1"], ids, ReadSettings())
    assert found == {"movie": list(reversed(dataset.groups or [])),
                     "text": list(reversed(dataset.texts))}  # fmt: skip


def test_parts_of_a_source_keep_their_ids(tmp_path: Path) -> None:
    for name, column in (("train", "year"), ("test", "month")):
        rows = "".join(f"a text of {n},{'ab'[n % 2]},{n}\n" for n in range(8))
        (tmp_path / f"{name}.csv").write_text(f"text,label,{column}\n{rows}")
    dataset = read(tmp_path)
    found = source_columns(tmp_path, ["year"], dataset.ids)
    assert found == {"year": [*map(str, range(8)), *[None] * 8]} or found == {
        "year": [*[None] * 8, *map(str, range(8))]
    }


def test_what_is_not_there_is_said(reviews: Path) -> None:
    with pytest.raises(DataError, match="no column 'year'"):
        source_columns(reviews, ["year"], ["1"])
    with pytest.raises(DataError, match=r"has no row 'x', nor 1 more, of 3 rows: .* --id"):
        source_columns(reviews, ["movie"], ["x", "1", "y"])
