"""Pages of a fake studio, opened in a browser."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_studio import Fake, served, studio_app

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# The frame of a report has no storage.
NAMED = "if (self === top) localStorage.setItem('finetext-studio-annotator', 'Ada')"


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page of a fake studio; unexpected complaints fail."""
    seen: list[tuple[Page, list[str], set[str], str]] = []
    with ExitStack() as stack:

        def open_page(
            fake: Fake,
            view: str = "news/annotate",
            expected: Sequence[str] = (),
            width: int = 1280,
            named: bool = True,
            **options: Any,
        ) -> Page:
            address = stack.enter_context(served(studio_app(fake)))
            viewport: Any = {"width": width, "height": 800}
            context = browser.new_context(viewport=viewport, **options)
            stack.callback(context.close)
            if named:
                context.add_init_script(NAMED)
            page = context.new_page()
            complaints: list[str] = []
            asked: set[str] = set()

            def complain(text: str) -> None:
                if not any(part in text for part in expected):
                    complaints.append(text)

            page.on("console", lambda message: complain(message.text))
            page.on("pageerror", lambda error: complain(str(error)))
            page.on("request", lambda request: asked.add(request.url))
            seen.append((page, complaints, asked, address))
            page.goto(f"{address}/#/{view}")
            return page

        yield open_page
        for _, complaints, asked, address in seen:
            assert complaints == []
            assert [url for url in asked if not url.startswith((address, "blob:", "about:"))] == []
