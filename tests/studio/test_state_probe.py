"""The probe on kept states."""

from __future__ import annotations

import numpy as np
import pytest

from finetext.core.types import LabelScheme
from finetext.studio.state_probe import Labeled, Standard, StateProbe, can_learn


def two_classes(n: int = 80, classes: int = 2) -> Labeled:
    random = np.random.default_rng(0)
    targets = np.arange(n) % classes
    states = random.standard_normal((classes, 12))[targets] * 2 + random.standard_normal((n, 12))
    names = tuple("abcdef"[:classes])
    return Labeled(states * 5 + 100, targets, np.arange(n) % 5 == 0, LabelScheme(names))


@pytest.mark.parametrize("classes", [2, 4])
def test_it_learns_whatever_the_scale_of_states(classes: int) -> None:
    labeled = two_classes(classes=classes)
    probe = StateProbe.fit(labeled, Standard.of(labeled.states))
    assert probe.right(labeled).mean() > 0.9
    likely = probe.probabilities(labeled.states)
    assert likely.sum(axis=1) == pytest.approx(np.ones(80), abs=1e-5)


def test_a_class_without_labels_is_never_predicted() -> None:
    labeled = two_classes()
    wider = Labeled(
        labeled.states, labeled.targets, labeled.is_random, LabelScheme(("a", "b", "c"))
    )
    probe = StateProbe.fit(wider, Standard.of(wider.states))
    assert probe.probabilities(wider.states)[:, 2].max() < 1e-6


def test_several_labels_a_text_are_right_if_all_are() -> None:
    labeled = two_classes()
    targets = np.stack([labeled.targets, 1 - labeled.targets, np.zeros(80, dtype=np.int64)], axis=1)
    several = Labeled(
        labeled.states, targets, labeled.is_random, LabelScheme(("a", "b", "c"), multilabel=True)
    )
    probe = StateProbe.fit(several, Standard.of(several.states))
    assert probe.right(several).mean() > 0.9
    assert can_learn(several)
    assert not can_learn(several.select(several.targets[:, 0] == 1))


def test_labels_that_are_all_the_same_teach_nothing() -> None:
    labeled = two_classes()
    assert can_learn(labeled)
    assert not can_learn(labeled.select(labeled.targets == 1))
    assert not can_learn(labeled.select(np.zeros(80, dtype=bool)))
