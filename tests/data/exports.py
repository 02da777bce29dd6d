"""Small exports of annotation tools and programs, as they write them, with what they mean.

Each has the texts of `TEXTS` and, unless it says otherwise, the labels of `LABELS`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from hostile import csv_of, json_lines, table_bytes

TEXTS = [f"The {thing} was rather {how} today" for thing in ("room", "soup", "bus", "park")
         for how in ("cold", "slow", "warm")]  # fmt: skip
LABELS = ["bad", "bad", "good"] * 4
SEVERAL = [["food"], ["room", "food"], ["room"]] * 4
PAIRS = list(zip(TEXTS, LABELS, strict=True))
ROWS = [{"text": text, "label": label} for text, label in PAIRS]


def studio_task(number: int, text: str, answers: list[Any], **more: Any) -> dict[str, Any]:
    """A task of Label Studio; None is a canceled annotation, a mapping has several questions."""
    annotations = []
    for at, answer in enumerate(answers):
        asked = answer if isinstance(answer, Mapping) else {"sentiment": answer or []}
        results = [
            {"value": {"choices": own}, "id": f"r{number}{at}", "from_name": name,
             "to_name": "text", "type": "choices", "origin": "manual"}
            for name, own in asked.items() if own
        ]  # fmt: skip
        annotations.append({"id": 500 + number, "completed_by": {"id": at},
                            "was_cancelled": answer is None, "result": results})  # fmt: skip
    return {"id": number, "annotations": annotations, "predictions": [], "drafts": [],
            "data": {"text": text}, "meta": {}, "created_at": "2024-05-01T10:00:00Z",
            "project": 3, **more}  # fmt: skip


def studio(answers: list[list[Any]]) -> str:
    pairs = zip(TEXTS, answers, strict=True)
    return json.dumps([studio_task(n, text, own) for n, (text, own) in enumerate(pairs, 1)])


def prodigy(**columns: list[Any]) -> str:
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return json_lines([
        {"text": text, "_input_hash": n * 7919, "_task_hash": -n, **row, "_timestamp": 16500 + n}
        for n, (text, row) in enumerate(zip(TEXTS, rows, strict=True))
    ])  # fmt: skip


OPTIONS = [{"id": "POS", "text": "good"}, {"id": "NEG", "text": "bad"}]
CHOSEN = [["POS" if label == "good" else "NEG"] for label in LABELS]
VIEW = ["choice"] * 12


def pandas_json(orient: str) -> str:
    import pandas

    return str(pandas.DataFrame(ROWS).to_json(orient=orient))  # type: ignore[call-overload]


def argilla_row(number: int, text: str, label: str, status: str = "submitted") -> dict[str, Any]:
    return {"id": f"u{number}", "status": "completed", "_server_id": f"s{number}", "text": text,
            "label.responses": [label], "label.responses.users": ["a1"],
            "label.responses.status": [status], "label.suggestion": "good",
            "label.suggestion.score": None, "label.suggestion.agent": None}  # fmt: skip


def argilla_feedback(text: str, label: str) -> dict[str, Any]:
    return {"text": text, "external_id": None, "metadata": "{}", "label-suggestion": "good",
            "label": [{"user_id": "a", "value": label, "status": "submitted"},
                      {"user_id": "b", "value": "good", "status": "discarded"}],
            "label-suggestion-metadata": {"type": None, "score": None, "agent": None}}  # fmt: skip


def argilla_record(text: str, label: str) -> dict[str, Any]:
    return {"text": text, "inputs": {"text": text}, "prediction": [{"label": "bad", "score": 0.9}],
            "prediction_agent": "m", "annotation": label, "annotation_agent": "ann",
            "multi_label": False, "explanation": None, "id": text[-9:] + text[4:8],
            "metadata": {}, "status": "Validated", "event_timestamp": 1.0}  # fmt: skip


def nested_argilla(text: str, label: str, number: int) -> dict[str, Any]:
    return {"id": f"x{number}", "fields": {"text": text}, "metadata": {}, "status": "completed",
            "suggestions": {"label": {"value": "good", "score": None}}, "vectors": {},
            "responses": {"label": [{"value": label, "user_id": "a"}]}}  # fmt: skip


def webanno(labels: list[str]) -> str:
    lines = ["#FORMAT=WebAnno TSV 3.3", "#T_SP=de.tud.POS|PosValue", "#T_SP=webanno.custom.S|value",
             "", ""]  # fmt: skip
    for number, (text, label) in enumerate(zip(TEXTS, labels, strict=True), 1):
        lines.append(f"#Text={text}")
        for at, word in enumerate(text.split(), 1):
            mark = f"{label}[{number}]" if label else "_"
            lines.append(f"{number}-{at}\t{at}-{at + 1}\t{word}\tX{at % 2}\t{mark}\t")
        lines.append("")
    return "\n".join(lines)


def spacy_cats(several: bool = False) -> str:
    own = SEVERAL if several else [[label] for label in LABELS]
    names = sorted({name for row in own for name in row})
    return json_lines([
        {"text": text, "cats": {name: float(name in row) for name in names}}
        for text, row in zip(TEXTS, own, strict=True)
    ])  # fmt: skip


def frame_bytes(kind: str) -> bytes:
    import pandas

    file = io.BytesIO()
    frame = pandas.DataFrame({"text": TEXTS, "label": [{"good": int(x == "good"),
                             "bad": int(x == "bad")} for x in LABELS]})  # fmt: skip
    frame.to_parquet(file)
    return file.getvalue()


MAXQDA = {
    "Color": ["", *["\u25cf"] * 12], "Comment": ["Comment", *[""] * 11, "see above"],
    "Document name": ["Document name", *["Interview 1", "Interview 2"] * 6],
    "Code": ["Code", *LABELS], "Segment": ["Segment", *TEXTS], "Author": ["Author", *["AB"] * 12],
}  # fmt: skip
MAXQDA["Color"][0] = "Color"

EXPORTS: dict[str, list[tuple[str, str | bytes]]] = {
    "Label Studio": [
        ("studio.json", studio([[[label]] for label in LABELS])),
        ("studio_min.json", json.dumps([
            {"text": t, "id": n, "sentiment": label, "annotator": 1, "annotation_id": 50 + n,
             "created_at": "2024-05-01T10:00:00Z", "updated_at": "2024-05-01T10:00:00Z",
             "lead_time": 3.5} for n, (t, label) in enumerate(PAIRS)])),
        ("studio.csv", csv_of(
            [f"{50 + n},1,2024-05-01T10:00:00Z,{n},3.5,{label},{t},2024-05-01T10:00:00Z"
             for n, (t, label) in enumerate(PAIRS)],
            "annotation_id,annotator,created_at,id,lead_time,sentiment,text,updated_at")),
    ],
    "Prodigy": [
        ("choice.jsonl", prodigy(options=[OPTIONS] * 12, accept=CHOSEN, answer=["accept"] * 12,
                                 _view_id=VIEW)),
        ("binary.jsonl", prodigy(label=LABELS, answer=["accept"] * 12,
                                 _view_id=["classification"] * 12)),
    ],
    "Doccano": [
        ("doccano.jsonl", json_lines([{"id": n, "text": t, "label": [label], "Comments": []}
                                      for n, (t, label) in enumerate(PAIRS)])),
        ("doccano_old.jsonl", json_lines([
            {"id": n, "text": t, "meta": {}, "annotation_approver": None,
             "annotations": [{"label": label, "user": 1, "created_at": "2020"}]}
            for n, (t, label) in enumerate(PAIRS)])),
        ("doccano.csv", csv_of([f"{n},{t},{label}" for n, (t, label) in enumerate(PAIRS)],
                               "id,data,label")),
    ],
    "Argilla": [
        ("argilla2.jsonl", json_lines([argilla_row(n, *pair) for n, pair in enumerate(PAIRS)])),
        ("argilla2.json", json.dumps([nested_argilla(*pair, n) for n, pair in enumerate(PAIRS)])),
        ("argilla1.jsonl", json_lines([argilla_feedback(*pair) for pair in PAIRS])),
        ("argilla0.jsonl", json_lines([argilla_record(*pair) for pair in PAIRS])),
    ],
    "INCEpTION": [("sentences.tsv", webanno(LABELS))],
    "MAXQDA": [("segments.xlsx", table_bytes(".xlsx", MAXQDA))],
    "ATLAS.ti": [("quotations.csv", csv_of(
        [f"1:{n},{t},,{label}" for n, (t, label) in enumerate(PAIRS)],
        "ID,Quotation Content,Comment,Codes"))],
    "spaCy": [("cats.jsonl", spacy_cats())],
    "Vertex AI": [("vertex.jsonl", json_lines(
        [{"classificationAnnotation": {"displayName": label}, "textContent": t,
          "dataItemResourceLabels": {"ml_use": "training"}} for t, label in PAIRS]))],
    "SageMaker Ground Truth": [("output.manifest.jsonl", json_lines(
        [{"source": t, "mood": int(label == "good"), "mood-metadata": {
            "class-name": label, "confidence": 0.9, "job-name": "x", "human-annotated": "yes",
            "type": "groundtruth/text-classification"}} for t, label in PAIRS]))],
    "chat messages": [("chat.jsonl", json_lines([{"messages": [
        {"role": "system", "content": "Classify."}, {"role": "user", "content": t},
        {"role": "assistant", "content": label}]} for t, label in PAIRS]))],
    "LightTag": [("lighttag.json", json.dumps({"examples": [
        {"content": t, "example_id": f"e{n}", "classifications": [
            {"classname": label, "classification_id": "c"}], "annotations": []}
        for n, (t, label) in enumerate(PAIRS)], "relations": []}))],
    "pandas": [(f"{orient}.json", pandas_json(orient))
               for orient in ("columns", "index", "split", "table", "records")],
    "data set server": [("rows.json", json.dumps({
        "features": [{"feature_idx": 0, "name": "text", "type": {}}],
        "rows": [{"row_idx": n, "row": row, "truncated_cells": []} for n, row in enumerate(ROWS)],
        "num_rows_total": 12}))],
    "envelope": [
        ("data.json", json.dumps({"data": ROWS})),
        ("nested.json", json.dumps({"result": {"items": ROWS}})),
        ("hits.json", json.dumps({"took": 3, "hits": {"total": 12, "hits": [
            {"_index": "x", "_source": row} for row in ROWS]}})),
        ("airtable.json", json.dumps({"records": [{"id": f"rec{n}", "createdTime": "2024",
                                                   "fields": row} for n, row in enumerate(ROWS)]})),
    ],
    "Google Forms": [("forms.csv", csv_of(
        [f"2024/05/0{n % 9 + 1} 10:00:00 AM,{t},{label}" for n, (t, label) in enumerate(PAIRS)],
        "Timestamp,Comment,Category"))],
    "Qualtrics": [("qualtrics.csv", csv_of(
        [f"2024-05-01 10:00:00,True,R_{n},{t},{label}" for n, (t, label) in enumerate(PAIRS)],
        "StartDate,Finished,ResponseId,comment,Category"))],
    "Parquet of objects": [("structs.parquet", frame_bytes("struct"))],
}  # fmt: skip
"""Format to files that hold the same texts and labels."""
