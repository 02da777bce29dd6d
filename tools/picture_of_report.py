"""Make docs/pictures/report.png, the first screen of the report of a run.

finetext demo
python tools/picture_of_report.py runs/bbc-news
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PICTURE: Final = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "report.png"
WIDTH: Final = 1080
HEIGHT: Final = 650
"""Pixels of the picture."""


def draw(browser: Browser, run: Path, out: Path) -> str:
    """Write the picture of a run folder; return the text that it shows.

    Raises:
        FileNotFoundError: the run has no report.
    """
    report = (run / "report.html").resolve(strict=True)
    size = {"width": WIDTH, "height": HEIGHT}
    page = browser.new_page(viewport=size, color_scheme="light", offline=True)  # type: ignore[arg-type]
    try:
        page.goto(report.as_uri())
        page.screenshot(path=out)
        shown: str = page.evaluate(
            """() => [...document.querySelectorAll("body *")]
            .filter(of => of.getBoundingClientRect().bottom <= innerHeight && !of.children.length)
            .map(of => of.textContent).join("\\n")"""
        )
    finally:
        page.close()
    return shown


def main(words: list[str] | None = None) -> None:
    """Draw the report of the run that the command names."""
    from playwright.sync_api import sync_playwright

    [run] = sys.argv[1:] if words is None else words
    with sync_playwright() as driver:
        path = shutil.which("chromium")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        draw(browser, Path(run), PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
