"""New rows against reference rows: what is tested, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from finetext.core.decision import Decision
from finetext.core.types import LabelScheme, Predictions
from finetext.data.hashed_texts import texts_with
from finetext.diagnosis import watched_rows
from finetext.diagnosis.monitoring import (
    HASHES,
    STATES,
    Monitoring,
    _word_changes,
    compare,
)
from finetext.diagnosis.watched_rows import Given, NewRows, rows_to_test
from finetext.models.reference import Reference, States

TWO = LabelScheme(("no", "yes"))
NAMES = ("model", "new.csv")


def probabilities(rows: int, seed: int, sure: float = 6.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    high = random.beta(sure, 2, size=rows) / 2 + 0.5
    is_yes = random.random(rows) < 0.5
    return np.stack([np.where(is_yes, 1 - high, high), np.where(is_yes, high, 1 - high)], axis=1)


def texts(rows: int, seed: int, start: int = 0) -> list[str]:
    words = np.random.default_rng(seed).integers(start, start + 30, size=(rows, 6))
    return [" ".join(f"word{word}" for word in row) for row in words]


def reference(rows: int = 100, groups: Any = None, **more: Any) -> Reference:
    likely = probabilities(rows, 1)
    targets = np.where(np.random.default_rng(2).random(rows) < 0.9, likely.argmax(axis=1), 0)
    ids = tuple(map(str, range(rows)))
    of = Predictions(ids, targets, likely, TWO, more.get("decision", Decision()), groups)
    return Reference.of(of, texts(rows, 3), "test")


def new_rows(rows: int = 80, **changed: Any) -> NewRows:
    ids = list(map(str, range(rows)))
    return replace(NewRows(ids, texts(rows, 4), probabilities(rows, 5)), **changed)


def compared(new: NewRows, of: Reference | None = None, **more: Any) -> Monitoring:
    return compare(NAMES, of or reference(), new, None, **more)


def test_rows_like_the_reference_show_no_drift() -> None:
    found = compared(new_rows())
    assert [test.what for test in found.tests] == ["texts", "labels", "confidence"]
    assert found.drifted == ()
    assert found.foreign == ()
    assert found.words == ()
    assert (found.reference, found.rows, found.tested, found.copies) == ("100 test rows", 80, 80, 0)
    assert found.estimated is not None
    assert found.estimated.low < 0.9 < found.estimated.high
    assert found.worse is None
    assert Monitoring.from_json(found.to_json()) == found
    assert found.to_json()["drifted"] == []


def test_foreign_texts_are_found_with_their_words() -> None:
    mixed = [*texts(56, 4), *texts(24, 6, start=500)]
    found = compared(new_rows(texts=mixed))
    assert found.drifted == ("texts",)
    assert sum(int(of.id) >= 56 for of in found.foreign) >= 8
    assert {of.word for of in found.words} <= {f"word{n}" for n in range(500, 530)}
    assert all(of.now > of.before for of in found.words)


@pytest.mark.parametrize("what", ["labels", "confidence"])
def test_other_labels_and_other_confidence_are_told_apart(what: str) -> None:
    likely = probabilities(80, 5, sure=1.0)
    if what == "labels":
        likely = np.sort(probabilities(80, 5), axis=1)  # all are yes, as surely as before
    found = compared(new_rows(probabilities=likely))
    assert found.drifted == (what,)
    if what == "labels":
        assert found.labels[0].now.value in (0.0, 1.0)
    else:
        assert found.confidence is not None
        assert found.confidence.now.high < found.confidence.before.low


def test_copies_and_groups_count_once() -> None:
    copied = texts(40, 4) * 2
    found = compared(new_rows(texts=copied))
    assert (found.tested, found.copies) == (40, 40)
    in_groups = new_rows(groups=[f"author {n % 35}" for n in range(80)])
    assert compared(in_groups).tested == 35
    assert len({in_groups.groups[row] for row in rows_to_test(reference(), in_groups, 0)[1]}) == 35  # type: ignore[index]


def test_rows_without_a_text_are_counted() -> None:
    found = compared(new_rows(texts=[*texts(50, 4), *["", "  ", ""] * 10]))
    assert (found.rows, found.tested, found.blank) == (80, 52, 30)


def test_a_flood_of_one_text_is_no_drift() -> None:
    flooded = [*texts(70, 4), *["word1 word2"] * 300]
    likely = np.concatenate([probabilities(70, 5), np.tile([0.01, 0.99], (300, 1))])
    found = compared(NewRows(list(map(str, range(370))), flooded, likely), reference(300))
    assert len(found.tests) == 3
    assert found.drifted == ()
    assert found.copies == 299


def test_reference_rows_of_a_group_count_once_and_few_cannot_tell() -> None:
    of = reference(groups=tuple(f"film {n // 10}" for n in range(100)))
    found = compared(new_rows(), of)
    assert found.tests == ()
    assert found.to_json()["drifted"] is None
    assert found.estimated is None
    few = compared(new_rows(29))
    assert few.tests == ()
    assert few.labels
    one = compared(new_rows(1))
    assert (one.rows, one.tests, one.estimated) == (1, (), None)


def test_only_so_many_rows_are_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_rows, "MOST_NEW", 50)
    found = compared(new_rows())
    assert (found.rows, found.tested) == (80, 50)


def test_rows_with_a_label_that_were_not_drawn_are_not_compared() -> None:
    """Who labels rows chooses them: all foreign ones here, of which none was drawn."""
    drawn = np.arange(0, 120, 2)
    own = [*texts(60, 4), *texts(60, 6, start=500)]
    order = np.argsort(np.r_[drawn, drawn + 1])
    new = new_rows(120, texts=[own[n] for n in order], probabilities=probabilities(120, 5))
    truths, labeled = new.probabilities[1::2].argmax(axis=1), drawn + 1
    found = compared(
        replace(new, drawn=drawn, total=5_000, truths=truths, labeled=labeled, no_labels="")
    )
    assert (found.rows, found.tested, found.copies, found.labeled) == (5_000, 60, 0, 60)
    assert found.drifted == ()
    assert found.worse is not None
    assert found.worse.accuracy.n == 60
    assert set(rows_to_test(reference(), replace(new, drawn=drawn), 0)[1]) == set(drawn)
    twice = replace(new, texts=new.texts[:60] * 2, drawn=np.r_[0:20, 60:80])
    assert (compared(twice).tested, compared(twice).copies) == (20, 20)
    assert "texts" in compared(new).drifted


def test_states_are_compared_where_there_are_some() -> None:
    random = np.random.default_rng(0)
    of = replace(reference(), states=States.of(random.normal(size=(90, 5))))
    new = new_rows()
    moved = random.normal(size=(80, 5)) + np.array([3.0, 0, 0, 0, 0])
    found = compare(NAMES, of, new, moved)
    assert (found.features, found.drifted) == (STATES, ("texts",))
    assert compare(NAMES, of, new, random.normal(size=(80, 5))).drifted == ()


def test_labels_say_when_a_model_became_worse() -> None:
    new = new_rows(200)
    right = new.probabilities.argmax(axis=1)
    truths = np.where(np.arange(200) < 100, right, 1 - right)
    labeled = np.arange(200)
    found = compared(replace(new, truths=truths, labeled=labeled))
    assert found.is_worse
    assert found.worse is not None
    assert found.worse.worse_at is not None
    assert 100 < found.worse.worse_at < 160
    assert found.labeled == 200
    some = compared(replace(new, truths=truths[:50], labeled=labeled[:50]))
    assert not some.is_worse
    assert compared(replace(new, truths=truths, labeled=labeled), tolerance=0.8).is_worse is False


def test_rows_without_a_label_of_their_own_count_as_a_label() -> None:
    decision = Decision(least=(0.65, 0.65))
    of = reference(decision=decision)
    new = new_rows(probabilities=probabilities(80, 5, sure=1.0))
    found = compared(new, of)
    shares = {change.label: change for change in found.labels}
    assert shares[None].now.value > shares[None].before.value
    given = Given.of(new.probabilities.astype(np.float16), TWO, decision)
    assert (given.labels.sum(axis=1) == 1).all()
    assert found.estimated is not None
    assert found.estimated.n == int(given.answered.sum())


def test_rows_of_several_labels_are_right_if_all_are() -> None:
    scheme = LabelScheme(("a", "b"), multilabel=True)
    likely = np.array([[0.9, 0.2], [0.1, 0.3], [0.6, 0.7]])
    given = Given.of(likely, scheme, Decision())
    assert given.labels.tolist() == [[1, 0, 0], [0, 0, 1], [1, 1, 0]]
    assert given.confidence == pytest.approx([0.72, 0.63, 0.42])
    assert given.right(np.array([[1, 0], [0, 1], [1, 1]])).tolist() == [True, False, True]
    random = np.random.default_rng(0)
    ids = tuple(map(str, range(60)))
    targets = (random.random((60, 2)) < 0.5).astype(np.int64)
    of = Reference.of(
        Predictions(ids, targets, random.random((60, 2)), scheme), texts(60, 3), "test"
    )
    found = compare(NAMES, of, NewRows(ids, texts(60, 8), random.random((60, 2))), None)
    assert found.multilabel
    assert len(found.tests) == 3


def test_labels_and_confidence_of_cross_validated_rows_are_not_compared() -> None:
    """The final model is surer than those of the folds; its texts are like theirs."""
    surer = new_rows(probabilities=probabilities(80, 5, sure=40.0))
    assert "confidence" in compared(surer).drifted
    found = compared(surer, replace(reference(), part="cross-validated"))
    assert [test.what for test in found.tests] == ["texts"]
    assert (found.drifted, found.estimated, found.cross_validated) == ((), None, True)
    assert found.to_json()["cross_validated"]


@pytest.mark.parametrize(("before", "now"), [(300, 3_000), (600, 100)])
def test_repeated_texts_are_no_drift_at_unequal_sizes(before: int, now: int) -> None:
    """Frequent texts have other words than rare ones; both sides are drawn alike."""
    random, alarms = np.random.default_rng(7), 0
    chances = 1 / np.arange(1, 3_001)
    for _ in range(20):
        sides = []
        for rows in (before, now):
            drawn = random.choice(3_000, size=rows, p=chances / chances.sum())
            words = [f"text {n} " + " ".join(f"w{of}" for of in range(n // 30)) for n in drawn]
            high = 0.95 - 0.4 * drawn / 3_000
            sides.append((words, np.stack([high, 1 - high], axis=1)))
        (old, likely), (new, likely_now) = sides
        ids = tuple(map(str, range(before)))
        of = Reference.of(Predictions(ids, np.zeros(before, int), likely, TWO), old, "test")
        rows_now = NewRows(list(map(str, range(now))), new, likely_now)
        alarms += bool(compare(NAMES, of, rows_now, None).drifted)
    assert alarms <= 3


def test_a_text_of_many_groups_counts_once_on_both_sides() -> None:
    sides = [
        [f"word{n}" for n in range(start, start + 50)] + ["the same text"] * 50 for start in (0, 50)
    ]
    of = Predictions(
        tuple(map(str, range(100))), np.zeros(100, int), probabilities(100, 1), TWO,
        groups=tuple(f"film {n}" for n in range(100)),
    )  # fmt: skip
    new = new_rows(100, texts=sides[1], groups=[f"film {n}" for n in range(100)])
    known, tested = rows_to_test(Reference.of(of, sides[0], "test"), new, 0)
    assert len(known) == len(tested) == 51


def test_hashes_are_compared_where_too_few_rows_have_states() -> None:
    random = np.random.default_rng(0)
    of = replace(reference(), states=States.of(random.normal(size=(20, 5))))
    found = compare(NAMES, of, new_rows(), random.normal(size=(80, 5)))
    assert found.features == HASHES
    copied = replace(reference(), states=States.of(random.normal(size=(60, 5))))
    assert compare(NAMES, copied, new_rows(), random.normal(size=(80, 5))).features == STATES
    twice = new_rows(200, texts=texts(100, 4) * 2)
    assert compare(NAMES, copied, twice, random.normal(size=(99, 5))).features == HASHES


def test_words_are_rarely_called_more_frequent_without_a_change() -> None:
    """Words in a twentieth of the texts each, with many reference and few new texts."""
    random, found = np.random.default_rng(0), 0
    of, known = reference(1_000), np.arange(1_000)
    for _ in range(200):
        old, new = (
            [f"w{random.integers(6)}" if random.random() < 0.3 else "" for _ in range(rows)]
            for rows in (1_000, 60)
        )
        found += bool(_word_changes(replace(of, documents=texts_with(old)), known, new))
    assert found <= 15
    more = _word_changes(of, known, ["w1"] * 20 + [""] * 40)
    assert [change.word for change in more] == ["w1"]
