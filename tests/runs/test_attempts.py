"""What outlasts a kill while a rung is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetext.core.contracts import Checkpoints, FitContext, ProgressEvent
from finetext.core.types import Finding
from finetext.runs.fit_methods import Attempts, clear, forget

ODD = Finding("warning", "odd", "it was odd", ("1", "2"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "rung").mkdir()
    return tmp_path / "rung"


def names(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()}


def test_seconds_and_findings_go_on_where_there_is_a_checkpoint(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    heard: list[Finding] = []
    for attempt in (1, 2, 3):
        attempts = Attempts(place, FitContext(find=heard.append))
        context = attempts.context(place)
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


def test_without_a_checkpoint_it_starts_over(place: Path) -> None:
    first = Attempts(place, FitContext())
    first.context(place).find(ODD)
    assert names(place) == {"attempts.json"}
    assert Attempts(place, FitContext()).findings == ()
    assert names(place) == set()


def test_a_damaged_record_is_none(place: Path) -> None:
    (place / "checkpoint").mkdir()
    (place / "attempts.json").write_text("{")
    assert Attempts(place, FitContext()).findings == ()


def test_the_context_is_that_of_the_rung(place: Path) -> None:
    given = FitContext(seed=7, checkpoints=Checkpoints(place.parent, "hash", 3.0, 4))
    context = Attempts(place, given).context(place)
    assert context.seed == 7
    assert context.log == place / "log.jsonl"
    assert context.checkpoints == Checkpoints(place / "checkpoint", "hash", 3.0, 4)
    assert Attempts(place, FitContext()).context(place).checkpoints is None


def test_results_are_cleared_and_log_checkpoint_and_trackers_stay(place: Path) -> None:
    kept = {"log.jsonl", "checkpoint", "events.out.tfevents", ".mine"}
    results = {"entry.json", "scores.json", "predictions.parquet", ".entry.json.x1"}
    for name in kept | results | {"predictions.part"}:
        (place / name).write_text("")
    for name in ("model", ".model.abc"):
        (place / name).mkdir()
        (place / name / "weights").write_text("")
    clear(place)
    assert names(place) == kept


def test_a_full_disk_is_left_for_others_to_notice(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", full)
    Attempts(place, FitContext()).keep()
    assert names(place) == set()
