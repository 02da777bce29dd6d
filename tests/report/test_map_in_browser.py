"""The map of texts in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from finetext.diagnosis.text_map import TextMap
from finetext.report.text_map import write_map_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("laid_out")]
LABELS = ("anger", "fear", "joy", "love", "sadness", "surprise")
HOSTILE = "<script>document.title = 'owned'</script> <b>bold</b> {{ 7 * 7 }} & 😀 done"
TEXTS = 300
WRONG = 30


def made_up(labels: tuple[str, ...] = LABELS, n: int = TEXTS) -> TextMap:
    """A cloud a label on a ring; every tenth text is predicted wrongly, the first is hostile."""
    random = np.random.default_rng(0)
    numbers = np.arange(n) % len(labels)
    angles = 2 * np.pi * numbers / len(labels)
    places = np.stack([3 * np.cos(angles), 2 * np.sin(angles)], axis=1)
    places += random.normal(size=(n, 2)) / 2
    places -= places.min(axis=0)
    places /= places.max()
    given = (numbers + (np.arange(n) % 10 == 0)) % len(labels)
    return TextMap(
        source="the states of the last layer", method="finetune",
        ids=tuple(f"r{i}" for i in range(n)),
        texts=(HOSTILE, "w" * 200, *(f"i feel like number {i} of them all" for i in range(2, n))),
        truths=tuple(labels[i] for i in numbers), predictions=tuple(labels[i] for i in given),
        x=tuple(places[:, 0].tolist()), y=tuple(places[:, 1].tolist()), rows=16_000,
    )  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_map_page(made_up(), tmp_path_factory.mktemp("map") / "map.html")


@pytest.fixture
def page(browser: Browser, drawn: Path) -> Iterator[Page]:
    """The map, opened; in the end nothing may have gone wrong in it."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(drawn.as_uri())
    yield page
    assert complaints == []
    assert requests == [drawn.as_uri()]
    page.close()


def mark(page: Page, row: int) -> Locator:
    return page.locator(f"#plot [data-row='{row}']")


def shown(page: Page) -> set[int]:
    """The rows whose marks are seen; those of the table are the same ones."""
    rows = page.locator("#plot [data-row]").evaluate_all(
        "all => all.filter(one => one.getBoundingClientRect().width).map(one => one.dataset.row)"
    )
    in_table = page.locator("#texts tbody tr").evaluate_all(
        "all => all.flatMap((row, number) => row.hidden ? [] : [number])"
    )
    assert sorted(map(int, rows)) == in_table
    assert page.locator("#status").inner_text() == f"{len(rows)} of {TEXTS} validation texts shown"
    return set(in_table)


def label(page: Page, name: str) -> Locator:
    return page.locator(f"#legend button[data-label='{name}']")


def point_at(page: Page, row: int) -> None:
    """Move the mouse to where the mark of a row is drawn."""
    page.locator("#plot").scroll_into_view_if_needed()
    box = mark(page, row).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_all_texts_are_drawn_inside_of_the_picture(page: Page) -> None:
    assert shown(page) == set(range(TEXTS))
    assert page.locator("#plot path.wrong").count() == WRONG
    assert page.locator("#plot circle").count() == TEXTS - WRONG
    outside = page.evaluate("""() => {
      const frame = document.querySelector('#plot svg').getBoundingClientRect();
      return [...document.querySelectorAll('#plot [data-row]')].filter((mark) => {
        const box = mark.getBoundingClientRect();
        return box.left < frame.left || box.right > frame.right
          || box.top < frame.top || box.bottom > frame.bottom;
      }).length;
    }""")
    assert outside == 0


def test_pointing_at_a_text_shows_it_and_leaving_hides_it(page: Page) -> None:
    reading = page.locator("#reading")
    assert not reading.is_visible()
    lonely = alone(page)
    point_at(page, lonely)
    assert reading.inner_text() == said_of(lonely)
    assert "chosen" in (mark(page, lonely).get_attribute("class") or "")
    page.mouse.move(2, 2)
    assert not reading.is_visible()


def said_of(row: int) -> str:
    of = made_up()
    truth, given = of.truths[row], of.predictions[row]
    return f"{truth if truth == given else f'{truth}, predicted as {given}'}\n{of.texts[row]}"


def alone(page: Page) -> int:
    """The row whose mark is farthest from any other."""
    of = made_up()
    places = np.stack([of.x, of.y], axis=1)
    gaps = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + 9 * np.eye(TEXTS)
    return int(gaps.min(axis=0).argmax())


def test_arrow_keys_move_from_text_to_text(page: Page) -> None:
    reading = page.locator("#reading")
    page.locator("#legend button").last.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "svg"
    read = [reading.inner_text()]
    across = [float(page.locator("#plot .chosen").get_attribute("data-x") or "nan")]
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        read.append(reading.inner_text())
        across.append(float(page.locator("#plot .chosen").get_attribute("data-x") or "nan"))
    assert len(set(read)) == 4
    assert across == sorted(across)
    assert all(re.fullmatch(r"[a-z]+(, predicted as [a-z]+)?\n.+", each) for each in read)
    page.keyboard.press("Escape")
    assert not reading.is_visible()


def test_labels_are_hidden_and_shown(page: Page) -> None:
    of = made_up()
    label(page, "joy").click()
    assert label(page, "joy").get_attribute("aria-pressed") == "false"
    assert shown(page) == {row for row in range(TEXTS) if of.truths[row] != "joy"}
    page.get_by_role("button", name="none", exact=True).click()
    assert shown(page) == set()
    label(page, "love").press("Enter")
    assert shown(page) == {row for row in range(TEXTS) if of.truths[row] == "love"}
    page.get_by_role("button", name="all", exact=True).click()
    assert shown(page) == set(range(TEXTS))


def test_only_wrong_predictions_and_the_color_by_prediction(page: Page) -> None:
    of = made_up()
    wrong = {row for row in range(TEXTS) if of.truths[row] != of.predictions[row]}
    before = mark(page, 0).evaluate("mark => getComputedStyle(mark).stroke")
    page.get_by_label("only wrong predictions").check()
    assert shown(page) == wrong
    page.get_by_label("prediction", exact=True).check()
    assert mark(page, 0).evaluate("mark => getComputedStyle(mark).stroke") != before
    label(page, "fear").click()
    assert shown(page) == {row for row in wrong if of.predictions[row] != "fear"}


def test_a_hidden_text_is_no_longer_read(page: Page) -> None:
    lonely = alone(page)
    point_at(page, lonely)
    page.evaluate("name => document.querySelector(`[data-label='${name}']`).click()",
                  made_up().truths[lonely])  # fmt: skip
    assert not page.locator("#reading").is_visible()


def test_text_of_the_data_stays_text(page: Page) -> None:
    page.locator("details").evaluate("details => { details.open = true; }")
    assert page.locator("#texts tbody tr").first.locator("td").nth(1).inner_text() == HOSTILE
    page.get_by_role("button", name="none", exact=True).click()
    label(page, made_up().truths[0]).click()
    point_at(page, 0)
    for number in range(1, TEXTS):
        if page.locator("#reading span").inner_text() == HOSTILE:
            break
        page.locator("#plot svg").focus()
        page.keyboard.press(("ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown")[number % 4])
    assert page.locator("#reading span").inner_text() == HOSTILE
    assert page.locator("#reading script, #reading b b, #texts b").count() == 0
    assert page.locator("script").count() == 1
    assert page.title() == f"Map of {TEXTS} validation texts: finetune"


def test_labels_with_markup_can_be_filtered(browser: Browser, tmp_path: Path) -> None:
    labels = ("<i>a</i>", '"b" & c')
    path = write_map_page(made_up(labels), tmp_path / "map.html")
    page = browser.new_page()
    page.goto(path.as_uri())
    page.locator("#legend button[data-label]").first.click()
    assert page.locator("#status").inner_text() == f"{TEXTS // 2} of {TEXTS} validation texts shown"
    assert page.locator("#legend i").count() == 0
    page.close()


def test_predictions_alone_can_be_read_and_filtered(browser: Browser, tmp_path: Path) -> None:
    path = write_map_page(replace(made_up(), truths=()), tmp_path / "map.html")
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(path.as_uri())
    assert page.locator("#only-wrong").count() == 0
    page.locator("#plot svg").focus()
    assert page.locator("#reading b").inner_text() in LABELS
    label(page, "joy").click()
    assert shown(page) == {n for n, name in enumerate(made_up().predictions) if name != "joy"}
    page.close()


@pytest.mark.parametrize("labels", [True, False], ids=["labels", "no labels"])
def test_without_a_classifier_nothing_speaks_of_predictions(
    browser: Browser, tmp_path: Path, labels: bool
) -> None:
    of = replace(made_up(), method=None, predictions=(), split="train", multilabel=False)
    of = of if labels else replace(of, truths=())
    path = write_map_page(of, tmp_path / "map.html")
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    assert "predict" not in page.locator("body").inner_text()
    assert page.locator("#status").inner_text() == f"{TEXTS} of {TEXTS} training texts shown"
    point_at(page, alone(page))
    said = page.locator("#reading").inner_text().split("\n")
    lonely = alone(page)
    assert said == ([of.truths[lonely]] if labels else []) + [of.texts[lonely]]
    label(page, "joy" if labels else "all texts").click()
    left = sum(name != "joy" for name in of.truths)
    assert page.locator("#status").inner_text() == f"{left} of {TEXTS} training texts shown"
    assert complaints == []
    page.close()


def test_a_tap_shows_the_text_below_the_map(browser: Browser, drawn: Path) -> None:
    context = browser.new_context(viewport={"width": 375, "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto(drawn.as_uri())
    page.locator("#plot").scroll_into_view_if_needed()
    lonely = alone(page)
    box = mark(page, lonely).bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.locator("#reading").inner_text() == said_of(lonely)
    picture = page.locator("#plot svg").bounding_box()
    reading = page.locator("#reading").bounding_box()
    assert picture is not None
    assert reading is not None
    assert reading["y"] >= picture["y"] + picture["height"]
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [(375, "light"), (375, "dark"), (1280, "dark")])
def test_nothing_overflows_and_contrast_suffices(
    page: Page, tmp_path: Path, width: int, scheme: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 800})
    page.locator("#plot svg").focus()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}[scheme]
    for place in ("body", "#reading", "#status", "#legend button", "summary"):
        assert contrast(page, place) >= 4.5, place
    sizes = page.locator("#plot circle").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().width)"
    )
    assert min(sizes) >= 5
    letters = page.locator(".density text").first.bounding_box()
    assert letters is not None
    assert letters["height"] >= 8
    picture = tmp_path / f"{scheme}-{width}.png"
    page.screenshot(path=picture, full_page=True)
    assert picture.stat().st_size > 50_000


def contrast(page: Page, place: str) -> float:
    """Of the text of an element with what is behind it (WCAG 2)."""
    found: float = page.locator(place).first.evaluate("""element => {
      const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
      let behind = element;
      const clear = (one) => numbers(getComputedStyle(one).backgroundColor)[3] === 0;
      while (clear(behind)) behind = behind.parentElement;
      const light = (color) => numbers(color).slice(0, 3).map((value) => value / 255)
        .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
      const [one, other] = [light(getComputedStyle(element).color),
        light(getComputedStyle(behind).backgroundColor)];
      return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    }""")
    return found


def test_seventy_labels_leave_the_map_on_the_screen(browser: Browser, tmp_path: Path) -> None:
    labels = tuple(f"card payment fee charged {number}" for number in range(70))
    path = write_map_page(made_up(labels, 700), tmp_path / "map.html")
    page = browser.new_page(viewport={"width": 375, "height": 800})
    page.goto(path.as_uri())
    box = page.locator("#legend").bounding_box()
    assert box is not None
    assert box["height"] < 200
    page.get_by_role("button", name="none", exact=True).click()
    page.locator("#legend button[data-label]").last.click()
    assert page.locator("#status").inner_text() == "10 of 700 validation texts shown"
    page.close()


def test_without_scripts_it_is_a_picture_with_a_table(browser: Browser, drawn: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(drawn.as_uri())
    assert page.locator("#plot [data-row]").count() == TEXTS
    assert page.locator("#texts tbody tr").count() == TEXTS
    assert not page.locator("#controls").is_visible()
    assert not page.locator("button[data-all]").first.is_visible()
    context.close()
