"""Excel workbooks: the sheet, titles, error cells, merged cells, and what is said of them."""

from __future__ import annotations

import datetime
import io
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import openpyxl
import pytest

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data.formats import parse_table
from finetext.data.rows import Batch, File

THINGS = ["room", "bus", "meal", "desk clerk", "tram", "soup", "pool"]
DATA = [["Aussage", "Kode"], *([f"The {THINGS[n % 7]} was clean on day {n}", "AB"[n % 2]]
                               for n in range(12))]  # fmt: skip
CODES = [["Kode", "Farbe"], ["A", "rot"], ["B", "blau"]]
BOOK = [["Kode", "Bedeutung"], ["A", "The text is about cleanliness of rooms"],
        ["B", "The text is about something else"]]  # fmt: skip


def workbook(
    sheets: Mapping[str, Sequence[Sequence[Any]]],
    merged: Sequence[str] = (),
    texts: Sequence[str] = (),
    hidden: Sequence[str] = (),
) -> bytes:
    """Return the bytes of a workbook; `merged` and `texts` are places on the first."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
        sheet.sheet_state = "hidden" if title in hidden else "visible"
    for place in texts:  # else openpyxl writes "#N/A" as an error
        book.worksheets[0][place].data_type = "s"
    for place in merged:
        book.worksheets[0].merge_cells(place)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def parsed(data: bytes, **settings: Any) -> Batch:
    file = File("x.xlsx", PurePosixPath("x.xlsx"), lambda: data)
    return parse_table(file, ReadSettings(**{"labelled": False, **settings}))


def codes(batch: Batch) -> list[str]:
    return [finding.code for finding in batch.findings]


@pytest.mark.parametrize("order", [("Kodebuch", "Daten"), ("Daten", "Kodebuch")])
def test_the_only_sheet_with_texts_is_read(order: tuple[str, str]) -> None:
    of = {"Kodebuch": CODES, "Daten": DATA}
    batch = parsed(workbook({title: of[title] for title in order} | {"Leer": []}))
    assert len(batch) == 12
    assert batch.name == "x.xlsx, sheet 'Daten'"
    (found,) = batch.findings
    assert found.code == "other-sheets"
    assert batch.form == "Excel, sheet 'Daten' of several, with header"
    assert "'Daten' is read, not 'Kodebuch' (3 rows)" in found.message


def test_two_sheets_with_texts_need_a_name() -> None:
    data = workbook({"Daten": DATA, "Kodebuch": BOOK})
    with pytest.raises(DataError, match=r"'Daten' \(13 rows\), 'Kodebuch' \(3 rows\).*--sheet"):
        parsed(data)
    assert len(parsed(data, sheet="kodebuch", header=True)) == 2
    with pytest.raises(DataError, match="no sheet 'Date'; did you mean 'Daten'"):
        parsed(data, sheet="Date")
    with pytest.raises(DataError, match=r"none with texts: 'A' \(3 rows\), 'B' \(3 rows\)"):
        parsed(workbook({"A": CODES, "B": CODES}))
    with pytest.raises(DataError, match=r"sheet 'B', is empty"):
        parsed(workbook({"A": DATA, "B": []}), sheet="B")


def test_hidden_sheets_are_passed_over_but_named() -> None:
    batch = parsed(workbook({"Alt": DATA[:6], "Daten": DATA}, hidden=["Alt"]))
    assert len(batch) == 12
    assert "'Alt' (6 rows)" in batch.findings[0].message
    assert len(parsed(workbook({"Alt": DATA, "Neu": []}, hidden=["Alt"]))) == 12


def test_error_cells_are_missing_and_texts_like_them_are_not() -> None:
    rows = [list(row) for row in DATA]
    rows[1][1] = rows[2][0] = rows[3][1] = "#N/A"
    rows[4][0] = "#DIV/0!"
    batch = parsed(workbook({"D": rows}, texts=["B4"]))
    assert batch.columns["Kode"][:3] == [None, "B", "#N/A"], "B4 is a text"
    assert batch.columns["Aussage"][1] is batch.columns["Aussage"][3] is None
    (found,) = batch.findings
    assert found.severity == "warning"
    assert "3 error cells" in found.message
    assert codes(parsed(workbook({"D": rows}, texts=["B2", "A3", "B4", "A5"]))) == []


def test_merged_cells_count_in_all_their_rows() -> None:
    rows = [["Thema", "Aussage", "Nr"], *([None, f"So they said on day {n}", n] for n in range(6))]
    rows[1][0], rows[4][0] = "A", "B"
    batch = parsed(workbook({"D": rows}, merged=["A2:A4", "A5:A7"]))
    assert batch.columns["Thema"] == ["A", "A", "A", "B", "B", "B"]
    (found,) = batch.findings
    assert "2 ranges of merged cells" in found.message
    assert parsed(workbook({"D": rows})).columns["Thema"] == ["A", None, None, "B", None, None]


def test_titles_blank_rows_and_repeated_headers() -> None:
    title = [["Umfrage 2024", None], [None, None]]
    batch = parsed(workbook({"D": [*title, *DATA, [None, " "], *DATA]}, merged=["A1:B1"]))
    assert list(batch.columns) == ["Aussage", "Kode"]
    assert len(batch) == 24
    assert list(batch.lines or ())[:2] == [4, 5]
    assert codes(batch) == ["title-rows", "blank-lines", "repeated-header"]
    assert "(line 17)" in batch.findings[-1].message


def test_questions_and_times_of_microsoft_forms() -> None:
    time = datetime.datetime(2024, 5, 1, 10)
    rows = [["ID", "Start time", "Name", "How satisfied are you with us?", "What can we improve?"]]
    rows += [[n + 1, time + datetime.timedelta(hours=n), None, n % 5 + 1, f"More of the {t}s, e.g."]
             for n, t in enumerate(THINGS)]  # type: ignore[list-item]  # fmt: skip
    batch = parsed(workbook({"Sheet1": rows}))
    assert list(batch.columns) == rows[0]
    assert batch.columns["Start time"][1] == "2024-05-01T11:00:00"
    assert batch.columns["How satisfied are you with us?"][:2] == [1, 2]
    assert batch.findings == ()


def test_a_sheet_without_header_and_one_that_is_unclear() -> None:
    batch = parsed(workbook({"D": [[f"They said so on day {n}", n % 2] for n in range(6)]}))
    assert list(batch.columns) == ["1", "2"]
    assert len(batch) == 6
    unclear = workbook({"D": [["Blick", "Fach"], ["Ich sehe so einiges", "Bio"]]})
    with pytest.raises(DataError, match=r"sheet 'D', line 1: .*--header or --no-header"):
        parsed(unclear)
    assert len(parsed(unclear, header=True)) == 1


def test_formulas_without_a_stored_result_are_missing_and_counted() -> None:
    rows = [*DATA, ["=A2", "A"], ["=A3", "B"]]
    found = parsed(workbook({"Daten": rows}))
    assert found.columns["Aussage"][-2:] == [None, None]
    [message] = [of.message for of in found.findings if of.code == "excel-formulas"]
    assert "2 formulas without a stored result read as missing" in message
    assert "excel-formulas" not in codes(parsed(workbook({"Daten": DATA})))
