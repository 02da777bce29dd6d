"""Annotate in a browser: keys, what is stored, and what happens when the studio is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from fake_studio import Fake

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

TEXTS = [f"text number {number}" for number in range(6)]
KEPT = "Object.keys(localStorage).filter((key) => key.startsWith('finetext-studio-answer:')).length"
SUGGESTION = {"labels": ["money"], "probability": 0.815, "source": "model A"}
Open = Callable[..., Any]


@pytest.fixture
def fake() -> Fake:
    """Return a studio with six texts and three labels."""
    return Fake(list(TEXTS))


def ready(page: Page, text: str) -> None:
    """Wait until a text is in view and takes keys."""
    page.locator(f".work[aria-busy=false] .reader:text-is('{text}')").wait_for()


def press(page: Page, key: str, then: str) -> None:
    """Press a key and wait for the next text."""
    page.keyboard.press(key)
    ready(page, then)


def test_one_key_stores_a_label_and_shows_the_next_text(opened: Open, fake: Fake) -> None:
    page = opened(fake)
    ready(page, TEXTS[0])
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.method))
    press(page, "2", TEXTS[1])
    (stored,) = fake.judgements
    assert (stored["text"], stored["labels"], stored["kind"]) == (0, ["money"], "label")
    assert stored["guideline"] == 2
    assert stored["suggestion"] is None
    assert stored["seconds"] > 0
    assert requests == ["POST"]  # the answer brings the next text
    assert fake.who == {"Ada"}
    assert "Saved: money. Next text: text number 1" in page.locator("#live").inner_text()
    assert page.evaluate(KEPT) == 0


def test_labels_without_a_key_get_the_next_digit(opened: Open, fake: Fake) -> None:
    page = opened(fake)
    ready(page, TEXTS[0])
    page.get_by_role("button", name="food, key 3").click()
    ready(page, TEXTS[1])
    assert fake.judgements[0]["labels"] == ["food"]
    press(page, "3", TEXTS[2])


def test_a_second_key_during_the_request_labels_nothing(opened: Open, fake: Fake) -> None:
    page = opened(fake)
    ready(page, TEXTS[0])
    fake.gate.clear()
    page.keyboard.press("1")
    page.locator(".work[aria-busy=true]").wait_for()
    page.keyboard.press("2")
    page.keyboard.press("s")
    fake.gate.set()
    ready(page, TEXTS[1])
    assert [one["labels"] for one in fake.judgements] == [["sport"]]
    assert len(fake.tokens) == 1


def test_keys_right_after_a_new_text_label_nothing(opened: Open, fake: Fake) -> None:
    page = opened(fake)
    ready(page, TEXTS[0])
    page.evaluate("""() => new Promise((resolve) => {
        const press = () => document.dispatchEvent(new KeyboardEvent("keydown", { key: "1" }));
        const watch = new MutationObserver(() => { watch.disconnect(); press(); resolve(); });
        watch.observe(document.querySelector(".reader"), { childList: true });
        press();
    })""")
    ready(page, TEXTS[1])
    assert len(fake.tokens) == 1


def test_a_held_key_labels_once(opened: Open, fake: Fake) -> None:
    page = opened(fake)
    ready(page, TEXTS[0])
    page.keyboard.down("1")
    ready(page, TEXTS[1])
    page.keyboard.down("1")  # the second time without letting go: a repeated key
    page.keyboard.up("1")
    press(page, "2", TEXTS[2])
    assert [one["labels"] for one in fake.judgements] == [["sport"], ["money"]]


def test_skip_flag_note_and_undo(opened: Open, fake: Fake) -> None:
    page = opened(fake)
    ready(page, TEXTS[0])
    press(page, "s", TEXTS[1])
    page.keyboard.press("f")
    page.locator("button[aria-pressed=true]:has-text('Flag')").wait_for()
    page.keyboard.press("n")
    page.keyboard.type("both 1 and 2")
    page.keyboard.press("Escape")
    press(page, "1", TEXTS[2])
    skipped, labeled = fake.judgements
    assert (skipped["kind"], skipped["labels"]) == ("skip", [])
    assert (labeled["flagged"], labeled["note"]) == (True, "both 1 and 2")
    press(page, "Control+z", TEXTS[1])
    assert fake.judgements[1]["undone"]
    assert page.get_by_label("Note on this text").input_value() == "both 1 and 2"
    press(page, "u", TEXTS[0])
    press(page, "3", TEXTS[1])


def test_enter_accepts_a_suggestion_only_if_there_is_one(opened: Open, fake: Fake) -> None:
    page = opened(fake)
    ready(page, TEXTS[0])
    page.keyboard.press("Enter")
    fake.suggestion = SUGGESTION
    press(page, "1", TEXTS[1])
    shown = page.locator(".suggestion").inner_text()
    assert "Suggestion" in shown
    assert "money" in shown
    assert "from model A, 81.5%" in shown
    press(page, "Enter", TEXTS[2])
    assert [one["labels"] for one in fake.judgements] == [["sport"], ["money"]]
    assert fake.judgements[1]["suggestion"] == SUGGESTION


def test_several_labels_are_toggled_and_saved(opened: Open, fake: Fake) -> None:
    fake.multilabel = True
    page = opened(fake)
    ready(page, TEXTS[0])
    for key in "3121":
        page.keyboard.press(key)
    page.locator("button:has-text('Save 2 labels')").wait_for()
    press(page, "Enter", TEXTS[1])
    page.keyboard.press("Enter")  # nothing is chosen, nothing is suggested
    press(page, "0", TEXTS[2])
    assert [one["labels"] for one in fake.judgements] == [["money", "food"], []]


def test_search_takes_the_first_label_found(opened: Open, fake: Fake) -> None:
    fake.labels = [{"name": f"topic {number}"} for number in range(40)]
    page = opened(fake)
    ready(page, TEXTS[0])
    page.keyboard.press("/")
    page.keyboard.type("c 27")
    assert page.locator("button.label:visible").count() == 1
    press(page, "Enter", TEXTS[1])
    assert fake.judgements[0]["labels"] == ["topic 27"]
    assert page.locator("button.label:visible").count() == 40
    press(page, "9", TEXTS[2])
    assert fake.judgements[1]["labels"] == ["topic 8"]


def test_an_answer_survives_a_studio_that_is_gone_and_a_reload(opened: Open, fake: Fake) -> None:
    page = opened(fake, expected=["net::ERR"])
    ready(page, TEXTS[0])
    page.route("**/judgements*", lambda route: route.abort())
    page.keyboard.press("1")
    page.locator(".waiting:has-text('1 answer is kept in this browser')").wait_for()
    assert page.evaluate(KEPT) == 1
    assert fake.judgements == []
    page.reload()
    page.locator(".waiting:has-text('1 answer is kept in this browser')").wait_for()
    page.unroute("**/judgements*")
    page.get_by_role("button", name="Try now").click()
    ready(page, TEXTS[1])
    assert [one["labels"] for one in fake.judgements] == [["sport"]]
    assert page.evaluate(KEPT) == 0
    assert page.locator(".waiting").is_hidden()
    assert len(fake.tabs) == 1  # a reload is the same tab


def test_an_answer_that_was_stored_but_not_acknowledged_is_not_doubled(
    opened: Open, fake: Fake
) -> None:
    page = opened(fake, expected=["503"])
    ready(page, TEXTS[0])
    fake.failing = 1
    page.keyboard.press("1")
    page.locator(".waiting:has-text('the studio is busy')").wait_for()
    page.get_by_role("button", name="Try now").click()
    ready(page, TEXTS[1])
    assert len(fake.judgements) == 1
    assert len(fake.tokens) == 2
    assert len(set(fake.tokens)) == 1


def test_a_refused_answer_is_told_and_the_text_stays(opened: Open, fake: Fake) -> None:
    page = opened(fake, expected=["409"])
    ready(page, TEXTS[0])
    error = '{"error": "the label sport is retired. Choose another one"}'
    page.route("**/judgements*", lambda route: route.fulfill(status=409, body=error))
    page.keyboard.press("1")
    page.locator("[role=alert]:has-text('the label sport is retired')").wait_for()
    page.unroute("**/judgements*")
    ready(page, TEXTS[0])
    press(page, "2", TEXTS[1])
    assert page.evaluate(KEPT) == 0


def test_two_tabs_have_two_ids(opened: Open, fake: Fake) -> None:
    page = opened(fake)
    ready(page, TEXTS[0])
    with page.expect_popup() as opening:  # a copy of the session storage, as in a duplicated tab
        page.evaluate("window.open(location.href)")
    ready(opening.value, TEXTS[0])
    assert len(fake.tabs) == 2


def test_random_ids_without_tls(opened: Open, fake: Fake) -> None:
    page = opened(fake)
    ready(page, TEXTS[0])
    page.evaluate("crypto.randomUUID = undefined")
    press(page, "1", TEXTS[1])
    press(page, "1", TEXTS[2])
    assert len(set(fake.tokens)) == 2
    for token in fake.tokens:
        assert [len(part) for part in token.split("-")] == [8, 4, 4, 4, 12]
        assert token[14] == "4"
        assert token[19] in "89ab"


def test_seconds_in_the_background_do_not_count(opened: Open, fake: Fake) -> None:
    page = opened(fake)
    page.clock.install()
    page.reload()
    ready_now = page.locator(f".reader:text-is('{TEXTS[0]}')")
    ready_now.wait_for()
    turn = """(hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.clock.fast_forward(4000)
    page.evaluate(turn, True)
    page.clock.fast_forward(60_000)
    page.evaluate(turn, False)
    page.clock.fast_forward(3000)
    page.keyboard.press("1")
    page.locator(f".reader:text-is('{TEXTS[1]}')").wait_for()
    assert 7 <= fake.judgements[0]["seconds"] < 60


def test_the_end_and_a_changed_answer(opened: Open, fake: Fake) -> None:
    fake.texts = TEXTS[:2]
    page = opened(fake)
    ready(page, TEXTS[0])
    press(page, "1", TEXTS[1])
    page.get_by_text("My last answers").click()
    page.get_by_role("button", name=f"Change the answer to: {TEXTS[0]}").click()
    ready(page, TEXTS[0])
    press(page, "2", TEXTS[1])
    page.keyboard.press("3")
    page.get_by_role("heading", name="All texts are labeled.").wait_for()
    assert [one["labels"] for one in fake.current()] == [["money"], ["food"]]
    page.get_by_role("button", name="Undo my last answer").click()
    ready(page, TEXTS[1])


def test_markup_and_right_to_left_text_are_shown_as_text(opened: Open) -> None:
    texts = ["<img src=x onerror=alert(1)> & more", "שלום עולם", "x" * 9000 + "\n\nend"]
    page = opened(Fake(texts))
    ready(page, texts[0])
    assert page.locator("#view img").count() == 0
    press(page, "1", texts[1])
    reader = page.locator(".reader")
    assert reader.evaluate("(one) => getComputedStyle(one).direction") == "rtl"
    page.keyboard.press("1")
    page.locator(".reader:has-text('end')").wait_for()
    below = page.locator("button.label").last.bounding_box()
    assert below is not None
    assert below["y"] + below["height"] <= 800


@pytest.mark.parametrize("texts", [["short"], ["long text " * 900]])
def test_labels_are_in_reach_on_a_phone(opened: Open, texts: list[str]) -> None:
    page = opened(Fake([*texts, "next"]), width=390, has_touch=True)
    page.locator(".work[aria-busy=false]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.get_by_role("button", name="food, key 3").bounding_box()
    assert box is not None
    assert 400 < box["y"] < box["y"] + box["height"] <= 800
    assert box["height"] >= 44
    page.get_by_role("button", name="food, key 3").tap()
    ready(page, "next")


def test_single_keys_can_be_turned_off(opened: Open, fake: Fake) -> None:
    page = opened(fake)
    ready(page, TEXTS[0])
    page.keyboard.press("?")
    page.get_by_label("Use single keys as shortcuts").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("1")
    page.get_by_role("button", name="money, key 2").press("Enter")
    ready(page, TEXTS[1])
    assert [one["labels"] for one in fake.judgements] == [["money"]]
    focused = page.evaluate("document.activeElement.dataset.label")
    assert focused == "money"  # who uses the Tab key keeps the place


def test_the_name_is_asked_once(opened: Open, fake: Fake) -> None:
    page = opened(fake, named=False)
    page.get_by_label("Your name").fill("Zoë Ünal")
    page.keyboard.press("Enter")
    ready(page, TEXTS[0])
    press(page, "1", TEXTS[1])
    assert fake.who == {"Zo%C3%AB%20%C3%9Cnal"}
    page.reload()
    ready(page, TEXTS[1])
    assert "You: Zoë Ünal" in page.locator("header").inner_text()


def test_a_token_leaves_the_address_and_asks_no_name(opened: Open, fake: Fake) -> None:
    fake.token = "secret"
    page = opened(fake, view="news/annotate?token=secret", named=False)
    ready(page, TEXTS[0])
    assert "secret" not in page.url
    assert page.evaluate("Object.values(localStorage).join()").count("secret") == 0
    press(page, "1", TEXTS[1])
    page.reload()
    ready(page, TEXTS[1])


def test_a_wrong_token_is_asked_for(opened: Open, fake: Fake) -> None:
    fake.token = "secret"
    page = opened(fake, named=False, expected=["401"])
    page.get_by_role("textbox", name="Token").fill("wrong")
    page.keyboard.press("Enter")
    page.locator("#token-told:has-text('rejects this token')").wait_for()
    page.get_by_role("textbox", name="Token").fill("secret")
    page.keyboard.press("Enter")
    ready(page, TEXTS[0])
