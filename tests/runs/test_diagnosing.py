from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import finetext
from finetext.errors import RunError
from finetext.runs.diagnosing import FOLDER, kept
from finetext.runs.openings import opened
from finetext.runs.reporting import report

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 200 rows, five of which have the wrong label."""
    folder = tmp_path_factory.mktemp("noisy")
    words = {"good": ["fine", "moving", "bright"], "bad": ["dull", "empty", "slow"]}
    rows = [
        (
            f"a {words[label][n % 3]} film, the {words[label][n // 3 % 3]} one, {n}",
            label,
        )
        for n, label in enumerate(["good", "bad"] * 100)
    ]
    for n in (10, 51, 92, 133, 174):
        rows[n] = (rows[n][0], "bad" if rows[n][1] == "good" else "good")
    finetext.train(
        ([text for text, _ in rows], [label for _, label in rows]),
        ["tfidf"],
        out=folder / "run",
        listener=finetext.Listener(),
    )
    return folder / "run"


def test_a_run_is_looked_through_when_it_is_finished(noisy: Path) -> None:
    found = kept(noisy)
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


def test_the_report_is_written_anew_from_the_folder_alone(
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
    opened(run, "finetext compare")
    assert "finetext compare" in report(run).read_text()


def test_what_is_damaged_is_named(noisy: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(noisy, run)
    for name in ("errors", "slices", "suspects", "words"):
        path = run / FOLDER / f"{name}.json"
        whole = path.read_text()
        for broken in ("", "{}", "[1]", '{"x": '):
            path.write_text(broken)
            with pytest.raises(RunError, match=rf"{name}\.json is damaged: .*; remove it"):
                kept(run)
        path.write_text(whole)
    (run / "data.json").write_text("{}")
    with pytest.raises(RunError, match="damaged"):
        report(run)
    with pytest.raises(RunError, match="not the folder"):
        report(tmp_path)


def test_too_few_rows_to_look_at_spoil_nothing(finished: Path) -> None:
    found = kept(finished)
    assert found.slices is None or not found.slices.slices
    assert found.errors is not None
    assert (finished / "report.html").is_file()
