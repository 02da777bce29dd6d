"""What is resumed, in what it differs, and how far it had come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetext.core.contracts import Checkpoints, FitContext, ProgressEvent
from finetext.core.errors import DataError, RecipeError, RunError
from finetext.core.types import Finding
from finetext.storage.resume import (
    Attempts,
    ResumeLog,
    check_same,
    differences,
    forget,
    read_header,
    read_log,
)

ODD = Finding("warning", "odd", "it was odd", ("1", "2"))
RESULTS = ("entry.json", "scores.json", "predictions.parquet", "predictions.part", "model")
HEADER = {"data": "abc", "labels": ["a\u2028b", "c"], "metric": "accuracy"}


def test_differences_are_phrases() -> None:
    was = {"seed": 1, "same": 2, "rate": None, "model": "a" * 64, "file": {"size": 1}, "old": 3}
    now = {"seed": 2, "same": 2, "rate": 0.5, "model": "b" * 64, "file": {"size": 2}}
    assert differences(was, now) == [
        "file changed",
        "model changed",
        "old was 3 and is not set",
        "rate was not set and is 0.5",
        "seed was 1 and is 2",
    ]


def test_other_settings_are_refused_with_advice() -> None:
    check_same("the run in x", {"seed": 1}, {"seed": 1, "none": None})
    with pytest.raises(RecipeError, match=r"^the run in x has other settings: seed was 1 and is 2"):
        check_same("the run in x", {"seed": 1}, {"seed": 2})
    with pytest.raises(DataError, match="Give the same settings to resume it, or choose another"):
        check_same("x", {"seed": 1}, {}, DataError)


def log_at(folder: Path, header: dict[str, Any] = HEADER) -> ResumeLog:
    return ResumeLog(folder / "log.jsonl", header, "the curve")


def test_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    log_at(tmp_path).add({"step": 1, "score": float("nan")})
    assert log_at(tmp_path).steps == [{"step": 1, "score": None}]
    assert read_header(tmp_path / "log.jsonl") == HEADER
    assert read_log(tmp_path / "log.jsonl") == [HEADER, {"step": 1, "score": None}]
    assert read_log(tmp_path / "nothing") == []


def test_log_survives_a_kill_at_every_byte(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    log.add({"step": 1})
    begun = log.path.stat().st_size
    log.add({"step": 2})
    written = log.path.read_bytes()
    for size in range(begun, len(written) + 1):
        log.path.write_bytes(written[:size])
        again = log_at(tmp_path)
        # A line is whole without its end, but never half of it.
        assert [step["step"] for step in again.steps] == ([1, 2] if size > begun + 10 else [1])
        again.add({"step": 3})
        assert log_at(tmp_path).steps[-1] == {"step": 3}
        assert log.path.read_bytes().count(b"\n") == len(again.steps) + 1


def test_log_with_another_header_is_refused(tmp_path: Path) -> None:
    log_at(tmp_path)
    with pytest.raises(RunError, match=r"the curve has other settings: metric was accuracy and is"):
        log_at(tmp_path, HEADER | {"metric": "macro_f1"})
    log_at(tmp_path, {"metric": "accuracy"})


def test_file_without_header_is_no_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_header(path) is None
    for content in (b"[1]\n", b"{", b"\xff\n"):
        path.write_bytes(content)
        assert read_header(path) is None


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "method").mkdir()
    return tmp_path / "method"


def names(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()}


def test_seconds_and_findings_continue_from_a_checkpoint(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    heard: list[Finding] = []
    for attempt in (1, 2, 3):
        attempts = Attempts(place, FitContext(find=heard.append))
        context = attempts.context()
        now[0] += 10
        context.find(ODD)
        context.progress(ProgressEvent("x", 1, 2))
        assert attempts.findings == (ODD,)
        if attempt == 2:
            assert attempts.seconds == 20
        (place / "checkpoint").mkdir(exist_ok=True)
    assert attempts.seconds == 30
    assert heard == [ODD]
    forget(place)
    assert names(place) == set()
    assert Attempts(place, FitContext()).seconds == 0


def test_attempt_without_checkpoint_starts_over(place: Path) -> None:
    first = Attempts(place, FitContext())
    first.context().find(ODD)
    assert names(place) == {"attempts.json"}
    assert Attempts(place, FitContext()).findings == ()
    assert names(place) == set()


@pytest.mark.parametrize("record", ["{", "[]", "{}", '{"seconds": 1, "findings": [1]}'])
def test_damaged_record_of_attempts_is_ignored(place: Path, record: str) -> None:
    (place / "checkpoint").mkdir()
    (place / "attempts.json").write_text(record)
    assert Attempts(place, FitContext()).findings == ()


def test_context_has_log_and_checkpoints_of_the_place(place: Path) -> None:
    given = FitContext(seed=7, checkpoints=Checkpoints(place.parent, "hash", 3.0, 4))
    context = Attempts(place, given).context()
    assert context.seed == 7
    assert context.log == place / "log.jsonl"
    assert context.checkpoints == Checkpoints(place / "checkpoint", "hash", 3.0, 4)
    assert Attempts(place, FitContext()).context().checkpoints is None


def test_results_are_removed_and_other_files_kept(place: Path) -> None:
    kept = {"log.jsonl", "checkpoint", "events.out.tfevents", ".mine"}
    for name in kept | {*RESULTS[:-1], ".entry.json.x1"}:
        (place / name).write_text("")
    for name in ("model", ".model.abc"):
        (place / name).mkdir()
        (place / name / "weights").write_text("")
    Attempts(place, FitContext(), RESULTS)
    assert names(place) == kept


def test_full_disk_does_not_stop_an_attempt(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", full)
    Attempts(place, FitContext()).keep()
    assert names(place) == set()


def test_record_of_attempts_has_the_format_of_earlier_versions(place: Path) -> None:
    attempts = Attempts(place, FitContext())
    attempts.context().find(ODD)
    written = json.loads((place / "attempts.json").read_text())
    assert list(written) == ["seconds", "findings"]
    assert written["findings"][0]["code"] == "odd"
