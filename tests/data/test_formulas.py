"""No cell of a file for spreadsheets is a formula, and all cells are read back as they were."""

from __future__ import annotations

import csv
from pathlib import Path, PurePosixPath
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.core.settings import ReadSettings
from finetext.data.formats import parse_table
from finetext.data.formulas import ADDED, neutralized, restored, without_formulas
from finetext.data.rows import File
from finetext.data.write import text_of, write_table

FULL_WIDTH = tuple("\uff1d\uff0b\uff0d\uff20")
RUN = (
    "=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "\rx", "\nx", "  =1", "\N{NO-BREAK SPACE}@x",
    "\ufeff=1", *FULL_WIDTH, "\ufe621", "\N{MINUS SIGN}x", "-1e5", "=cmd|'/c calc'!A0",
)  # fmt: skip
HARMLESS = ("", "a=1", "-3", "-0.5", "-1.234,5", "'", "'a", '"=1', "Größe", "  a", "(ok)")
CELLS = st.text(st.sampled_from("'=+-@ \t\r\n,;\"a1.\uff1d\u200b"), max_size=6)


def begins_formula(cell: str) -> bool:
    shown = cell.lstrip(" \u200b")
    return cell.startswith(("\t", "\r", "\n")) or shown.startswith(("=", "+", "@", *FULL_WIDTH))


@pytest.mark.parametrize("cell", RUN)
def test_whatever_runs_gets_an_apostrophe(cell: str) -> None:
    assert neutralized(cell) == f"'{cell}"
    assert neutralized(f"'{cell}") == f"''{cell}"
    assert restored(neutralized(cell)) == cell


@pytest.mark.parametrize("cell", [*HARMLESS, -3, -0.5, True, None])
def test_other_cells_stay(cell: Any) -> None:
    assert neutralized(cell) == cell
    assert restored(cell) == cell


@given(st.lists(CELLS, max_size=8))
def test_no_two_cells_become_the_same(cells: list[str]) -> None:
    safe = [neutralized(cell) for cell in cells]
    assert [restored(cell) for cell in safe] == cells
    assert not any(map(begins_formula, safe))


def read(data: bytes, suffix: str) -> dict[str, list[Any]]:
    file = File("t", PurePosixPath(f"t{suffix}"), lambda: data)
    delimiter = "\t" if suffix == ".tsv" else ","
    return parse_table(file, ReadSettings(header=True, delimiter=delimiter)).columns


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5), st.sampled_from([".csv", ".tsv"]))
def test_cells_and_names_are_read_back(rows: list[tuple[str, str]], suffix: str) -> None:
    ids = [f"row {n}" for n in range(len(rows))]
    texts, labels = map(list, zip(*rows, strict=True))
    table: dict[str, list[Any]] = {"id": ids, "=text": texts, "'+label": labels}
    table["n"] = ids  # without which spaces after all commas are read as layout
    found = read(text_of(table, suffix, True, "en").encode(), suffix)
    plain = read(text_of(table, suffix, True, "en", keep_formulas=True).encode(), suffix)
    assert found == plain
    if not any("\r" in cell for row in rows for cell in row):  # the reader makes lines of them
        assert found == table


def test_every_cell_of_a_written_file_is_safe(tmp_path: Path) -> None:
    table = {"id": ["1", "2"], "=text": ["=1+1", "plain"], "label": ["+1", "-3"], "n": [-0.5, None]}
    write_table(tmp_path / "t.csv", table, "en")
    with (tmp_path / "t.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["id", "'=text", "label", "n", ADDED],
        ["1", "'=1+1", "'+1", "-0.5", "'=text, label"],
        ["2", "plain", "-3", "", ""],
    ]
    write_table(tmp_path / "plain.csv", table)
    write_table(tmp_path / "kept.csv", table, "en", keep_formulas=True)
    kept = (tmp_path / "kept.csv").read_text("utf-8-sig")
    assert kept == (tmp_path / "plain.csv").read_text("utf-8")
    assert "\n1,=1+1,+1,-0.5\n" in kept


def test_a_table_without_such_cells_has_no_further_column() -> None:
    table = {"id": ["1"], "text": ["fine"]}
    assert without_formulas(table, always=False) == table
    assert list(without_formulas(table, always=True)) == ["id", "text", ADDED]


def test_an_apostrophe_of_another_file_stays() -> None:
    assert read(b"\xef\xbb\xbfid,text\n1,'=1\n2,''=2\n", ".csv")["text"] == ["'=1", "''=2"]


def test_a_column_of_the_same_name_is_kept() -> None:
    table = {"id": ["1"], "text": ["=1"], ADDED: ["own"]}
    assert read(text_of(table, ".csv", True, "en").encode(), ".csv") == table


def test_a_list_that_excel_saved_as_a_workbook_is_read_back(tmp_path: Path) -> None:
    table = without_formulas({"id": ["1", "2"], "text": ["=1+1", "'=x"]}, always=False)
    book = openpyxl.Workbook()
    for row in (list(table), *zip(*table.values(), strict=True)):
        book.active.append(list(row))
    book.save(tmp_path / "t.xlsx")
    found = read((tmp_path / "t.xlsx").read_bytes(), ".xlsx")
    assert found == {"id": ["1", "2"], "text": ["=1+1", "'=x"]}


@pytest.mark.parametrize("cell", RUN)
def test_workbooks_hold_texts_and_no_formula(tmp_path: Path, cell: str) -> None:
    write_table(tmp_path / "t.xlsx", {"id": ["1"], cell: [cell]})
    for row in openpyxl.load_workbook(tmp_path / "t.xlsx").active:
        assert {of.data_type for of in row} <= {"s", "n"}
        assert all(of.data_type == "s" for of in row[1:])
    if "\r" not in cell:
        assert openpyxl.load_workbook(tmp_path / "t.xlsx").active.cell(2, 2).value == cell
