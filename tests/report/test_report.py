"""The report says what it must, alone in one safe file."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from diagnosed import diagnosed

from finetext.core.types import Finding
from finetext.diagnosis.label_errors import Suspects
from finetext.evaluation.compare import cheapest_not_worse
from finetext.evaluation.intervals import evaluate
from finetext.report import report
from finetext.report.data import Diagnoses, ReportData
from finetext.report.report import render, write_report

PAGES = ("single", "several", "single, diagnosed", "several, diagnosed")
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Outline(HTMLParser):
    """Collects tags, ids and headings, and checks that tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def pages(single: ReportData, several: ReportData) -> dict[str, str]:
    made = (single, several, diagnosed(single), diagnosed(several))
    return {name: render(data) for name, data in zip(PAGES, made, strict=True)}


@pytest.fixture(scope="module", params=PAGES)
def page(request: pytest.FixtureRequest, pages: dict[str, str]) -> str:
    return pages[request.param]


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    assert parser.open == []
    return parser


def test_nothing_in_the_data_becomes_markup(page: str) -> None:
    parser = outline(page)
    assert parser.tags.count("script") == 1
    assert len(parser.scripts) == 1
    assert "alert" not in parser.scripts[0]
    assert "&lt;script&gt;" in page


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    parser = outline(page)
    assert not {"link", "img", "iframe"} & set(parser.tags)
    addresses = {value or "" for name, value in parser.attributes if name.endswith(("href", "src"))}
    assert all(address.startswith("#") for address in addresses)
    assert not re.search(r"url\((?!#)|@import", page)


def test_every_id_is_there_once_and_every_reference_has_one(page: str) -> None:
    parser = outline(page)
    assert len(set(parser.ids)) == len(parser.ids)
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', page)
    assert set(used) <= set(parser.ids)


def test_every_table_has_a_caption_and_scoped_headers(page: str) -> None:
    assert page.count("<table") == page.count("<caption>")
    assert not re.search(r"<th(?![^>]*scope=)[ >]", page)


def test_figures_take_their_colours_from_the_page(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) >= 5
    for drawing in drawings:
        colours = set(re.findall(r"(?:fill|stroke): (#\w+)", drawing))
        assert not colours, colours


def test_the_first_paragraph_names_best_and_cheapest(single: ReportData) -> None:
    lead = re.search(
        r'<p class="lead">(.*?)</p>', render(replace(single, cheapest="tfidf")), flags=re.DOTALL
    )
    assert lead
    assert "trained 3 methods on 200 texts to tell 3 labels apart" in lead[1]
    assert "finetune is best by macro F1" in lead[1]
    assert "The cheapest method that is not significantly worse is tfidf" in lead[1]


def test_one_rung_without_findings_or_lengths(single: ReportData) -> None:
    alone = replace(
        single,
        entries=single.entries[-1:],
        predictions={"finetune": single.predictions["finetune"]},
        comparisons={},
        cheapest="finetune",
        findings=(),
        lengths=(),
    )
    page = render(alone)
    outline(page)
    assert "found nothing to object to" in page
    assert "Compared with" not in page


def test_lengths_are_shown_in_words_and_pieces(page: str) -> None:
    assert "How long the texts are" in page
    assert "Word pieces in a text, counted with the tokenizer of &lt;script&gt;" in page
    assert "The model is given 30 word pieces" in page
    assert "<td>12.5%</td>" in page
    assert ">12.5% cut</text>" in page


def test_the_leaderboard_says_what_validation_scores_are_worth(pages: dict[str, str]) -> None:
    for name in ("single", "several"):
        assert "best on validation is a choice, and test is the measure" in pages[name]
        assert ("each label is given" in pages[name]) == (name == "several")


def test_a_test_of_one_group_is_reported_without_intervals(single: ReportData) -> None:
    alone = {
        method: replace(predictions, groups=("a",) * len(predictions))
        for method, predictions in single.predictions.items()
    }
    cost = dict.fromkeys(alone, 1.0)
    _, comparisons = cheapest_not_worse(alone, cost, "finetune", "macro_f1")
    scores = {method: evaluate(p, resamples=20) for method, p in alone.items()}
    entries = [replace(e, metrics={"test": scores[e.method]}) for e in single.entries]
    page = render(
        replace(
            single, entries=entries, predictions=alone, comparisons=comparisons, cheapest="tfidf"
        )
    )
    assert "(without an interval" in page
    assert not re.search(r"\bnan\b", page)


def test_training_is_shown_with_its_numbers_and_events(page: str, single: ReportData) -> None:
    assert page.count('<a href="#training">') == page.count('<section id="training">') == 1
    assert '<th scope="col">validation macro_f1</th>' in page
    assert "step 50: resumed &lt;script&gt;" in page
    assert 'id="training"' not in render(replace(single, logs={}))


def test_the_page_stays_small(page: str) -> None:
    assert len(page.encode()) < 3_000_000


def test_the_file_replaces_an_older_one(
    single: ReportData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr(report, "render", lambda data: "new \ud800")
    assert write_report(single, path) == path
    assert path.read_text(encoding="utf-8").startswith("new")
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_older_file(
    single: ReportData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(source: str, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(report, "render", lambda data: "new")
    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(single, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_not_looked_at_is_not_mentioned(pages: dict[str, str]) -> None:
    page = pages["single"]
    for section in ("suspects", "words", "map", "curve"):
        assert f'id="{section}"' not in page
        assert f'href="#{section}"' not in page
    for words in (
        "Where it fails</dt>.*wrong on",
        "look wrong",
        "Kinds of text",
        "most wrong about",
    ):
        assert not re.search(words, page)


def test_every_section_that_has_something_to_say_is_there(pages: dict[str, str]) -> None:
    for name in PAGES[2:]:
        named = re.findall(r'<li><a href="#(\w+)">', pages[name])
        assert named == re.findall(r'<section id="(\w+)">', pages[name])
        assert {"failing", "suspects", "trust", "words", "map", "curve"} <= set(named)
        assert "temperature 1.40" in pages[name]
        assert '<th scope="col">as trained</th><th scope="col">scaled</th>' in pages[name]


def test_no_wrong_labels_make_no_table(single: ReportData) -> None:
    found = Suspects("tfidf", 5, 16000, (), 1.0)
    page = render(replace(single, diagnoses=Diagnoses(suspects=found)))
    assert "No label of 16,000 texts looks wrong to tfidf" in page
    assert 'id="suspects-table"' not in page


def test_more_rows_than_a_finding_names_are_not_counted(single: ReportData) -> None:
    rows = tuple(map(str, range(100)))
    page = render(replace(single, findings=(Finding("note", "x", "many", rows),)))
    assert "<summary>the first 100 rows</summary>" in page
