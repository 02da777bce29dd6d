"""The learner beside the annotators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from finetext.core.arrays import Floats
from finetext.core.errors import ModelError
from finetext.core.types import LabelScheme
from finetext.studio.learner import Learner, labeled_of, ranking_of
from finetext.studio.pool import Known, PoolText
from finetext.studio.selection import Reference
from finetext.studio.state_probe import Standard

WORDS = ("good", "bad", "odd")


class Toy:
    """Texts of which every third one says good, bad or odd."""

    def __init__(self, count: int = 90) -> None:
        self.count = count
        self.labels: dict[int, tuple[str, ...]] = {}

    def texts(self) -> Sequence[PoolText]:
        return [PoolText(n, f"{WORDS[n % 3]} {n}", n % 5 == 0) for n in range(self.count)]

    def scheme(self) -> LabelScheme:
        return LabelScheme(WORDS)

    def decided(self) -> dict[int, tuple[str, ...]]:
        return dict(self.labels)

    def undecided_random(self) -> int:
        return 0

    def label(self, count: int) -> None:
        self.labels |= {n: (WORDS[n % 3],) for n in range(count)}


def states_of(texts: Sequence[str]) -> Floats:
    number = np.array([WORDS.index(text.split()[0]) for text in texts])
    noise = [np.random.default_rng(int(text.split()[1])).standard_normal(6) for text in texts]
    return np.eye(6)[number] * 4 + np.array(noise)


@pytest.fixture
def learning() -> Iterator[Callable[..., Learner]]:
    """Return a function that starts a learner of a toy; all are stopped."""
    begun: list[Learner] = []

    def start(toy: Toy, read: Any = states_of) -> Learner:
        learner = Learner(toy, read=read)
        learner.start()
        begun.append(learner)
        return learner

    yield start
    for learner in begun:
        learner.stop()


def until(learner: Learner, holds: Callable[[], bool]) -> None:
    """Wait until something holds that a thread of the learner brings about."""
    tick = Event()
    for _ in range(3_000):
        if holds():
            return
        tick.wait(0.01)
    raise AssertionError("it never held")


def test_texts_are_diverse_first_and_uncertain_with_labels(
    learning: Callable[..., Learner],
) -> None:
    toy = Toy()
    learner = learning(toy)
    until(learner, lambda: learner.ranking.why == "diverse" and learner.encoding == (90, 90))
    assert {n % 3 for n in learner.ranking.texts[:3]} == {0, 1, 2}
    assert all(n % 5 for n in learner.ranking.texts)
    assert learner.suggestion(7) is None
    toy.label(40)
    learner.notify()
    until(learner, lambda: learner.ranking.why == "uncertain")
    assert all(n >= 40 and n % 5 for n in learner.ranking.texts)
    suggestion = learner.suggestion(61)
    assert suggestion is not None
    assert suggestion.labels == ("bad",)
    assert 1 / 3 < suggestion.probability <= 1
    assert learner.suggestion(999) is None


def test_the_probe_does_not_learn_from_the_random_stream() -> None:
    toy = Toy()
    toy.label(60)
    states = states_of([of.text for of in toy.texts()]).astype(np.float32)
    reference = Reference.of(states)
    known = Known(
        np.arange(90), states, reference.typicality(states),
        np.array([n % 5 == 0 for n in range(90)]), reference, Standard.of(states),
    )  # fmt: skip
    probe = ranking_of(known, toy.scheme(), toy.decided()).probe
    turned = toy.decided() | {n: (WORDS[(n + 1) % 3],) for n in range(0, 60, 5)}
    other = ranking_of(known, toy.scheme(), turned).probe
    assert probe is not None
    assert other is not None
    assert probe.weights.tolist() == other.weights.tolist()


def test_labels_that_are_no_longer_in_the_set_do_not_count() -> None:
    toy = Toy()
    states = states_of([of.text for of in toy.texts()])
    reference = Reference.of(states)
    known = Known(
        np.arange(90), states, reference.typicality(states), np.zeros(90, dtype=bool), reference,
        Standard.of(states),
    )  # fmt: skip
    decided = {3: ("good",), 4: ("gone",), 5: ("bad",), 200: ("bad",)}
    labeled = labeled_of(known, toy.scheme(), decided)
    assert labeled.targets.tolist() == [0, 1]
    assert labeled_of(None, toy.scheme(), decided).targets.tolist() == []


def test_the_outlook_is_that_of_the_labels_now(learning: Callable[..., Learner]) -> None:
    toy = Toy()
    learner = learning(toy)
    until(learner, lambda: learner.encoding == (90, 90) and learner.ranking.texts != ())
    assert learner.outlook().accuracy is None
    toy.label(60)
    learner.notify()
    found = learner.outlook()
    assert found.accuracy is not None
    assert found.accuracy.n == 12
    assert found is learner.outlook()


def test_more_texts_are_read_when_they_come(learning: Callable[..., Learner]) -> None:
    toy = Toy(30)
    learner = learning(toy)
    until(learner, lambda: learner.encoding == (30, 30))
    toy.count = 60
    learner.notify(texts=True)
    until(learner, lambda: learner.encoding == (60, 60))


def test_without_an_encoder_it_says_so_and_ranks_nothing(learning: Callable[..., Learner]) -> None:
    def fails(texts: Sequence[str]) -> Floats:
        raise ModelError("no such encoder")

    learner = learning(Toy(), fails)
    until(learner, lambda: learner.problem == "no such encoder")
    assert learner.ranking.texts == ()
    learner._source.label(20)  # type: ignore[attr-defined]
    learner.notify()
    outlook = learner.outlook()
    assert outlook.why_not == "the texts are still being read by the encoder"
    assert [of.judged for of in outlook.coverage] == [7, 7, 6]


def test_states_are_read_once_also_if_texts_are_added_meanwhile(tmp_path: Path) -> None:
    toy, read = Toy(30), list[str]()

    def counting(texts: Sequence[str]) -> Floats:
        read.extend(texts)
        return states_of(texts)

    def read_all(total: int) -> None:
        learner = Learner(toy, tmp_path, read=counting)
        learner.start()
        until(learner, lambda: learner.encoding == (total, total))
        learner.stop()

    read_all(30)
    assert len(read) == 30
    toy.texts = lambda: [  # type: ignore[method-assign]
        PoolText(n, f"{WORDS[n % 3]} {n}", False, batch=n // 30) for n in range(40)
    ]
    read_all(40)
    assert len(read) == 40
    assert len(set(read)) == 40
