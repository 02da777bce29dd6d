"""Which text somebody gets next."""

from __future__ import annotations

from pathlib import Path

import pytest
from studio_toys import project_of, rows, say, work

from finetext.studio import next_text as module
from finetext.studio.judgements import undo
from finetext.studio.label_set import set_labels
from finetext.studio.next_text import GivenText, NoText, claim, next_text


def given(found: GivenText | NoText) -> GivenText:
    assert isinstance(found, GivenText)
    return found


def test_every_fifth_text_is_of_the_random_stream_in_its_order(tmp_path: Path) -> None:
    with project_of(tmp_path, 100, double_share=0) as project:
        done = work(project, "Anna", 40)
        assert [of.stream == "random" for of in done] == [(n + 1) % 5 == 0 for n in range(40)]
        draws = dict(rows(project, "SELECT id, draw FROM texts"))
        random = [draws[of.id] for of in done if of.stream == "random"]
        first = rows(project, "SELECT draw FROM texts WHERE stream = 'random' ORDER BY draw")
        assert random == [draw for (draw,) in first[:8]]


@pytest.mark.parametrize(("share", "random"), [(0.0, 0), (0.25, 10), (0.5, 20)])
def test_the_share_of_the_random_stream_is_exact(tmp_path: Path, share: float, random: int) -> None:
    with project_of(tmp_path, 40, random_share=share, double_share=0) as project:
        assert sum(of.stream == "random" for of in work(project, "Anna", 40)) == random


def test_one_stream_goes_on_where_the_other_is_used_up(tmp_path: Path) -> None:
    with project_of(tmp_path, 10, double_share=0) as project:
        assert len(work(project, "Anna", 20)) == 10
        assert next_text(project, "Anna") == NoText("all")


def test_ranked_texts_come_first_if_they_can_be_given(tmp_path: Path) -> None:
    with project_of(tmp_path, 20, double_share=0) as project:
        chosen = [of for (of,) in rows(project, "SELECT id FROM texts WHERE stream = 'chosen'")]
        random = [of for (of,) in rows(project, "SELECT id FROM texts WHERE stream = 'random'")]
        say(project, "Bert", chosen[3], "good")
        ranked = (random[0], chosen[3], chosen[7], chosen[1])
        found = given(next_text(project, "Anna", "", ranked))
        assert (found.id, found.is_ranked) == (chosen[7], True)


def test_two_people_and_two_tabs_have_different_texts_until_a_claim_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with project_of(tmp_path) as project:
        first = given(next_text(project, "Anna", "1"))
        assert given(next_text(project, "Anna", "1")).id == first.id
        others = {given(next_text(project, *who)).id for who in (("Anna", "2"), ("Bert", "1"))}
        assert len(others | {first.id}) == 3
        monkeypatch.setattr(module, "CLAIM_SECONDS", -1.0)
        assert given(next_text(project, "Clara", "1")).id == first.id


def test_the_second_judgement_of_a_text_comes_first_and_from_somebody_else(
    tmp_path: Path,
) -> None:
    with project_of(tmp_path, 10, double_share=0.4, random_share=0) as project:
        mine = [of.id for of in work(project, "Anna", 10)]
        assert len(mine) == len(set(mine)) == 10
        assert next_text(project, "Anna") == NoText("none-left-for-you")
        theirs = [of.id for of in work(project, "Bert", 10)]
        doubles = {of for (of,) in rows(project, "SELECT id FROM texts WHERE coders = 2")}
        assert set(theirs) == doubles
        assert len(doubles) == 4
        assert next_text(project, "Clara") == NoText("all")


def test_a_skipped_text_goes_to_others_and_an_undone_one_comes_back(tmp_path: Path) -> None:
    with project_of(tmp_path, 1, random_share=0, double_share=0) as project:
        only = given(next_text(project, "Anna")).id
        say(project, "Anna", only, kind="skip")
        assert next_text(project, "Anna") == NoText("none-left-for-you")
        assert given(next_text(project, "Bert", "b")).id == only
        say(project, "Bert", only, "good")
        assert undo(project, "Bert") == only
        assert given(claim(project, "Bert", "b", only)).id == only
        assert given(next_text(project, "Bert", "b")).id == only


def test_why_there_is_no_text(tmp_path: Path) -> None:
    with project_of(tmp_path) as project:
        set_labels(project, [])
        assert next_text(project, "Anna") == NoText("no-labels")


@pytest.mark.parametrize(
    ("settings", "random", "double", "single"),
    [
        ({}, False, False, True),
        ({"suggest_everywhere": True}, True, True, True),
        ({"suggestions": "none", "suggest_everywhere": True}, False, False, False),
    ],
)
def test_suggestions_are_for_chosen_texts_of_one_person(
    tmp_path: Path, settings: dict[str, bool], random: bool, double: bool, single: bool
) -> None:
    with project_of(tmp_path, 40, double_share=0.3, **settings) as project:
        coders = dict(rows(project, "SELECT id, coders FROM texts"))
        for of in work(project, "Anna", 40):
            expected = random if of.stream == "random" else double if coders[of.id] == 2 else single
            assert of.can_suggest is expected


def test_no_query_looks_at_all_texts(tmp_path: Path) -> None:
    values = {"annotator": "Anna", "stream": "chosen"}
    with project_of(tmp_path, 50) as project, project.database.read() as db:
        for query in (module._NEW, module._BEGUN):
            plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}", values)]
            assert any("USING INDEX texts_" in of or "COVERING INDEX texts_" in of for of in plan)
            assert not any(of.startswith("SCAN") for of in plan), plan
