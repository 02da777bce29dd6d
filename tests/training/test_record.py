"""What training logs and shows."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from toys import Line, trained

from finetext.core.contracts import FitContext, ProgressEvent
from finetext.core.errors import MissingExtraError, RecipeError, UnknownNameError
from finetext.runs.recipe import Recipe
from finetext.training import record as module
from finetext.training.record import TRACKERS, Record, check_installed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set in its only item."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def lines(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_line_is_logged_every_five_seconds_and_at_each_evaluation(
    tmp_path: Path, clock: list[float]
) -> None:
    log = tmp_path / "log.jsonl"
    record = Record("toy", [4_000, 4_000], 32_000, FitContext(log=log))
    for _ in range(4):
        clock[0] += 2
        record.count(8, 0.5, [1e-3, 2e-3], 2.0)
    record.evaluated({"validation accuracy": 0.75})
    timed, evaluated = lines(log)
    assert timed == {
        "step": 3, "loss": 0.5, "learning_rate": [1e-3, 2e-3], "gradient_norm": 2.0,
        "rows_per_second": 4.0,
    }  # fmt: skip
    assert evaluated == {"step": 4, "loss": 0.5, "evaluation": {"validation accuracy": 0.75}}


def test_a_short_training_is_logged_in_two_hundred_lines(
    tmp_path: Path, clock: list[float]
) -> None:
    log = tmp_path / "log.jsonl"
    record = Record("toy", [300, 300], 600, FitContext(log=log))
    for _ in range(600):
        clock[0] += 1e-3
        record.count(1, 0.5, [1e-3], 2.0)
    assert [line["step"] for line in lines(log)] == list(range(3, 601, 3))


def test_the_speed_is_that_since_the_last_line_without_evaluations(
    tmp_path: Path, clock: list[float]
) -> None:
    log = tmp_path / "log.jsonl"
    record = Record("toy", [2_000], 10_000, FitContext(log=log))

    def train(steps: int, seconds: float) -> None:
        for _ in range(steps):
            clock[0] += seconds
            record.count(8, 0.5, [1e-3], 2.0)

    train(10, 1)
    clock[0] += 50
    record.evaluated({})
    train(10, 2)
    state = record.state()
    clock[0] += 50
    record.load_state(state)
    train(5, 4)
    train(3, 1)
    clock[0] += 50
    record.go_back(10, 80)
    train(10, 0.5)
    timed = [line for line in lines(log) if "evaluation" not in line]
    assert [(line["step"], line["rows_per_second"]) for line in timed] == [
        (5, 8), (10, 8),
        (11, 4), (14, 4), (17, 4), (20, 4),
        (22, 2), (24, 2), (26, 3.2),
        (11, 16), (20, 16),
    ]  # fmt: skip


def test_nan_is_null_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    record = Record("toy", [3], 3, FitContext(log=log))
    record.count(1, math.nan, [0.1], math.inf)
    record.evaluated({"validation loss": math.nan, "validation f1": 0.5})
    parsed = [json.loads(line, parse_constant=pytest.fail) for line in log.read_text().splitlines()]
    assert [parsed[0][name] for name in ("loss", "gradient_norm")] == [None, None]
    assert parsed[1]["evaluation"] == {"validation loss": None, "validation f1": 0.5}


def test_trackers_get_what_is_logged(clock: list[float]) -> None:
    tracked: list[tuple[dict[str, float], int]] = []
    record = Record(
        "toy", [1, 1], 5, FitContext(), lambda values, step: tracked.append((dict(values), step))
    )
    clock[0] += 2
    record.count(5, 0.5, [1e-3, 2e-3], 2.0)
    record.evaluated({"validation accuracy": 0.75})
    assert tracked == [
        ({
            "loss": 0.5, "learning_rate/0": 1e-3, "learning_rate/1": 2e-3, "gradient_norm": 2.0,
            "rows_per_second": 2.5,
        }, 1),
        ({"validation accuracy": 0.75}, 1),
    ]  # fmt: skip


def test_progress_is_called_in_every_step() -> None:
    heard: list[ProgressEvent] = []
    record = Record("toy", [1, 2], 20, FitContext(progress=heard.append))
    record.count(10, 1.0, [0.1], 1.0)
    record.evaluated({"validation accuracy": 0.5})
    record.count(6, 0.0, [0.1], 1.0)
    assert [(event.stage, event.done, event.total) for event in heard] == [
        ("toy: epoch 1 of 2", 10, 20), ("toy: epoch 2 of 2", 16, 20),
    ]  # fmt: skip
    assert heard[0].values == {"loss": 1.0}
    assert heard[1].values["validation accuracy"] == 0.5
    assert 0 < heard[1].values["loss"] < 1


@pytest.mark.parametrize(
    ("every", "expected"), [(None, [3, 5]), (2, [2, 4, 5]), (1, [1, 2, 3, 4, 5]), (9, [5])]
)
def test_evaluation_is_due_after_each_epoch_or_n_steps_and_at_the_end(
    every: int | None, expected: list[int]
) -> None:
    record = Record("toy", [3, 2], 5, FitContext())
    due = []
    for _ in range(5):
        record.count(1, 1.0, [0.1], 1.0)
        if record.is_due(every):
            due.append(record.step)
            record.evaluated({})
            assert not record.is_due(every)
    assert due == expected


@pytest.mark.parametrize(
    ("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, math.inf)]
)
def test_nan_is_not_sound_until_it_goes_back(loss: float, norm: float) -> None:
    record = Record("toy", [5], 5, FitContext())
    record.count(1, 1.0, [0.1], 1.0)
    assert record.is_sound
    record.count(1, loss, [0.1], norm)
    assert not record.is_sound
    record.go_back(1, 1)
    record.count(1, 1.0, [0.1], 1.0)
    assert record.is_sound
    assert record.step == 2


def test_an_evaluation_is_said() -> None:
    said: list[str] = []
    record = Record("toy", [2, 2], 5, FitContext(say=said.append))
    for _ in range(3):
        record.count(1, 0.5, [1e-4], 1.0)
    record.evaluated({"validation accuracy": 0.75, "validation loss": 1234.5})
    assert said == [
        "toy: epoch 2 of 2, step 3 of 4: training loss 0.500, validation accuracy 0.750, "
        "validation loss 1,234.500"
    ]


def test_an_event_is_logged_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    log = tmp_path / "log.jsonl"
    record = Record("toy", [3], 5, FitContext(say=said.append, log=log))
    record.event("resumed at step 0 of 3")
    assert said == ["toy: resumed at step 0 of 3"]
    assert lines(log) == [{"step": 0, "event": "resumed at step 0 of 3"}]


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    record = Record("toy", [3], 5, FitContext(say=said.append, log=tmp_path / "no" / "log.jsonl"))
    record.count(1, 1.0, [0.1], 1.0)
    assert record.step == 1
    assert "cannot be written" in said[0]


def test_the_record_resumes(clock: list[float]) -> None:
    heard: list[ProgressEvent] = []
    first = Record("toy", [2, 2], 10, FitContext())
    clock[0] += 10
    first.count(5, 1.0, [0.1], 1.0)
    first.count(5, 2.0, [0.1], 1.0)
    first.evaluated({"validation accuracy": 0.5})
    state = json.loads(json.dumps(first.state()))
    clock[0] += 1_000
    second = Record("toy", [2, 2], 10, FitContext(progress=heard.append))
    second.load_state(state)
    clock[0] += 5
    assert not second.is_due(None)
    for record in (first, second):
        record.count(4, 0.5, [0.1], 1.0)
    assert (heard[0].stage, heard[0].done) == ("toy: epoch 2 of 2", 14)
    assert heard[0].values["validation accuracy"] == 0.5
    assert second.state() == first.state()


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_gets_the_scalars(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
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
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    trained(Line(), trackers=("tensorboard",))
    assert list(tmp_path.iterdir()) == []


def test_the_trackers_are_those_of_accelerate() -> None:
    from accelerate.utils import LoggerType

    assert set(TRACKERS) == {kind.value for kind in LoggerType} - {"all"}


def test_an_unknown_tracker_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tensorboard'"):
        Recipe(track=("tensorbord",))
    with pytest.raises(UnknownNameError, match="no tracker named 'x'; there are: aim, "):
        Recipe.from_values({"track": ["x"]})


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetext.training.record.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "finetext\[tensorboard\]"'):
        check_installed(["tensorboard"])
    with pytest.raises(RecipeError, match="run: pip install comet-ml"):
        check_installed(["comet_ml"])
    check_installed([])
