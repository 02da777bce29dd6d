"""The process of a training run: what it writes while it works, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetext.core.contracts import ProgressEvent
from finetext.core.errors import DataError
from finetext.core.types import Finding
from finetext.studio import job_process
from finetext.studio.job_process import LOG, PROGRESS, Reporter, TrainRequest, _told


def test_progress_is_written_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 10.0, 10.1, 10.2, 10.9, 10.9])
    monkeypatch.setattr(job_process.time, "monotonic", lambda: next(clock))
    reporter = Reporter(tmp_path)
    for done in range(4):
        reporter.progress(ProgressEvent("fitting", done, 4))
    lines = [json.loads(line) for line in (tmp_path / PROGRESS).read_text().splitlines()]
    assert [of["share"] for of in lines] == [0.0, 0.75]
    monkeypatch.undo()
    Reporter(tmp_path).progress(ProgressEvent("of unknown length", 1, 0))
    assert json.loads((tmp_path / PROGRESS).read_text().splitlines()[-1])["share"] is None


def test_what_is_said_and_found_is_in_the_log(tmp_path: Path) -> None:
    listener = Reporter(tmp_path).listener()
    listener.say("one")
    listener.finding(Finding("warning", "code", "two"))
    assert (tmp_path / LOG).read_text().splitlines() == ["one", "warning: two"]


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (KeyboardInterrupt(), "cancelled", ""),
        (DataError("it is odd"), "failed", "it is odd"),
        (MemoryError(), "failed", "too little memory"),
        (ValueError("x"), "failed", "this is a bug"),
    ],
)
def test_an_end_is_told_in_words(
    tmp_path: Path, error: BaseException, state: str, message: str
) -> None:
    def work() -> dict[str, Any]:
        raise error

    found = _told(work, Reporter(tmp_path))
    assert found["state"] == state
    assert message in found["message"]


def test_arguments_are_those_that_differ_from_defaults() -> None:
    assert TrainRequest("data", "out").arguments() == {}
    asked = TrainRequest("data", "out", ("tfidf",), 2.0, 1)
    assert asked.arguments() == {"methods": ["tfidf"], "minutes": 2.0, "seed": 1}
    assert TrainRequest.from_json(asked.to_json()) == asked
