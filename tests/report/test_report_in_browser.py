"""The report in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from diagnosed import diagnosed
from made_up_run import made_up

from finetext.core.types import LabelScheme
from finetext.report.report import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("laid_out")]
LABELS = ("anger", "fear", "joy", "love", "sadness", "surprise")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with all of its sections."""
    data = diagnosed(replace(made_up(LabelScheme(LABELS)), title="emotion"))
    return write_report(data, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    """The report, opened; in the end nothing may have gone wrong in it."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    yield page
    assert complaints == []
    assert requests == [report.as_uri()]
    page.close()


def tools_of(page: Page, table: str) -> Locator:
    """The search box and filters of a table."""
    return page.locator(f"xpath=//table[@id='{table}']/../preceding-sibling::*[1]")


def column(page: Page, table: str, number: int) -> list[str]:
    """The texts of a column in the rows that are shown."""
    cells = page.locator(f"#{table} tbody tr:not([hidden]) > :nth-child({number})")
    return [text.strip() for text in cells.all_inner_texts()]


def test_clicking_a_header_sorts(page: Page) -> None:
    header = page.locator("#highest thead th").nth(5)
    first = column(page, "highest", 6)
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert column(page, "highest", 6) == sorted(first, key=float)
    header.get_by_role("button").press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert column(page, "highest", 6) == sorted(first, key=float, reverse=True)
    header.get_by_role("button").press("Space")
    assert header.get_attribute("aria-sort") == "none"
    assert column(page, "highest", 6) == first


def test_words_sort_by_the_alphabet_and_missing_numbers_come_last(page: Page) -> None:
    header = page.locator("#suspects-table thead th").nth(2)
    header.get_by_role("button").click()
    labels = column(page, "suspects-table", 3)
    assert labels == sorted(labels)
    page.evaluate("document.querySelector('#slices-table tbody td[data-value]').dataset.value = ''")
    rows = page.locator("#slices-table thead th").nth(2).get_by_role("button")
    for _ in range(2):
        rows.click()
        assert column(page, "slices-table", 3)[-1] == "100"


def test_search_keeps_the_rows_that_have_all_words(page: Page) -> None:
    bar = tools_of(page, "suspects-table")
    status = bar.locator("output")
    assert status.inner_text() == "300 rows"
    assert status.get_attribute("aria-live") == "polite"
    bar.get_by_label("Search").fill("  LÓved   train ")
    shown = column(page, "suspects-table", 2)
    assert shown
    assert all("loved" in text and "train" in text for text in shown)
    assert status.inner_text() == f"{len(shown)} of 300 rows"
    bar.get_by_label("Search").fill("nowhere to be found")
    assert status.inner_text() == "0 of 300 rows"
    bar.get_by_label("Search").fill("")
    assert len(column(page, "suspects-table", 2)) == 300


def test_filters_and_search_work_together(page: Page) -> None:
    bar = tools_of(page, "highest")
    bar.get_by_label("truth").select_option(label="joy (7)")
    assert column(page, "highest", 2) == ["joy"] * 7
    bar.get_by_label("prediction").select_option(label="love (7)")
    assert bar.locator("output").inner_text() == "7 of 40 rows"
    bar.get_by_label("Search").fill("r2")
    assert set(column(page, "highest", 7)) == {"r2", "r20", "r26"}
    assert len(column(page, "suspects-table", 2)) == 300


def test_text_of_the_data_stays_text(page: Page) -> None:
    cell = page.locator("#highest tbody td").first
    assert cell.inner_text() == (
        "i feel </script><script>alert('x')</script> <b>bold</b> {{ 7 * 7 }} & done"
    )
    assert page.locator("script").count() == 1


def test_a_long_text_unfolds(page: Page) -> None:
    details = page.locator("#highest details").first
    assert details.evaluate("element => element.open") is False
    details.locator("summary").click()
    assert details.evaluate("element => element.open") is True


def test_the_map_shows_texts_and_follows_the_search(page: Page) -> None:
    page.locator("#map-table").evaluate("table => { table.closest('details').open = true; }")
    dot = page.locator(".map circle[data-row='1']")
    dot.dispatch_event("click")
    assert page.locator(".map .reading").inner_text() == (
        "fear i was feeling rather lonely because nobody called all day"
    )
    tools_of(page, "map-table").get_by_label("truth").select_option("1")
    assert page.locator(".map circle:not(.faded)").count() == len(column(page, "map-table", 2)) > 0
    assert set(column(page, "map-table", 2)) == {"anger"}


@pytest.mark.parametrize(("width", "scheme"), [(375, "light"), (1280, "dark"), (1600, "light")])
def test_nothing_overflows(page: Page, tmp_path: Path, width: int, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}[scheme]
    picture = tmp_path / f"{scheme}-{width}.png"
    page.screenshot(path=picture, full_page=True)
    assert picture.stat().st_size > 50_000


def test_paper_shows_what_is_folded(page: Page, tmp_path: Path) -> None:
    folded = page.locator("#lowest tbody tr").first
    assert not folded.is_visible()
    page.emulate_media(media="print")
    assert folded.is_visible()
    assert not page.locator(".tools").first.is_visible()
    boxes = page.locator(".tall")
    cut = boxes.evaluate_all("all => all.map((one) => one.scrollHeight - one.clientHeight)")
    assert max(cut) <= 1
    page.screenshot(path=tmp_path / "print.png")


def test_without_scripts_it_is_a_page_with_tables(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator(".tools").count() == 0
    assert page.locator("#suspects-table tbody tr").count() == 300
    context.close()
