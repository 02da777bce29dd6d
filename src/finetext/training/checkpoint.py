"""The state of a training: kept at intervals, whole or not at all, and found again.

Two files, neither with pickle: `latest.safetensors` has everything needed to go on to the last bit,
`best-STEP.safetensors` the weights that were best on validation so far. The latest names the best
that belongs to it, so a run that is killed between the two writes loses nothing.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from finetext.core.contracts import Checkpoints
from finetext.core.errors import ModelError
from finetext.storage.files import put_in_place, write_json
from finetext.training.precision import Choice


def random_states(device: Any) -> dict[str, Any]:
    """The states for a `torch.device`, as tensors by name."""
    import torch

    states = {"random/cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["random/cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["random/mps"] = torch.mps.get_rng_state()
    return states


def set_random_states(states: Mapping[str, Any], device: Any) -> None:
    """Go on from what `random_states` gave; those of another kind of device are left alone."""
    import torch

    torch.set_rng_state(states["random/cpu"])
    if device.type == "cuda" and "random/cuda" in states:
        torch.cuda.set_rng_state(states["random/cuda"], device)
    elif device.type == "mps" and "random/mps" in states:
        torch.mps.set_rng_state(states["random/mps"])


@contextmanager
def same_random_states(device: Any) -> Iterator[None]:
    """Leave the random generators as they were before the body."""
    before = random_states(device)
    try:
        yield
    finally:
        set_random_states(before, device)


FORMAT_VERSION: Final = 1
LATEST: Final = "latest.safetensors"
CHOICE: Final = "choice.json"
LARGEST_SHARE_OF_TIME: Final = 0.02


class BestWeights:
    """A copy in memory of the weights with the highest score so far; the earliest among equals."""

    def __init__(self, patience: int | None) -> None:
        """Start without any weights.

        Args:
            patience: evaluations without improvement after which training should stop, or None.
        """
        self._patience = patience
        self.weights: dict[str, Any] = {}
        self.score = float("-inf")
        self.step = 0
        self.since = 0

    def offer(self, score: float, step: int, weights: Mapping[str, Any]) -> None:
        """Take a copy of the weights of a step if `score` beats what is kept."""
        self.since += 1
        if score > self.score or not self.weights:
            self.score, self.step, self.since = score, step, 0
            self.weights = {name: tensor.clone() for name, tensor in weights.items()}

    @property
    def is_good(self) -> bool:
        """Whether any weights had a finite score."""
        return self.score > float("-inf")

    @property
    def is_stale(self) -> bool:
        """Whether patience has run out; it begins with the first weights that are any good."""
        return self.is_good and self._patience is not None and self.since >= self._patience


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Where a training stands.

    Attributes:
        tensors: weights, moments of the optimizer and states of the random generators, by name.
        facts: everything else, in the types of JSON.
        best: the best weights so far by name; empty before the first evaluation.
        best_step: the step they are of.
    """

    tensors: Mapping[str, Any]
    facts: Mapping[str, Any]
    best: Mapping[str, Any] = field(default_factory=dict)
    best_step: int = 0


class CheckpointFile:
    """Where a training keeps its state, and when."""

    def __init__(self, checkpoints: Checkpoints, identity: Mapping[str, Any]) -> None:
        """Nothing is written yet.

        Args:
            checkpoints: the folder and the intervals.
            identity: what must be the same for a state to be gone on from: name to a value in
                the types of JSON.
        """
        from finetext.core import __version__

        self._folder = checkpoints.folder
        self._every = checkpoints
        self._identity = {
            "format_version": FORMAT_VERSION,
            "finetext_version": __version__,
            **{f"version of {name}": version(name) for name in ("torch", "transformers")},
            "data": checkpoints.data,
            **identity,
        }
        self._last = time.monotonic()
        self._last_step = 0
        self._best: Mapping[str, Any] = {}
        self._best_of_latest = ""
        self._cost = 0.0

    def is_due(self, step: int) -> bool:
        """Whether to write now, by steps or by time; by time, it takes a fiftieth of it at most.

        Args:
            step: steps done.
        """
        steps = self._every.every_steps
        if steps is not None and abs(step - self._last_step) >= steps:
            return True
        waited = time.monotonic() - self._last
        return waited >= max(self._every.every_seconds, self._cost / LARGEST_SHARE_OF_TIME)

    def choice(self, make: Callable[[], Choice]) -> Choice:
        """The choice that was made when this training began, made now if it begins now.

        It changes the last bits of the result, so it is kept before the first step.
        """
        path = self._folder / CHOICE
        try:
            return Choice(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            choice = make()
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_json(path, asdict(choice))
        return choice

    def write(self, state: Snapshot, step: int) -> None:
        """Write the state beside its place and rename it.

        Raises:
            OSError: it cannot be written; the former state is still there.
        """
        started = time.monotonic()
        self._last, self._last_step = started, step
        self._folder.mkdir(parents=True, exist_ok=True)
        best = f"best-{state.best_step}.safetensors" if state.best else ""
        if best and state.best is not self._best:
            _write(self._folder / best, state.best, {})
            self._best = state.best
        kept = {"identity": self._identity, "best": best, "facts": state.facts}
        try:
            _write(self._folder / LATEST, state.tensors, {"finetext": json.dumps(kept)})
        except OSError:
            self._clear(self._best_of_latest)
            self._best = {}
            raise
        self._clear(best)
        self._best_of_latest = best
        self._last = time.monotonic()
        self._cost = self._last - started

    def read(self) -> Snapshot | None:
        """The state that was last written; None if there is none.

        Raises:
            ModelError: it is damaged, or of another training.
        """
        path = self._folder / LATEST
        if not path.exists():
            return None
        tensors, metadata = _read(path)
        try:
            kept = json.loads(metadata["finetext"])
            identity, best, facts = kept["identity"], kept["best"], kept["facts"]
        except (KeyError, ValueError, TypeError) as error:
            raise DamagedCheckpointError(path, repr(error)) from None
        self._refuse_other(path, identity)
        if not best:
            return Snapshot(tensors, facts)
        self._best_of_latest = best
        step = int(best.removeprefix("best-").removesuffix(".safetensors"))
        return Snapshot(tensors, facts, _read(self._folder / best)[0], step)

    def _clear(self, best: str) -> None:
        """Remove all best weights but those in the file of this name."""
        for old in self._folder.glob("best-*.safetensors"):
            if old.name != best:
                old.unlink(missing_ok=True)

    def _refuse_other(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Refuse the state of another training.

        Raises:
            ModelError: the version, the data or a setting is another.
        """
        for name, value in self._identity.items():
            if identity.get(name) != value:
                title = name.replace("_", " ")
                shown = (
                    "" if name in ("data", "encoder") else f" ({identity.get(name)}, now {value})"
                )
                raise ModelError(
                    f"the checkpoint {path} was made with another {title}{shown}; go on with what "
                    f"it was made with, or delete {path.parent} to train from the beginning"
                )


class DamagedCheckpointError(ModelError):
    """A checkpoint cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        """Compose the message.

        Args:
            path: the file.
            reason: what is wrong with it.
        """
        super().__init__(f"the checkpoint {path} is damaged: {reason}")


def _write(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write tensors beside their place, down to the disk, and rename the file."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    beside = path.with_name(f".{path.name}.part")
    try:
        ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(ready, beside, metadata=dict(metadata))
        put_in_place(beside, path)
    except SafetensorError as error:
        raise OSError(str(error)) from None
    finally:
        beside.unlink(missing_ok=True)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.offset_keys()}
            return tensors, file.metadata() or {}
    except (OSError, ValueError, SafetensorError) as error:
        raise DamagedCheckpointError(path, str(error)) from None


def fingerprint(model: Any) -> str:
    """SHA-256 of the names and values of all weights; what was measured by them is not in it."""
    digest = hashlib.sha256()
    for name, tensor in model.named_parameters():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()
