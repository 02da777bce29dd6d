"""Texts and records in objects, and rows whose status says that their label does not count."""

from __future__ import annotations

from typing import Any

import pytest
from exports import LABELS, PAIRS, TEXTS

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data.read import read

TABLE: dict[str, Any] = {"text": TEXTS, "label": LABELS}


@pytest.mark.parametrize(
    ("column", "refused", "counts"),
    [
        ("answer", "reject", "accept"),
        ("answer", "ignore", "accept"),
        ("status", "discarded", "submitted"),
        ("Status", "Draft", "Completed"),
        ("response_status", "draft", "submitted"),
        ("annotation_status", "rejected", "approved"),
        ("was_cancelled", True, False),
        ("was_cancelled", "True", "False"),
        ("was_skipped", 1, 0),
    ],
)
def test_rows_that_are_refused_are_left_out_and_counted(
    column: str, refused: object, counts: object
) -> None:
    table = {**TABLE, column: [refused] * 3 + [counts] * 9}
    data = read(table)
    assert data.labels == LABELS[3:]
    assert data.ids[0] == "4"
    (finding,) = data.findings
    assert finding.severity == "warning"
    assert f"3 rows left out, whose column '{column}' is {str(refused).lower()}" in finding.message
    assert read(table, settings=ReadSettings(labelled=False)).texts == TEXTS


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("status", ["draft", "published"]),
        ("status", ["submitted", "completed"]),
        ("status", ["draft", "draft"]),
        ("answer", ["reject", "maybe"]),
        ("mood", ["reject", "accept"]),
    ],
)
def test_other_columns_refuse_nothing(column: str, values: list[str]) -> None:
    data = read({**TABLE, column: values * 6})
    assert data.labels == LABELS
    assert not data.findings


def test_a_status_can_be_the_label() -> None:
    decisions = ["accepted", "rejected"] * 6
    assert read({"text": TEXTS, "status": decisions}).labels == decisions
    assert read({**TABLE, "status": decisions}, label="status").labels == decisions


@pytest.mark.parametrize("key", ["data", "row", "record", "anything"])
def test_records_in_objects(key: str) -> None:
    data = read([{key: {"text": text, "label": label}} for text, label in PAIRS])
    assert (data.texts, data.labels) == (TEXTS, LABELS)


def test_fields_beside_a_label() -> None:
    rows = [{"data": {"text": text, "source": "web"}, "label": label} for text, label in PAIRS]
    data = read(rows)
    assert (data.texts, data.labels) == (TEXTS, LABELS)


@pytest.mark.parametrize("name", ["tokens", "words"])
def test_lists_of_tokens_are_refused_by_name(name: str) -> None:
    rows = [{name: text.split(), "label": label} for text, label in PAIRS]
    with pytest.raises(DataError, match=f"'{name}' holds lists of tokens, not texts"):
        read(rows)
    assert read([{**row, "text": "a text"} for row in rows]).labels == LABELS
