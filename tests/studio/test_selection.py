"""What to label next: typical, diverse, uncertain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.arrays import Floats, Integers
from finetext.studio.selection import (
    Reference,
    labels_before_probe,
    margins_of,
    typical_and_diverse,
    uncertain_and_diverse,
)


def clusters(sizes: tuple[int, ...], seed: int = 0, spread: float = 0.1) -> tuple[Floats, Integers]:
    """Return states around one center for each size, and the number of the center of each."""
    random = np.random.default_rng(seed)
    centers = random.standard_normal((len(sizes), 16)) * 3
    group = np.repeat(np.arange(len(sizes)), sizes)
    return centers[group] + random.standard_normal((len(group), 16)) * spread, group


@pytest.mark.parametrize(("classes", "labels"), [(2, 10), (10, 10), (17, 17), (77, 30)])
def test_a_probe_waits_for_a_label_of_each_class_within_bounds(classes: int, labels: int) -> None:
    assert labels_before_probe(classes) == labels


def test_typical_texts_are_those_with_near_neighbors() -> None:
    states, _ = clusters((40, 40))
    lonely = np.random.default_rng(1).standard_normal((5, 16)) * 9
    every = np.concatenate([states, lonely])
    typicality = Reference.of(every).typicality(every)
    assert typicality.shape == (85,)
    assert typicality[:80].min() > typicality[80:].max()


def test_the_first_texts_come_from_different_clusters_the_largest_first() -> None:
    states, group = clusters((60, 30, 10, 20))
    reference = Reference.of(states)
    chosen = typical_and_diverse(
        reference.directions(states), reference.typicality(states), np.zeros(120, bool), 4, seed=0
    )
    assert group[chosen].tolist() == [0, 1, 3, 2]


def test_clusters_with_a_label_come_last() -> None:
    states, group = clusters((60, 30, 20))
    reference, labeled = Reference.of(states), np.zeros(110, bool)
    labeled[0] = True
    chosen = typical_and_diverse(
        reference.directions(states), reference.typicality(states), labeled, 2, seed=0
    )
    assert group[chosen].tolist() == [1, 2]


def test_only_texts_without_a_label_are_returned_and_fewer_if_there_are_no_more() -> None:
    states, _ = clusters((4, 3))
    reference, labeled = (
        Reference.of(states),
        np.array([True, False, True, True, False, True, True]),
    )
    chosen = typical_and_diverse(
        reference.directions(states), reference.typicality(states), labeled, 10, seed=0
    )
    assert sorted(chosen.tolist()) == [1, 4]
    all_labeled = np.ones(7, bool)
    none = typical_and_diverse(
        reference.directions(states), reference.typicality(states), all_labeled, 3, seed=0
    )
    assert none.tolist() == []


def test_uncertain_texts_are_taken_and_near_duplicates_never_together() -> None:
    states, group = clusters((20, 20, 20), spread=0.01)
    reference = Reference.of(states)
    margins = np.where(group == 2, 0.9, 0.05)
    chosen = uncertain_and_diverse(
        states, reference, np.ones(60), margins, np.ones(60, dtype=bool), 2
    )
    assert sorted(group[chosen].tolist()) == [0, 1]


def test_typical_texts_are_preferred_among_equally_uncertain_ones() -> None:
    states, _ = clusters((10, 10))
    typicality = np.linspace(0, 1, 20)
    chosen = uncertain_and_diverse(
        states, Reference.of(states), typicality, np.full(20, 0.3), np.ones(20, dtype=bool), 1
    )
    assert chosen.tolist() == [19]


@given(
    count=st.integers(1, 12),
    free=st.lists(st.booleans(), min_size=9, max_size=9),
    seed=st.integers(0, 9),
)
def test_what_is_chosen_is_free_and_different(count: int, free: list[bool], seed: int) -> None:
    states, _ = clusters((5, 4), seed)
    can, margins = np.array(free), np.random.default_rng(seed).random(9)
    chosen = uncertain_and_diverse(states, Reference.of(states), margins, margins, can, count)
    assert len(set(chosen.tolist())) == len(chosen) == min(count, sum(free))
    assert can[chosen].all()


def test_margins() -> None:
    likely = np.array([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0]])
    assert margins_of(likely, multilabel=False) == pytest.approx([0.2, 0.8])
    assert margins_of(likely, multilabel=True) == pytest.approx([0.0, 0.8])
    assert margins_of(np.ones((2, 1)), multilabel=False).tolist() == [0, 0]
