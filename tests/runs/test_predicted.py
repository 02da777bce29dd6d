"""Predictions from a run, from a rung of it, or from a table."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from finetext.core.errors import DataError, RunError, UnknownNameError
from finetext.runs.predictions import open_predicted
from finetext.runs.run import Run


@pytest.fixture
def finished(finished: Path, tmp_path: Path) -> Path:
    """A run of its own: that its test rows are read is written into it."""
    return shutil.copytree(finished, tmp_path / "runs" / "finished")


def test_a_run_stands_for_its_best_rung(finished: Path) -> None:
    run = Run.open(finished)
    found = open_predicted(finished)
    assert (found.name, found.method, found.run) == (f"finished/{run.best}", run.best, finished)
    assert found.metric == run.metric
    assert found.predictions.ids == run.predictions().ids
    assert found.texts == tuple(run.texts())


def test_a_rung_can_be_named_or_be_the_folder_or_its_file(finished: Path) -> None:
    named = open_predicted(str(finished), "majority", "validation")
    wanted = Run.open(finished).predictions("majority", "validation")
    for source in (finished / "majority", finished / "majority" / "predictions.parquet"):
        found = open_predicted(source, part="validation")
        assert (found.name, found.run) == ("finished/majority", finished)
        for each in (named, found):
            assert each.predictions.ids == wanted.ids
            assert np.array_equal(each.predictions.probabilities, wanted.probabilities)


def test_a_rung_can_be_opened_from_within(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished / "tfidf")
    assert open_predicted(".").name == "finished/tfidf"
    assert open_predicted("predictions.parquet").method == "tfidf"
    assert open_predicted("..", "majority").name == "finished/majority"


def test_what_is_not_there_is_said(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run folder or file of predictions 'nothing'"):
        open_predicted("nothing")
    with pytest.raises(RunError, match="not the folder of a finished run"):
        open_predicted(tmp_path)
    with pytest.raises(UnknownNameError, match="'tfidff'; did you mean 'tfidf'"):
        open_predicted(finished, "tfidff")
    with pytest.raises(DataError, match="no predictions of train rows"):
        open_predicted(finished, part="train")
    with pytest.raises(DataError, match="is the rung 'tfidf': leave out the method 'majority'"):
        open_predicted(finished / "tfidf", "majority")


def test_a_table_has_no_rungs(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("id,label,a,b\n1,a,0.9,0.1\n2,b,0.4,0.6\n")
    found = open_predicted(path)
    assert (found.name, found.texts, found.run, found.method) == ("mine.csv", None, None, None)
    assert found.part is None
    assert found.metric == "macro_f1"
    with pytest.raises(DataError, match="is a table, not a run with rungs"):
        open_predicted(path, "tfidf")


def test_a_table_with_a_column_split_says_which_rows(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("id,label,split,a,b\n1,a,test,0.9,0.1\n2,b,dev,0.4,0.6\n")
    for part in ("validation", "test"):
        found = open_predicted(path, part=part)  # type: ignore[arg-type]
        assert (found.part, len(found.predictions)) == (part, 1)


def test_a_rung_of_an_unfinished_run_says_how_to_go_on(finished: Path) -> None:
    (finished / "leaderboard.json").unlink()
    with pytest.raises(RunError, match=r"is unfinished: .* --resume"):
        open_predicted(finished / "tfidf")
