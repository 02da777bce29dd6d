"""Annotating in a browser: keys, several labels, faults of the network, hostile texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from studio_browser import ToyStudio, Visit

from finetext.studio.imported import add_texts
from finetext.studio.judgements import history
from finetext.studio.label_set import Label, set_labels
from finetext.studio.project import ProjectSettings, create_project, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow
PROJECT = "films"
HOSTILE = "<img src=x onerror=\"document.body.dataset.hacked='yes'\"> <script>alert(1)</script>"


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Visit]]:
    """Return a function that opens the page of a project with texts; faults in it fail."""
    studios: list[ToyStudio] = []
    visits: list[Visit] = []

    def open_page(
        texts: Any = tuple(f"film number {n} was good" for n in range(12)),
        labels: Any = ("good", "bad"),
        name: str = "Anna",
        **settings: Any,
    ) -> Visit:
        if not studios:
            project = create_project(tmp_path, PROJECT, ProjectSettings(**settings))
            set_labels(project, [Label(of) if isinstance(of, str) else of for of in labels])
            (tmp_path / "texts.jsonl").write_text(
                "".join(f'{{"text": {_json(text)}}}\n' for text in texts), encoding="utf-8"
            )
            add_texts(project, tmp_path / "texts.jsonl")
            project.close()
            studios.append(ToyStudio(tmp_path))
            studios[0].start()
        found = Visit.begin(browser, studios[0].url, name, f"/#/p/{PROJECT}/annotate")
        found.ready()
        visits.append(found)
        return found

    open_page.studios = studios  # type: ignore[attr-defined]
    open_page.folder = tmp_path / PROJECT  # type: ignore[attr-defined]
    yield open_page
    for one in visits:
        one.end()
    for studio in studios:
        studio.stop()


def _json(text: str) -> str:
    import json

    return json.dumps(text)


def stored(visit: Any) -> list[dict[str, Any]]:
    """Stop the studio, and return all judgements, the oldest first."""
    visit.studios[0].stop()
    with opened(visit.folder) as project:
        return history(project, limit=1_000)[::-1]


def test_one_key_is_one_answer_until_all_texts_are_labeled(visit: Any) -> None:
    page = visit(double_share=0)
    texts = []
    while not page.is_done:
        texts.append(page.text())
        page.press("1" if len(texts) % 2 else "2")
    assert page.page.locator(".end").inner_text().startswith("All texts are labeled")
    found = stored(visit)
    assert [of["text"]["text"] for of in found] == texts
    assert [of["labels"] for of in found[:2]] == [["good"], ["bad"]]
    assert all(of["annotator"] == "Anna" and of["seconds"] >= 0 for of in found)


def test_skip_flag_note_and_undo(visit: Any) -> None:
    page = visit()
    page.press("s")
    page.page.keyboard.press("f")
    page.page.keyboard.press("n")
    page.page.keyboard.type("both 1 and 2")
    page.page.keyboard.press("Escape")
    flagged = page.text()
    page.press("2")
    page.press("u")
    assert page.text() == flagged
    page.press("1")
    found = stored(visit)
    assert [of["kind"] for of in found] == ["skip", "label", "label"]
    assert (found[1]["flagged"], found[1]["note"]) == (True, "both 1 and 2")
    assert found[1]["undone"] is not None
    assert (found[2]["labels"], found[2]["flagged"], found[2]["undone"]) == (["good"], True, None)


def test_several_labels_are_switched_and_saved_with_enter(visit: Any) -> None:
    page = visit(labels=("good", "bad", "long"), multilabel=True)
    page.page.keyboard.press("1")
    page.page.keyboard.press("2")
    page.page.keyboard.press("3")
    page.page.keyboard.press("2")
    pressed = page.page.get_by_role("button", name="long")
    assert pressed.get_attribute("aria-pressed") == "true"
    page.press("Enter")
    page.press("0")
    assert [of["labels"] for of in stored(visit)] == [["good", "long"], []]


def test_among_many_labels_a_search_finds_one(visit: Any) -> None:
    labels = [Label(f"intent {n}", f"wish {n}") for n in range(30)]
    page = visit(labels=labels)
    page.page.keyboard.press("/")
    page.page.keyboard.type("intent 23")
    page.press("Enter")
    page.press("4")
    assert [of["labels"] for of in stored(visit)] == [["intent 23"], ["intent 3"]]


def test_an_answer_is_kept_while_the_studio_is_gone_and_stored_once(visit: Any) -> None:
    page = visit()
    first = page.text()
    visit.studios[0].stop()
    page.page.keyboard.press("1")
    page.page.get_by_text("kept in this browser").wait_for()
    page.page.keyboard.press("2")  # means nothing while the first answer is on its way
    visit.studios[0].start()
    page.page.wait_for_function(
        "first => document.querySelector('.reader').textContent !== first", arg=first
    )
    page.complaints.clear()  # the browser notes that the studio did not answer
    found = stored(visit)
    assert [(of["text"]["text"], of["labels"]) for of in found] == [(first, ["good"])]


def test_an_answer_that_was_never_acknowledged_is_sent_after_a_reload(visit: Any) -> None:
    page = visit()
    first = page.text()
    visit.studios[0].stop()
    page.page.keyboard.press("2")
    page.page.get_by_text("kept in this browser").wait_for()
    visit.studios[0].start()
    page.page.reload()
    page.page.wait_for_function(
        "first => (document.querySelector('.reader')?.textContent ?? first) !== first", arg=first
    )
    page.complaints.clear()
    assert [(of["text"]["text"], of["labels"]) for of in stored(visit)] == [(first, ["bad"])]


def test_two_people_and_two_tabs_get_different_texts(visit: Any) -> None:
    anna, bert = visit(double_share=0), visit(name="Bert")
    with anna.page.context.expect_page() as opening:
        anna.page.evaluate("url => window.open(url, '_blank', 'noopener')", anna.page.url)
    second = opening.value
    second.locator(".work[aria-busy=false]").wait_for()
    seen = {anna.text(), bert.text(), second.locator(".reader").inner_text()}
    assert len(seen) == 3


def test_texts_are_shown_as_they_are_in_their_direction(visit: Any) -> None:
    texts = [HOSTILE, "هذا الفيلم رائع", "line one\n  line two", "x" * 30_000]
    page = visit(texts=texts, random_share=0)
    seen = []
    while not page.is_done:
        seen.append(page.text())
        label = page.page.get_by_role("button", name="good")
        assert label.is_visible()
        box = page.page.locator(".reading").bounding_box()
        assert box["height"] < 700
        page.press("1")
    assert sorted(seen) == sorted(texts)
    assert page.page.locator("body").get_attribute("data-hacked") is None
    assert page.page.evaluate("document.querySelector('.reader').dir") == "auto"


def test_a_suggestion_is_marked_and_accepted_with_enter(visit: Any) -> None:
    texts = [f"{'aaaa' if n % 2 else 'eeee'} {n} {'o' * (n % 7)}" for n in range(80)]
    page = visit(texts=texts, double_share=0)
    for _ in range(30):
        page.press("1" if "aaaa" in page.text() else "2")
    for _ in range(20):  # until the model has learned from them
        suggested = page.page.locator(".suggested .tag")
        if suggested.count():
            break
        page.page.wait_for_timeout(100)
        page.press("1" if "aaaa" in page.text() else "2")
    text = page.text()
    page.press("Enter")
    last = stored(visit)[-1]
    assert last["text"]["text"] == text
    assert last["suggestion"]["labels"] == last["labels"]
    assert last["suggestion"]["source"] == "model"
