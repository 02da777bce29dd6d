"""The header of a table that the page for people sends."""

from __future__ import annotations

from finetext.serving.tables import head_of

TEXTS = [f"The room with number {n} was as clean as it could be" for n in range(12)]


def test_a_header_of_questions_and_the_text_column_are_found() -> None:
    asked = ["Timestamp", "Were you satisfied?", "What could we do better?"]
    rows = [asked, *([f"2024/05/{n + 1:02d}", "Yes", text] for n, text in enumerate(TEXTS))]
    found = head_of(rows, None)
    rest = {"unclear": False, "lacks": False}
    assert found == {"titles": 0, "header": 1, "names": asked, "text": 2, **rest}
    assert head_of([["Survey of May"], *rows], None) == found | {"titles": 1}
    assert head_of(rows, False)["header"] == 0


def test_a_first_row_that_may_be_a_header_is_reported() -> None:
    rows = [["Great rooms"], *([text] for text in TEXTS)]
    found = head_of(rows, None)
    rest = {"unclear": True, "lacks": False}
    assert found == {"titles": 0, "header": 0, "names": ["1"], "text": 0, **rest}
    assert head_of(rows, True)["names"] == ["Great rooms"]


def test_the_column_of_training_is_chosen_if_it_is_there() -> None:
    rows = [
        ["reply", "body"],
        *([f"We thank you for line {n}", text] for n, text in enumerate(TEXTS)),
    ]
    found = head_of(rows, True, "body")
    assert (found["text"], found["lacks"]) == (1, False)
    only = [[first, str(n)] for n, (first, _) in enumerate(rows)]
    other = head_of(only, True, "body")
    assert (other["text"], other["lacks"]) == (0, True)
