"""The ledger of trainings: nothing is lost, half a line does no harm, other data are refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from finetext import Finetune, Tfidf
from finetext.core.errors import RunError
from finetext.diagnosis.forecast import Fit, Training
from finetext.runs.learning_curve import FILE, Ledger, fingerprint, read_header

HEADER = {"data": "abc", "metric": "accuracy"}
ONE, TWO = Training("m", 100, 0), Training("m", 100, 1)
FIT = Fit("tfidf", 101, 1 / 3, (0.25, float("nan"), 0.5), 1.25)


def test_what_is_added_is_there_again(tmp_path: Path) -> None:
    Ledger(tmp_path, HEADER).add(ONE, FIT)
    again = Ledger(tmp_path, HEADER)
    read = again.get(ONE)
    assert read is not None
    assert (read.rung, read.rows, read.score, read.seconds) == ("tfidf", 101, 1 / 3, 1.25)
    assert read.replicates[0] == 0.25
    assert math.isnan(read.replicates[1])
    assert again.get(TWO) is None
    assert read_header(tmp_path) == {"format_version": 1, **HEADER}


def test_half_a_line_is_left_out_and_the_next_is_whole(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, HEADER)
    ledger.add(ONE, FIT)
    ledger.add(TWO, FIT)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:-20])
    ledger = Ledger(tmp_path, HEADER)
    assert ledger.get(ONE) is not None
    assert ledger.get(TWO) is None
    ledger.add(TWO, FIT)
    assert Ledger(tmp_path, HEADER).get(TWO) is not None
    assert len(path.read_text().splitlines()) == 3


def test_a_last_line_without_its_end_is_kept_apart_from_the_next(tmp_path: Path) -> None:
    Ledger(tmp_path, HEADER).add(ONE, FIT)
    path = tmp_path / FILE
    path.write_text(path.read_text().rstrip("\n"))
    Ledger(tmp_path, HEADER).add(TWO, FIT)
    again = Ledger(tmp_path, HEADER)
    assert again.get(ONE) is not None
    assert again.get(TWO) is not None


def test_other_data_are_refused_by_name(tmp_path: Path) -> None:
    Ledger(tmp_path, HEADER)
    with pytest.raises(RunError, match=r"begun with other settings: metric\. Give it the same"):
        Ledger(tmp_path, HEADER | {"metric": "macro_f1"})


def test_what_is_no_ledger_has_no_header(tmp_path: Path) -> None:
    assert read_header(tmp_path) is None
    (tmp_path / FILE).write_text("[1]\n")
    assert read_header(tmp_path) is None


def test_other_hyperparameters_are_another_method() -> None:
    marks = {fingerprint(of) for of in (Tfidf(), Tfidf(longest_ngram=1), Finetune())}
    assert len(marks) == 3
    assert fingerprint(Tfidf()) == fingerprint(Tfidf())
