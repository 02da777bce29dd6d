"""The header of a table that the page for people sends."""

from __future__ import annotations

from finetext.serving.tables import head_of

TEXTS = [f"The room with number {n} was as clean as it could be" for n in range(12)]


def test_a_header_of_questions_and_the_text_column_are_found() -> None:
    asked = ["Timestamp", "Were you satisfied?", "What could we do better?"]
    rows = [asked, *([f"2024/05/{n + 1:02d}", "Yes", text] for n, text in enumerate(TEXTS))]
    found = head_of(rows, None)
    assert found == {"titles": 0, "header": 1, "names": asked, "text": 2, "unclear": False}
    assert head_of([["Survey of May"], *rows], None) == found | {"titles": 1}
    assert head_of(rows, False)["header"] == 0


def test_a_first_row_that_may_be_a_header_is_reported() -> None:
    rows = [["Great rooms"], *([text] for text in TEXTS)]
    found = head_of(rows, None)
    assert found == {"titles": 0, "header": 0, "names": ["1"], "text": 0, "unclear": True}
    assert head_of(rows, True)["names"] == ["Great rooms"]
