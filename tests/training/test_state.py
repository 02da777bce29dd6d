"""A stopped and resumed training ends as if it had not been stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, safe_open
from toys import Curve, Settings, at, fitted, interrupt, same

from finetext.core.contracts import Checkpoints, FitContext, ProgressEvent
from finetext.core.errors import ModelError
from finetext.core.types import Dataset, Finding
from finetext.methods.finetune import Finetune
from finetext.training import checkpoint
from finetext.training.checkpoint import BestWeights
from finetext.training.optimizer import Optimizer

PLAIN = Settings()
OFTEN = Settings(evaluate_every=2)
PATIENT = Settings(evaluate_every=2, patience=2)
BF16 = Settings(precision="bf16")
FP16 = Settings(precision="fp16", evaluate_every=3)


@dataclass
class Folder:
    """Where a training keeps its state and its log."""

    path: Path
    every_steps: int | None = None

    @property
    def context(self) -> dict[str, Any]:
        self.path.mkdir(exist_ok=True)
        checkpoints = Checkpoints(self.path / "checkpoint", "data", every_steps=self.every_steps)
        return {"checkpoints": checkpoints, "log": self.path / "log.jsonl"}

    @property
    def files(self) -> dict[str, bytes]:
        paths = (self.path / "checkpoint").glob("*.safetensors")
        return {path.name: path.read_bytes() for path in paths}

    @property
    def latest(self) -> Path:
        return self.path / "checkpoint" / "latest.safetensors"

    @property
    def best(self) -> Path:
        return next(self.latest.parent.glob("best-*"))

    def logged(self, kind: str) -> list[tuple[int, Any]]:
        lines = [json.loads(line) for line in (self.path / "log.jsonl").read_text().splitlines()]
        return [(line["step"], line[kind]) for line in lines if kind in line]

    def check_like(self, other: Folder) -> None:
        """The same evaluations, and no files but the latest state and the best weights."""
        assert self.logged("evaluation") == other.logged("evaluation")
        names = sorted(self.files) if self.latest.parent.exists() else []
        assert [name for name in names if not name.startswith("best-")] in (
            [], ["latest.safetensors"]
        )  # fmt: skip
        assert len(names) <= 2


@dataclass
class Whole:
    """A training that nothing stopped."""

    weights: dict[str, torch.Tensor]
    folder: Folder
    losses: int
    evaluations: int


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Whole]:
    found: dict[tuple[Settings, float], Whole] = {}

    def train(settings: Settings, dropout: float = 0.0) -> Whole:
        if (settings, dropout) not in found:
            folder, task = Folder(tmp_path_factory.mktemp("whole")), Curve()
            weights = fitted(task, settings, dropout, **folder.context)
            found[settings, dropout] = Whole(weights, folder, task.losses, task.evaluations)
        return found[settings, dropout]

    return train


@pytest.fixture
def folders(tmp_path: Path) -> Callable[[], Folder]:
    """A function that makes a new folder at each call."""
    return lambda: Folder(tmp_path / str(sum(1 for _ in tmp_path.iterdir())))


def stopped(task: Curve, *arguments: Any, **context: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        fitted(task, *arguments, **context)


WAYS = pytest.mark.parametrize(
    ("settings", "dropout"),
    [(PLAIN, 0.0), (PLAIN, 0.5), (OFTEN, 0.0), (PATIENT, 0.0), (BF16, 0.5), (FP16, 0.5)],
    ids=["plain", "dropout", "often", "patient", "bf16", "fp16"],
)


@WAYS
@pytest.mark.parametrize("place", ["losses", "evaluations"])
def test_stopped_in_any_step_or_evaluation(
    settings: Settings, dropout: float, place: str, whole: Callable[..., Whole],
    folders: Callable[[], Folder],
) -> None:  # fmt: skip
    expected = whole(settings, dropout)
    assert expected.losses > 5
    for number in range(1, getattr(expected, place) + 1):
        folder, stop = folders(), at(number, interrupt)
        task = Curve(on_loss=stop) if place == "losses" else Curve(on_evaluation=stop)
        stopped(task, settings, dropout, **folder.context)
        assert same(fitted(Curve(), settings, dropout, **folder.context), expected.weights)
        folder.check_like(expected.folder)
        resumed = [event for _, event in folder.logged("event") if event.startswith("resumed")]
        assert place == "evaluations" or len(resumed) == (number > 2)


@WAYS
@pytest.mark.parametrize(("owner", "name"), [(Optimizer, "step"), (BestWeights, "offer")])
def test_stopped_where_it_must_not_be(
    settings: Settings, dropout: float, owner: Any, name: str, whole: Callable[..., Whole],
    folders: Callable[[], Folder], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    expected = whole(settings, dropout)
    usual = getattr(owner, name)
    for number in range(1, (expected.losses if name == "step" else expected.evaluations + 1)):
        folder = folders()
        calls: list[int] = []

        def method(*arguments: Any, calls: list[int] = calls, number: int = number) -> Any:
            calls.append(1)
            if len(calls) == number:
                interrupt()
            return usual(*arguments)

        monkeypatch.setattr(owner, name, method)
        stopped(Curve(), settings, dropout, **folder.context)
        monkeypatch.setattr(owner, name, usual)
        assert same(fitted(Curve(), settings, dropout, **folder.context), expected.weights)
        folder.check_like(expected.folder)


def test_stopped_at_every_step_one_after_another(
    whole: Callable[..., Whole], tmp_path: Path
) -> None:
    expected, folder = whole(OFTEN, 0.5), Folder(tmp_path, every_steps=1)
    stopped(Curve(on_loss=at(1, interrupt)), OFTEN, 0.5, **folder.context)
    stopped(Curve(on_loss=at(3, interrupt)), OFTEN, 0.5, **folder.context)
    for _ in range(expected.losses - 3):
        stopped(Curve(on_loss=at(2, interrupt)), OFTEN, 0.5, **folder.context)
    assert same(fitted(Curve(), OFTEN, 0.5, **folder.context), expected.weights)
    folder.check_like(expected.folder)


def test_patience_runs_out_in_these_tests(whole: Callable[..., Whole]) -> None:
    assert whole(PATIENT).losses < whole(OFTEN).losses
    [(step, event)] = whole(PATIENT).folder.logged("event")
    assert event.startswith(f"stopped early at step {step} of ")


def test_stopped_without_checkpoints_it_just_stops() -> None:
    stopped(Curve(on_loss=at(5, interrupt)))


def test_a_finished_training_is_not_repeated(whole: Callable[..., Whole], tmp_path: Path) -> None:
    folder, task = Folder(tmp_path, every_steps=1), Curve()
    fitted(Curve(), OFTEN, **folder.context)
    assert same(fitted(task, OFTEN, **folder.context), whole(OFTEN).weights)
    assert task.losses == task.evaluations == 0


@pytest.mark.parametrize("number", [1, 4, 6])
def test_a_transformer_resumes_bit_identically(
    number: int, topics: Dataset, tiny_encoder: Path, tmp_path: Path
) -> None:
    method = Finetune(
        encoder=str(tiny_encoder), epochs=2, batch_size=9, learning_rate=3e-3,
        dropout_multiplier=1.0, evaluate_every=2,
    )  # fmt: skip
    context = FitContext(device="cpu", checkpoints=Checkpoints(tmp_path / "checkpoint"))
    expected = method.fit(topics, topics, replace(context, checkpoints=None)).model.state_dict()
    heard: list[ProgressEvent] = []

    def listen(event: ProgressEvent) -> None:
        heard.append(event)
        if len(heard) == number:
            interrupt()

    with pytest.raises(KeyboardInterrupt):
        method.fit(topics, topics, replace(context, progress=listen))
    found = method.fit(topics, topics, replace(context, progress=heard.append)).model.state_dict()
    assert same(found, expected)
    assert [event.done for event in heard] == sorted({event.done for event in heard})


@pytest.fixture
def begun(tmp_path: Path) -> Folder:
    """A training that was stopped after seven steps, and writes its state every three."""
    folder = Folder(tmp_path / "begun", every_steps=3)
    stopped(Curve(on_loss=at(9, interrupt)), OFTEN, 0.5, **folder.context)
    assert len(folder.files) == 2
    return folder


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"checkpoints": {"data": "other"}}, "another data set;"),
        ({"settings": {"batch_size": 5}}, r"another batch size \(4, now 5\)"),
        ({"settings": {"weight_decay": 0.1}}, r"another weight decay \(0.0, now 0.1\)"),
        ({"settings": {"evaluate_every": None}}, r"another evaluate every \(2, now None\)"),
        ({"rate": 0.3}, r"another learning rate \(0.2, now 0.3\)"),
        ({"epochs": 4}, r"another epochs \(2, now 4\)"),
        ({"context": {"seed": 7}}, r"another seed \(0, now 7\)"),
        ({"version": "0.0.0"}, r"another finetext version \(.*, now 0.0.0\)"),
    ],
    ids=str,
)
def test_the_state_of_another_training_is_refused_by_name(
    change: dict[str, Any], named: str, begun: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, context = begun.files, begun.context
    if "version" in change:
        monkeypatch.setattr("finetext.core.STATE_VERSION", change["version"])
    context["checkpoints"] = replace(context["checkpoints"], **change.get("checkpoints", {}))
    with pytest.raises(ModelError, match=named) as caught:
        fitted(
            Curve(), replace(OFTEN, **change.get("settings", {})), 0.5,
            rate=change.get("rate", 0.2), epochs=change.get("epochs", 2),
            **context | change.get("context", {}),
        )  # fmt: skip
    assert "delete" in str(caught.value)
    assert begun.files == before


def test_another_precision_may_be_requested_on_resume(
    begun: Folder, whole: Callable[..., Whole]
) -> None:
    weights = fitted(Curve(), replace(OFTEN, precision="auto"), 0.5, **begun.context)
    assert same(weights, whole(OFTEN, 0.5).weights)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "cut early": lambda path: path.write_bytes(path.read_bytes()[:20]),
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"\x93nonsense" * 99),
}


@pytest.mark.parametrize("which", ["latest", "best"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_reported_and_training_starts_over(
    which: str, damage: str, begun: Folder, whole: Callable[..., Whole]
) -> None:
    DAMAGES[damage](getattr(begun, which))
    found: list[Finding] = []
    (begun.path / "log.jsonl").unlink()
    weights = fitted(Curve(), OFTEN, 0.5, find=found.append, **begun.context)
    assert [(finding.severity, finding.code) for finding in found] == [
        ("warning", "damaged-checkpoint")
    ]
    assert "training starts from the beginning" in found[0].message
    expected = whole(OFTEN, 0.5)
    assert same(weights, expected.weights)
    begun.check_like(expected.folder)
    for path in begun.latest.parent.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            assert file.offset_keys()


def test_a_state_without_its_description_is_damaged(
    begun: Folder, whole: Callable[..., Whole]
) -> None:
    from safetensors.torch import load_file, save_file

    found: list[Finding] = []
    save_file(load_file(begun.latest), begun.latest)
    weights = fitted(Curve(), OFTEN, 0.5, find=found.append, **begun.context)
    assert [finding.code for finding in found] == ["damaged-checkpoint"]
    assert same(weights, whole(OFTEN, 0.5).weights)


def no_space(*arguments: Any, **options: Any) -> None:
    raise OSError(ENOSPC, "No space left on device")


def no_space_in_rust(*arguments: Any, **options: Any) -> None:
    raise SafetensorError("Error while serializing: I/O error: No space left on device")


def half_written(tensors: Any, path: Path, **options: Any) -> None:
    path.write_bytes(b"half")
    no_space()


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("safetensors.torch.save_file", no_space),
        ("safetensors.torch.save_file", no_space_in_rust),
        ("safetensors.torch.save_file", half_written),
        ("os.replace", no_space),
        ("os.fsync", no_space),
    ],
)
def test_a_full_disk_is_reported_and_the_old_checkpoint_is_kept(
    place: str, error: Any, begun: Folder, whole: Callable[..., Whole],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    before, expected = begun.files, whole(OFTEN, 0.5)
    found: list[Finding] = []
    with monkeypatch.context() as patched:
        patched.setattr(place, error)
        weights = fitted(Curve(), OFTEN, 0.5, find=found.append, **begun.context)
    assert same(weights, expected.weights)
    assert found
    assert {finding.code for finding in found} == {"training"}
    assert "No space left on device" in found[0].message
    assert begun.files == before
    assert same(fitted(Curve(), OFTEN, 0.5, **begun.context), expected.weights)


def test_a_full_disk_between_the_two_files_loses_nothing(
    begun: Folder, whole: Callable[..., Whole], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = checkpoint._write

    def only_best(path: Path, *arguments: Any) -> None:
        if path.name == "latest.safetensors":
            no_space()
        write(path, *arguments)

    before, expected = begun.files, whole(OFTEN, 0.5)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "_write", only_best)
        stopped(Curve(on_loss=at(2, interrupt)), OFTEN, 0.5, **begun.context)
    assert before.items() <= begun.files.items()
    assert same(fitted(Curve(), OFTEN, 0.5, **begun.context), expected.weights)
    assert len(begun.files) == 2


@pytest.mark.parametrize("every", [1, 4, 99])
def test_a_checkpoint_is_written_every_n_steps(every: int, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    steps: list[int] = []
    changes: list[int] = []

    def look(event: ProgressEvent) -> None:
        """Hear of a step, before its state is written."""
        steps.append(1)
        latest = folder / "latest.safetensors"
        changes.append(latest.stat().st_mtime_ns if latest.exists() else 0)

    fitted(Curve(), progress=look, checkpoints=Checkpoints(folder, every_steps=every))
    written = [step for step in range(1, len(steps)) if changes[step] != changes[step - 1]]
    assert written == list(range(every, len(steps), every))
