"""The labels of a project and its guidelines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from studio_projects import give, project_in

from finetext.core.errors import DataError
from finetext.studio.agreeing import agreement_in
from finetext.studio.judgements import history, undo
from finetext.studio.label_set import (
    Label,
    guidelines_of,
    labels_of,
    rename_label,
    scheme_of,
    set_guidelines,
    set_labels,
)
from finetext.studio.project import Project, get
from finetext.studio.review import add_doubts, decided_labels, texts_to_review


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with project_in(tmp_path, double_share=1.0) as made:
        yield made


def test_labels_get_keys_and_colors_of_their_places(project: Project) -> None:
    made = set_labels(project, [Label(" x ", key="2"), Label("y"), Label("z", color="#000000")])
    assert [(of.name, of.key) for of in made] == [("x", "2"), ("y", "1"), ("z", "3")]
    assert made[0].color != made[1].color
    assert made[2].color == "#000000"
    assert labels_of(project) == made


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([Label("a"), Label("A")], "two labels have the name 'a'"),
        ([Label("a", key="x"), Label("b", key="X")], "two labels have the key"),
        ([Label("a"), Label("  ")], "label 2 has no name"),
        ([Label("a", key="ab")], "no key"),
        ([Label("a", color="red")], "no color"),
    ],
)
def test_labels_that_clash_change_nothing(
    project: Project, labels: list[Label], message: str
) -> None:
    before = labels_of(project)
    with pytest.raises(DataError, match=message):
        set_labels(project, labels)
    assert labels_of(project) == before


def test_labels_that_are_left_out_are_retired_if_a_judgement_ever_had_them(
    project: Project,
) -> None:
    give(project, "ann", 1, "good")
    give(project, "ann", 1, "odd")
    set_labels(project, [Label("odd")])
    assert [(of.name, of.retired) for of in labels_of(project)] == [("odd", False), ("good", True)]
    assert scheme_of(project).names == ("odd",)
    undo(project, "ann")
    give(project, "bob", 1, "odd")
    assert [of.judged for of in labels_of(project)] == [1, 1]
    assert agreement_in(project).agreement is not None


def test_a_retired_label_can_come_back(project: Project) -> None:
    give(project, "ann", 1, "good")
    set_labels(project, [Label("bad")])
    set_labels(project, [Label("bad"), Label("good")])
    give(project, "ann", 2, "good")
    assert [(of.name, of.judged, of.retired) for of in labels_of(project)] == [
        ("bad", 0, False),
        ("good", 2, False),
    ]


def test_judgements_are_counted_by_label(project: Project) -> None:
    give(project, "ann", 1, "good")
    give(project, "bob", 1, "good")
    give(project, "ann", 2, "bad")
    give(project, "ann", 2, "odd")
    give(project, "ann", 3, kind="skip")
    give(project, "ann", 4, "odd", kind="decision")
    assert {of.name: of.judged for of in labels_of(project)} == {"good": 2, "bad": 0, "odd": 2}


def test_a_new_name_is_everywhere_and_the_old_one_on_record(project: Project) -> None:
    suggestion = {"labels": ["good"], "source": "model", "probability": 0.5}
    give(project, "ann", 1, "good", suggestion=suggestion)
    give(project, "ann", 1, "bad")
    give(project, "ann", 2, "good")
    add_doubts(project, "run", [("r1", "good", "bad", 0.9)])
    rename_label(project, "good", " fine ")
    assert [of.name for of in labels_of(project)] == ["fine", "bad", "odd"]
    assert [of["labels"] for of in history(project)] == [["fine"], ["bad"], ["fine"]]
    assert history(project)[2]["suggestion"] == suggestion | {"labels": ["fine"]}
    assert decided_labels(project).labels[2] == ("fine",)
    doubt = texts_to_review(project)[0].doubt
    assert doubt is not None
    assert doubt.label == "fine"
    with project.database.read() as db:
        (renamed,) = get(db, "renames")
    assert json.loads(json.dumps(renamed))["from"] == "good"


def test_names_that_clash_are_no_new_names(project: Project) -> None:
    for old, new in (("good", "BAD"), ("good", " "), ("gud", "fine")):
        with pytest.raises(DataError, match=repr(old if old == "gud" else new.strip())):
            rename_label(project, old, new)
    rename_label(project, "good", "Good")
    assert labels_of(project)[0].name == "Good"


def test_guidelines_have_versions(project: Project) -> None:
    assert guidelines_of(project).version == 0
    assert set_guidelines(project, "Label the tone.").version == 1
    assert set_guidelines(project, "Label the tone.").version == 1
    latest = set_guidelines(project, "Label the tone of the author.")
    assert (latest.version, latest.text) == (2, "Label the tone of the author.")
    assert guidelines_of(project) == latest
