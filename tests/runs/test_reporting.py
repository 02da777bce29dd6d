from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import finetext
from finetext.core.errors import RunError
from finetext.core.types import Finding
from finetext.runs import reporting
from finetext.runs.accesses import record_access
from finetext.runs.reporting import FOLDER, read_diagnoses, report

pytestmark = pytest.mark.usefixtures("laid_out")
Command = Callable[..., Any]


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 200 rows, five of which have the wrong label."""
    folder = tmp_path_factory.mktemp("noisy")
    words = {"good": ["fine", "moving", "bright"], "bad": ["dull", "empty", "slow"]}
    rows = [
        (f"a {words[label][n % 3]} film, the {words[label][n // 3 % 3]} one, {n}", label)
        for n, label in enumerate(["good", "bad"] * 100)
    ]
    for n in (10, 51, 92, 133, 174):
        rows[n] = (rows[n][0], "bad" if rows[n][1] == "good" else "good")
    data = ([text for text, _ in rows], [label for _, label in rows])
    finetext.train(data, ["tfidf"], out=folder / "run", listener=finetext.Listener())
    return folder / "run"


@pytest.fixture
def copy(noisy: Path, tmp_path: Path) -> Path:
    return shutil.copytree(noisy, tmp_path / "a run")


def test_finished_run_is_diagnosed(noisy: Path) -> None:
    found = read_diagnoses(noisy)
    assert found.errors is not None
    assert found.errors.part == "validation"
    assert found.slices is not None
    assert found.words is not None
    assert {"fine", "moving", "bright"} >= {word for word, _, _ in found.words.words["good"][:3]}
    assert found.suspects is not None
    assert found.suspects.rows == 200
    assert {one.id for one in found.suspects.suspects} >= {"11", "52", "93", "134", "175"}
    assert found.map is None
    assert found.curve is None


def test_report_is_written_from_the_folder_alone(
    noisy: Path, tmp_path: Path, command: Command
) -> None:
    run = tmp_path / "moved"
    shutil.copytree(noisy, run)
    before = (run / "report.html").read_text()
    (run / "report.html").unlink()
    seen = command("report", run)
    assert seen.status == 0, seen.err
    assert f"report: {run / 'report.html'}" in seen.out
    again = (run / "report.html").read_text()
    assert again.replace("moved", "run") == before
    record_access(run, "finetext compare")
    assert "finetext compare" in report(run).read_text()


AGAIN = {
    "errors": "errors {}",
    "slices": "slices {}",
    "suspects": "label-errors {}",
    "words": "explain {} --classes",
    "map": "map {}",
    "curve": "learning-curve --recipe {}/recipe.toml",
}


@pytest.mark.parametrize("name", list(AGAIN))
@pytest.mark.parametrize("broken", ["", "{}", "[1]", '{"x": ', "\0"])
def test_damaged_diagnosis_is_reported(copy: Path, name: str, broken: str) -> None:
    run = copy
    (run / FOLDER / f"{name}.json").write_text(broken)
    found = read_diagnoses(run)
    assert getattr(found, name) is None
    others = {"errors", "slices", "suspects", "words"} - {name}
    assert all(getattr(found, other) is not None for other in others)
    (finding,) = found.damaged
    assert f"{name}.json is damaged (" in finding.message
    again = f"to make it again: finetext {AGAIN[name]}"
    assert again.format(f"'{run}'") in finding.message


def test_value_of_another_type_is_reported(copy: Path) -> None:
    path = copy / FOLDER / "slices.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"looked_at": "many"}))
    (finding,) = read_diagnoses(copy).damaged
    assert "slices.json is damaged (it cannot be read: looked_at: " in finding.message


def test_report_leaves_out_a_damaged_diagnosis(copy: Path, command: Command) -> None:
    run = copy
    (run / FOLDER / "words.json").write_text("{")
    seen = command("report", run)
    assert seen.status == 0
    assert f"warning: {run / FOLDER / 'words.json'} is damaged" in seen.err
    page = (run / "report.html").read_text()
    assert "words.json is damaged" in page
    assert 'id="words"' not in page
    assert 'id="failing"' in page
    said = json.loads(command("report", run, "--json").out)
    assert [finding["code"] for finding in said["findings"]] == ["damaged-diagnosis"]
    assert command("explain", run, "--classes").status == 0
    assert command("report", run).err == ""
    assert 'id="words"' in (run / "report.html").read_text()


def test_damaged_run_has_no_report(copy: Path, tmp_path: Path) -> None:
    (copy / "data.json").write_text("{}")
    with pytest.raises(RunError, match="damaged"):
        report(copy)
    with pytest.raises(RunError, match="not the folder"):
        report(tmp_path)


def test_run_with_few_rows_is_diagnosed(finished: Path) -> None:
    found = read_diagnoses(finished)
    assert found.slices is None or not found.slices.slices
    assert found.errors is not None
    assert (finished / "report.html").is_file()


def test_test_rows_unlike_validation_rows_are_warned_of(tmp_path: Path) -> None:
    """Labels that are turned around in half of the test rows are another source."""
    words = {"good": "a fine film", "bad": "a dull film"}
    labels = ["good", "bad"] * 100
    texts = [f"{words[label]} {n}" for n, label in enumerate(labels)]
    turned = labels[:150] + ["bad", "bad"] * 25
    split = ["train"] * 100 + ["validation"] * 50 + ["test"] * 50
    told = list[finetext.Finding]()
    data = {"text": texts, "label": turned, "split": split}
    run = finetext.train(
        data,
        [finetext.Tfidf(inverse_regularisation=1.0)],
        out=tmp_path / "run",
        listener=finetext.Listener(finding=told.append),
    )
    (gap,) = (finding for finding in told if finding.code == "validation-test-gap")
    assert gap in run.findings
    assert "tfidf has macro F1 1.000 on validation rows" in gap.message
    assert "more than chance and the choice of method explain" in run.report.read_text("utf-8")


def test_the_report_names_files_without_the_folders_of_the_machine(tmp_path: Path) -> None:
    place = tmp_path / "articles" / "sports" / "1.txt"
    place.parent.mkdir(parents=True)
    place.write_text("a")
    url = "https://example.org/articles/sports"
    told = [Finding("warning", "x", f"{place}: 1 line is odd; see {url} and either/or /not/there")]
    [found] = reporting._without_folders(told)
    assert found.message == f"sports/1.txt: 1 line is odd; see {url} and either/or /not/there"
