"""Exports of Argilla: responses by question, their status, and records of version 1."""

from __future__ import annotations

from typing import Any

import pytest
from exports import LABELS, PAIRS, TEXTS, argilla_feedback, argilla_record, nested_argilla

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data.read import read

DROP = ReadSettings(drop_unlabelled=True)


def test_hub_data_sets_store_responses_as_lists_of_columns() -> None:
    import datasets

    rows = [argilla_feedback(*pair) for pair in PAIRS]
    for row in rows:
        row["label"] = {key: [one[key] for one in row["label"]] for key in row["label"][0]}
    data = read(datasets.Dataset.from_list(rows))
    assert data.labels == LABELS
    assert data.texts == TEXTS


@pytest.mark.parametrize(("status", "kept"), [("Discarded", 9), ("Validated", 12), ("Default", 12)])
def test_records_of_version_1_have_a_status(status: str, kept: int) -> None:
    rows = [argilla_record(*pair) for pair in PAIRS]
    for row in rows[:3]:
        row["status"] = status
    data = read(rows)
    assert data.labels == LABELS[12 - kept :]


def test_predictions_are_no_labels() -> None:
    rows: list[dict[str, Any]] = [argilla_record(*pair) for pair in PAIRS]
    for row in rows[:3]:
        row.update(annotation=None, annotation_agent=None, status="Default")
    with pytest.raises(DataError, match="the label is missing in 3 of 12 rows"):
        read(rows)
    assert read(rows, settings=DROP).labels == LABELS[3:]


def test_several_labels_in_records_of_version_1() -> None:
    rows = [{**argilla_record(t, x), "annotation": [x, "new"], "multi_label": True}
            for t, x in PAIRS]  # fmt: skip
    assert read(rows).labels == [[label, "new"] for label in LABELS]


def test_values_by_annotator_of_version_1() -> None:
    rows = [
        {"fields": {"text": text}, "suggestions": [], "responses": [
            {"user_id": "a", "status": "submitted", "values": {"mood": {"value": label}}},
            {"user_id": "b", "status": "draft", "values": {"mood": {"value": "other"}}}]}
        for text, label in PAIRS
    ]  # fmt: skip
    data = read(rows)
    assert data.labels == LABELS
    assert [finding.code for finding in data.findings] == ["answers-left-out"]


def test_records_without_a_response_are_missing_labels() -> None:
    rows = [nested_argilla(*pair, n) for n, pair in enumerate(PAIRS)]
    rows[0]["responses"] = {}
    with pytest.raises(DataError, match="the label is missing in 1 of 12 rows"):
        read(rows)
    assert read(rows, settings=DROP).ids[0] == "x1"
