"""The log of the trainings of a learning curve."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from finetext import Finetune, Tfidf
from finetext.core.errors import RunError
from finetext.diagnosis.curve_series import Fit, Training
from finetext.runs.curve_fits import FitLog, fingerprint
from finetext.storage.locks import CURVE_LOG

HEADER = {"data": "abc", "metric": "accuracy"}
ONE, TWO = Training("m", 100, 0), Training("m", 100, 1)
FIT = Fit("tfidf", 101, 1 / 3, (0.25, float("nan"), 0.5), 1.25)
WRITTEN = """\
{"format_version": 1, "data": "abc", "metric": "accuracy"}
{"method": "m", "labels": 100, "seed": 0, "rung": "tfidf", "rows": 101, \
"score": 0.3333333333333333, "replicates": [0.25, null, 0.5], "seconds": 1.25}
"""


def test_log_has_the_format_of_earlier_versions(tmp_path: Path) -> None:
    FitLog(tmp_path, HEADER).add(ONE, FIT)
    assert (tmp_path / CURVE_LOG).read_text() == WRITTEN
    again = FitLog(tmp_path, HEADER)
    read = again.get(ONE)
    assert read is not None
    assert (read.rows, read.score, read.seconds) == (101, 1 / 3, 1.25)
    assert read.replicates[0] == 0.25
    assert math.isnan(read.replicates[1])
    assert again.get(TWO) is None


@pytest.mark.parametrize("cut", [1, 20])
def test_training_cut_short_by_a_kill_is_done_again(tmp_path: Path, cut: int) -> None:
    log = FitLog(tmp_path, HEADER)
    log.add(ONE, FIT)
    log.add(TWO, FIT)
    path = tmp_path / CURVE_LOG
    path.write_bytes(path.read_bytes()[:-cut])
    log = FitLog(tmp_path, HEADER)
    assert log.get(ONE) is not None
    assert (log.get(TWO) is None) == (cut > 1)
    log.add(TWO, FIT)
    assert FitLog(tmp_path, HEADER).get(TWO) is not None


@pytest.mark.parametrize("line", ['{"method": "m"}', '{"rung": 3, "method": "m", "rows": null}'])
def test_damaged_training_is_ignored(tmp_path: Path, line: str) -> None:
    (tmp_path / CURVE_LOG).write_text(f"{WRITTEN}{line}\n")
    log = FitLog(tmp_path, HEADER)
    assert log.get(ONE) is not None
    assert log.get(TWO) is None


@pytest.mark.parametrize("header", [HEADER | {"metric": "macro_f1"}, HEADER | {"costs": "b" * 64}])
def test_other_settings_are_refused_by_name(tmp_path: Path, header: dict[str, str]) -> None:
    FitLog(tmp_path, HEADER)
    with pytest.raises(RunError, match=r"has other settings: (metric was|costs changed)"):
        FitLog(tmp_path, header)


def test_log_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / CURVE_LOG).write_text(WRITTEN.replace("1,", "2,", 1))
    with pytest.raises(RunError, match="format_version was 2 and is 1"):
        FitLog(tmp_path, HEADER)


def test_fingerprint_depends_on_the_hyperparameters() -> None:
    marks = {fingerprint(of) for of in (Tfidf(), Tfidf(longest_ngram=1), Finetune())}
    assert len(marks) == 3
    assert fingerprint(Tfidf()) == fingerprint(Tfidf())


def test_a_log_of_the_first_version_can_be_resumed_with_finetune() -> None:
    as_before = Finetune(discriminative=1.0, truncation="head", batch_size=32)
    assert fingerprint(as_before) == "2667efc9bc9d5a8a"  # as 747c6c8 computed it
    assert fingerprint(Finetune(discriminative=1.0)) != fingerprint(as_before)
