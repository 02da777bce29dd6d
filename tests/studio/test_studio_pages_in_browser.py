"""The other views of the studio in a browser, before a studio that answers from memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fake_answers as answers
import pytest
from fake_studio import Fake
from studio_browser import SCHEMES, axe_core

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

VIEWS = ("", "news/annotate", "news/labels", "news/progress", "news/agreement", "news/review")
VIEWS_OF_RUNS = ("news/train", "news/use", "news/export")
Open = Callable[..., Any]


@pytest.fixture
def fake() -> Fake:
    """Return a studio with a few texts, judgements to decide and one run."""
    return Fake([f"text number {number}" for number in range(6)])


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    """Return a small table."""
    path = tmp_path / "News of May.csv"
    path.write_text("body,topic\nThe team won,sport\n", encoding="utf-8")
    return path


def last(fake: Fake, what: str) -> Any:
    """Return the body of the last request of a kind."""
    return [body for kind, body in fake.asked if kind == what][-1]


@pytest.mark.parametrize("view", VIEWS + VIEWS_OF_RUNS)
def test_views_are_accessible_and_fit_on_a_phone(opened: Open, fake: Fake, view: str) -> None:
    fake.suggestion = {"labels": ["money"], "probability": 0.8, "source": "model"}
    page: Page = opened(fake, view=view)
    page.locator("#view h1").wait_for()
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.evaluate(axe_core())
            found = page.evaluate("() => axe.run()")["violations"]
            assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_project_is_made_from_a_file(opened: Open, fake: Fake, sheet: Path) -> None:
    page = opened(fake, view="")
    page.get_by_text("New project").click()
    page.locator("input[type=file]").set_input_files(sheet)
    page.get_by_text("120 rows of text 'body'").wait_for()
    assert page.get_by_role("columnheader", name="body (text)").is_visible()
    assert page.locator(".preview b").count() == 0  # markup in a cell is text
    page.get_by_label("Label column").select_option("id")
    page.get_by_role("columnheader", name="id (label, id)").wait_for()
    page.get_by_label("Label column").select_option("topic")
    page.get_by_role("columnheader", name="topic (label)").wait_for()
    assert last(fake, "read") == {"label": "topic"}
    assert page.get_by_label("Name of the project").input_value() == "News of May"
    page.get_by_role("button", name="Add a label").click()
    page.keyboard.type("money")
    page.get_by_label("Description of sport").fill("Games")
    page.get_by_label("Random sample, in % of the texts").fill("25")
    page.get_by_role("button", name="Create the project").click()
    page.locator(".reader").wait_for()
    made = last(fake, "create")
    assert made["name"] == "News of May"
    assert [label["name"] for label in made["labels"]] == ["sport", "food", "money"]
    assert made["labels"][0]["description"] == "Games"
    assert (made["multilabel"], made["random_share"], made["double_share"]) == (False, 0.25, 0.1)
    assert made["take_labels"]
    assert made["settings"] == {"label": "topic"}
    assert made["file"]["name"] == "News of May.csv"
    assert made["file"]["content"]


def test_what_is_unclear_in_a_file_is_chosen_by_a_button(
    opened: Open, fake: Fake, sheet: Path
) -> None:
    fake.is_unclear = True
    page = opened(fake, view="", expected=["422"])
    page.get_by_text("New project").click()
    page.locator("input[type=file]").set_input_files(sheet)
    page.locator(".choice:has-text('two columns look like texts. Choose one:')").wait_for()
    assert page.get_by_text("Shares fell").is_visible()
    assert page.get_by_role("button", name="Create the project").is_hidden()
    page.get_by_role("button", name="body").click()
    page.get_by_role("button", name="Create the project").wait_for()
    assert last(fake, "read") == {"text": ["body"]}


def test_labels_are_edited(opened: Open, fake: Fake) -> None:
    page = opened(fake, view="news/labels")
    page.get_by_role("button", name="Move food up").click()
    page.get_by_role("button", name="Retire sport").click()
    page.get_by_role("button", name="Add a label").click()
    page.keyboard.type("politics")
    page.get_by_label("Key of label 4").fill("s")
    page.get_by_role("button", name="Save labels").click()
    page.locator("[role=alert]:has-text('The key s of “politics” is used by the page')").wait_for()
    page.get_by_label("Key of label 4").fill("p")
    page.get_by_role("button", name="Save labels").click()
    page.get_by_label("Key of politics").wait_for()
    saved = last(fake, "labels")
    assert [one["name"] for one in saved] == ["sport", "food", "money", "politics"]
    assert [one["retired"] for one in saved] == [True, False, False, False]
    assert saved[3]["key"] == "p"
    page.get_by_text("Rename a label, also in the answers given").click()
    page.get_by_label("Label", exact=True).select_option("money")
    page.get_by_label("New name").fill("economy")
    page.get_by_role("button", name="Rename").click()
    page.locator("#live:has-text('money is now economy')").wait_for(state="attached")
    assert last(fake, "rename") == {"from": "money", "to": "economy"}


def test_guidelines_settings_and_further_texts(opened: Open, fake: Fake, sheet: Path) -> None:
    page = opened(fake, view="news/labels")
    page.get_by_label("How to choose a label").fill("Read the title first.")
    page.get_by_role("button", name="Save guidelines").click()
    page.get_by_text("Saved as version 3").wait_for()
    page.get_by_label("Suggest the label that the model finds most likely").uncheck()
    page.get_by_role("button", name="Save settings").click()
    page.get_by_text("Saved", exact=True).wait_for()
    wanted = {"suggestions": "none", "suggest_everywhere": False}
    assert last(fake, "settings") == {"settings": wanted}
    page.locator("input[type=file]").set_input_files(sheet)
    page.get_by_role("button", name="Add the texts").click()
    page.get_by_text("118 texts added, 2 left out.").wait_for()
    assert not last(fake, "texts")["take_labels"]


def test_progress_in_words_tables_and_a_curve(opened: Open, fake: Fake) -> None:
    page = opened(fake, view="news/progress")
    page.get_by_text("Right on 83 of 100 texts").wait_for()
    shown = page.locator("#view").inner_text()
    for part in ("83% (77 to 89)", "+2.1", "+1.1 to +4.1", "few"):
        assert part in shown
    assert "48 of 60 suggestions accepted as they were: 80% (70 to 90)." in shown
    chart = page.get_by_role("img", name="from 58.0% with 20 to 83.0% with 160")
    assert chart.locator("circle").count() == 4
    page.get_by_text("The learning curve as a table").click()
    assert page.get_by_role("cell", name="58% (50 to 66)").is_visible()


def test_progress_without_an_estimate_says_why(opened: Open, fake: Fake) -> None:
    nothing = {"accuracy": None, "forecast": None, "curve": [], "suggestions": None}
    why = {"why_not": "label 10 texts of the random sample", "forecast_why_not": "too few labels"}
    fake.progress |= {**nothing, **why, "speed": {"median_seconds": None}}
    page = opened(fake, view="news/progress")
    page.get_by_text("label 10 texts of the random sample").wait_for()
    page.get_by_text("too few labels").wait_for()
    assert page.locator("svg.curve").count() == 0


def test_agreement_and_why_there_is_none(opened: Open, fake: Fake) -> None:
    page = opened(fake, view="news/agreement")
    page.get_by_text("All annotators agree on 34 of 40 texts.").wait_for()
    confusion = page.get_by_role("table", name="Rows: label by Ada. Columns: label by Ben.")
    assert confusion.get_by_role("row").nth(2).inner_text().split() == ["money", "2", "11", "3"]
    fake.agreement = {"why_not": "no text has been labeled by two people yet"}
    page.reload()
    page.get_by_text("No text has been labeled by two people yet.").wait_for()


def test_texts_are_decided_by_key(opened: Open, fake: Fake) -> None:
    page = opened(fake, view="news/review")
    page.locator(".work[aria-busy=false] .reader:has-text('The club sold')").wait_for()
    said = page.locator(".said").inner_text()
    assert "it is a club" in said
    assert "flagged" in said
    page.keyboard.press("2")
    page.locator(".work[aria-busy=false] .reader:has-text('Soup')").wait_for()
    decided = last(fake, "decide")
    assert (decided["text"], decided["labels"]) == (3, ["money"])
    assert decided["token"]
    assert "food" in page.locator(".said li").last.inner_text()
    page.keyboard.press("3")
    page.get_by_role("heading", name="Nothing waits for a decision.").wait_for()


def test_a_run_from_estimate_to_cancel_and_resume(opened: Open, fake: Fake) -> None:
    page = opened(fake, view="news/train")
    page.get_by_label("Methods", exact=True).fill("tfidf, probe")
    page.get_by_label("Minutes").fill("5")
    page.get_by_role("button", name="Estimate").click()
    page.get_by_text("estimate: 40 s").wait_for()
    assert page.get_by_text("food has 9 rows: label at least 20").is_visible()
    assert last(fake, "estimate") == {"minutes": 5, "methods": ["tfidf", "probe"]}
    page.get_by_role("button", name="Start training").click()
    page.get_by_text("fitting tfidf · 3 s").wait_for()
    fake.runs[0] |= {"stage": "fitting probe"}
    page.get_by_text("fitting probe · 3 s").wait_for()  # it asks again by itself
    page.get_by_role("button", name="Cancel run-2").click()
    page.get_by_role("button", name="Resume run-2").click()
    page.get_by_role("button", name="Cancel run-2").wait_for()
    fake.runs[0] |= answers.RUN | {"name": "run-2"}
    page.get_by_role("heading", name="Run run-2").wait_for()


def test_a_run_is_looked_into(opened: Open, fake: Fake) -> None:
    page = opened(fake, view="news/train")
    verdict = page.locator(".verdict")
    verdict.wait_for()
    assert verdict.inner_text() == answers.RUN["verdict"]
    assert page.get_by_role("row", name="probe recommended 0.870 [0.820, 0.920] 12 s").is_visible()
    page.get_by_text("Errors on test rows").click()
    page.get_by_role("cell", name="97.0%").wait_for()
    page.get_by_text("Labels that may be wrong").click()
    page.get_by_role("button", name="Put them into review").click()
    page.get_by_text("1 text in review.").wait_for()
    assert last(fake, "label-errors") == "run-1"
    page.get_by_text("Report", exact=True).click()
    report = page.frame_locator("iframe.report")
    report.get_by_text("script ran, caged").wait_for()  # it cannot reach the page
    page.get_by_role("link", name="Use this model").click()
    page.get_by_role("heading", name="Use a model").wait_for()


def test_texts_and_tables_are_predicted(opened: Open, fake: Fake, sheet: Path) -> None:
    page = opened(fake, view="news/use")
    page.get_by_label("Your text").fill("The team won")
    page.keyboard.press("Control+Enter")
    page.get_by_role("row", name="sport 72.0%").wait_for()
    assert page.locator(".verdict").inner_text() == "sport"
    page.locator("input[type=file]").set_input_files(sheet)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Predict and download").click()
    assert waiting.value.suggested_filename == "news-predictions.xlsx"
    assert waiting.value.path().read_text() == sheet.read_text()
    assert page.get_by_text("finetext serve model").is_visible()


def test_code_is_copied(opened: Open, fake: Fake) -> None:
    page = opened(fake, view="news/use", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy: Command").first.click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "finetext predict model"


def test_labels_are_exported_under_the_name_of_the_studio(opened: Open, fake: Fake) -> None:
    page = opened(fake, view="news/export")
    page.get_by_label("What").select_option("judgements")
    page.get_by_label("Format").select_option("csv")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    assert waiting.value.suggested_filename == "Nachrichten-ä-judgements.csv"
    assert waiting.value.path().read_text() == "judgements as csv"


def test_runs_of_all_projects_are_compared(opened: Open, fake: Fake) -> None:
    page = opened(fake, view="")
    page.get_by_role("row", name="news run-1 probe: accuracy 0.870 [0.820, 0.920]").wait_for()
    page.get_by_role("link", name="2 texts to review").click()
    page.get_by_role("heading", name="Review").wait_for()


def test_others_than_the_owner_see_their_views(opened: Open, fake: Fake) -> None:
    fake.is_owner = False
    page = opened(fake)
    page.locator(".work[aria-busy=false]").wait_for()
    links = page.get_by_role("navigation").get_by_role("link").all_inner_texts()
    assert links == ["Annotate", "Progress", "Agreement"]


def test_faults_are_told_and_can_be_tried_again(opened: Open, fake: Fake) -> None:
    page = opened(fake, view="news/progress", expected=["500"])
    page.get_by_text("Right on 83").wait_for()
    error = '{"error": "the disk is full: make room and try again"}'
    page.route("**/agreement", lambda route: route.fulfill(status=500, body=error))
    page.get_by_role("link", name="Agreement").click()
    page.get_by_role("alert").get_by_text("the disk is full: make room and try again").wait_for()
    page.unroute("**/agreement")
    page.get_by_role("button", name="Try again").click()
    page.get_by_text("All annotators agree").wait_for()


@pytest.mark.parametrize(
    ("address", "title"), [("p/news", "Annotate"), ("p/news/train", "Train"), ("new", "Projects")]
)
def test_addresses_of_the_command(opened: Open, fake: Fake, address: str, title: str) -> None:
    page = opened(fake, view=address)
    page.locator(f"#view h1:has-text('{title}')").wait_for(state="attached")


def test_a_view_that_does_not_exist_is_told(opened: Open, fake: Fake) -> None:
    page = opened(fake, view="news/nothing")
    page.get_by_role("alert").get_by_text("There is no view “nothing”").wait_for()
