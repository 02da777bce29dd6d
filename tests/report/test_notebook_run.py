"""A run as a notebook shows it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from finetext.report.next_step import Judged
from finetext.report.notebook_run import ShownRun
from finetext.report.report import ReportData
from finetext.report.verdict import verdict_on


def shown(data: ReportData) -> ShownRun:
    names = data.best, data.recommended, data.metric
    verdict = verdict_on(
        data.entries, data.predictions, Judged(data.recommended, data.best, Path("r")), data.choice
    )
    return ShownRun(
        Path("runs/<b>x"), data.entries, *names, data.folds, data.choice, verdict, data.rows,
        data.paid, data.comparisons,
    )  # fmt: skip


def test_the_table_has_scores_and_differences_with_intervals(single: ReportData) -> None:
    table = shown(single).table()
    assert table.header[2:6] == (
        "macro F1, validation", "macro F1, test [95%]", "accuracy, test [95%]",
        f"less {single.best} [95%]",
    )  # fmt: skip
    by_method = {str(row[1]): [str(cell) for cell in row] for row in table.rows}
    assert list(by_method) == [of.method for of in single.entries]
    for entry in single.entries:
        cells = by_method[entry.method]
        assert cells[3] == str(entry.metrics["test"]["macro_f1"])
        if entry.method == single.best:
            assert cells[0].startswith("*")
            assert cells[5:7] == ["", ""]
        else:
            compared = single.comparisons[entry.method]
            assert cells[5].startswith(f"{compared.difference.value:+.3f} [")
            assert re.fullmatch(r"< 0\.001|\d\.\d{3}", cells[6])


def test_html_has_verdict_table_and_sentences_escaped(single: ReportData) -> None:
    page = shown(single).html()
    assert "<b>" not in page
    assert "&lt;b&gt;x" in page
    assert page.count("<tr>") == 1 + len(single.entries)
    assert page.startswith("<p>")
    assert "recommended: the cheapest shown to be as good as the best" in page
    assert "report:" not in page


def test_without_predictions_and_comparisons_the_scores_are_shown(single: ReportData) -> None:
    of = replace(shown(single), verdict=None, comparisons={}, choice=None)
    assert of.html().startswith("<table>")
    assert not any(name.startswith("less") for name in of.table().header)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_the_metric_of_the_run_is_not_shown_twice(single: ReportData, metric: str) -> None:
    header = replace(shown(single), metric=metric, folds=5).table().header
    assert len(header) == len(set(header))
    assert not any("validation" in name for name in header)


def test_the_report_is_named_where_it_is(single: ReportData, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("")
    of = replace(shown(single), place=tmp_path)
    assert of.sentences()[-1] == f"report: {tmp_path / 'report.html'}"
