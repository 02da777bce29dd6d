"""A browser, and pages opened in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from page_helpers import Films, Open, with_run
from serving_toys import Toy

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def opened(browser: Browser, serving: Callable[..., str]) -> Iterator[Open]:
    """Return a function that serves a classifier and opens its page; unexpected errors fail."""
    pages: list[tuple[Page, list[str], set[str], str]] = []

    def open_page(
        classifier: Toy | None = None,
        token: str | None = None,
        expected: Sequence[str] = (),
        width: int = 1280,
        dark: bool = False,
        **limits: Any,
    ) -> Page:
        address = serving(classifier or Films(), token, **limits)
        scheme: Any = "dark" if dark else "light"
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        complaints: list[str] = []
        asked: set[str] = set()

        def complain(text: str) -> None:
            if not any(part in text for part in expected):
                complaints.append(text)

        page.on("console", lambda message: complain(message.text))
        page.on("pageerror", lambda error: complain(str(error)))
        page.on("request", lambda request: asked.add(request.url))
        page.route("**/info", with_run)
        pages.append((page, complaints, asked, address))
        page.goto(address)
        page.locator("dialog[open], #what:not(:has-text('Asking'))").first.wait_for()
        return page

    yield open_page
    for page, complaints, asked, address in pages:
        assert complaints == []
        assert [url for url in asked if not url.startswith((address, "blob:"))] == []
        page.close()
