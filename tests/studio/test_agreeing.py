"""How far the annotators of a project agree."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from studio_projects import LABELS, give, project_in

from finetext.core.annotations import AnnotatedText, Annotations
from finetext.evaluation.agreement import agreement_of
from finetext.studio.agreeing import agreement_in
from finetext.studio.judgements import undo
from finetext.studio.label_set import Label, rename_label, set_labels
from finetext.studio.project import stored_settings

PAIRS = [("good", "good")] * 4 + [("bad", "bad")] * 3 + [("good", "bad")] * 2 + [("odd", "good")]


def test_agreement_needs_two_people_on_a_text(tmp_path: Path) -> None:
    with project_in(tmp_path) as project:
        give(project, "ann", 1, "good")
        give(project, "bob", 2, "good")
        give(project, "bob", 1, kind="skip")
        found = agreement_in(project)
        assert found.agreement is None
        assert found.why_not == "no text has been labeled by two people yet"


def test_two_people(tmp_path: Path) -> None:
    with project_in(tmp_path) as project:
        for text, (one, other) in enumerate(PAIRS, start=1):
            give(project, "ann", text, one)
            give(project, "bob", text, other)
        give(project, "ann", 20, "good")
        found = agreement_in(project)
    assert found.agreement is not None
    assert (found.agreement.texts, found.agreement.total) == (10, 11)
    assert found.agreement.agreed.value == pytest.approx(0.7)
    (confusion,) = found.confusion
    assert (confusion.a, confusion.b) == ("ann", "bob")
    assert confusion.labels == ("good", "bad", "odd")
    assert confusion.counts == ((4, 2, 0), (0, 3, 0), (1, 0, 0))
    bad = found.classes[1]
    # Of 10 texts ann gives "bad" to 3, bob to 5, both to 3: chance is 0.3 * 0.5 + 0.7 * 0.5.
    assert bad.kappa.value == pytest.approx((0.8 - 0.5) / (1 - 0.5))
    # Of the 20 answers 8 are "bad"; 2 of 10 texts differ.
    assert bad.alpha.value == pytest.approx(1 - 0.2 / (2 * 8 * 12 / (20 * 19)))
    assert found.lines
    shown = found.to_json()
    assert shown["confusion"][0]["counts"] == [[4, 2, 0], [0, 3, 0], [1, 0, 0]]
    assert shown["classes"][1]["kappa"]["value"] == pytest.approx(0.6)


def test_the_pair_with_most_texts_and_all_pairs(tmp_path: Path) -> None:
    with project_in(tmp_path) as project:
        for text in range(1, 6):
            give(project, "cy", text, "good")
            give(project, "ann", text, "bad")
        give(project, "bob", 1, "odd")
        pair, every = agreement_in(project).confusion
    assert {pair.a, pair.b} == {"ann", "cy"}
    assert sum(map(sum, pair.counts)) == 5
    assert (every.a, every.b) == (None, None)
    assert every.counts == ((0, 5, 1), (5, 0, 1), (1, 1, 0))


def test_the_labels_that_hold_count(tmp_path: Path) -> None:
    with project_in(tmp_path) as project:
        for text in (1, 2):
            give(project, "ann", text, "good")
            give(project, "bob", text, "bad")
        give(project, "bob", 1, "good")
        undo(project, "bob")
        give(project, "bob", 2, "good")
        give(project, "cy", 2, "odd", kind="decision")
        set_labels(project, [Label("bad"), Label("odd")])
        found = agreement_in(project)
    assert found.confusion[0].labels == ("bad", "odd", "good")
    assert found.confusion[0].counts == ((0, 0, 0), (0, 0, 0), (1, 0, 1))


def test_one_text_has_no_coefficients_and_json_none(tmp_path: Path) -> None:
    with project_in(tmp_path) as project:
        give(project, "ann", 1, "good")
        give(project, "bob", 1, "good")
        found = agreement_in(project)
    assert all(math.isnan(of.kappa.value) for of in found.classes)
    assert found.to_json()["classes"][0]["kappa"]["value"] is None


def test_several_labels_a_text(tmp_path: Path) -> None:
    with project_in(tmp_path, multilabel=True) as project:
        for text, (one, other) in enumerate(PAIRS, start=1):
            give(project, "ann", text, one, "odd")
            give(project, "bob", text, other, "odd")
        give(project, "ann", 19)
        give(project, "bob", 19)
        found = agreement_in(project)
    assert found.confusion == ()
    assert found.agreement is not None
    assert found.agreement.metric == "subset_accuracy"
    # "odd" is one of the labels that ann gave to all texts but the last.
    assert found.classes[2].alpha.value == pytest.approx(1)


@pytest.mark.parametrize("several", [False, True])
def test_values_are_those_of_the_same_answers_and_confusions_add_up(
    tmp_path: Path, several: bool
) -> None:
    chance, answers = random.Random(2), list[AnnotatedText]()
    with project_in(tmp_path, texts=40, multilabel=several) as project:
        for text in range(1, 41):
            people = chance.sample(["ann", "bob", "cy", "di"], chance.choice([1, 2, 2, 3]))
            said = []
            for who in people:
                labels = chance.sample(LABELS, chance.choice([0, 1, 2]) if several else 1)
                give(project, who, text, *labels)
                said.append((who, tuple(sorted(labels))))
            answers.append(AnnotatedText(f"r{text - 1}", "", tuple(said)))
        found = agreement_in(project)
    shared = tuple(of for of in answers if len(of.answers) > 1)
    wanted = agreement_of(Annotations("annotator", shared, 40), LABELS, several)
    assert found.agreement == wanted
    assert [(of.name, of.agreed) for of in found.classes] == [
        (of.name, of.agreed) for of in wanted.classes
    ]
    if several:
        assert found.confusion == ()
        return
    pair, every = found.confusion
    both = [(by[pair.a], by[pair.b]) for by in (dict(of.answers) for of in shared)
            if {pair.a, pair.b} <= by.keys()]  # fmt: skip
    assert len(both) == wanted.pairs[0].kappa.n
    assert pair.counts == tuple(
        tuple(both.count(((row,), (column,))) for column in LABELS) for row in LABELS
    )
    pairs = sum(math.comb(len(of.answers), 2) for of in shared)
    assert sum(map(sum, every.counts)) == 2 * pairs
    assert list(zip(*every.counts, strict=True)) == list(every.counts)


def test_agreement_is_of_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with project_in(tmp_path) as project:
        give(project, "ann", 1, "good")
        give(project, "bob", 1, "good")

        def meanwhile(db: Any) -> Any:
            rename_label(project, "good", "fine")
            return stored_settings(db)

        monkeypatch.setattr("finetext.studio.agreeing.stored_settings", meanwhile)
        assert agreement_in(project).confusion[0].labels == ("good", "bad", "odd")
