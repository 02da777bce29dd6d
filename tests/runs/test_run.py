"""`Run` and `open_predicted`: reading a finished run, and recording accesses to its test set."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext import Majority, Recipe, SplitSettings, Tfidf
from finetext.core.errors import DataError, FinetextError, RunError, UnknownNameError
from finetext.evaluation.compare import compare
from finetext.evaluation.intervals import evaluate
from finetext.runs.accesses import ACCESSES, accesses, record_access
from finetext.runs.predicted import open_predicted
from finetext.runs.reporting import report
from finetext.runs.run import Run


@pytest.fixture(scope="module")
def run(finished_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that records accesses to its test set."""
    return Run.open(shutil.copytree(finished_once, tmp_path_factory.mktemp("runs") / "finished"))


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "runs" / "finished")


def test_leaderboard_and_verdict(run: Run, copy: Path) -> None:
    assert [entry.method for entry in run.leaderboard] == ["majority", "tfidf"]
    assert run.best == "tfidf"
    assert run.recommended == "tfidf"
    assert run.metric == "macro_f1"
    assert run.report.is_file()
    assert run.verdict() == json.loads((copy / "verdict.json").read_text())
    expected = compare(run.predictions("majority"), run.predictions("tfidf"), "macro_f1")
    assert run.comparisons == {"majority": expected}


def test_load_takes_a_run_folder(run: Run, finished: Path) -> None:
    text = "a fine and moving film"
    answer = run(text)
    assert list(answer) == ["good", "bad"]
    assert answer == run.classifier("tfidf")(text) == finetext.load(finished)(text)


@pytest.mark.parametrize("method", ["majority", "tfidf"])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_predictions_agree_with_model_and_leaderboard(run: Run, method: str, split: Any) -> None:
    predictions, texts = run.predictions(method, split), run.texts(method, split)
    assert len(predictions) == len(texts) == 9
    assert run.rows(method, split).texts == texts
    np.testing.assert_allclose(
        run.classifier(method).predict_proba(texts), predictions.probabilities, rtol=1e-12
    )
    assert evaluate(predictions) == run.entry(method).metrics[split]


def test_training_rows_are_read_from_the_data(run: Run) -> None:
    rows = run.rows(split="train")
    assert len(rows) == 42
    assert rows.scheme == run.predictions().scheme
    assert not set(rows.ids) & {*run.predictions().ids, *run.rows().ids}
    with pytest.raises(UnknownNameError, match="did you mean 'tfidf'"):
        run.rows("tfdif", "train")
    for use in (run.predictions, run.texts):
        with pytest.raises(DataError, match="has no predictions of train rows; a run keeps those"):
            use(split="train")


def test_unknown_method_suggests_the_nearest(run: Run) -> None:
    for use in (run.classifier, run.predictions, run.training_log):
        with pytest.raises(UnknownNameError, match="did you mean 'tfidf'"):
            use("tfdif")


@pytest.mark.parametrize("name", ["leaderboard.json", "verdict.json"])
@pytest.mark.parametrize("content", ["", "[{}]", "{}", "3", '{"best": 1'])
def test_damaged_run(copy: Path, name: str, content: str) -> None:
    (copy / name).write_text(content)
    with pytest.raises(RunError, match="is damaged"):
        Run.open(copy)


def test_damaged_comparison_is_named(copy: Path) -> None:
    verdict = json.loads((copy / "verdict.json").read_text())
    (copy / "verdict.json").write_text(json.dumps(verdict | {"comparisons": {"majority": {}}}))
    with pytest.raises(RunError, match=r"comparisons\.majority\.metric: Field required"):
        Run.open(copy)


def test_unfinished_run_says_how_to_resume(copy: Path) -> None:
    (copy / "leaderboard.json").unlink()
    said = rf"unfinished: it has no leaderboard\.json yet; .* --resume --out {copy}"
    for use, place in ((Run.open, copy), (finetext.load, copy), (open_predicted, copy / "tfidf")):
        with pytest.raises(RunError, match=said):
            use(place)  # type: ignore[operator]
    (copy / "recipe.toml").unlink()
    with pytest.raises(RunError, match="not the folder of a finished run"):
        Run.open(copy)


@pytest.mark.parametrize("content", [None, b"", b"PAR1 and no more"])
def test_damaged_predictions(copy: Path, content: bytes | None) -> None:
    path = copy / "tfidf" / "predictions.parquet"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(FinetextError, match="missing" if content is None else "cannot be read"):
        Run.open(copy).predictions()
    with pytest.raises(FinetextError, match="predictions"):
        Run.open(copy).texts()


def test_training_log_skips_broken_lines(copy: Path) -> None:
    assert Run.open(copy).training_log() == []
    lines = '{"step": 1, "loss": 0.5}\n{"step": 2, "lo{"step": 3}\n[1]\n{"step": 4}\n{"ste'
    (copy / "tfidf" / "log.jsonl").write_text(lines)
    assert Run.open(copy).training_log("tfidf") == [{"step": 1, "loss": 0.5}, {"step": 4}]


def test_verdicts_of_earlier_versions(copy: Path) -> None:
    verdict = json.loads((copy / "verdict.json").read_text())
    del verdict["unfinished"], verdict["findings"]
    (copy / "verdict.json").write_text(json.dumps(verdict))
    run = Run.open(copy)
    assert (run.unfinished, run.findings) == ((), ())


def test_notebook_table_escapes_names(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "<b>run")
    shown = Run.open(tmp_path / "<b>run")._repr_html_()
    assert shown.count("<tr>") == 3
    assert "<b>" not in shown
    assert "&lt;b&gt;run" in shown
    assert "tfidf" in shown


def test_the_leaderboard_is_a_tuple_that_shows_a_table(run: Run) -> None:
    assert isinstance(run.leaderboard, tuple)
    assert run.leaderboard == tuple(run.leaderboard)
    lines = repr(run.leaderboard).splitlines()
    assert [line.split()[0] for line in lines] == ["method", "majority", "tfidf"]
    assert str(run.entry("tfidf").metrics["test"]["accuracy"]) in lines[2]
    assert "<td>tfidf</td>" in run.leaderboard._repr_html_()


def test_a_data_frame_has_one_row_for_each_method(run: Run) -> None:
    frame = run.to_pandas().set_index("method")
    assert list(frame.index) == ["majority", "tfidf"]
    assert list(frame["best"]) == [False, True]
    assert list(frame["recommended"]) == [False, run.summary().is_recommended]
    score = run.entry("tfidf").metrics["test"]["accuracy"]
    columns = ["accuracy", "accuracy_low", "accuracy_high"]
    assert list(frame.loc["tfidf", columns]) == [score.value, score.low, score.high]
    validation = run.entry("tfidf").metrics["validation"]["macro_f1"].value
    assert frame.loc["tfidf", "validation_macro_f1"] == validation


def test_a_classifier_and_predictions_are_short(run: Run) -> None:
    assert repr(run.classifier()) == "<tfidf classifier, 2 labels: bad, good>"
    assert repr(run.predictions()) == "<9 predictions, 2 labels: bad, good>"
    shown = run.classifier()._repr_html_()
    assert "<td>the likeliest label</td>" in shown
    assert "<td>words and word pairs</td>" in shown


def test_accesses_are_recorded(tmp_path: Path) -> None:
    assert accesses(tmp_path) == []
    assert record_access(tmp_path, "finetext errors") == 2
    assert record_access(tmp_path, "finetext compare") == 3
    assert [line["by"] for line in accesses(tmp_path)] == ["finetext errors", "finetext compare"]
    assert datetime.fromisoformat(accesses(tmp_path)[0]["when"]).tzinfo is not None
    with (tmp_path / ACCESSES).open("a", encoding="utf-8") as file:
        file.write('{"when": "2026-\n')
    assert record_access(tmp_path, "finetext errors") == 4
    missing = tmp_path / "not-there"
    assert record_access(missing, "finetext errors") == 2
    assert not missing.exists()


def test_a_program_is_recorded_once(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.open(copy)
    run.predictions(split="validation")
    run.texts()
    open_predicted(copy, part="validation")
    report(copy)
    assert accesses(copy) == []
    run.predictions("majority")
    Run.open(copy).predictions("tfidf")
    open_predicted(copy)
    assert [line["by"] for line in accesses(copy)] == ["Python"]
    monkeypatch.setattr("finetext.runs.accesses._THIS_PROGRAM", "another")
    open_predicted(copy / "majority")
    assert len(accesses(copy)) == 2
    assert "3 times: for this leaderboard, then by Python" in report(copy).read_text()


def test_open_predicted_of_a_run_takes_the_best_method(copy: Path) -> None:
    run = Run.open(copy)
    found = open_predicted(copy)
    assert (found.name, found.method, found.run) == (f"finished/{run.best}", run.best, copy)
    assert found.metric == run.metric
    assert found.predictions.ids == run.predictions().ids
    assert found.texts == tuple(run.texts())


def test_open_predicted_of_a_method(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = open_predicted(str(copy), "majority", "validation")
    wanted = Run.open(copy).predictions("majority", "validation")
    for source in (copy / "majority", copy / "majority" / "predictions.parquet"):
        found = open_predicted(source, part="validation")
        assert (found.name, found.run) == ("finished/majority", copy)
        for each in (named, found):
            assert each.predictions.ids == wanted.ids
            assert np.array_equal(each.predictions.probabilities, wanted.probabilities)
    monkeypatch.chdir(copy / "tfidf")
    assert open_predicted(".").name == "finished/tfidf"
    assert open_predicted("predictions.parquet").method == "tfidf"
    assert open_predicted("..", "majority").name == "finished/majority"


def test_open_predicted_says_what_is_missing(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run folder or file of predictions 'nothing'"):
        open_predicted("nothing")
    with pytest.raises(RunError, match="not the folder of a finished run"):
        open_predicted(tmp_path)
    with pytest.raises(UnknownNameError, match="'tfidff'; did you mean 'tfidf'"):
        open_predicted(copy, "tfidff")
    with pytest.raises(DataError, match="no predictions of train rows"):
        open_predicted(copy, part="train")
    with pytest.raises(DataError, match="is the method 'tfidf': leave out the method 'majority'"):
        open_predicted(copy / "tfidf", "majority")


def test_open_predicted_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("id,label,a,b\n1,a,0.9,0.1\n2,b,0.4,0.6\n")
    found = open_predicted(path)
    assert (found.name, found.texts, found.run, found.method) == ("mine.csv", None, None, None)
    assert (found.part, found.metric) == (None, "macro_f1")
    with pytest.raises(DataError, match="is a table, not a run"):
        open_predicted(path, "tfidf")
    path.write_text("id,label,split,a,b\n1,a,test,0.9,0.1\n2,b,dev,0.4,0.6\n")
    for part in ("validation", "test"):
        found = open_predicted(path, part=part)  # type: ignore[arg-type]
        assert (found.part, len(found.predictions)) == (part, 1)


def test_one_picture_of_all_methods(copy: Path, tmp_path: Path) -> None:
    run = Run.open(copy)
    figure = run.plot_precision_recall(out=tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5_000
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["tfidf"]  # majority ranks no row
    assert "positive class: good (the second label" in legend.get_title().get_text()
    assert accesses(copy) == []
    title = run.plot_precision_recall("tfidf", positive="bad").legends[0].get_title().get_text()
    assert "positive class: bad, " in title
    with pytest.raises(DataError, match="majority: each row has the same probability"):
        run.plot_precision_recall(["majority"])
    with pytest.raises(DataError, match="'best' is none of the labels, which are 'bad', 'good'"):
        run.plot_precision_recall(positive="best")
    with pytest.raises(DataError, match=r"must end in \.png or \.svg"):
        run.plot_precision_recall(out="curves.pdf")
    run.plot_precision_recall(split="test")
    assert len(accesses(copy)) == 1


def test_an_older_run_keeps_the_second_label_as_its_positive_class(tmp_path: Path) -> None:
    data, split = tmp_path / "words.csv", SplitSettings(cross_validate=False)
    rows = [f"text number {row},{'ja' if row % 2 else 'nein'}" for row in range(40)]
    data.write_text("\n".join(["text,label", *rows]) + "\n")
    methods = {"tfidf": Tfidf(inverse_regularisation=1.0), "majority": Majority()}
    run = finetext.train(data, methods, out=tmp_path / "run", split=split)
    assert run.scheme.positive_class == "ja"
    assert run.predictions("tfidf").scheme.positive_class == "ja"
    described = json.loads((run.folder / "data.json").read_text())
    del described["affirmative"]
    (run.folder / "data.json").write_text(json.dumps(described))
    for name in ("leaderboard.json", "verdict.json", "majority/entry.json"):
        (run.folder / name).unlink()
    older = finetext.train(data, methods, out=run.folder, split=split, resume=True)
    assert older.predictions("majority").scheme.positive_class == "nein"
    written = described["content_hash"]  # into the recipe of an older run
    recipe = Recipe(methods=methods, source=str(data), content_hash=written)
    again = finetext.train(recipe, out=tmp_path / "again")
    assert again.scheme.positive_class == "nein"
