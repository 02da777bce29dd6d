"""Exports of annotation tools: their labels, and answers that are rejected, drafts, or differ."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from exports import (
    CHOSEN,
    EXPORTS,
    LABELS,
    OPTIONS,
    PAIRS,
    SEVERAL,
    TEXTS,
    VIEW,
    argilla_feedback,
    argilla_row,
    nested_argilla,
    prodigy,
    spacy_cats,
    studio,
    webanno,
)
from hostile import csv_of, json_lines

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import Dataset
from finetext.data.read import read
from finetext.data.stream import open_stream

FILES = [(tool, *file) for tool, files in EXPORTS.items() for file in files]


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def codes(data: Dataset) -> list[str]:
    return [finding.code for finding in data.findings]


def flat(labels: list[Any]) -> list[Any]:
    return [own[0] if isinstance(own, list) else own for own in labels]


@pytest.mark.parametrize(("tool", "name", "content"), FILES, ids=[name for _, name, _ in FILES])
def test_export_is_read_and_predicted(
    tmp_path: Path, tool: str, name: str, content: str | bytes
) -> None:
    path = put(tmp_path, name, content)
    data = read(path)
    assert data.texts == TEXTS
    assert flat(data.labels) == LABELS
    assert data.scheme is not None
    assert set(data.scheme.names) == {"good", "bad"}
    streamed = open_stream(path, ReadSettings(labelled=False))
    assert [text for rows in streamed.batches for text in rows.texts] == TEXTS


@pytest.mark.parametrize("tool", EXPORTS)
def test_export_on_the_command_line(tmp_path: Path, command: Callable[..., Any], tool: str) -> None:
    path = put(tmp_path, *EXPORTS[tool][0])
    told = json.loads(command("explore", path, "--json", status=0).out)
    assert told["classes"] == {"bad": {"all": 8}, "good": {"all": 4}}
    out = tmp_path / "model"
    seen = command("train", path, "--methods", "majority", "--out", out, status=0)
    assert "12 rows, 2 labels" in seen.out + seen.err


def test_every_format_of_the_manual_has_an_input() -> None:
    manual = Path(__file__).parents[2].joinpath("docs", "how-to", "data.md").read_text("utf-8")
    table = manual.partition("## Exports of annotation tools")[2].partition("\n## ")[0]
    named = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)[1:]
    assert named == list(EXPORTS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.json", studio([[own] for own in SEVERAL])),
        ("x.csv", csv_of(
            [f'{n},1,3.5,{t},"' + (json.dumps({"choices": own}).replace('"', '""')
             if len(own) > 1 else own[0]) + '"'
             for n, (t, own) in enumerate(zip(TEXTS, SEVERAL, strict=True))],
            "annotation_id,annotator,lead_time,text,topic")),
        ("x.jsonl", spacy_cats(several=True)),
        ("choice.jsonl", prodigy(options=[[{"id": n, "text": n} for n in ("food", "room")]] * 12,
                                 accept=SEVERAL, answer=["accept"] * 12, _view_id=VIEW)),
        ("doccano.csv", csv_of([f"{n},{t},{'#'.join(own)}" for n, (t, own)
                                in enumerate(zip(TEXTS, SEVERAL, strict=True))], "id,data,label")),
        ("argilla.jsonl", json_lines([
            {**argilla_row(n, t, ""), "label.responses": [own]}
            for n, (t, own) in enumerate(zip(TEXTS, SEVERAL, strict=True))])),
    ],
)  # fmt: skip
def test_several_labels_a_text(tmp_path: Path, name: str, content: str) -> None:
    data = read(put(tmp_path, name, content))
    assert [sorted(own) for own in data.labels] == [sorted(own) for own in SEVERAL]
    with pytest.raises(DataError, match=r"2 labels .*data.multilabel = false"):
        read(put(tmp_path, name, content), settings=ReadSettings(multilabel=False))


SAID = ["accept", "reject", "ignore", *["accept"] * 9]
KEPT = [label for label, said in zip(LABELS, SAID, strict=True) if said == "accept"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("choice.jsonl", prodigy(options=[OPTIONS] * 12, accept=CHOSEN, answer=SAID)),
        ("binary.jsonl", prodigy(label=LABELS, answer=SAID)),
        ("canceled.json", studio([[[label] if said == "accept" else None]
                                  for label, said in zip(LABELS, SAID, strict=True)])),
        ("argilla.jsonl", json_lines([
            argilla_row(n, *pair, {"accept": "submitted", "reject": "discarded"}.get(said, "draft"))
            for n, (pair, said) in enumerate(zip(PAIRS, SAID, strict=True))])),
        ("feedback.jsonl", json_lines([
            {**argilla_feedback(*pair), "label": [{"user_id": "a", "value": pair[1], "status":
             {"accept": "submitted", "reject": "discarded"}.get(said, "draft")}]}
            for pair, said in zip(PAIRS, SAID, strict=True)])),
    ],
)  # fmt: skip
def test_refused_answers_are_left_out_and_counted(tmp_path: Path, name: str, content: str) -> None:
    path = put(tmp_path, name, content)
    data = read(path)
    assert data.labels == KEPT
    assert codes(data) == ["answers-left-out"]
    assert "2 answers ignored (rejected, skipped, discarded or draft)" in data.findings[0].message
    assert "2 texts without another answer" in data.findings[0].message
    rows = open_stream(path, ReadSettings(labelled=False)).batches
    assert [text for part in rows for text in part.texts] == TEXTS


def test_ids_of_rows_are_those_of_the_file_when_answers_are_left_out(tmp_path: Path) -> None:
    data = read(put(tmp_path, "x.jsonl", prodigy(label=LABELS, answer=SAID)))
    assert data.ids[:2] == ["1", "4"]


def test_rejections_of_a_single_label_are_no_class_of_their_own(tmp_path: Path) -> None:
    path = put(tmp_path, "x.jsonl", prodigy(label=["SPAM"] * 12, answer=SAID))
    with pytest.raises(DataError, match=r"one label, 'SPAM'.*--label answer"):
        read(path)
    data = read(path, label="answer")
    assert data.labels == [said for said in SAID if said != "ignore"]


def by_three(first: list[Any], second: list[Any], third: list[Any]) -> list[list[Any]]:
    return [list(of) for of in zip(first, second, third, strict=True)]


WRAPPED = [[label] for label in LABELS]
OTHER = [["good"], *WRAPPED[1:]]


@pytest.mark.parametrize(
    ("answers", "labels", "found"),
    [
        (by_three(WRAPPED, WRAPPED, WRAPPED), LABELS, []),
        (by_three(WRAPPED, OTHER, WRAPPED), LABELS, ["annotators-differ"]),
        ([[a, b] for a, b in zip(WRAPPED, OTHER, strict=True)], LABELS[1:], ["annotators-differ"]),
        (by_three(WRAPPED, WRAPPED, [None, *WRAPPED[1:]]), LABELS, ["answers-left-out"]),
    ],
)
def test_majority_of_annotators(
    tmp_path: Path, answers: list[list[Any]], labels: list[str], found: list[str]
) -> None:
    data = read(put(tmp_path, "x.json", studio(answers)))
    assert data.labels == labels
    assert codes(data) == found
    table = csv_of([
        f"{9 * n + at},{at},{n},3.5,{text},{own[0]}"
        for n, (text, of) in enumerate(zip(TEXTS, answers, strict=True), 1)
        for at, own in enumerate(of) if own
    ], "annotation_id,annotator,id,lead_time,text,sentiment")  # fmt: skip
    rows = read(put(tmp_path, "x.csv", table))
    assert rows.labels == labels
    assert "answers-joined" in codes(rows)


def test_annotators_of_several_labels_agree_label_by_label(tmp_path: Path) -> None:
    answers = [[["a"], ["a", "b"], ["b", "c"]], [["a", "b"], ["a"]], *[[["a", "c"]]] * 10]
    data = read(put(tmp_path, "x.json", studio(answers)))
    assert data.labels == [["a", "b"], *[["a", "c"]] * 10]
    assert "1 text without a majority left out" in data.findings[0].message


def test_several_responses_in_argilla(tmp_path: Path) -> None:
    rows = [nested_argilla(*pair, n) for n, pair in enumerate(PAIRS)]
    for row in rows:
        row["responses"]["label"] *= 2
        row["responses"]["label"].append({"value": "other", "user_id": "c"})
    data = read(put(tmp_path, "x.jsonl", json_lines(rows)))
    assert data.labels == LABELS
    assert "disagree on 12 texts" in data.findings[0].message


def two_questions() -> list[tuple[str, str]]:
    asked = [[{"sentiment": [label], "topic": own}]
             for label, own in zip(LABELS, SEVERAL, strict=True)]  # fmt: skip
    flat_rows = [
        {**argilla_row(n, *pair), "topic.responses": ["x"], "topic.responses.status": ["submitted"]}
        for n, pair in enumerate(PAIRS)
    ]
    table = csv_of([f"{n},1,3.5,{t},{label},{'xy'[n % 2]}" for n, (t, label) in enumerate(PAIRS)],
                   "annotation_id,annotator,lead_time,text,sentiment,topic")  # fmt: skip
    return [("s.json", studio(asked)), ("a.jsonl", json_lines(flat_rows)), ("s.csv", table)]


@pytest.mark.parametrize(("name", "content"), two_questions())
def test_several_questions_must_be_named(tmp_path: Path, name: str, content: str) -> None:
    path = put(tmp_path, name, content)
    first = "label" if name == "a.jsonl" else "sentiment"
    with pytest.raises(DataError, match=rf"2 questions.*'{first}', 'topic'.*--label {first}"):
        read(path)
    assert read(path, label=first).labels == LABELS
    assert read(path, settings=ReadSettings(labelled=False)).texts == TEXTS


SPANS = [[0, 4, "PER"]]


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("x.jsonl", json_lines([{"id": 1, "text": t, "label": SPANS, "Comments": []}
                                for t in TEXTS]), r"line 1: the label is a list of spans"),
        ("x.jsonl", prodigy(spans=[[{"start": 0, "end": 3, "label": "X"}]] * 12,
                            answer=["accept"] * 12), "Prodigy export with spans"),
        ("x.json", json.dumps([{"id": n, "data": {"text": t}, "annotations": [{"result": [
            {"type": "labels", "from_name": "ner", "value": {"start": 0, "labels": ["PER"]}}]}]}
            for n, t in enumerate(TEXTS)]), "without choices for whole texts.*labels"),
        ("x.tsv", webanno([""] * 12), "PosValue are on parts of sentences"),
        ("x.tsv", "#FORMAT=WebAnno TSV 2.0\n", "export it as WebAnno TSV 3"),
    ],
)  # fmt: skip
def test_labels_of_parts_are_refused_by_name(
    tmp_path: Path, name: str, content: str, match: str
) -> None:
    path = put(tmp_path, name, content)
    with pytest.raises(DataError, match=match):
        read(path)
    if not name.endswith(".tsv"):
        assert read(path, settings=ReadSettings(labelled=False)).texts == TEXTS


def test_unlabeled_sentences_among_labeled_ones(tmp_path: Path) -> None:
    path = put(tmp_path, "x.tsv", webanno([*LABELS[:-1], ""]))
    data = read(path, settings=ReadSettings(drop_unlabelled=True))
    assert data.labels == LABELS[:-1]


def test_rows_that_nobody_confirmed_are_kept_with_a_note(tmp_path: Path) -> None:
    rows = [{"id": n, "text": t, "label": [label], "is_confirmed": n > 1}
            for n, (t, label) in enumerate(PAIRS)]  # fmt: skip
    data = read(put(tmp_path, "x.jsonl", json_lines(rows)))
    assert flat(data.labels) == LABELS
    assert codes(data) == ["not-confirmed", "lists-of-one"]


def test_a_plain_table_is_no_export() -> None:
    table = {"text": TEXTS, "answer": ["accept", "reject", "wait"] * 4, "label": LABELS}
    assert read(table).labels == LABELS
    assert read({"text": TEXTS, "status": ["draft", "done"] * 6, "label": LABELS}).labels == LABELS


def test_entities_and_predictions_are_refused_by_name(tmp_path: Path) -> None:
    entities = [{"id": n, "text": t, "entities": [{"id": 1, "label": "PER"}], "relations": [],
                 "Comments": []} for n, t in enumerate(TEXTS)]  # fmt: skip
    with pytest.raises(DataError, match="Doccano export of entities"):
        read(put(tmp_path, "x.jsonl", json_lines(entities)))
    tasks = [{"id": n, "data": {"text": t}, "annotations": [], "predictions": [{"result": [
        {"type": "choices", "from_name": "s", "value": {"choices": ["a"]}}]}]}
        for n, t in enumerate(TEXTS)]  # fmt: skip
    with pytest.raises(DataError, match="predictions are no labels"):
        read(put(tmp_path, "x.json", json.dumps(tasks)))


@pytest.mark.parametrize(
    "row",
    [
        {"text": "a fine film", "classifications": ["good"]},
        {"text": "a fine film", "messages": ["hi", "there"], "label": "good"},
        {"text": "a fine film", "annotations": [1, 2], "data": {"a": 1}, "label": "good"},
        {"text": "a fine film", "responses": ["x"], "fields": {"a": "b"}, "label": "good"},
        {"text": "a fine film", "options": ["good", "bad"], "accept": ["good"], "answer": "accept"},
        {"source": "a fine film", "label": 0, "label-metadata": {"class-map": None}},
        {"text": "a fine film", "label": [1, [2]]},
        {"text": "a fine film", "label": [None, [0, 5]]},
    ],
)
def test_rows_of_another_form_than_a_tool_writes_are_read_or_refused(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for _ in range(5)), encoding="utf-8")
    with suppress(DataError):
        assert len(read(path, settings=ReadSettings(labelled=False))) == 5
    with suppress(DataError):
        assert len(read(path)) == 5


def test_an_odd_row_far_down_an_export_names_the_tool(tmp_path: Path) -> None:
    rows = [{"data": {"text": f"film {n}"}, "annotations": [{"result": []}]} for n in range(300)]
    rows[250]["annotations"] = [3]  # type: ignore[list-item]
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(DataError, match="looks like an export of Label Studio, but a row"):
        read(path)
