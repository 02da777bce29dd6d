"""Actors of a pretended Ray, some of which get no room or die."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from finetext.batch import ray_engine
from finetext.batch.ray_engine import Opened, Written, written_parts
from finetext.core.errors import DataError, FinetextError, RunError, TooLargeError
from finetext.data.pieces import Piece

PARTS = [Piece(number, f"{number}.parquet") for number in range(4)]


class Died(Exception):
    """Stands for the errors of Ray about actors that died."""


class ToyRay:
    """A cluster that says it has three CPUs, with room for `room` actors, the first the fastest.

    Attributes:
        started: calls of actors, in their order: of which actor, of what, with what.
        dies: whether an actor dies in a call.
    """

    exceptions = SimpleNamespace(RayActorError=Died, OutOfMemoryError=Died, NodeDiedError=Died)

    def __init__(self, room: int, dies: Callable[[int, str], bool] = lambda number, of: False):
        self.room, self.dies = room, dies
        self.started: list[tuple[int, str, Any]] = []
        self.actors: list[Any] = []
        self.gone: set[int] = set()
        self.waits = 0

    def is_initialized(self) -> bool:
        return True

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 3.0}

    def remote(self, kind: Any) -> Any:
        return SimpleNamespace(options=lambda **options: SimpleNamespace(remote=self.actor))

    def actor(self, plan: Any) -> Any:
        number = len(self.actors)

        def call(of: str) -> Any:
            def begin(value: Any) -> int:
                self.started.append((number, of, value))
                return len(self.started) - 1

            return SimpleNamespace(remote=begin)

        made = SimpleNamespace(number=number, open=call("open"), write=call("write"))
        self.actors.append(made)
        return made

    def wait(self, calls: list[int], timeout: float) -> tuple[list[int], list[int]]:
        self.waits += 1
        assert self.waits < 50, "it waits without an end"
        living = [actor.number for actor in self.actors if actor.number not in self.gone]
        ready = [call for call in calls if self.started[call][0] in living[: self.room]]
        ready.sort(key=lambda call: (self.started[call][1] == "write", self.started[call][0]))
        return ready[:1], ready[1:]

    def get(self, call: int) -> Any:
        number, of, _ = self.started[call]
        if self.dies(number, of):
            raise Died("it was killed")
        return Opened((), ("text",)) if of == "open" else Written(rows=1)

    def kill(self, actor: Any) -> None:
        self.gone.add(actor.number)


def answers_of(ray: ToyRay, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the actors of a cluster answer."""
    monkeypatch.setitem(sys.modules, "ray", cast("Any", ray))
    plan: Any = SimpleNamespace(device=None)
    return list(written_parts(plan, PARTS, 3))


@pytest.mark.parametrize("room", [1, 2, 3])
def test_it_ends_with_the_last_part_though_actors_get_no_room(
    monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    ray = ToyRay(room)
    found = answers_of(ray, monkeypatch)
    assert sum(isinstance(of, Written) for of in found) == len(PARTS)
    assert len(ray.gone) == 3  # nobody is left


def test_the_part_of_an_actor_that_died_is_written_though_its_successor_gets_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = ToyRay(2, lambda number, of: (number, of) == (1, "write"))
    original = ray.actor

    def actor(plan: Any) -> Any:
        if ray.gone:
            ray.room = 1
        return original(plan)

    monkeypatch.setattr(ray, "actor", actor)
    found = answers_of(ray, monkeypatch)
    assert sum(isinstance(of, Written) for of in found) == len(PARTS)
    assert [of for of in found if isinstance(of, str)] == [
        f"an actor died at the part {of.name}; another one takes its place"
        for number, what, of in ray.started
        if (number, what) == (1, "write")
    ]


def test_columns_are_checked_by_the_first_actor_that_does_not_die(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = ToyRay(3, lambda number, of: number == 0)
    answers_of(ray, monkeypatch)
    opened = [todo for _, of, todo in ray.started if of == "open"]
    assert opened == [PARTS, PARTS, (), ()]


class Failing:
    """Stands for the model, the writer and the plan, of which one raises an error."""

    model, device, precision = "s3://key:secret@place/model", None, None
    texts, rejected, findings = ("text",), 0, ()

    def __init__(self, where: str, error: Exception):
        self.where, self.error = where, error

    def step(self, name: str) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            if name == self.where:
                raise self.error
            return self if name in ("load", "writer") else 0

        return call

    def __getattr__(self, name: str) -> Any:
        return self.step(name)


def failure(
    where: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> tuple[FinetextError, str]:
    """What the driver raises for an error in an actor, and the notes of it."""
    of: Any = Failing(where, error)
    monkeypatch.setattr(ray_engine, "load_for", of.step("load"))
    monkeypatch.setattr(ray_engine, "engine_of", lambda classifier: "")
    monkeypatch.setattr(ray_engine, "PartWriter", of.step("writer"))
    monkeypatch.setattr(ray_engine, "use_given_cpus", lambda: None)
    monkeypatch.setattr(ray_engine, "answers_watched", lambda *given: nullcontext(lambda: None))

    class OneActor(ToyRay):
        def __init__(self) -> None:
            super().__init__(1)
            self.own = ray_engine.PartActor(of)

        def get(self, call: int) -> Any:
            _, what, value = self.started[call]
            return pickle.loads(pickle.dumps(getattr(self.own, what)(value)))

    with pytest.raises(FinetextError) as caught:
        answers_of(OneActor(), monkeypatch)
    return caught.value, "".join(getattr(caught.value, "__notes__", ()))


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("load", "the model s3://place/model"),
        ("writer", "the model s3://place/model"),
        ("check", "the model s3://place/model"),
        ("is_done", "the part "),
        ("write", "the part "),
    ],
)
@pytest.mark.parametrize("error", [ValueError("no\n such type"), OSError("no\n such type")])
def test_an_error_that_nobody_expects_is_one_line_that_names_the_part(
    monkeypatch: pytest.MonkeyPatch, where: str, place: str, error: Exception
) -> None:
    raised, notes = failure(where, error, monkeypatch)
    assert type(raised) is FinetextError
    assert str(raised).startswith(place if place.endswith("model") else f"{place}{PARTS[0].name}")
    assert f": {type(error).__name__}: no such type; --debug" in str(raised)
    assert f"{type(error).__name__}: no\n such type" in notes
    assert "secret" not in str(raised)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (DataError("x.csv, line 3: it is broken"), DataError, "x.csv, line 3: it is broken"),
        (TooLargeError("x.csv is large", "; cut it"), TooLargeError, "x.csv is large; cut it"),
        (MemoryError(), TooLargeError, "there is not enough memory on this machine"),
        (RunError("the folder is another's"), RunError, "the folder is another's"),
    ],
)
def test_an_error_for_people_arrives_as_it_was(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[FinetextError], said: str
) -> None:
    raised, notes = failure("write", error, monkeypatch)
    assert type(raised) is kind
    assert str(raised).startswith(said)
    assert notes == ""


@pytest.mark.parametrize("said", [None, "1"])
def test_a_local_cluster_leaves_the_environment_as_it_was(
    monkeypatch: pytest.MonkeyPatch, said: str | None
) -> None:
    seen: list[Any] = []
    name = "RAY_USAGE_STATS_ENABLED"
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv(name, raising=False)
    if said is not None:
        monkeypatch.setenv(name, said)
    toy = SimpleNamespace(
        is_initialized=lambda: False, shutdown=lambda: None,
        init=lambda **how: seen.append(os.environ[name]),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", cast("Any", toy))
    with ray_engine.connected():
        pass
    assert seen == [said or "0"]
    assert os.environ.get(name) == said
