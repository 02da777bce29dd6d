"""Blank rows, totals and notes below a table are no rows, and a finding says which they were."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile import table_bytes

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data.read import read
from finetext.data.skipped_rows import skipped_findings, without_footers
from finetext.data.stream import open_stream

ROWS = [f"{n};the room was {['fine', 'cold'][n % 2]} on day {n};{['good', 'bad'][n % 2]}"
        for n in range(1, 25)]  # fmt: skip
HEADER = "Nr;Kommentar;Kategorie"


def table(folder: Path, *below: str, rows: list[str] = ROWS, header: str = HEADER) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join([header, *rows, *below, ""]), encoding="utf-8")
    return path


FOOTERS = [
    ("Summe;;",), (";Summe;24",), ("Gesamt;24;",), (";n = 24;",), ("Total: 24;;",),
    (";;", "Razem;;24"), ("", "Quelle: Gästebuch 2024;;"), ("Summe;;24", ";;", "Stand: Mai;;"),
]  # fmt: skip


@pytest.mark.parametrize("below", FOOTERS)
def test_rows_that_close_a_table_are_left_out_and_named(
    tmp_path: Path, below: tuple[str, ...]
) -> None:
    path = table(tmp_path, *below)
    data = read(path)
    assert (len(data), data.scheme and data.scheme.names) == (24, ("bad", "good"))
    texts = open_stream(path, ReadSettings(labelled=False))
    assert len([one for rows in texts.batches for one in rows.texts]) == 24
    closing = [line for line, row in enumerate(below, start=26) if row.strip(";")]
    for findings in (data.findings, texts.findings):
        (message,) = [one.message for one in findings if one.code == "footer-rows"]
        assert all(f"line {line}: " in message for line in closing)
        assert message.count("line ") == len(closing)


def test_totals_of_a_sheet_are_left_out(tmp_path: Path) -> None:
    cells = [row.split(";") for row in [HEADER, *ROWS, "Summe;;24"]]
    columns = dict(enumerate(zip(*cells, strict=True)))
    path = tmp_path / "table.xlsx"
    path.write_bytes(table_bytes(".xlsx", {str(at): list(of) for at, of in columns.items()}))
    data = read(path)
    assert len(data) == 24
    assert any("line 26: 'Summe 24'" in one.message for one in data.findings)


@pytest.mark.parametrize("last", ["25;Summe;good", "25;Total;bad", "25;the total was wrong;good"])
def test_a_full_row_is_data(tmp_path: Path, last: str) -> None:
    data = read(table(tmp_path, last))
    assert (len(data), data.findings) == (25, ())


def test_a_note_that_could_be_a_text_is_asked_about(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the label is missing in 1 of 25 rows \(line 27\)"):
        read(table(tmp_path, "", ";we liked the garden;"))


def test_a_number_below_other_numbers_is_no_total_unless_it_sums_them_up() -> None:
    rows = [["soup", "1"], ["bread", "2"], ["fish", "2"], ["cake", "1"]]
    for number, left in (("6", 4), ("4", 4), ("2", 5), ("9", 5)):
        end, found = without_footers([*rows, ["Total", number]], range(2, 7))
        assert (end, list(found)) == (left, [6] * (left == 4))
    assert without_footers([["Total"]] * 5, range(5)) == (5, {})


def test_rows_of_delimiters_only_are_blank(tmp_path: Path) -> None:
    data = read(table(tmp_path, rows=[";;", *ROWS[:5], " ; ;", *ROWS[5:], ";;", ";;"]))
    assert len(data) == 24
    assert [one.message.split(": ")[1] for one in data.findings] == ["4 blank lines skipped"]


def test_what_was_skipped_is_said_in_words() -> None:
    found = skipped_findings("x.csv", 1, [4, 9], {12: "Summe 10"})
    assert [one.code for one in found] == ["blank-lines", "repeated-header", "footer-rows"]
    assert found[2].message == (
        "x.csv: 1 row below the table is no data and left out (line 12: 'Summe 10')"
    )
