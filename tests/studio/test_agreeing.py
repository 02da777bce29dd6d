"""Agreement of the annotators of a project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from studio_toys import project_of, say

from finetext.core.annotations import AnnotatedText, Annotations
from finetext.evaluation.agreement import agreement_of
from finetext.studio.agreeing import agreement_in
from finetext.studio.project import Project

ANSWERS = {
    1: {"Anna": "good", "Bert": "good"},
    2: {"Anna": "good", "Bert": "bad"},
    3: {"Anna": "bad", "Bert": "bad", "Clara": "bad"},
    4: {"Anna": "odd", "Bert": "odd"},
    5: {"Clara": "good"},
}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with project_of(tmp_path) as made:
        yield made


def answer(project: Project) -> None:
    for text, by in ANSWERS.items():
        for who, label in by.items():
            say(project, who, text, label)


def test_it_is_that_of_the_same_answers(project: Project) -> None:
    answer(project)
    say(project, "Bert", 1, "bad")
    say(project, "Bert", 1, "good")  # what was replaced does not count
    found = agreement_in(project).agreement
    texts = tuple(
        AnnotatedText(str(text), "", tuple((who, (label,)) for who, label in by.items()))
        for text, by in ANSWERS.items()
        if len(by) > 1
    )
    expected = agreement_of(Annotations("annotator", texts, 5), ["good", "bad", "odd"], False)
    assert found == expected


def test_classes_and_confusion_are_those_of_pairs(project: Project) -> None:
    answer(project)
    found = agreement_in(project)
    assert [of.name for of in found.classes] == ["good", "bad", "odd"]
    assert found.classes[2].alpha.value == pytest.approx(1.0)
    assert found.classes[2].kappa.value == pytest.approx(1.0)
    of_pair, of_all = found.confusion
    assert (of_pair.a, of_pair.b) == ("Anna", "Bert")
    assert of_pair.counts == ((1, 1, 0), (0, 1, 0), (0, 0, 1))
    assert of_all.counts == ((2, 1, 0), (1, 6, 0), (0, 0, 2))
    assert any("Krippendorff's alpha" in line for line in found.lines)
    assert all("\n" not in line for line in found.lines)


def test_without_two_answers_it_says_why(project: Project) -> None:
    say(project, "Anna", 1, "good")
    assert agreement_in(project).why_not == "no text has been labeled by two people yet"


def test_of_several_labels_a_set_counts(tmp_path: Path) -> None:
    with project_of(tmp_path, multilabel=True) as project:
        say(project, "Anna", 1, "good", "bad")
        say(project, "Bert", 1, "bad", "good")
        say(project, "Anna", 2, "good")
        say(project, "Bert", 2)
        found = agreement_in(project)
        assert found.agreement is not None
        assert found.agreement.agreed.value == 0.5
        assert found.confusion == ()
