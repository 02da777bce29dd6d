"""Checkpoints: the state of a training, written at intervals and read to resume.

Two files, without pickle: `latest.safetensors` has everything needed to resume bit-identically,
`best-STEP.safetensors` the best weights so far. The latest names the best that belongs to it, which
stays until there is another latest, so a run that is killed between the two writes loses nothing.
`kept-STEP.safetensors` are weights that stay as models after the training.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from finetext.core.arrays import finite
from finetext.core.contracts import Checkpoints, Evaluated
from finetext.core.errors import ModelError, RecipeError
from finetext.storage.files import replaced_file, write_json
from finetext.training.precision import Choice
from finetext.training.task import Evaluation

FORMAT_VERSION: Final = 1
LATEST: Final = "latest.safetensors"
CHOICE: Final = "choice.json"
_NAME: Final = re.compile(r"\w[\w.-]*")
_KEPT: Final = "kept-*.safetensors"
TITLES: Final = {"data": "data set"}
"""What messages call the parts of an identity whose names say too little."""
LARGEST_SHARE_OF_TIME: Final = 0.02
"""Share of the training time that writing checkpoints may take."""


def random_states(device: Any) -> dict[str, Any]:
    """Return the states of the random generators for a `torch.device`, as tensors by name."""
    import torch

    states = {"random/cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["random/cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["random/mps"] = torch.mps.get_rng_state()
    return states


def set_random_states(states: Mapping[str, Any], device: Any) -> None:
    """Restore what `random_states` returned; states of another type of device are ignored."""
    import torch

    torch.set_rng_state(states["random/cpu"])
    if device.type == "cuda" and "random/cuda" in states:
        torch.cuda.set_rng_state(states["random/cuda"], device)
    elif device.type == "mps" and "random/mps" in states:
        torch.mps.set_rng_state(states["random/mps"])


@dataclass(eq=False)
class BestWeights:
    """A copy in memory of the weights with the highest score so far; the earliest among equals.

    Where a score has an error, weights that are later and behind by no more are taken instead: on
    few validation rows a lead is mostly chance (`benchmarks/LOG.md`, "Which checkpoint to keep").
    The error is that of one score, although both are of the same rows, so it is on the safe side.
    """

    patience: int | None
    weights: dict[str, Any] = field(default_factory=dict)
    score: float = float("-inf")
    step: int = 0
    since: int = 0

    def offer(
        self, score: float, step: int, weights: Mapping[str, Any], error: float | None = None
    ) -> None:
        """Keep the weights if `score` is the highest, or within `error` of it."""
        self.since += 1
        is_higher = score > self.score or not self.weights
        if is_higher:
            self.score, self.since = score, 0
        if is_higher or (error is not None and self.is_good and score >= self.score - error):
            self.step = step
            self.weights = {name: tensor.clone() for name, tensor in weights.items()}

    @property
    def is_good(self) -> bool:
        """Whether any weights had a finite score."""
        return self.score > float("-inf")

    def is_ahead_of(self, found: Evaluation) -> bool:
        """Return whether the best is clearly better than one that is ruined or far behind."""
        is_near = found.score + (found.error or 0.0) >= self.score  # never if undefined
        return self.is_good and (found.ruined or not is_near)

    @property
    def is_stale(self) -> bool:
        """Whether patience has run out; it starts with the first finite score."""
        return self.is_good and self.patience is not None and self.since >= self.patience


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of a training: tensors and JSON values by name, the best weights and their step."""

    tensors: Mapping[str, Any]
    facts: Mapping[str, Any]
    best: Mapping[str, Any] = field(default_factory=dict)
    best_step: int = 0


def device_type_of(snapshot: Snapshot) -> str:
    """Return the type of the device on which a snapshot was made: "cuda", "mps" or "cpu"."""
    others = ("cuda", "mps")
    return next((of for of in others if f"random/{of}" in snapshot.tensors), "cpu")


def named_file(folder: Path, name: str, data: str, identity: Mapping[str, Any]) -> CheckpointFile:
    """Return the files of a checkpoint that users name, for the data of a content hash.

    Raises a RecipeError for a name that cannot be one of a folder.
    """
    if not _NAME.fullmatch(name):
        raise RecipeError(
            f"the name {name!r} cannot be used: write letters, digits, '_', '-' and '.', and begin "
            "with neither '-' nor '.'"
        )
    hashed = hashlib.sha256(data.encode()).hexdigest()
    return CheckpointFile(Checkpoints(folder / name, hashed), identity)


class CheckpointFile:
    """Where and when a training writes its checkpoints."""

    def __init__(self, checkpoints: Checkpoints, identity: Mapping[str, Any]) -> None:
        """Write nothing yet."""
        from finetext.core import STATE_VERSION

        self._folder = checkpoints.folder
        self._every = checkpoints
        self._identity = {
            "format_version": FORMAT_VERSION,
            "finetext_version": STATE_VERSION,
            **{f"version of {name}": version(name) for name in ("torch", "transformers")},
            "data": checkpoints.data,
            **identity,
        }
        self._last = time.monotonic()
        self._last_step = 0
        self._best: Mapping[str, Any] = {}
        self._best_name = ""
        self._cost = 0.0

    def is_due(self, step: int) -> bool:
        """Return whether to write after `step` steps: by steps, or by time if that costs little."""
        steps = self._every.every_steps
        if steps is not None and abs(step - self._last_step) >= steps:
            return True
        waited = time.monotonic() - self._last
        return waited >= max(self._every.every_seconds, self._cost / LARGEST_SHARE_OF_TIME)

    def choice(self, make: Callable[[], Choice]) -> Choice:
        """Return the choice made when this training started; make and keep it if it starts now."""
        path = self._folder / CHOICE
        try:
            return Choice(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            choice = make()
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_json(path, asdict(choice))
        return choice

    def write(self, snapshot: Snapshot, step: int) -> None:
        """Replace the checkpoint atomically; raises an OSError and keeps the old one on failure."""
        started = time.monotonic()
        self._last, self._last_step = started, step
        self._folder.mkdir(parents=True, exist_ok=True)
        is_new = bool(snapshot.best) and snapshot.best is not self._best
        best = self._best_name if snapshot.best else ""
        if is_new:  # under a name that the checkpoint to replace does not need
            best = f"best-{snapshot.best_step}.safetensors"
            if best == self._best_of_latest():
                best = f"best-{snapshot.best_step}-again.safetensors"
        kept = {"identity": self._identity, "best": best, "facts": snapshot.facts}
        try:
            if is_new:
                _write(self._folder / best, snapshot.best, {})
            _write(self._folder / LATEST, snapshot.tensors, {"finetext": json.dumps(kept)})
        except OSError:
            if is_new:
                (self._folder / best).unlink(missing_ok=True)
            raise
        self._best, self._best_name = snapshot.best, best
        self._remove_others(best)
        self._last = time.monotonic()
        self._cost = self._last - started

    def read(self, remedy: str = "") -> Snapshot | None:
        """Return the last checkpoint; None if there is none.

        `remedy` says what to do about one of another training, if that is not to resume it.

        Raises:
            ModelError: it is damaged, or of another training.
        """
        path = self._folder / LATEST
        if not path.exists():
            return None
        tensors, metadata = _read(path)
        try:
            kept = json.loads(metadata["finetext"])
            identity, best, facts = dict(kept["identity"]), kept["best"], kept["facts"]
            step = int(best.removesuffix(".safetensors").split("-")[1]) if best else 0
        except (AttributeError, IndexError, KeyError, ValueError, TypeError) as error:
            raise DamagedCheckpointError(f"the checkpoint {path} is damaged: {error!r}") from None
        for name, value in self._identity.items():
            if identity.get(name) != value:
                title, there = TITLES.get(name, name.replace("_", " ")), identity.get(name)
                shown = "" if name in ("data", "encoder") else f" ({there}, now {value})"
                remedy = remedy or (
                    "resume with what it was made with, or delete "
                    f"{path.parent} to train from the beginning"
                )
                raise ModelError(
                    f"the checkpoint {path} was made with another {title}{shown}; {remedy}"
                )
        if not best:
            return Snapshot(tensors, facts)
        return Snapshot(tensors, facts, _read(self._folder / best)[0], step)

    def _best_of_latest(self) -> str:
        """Return the name of the best weights of the checkpoint that is there; "" if none is."""
        with suppress(DamagedCheckpointError, KeyError, ValueError, TypeError):
            return str(json.loads(_metadata(self._folder / LATEST)["finetext"])["best"])
        return ""

    def _remove_others(self, best: str) -> None:
        """Delete all best weights but the file of this name."""
        for old in self._folder.glob("best-*.safetensors"):
            if old.name != best:
                old.unlink(missing_ok=True)


@dataclass(frozen=True)
class Kept:
    """A file of evaluated weights."""

    evaluated: Evaluated
    score: float
    path: Path

    def weights(self) -> dict[str, Any]:
        """Read the weights, by name; raises a DamagedCheckpointError."""
        return _read(self.path)[0]


def kept_in(folder: Path, most: int) -> list[Kept]:
    """Return the kept weights with the highest scores, the earlier among equals, by step.

    Files that cannot be read are left out.
    """
    found = []
    for path in folder.glob(_KEPT) if most else ():
        with suppress(DamagedCheckpointError, KeyError, ValueError, TypeError):
            facts = json.loads(_metadata(path)["finetext"])
            evaluated = Evaluated(facts["step"], facts["figures"])
            found.append(Kept(evaluated, float(facts["score"]), path))
    best = sorted(found, key=lambda of: (-of.score, of.evaluated.step))[:most]
    return sorted(best, key=lambda of: of.evaluated.step)


class KeptWeights:
    """Files of the weights with the highest scores.

    A file that the last checkpoint counts on stays until there is another checkpoint, so that a
    killed training resumes with the same ones.
    """

    def __init__(self, checkpoints: Checkpoints | None, step: int) -> None:
        """Take up the files of the first `step` steps; those of later ones are removed."""
        self._folder = None if checkpoints is None else checkpoints.folder
        self.most = 0 if checkpoints is None else checkpoints.keep
        self.forget_after(step)
        self._needed = {of.path for of in self._best()}

    def offer(self, evaluated: Evaluated, score: float, weights: Mapping[str, Any]) -> None:
        """Write weights if their score is among the highest and finite; raises an OSError."""
        best = self._best()
        is_better = len(best) < self.most or any(score > of.score for of in best)
        if self._folder is None or not is_better or not math.isfinite(score):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        facts = {"step": evaluated.step, "score": score, "figures": finite(evaluated.figures)}
        path = self._folder / f"kept-{evaluated.step}.safetensors"
        _write(path, weights, {"finetext": json.dumps(facts)})
        self._remove_others()

    def settle(self) -> None:
        """Remove what only the checkpoint before the one that was just written counted on."""
        if self.most:
            self._needed = {of.path for of in self._best()}
            self._remove_others()

    def forget_after(self, step: int) -> None:
        """Remove the files of later steps."""
        for path in self._files():
            number = path.stem.removeprefix("kept-")
            if not number.isdecimal() or int(number) > step:
                path.unlink(missing_ok=True)

    def _best(self) -> list[Kept]:
        return [] if self._folder is None else kept_in(self._folder, self.most)

    def _files(self) -> list[Path]:
        return [] if self._folder is None else list(self._folder.glob(_KEPT))

    def _remove_others(self) -> None:
        needed = self._needed | {of.path for of in self._best()}
        for path in self._files():
            if path not in needed:
                path.unlink(missing_ok=True)


class DamagedCheckpointError(ModelError):
    """A checkpoint cannot be read."""


def _write(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write tensors beside their place, flush them to disk, and rename the file."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        with replaced_file(path) as beside:
            ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
            save_file(ready, beside, metadata=dict(metadata))
    except SafetensorError as error:
        raise OSError(str(error)) from None


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (OSError, ValueError, SafetensorError) as error:
        raise DamagedCheckpointError(f"the checkpoint {path} is damaged: {error}") from None


def _read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.offset_keys()}
            return tensors, file.metadata() or {}
    except (OSError, ValueError, SafetensorError) as error:
        raise DamagedCheckpointError(f"the checkpoint {path} is damaged: {error}") from None


def fingerprint(model: Any) -> str:
    """Return the SHA-256 of the names and values of all weights, without buffers."""
    digest = hashlib.sha256()
    for name, tensor in model.named_parameters():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()
