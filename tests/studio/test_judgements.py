"""Judgements: stored once, replaced or undone, and never lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from studio_projects import LABELS, check_counts, give, project_in

from finetext.core.errors import DataError, FinetextError
from finetext.studio.agreeing import agreement_in
from finetext.studio.judgements import (
    Judgement,
    Kind,
    acceptance,
    current_answers,
    history,
    judge,
    undo,
)
from finetext.studio.label_set import Label, set_labels
from finetext.studio.project import Project
from finetext.studio.review import decided_labels


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with project_in(tmp_path, double_share=0.0) as made:
        yield made
        with made.database.read() as db:
            check_counts(db)


def answers(project: Project) -> dict[int, list[tuple[str, tuple[str, ...]]]]:
    with project.database.read() as db:
        return current_answers(db)


def needed(project: Project, text: int) -> int:
    with project.database.read() as db:
        return int(db.execute("SELECT needed FROM texts WHERE id = ?", (text,)).fetchone()[0])


def states(project: Project, **where: Any) -> list[tuple[list[str], bool, bool]]:
    return [
        (of["labels"], of["replaced"] is not None, of["undone"] is not None)
        for of in history(project, **where)
    ]


def test_the_same_token_is_stored_once(project: Project) -> None:
    one = Judgement("token", 1, ("good",))
    first = judge(project, "ann", one)
    assert judge(project, "ann", one) == first
    assert len(history(project)) == 1
    for who, other in (("bob", one), ("ann", Judgement("token", 2, ("good",)))):
        with pytest.raises(DataError, match="same token"):
            judge(project, who, other)
    assert answers(project) == {1: [("ann", ("good",))]}


def test_the_same_token_from_many_threads_is_stored_once(project: Project) -> None:
    one = Judgement("token", 1, ("good",))
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda _: judge(project, "ann", one), range(40)))
    assert len(set(numbers)) == len(history(project)) == 1


def test_a_token_of_an_undone_judgement_brings_nothing_back(project: Project) -> None:
    one = Judgement("token", 1, ("good",))
    judge(project, "ann", one)
    undo(project, "ann")
    judge(project, "ann", one)
    assert answers(project) == {}


def test_a_later_judgement_replaces_that_of_the_same_person(project: Project) -> None:
    give(project, "ann", 1, "good")
    give(project, "bob", 1, "odd")
    give(project, "ann", 1, "bad")
    assert answers(project) == {1: [("bob", ("odd",)), ("ann", ("bad",))]}
    assert states(project, annotator="ann") == [(["bad"], False, False), (["good"], True, False)]


def test_undo_brings_back_what_was_replaced(project: Project) -> None:
    give(project, "ann", 1, "good")
    give(project, "ann", 1, "bad")
    assert undo(project, "ann") == 1
    assert answers(project) == {1: [("ann", ("good",))]}
    give(project, "ann", 1, "odd")
    assert (undo(project, "ann"), undo(project, "ann"), undo(project, "ann")) == (1, 1, None)
    assert answers(project) == {}
    assert needed(project, 1) == 1
    assert [undone for *_, undone in states(project)] == [True, True, True]


def test_undo_is_of_the_own_judgements_alone(project: Project) -> None:
    give(project, "ann", 1, "good")
    give(project, "bob", 2, "good")
    give(project, "ann", 3, "bad", kind="decision")
    assert undo(project, "ann") == 1
    assert undo(project, "ann") is None
    assert answers(project) == {2: [("bob", ("good",))]}


def test_a_skip_leaves_the_text_to_others(project: Project) -> None:
    give(project, "ann", 1, kind="skip", note="in Dutch")
    assert needed(project, 1) == 1
    assert answers(project) == {}
    give(project, "ann", 1, "good")
    assert needed(project, 1) == 0


def test_a_decision_of_anybody_replaces_the_one_before(project: Project) -> None:
    give(project, "ann", 1, "good", kind="decision")
    give(project, "bob", 1, "bad", kind="decision")
    assert [(replaced) for _, replaced, _ in states(project)] == [False, True]
    assert needed(project, 1) == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"text": 99}, "no text 99"),
        ({"text": 2**70}, "cannot store"),
        ({"labels": ("godo",)}, "good"),
        ({"labels": ()}, "exactly one label"),
        ({"labels": ("good", "bad")}, "exactly one label"),
        ({"kind": "skip"}, "skipped text has no labels"),
        ({"token": ""}, "token"),
        ({"note": "x" * 5_001}, "5,000 characters"),
        ({"seconds": -1.0}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"suggestion": {"source": "model"}}, "labels"),
    ],
)
def test_what_cannot_be_is_refused(project: Project, more: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"token": "t", "text": 1, "labels": ("good",), **more}
    with pytest.raises(FinetextError, match=message):
        judge(project, "ann", Judgement(**given))
    assert history(project) == []


def test_a_retired_label_cannot_be_given_and_stays_in_history(project: Project) -> None:
    give(project, "ann", 1, "good")
    set_labels(project, [Label("bad"), Label("odd")])
    with pytest.raises(FinetextError, match="good"):
        give(project, "ann", 2, "good")
    assert states(project) == [(["good"], False, False)]


def test_several_labels_are_kept_in_the_order_of_the_set(tmp_path: Path) -> None:
    with project_in(tmp_path, multilabel=True) as project:
        give(project, "ann", 1, "odd", "good")
        give(project, "ann", 2)
        assert answers(project) == {1: [("ann", ("good", "odd"))], 2: [("ann", ())]}


def test_notes_of_any_text_are_stored(project: Project) -> None:
    give(project, "ann", 1, "good", note="a\ud800b \N{PILE OF POO} '; DROP TABLE texts")
    assert history(project)[0]["note"].endswith("b \N{PILE OF POO} '; DROP TABLE texts")


def test_history_pages_backward(project: Project) -> None:
    numbers = [give(project, "ann", text, "good") for text in range(1, 8)]
    first = history(project, "ann", limit=3)
    assert [of["id"] for of in first] == numbers[:-4:-1]
    assert [of["id"] for of in history(project, limit=9, before=first[-1]["id"])] == numbers[3::-1]
    assert [of["id"] for of in history(project, text=2)] == [numbers[1]]
    assert first[0]["text"] == {"id": 7, "name": "r6", "text": "text 6"}


def test_acceptance_counts_suggestions_taken(project: Project) -> None:
    shown = {"labels": ["good"], "probability": 0.9, "source": "model"}
    give(project, "ann", 1, "good", suggestion=shown)
    give(project, "ann", 2, "bad", suggestion=shown)
    give(project, "ann", 3, "good")
    assert acceptance(project) == (2, 1)


def test_undo_of_a_skip_brings_back_the_label_before(project: Project) -> None:
    give(project, "ann", 1, "good", flagged=True, note="sure?")
    give(project, "ann", 1, kind="skip")
    assert (answers(project), needed(project, 1)) == ({}, 1)
    assert undo(project, "ann") == 1
    assert (answers(project), needed(project, 1)) == ({1: [("ann", ("good",))]}, 0)
    assert (history(project)[1]["flagged"], history(project)[1]["note"]) == (True, "sure?")


def test_labels_before_and_after_a_new_order_are_the_same(tmp_path: Path) -> None:
    with project_in(tmp_path, multilabel=True, double_share=1.0) as project:
        give(project, "ann", 1, "odd", "good")
        set_labels(project, [Label("odd"), Label("bad"), Label("good")])
        give(project, "bob", 1, "good", "odd")
        assert answers(project) == {1: [("ann", ("good", "odd")), ("bob", ("odd", "good"))]}
        decided = decided_labels(project)
        assert set(decided.labels[1]) == {"good", "odd"}
        assert not decided.tied
        agreement = agreement_in(project).agreement
        assert agreement is not None
        assert agreement.agreed.value == 1.0


class Judging(RuleBasedStateMachine):
    """People who label, skip, change, undo and decide, beside a model of what must be stored."""

    people = st.sampled_from(["ann", "bob", "cy"])
    texts = st.integers(1, 4)
    labels = st.sampled_from(LABELS)

    def __init__(self) -> None:
        super().__init__()
        self.stack, self.folder = ExitStack(), Path(mkdtemp())
        self.project = self.stack.enter_context(
            project_in(self.folder, texts=4, random_share=0.5, double_share=0.5)
        )
        self.stacks: dict[tuple[str, int], list[tuple[int, str | None]]] = {}
        """The judgements of each person and text that are not undone; the last one holds."""
        self.decisions: dict[int, str] = {}
        self.stored = 0

    @rule(who=people, text=texts, label=st.none() | labels, again=st.booleans())
    def judge(self, who: str, text: int, label: str | None, again: bool) -> None:
        names = () if label is None else (label,)
        self.stored += 1
        kind: Kind = "skip" if label is None else "label"
        one = Judgement(f"token {self.stored}", text, names, kind)
        number = judge(self.project, who, one)
        assert not again or judge(self.project, who, one) == number
        self.stacks.setdefault((who, text), []).append((number, label))

    @rule(who=people, text=texts, label=labels)
    def decide(self, who: str, text: int, label: str) -> None:
        self.stored += 1
        judge(self.project, who, Judgement(f"token {self.stored}", text, (label,), "decision"))
        self.decisions[text] = label

    @rule(who=people)
    def undo(self, who: str) -> None:
        last = {of[-1][0]: text for (name, text), of in self.stacks.items() if name == who and of}
        wanted = last[max(last)] if last else None
        assert undo(self.project, who) == wanted
        if wanted is not None:
            self.stacks[who, wanted].pop()

    @invariant()
    def holds(self) -> None:
        current: dict[int, dict[str, str]] = {}
        for (who, text), of in self.stacks.items():
            if of and (label := of[-1][1]) is not None:
                current.setdefault(text, {})[who] = label
        found = {
            text: {who: label for who, (label,) in of} for text, of in answers(self.project).items()
        }
        assert found == current
        decided = decided_labels(self.project)
        assert decided.by_decision == self.decisions.keys()
        for text in range(1, 5):
            most = Counter(current.get(text, {}).values()).most_common(2)
            is_tied = len(most) == 2 and most[0][1] == most[1][1]
            label = most[0][0] if most and not is_tied else None
            label = self.decisions.get(text, label)
            assert decided.labels.get(text) == (None if label is None else (label,))
            assert (text in decided.tied) == (is_tied and text not in self.decisions)
        with self.project.database.read() as db:
            check_counts(db)
            assert db.execute("SELECT count(*) FROM judgements").fetchone()[0] == self.stored

    def teardown(self) -> None:
        self.stack.close()
        rmtree(self.folder)


TestJudging = Judging.TestCase
TestJudging.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
