"""Excel shows the cells of a workbook as they are, and what it cannot hold is said."""

from __future__ import annotations

import io
from typing import Any

import openpyxl
import pytest

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data import workbook
from finetext.data.excel import parse_excel
from finetext.data.workbook import Workbook


def sheets(book: Workbook) -> dict[str, Any]:
    file = io.BytesIO()
    book.save(file)
    return {sheet.title: sheet for sheet in openpyxl.load_workbook(file).worksheets}


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+49 30", "- nein", "@SUM(A1)", "\tx", "#N/A", "=", "-", '=HYPERLINK("http://x")'],
)
def test_text_that_looks_like_a_formula_stays_text(text: str) -> None:
    book = Workbook()
    book.append("t", {"text": [text, "harmless"], text: ["x", "y"]})
    sheet = sheets(book)["t"]
    for place in ("A2", "B1"):
        assert (sheet[place].value, sheet[place].data_type) == (text, "s")
        assert sheet[place].quotePrefix
    assert not sheet["A3"].quotePrefix


def test_values_keep_their_types() -> None:
    book = Workbook()
    values = [
        "Grüße 😀",
        "",
        None,
        True,
        0.25,
        float("nan"),
        7,
        10**16,
        ["a", "b"],
        ["a,b"],
        {"x": 1},
    ]
    book.append("t", {"value": values})
    found = [cell.value for (cell,) in sheets(book)["t"].iter_rows(min_row=2)]
    assert found == [
        "Grüße 😀", None, None, True, 0.25, None, 7, str(10**16), "a,b", '["a,b"]', '{"x": 1}',
    ]  # fmt: skip


def test_whole_ids_are_numbers_and_others_text() -> None:
    book = Workbook()
    ids = ["12", "0", "007", "1.5", "-3", "r1", "9" * 16, 5]
    book.append("t", {"id": ids, "label": ["1"] * 8})
    rows = list(sheets(book)["t"].iter_rows(min_row=2, values_only=True))
    assert [row[0] for row in rows] == [12, 0, "007", "1.5", "-3", "r1", "9" * 16, 5]
    assert {row[1] for row in rows} == {"1"}


@pytest.mark.parametrize("letter", ["x", "ß", "😀"])
def test_too_long_cells_are_cut_and_said(letter: str) -> None:
    book = Workbook()
    units = len(letter.encode("utf-16-le")) // 2
    fits = letter * (workbook.LONGEST // units)
    book.append("t", {"text": [fits, fits + letter]})
    cells = [cell.value for (cell,) in sheets(book)["t"].iter_rows(min_row=2)]
    assert cells[0] == fits
    assert cells[1].rstrip("…") in fits
    assert cells[1].endswith("…")
    assert len(cells[1].encode("utf-16-le")) <= 2 * workbook.LONGEST
    [finding] = book.findings
    assert finding.message.startswith("1 cell is longer than the 32,767 characters")


@pytest.mark.parametrize("character", ["\x00", "\x0b", "\x1f", "\ud800", "\uffff"])
def test_illegal_characters_are_replaced_and_said(character: str) -> None:
    book = Workbook()
    book.append("t", {"text": [f"a{character}b", "ok\n\tok"]})
    cells = [cell.value for (cell,) in sheets(book)["t"].iter_rows(min_row=2)]
    assert cells == ["a\N{REPLACEMENT CHARACTER}b", "ok\n\tok"]
    [finding] = book.findings
    assert finding.message.startswith("1 cell has control characters")


def test_a_full_sheet_is_continued_on_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "ROWS", 4)
    book = Workbook()
    for start in (0, 4):
        book.append("rows", {"n": list(range(start, start + 4))})
    found = {
        title: [value for (value,) in sheet.iter_rows(values_only=True)]
        for title, sheet in sheets(book).items()
    }
    assert found == {
        "rows": ["n", 0, 1, 2], "rows 2": ["n", 3, 4, 5], "rows 3": ["n", 6, 7],
    }  # fmt: skip
    [finding] = book.findings
    assert "is full at 3 rows" in finding.message
    assert "'rows 2'" in finding.message


def test_more_columns_than_a_sheet_has_are_refused() -> None:
    with pytest.raises(DataError, match=r"16,385 columns.*write \.csv"):
        Workbook().append("t", {str(n): [] for n in range(16_385)})


def test_what_is_written_is_read() -> None:
    book = Workbook()
    texts = ["=1+1", "Größe\nzwei", " Rand ", "#N/A", "_x0041_"]
    book.append("t", {"text": texts, "label": ["1", "01", "true", "NA", "2024-01-02"]})
    file = io.BytesIO()
    book.save(file)
    batch = parse_excel(file.getvalue(), "t.xlsx", ReadSettings())
    assert batch.columns["text"] == texts
    assert batch.columns["label"] == ["1", "01", "true", "NA", "2024-01-02"]
