"""Reading a finished run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import finetext
from finetext.core.errors import FinetextError, RunError, UnknownNameError
from finetext.evaluation.compare import compare
from finetext.evaluation.intervals import evaluate
from finetext.runs.predictions import open_predicted
from finetext.runs.reporting import report
from finetext.runs.run import Run, openings


@pytest.fixture(scope="module")
def run(finished_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of its own: that its test rows are read is written into it."""
    return Run.open(shutil.copytree(finished_once, tmp_path_factory.mktemp("runs") / "finished"))


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "copy")


def test_it_knows_its_rungs(run: Run) -> None:
    assert [entry.method for entry in run.leaderboard] == ["majority", "tfidf"]
    assert run.best == "tfidf"
    assert run.cheapest in ("majority", "tfidf")
    assert run.metric == "macro_f1"
    assert run.report.is_file()


def test_the_comparisons_with_the_best_are_kept(run: Run, copy: Path) -> None:
    expected = compare(run.predictions("majority"), run.predictions("tfidf"), "macro_f1")
    assert run.comparisons == {"majority": expected}
    verdict = json.loads((copy / "verdict.json").read_text())
    (copy / "verdict.json").write_text(json.dumps(verdict | {"comparisons": {"majority": {}}}))
    with pytest.raises(RunError, match="a comparison cannot be read"):
        Run.open(copy)


def test_load_takes_the_folder_of_a_run(run: Run, finished: Path) -> None:
    text = "a fine and moving film"
    assert finetext.load(finished)(text) == run(text)


@pytest.mark.parametrize("method", ["majority", "tfidf"])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_predictions_are_those_of_the_model_and_the_leaderboard(
    run: Run, method: str, split: str
) -> None:
    predictions = run.predictions(method, split)  # type: ignore[arg-type]
    texts = run.texts(method, split)  # type: ignore[arg-type]
    assert len(predictions) == len(texts) == 9
    np.testing.assert_allclose(
        run.classifier(method).predict_proba(texts), predictions.probabilities, rtol=1e-12
    )
    entry = next(entry for entry in run.leaderboard if entry.method == method)
    assert evaluate(predictions) == entry.metrics[split]


def test_called_with_a_text_the_best_rung_answers(run: Run) -> None:
    answer = run("a fine and moving film")
    assert list(answer) == ["good", "bad"]
    assert answer == run.classifier("tfidf")("a fine and moving film")


def test_an_unknown_rung_is_offered_the_nearest(run: Run) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tfidf'"):
        run.classifier("tfdif")


def test_it_can_be_moved(copy: Path) -> None:
    assert Run.open(copy)("a dull and empty film")["bad"] > 0.5


@pytest.mark.parametrize("name", ["leaderboard.json", "verdict.json"])
@pytest.mark.parametrize("content", ["", "[{}]", "{}", "3", '{"best": 1'])
def test_a_damaged_run_is_one_message(copy: Path, name: str, content: str) -> None:
    (copy / name).write_text(content)
    with pytest.raises(RunError):
        Run.open(copy)


def test_an_unfinished_run_is_none(copy: Path) -> None:
    (copy / "leaderboard.json").unlink()
    told = rf"unfinished: it has no leaderboard\.json yet; .* --resume --out {copy}"
    for use in (Run.open, finetext.load):
        with pytest.raises(RunError, match=told):
            use(copy)
    (copy / "recipe.toml").unlink()
    with pytest.raises(RunError, match="not the folder of a finished run"):
        Run.open(copy)


def test_a_program_that_reads_test_rows_counts_once(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.open(copy)
    run.predictions(split="validation")
    run.texts()
    open_predicted(copy, part="validation")
    report(copy)
    with pytest.raises(UnknownNameError):
        run.predictions("tfdif")
    assert openings(copy) == []
    run.predictions("majority")
    Run.open(copy).predictions("tfidf")
    open_predicted(copy)
    assert [line["by"] for line in openings(copy)] == ["Python"]
    monkeypatch.setattr("finetext.runs.run._THIS_PROGRAM", "another")
    open_predicted(copy / "majority")
    assert len(openings(copy)) == 2
    assert "opened 3 times: for this leaderboard, then by Python" in report(copy).read_text()


@pytest.mark.parametrize("content", [None, b"", b"PAR1 and no more"])
def test_damaged_predictions_are_one_message(copy: Path, content: bytes | None) -> None:
    path = copy / "tfidf" / "predictions.parquet"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(FinetextError, match="is gone" if content is None else "cannot be read"):
        Run.open(copy).predictions()
    with pytest.raises(FinetextError, match="predictions"):
        Run.open(copy).texts()


def test_a_log_is_read_as_far_as_it_goes(copy: Path) -> None:
    assert Run.open(copy).training_log() == []
    lines = '{"step": 1, "loss": 0.5}\n{"step": 2, "lo{"step": 3}\n[1]\n{"step": 4}\n{"ste'
    (copy / "tfidf" / "log.jsonl").write_text(lines)
    assert Run.open(copy).training_log("tfidf") == [{"step": 1, "loss": 0.5}, {"step": 4}]
    with pytest.raises(UnknownNameError):
        Run.open(copy).training_log("probe")


def test_verdicts_of_earlier_versions_are_read(copy: Path) -> None:
    verdict = json.loads((copy / "verdict.json").read_text())
    del verdict["unfinished"], verdict["findings"]
    (copy / "verdict.json").write_text(json.dumps(verdict))
    run = Run.open(copy)
    assert (run.unfinished, run.findings) == ((), ())


def test_in_a_notebook_it_is_a_table_that_escapes_names(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "<b>run")
    shown = Run.open(tmp_path / "<b>run")._repr_html_()
    assert shown.count("<tr>") == 3
    assert "<b>" not in shown
    assert "&lt;b&gt;run" in shown
    assert "tfidf" in shown
