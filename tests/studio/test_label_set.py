"""The label set and the guidelines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from studio_toys import project_of, rows, say

from finetext.core.errors import DataError, UnknownNameError
from finetext.studio.judgements import history
from finetext.studio.label_set import (
    Label,
    guidelines_of,
    labels_of,
    rename_label,
    scheme_of,
    set_guidelines,
    set_labels,
)
from finetext.studio.project import Project
from finetext.studio.review import add_doubts, texts_to_review


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with project_of(tmp_path) as made:
        yield made


def test_keys_and_colors_are_given_where_none_are_stated(project: Project) -> None:
    found = set_labels(project, [Label("a", key="2"), Label("b"), Label("c", color="#000000")])
    assert [of.key for of in found] == ["2", "1", "3"]
    assert found[2].color == "#000000"
    assert len({of.color for of in found}) == 3
    many = set_labels(project, [Label(f"l{n}") for n in range(12)])
    assert [of.key for of in many[8:]] == ["9", "", "", ""]


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ([Label("a"), Label(" A ")], "the name 'a'"),
        ([Label("a", key="x"), Label("b", key="X")], "the key 'x'"),
        ([Label("  ")], "label 1 has no name"),
        ([Label("a", key="ab")], "no key"),
        ([Label("a", color="red")], "no color"),
    ],
)
def test_labels_that_clash_are_refused(project: Project, labels: list[Label], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        set_labels(project, labels)
    assert scheme_of(project).names == ("good", "bad", "odd")


def test_a_label_in_use_is_retired_not_removed(project: Project) -> None:
    say(project, "Anna", 1, "bad")
    found = set_labels(project, [Label("good")])
    assert [(of.name, of.retired, of.judged) for of in found] == [
        ("good", False, 0),
        ("bad", True, 1),
    ]
    assert scheme_of(project).names == ("good",)
    with pytest.raises(UnknownNameError):
        say(project, "Anna", 2, "bad")


def test_a_new_name_is_in_answers_suggestions_and_doubts(project: Project) -> None:
    say(project, "Anna", 1, "bad", suggestion={"labels": ["bad"], "source": "model"})
    name = rows(project, "SELECT name FROM texts WHERE id = 1")[0][0]
    add_doubts(project, "run-1", [(name, "bad", "good", 0.8)])
    rename_label(project, "bad", " poor ")
    assert scheme_of(project).names == ("good", "poor", "odd")
    (judged,) = history(project)
    assert judged["labels"] == judged["suggestion"]["labels"] == ["poor"]
    doubt = texts_to_review(project)[0].doubt
    assert doubt is not None
    assert doubt.label == "poor"
    with pytest.raises(DataError, match="another label"):
        rename_label(project, "poor", "GOOD")
    with pytest.raises(DataError, match="no label 'bda'"):
        rename_label(project, "bda", "x")


def test_guidelines_have_versions(project: Project) -> None:
    assert guidelines_of(project).version == 0
    assert set_guidelines(project, "Irony is bad.").version == 1
    assert set_guidelines(project, "Irony is bad.").version == 1
    assert set_guidelines(project, "Irony is odd.").version == 2
    assert len(labels_of(project)) == 3
