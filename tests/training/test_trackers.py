"""Scalars of a training go to TensorBoard on request."""

from __future__ import annotations

from pathlib import Path

import pytest
from toys import Line, trained

pytest.importorskip("tensorboard")


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_gets_the_scalars(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    task = Line()
    weight = trained(task, trackers=("tensorboard",), log=tmp_path / "log.jsonl")
    files = list(tmp_path.rglob("events.out.tfevents*"))
    assert len(files) == 1
    events = EventAccumulator(str(files[0].parent))
    events.Reload()
    assert {
        "loss", "learning_rate/0", "gradient_norm", "rows_per_second",
        "validation error",
    } == set(events.Tags()["scalars"])  # fmt: skip
    found = events.Scalars("validation error")
    assert [event.step for event in found] == [5, 10, 15, 20]
    assert [event.value for event in found] == pytest.approx([3 - of for of in task.weights])
    assert [event.step for event in events.Scalars("loss")] == list(range(1, 21))
    assert weight == trained(Line())


def test_without_a_log_nothing_is_tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trained(Line(), trackers=("tensorboard",))
    assert list(tmp_path.iterdir()) == []
