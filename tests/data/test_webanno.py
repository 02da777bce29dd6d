"""Sentences in the TSV format of WebAnno and INCEpTION."""

from __future__ import annotations

import pytest
from exports import LABELS, TEXTS, webanno

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data.webanno import is_webanno, parse_webanno

HOW = ReadSettings()


def sentence(*cells: str, text: str = "") -> str:
    lines = [f"#Text={text or 'a b c'}"]
    lines += [f"1-{at}\t{at}-{at}\tx\t{cell}\t" for at, cell in enumerate(cells, 1)]
    return "\n".join(["#FORMAT=WebAnno TSV 3.2", "#T_SP=custom.Span|label", "", "", *lines, ""])


def test_labels_cover_sentences() -> None:
    batch = parse_webanno(webanno(LABELS), "x.tsv", HOW)
    assert batch.columns["text"] == TEXTS
    assert batch.columns["value"] == [{"choices": [label]} for label in LABELS]
    assert (batch.text, batch.label) == ("text", "value")
    assert batch.lines is not None
    assert batch.lines[0] == 6


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["good[1]", "good[1]"], ["good"]),
        (["good"], ["good"]),
        (["very\\_good[1]", "very\\_good[1]"], ["very_good"]),
        (["good[1]|new[2]", "good[1]|new[2]"], ["good", "new"]),
    ],
)
def test_values_of_sentences(cells: list[str], labels: list[str]) -> None:
    batch = parse_webanno(sentence(*cells), "x.tsv", HOW)
    assert batch.columns["label"] == [{"choices": labels}]


@pytest.mark.parametrize(
    "cells", [["good[1]", "_"], ["good[1]", "good[2]"], ["NN", "NN"], ["a", "b"]]
)
def test_labels_of_tokens_are_no_labels_of_texts(cells: list[str]) -> None:
    with pytest.raises(DataError, match=r"x.tsv: .* without labels of whole sentences; label"):
        parse_webanno(sentence(*cells), "x.tsv", HOW)


def test_lines_of_a_sentence_and_escaped_signs() -> None:
    text = sentence("good[1]", "good[1]", text="a \\[b\\]\n#Text=next line")
    assert parse_webanno(text, "x.tsv", HOW).columns["text"] == ["a [b]\nnext line"]


def test_two_layers_of_sentences_must_be_named() -> None:
    text = sentence("a[1]\tb[2]", "a[1]\tb[2]").replace("#T_SP=", "#T_SP=other.Layer|mood\n#T_SP=")
    with pytest.raises(DataError, match=r"2 questions.*'mood', 'label'; name one"):
        parse_webanno(text, "x.tsv", HOW)
    assert parse_webanno(text, "x.tsv", ReadSettings(label="mood")).label == "mood"


def test_other_versions_and_empty_files_are_refused() -> None:
    assert is_webanno("#FORMAT=WebAnno TSV 3.3\n")
    assert not is_webanno("text\tlabel\n")
    with pytest.raises(DataError, match="line 1: 'FORMAT=WebAnno TSV 2': export it"):
        parse_webanno("#FORMAT=WebAnno TSV 2\n", "x.tsv", HOW)
    with pytest.raises(DataError, match="no sentences"):
        parse_webanno("#FORMAT=WebAnno TSV 3.3\n", "x.tsv", HOW)
