"""A hand-coded German spreadsheet goes from Excel to Excel in five commands without options."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import openpyxl
import pytest

Command = Callable[..., Any]

_SENTENCES = {
    "Bildung": "Die Schüler der Schule {} lernen größere Zahlen.",
    "Verkehr": "Der Zug {} fährt über die Brücke zur Straße.",
    "Umwelt": "Das Wasser im Wald {} muss geschützt werden.",
}
_CODERS = ("Anna", "Jürgen", "Anna", "Anna", "Jürgen")
_NEW = ["=Zug auf der Brücke", "- Die Schüler lernen", "@Wald und Wasser", "Größe", "Der Zug"]
_TRUTHS = ["Verkehr", "Bildung", "Umwelt", "Bildung", "Verkehr"]
_WRONG = 1013


def write(path: str, rows: Sequence[Sequence[Any]]) -> None:
    book = openpyxl.Workbook()
    for number, row in enumerate(rows, start=1):
        for place, value in enumerate(row, start=1):
            cell = book.active.cell(number, place)
            cell.value = value
            if isinstance(value, str):
                cell.data_type = "s"
    book.save(path)


def sheets(path: str) -> dict[str, list[tuple[Any, ...]]]:
    book = openpyxl.load_workbook(path)
    formulas = [cell for sheet in book for row in sheet for cell in row if cell.data_type == "f"]
    assert not formulas
    return {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book}


@pytest.mark.parametrize("title", [[], [["Projekt Bürgerbriefe, Stand Mai"], []]])
def test_from_excel_to_excel_in_five_commands(command: Command, title: list[list[str]]) -> None:
    topics = list(_SENTENCES)
    coded: list[list[Any]] = []
    for n in range(60):
        topic = topics[n % 3]
        said = "Umwelt" if 1000 + n == _WRONG else topic
        coded.append([1000 + n, _SENTENCES[topic].format(f"Nr. {n}"), said, _CODERS[n % 5]])
    header = ["ID", "Satz", "Kategorie", "Kodierer"]
    new = [[2000 + n, text] for n, text in enumerate(_NEW)]
    write("kodierung.xlsx", [*title, header, *coded])
    write("neu.xlsx", [header[:2], *new])
    known = [[*row, truth, "Jürgen"] for row, truth in zip(new, _TRUTHS, strict=True)]
    write("neu_kodiert.xlsx", [header, *known])

    seen = command("explore", "kodierung.xlsx", status=0)
    classes = re.findall(r"^ *(\S+) +\d+ +[\d.]+% ", seen.out, flags=re.MULTILINE)
    assert sorted(classes) == sorted(topics)

    seen = command(
        "train", "kodierung.xlsx", "--out", "lauf", "--methods", "majority,tfidf", status=0
    )
    assert "text 'Satz', label 'Kategorie', id 'ID'" in seen.err

    command("label-errors", "lauf", "--out", "zweifel.xlsx", status=0)
    [(names, *doubts)] = sheets("zweifel.xlsx").values()
    assert names[:4] == ("id", "text", "label", "suggested")
    assert names[-1] == "correct"
    first = dict(zip(names, doubts[0], strict=True))
    assert (first["id"], first["label"], first["suggested"]) == (_WRONG, "Umwelt", "Verkehr")
    assert first["text"] == "Der Zug Nr. 13 fährt über die Brücke zur Straße."

    command("predict", "lauf", "neu.xlsx", "--out", "vorhersagen.xlsx", status=0)
    [(names, *rows)] = sheets("vorhersagen.xlsx").values()
    assert names == (
        "ID", "Satz", "prediction", "probability", *(f"probability:{of}" for of in sorted(topics))
    )  # fmt: skip
    assert [list(row[:2]) for row in rows] == new
    assert {row[2] for row in rows} <= set(topics)
    for row in rows:
        assert row[3] == max(row[4:])
        assert sum(row[4:]) == pytest.approx(1)

    command("evaluate", "lauf", "neu_kodiert.xlsx", "--out", "auswertung.xlsx", status=0)
    found = sheets("auswertung.xlsx")
    assert list(found) == ["scores", "labels", "predictions"]
    judged = [
        dict(zip(found["predictions"][0], row, strict=True)) for row in found["predictions"][1:]
    ]
    assert [[row["id"], row["text"]] for row in judged] == new
    assert [row["truth"] for row in judged] == _TRUTHS
    assert [row["prediction"] for row in judged] == [row[2] for row in rows]
    right = sum(row["right"] for row in judged)
    scores = {row[0]: row[1] for row in found["scores"][1:]}
    assert scores["accuracy"] == pytest.approx(right / len(judged))
    assert [row[0] for row in found["labels"][1:]] == sorted(topics)
