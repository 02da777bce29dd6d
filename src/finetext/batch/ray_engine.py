"""The parts of a large table, written by actors on a Ray cluster or on a local one.

An actor loads the model once and writes one part at a time. If it dies, its part goes to another
one; as parts appear whole or not at all, nothing is lost and nothing is written twice.
"""

from __future__ import annotations

import math
import os
import socket
import traceback
from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, final

from finetext.batch.parts import PartsPlan, PartWriter
from finetext.batch.predictor import on_this_node, use_given_cpus
from finetext.core.addresses import public_address
from finetext.core.budget import in_words
from finetext.core.errors import FinetextError, MissingExtraError, ModelError, RecipeError
from finetext.core.threads import usable_cores
from finetext.core.types import Finding
from finetext.core.wording import counted, short
from finetext.data.pieces import Piece
from finetext.models.engines import engine_of
from finetext.runs.asked import answers_watched
from finetext.runs.load import load_for

ADDRESS: Final = "RAY_ADDRESS"
_TELEMETRY: Final = "RAY_USAGE_STATS_ENABLED"
_NO_START: Final = "Ray does not start"
MOST_DEATHS: Final = 3
"""Deaths of actors at the same part, or while they load the model, that end it all."""
_STORE: Final = 100 << 20
"""Bytes of the object store of a local cluster: rows do not pass through it."""
_CONNECTED: Final = 10.0
"""Seconds in which a cluster answers."""
_PATIENCE: Final = 60.0
"""Seconds without an actor after which it is said."""


@dataclass(frozen=True)
class Opened:
    """What an actor says once it has loaded the model: lines to show, columns of the texts."""

    said: tuple[str, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Written:
    """The rows of a part, those without a text, and what was noticed; none if it was there."""

    rows: int = 0
    rejected: int = 0
    findings: tuple[Finding, ...] = ()
    was_there: bool = False


@dataclass(frozen=True)
class Failed:
    """An error of an actor as one for people, which unlike others arrives in another process whole.

    The traceback of one that nobody expects is its note, which `--debug` shows.
    """

    error: FinetextError

    @classmethod
    def by(cls, error: Exception, where: str) -> Failed:
        """Return what an error says, with the place if it is none for people."""
        if isinstance(error, FinetextError):
            return cls(error)
        if (told := in_words(error)) is None:
            reason = short(" ".join(str(error).split()), 500)
            said = f"{where}: {type(error).__name__}: {reason}; --debug shows where that was"
            told = FinetextError(said)
            told.add_note(traceback.format_exc())
        return cls(told)


@final
class PartActor:
    """One process of the cluster: a model, and the parts that it writes."""

    def __init__(self, plan: PartsPlan) -> None:
        """Note the plan; what may fail is done in `open`, whose errors arrive whole."""
        self._plan = plan

    def open(self, todo: Sequence[Piece] = ()) -> Opened | Failed:
        """Load the model, and check the columns of pieces."""
        try:
            use_given_cpus()
            plan, said = self._plan, list[str]()
            how = plan.device, plan.precision
            self._classifier = load_for("throughput", plan.model, *how, said.append)
            if computes := engine_of(self._classifier):
                said.append(f"engine: {computes}")
            self._writer = PartWriter(plan, self._classifier)
            self._writer.check(todo)
            return Opened(tuple(said), tuple(self._writer.texts))
        except ModelError as error:
            return Failed(ModelError(f"{error}{on_this_node()}"))
        except Exception as error:
            return Failed.by(error, f"the model {public_address(self._plan.model)}")

    def write(self, piece: Piece) -> Written | Failed:
        """Write a part, unless another process did meanwhile."""
        writer, noticed = self._writer, list[Finding]()
        rejected, before = writer.rejected, len(writer.findings)
        try:
            if self._plan.is_done(piece):
                return Written(was_there=True)
            with answers_watched(self._classifier, noticed.append) as check:
                rows = writer.write(piece, lambda rows: check())
        except Exception as error:
            source = public_address(piece.source)
            return Failed.by(error, f"the part {piece.name} of {source}")
        found = (*writer.findings[before:], *noticed)
        return Written(rows, writer.rejected - rejected, found)


@dataclass
class Crew:
    """The actors that write parts, each busy with one; see `written_parts`."""

    ray: Any
    plan: PartsPlan
    todo: Sequence[Piece]
    options: Mapping[str, Any]
    busy: dict[Any, tuple[Any, Piece | None]] = field(default_factory=dict)
    free: list[Any] = field(default_factory=list)
    deaths: Counter[Piece | None] = field(default_factory=Counter)
    is_checked: bool = False
    """Whether an actor has checked the columns of all pieces."""

    def __post_init__(self) -> None:
        self.waiting = deque(self.todo)
        self._kind = self.ray.remote(PartActor).options(max_restarts=0, **self.options)

    def hire(self, count: int) -> None:
        """Start actors, which load the model first."""
        todo = () if self.is_checked else self.todo
        for _ in range(count):
            actor = self._kind.remote(self.plan)
            self.busy[actor.open.remote(todo)] = actor, None

    def answers(self) -> Iterator[Opened | Written | str]:
        """Yield what actors return, and a line of text if one died; raises a FinetextError.

        It ends with the last part: for some actors the cluster may never have room.
        """
        died = self.ray.exceptions
        while self.waiting or any(piece is not None for _, piece in self.busy.values()):
            ready, _ = self.ray.wait(list(self.busy), timeout=_PATIENCE)
            if not ready:
                if all(piece is None for _, piece in self.busy.values()):
                    yield "the cluster has no room for an actor yet"
                continue
            actor, piece = self.busy.pop(ready[0])
            try:
                answer = self.ray.get(ready[0])
            except (died.RayActorError, died.OutOfMemoryError, died.NodeDiedError) as error:
                yield self._replaced(actor, piece, error)
                self._go_on()
                continue
            if isinstance(answer, Failed):
                raise answer.error
            self.free.append(actor)
            self.deaths[None] = 0
            self.is_checked = True
            yield answer
            self._go_on()

    def _go_on(self) -> None:
        while self.free and self.waiting:
            actor, piece = self.free.pop(), self.waiting.popleft()
            self.busy[actor.write.remote(piece)] = actor, piece

    def _replaced(self, actor: Any, piece: Piece | None, error: Exception) -> str:
        """Start another actor for one that died, and queue its part again; return what to say."""
        self.ray.kill(actor)
        self.deaths[piece] += 1
        what = "while it loaded the model" if piece is None else f"at the part {piece.name}"
        if self.deaths[piece] >= MOST_DEATHS:
            reason = short(" ".join(str(error).split()), 200)
            raise FinetextError(
                f"{counted(MOST_DEATHS, 'actor')} of Ray died {what}, the last one so: {reason}. "
                "If memory is short, give fewer --actors. To continue, run the same command"
            )
        if piece is not None:
            self.waiting.appendleft(piece)
        self.hire(1)
        return f"an actor died {what}; another one takes its place"

    def dismiss(self) -> None:
        """End all actors, also those that write."""
        for actor in [*self.free, *(actor for actor, _ in self.busy.values())]:
            self.ray.kill(actor)


def written_parts(
    plan: PartsPlan, todo: Sequence[Piece], actors: int | None = None
) -> Generator[Opened | Written | str]:
    """Write parts on a Ray cluster; yield what each actor read, each part, and lines to show.

    Nothing is written before the first result, that of the actor which loads the model first, is
    taken. The folder of the plan and all files must be on each node under the same path or address.

    Raises:
        MissingExtraError: Ray is not installed.
        RecipeError: there is no cluster at the address in RAY_ADDRESS.
        FinetextError: an actor failed, or several died at the same part.
    """
    with connected() as ray:
        size, options = crew_of(ray.cluster_resources(), actors, plan.device, len(todo))
        crew, is_begun = Crew(ray, plan, todo, options), False
        try:
            crew.hire(1)
            for answer in crew.answers():
                yield answer
                if isinstance(answer, Opened) and not is_begun:
                    crew.hire(size - 1)
                    is_begun = True
        finally:
            crew.dismiss()


def crew_of(
    resources: Mapping[str, float], actors: int | None, device: str | None, parts: int
) -> tuple[int, dict[str, float]]:
    """Return how many actors there are, and what each reserves: a GPU, or a CPU.

    Args:
        resources: those of the cluster, by the names of Ray.
        actors: as many as asked for; by default one for each GPU, or else for each CPU.
        device: of prediction; on "cpu", GPUs are left alone.
        parts: to be written, which more actors would not share.
    """
    cpus = max(1.0, resources.get("CPU", 1.0))
    gpus = 0 if device == "cpu" else math.floor(resources.get("GPU", 0))
    size = max(1, min(actors or gpus or math.floor(cpus), parts))
    # Ray counts ten-thousandths. A GPU is shared by whole actors, as none has parts of two.
    each = {"num_cpus": math.floor(min(1.0, cpus / size) * 1e4) / 1e4}
    return size, each | (
        {"num_gpus": math.floor(1e4 / math.ceil(size / gpus)) / 1e4} if gpus else {}
    )


@contextmanager
def connected() -> Iterator[Any]:
    """Yield Ray: on the cluster that this process or RAY_ADDRESS names, else on this machine."""
    try:
        import ray
    except ModuleNotFoundError:
        raise MissingExtraError("prediction on a Ray cluster", "ray", "ray") from None
    if ray.is_initialized():
        yield ray
        return
    how: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address := os.environ.get(ADDRESS):
        _check_listening(address)
    else:
        how |= {
            "include_dashboard": False,
            "object_store_memory": _STORE,
            "num_cpus": usable_cores(),
        }
    with _without_telemetry():
        try:
            ray.init(address=address or "local", **how)
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = f"no Ray cluster answers at {ADDRESS}={address}" if address else _NO_START
            raise RecipeError(f"{where}: {short(' '.join(str(error).split()), 200)}") from None
        try:
            yield ray
        finally:
            ray.shutdown()


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """Let Ray send no usage statistics while the body runs, unless the environment says so."""
    if _TELEMETRY in os.environ:
        yield
        return
    os.environ[_TELEMETRY] = "0"
    try:
        yield
    finally:
        os.environ.pop(_TELEMETRY, None)


def _check_listening(address: str) -> None:
    """Raise a RecipeError if nothing listens there, which Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdecimal()):  # such as "auto"
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECTED).close()
    except OSError as error:
        raise RecipeError(f"no Ray cluster answers at {ADDRESS}={address}: {error}") from None
