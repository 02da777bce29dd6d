"""Texts whose states come in part by part."""

from __future__ import annotations

import numpy as np
import pytest

from finetext.core.arrays import Floats
from finetext.studio import pool as pools
from finetext.studio.pool import Pool, PoolText
from finetext.studio.selection import Reference


def texts(count: int, start: int = 0) -> list[PoolText]:
    return [PoolText(number, f"text {number}", number % 5 == 0) for number in range(start, count)]


def states(count: int) -> Floats:
    return np.random.default_rng(0).standard_normal((count, 8)).astype(np.float32)


def test_parts_are_what_the_whole_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "FIRST", 6)
    pool, every = Pool(), states(30)
    pool.add(texts(30))
    assert pool.known() is None
    for start in range(0, 30, 7):
        pool.put(every[start : start + 7])
    known = pool.known()
    assert known is not None
    assert known.states == pytest.approx(every)
    assert known.typicality == pytest.approx(Reference.of(every).typicality(every), abs=1e-5)
    assert known.ids.tolist() == list(range(30))
    assert known.is_random.tolist() == [number % 5 == 0 for number in range(30)]


def test_nothing_is_known_before_the_first_texts_and_all_of_a_small_pool_is_enough() -> None:
    pool = Pool()
    pool.add(texts(3))
    pool.put(states(2))
    assert pool.known() is None
    pool.put(states(1))
    assert pool.known() is not None


def test_texts_are_read_in_parts_of_limited_length() -> None:
    pool = Pool()
    pool.add(
        [PoolText(number, "x" * length, False) for number, length in enumerate((900, 5, 5, 5))]
    )
    assert [len(text) for text in pool.next_texts(9, 100)] == [900]
    pool.put(states(1))
    assert [len(text) for text in pool.next_texts(2, 100)] == [5, 5]
    assert [len(text) for text in pool.next_texts(9, 12)] == [5, 5]


def test_texts_that_are_added_later_keep_what_is_known_and_are_not_added_twice() -> None:
    pool, every = Pool(), states(12)
    pool.add(texts(5))
    pool.put(every[:5])
    before = pool.known()
    pool.add(texts(12))
    assert pool.progress == (5, 12)
    pool.put(every[5:])
    known = pool.known()
    assert before is not None
    assert known is not None
    assert known.states == pytest.approx(every)
    assert before.states == pytest.approx(every[:5])
    assert pool.state(11) == pytest.approx(every[11])
    assert pool.state(99) is None
