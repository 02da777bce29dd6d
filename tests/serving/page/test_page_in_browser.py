"""The page of the server in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
from page_helpers import Films, Open, cells, classify, give
from serving_toys import Toy

from finetext.core.arrays import Floats
from finetext.core.decision import Decision
from finetext.core.types import LabelScheme

if TYPE_CHECKING:
    from playwright.sync_api import Route

pytestmark = pytest.mark.slow


def test_a_text_is_classified_and_explained(opened: Open) -> None:
    page = opened()
    page.get_by_label("Your text").fill("😀 a good film, not bad")
    page.get_by_label("Your text").press("Control+Enter")
    page.locator("#words").wait_for()
    assert page.locator("#verdict").inner_text() == "yes, 60.0%"
    assert page.locator("#verdict").get_attribute("role") == "status"
    shown = [" ".join(row.split()) for row in cells(page, "bars", "tbody tr")]
    assert shown == ["yes given 60.0%", "no 36.0%", "0 4.0%"]
    widths = [box["width"] for row in page.locator("#bars i").all() if (box := row.bounding_box())]
    assert widths[0] / widths[1] == pytest.approx(0.6 / 0.36, rel=0.02)
    assert cells(page, "marked", ".for") == ["good+"]
    assert cells(page, "marked", ".against") == ["bad\N{MINUS SIGN}"]
    assert page.locator("#marked").inner_text() == "😀 a good+ film, not bad\N{MINUS SIGN}"
    assert "Most for yes: “good”" in page.locator("#words-told").inner_text()
    page.get_by_label("for", exact=True).select_option("no")
    page.locator("#marked .for", has_text="bad").wait_for()


def test_a_model_of_two_columns_has_a_field_and_a_choice_for_each(opened: Open) -> None:
    films = Films(scheme=LabelScheme(("no", "yes", "0"), text_columns=("title", "body")))
    page = opened(films)
    page.get_by_label("title", exact=True).fill("A film")
    page.get_by_label("body", exact=True).fill("It is good")
    page.get_by_label("body", exact=True).press("Control+Enter")
    page.locator("#words").wait_for()
    assert films.batches[0] == ["A film\n\x1fIt is good"]
    assert cells(page, "marked", ".for") == ["good+"]
    assert page.locator("#marked").inner_text().split() == ["A", "film", "It", "is", "good+"]
    give(page, "f.csv", "id,body,title\n1,a good one,First\n2,a bad one,Second\n")
    page.locator("#preview").wait_for()
    assert page.get_by_label("Column for title").input_value() == "title"
    assert page.get_by_label("Column for body").input_value() == "body"
    page.get_by_role("button", name="Predict 2 rows").click()
    page.locator("#table-result").wait_for()
    assert films.batches[-1] == ["First\n\x1fa good one", "Second\n\x1fa bad one"]


def test_a_text_of_no_class_is_told_from_abstention(opened: Open) -> None:
    page = opened(Films(decision=Decision(least=(0.99,) * 3, in_scope_up_to=1.1)))
    assert classify(page, "good and bad") == "No label: the text belongs to none of the classes"
    assert "the most probable, yes, has 60.0%" in page.locator("#verdict-why").inner_text()
    assert classify(page, "good") == "No label: the model abstains"


def test_abstention_sets_and_many_labels(opened: Open) -> None:
    decision = Decision(least=(0.99, 0.99, 0.99), set_from=0.3, coverage=0.9)
    page = opened(Films(decision=decision))
    assert classify(page, "good and bad") == "No label: the model abstains"
    why = page.locator("#verdict-why").inner_text()
    assert "the closest has 60.0%" in why
    assert "Prediction set, which contains the true label for 90.0% of texts" in why
    assert why.endswith(": yes, no.")
    names = tuple(f"label {number}" for number in range(14))

    class Many(Toy):
        def predict_proba(self, texts: Sequence[str]) -> Floats:
            return np.tile(np.arange(14) / 91, (len(texts), 1))

    page = opened(Many(scheme=LabelScheme(names)))
    classify(page, "x")
    visible = page.locator("#bars tbody tr:visible")
    assert visible.count() == 10
    page.get_by_role("button", name="Show all 14 labels").click()
    assert visible.count() == 14
    page.get_by_role("button", name="Show the 10 most probable").click()
    assert visible.count() == 10


def test_classification_waits_for_the_model_information(opened: Open) -> None:
    page = opened(Films(decision=Decision(set_from=0.3, coverage=0.9)))
    waiting: list[Route] = []
    page.route("**/info", lambda route: waiting.append(route))
    page.reload()
    page.get_by_label("Your text").fill("good")
    page.get_by_role("button", name="Classify").click()
    page.locator("#verdict").filter(has_text="Classifying").wait_for()
    waiting[0].continue_()
    page.locator("#verdict-why").filter(has_text="for 90.0% of texts").wait_for()


def test_multilabel_predictions_can_be_empty(opened: Open) -> None:
    page = opened(Films(scheme=LabelScheme(("no", "yes", "0"), multilabel=True)))
    assert classify(page, "good") == "yes"
    assert classify(page, "good and bad, x") == "yes"
    decision = Decision(thresholds=(0.95, 0.95, 0.95))
    page = opened(Films(scheme=LabelScheme(("no", "yes", "0"), multilabel=True), decision=decision))
    assert classify(page, "good") == "No label"
    why = page.locator("#verdict-why").inner_text()
    assert why == "No label reaches its threshold; the most probable, yes, has 90.0%."


def test_markup_is_shown_as_text(opened: Open) -> None:
    page = opened()
    text = "<script>alert(1)</script><img src=x onerror=alert(2)> good"
    assert classify(page, text).startswith("yes")
    page.locator("#words").wait_for()
    assert page.locator("#marked").inner_text().replace("+", "") == text
    give(page, "<b>.csv", "text,<i>n</i>\n<script>x</script>,<img src=x>\n")
    page.locator("#preview").wait_for()
    assert cells(page, "preview", "tbody td") == ["<script>x</script>", "<img src=x>"]
    assert page.locator("main script, main img").count() == 0


def test_errors_are_shown(opened: Open) -> None:
    page = opened(expected=["422", "500", "ERR_FAILED"], text_characters=30)
    failure = page.locator("#text-failure")
    page.get_by_role("button", name="Classify").click()
    assert failure.inner_text() == "There is no text: type or paste one."
    for text, said in (
        ("x" * 31, "at most 30"),
        ("\x1f", "inputs[0] is empty; send a text."),  # no white space in JavaScript
        ("a text that breaks it", "internal error"),
    ):
        page.get_by_label("Your text").fill(text)
        page.get_by_role("button", name="Classify").click()
        failure.filter(has_text=said).wait_for()
    page.route("**/decide", lambda route: route.abort())
    page.get_by_role("button", name="Classify").click()
    failure.filter(has_text="cannot be reached").wait_for()
    assert failure.get_attribute("role") == "alert"


def test_tabs_work_by_keyboard_and_the_model_tab_shows_scores_and_card(opened: Open) -> None:
    page = opened()
    page.get_by_role("tab", name="Text").focus()
    page.keyboard.press("ArrowLeft")
    model = page.get_by_role("tabpanel", name="Model")
    assert model.is_visible()
    assert page.get_by_role("tab", name="Model").get_attribute("aria-selected") == "true"
    assert page.locator("[role=tab][tabindex='-1']").count() == 2
    told = model.inner_text()
    for part in ("films/tfidf", "0.910", "0.880 to 0.940", "finetune", "two <script>alert(1)"):
        assert part in told
    assert "license: mit" not in told
    links = [link.get_attribute("href") for link in model.get_by_role("link").all()]
    assert links == ["https://a.example"]
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tabpanel", name="Text").is_visible()
    page.keyboard.press("End")
    assert model.is_visible()
    page.keyboard.press("Home")
    page.keyboard.press("Tab")
    page.keyboard.type("a good film")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("#text-result").wait_for()


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_needs_no_sideways_scrolling(opened: Open, dark: bool) -> None:
    page = opened(width=320, dark=dark)
    classify(page, "a good film " + "long" * 60)
    page.locator("#words").wait_for()
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(wide)
    names = ",".join(["text", *map(str, range(40))])
    give(page, "wide.csv", names + "\n" + ",".join(["x" * 90] * 41))
    page.get_by_role("button", name="Predict").click()
    page.locator("#table-result").wait_for()
    assert not page.evaluate(wide)
    page.get_by_role("tab", name="Model").click()
    assert not page.evaluate(wide)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(21, 24, 28)") == dark


def test_the_token_dialog_keeps_the_token_for_the_tab(opened: Open) -> None:
    page = opened(token="open-sesame", expected=["401"])
    dialog = page.get_by_role("dialog", name="This server requires a token")
    dialog.wait_for()
    page.keyboard.press("Escape")
    page.locator("#start-failure").filter(has_text="requires a token").wait_for()
    page.get_by_role("button", name="Try again").click()
    page.get_by_label("Token", exact=True).fill("wrong")
    page.keyboard.press("Enter")
    dialog.filter(has_text="rejects that token").wait_for()
    page.get_by_label("Token", exact=True).fill("open-sesame")
    page.get_by_role("button", name="Continue").click()
    page.locator("#what").filter(has_text="films/tfidf: no, yes, 0").wait_for()
    assert classify(page, "good").startswith("yes")
    page.reload()
    page.locator("#what").filter(has_text="films/tfidf").wait_for()
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    page.get_by_role("button", name="Forget the token").click()
    dialog.wait_for()
