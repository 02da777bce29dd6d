"""Which text a person gets."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from threading import Thread

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from studio_projects import LABELS, check_counts, give, judged_next, project_in
from studio_toys import project_of, rows, work

from finetext.core.errors import DataError
from finetext.studio import next_text as asked
from finetext.studio.database import CURRENT
from finetext.studio.judgements import undo
from finetext.studio.label_set import set_labels
from finetext.studio.next_text import CLAIM_SECONDS, GivenText, NoText, claim, next_text
from finetext.studio.project import Project


def streams(project: Project) -> dict[int, str]:
    with project.database.read() as db:
        return dict(db.execute("SELECT id, stream FROM texts ORDER BY draw").fetchall())


def double_coded(project: Project) -> set[int]:
    with project.database.read() as db:
        return {row["id"] for row in db.execute("SELECT id FROM texts WHERE coders = 2")}


def given(project: Project, who: str, tab: str = "", ranked: tuple[int, ...] = ()) -> GivenText:
    found = next_text(project, who, tab, ranked)
    assert isinstance(found, GivenText)
    return found


def test_each_fifth_text_is_of_the_random_stream_in_the_order_of_its_draw(tmp_path: Path) -> None:
    with project_in(tmp_path, texts=50, double_share=0.0) as project:
        stream = streams(project)
        served = [judged_next(project, "ann") for _ in range(50)]
        kinds = [stream[text] for text in served if text]
        assert [place for place, of in enumerate(kinds) if of == "random"] == [*range(4, 50, 5)]
        for kind in ("random", "chosen"):
            own = [text for text in served if text and stream[text] == kind]
            assert own == [text for text, of in stream.items() if of == kind]
        assert next_text(project, "ann") == NoText("all")


@pytest.mark.parametrize(("share", "random"), [(0.0, 0), (0.25, 10), (0.5, 20)])
def test_the_share_of_the_random_stream_is_exact(tmp_path: Path, share: float, random: int) -> None:
    with project_of(tmp_path, 40, random_share=share, double_share=0) as project:
        assert sum(of.stream == "random" for of in work(project, "Anna", 40)) == random


def test_four_people_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    with project_of(tmp_path, 450, double_share=0.2) as project:
        done: dict[str, int] = {}
        people = [
            Thread(target=lambda who=who: done.update({who: len(work(project, who, 100))}))
            for who in ("Anna", "Bert", "Clara", "Deniz")
        ]
        for person in people:
            person.start()
        for person in people:
            person.join()
        assert done == dict.fromkeys(("Anna", "Bert", "Clara", "Deniz"), 100)
        answers = "SELECT count(*), count(DISTINCT annotator), max(coders) FROM judgements JOIN "
        answers += "texts ON texts.id = judgements.text GROUP BY judgements.text"
        for number, people_of, coders in rows(project, answers):
            assert number == people_of <= coders
        assert rows(project, "SELECT count(*) FROM judgements") == [(400,)]
        with project.database.read() as db:
            check_counts(db)


def test_one_stream_goes_on_where_the_other_has_ended(tmp_path: Path) -> None:
    with project_in(tmp_path, texts=12, random_share=0.0, double_share=0.0) as project:
        assert len({judged_next(project, "ann") for _ in range(12)}) == 12


def test_ranked_texts_come_first_unless_they_are_random_or_labeled(tmp_path: Path) -> None:
    with project_in(tmp_path, texts=30, double_share=0.0) as project:
        stream = streams(project)
        chosen = [text for text, of in stream.items() if of == "chosen"]
        random = [text for text, of in stream.items() if of == "random"]
        give(project, "bob", chosen[9], "good")
        ranked = (random[0], chosen[9], 12_345, chosen[7], chosen[3])
        first = given(project, "ann", ranked=ranked)
        assert (first.id, first.is_ranked) == (chosen[7], True)
        second = given(project, "cy", ranked=ranked)
        assert second.id == chosen[3]
        assert given(project, "di", ranked=ranked).id == chosen[0]


def test_a_text_stays_until_it_is_judged_and_no_other_tab_gets_it(tmp_path: Path) -> None:
    with project_in(tmp_path) as project:
        one = given(project, "ann", "1")
        assert given(project, "ann", "1", ranked=(9, 8, 7)) == one
        others = {given(project, who, tab).id for who in ("ann", "bob") for tab in ("2", "3")}
        assert len(others | {one.id}) == 5


def test_a_decision_takes_no_text_from_who_labels_it(tmp_path: Path) -> None:
    with project_in(tmp_path) as project:
        one = given(project, "ann")
        give(project, "ann", one.id, "good", kind="decision")
        assert given(project, "bob").id != one.id
        assert given(project, "ann") == one


def test_claims_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with project_in(tmp_path) as project:
        one = given(project, "ann")
        now = asked.time.time()
        monkeypatch.setattr(asked.time, "time", lambda: now + CLAIM_SECONDS - 5)
        assert given(project, "bob").id != one.id
        monkeypatch.setattr(asked.time, "time", lambda: now + CLAIM_SECONDS + 5)
        assert given(project, "cy").id == one.id


def test_a_text_that_somebody_else_labeled_meanwhile_is_not_shown_again(tmp_path: Path) -> None:
    with project_in(tmp_path, double_share=0.0) as project:
        one = given(project, "ann")
        give(project, "bob", one.id, "good")
        assert given(project, "ann").id != one.id


def test_second_judgements_come_first_and_never_from_the_same_person(tmp_path: Path) -> None:
    with project_in(tmp_path, texts=20, random_share=0.0, double_share=0.5) as project:
        double = double_coded(project)
        served = [judged_next(project, "ann") for _ in range(21)]
        assert len(set(served)) == 21
        assert next_text(project, "ann") == NoText("none-left-for-you")
        assert {judged_next(project, "bob") for _ in range(10)} == double
        assert next_text(project, "bob") == NoText("all")


def test_a_skipped_text_is_for_others(tmp_path: Path) -> None:
    with project_in(tmp_path, texts=1, random_share=0.0, double_share=0.0) as project:
        give(project, "ann", given(project, "ann").id, kind="skip")
        assert next_text(project, "ann") == NoText("none-left-for-you")
        assert given(project, "bob").name == "r0"


def test_an_undone_text_is_shown_again(tmp_path: Path) -> None:
    with project_in(tmp_path) as project:
        text = judged_next(project, "ann")
        assert text is not None
        assert undo(project, "ann") == text
        assert claim(project, "ann", "", text).id == text
        assert given(project, "bob").id != text
        assert judged_next(project, "ann") == text
        with pytest.raises(DataError, match="no text 99"):
            claim(project, "ann", "", 99)


def test_there_are_no_texts_without_labels(tmp_path: Path) -> None:
    with project_in(tmp_path, texts=0) as project:
        assert next_text(project, "ann") == NoText("no-texts")
        set_labels(project, [])
        assert next_text(project, "ann") == NoText("no-labels")


@pytest.mark.parametrize("everywhere", [False, True])
def test_suggestions_are_for_chosen_texts_of_one_person(tmp_path: Path, everywhere: bool) -> None:
    shares = {"random_share": 0.5, "double_share": 0.5}
    with project_in(tmp_path, suggest_everywhere=everywhere, **shares) as project:
        stream, double = streams(project), double_coded(project)
        seen = set()
        for _ in range(20):
            found = given(project, "ann")
            seen.add((found.stream, found.id in double))
            alone = stream[found.id] == "chosen" and found.id not in double
            assert found.can_suggest == (everywhere or alone)
            give(project, "ann", found.id, "good")
        assert len(seen) == 4


def test_no_suggestions_if_they_are_off(tmp_path: Path) -> None:
    with project_in(tmp_path, suggestions="none", suggest_everywhere=True) as project:
        assert not given(project, "ann").can_suggest


def test_no_query_of_a_request_reads_all_texts_or_judgements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with project_in(tmp_path, double_share=0.5) as project:
        statements: list[str] = []
        with project.database.write() as db:
            db.set_trace_callback(statements.append)
        for who in ("ann", "bob", "ann", "bob"):
            give(project, who, given(project, who, ranked=(3, 4)).id, "good")
        undo(project, "bob")
        with project.database.read() as db:
            db.set_trace_callback(None)
            queries = {of for of in statements if re.match("SELECT|UPDATE|INSERT|DELETE", of)}
            plans = [
                (query, row["detail"])
                for query in queries
                for row in db.execute(f"EXPLAIN QUERY PLAN {query}")
            ]
        assert len(queries) > 20
        assert [plan for plan in plans if re.match("SCAN (texts|judgements)", plan[1])] == []


class Annotating(RuleBasedStateMachine):
    """Three people with two tabs each, who do anything in any order."""

    people = st.sampled_from(["ann", "bob", "cy"])
    tabs = st.sampled_from(["1", "2"])
    ranked = st.lists(st.integers(0, 14), max_size=4).map(tuple)

    def __init__(self) -> None:
        super().__init__()
        self.stack, self.folder = ExitStack(), Path(mkdtemp())
        self.shown: dict[tuple[str, str], int] = {}

    @initialize(share=st.sampled_from([0.0, 0.2, 0.5]), double=st.sampled_from([0.0, 0.3, 1.0]))
    def begin(self, share: float, double: float) -> None:
        made = project_in(self.folder, texts=12, random_share=share, double_share=double)
        self.project = self.stack.enter_context(made)

    def answers(self, text: int) -> tuple[set[str], set[str]]:
        """Return who labeled a text, and who labeled or skipped it."""
        with self.project.database.read() as db:
            rows = db.execute(
                f"SELECT annotator, kind FROM judgements WHERE text = ? AND {CURRENT} "
                "AND kind != 'decision'",
                (text,),
            ).fetchall()
        labeled = {row["annotator"] for row in rows if row["kind"] == "label"}
        return labeled, {row["annotator"] for row in rows}

    @rule(who=people, tab=tabs, ranked=ranked)
    def ask(self, who: str, tab: str, ranked: tuple[int, ...]) -> None:
        found = next_text(self.project, who, tab, ranked)
        if isinstance(found, NoText):
            assert found.why in ("all", "none-left-for-you")
            self.shown.pop((who, tab), None)
            return
        labeled, seen = self.answers(found.id)
        assert who not in seen
        assert len(labeled) < (2 if found.id in double_coded(self.project) else 1)
        for place, text in self.shown.items():
            still = place[0] not in self.answers(text)[1]
            assert text != found.id or place == (who, tab) or not still
        self.shown[who, tab] = found.id

    @rule(who=people, tab=tabs, label=st.sampled_from(LABELS), skip=st.booleans())
    def answer(self, who: str, tab: str, label: str, skip: bool) -> None:
        text = self.shown.pop((who, tab), None)
        if text is None:
            return
        if skip:
            give(self.project, who, text, kind="skip")
        else:
            give(self.project, who, text, label)

    @rule(who=people, text=st.integers(1, 12), label=st.sampled_from(LABELS), own=st.booleans())
    def change(self, who: str, text: int, label: str, own: bool) -> None:
        if own and who in self.answers(text)[1]:
            give(self.project, who, text, label, flagged=True)
            self.shown = {at: of for at, of in self.shown.items() if (at[0], of) != (who, text)}
        elif not own:
            give(self.project, who, text, label, kind="decision")

    @rule(who=people)
    def undo(self, who: str) -> None:
        before = sum(who in self.answers(text)[1] for text in range(1, 13))
        text = undo(self.project, who)
        assert (text is None) == (before == 0)
        if text is not None:
            self.undone(who, text)

    def undone(self, who: str, text: int) -> None:
        if who not in self.answers(text)[1]:
            give(self.project, who, text, "odd")
            assert who in self.answers(text)[0]

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "project"):
            with self.project.database.read() as db:
                check_counts(db)

    def teardown(self) -> None:
        self.stack.close()
        rmtree(self.folder)


TestAnnotating = Annotating.TestCase
TestAnnotating.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
