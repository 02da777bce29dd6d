"""The first lines of the report say what is known, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnosed import curve, diagnosed, suspects

from finetext.diagnosis.curve import Outlook
from finetext.report.data import Diagnoses, ReportData
from finetext.report.summary import Summary, summarise
from finetext.report.trust import TrustView


def summary(data: ReportData) -> Summary:
    return summarise(data, 3, TrustView(data.best, data.predictions[data.best]))


def test_what_was_found_and_what_to_do(single: ReportData) -> None:
    said = summary(diagnosed(single))
    failing = " ".join(said.failing)
    assert "finetune is wrong on 148 of 2,000 validation texts" in failing
    assert "significantly worse on 2 kinds of text, most surely on 1 to 6 words (length)" in failing
    assert "300 of 16,000 labels (1.9%) look wrong." in said.data
    assert "The checks found 1 error and 2 warnings, listed below." in said.data
    assert any("Read the list under “Labels that look wrong”" in line for line in said.advice)
    assert said.advice[0].startswith("Settle the errors")


def test_nothing_is_said_of_what_was_not_looked_at(single: ReportData) -> None:
    said = summary(replace(single, findings=(), cheapest="finetune"))
    assert said.data == ["The checks found nothing to object to."]
    assert len(said.failing) == 1
    assert "points off on average" in said.failing[0]
    assert summarise(single, 3, None).failing == []


def test_a_method_that_doubts_half_of_the_labels_is_doubted_itself(single: ReportData) -> None:
    many = Diagnoses(suspects=replace(suspects(("a", "b"), count=300), rows=600))
    said = summary(replace(single, findings=(), diagnoses=many))
    assert said.data[0] == "300 of 600 labels (50.0%) look wrong."
    assert "more than tfidf can know" in said.data[1]
    assert any("Start with the first" in line for line in said.advice)
    assert not any("make the scores true" in line for line in said.advice)


def test_labels_are_not_blamed_without_reason(single: ReportData) -> None:
    none = Diagnoses(suspects=suspects(("a", "b"), count=0))
    said = summary(replace(single, findings=(), diagnoses=none))
    assert said.data == ["None of 16,000 labels looks wrong."]
    assert not any("Labels that look wrong" in line for line in said.advice)


@pytest.mark.parametrize(("cheapest", "is_named"), [("tfidf", True), ("finetune", False)])
def test_a_cheaper_method_is_recommended(single: ReportData, cheapest: str, is_named: bool) -> None:
    advice = summary(replace(single, cheapest=cheapest)).advice
    assert ("Where time or memory counts, use tfidf." in advice) == is_named


@pytest.mark.parametrize(
    ("outlook", "advice"),
    [
        ("told", "with twice as many finetune should gain +0.00"),
        ("steepening", "the learning curve is still getting steeper"),
        ("too few", ""),
    ],
)
def test_more_labels_are_asked_for_where_they_help(
    single: ReportData, outlook: Outlook, advice: str
) -> None:
    of = curve()
    rungs = tuple(replace(rung, outlook=outlook) for rung in of.rungs)
    said = summary(replace(single, diagnoses=Diagnoses(curve=replace(of, rungs=rungs)))).advice
    assert any(advice in line for line in said)
    assert any("Label more texts" in line for line in said) == bool(advice)


def test_more_labels_are_not_asked_for_where_they_do_not_help(single: ReportData) -> None:
    of = curve()
    flat = [replace(each, shown=False) for each in of.best.expected]
    rungs = tuple(replace(rung, expected=tuple(flat)) for rung in of.rungs)
    said = summary(replace(single, diagnoses=Diagnoses(curve=replace(of, rungs=rungs)))).advice
    assert "More labels of the same kind would hardly help." in said
