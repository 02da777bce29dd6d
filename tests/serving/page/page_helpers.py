"""A classifier with two keywords, and helpers that drive the page of its server."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from serving_toys import Toy

from finetext.core.arrays import Floats
from finetext.core.types import LabelScheme

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

Open = Callable[..., "Page"]

SCORE = {"value": 0.91, "low": 0.88, "high": 0.94, "n": 400}


@dataclass(frozen=True, eq=False)
class Films(Toy):
    """Score a text by the words good and bad."""

    scheme: LabelScheme = field(default_factory=lambda: LabelScheme(("no", "yes", "0")))

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        super().predict_proba(texts)
        return np.array([self._of(text) for text in texts])

    def _of(self, text: str) -> tuple[float, float, float]:
        merit = 0.5 + 0.4 * ("good" in text) - 0.3 * ("bad" in text)
        return (0.96 - merit, merit, 0.04)


def with_run(route: Route) -> None:
    """Add a run and a model card to the answer of /info."""
    answer = route.fetch()
    if not answer.ok:
        route.fulfill(response=answer)
        return
    entries = [
        {
            "method": method, "rows_per_second": 5123.4, "bytes": 91_000_000,
            "seconds_to_train": 33.2, "model": "model",
            "metrics": {"test": {"accuracy": SCORE, "macro_f1": {**SCORE, "low": None}}},
        }
        for method in ("tfidf", "finetune")
    ]  # fmt: skip
    run = {"name": "films", "method": "tfidf", "metric": "accuracy", "best": "tfidf"}
    card = (
        "---\nlicense: mit\n---\n# Films\n\nSays `yes` or **no**, see [there](https://a.example)"
        " or [not](javascript:alert(1)).\n\n- one\n- two <script>alert(1)</script>\n\n"
        "| a | b |\n|---|--:|\n| x | 1 |\n\n```python\nprint(1)\n```\n"
    )
    about = {"name": "films/tfidf", "run": {**run, "leaderboard": entries}, "card": card}
    route.fulfill(response=answer, body=json.dumps({**answer.json(), **about}))


def classify(page: Page, text: str) -> str:
    """Classify a text and return the shown verdict."""
    page.get_by_label("Your text").fill(text)
    page.get_by_role("button", name="Classify").click()
    page.locator("#text-result").wait_for()
    return page.locator("#verdict").inner_text()


def give(page: Page, name: str, content: str | bytes) -> None:
    """Choose a file in the table tab."""
    page.get_by_role("tab", name="Table").click()
    body = content.encode() if isinstance(content, str) else content
    page.locator("#file").set_input_files({"name": name, "mimeType": "text/csv", "buffer": body})


def downloaded(page: Page) -> list[list[str]]:
    """Return the rows of the downloaded file."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    return rows_of(Path(waiting.value.path()))


def rows_of(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))


def cells(page: Page, table: str, part: str) -> list[str]:
    return page.locator(f"#{table} {part}").all_inner_texts()
