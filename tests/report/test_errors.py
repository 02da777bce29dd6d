"""Predictions beside truths and scores in the terminal."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from diagnosed import class_words, slices
from rich.console import Console

from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.intervals import evaluate, per_class
from finetext.report.errors import power_note, scores_json, show_scores, slices_sentence
from finetext.report.explanations import words_headline, words_shown

HOSTILE = "[bold]a[/] label that is longer than what a table can hold"


def printed(show: Callable[..., None], *values: Any, width: int = 100) -> list[str]:
    file = io.StringIO()
    show(*values, Console(file=file, width=width, highlight=False))
    return file.getvalue().splitlines()


def test_scores_of_all_and_of_each_label() -> None:
    predictions = Predictions(
        ids=tuple("1234"),
        targets=np.array([0, 0, 1, 1]),
        probabilities=np.array(
            [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.1, 0.9, 0.0], [0.3, 0.7, 0.0]]
        ),
        scheme=LabelScheme(("a", "[b]", "never")),
    )
    scores, classes = evaluate(predictions), per_class(predictions)
    lines = printed(show_scores, scores, classes)
    assert lines[0] == "4 rows"
    assert any(line.startswith("accuracy") and "0.750" in line for line in lines)
    assert any(line.startswith("[b]") for line in lines)
    told = scores_json(scores, classes)
    assert told["metrics"]["accuracy"]["value"] == 0.75
    assert [label["name"] for label in told["labels"]] == ["a", "[b]", "never"]


def test_only_slices_that_are_worse_are_named() -> None:
    of = slices(("joy", "love"))
    said = slices_sentence(of)
    assert "significantly worse on 2: 1 to 6 words (length), “not” (token). Found in" in said
    none = replace(of, slices=tuple(replace(each, worse=False) for each in of.slices))
    assert "shown to be worse than elsewhere on none." in slices_sentence(none)
    assert "overestimated" not in slices_sentence(none)


def test_what_could_be_found_is_said_for_the_smallest_and_the_largest_slice() -> None:
    of = slices(("joy", "love"))
    note = power_note(of)
    assert note.startswith(
        "Found in 80% of cases: a slice of 100 rows that is 0.190 behind; a slice of 130 rows that "
        "is 0.160 behind. What is found among many is overestimated"
    )
    small = (replace(of.slices[0], detectable=None), *of.slices[1:])
    assert "A slice of 100 rows is too small to be found at any difference." in power_note(
        replace(of, slices=small)
    )
    old = tuple(replace(each, detectable=None) for each in of.slices)
    assert power_note(replace(of, slices=old)) == ""


def test_bars_of_words_are_as_long_as_the_longest() -> None:
    rows = words_shown(class_words(("joy",)))["joy"]
    assert [share for *_, share in rows] == [100, 49, 6]


def test_the_headline_of_words_names_three_labels() -> None:
    assert words_headline(class_words(("a", "b", "c", "d", "e"))) == (
        "The strongest evidence: “lonely” for a, “lonely” for b, “lonely” for c and 2 more labels"
    )
