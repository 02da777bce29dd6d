"""A table on the page of the server: read, predicted and given back in a real browser."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from page_helpers import Films, Open, cells, downloaded, give

if TYPE_CHECKING:
    from playwright.sync_api import Route

pytestmark = pytest.mark.slow
TRICKY = (
    'id;text;=note\r\n1;"a ""good"" film; truly\r\nit is";=1+1\r\n'
    "2;bad 😀 çà مرحبا;-3\r\n\r\n3;;<b>x</b>\r\n4;good\r\n"
)


def test_quoted_multiline_and_uneven_rows_keep_their_fields(opened: Open) -> None:
    page = opened(request_texts=2)
    give(page, "films.csv", TRICKY)
    page.locator("#table-told").filter(has_text="films.csv: 4 rows, 3 columns.").wait_for()
    assert page.get_by_label("Text column").input_value() == "1"
    assert page.get_by_label("Delimiter").input_value() == ";"
    assert page.get_by_label("The first row holds").is_checked()
    assert "1 row with another number of fields" in page.locator("#table-remarks").inner_text()
    page.get_by_role("button", name="Predict 4 rows").click()
    page.locator("#table-result").wait_for()
    names, *rows = downloaded(page)
    assert names == [
        "id", "text", "=note", "prediction", "probability",
        "probability:no", "probability:yes", "probability:0",
    ]  # fmt: skip
    own = [row[:3] for row in rows]
    assert own == [
        ["1", 'a "good" film; truly\r\nit is', "=1+1"],
        ["2", "bad 😀 çà مرحبا", "-3"],
        ["3", "", "<b>x</b>"],
        ["4", "good", ""],
    ]
    assert [row[3] for row in rows] == ["yes", "no", "yes", "yes"]
    assert [float(row[4]) for row in rows] == pytest.approx([0.9, 0.76, 0.5, 0.9])
    assert "1 field of this file begins like a formula" in page.locator("#formulas").inner_text()
    page.get_by_label("For a spreadsheet").check()
    names, *rows = downloaded(page)
    assert names[0] == "\ufeffid"
    assert [row[2] for row in rows] == ["'=1+1", "-3", "<b>x</b>", ""]


@pytest.mark.parametrize(
    ("name", "content", "delimiter", "column", "texts"),
    [
        ("a.tsv", 'review\tn\n"good, he said\t1\nbad\t2\n', "tab", "0", ['"good, he said', "bad"]),
        ("b.csv", "good, and so on\nbad\n", "", "0", ["good, and so on", "bad"]),
        ("c.csv", 'text\n"Well, good"\n"bad, no"\n', "", "0", ["Well, good", "bad, no"]),
        ("d.csv", "n,text\n1,süß\n".encode("utf-16"), ",", "1", ["süß"]),
        ("e.csv", "n,text\n1,süß\n".encode("latin-1"), ",", "1", ["süß"]),
        ("f.csv", "Comment,Segment\n,a good film it was\n,a bad one it was\nodd,all in all good\n",
         ",", "1", ["a good film it was", "a bad one it was", "all in all good"]),
        ("g.csv", "Énoncé du codeur,Réponse\nun long remarque,bien\n", ",", "1", ["bien"]),
    ],
)  # fmt: skip
def test_delimiter_encoding_and_text_column_are_detected(
    opened: Open, name: str, content: str | bytes, delimiter: str, column: str, texts: list[str]
) -> None:
    page = opened()
    give(page, name, content)
    page.locator("#preview").wait_for()
    assert page.get_by_label("Delimiter").input_value() == delimiter
    assert page.get_by_label("Text column").input_value() == column
    assert cells(page, "preview", "td.chosen") == texts
    assert ("Windows-1252" in page.locator("#table-remarks").inner_text()) == (name == "e.csv")


def test_rejected_rows_get_a_problem_and_clashing_columns_a_prefix(opened: Open) -> None:
    page = opened(expected=["500"], text_characters=40)
    long = "x" * 41
    give(page, "f.csv", f"prediction,text\na,good\nb,{long}\nc,a text that breaks it\nd,bad\n")
    page.get_by_role("button", name="Predict 4 rows").click()
    page.locator("#table-result").wait_for()
    names, *rows = downloaded(page)
    assert names[:3] == ["prediction", "text", "finetext:prediction"]
    assert [row[2] for row in rows] == ["yes", "", "", "no"]
    assert rows[1][-1] == "the text has 41 characters; the limit is 40"
    assert "internal error" in rows[2][-1]
    assert "/secret" not in str(rows)


def test_prediction_retries_can_be_cancelled_and_resumed(opened: Open) -> None:
    page = opened(replace(Films(), seconds=0.05), expected=["429", "ERR_FAILED"], request_texts=1)
    trouble = ["busy"]

    def now_and_then(route: Route) -> None:
        what = trouble.pop() if trouble else None
        if what == "busy":
            body = json.dumps({"error": "30 texts are waiting already"})
            route.fulfill(status=429, headers={"retry-after": "1"}, body=body)
        elif what == "gone":
            route.abort()
        else:
            route.continue_()

    page.route("**/decide", now_and_then)
    give(page, "g.csv", "id,text\n" + "".join(f"{number},good {number}\n" for number in range(60)))
    page.get_by_role("button", name="Predict 60 rows").click()
    told = page.locator("#progress-told")
    told.filter(has_text="The server is busy: retrying in 1 s").wait_for()
    told.filter(has_text="rows/s").wait_for()
    page.get_by_role("button", name="Cancel").click()
    button = page.get_by_role("button", name="Download the")
    button.wait_for()
    part = downloaded(page)
    assert 1 < len(part) < 61
    trouble.append("gone")
    page.get_by_role("button", name="Resume").click()
    failure = page.locator("#work-failure").filter(has_text="cannot be reached")
    failure.filter(has_text="The finished rows are kept").wait_for()
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Download", exact=True).wait_for()
    rows = downloaded(page)
    assert [row[0] for row in rows[1:]] == [str(number) for number in range(60)]
    assert rows[: len(part)] == part
    assert page.locator("progress").get_attribute("value") == "60"


def test_a_file_can_be_dropped(opened: Open) -> None:
    page = opened()
    page.get_by_role("tab", name="Table").click()
    page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File(["id,text\\n1,good\\n"], "dropped.csv", { type: "text/csv" }));
          for (const type of ["dragover", "drop"]) {
            const how = { dataTransfer: data, bubbles: true, cancelable: true };
            const event = new DragEvent(type, how);
            document.getElementById("drop").dispatchEvent(event);
          }
        }"""
    )
    page.locator("#table-told").filter(has_text="dropped.csv: 1 row, 2 columns.").wait_for()
    give(page, "x.xlsx", b"PK\x03\x04\0\0\0\0")
    page.locator("#table-failure").filter(has_text="not a CSV or TSV").wait_for()
    give(page, "empty.csv", b"")
    page.locator("#table-failure").filter(has_text="This file is empty.").wait_for()
