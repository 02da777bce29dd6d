"""Judgements: stored once, replaced, undone, never lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studio_toys import project_of, rows, say, token

from finetext.core.errors import DataError, UnknownNameError
from finetext.studio.judgements import Judgement, acceptance, history, judge, undo
from finetext.studio.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with project_of(tmp_path) as made:
        yield made


def test_a_token_that_is_sent_twice_is_stored_once(project: Project) -> None:
    judgement = Judgement(token(), 3, ("good",))
    assert judge(project, "Anna", judgement) == judge(project, "Anna", judgement)
    assert len(history(project)) == 1
    with pytest.raises(DataError, match="the same token"):
        judge(project, "Bert", judgement)


def test_a_later_answer_replaces_the_earlier_one_which_stays(project: Project) -> None:
    say(project, "Anna", 3, "good")
    say(project, "Anna", 3, "bad", note="on second thought")
    say(project, "Bert", 3, "odd")
    newest, second, first = history(project)
    assert (newest["annotator"], newest["labels"]) == ("Bert", ["odd"])
    assert second["note"] == "on second thought"
    assert second["replaced"] is None
    assert first["replaced"] is not None
    assert history(project, "Anna", limit=1)[0]["id"] == second["id"]
    assert history(project, before=second["id"])[0]["id"] == first["id"]


def test_undo_brings_the_answer_before_back(project: Project) -> None:
    say(project, "Anna", 3, "good")
    say(project, "Anna", 3, "bad")
    assert undo(project, "Anna") == 3
    current = [of for of in history(project) if of["undone"] is None and of["replaced"] is None]
    assert [of["labels"] for of in current] == [["good"]]
    assert undo(project, "Anna") == 3
    assert undo(project, "Anna") is None
    assert rows(project, "SELECT needed = coders FROM texts WHERE id = 3") == [(1,)]


@pytest.mark.parametrize(
    ("judgement", "problem"),
    [
        (Judgement("t", 999, ("good",)), "no text 999"),
        (Judgement("t", 3, ("good", "bad")), "exactly one label"),
        (Judgement("t", 3, ()), "exactly one label"),
        (Judgement("t", 3, ("good",), "skip"), "skipped text has no labels"),
        (Judgement("", 3, ("good",)), "needs a token"),
        (Judgement("t", 3, ("good",), note="x" * 6_000), "shorten it"),
    ],
)
def test_what_cannot_be_stored_is_refused(
    project: Project, judgement: Judgement, problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        judge(project, "Anna", judgement)
    assert history(project) == []


def test_an_unknown_label_is_refused_with_those_that_there_are(project: Project) -> None:
    with pytest.raises(UnknownNameError, match="good"):
        say(project, "Anna", 3, "godo")


def test_several_labels_have_the_order_of_the_set_and_may_be_none(tmp_path: Path) -> None:
    with project_of(tmp_path, multilabel=True) as project:
        say(project, "Anna", 1, "odd", "good")
        say(project, "Anna", 2)
        assert [of["labels"] for of in history(project)] == [[], ["good", "odd"]]


def test_accepted_suggestions_are_counted(project: Project) -> None:
    shown = {"labels": ["good"], "probability": 0.8, "source": "model"}
    say(project, "Anna", 1, "good", suggestion=shown)
    say(project, "Anna", 2, "bad", suggestion=shown)
    say(project, "Anna", 3, "bad")
    assert acceptance(project) == (2, 1)
    assert history(project)[2]["suggestion"] == shown


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["Anna", "Bert"]),
        st.sampled_from(["good", "bad", "skip", "undo", "decision"]),
        st.integers(1, 4),
    ),
    max_size=25,
)


@settings(max_examples=25)
@given(STEPS)
def test_whatever_people_do_counts_are_right(steps: list[tuple[str, str, int]]) -> None:
    with TemporaryDirectory() as folder, project_of(Path(folder), 4, double_share=0.5) as project:
        for who, what, text in steps:
            if what == "undo":
                undo(project, who)
            elif what == "skip":
                say(project, who, text, kind="skip")
            elif what == "decision":
                say(project, who, text, "odd", kind="decision")
            else:
                say(project, who, text, what)
        kept = "replaced IS NULL AND undone IS NULL"
        each = "SELECT count(*) FROM judgements WHERE text = ? AND annotator = ? AND "
        for text, coders, needed in rows(project, "SELECT id, coders, needed FROM texts"):
            labeled = 0
            for who in ("Anna", "Bert"):
                one = f"{each} kind != 'decision' AND {kept}"
                assert rows(project, one, text, who)[0][0] <= 1
                labeled += rows(project, f"{each} kind = 'label' AND {kept}", text, who)[0][0]
            assert needed == max(0, coders - labeled)
            decisions = f"SELECT count(*) FROM judgements WHERE text = ? AND {kept} "
            assert rows(project, f"{decisions} AND kind = 'decision'", text)[0][0] <= 1
