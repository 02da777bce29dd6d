"""Which label a text has, and which texts somebody has to decide."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from studio_projects import give, number_of, project_in

from finetext.studio.judgements import undo
from finetext.studio.project import Project
from finetext.studio.review import (
    add_doubts,
    count_to_review,
    decided_labels,
    pool_texts,
    texts_to_review,
    undecided_random,
)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with project_in(tmp_path) as made:
        yield made


def reasons(project: Project) -> dict[int, tuple[str, ...]]:
    found = {of.text["id"]: of.reasons for of in texts_to_review(project)}
    assert count_to_review(project) == len(found)
    return found


def test_one_annotator_decides_and_a_majority_of_several(project: Project) -> None:
    give(project, "ann", 1, "good")
    for who, label in (("ann", "good"), ("bob", "bad"), ("cy", "bad")):
        give(project, who, 2, label)
    give(project, "ann", 3, "good")
    give(project, "bob", 3, "bad")
    give(project, "ann", 4, kind="skip")
    decided = decided_labels(project)
    assert dict(decided.labels) == {1: ("good",), 2: ("bad",)}
    assert decided.tied == {3}
    assert reasons(project) == {3: ("differ",)}


def test_a_decision_holds_whatever_annotators_say_later(project: Project) -> None:
    give(project, "ann", 1, "good")
    give(project, "bob", 1, "bad")
    give(project, "ann", 1, "odd", kind="decision")
    assert reasons(project) == {}
    give(project, "cy", 1, "bad")
    decided = decided_labels(project)
    assert dict(decided.labels) == {1: ("odd",)}
    assert (decided.tied, decided.by_decision) == (frozenset(), {1})
    give(project, "bob", 1, "bad", kind="decision")
    assert dict(decided_labels(project).labels) == {1: ("bad",)}


def test_undo_takes_a_text_out_of_review(project: Project) -> None:
    give(project, "ann", 1, "good")
    give(project, "bob", 1, "bad")
    undo(project, "bob")
    assert reasons(project) == {}
    assert dict(decided_labels(project).labels) == {1: ("good",)}


def test_sets_are_compared_label_by_label(tmp_path: Path) -> None:
    with project_in(tmp_path, multilabel=True) as project:
        give(project, "ann", 1, "good", "odd")
        give(project, "bob", 1, "odd", "good")
        give(project, "ann", 2, "good", "odd")
        give(project, "bob", 2, "good")
        give(project, "ann", 3)
        assert dict(decided_labels(project).labels) == {1: ("good", "odd"), 3: ()}
        assert reasons(project) == {2: ("differ",)}


def test_a_flag_asks_for_a_decision_that_comes_after_it(project: Project) -> None:
    give(project, "ann", 1, kind="skip", flagged=True, note="whose opinion?")
    assert reasons(project) == {1: ("flagged",)}
    (answer,) = texts_to_review(project)[0].answers
    assert (answer.annotator, answer.note, answer.flagged) == ("ann", "whose opinion?", True)
    give(project, "bob", 1, "good", kind="decision")
    assert reasons(project) == {}
    give(project, "cy", 1, "bad", flagged=True)
    assert reasons(project) == {1: ("flagged",)}


def test_doubts_of_a_run_are_reviewed_the_surest_first(project: Project) -> None:
    for text in (1, 2, 3, 4):
        give(project, "ann", text, "good")
    give(project, "bob", 4, "bad")
    doubts = [
        ("r0", "good", "bad", 0.7), ("r1", "good", "odd", 0.9), ("r2", "bad", "good", 0.9),
        ("unknown", "good", "bad", 0.9), ("r9", "good", "bad", 0.9), ("r3", "good", "bad", 0.9),
    ]  # fmt: skip
    assert add_doubts(project, "run 1", doubts) == 2
    assert list(reasons(project).items()) == [
        (4, ("differ",)), (2, ("doubtful",)), (1, ("doubtful",)),
    ]  # fmt: skip
    shown = texts_to_review(project)[1].to_json()
    assert shown["doubt"] == {
        "text": 2, "run": "run 1", "label": "good", "suggested": "odd", "probability": 0.9,
    }  # fmt: skip
    give(project, "ann", 2, "good", kind="decision")
    assert list(reasons(project)) == [4, 1]
    assert add_doubts(project, "run 2", [("r1", "good", "odd", 0.99)]) == 1
    assert list(reasons(project)) == [4, 2, 1]


def test_reasons_add_up(project: Project) -> None:
    give(project, "ann", 1, "good", flagged=True)
    give(project, "bob", 1, "bad")
    assert reasons(project) == {1: ("differ", "flagged")}


def test_the_pool_is_in_the_order_of_the_draw(project: Project) -> None:
    pool = pool_texts(project)
    assert sorted(of.id for of in pool) == list(range(1, 21))
    assert [of.id for of in pool] != list(range(1, 21))
    assert sum(of.is_random for of in pool) == 4
    assert {of.text for of in pool if of.id == number_of(project, "r3")} == {"text 3"}


def test_random_texts_without_a_decided_label_are_counted(project: Project) -> None:
    for of in pool_texts(project)[:10]:
        give(project, "ann", of.id, "good")
        give(project, "bob", of.id, "bad")
    assert undecided_random(project) == sum(of.is_random for of in pool_texts(project)[:10])


def test_a_doubt_ends_with_the_label_that_it_is_about(project: Project) -> None:
    for text in (1, 2, 3):
        give(project, "ann", text, "good")
    assert add_doubts(project, "run", [(f"r{row}", "good", "bad", 0.9) for row in range(3)]) == 3
    give(project, "ann", 1, "bad")
    give(project, "bob", 2, "odd")
    undo(project, "ann")
    assert reasons(project) == {
        1: ("doubtful",), 2: ("differ", "doubtful"), 3: ("doubtful",),
    }  # fmt: skip
    give(project, "ann", 1, "bad")
    assert reasons(project) == {2: ("differ", "doubtful"), 3: ("doubtful",)}
    give(project, "ann", 2, "odd")
    assert reasons(project) == {3: ("doubtful",)}
