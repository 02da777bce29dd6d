"""The report: one safe file that shows every diagnosis."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from diagnosed import diagnosed, suspects
from made_up_run import HOSTILE, made_up
from markupsafe import escape

from finetext.core.types import Finding, LabelScheme
from finetext.diagnosis.label_errors import Suspects
from finetext.evaluation.compare import compare
from finetext.evaluation.estimates import Estimate
from finetext.evaluation.intervals import evaluate
from finetext.report import report
from finetext.report.next_step import Judged
from finetext.report.probabilities import probability_advice, trust
from finetext.report.report import Diagnoses, ReportData, render, write_report
from finetext.report.verdict import verdict_on

pytestmark = pytest.mark.usefixtures("laid_out")
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


def test_how_columns_were_read_is_folded_in_the_section_on_the_data(single: ReportData) -> None:
    before, section = render(single).split('<section id="data"', 1)
    assert "How the 2 columns were read" in section
    assert "How the 2 columns were read" not in before
    table = section[section.index('<details class="columns"><summary>') :].split("</details>")[0]
    cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", table)
    assert cells[4:] == [
        escape(HOSTILE),
        "text",
        *[escape(HOSTILE)] * 2,
        "n",
        "not used",
        "numbers",
        "7",
    ]
    assert 'class="columns"' not in render(replace(single, columns=()))


def test_figures_take_their_colors_from_the_page(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) >= 5
    for drawing in drawings:
        colors = set(re.findall(r"(?:fill|stroke): (#\w+)", drawing))
        assert not colors, colors


def test_one_method_without_findings_or_lengths(single: ReportData) -> None:
    alone = replace(
        single,
        entries=single.entries[-1:],
        predictions={"finetune": single.predictions["finetune"]},
        comparisons={},
        recommended="finetune",
        findings=(),
        lengths=(),
    )
    page = render(alone)
    outline(page)
    assert "The checks found no problems" in page
    assert "Compared with" not in page


def test_lengths_are_shown_in_words_and_tokens(page: str) -> None:
    assert "Lengths of the texts" in page
    assert "Tokens per text (tokenizer of &lt;script&gt;" in page
    assert "The model reads 30 tokens" in page
    assert "<td>12.5%</td>" in page
    assert ">12.5% cut</text>" in page


def test_the_leaderboard_explains_validation_scores(pages: dict[str, str]) -> None:
    for name in ("single", "several"):
        assert "best on validation is a choice, and test is the measure" in pages[name]
        assert ("threshold of each label" in pages[name]) == (name == "several")


def test_one_group_is_reported_without_intervals(single: ReportData) -> None:
    alone = {
        method: replace(predictions, groups=("a",) * len(predictions))
        for method, predictions in single.predictions.items()
    }
    best = alone["finetune"]
    comparisons = {m: compare(p, best, "macro_f1") for m, p in alone.items() if p is not best}
    scores = {method: evaluate(p, resamples=20) for method, p in alone.items()}
    entries = [replace(e, metrics={"test": scores[e.method]}) for e in single.entries]
    page = render(
        replace(
            single, entries=entries, predictions=alone, comparisons=comparisons, recommended="tfidf"
        )
    )
    assert "(no interval)" in page
    assert not re.search(r"\bnan\b", page)


def test_training_has_its_values_and_events(page: str, single: ReportData) -> None:
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


def test_missing_diagnoses_are_not_mentioned(pages: dict[str, str]) -> None:
    page = pages["single"]
    for section in ("suspects", "words", "map", "curve"):
        assert f'id="{section}"' not in page
        assert f'href="#{section}"' not in page
    for words in (
        "Where it fails</dt>.*texts, most often",
        "may be wrong",
        ">Slices<",
        "the highest losses",
    ):
        assert not re.search(words, page)


def test_every_diagnosis_has_its_section(pages: dict[str, str]) -> None:
    for name in PAGES[2:]:
        named = re.findall(r'<li><a href="#(\w+)">', pages[name])
        assert named == re.findall(r'<section id="(\w+)">', pages[name])
        assert {"failing", "suspects", "trust", "words", "map", "curve"} <= set(named)
        assert "temperature 1.40" in pages[name]
        assert '<th scope="col">as trained</th><th scope="col">scaled</th>' in pages[name]


def test_without_suspects_there_is_no_table(single: ReportData) -> None:
    found = Suspects("tfidf", 5, 16000, (), 1.0)
    page = render(replace(single, diagnoses=Diagnoses(suspects=found)))
    assert "None of 16,000 labels is listed as possibly wrong" in page
    assert 'id="suspects-table"' not in page


def test_more_rows_than_a_finding_names_are_not_counted(single: ReportData) -> None:
    rows = tuple(map(str, range(100)))
    page = render(replace(single, findings=(Finding("note", "x", "many", rows),)))
    assert "<summary>the first 100 rows</summary>" in page


def visible(page: str) -> str:
    """The text of a page without scripts, styles and the recipe."""
    page = re.sub(r"<(script|style|pre|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return unescape(re.sub(r"<[^>]+>", " ", page))


def test_the_first_screen_is_for_people_without_statistics(single: ReportData) -> None:
    page = render(replace(single, place=Path("runs/a folder")))
    first = page[: page.index("<nav")]
    about = Judged(single.recommended, single.best, Path("runs/a folder"), single.rows)
    verdict = verdict_on(single.entries, single.predictions, about, single.choice)
    assert " ".join(verdict.words()) in " ".join(visible(first).split())
    assert first.count("<dt>") == 3
    assert re.findall("<code>(.*?)</code>", first) == [escape(verdict.next.command)]
    assert "'runs/a folder'" in verdict.next.command
    assert first.count("<figure") == 1
    assert len(re.findall('<li(?: class="[a-z]+")?><span>', first)) == 2 + 3
    assert visible(page).count(verdict.words()[0]) == 1


def test_bars_are_within_their_tracks(page: str) -> None:
    for low, width in re.findall(r"left:([\d.]+)%;width:([\d.]+)%", page):
        assert 0 <= float(low) <= float(low) + float(width) <= 100.1


RAW = re.compile(r"\b(None|True|False|nan|inf)\b|[\[(]'|\{'|',\)|Score\(|np\.\w|array\(|dtype")


def test_the_page_has_no_raw_python(page: str) -> None:
    text = visible(page).replace(HOSTILE, "").replace("alert('x')", "")
    assert not [text[max(0, at.start() - 60) : at.end() + 60] for at in RAW.finditer(text)]


def test_binary_metrics_name_their_class() -> None:
    page = visible(render(made_up(LabelScheme(("ham", "spam"), positive="ham"))))
    named = re.findall(r"binary F1\b(?! of “ham”)(.{20})", " ".join(page.split()))
    assert named == []
    assert "binary F1 of “ham”" in page


def test_advice_on_probabilities_and_suspects_is_where_they_are_shown(single: ReportData) -> None:
    many = Diagnoses(suspects=replace(suspects(("a", "b"), count=300), rows=600))
    page = visible(render(replace(single, diagnoses=many)))
    assert "trust only the first of them" in page
    checked = trust(single.best, single.predictions[single.best])
    for line in probability_advice(checked["check"]):
        assert line in page


def test_nothing_is_recommended_beside_not_usable_yet(single: ReportData) -> None:
    assert single.choice is not None
    assert "finetune is recommended." in render(single)
    lead = {"finetune": Estimate(0.1, 0.2, 9, 200)}
    page = visible(render(replace(single, choice=replace(single.choice, over_constant=lead))))
    assert "not usable yet." in page
    assert "finetune is recommended." not in page
    assert "Until a method is better: finetune." in page
