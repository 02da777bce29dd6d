"""What `monitor` found, as lines, as a page and as gauges."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from finetext.core.types import Score
from finetext.diagnosis.monitoring import (
    Confidence,
    ForeignText,
    LabelChange,
    Monitoring,
    WordChange,
)
from finetext.evaluation.drift import DriftTest
from finetext.evaluation.sequential import WorseTest
from finetext.report.monitoring import (
    gauges,
    headline,
    label_shares,
    monitoring_lines,
    write_monitoring_page,
)

WORSE = WorseTest(
    Score(0.9, 0.86, 0.93, 300), 0.86, 0.0, Score(0.75, 0.7, 0.8, 240), 900.0, 120,
    ((1, 1.0), (240, 900.0)),
)  # fmt: skip
FOUND = Monitoring(
    "runs/reviews",
    "new.csv",
    "300 test rows",
    500,
    480,
    20,
    "hashed words and characters",
    (
        DriftTest("texts", 0.71, 0.002, 0.006),
        DriftTest("labels", 0.27, 0.01, 0.02),
        DriftTest("confidence", 0.04, 0.7, 0.7),
    ),
    False,
    (
        LabelChange("good", Score(0.4, 0.35, 0.45, 300), Score(0.6, 0.55, 0.65, 480)),
        LabelChange('<b>"bad"</b>', Score(0.6, 0.55, 0.65, 300), Score(0.4, 0.35, 0.45, 480)),
    ),
    (WordChange("refund", 0.01, 0.2),),
    (ForeignText("row 9", "Where is <my> refund?", "good", 4.2),),
    Confidence(Score(0.8, 0.78, 0.82, 300), Score(0.79, 0.78, 0.8, 480), (0.1,) * 10, (0.1,) * 10),
    Score(0.81, 0.76, 0.86, 480),
    WORSE,
    240,
    label_columns=("stance",),
)
NOTHING = replace(
    FOUND, tests=tuple(replace(of, corrected=1.0) for of in FOUND.tests), words=(), foreign=(),
    worse=replace(WORSE, worse_at=None, evidence=2.5),
)  # fmt: skip
FEW = replace(NOTHING, tests=(), estimated=None, worse=None, tested=12, labeled=3)
UNLABELED = replace(
    NOTHING, worse=None, labeled=0, label_columns=(), no_labels="no column is called label"
)


def test_the_headline_is_the_verdict() -> None:
    worse = "; runs/reviews has become worse"
    assert headline(FOUND) == f"new.csv: drift of texts and labels is shown{worse}"
    assert headline(NOTHING) == "new.csv: no drift is shown"
    assert headline(FEW) == "new.csv: too few rows to tell whether anything drifted"
    assert headline(replace(FEW, worse=WORSE)).endswith(worse)


def test_the_lines_say_what_was_found_and_on_what_it_rests() -> None:
    said = "\n".join(monitoring_lines(FOUND))
    for part in (
        "480 new rows against 300 test rows of runs/reviews",
        "20 copies of other new texts",
        "0.270 stability index, large",
        "0.006 shown",
        "refund (1.0% to 20.0%)",
        "row 9: Where is <my> refund?",
        "Estimated without labels: accuracy 0.810 [0.760, 0.860]",
        "After 120 rows it is shown",
    ):
        assert part in said
    assert "so that may not hold" in said
    assert "does not hold here" not in said
    bad = replace(WORSE, accuracy=Score(0.5, 0.45, 0.55, 240))
    contradicted = " ".join(monitoring_lines(replace(FOUND, worse=bad)))
    assert "So the accuracy estimated without labels does not hold here." in contradicted
    assert all(len(line) <= 80 for line in said.splitlines())


def test_it_says_which_labels_were_taken_for_true_ones_and_how_to_name_others(
    tmp_path: Path,
) -> None:
    evil = replace(UNLABELED, no_labels="the column '<b>\x1b[31m' has no label")
    told = {
        "those of the column 'stance', in 240 of 500 rows; --label names others": FOUND,
        "none, since no column is called label; name their column with --label.": UNLABELED,
        "none, since data.labelled = false.": replace(UNLABELED, no_labels="data.labelled = false"),
        "those of the columns 'a', 'b', 'c', 'd', 'e' and 1 more, in 240": replace(
            FOUND, label_columns=tuple("abcdef")
        ),
        "none; name their column with --label.": replace(UNLABELED, no_labels=""),
    }
    for said, found in told.items():
        assert f"True labels: {said}" in " ".join(monitoring_lines(found))
        page = write_monitoring_page(found, tmp_path / "page.html").read_text()
        assert f"True labels: {said}" in unescape(re.sub("</?span[^>]*>", "", page))
    assert "\x1b" not in "".join(monitoring_lines(evil))
    assert "<b>" not in write_monitoring_page(evil, tmp_path / "page.html").read_text()


def test_rows_without_a_text_are_told() -> None:
    found = replace(NOTHING, blank=250)
    assert "250 rows without a text, which count as one" in " ".join(monitoring_lines(found))
    assert 'finetext_monitor_blank_rows{model="runs/reviews"} 250.0' in gauges(found)
    assert "without a text" not in " ".join(monitoring_lines(NOTHING))


def test_no_label_is_no_class_though_one_is_called_so() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    share = Score(0.2, 0.1, 0.3, 480)
    found = replace(
        FOUND, labels=(LabelChange("no label", share, share), LabelChange(None, share, share))
    )
    samples = [
        (of.name, tuple(sorted(of.labels.items())))
        for family in parser.text_string_to_metric_families(gauges(found))
        for of in family.samples
    ]
    assert len(samples) == len(set(samples))
    text = gauges(found)
    assert (
        'finetext_monitor_predicted_label_share{model="runs/reviews",label="no label"} 0.2' in text
    )
    assert 'finetext_monitor_no_label_share{model="runs/reviews"} 0.2' in text
    assert "no_label_share" not in gauges(FOUND)
    rows = [row[0].text for row in label_shares(found).rows]
    assert rows == ["no label", "(no label)"]


def test_no_drift_is_no_proof_and_few_rows_say_what_it_takes() -> None:
    said = " ".join(monitoring_lines(NOTHING))
    assert "no proof of none" in said
    assert "may not hold" not in said
    assert "is 2.5, and 40 is needed" in said
    few = " ".join(" ".join(monitoring_lines(FEW)).split())
    assert "12 different new rows and 300 test rows; it takes 30 of either kind" in few
    assert "The 3 labels cannot be compared" in few


def test_what_cross_validated_rows_do_not_tell_is_said(tmp_path: Path) -> None:
    crossed = replace(NOTHING, tests=NOTHING.tests[:1], cross_validated=True, estimated=None)
    page = write_monitoring_page(crossed, tmp_path / "page.html").read_text()
    lines = " ".join(" ".join(monitoring_lines(crossed)).split())
    page = re.sub("</?span[^>]*>", "", page)
    for said in (page, lines):
        assert "drift of labels and of confidence is not tested" in said
        assert "--reference DATA" in said
    assert "cross-validated" not in " ".join(monitoring_lines(NOTHING))


def test_names_do_not_control_the_terminal() -> None:
    evil = "\x1b[31mred"
    named = replace(FOUND, model=evil, data=evil, reference=evil)
    named = replace(named, foreign=(replace(FOUND.foreign[0], id=evil),))
    for found in (named, replace(named, tests=())):
        assert "\x1b" not in "".join(monitoring_lines(found))


@pytest.mark.parametrize("found", [FOUND, NOTHING, FEW])
def test_the_page_has_everything_and_escapes_what_data_hold(
    found: Monitoring, tmp_path: Path
) -> None:
    page = write_monitoring_page(found, tmp_path / "page.html").read_text()
    assert headline(found) in page
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert ("Where is &lt;my&gt; refund?" in page) == bool(found.foreign)
    assert ("Worse after 120 labeled rows" in page) == found.is_worse
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)


def test_gauges_are_what_prometheus_reads() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    text = gauges(FOUND, at=1e9)
    families = {of.name: of for of in parser.text_string_to_metric_families(text)}
    assert {of.type for of in families.values()} == {"gauge"}
    assert all(name.startswith("finetext_monitor_") for name in families)

    def values(name: str) -> dict[str, float]:
        samples = families[f"finetext_monitor_{name}"].samples
        assert all(of.labels["model"] == "runs/reviews" for of in samples)
        return {of.labels.get("of", of.labels.get("label", "")): of.value for of in samples}

    assert values("drift") == {"texts": 1, "labels": 1, "confidence": 0}
    assert values("drift_p_value") == {"texts": 0.006, "labels": 0.02, "confidence": 0.7}
    assert values("predicted_label_share") == {"good": 0.6, '<b>"bad"</b>': 0.4}
    assert values("estimated_accuracy_lower") == {"": 0.76}
    assert values("accuracy") == {"": 0.75}
    assert values("worse") == {"": 1}
    assert values("last_run_timestamp_seconds") == {"": 1e9}
    few = gauges(FEW, at=0)
    assert "finetext_monitor_drift" not in few
    assert "finetext_monitor_accuracy" not in few
    assert 'finetext_monitor_tested_rows{model="runs/reviews"} 12.0' in few
