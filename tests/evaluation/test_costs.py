from __future__ import annotations

from pathlib import Path

import pytest

from finetext.core.errors import RecipeError
from finetext.core.types import LabelScheme
from finetext.evaluation.thresholds import read_costs

SCHEME = LabelScheme(("a", "b"))


def test_rows_and_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    path.write_text("\ufefftruth, b ,a\n b,0,2.5\n\na,1,0\n", "utf-8")
    assert read_costs(path, SCHEME) == ((0.0, 1.0), (2.5, 0.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("t,a,b\na,0,1\n", "first column"),
        ("t,a,c\na,0,1\nb,1,0\n", "first row.*'b', 'c'"),
        ("t,a,b\na,0,1\na,1,0\n", "first column"),
        ("t,a,b\na,0,x\nb,1,0\n", "row 2, column b: 'x'"),
        ("t,a,b\na,0,inf\nb,1,0\n", "no number"),
        ("t,a,b\na,0\nb,1,0\n", "row 2, column b: ''"),
        (f"t,a,{'b' * 200_000}\n", "cannot be read"),
    ],
)
def test_a_table_that_does_not_fit_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "costs.csv"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message):
        read_costs(path, SCHEME)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        read_costs(tmp_path / "none.csv", SCHEME)
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_costs(tmp_path / "bytes.csv", SCHEME)
