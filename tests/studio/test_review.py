"""Decided labels, and texts that wait for a decision."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from studio_toys import project_of, rows, say

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
    with project_of(tmp_path) as made:
        yield made


def test_one_answer_a_majority_or_a_decision_decides(project: Project) -> None:
    say(project, "Anna", 1, "good")
    for who, label in (("Anna", "good"), ("Bert", "bad"), ("Clara", "bad")):
        say(project, who, 2, label)
    for who, label in (("Anna", "good"), ("Bert", "bad")):
        say(project, who, 3, label)
    found = decided_labels(project)
    assert found.labels == {1: ("good",), 2: ("bad",)}
    assert found.tied == {3}
    assert [of.reasons for of in texts_to_review(project)] == [("differ",)]
    say(project, "Clara", 3, "odd", kind="decision")
    found = decided_labels(project)
    assert found.labels[3] == ("odd",)
    assert found.by_decision == {3}
    assert count_to_review(project) == 0


def test_a_flagged_text_waits_with_its_note_until_it_is_decided(project: Project) -> None:
    say(project, "Anna", 4, "good", flagged=True, note="irony?")
    (found,) = texts_to_review(project)
    assert found.reasons == ("flagged",)
    assert found.answers[0].note == "irony?"
    assert decided_labels(project).labels == {4: ("good",)}
    say(project, "Bert", 4, "bad", kind="decision")
    assert texts_to_review(project) == []


def test_doubts_of_a_run_are_queued_for_labels_that_still_hold(project: Project) -> None:
    names = dict(rows(project, "SELECT id, name FROM texts"))
    for text in (1, 2):
        say(project, "Anna", text, "good")
    doubts = [(names[text], "good", "bad", 0.9) for text in (1, 2, 3)]
    assert add_doubts(project, "run-1", [*doubts, ("unknown", "good", "bad", 0.9)]) == 2
    first = texts_to_review(project)[0]
    assert first.reasons == ("doubtful",)
    assert first.doubt is not None
    assert (first.doubt.label, first.doubt.suggested, first.doubt.run) == ("good", "bad", "run-1")
    say(project, "Anna", first.text["id"], "good", kind="decision")
    assert count_to_review(project) == 1
    assert add_doubts(project, "run-2", doubts[:1]) == 1  # a later run may doubt it again
    assert count_to_review(project) == 2


def test_texts_come_import_by_import_in_random_order(project: Project) -> None:
    found = [of.id for of in pool_texts(project)]
    assert sorted(found) == list(range(1, 21))
    assert found != sorted(found)
    assert sum(of.is_random for of in pool_texts(project)) == 4


def test_random_texts_without_a_decision_are_counted(project: Project) -> None:
    random = next(of.id for of in pool_texts(project) if of.is_random)
    chosen = next(of.id for of in pool_texts(project) if not of.is_random)
    for text in (random, chosen):
        say(project, "Anna", text, "good")
        say(project, "Bert", text, "bad")
    assert undecided_random(project) == 1
