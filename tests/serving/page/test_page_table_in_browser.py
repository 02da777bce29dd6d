"""A table on the page of the server: read, predicted and given back in a real browser."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from page_helpers import Films, Open, cells, downloaded, give, rows_of

from finetext.batch.predict_file import predict_file
from finetext.core.decision import Decision

if TYPE_CHECKING:
    from playwright.sync_api import Route

pytestmark = pytest.mark.slow
TRICKY = (
    'id;text;=note\r\n1;"a ""good"" film; truly\r\nit is";=1+1\r\n'
    "2;bad 😀 çà مرحبا;-3\r\n\r\n3;;<b>x</b>\r\n4;good;\r\n"
)


def test_quoted_and_multiline_fields_are_kept(opened: Open) -> None:
    page = opened(request_texts=2)
    give(page, "films.csv", TRICKY)
    told = "films.csv: semicolon-separated, with header; text 'text', id 'id'; 4 rows."
    page.locator("#table-told").filter(has_text=told).wait_for()
    assert page.get_by_label("Text column").input_value() == "text"
    assert "1 blank line skipped" in page.locator("#table-remarks").inner_text()
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
    ("name", "content", "column", "texts"),
    [
        ("a.tsv", 'review\tn\n"good, he said\t1\nbad\t2\n', "review", ['"good, he said', "bad"]),
        ("b.txt", "good, and so on\nbad\n", "text", ["good, and so on", "bad"]),
        ("c.csv", 'text\n"Well, good"\n"bad, no"\n', "text", ["Well, good", "bad, no"]),
        ("d.csv", "n,text\n1,süß\n".encode("utf-16"), "text", ["süß"]),
        ("e.csv", "n,text\n1,süß\n".encode("latin-1"), "text", ["süß"]),
        ("f.jsonl", '{"n": 1, "text": "good"}\n', "text", ["good"]),
    ],
)  # fmt: skip
def test_format_encoding_and_text_column_are_detected(
    opened: Open, name: str, content: str | bytes, column: str, texts: list[str]
) -> None:
    page = opened()
    give(page, name, content)
    page.locator("#preview").wait_for()
    assert page.get_by_label("Text column").input_value() == column
    assert cells(page, "preview", "td.chosen") == texts
    assert page.get_by_label("Delimiter").is_visible() == (name != "f.jsonl")
    assert ("Windows-1252" in page.locator("#table-remarks").inner_text()) == (name == "e.csv")


ROOMS = [f"The room with number {n} was as clean as it could be" for n in range(12)]


@pytest.mark.parametrize(("button", "rows"), [("is a header", 12), ("is data", 13)])
def test_an_unclear_header_is_chosen_with_a_button(opened: Open, button: str, rows: int) -> None:
    page = opened(expected=["422"])
    give(page, "rooms.csv", "\n".join(["Great rooms", *ROOMS]))
    problem = "rooms.csv, line 1: this row may be a header or the first row of data: 'Great rooms'."
    page.get_by_role("region", name=problem).wait_for()
    assert page.locator("#table-read").is_hidden()
    assert page.locator("#table-failure").is_hidden()
    page.get_by_role("button", name=f"First row {button}").click()
    page.get_by_role("button", name=f"Predict {rows} rows").wait_for()
    assert page.locator("#choice").is_hidden()
    stated = "true" if rows == 12 else "false"
    assert page.locator("#header").input_value() == stated
    page.locator("#header").select_option("")
    page.get_by_role("region", name=problem).wait_for()


def test_unclear_text_columns_are_chosen_by_their_values(opened: Open) -> None:
    page = opened(expected=["422"])
    food = [f"And the food of day {n} was quite good" for n in range(12)]
    rows = [f"{room},{meal}" for room, meal in zip(ROOMS, food, strict=True)]
    give(page, "two.csv", "\n".join(["a,b", *rows]))
    page.get_by_role("region", name="two.csv: 2 columns could hold the texts.").wait_for()
    assert page.locator("#choice li").all_inner_texts() == ROOMS[:3]
    page.locator("#choice select").select_option("b")
    assert page.locator("#choice li").all_inner_texts() == food[:3]
    page.get_by_role("button", name="Use this column").click()
    page.locator("#preview").wait_for()
    assert page.get_by_label("Text column").input_value() == "b"
    page.get_by_label("Text column").select_option("a")
    page.locator("#table-told").filter(has_text="text 'a'").wait_for()
    page.get_by_role("button", name="Predict 12 rows").click()
    page.locator("#table-result").wait_for()
    names, *own = downloaded(page)
    assert names[:4] == ["id", "a", "b", "prediction"]
    assert [row[1] for row in own] == ROOMS


def test_a_wrong_setting_can_be_taken_back(opened: Open) -> None:
    page = opened(expected=["422"])
    give(page, "uneven.csv", "id,text\n1,good;so\n2,bad\n")
    page.locator("#preview").wait_for()
    page.get_by_label("Delimiter").select_option(";")
    page.locator("#table-failure").filter(has_text="semicolon-separated fields").wait_for()
    page.get_by_label("Delimiter").select_option("")
    page.get_by_role("button", name="Predict 2 rows").wait_for()
    assert page.locator("#table-failure").is_hidden()


@pytest.mark.parametrize("most", [None, 1.0])
def test_the_download_is_what_predict_writes(
    opened: Open, tmp_path: Path, most: float | None
) -> None:
    rule = Decision(set_from=0.3, coverage=0.9, in_scope_up_to=most)
    page = opened(model := Films(decision=rule))
    content = 'prediction,text,n\nold,a good film,1\nolder,"bad, no",2.50\n'
    give(page, "f.csv", content)
    page.get_by_role("button", name="Predict 2 rows").click()
    page.locator("#table-result").wait_for()
    (tmp_path / "f.csv").write_text(content)
    predict_file(model, tmp_path / "f.csv", tmp_path / "out.csv")
    assert downloaded(page) == rows_of(tmp_path / "out.csv")
    assert ("out_of_scope" in downloaded(page)[0]) == (most is not None)


def test_rejected_rows_get_a_problem_and_clashing_columns_a_prefix(opened: Open) -> None:
    page = opened(expected=["500"], text_characters=40)
    long = "x" * 41
    give(page, "f.csv", f"prediction,text\na,good\nb,{long}\nc,a text that breaks it\nd,bad\n")
    page.get_by_role("button", name="Predict 4 rows").click()
    page.locator("#table-result").wait_for()
    names, *rows = downloaded(page)
    assert names[:4] == ["id", "prediction", "text", "finetext:prediction"]
    assert [row[3] for row in rows] == ["yes", "", "", "no"]
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
    page = opened(expected=["422"])
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
    page.locator("#table-told").filter(has_text="dropped.csv: comma-separated").wait_for()
    give(page, "x.xlsx", b"PK\x03\x04\0\0\0\0")
    page.locator("#table-failure").filter(has_text="not a readable Excel file").wait_for()
    give(page, "empty.csv", b"")
    page.locator("#table-failure").filter(has_text="empty.csv is empty").wait_for()
