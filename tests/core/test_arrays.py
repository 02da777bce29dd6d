"""Logits to probabilities, and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from finetext.core.arrays import logits_of, probabilities_of

LOGITS = np.array([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-3.0, 4.0, 0.0]])


def test_probabilities_are_softmax_or_sigmoid() -> None:
    as_tensor = torch.tensor(LOGITS)
    np.testing.assert_allclose(probabilities_of(LOGITS, False), as_tensor.softmax(dim=1).numpy())
    np.testing.assert_allclose(probabilities_of(LOGITS, True), as_tensor.sigmoid().numpy())


@pytest.mark.parametrize("multilabel", [False, True])
def test_extreme_logits_give_finite_probabilities(multilabel: bool) -> None:
    assert np.isfinite(probabilities_of(np.array([[1e4, -1e4, 0.0]]), multilabel)).all()


@pytest.mark.parametrize("multilabel", [False, True])
@given(logits=arrays(np.float64, (3, 4), elements=st.floats(-15, 15)))
def test_logits_of_probabilities_give_them_back(
    multilabel: bool, logits: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> None:
    probabilities = probabilities_of(logits, multilabel)
    again = probabilities_of(logits_of(probabilities, multilabel), multilabel)
    np.testing.assert_allclose(again, probabilities, rtol=1e-6, atol=1e-12)


def test_certainty_comes_back_as_certainty() -> None:
    certain = np.array([[1.0, 0.0]])
    for multilabel in (False, True):
        again = probabilities_of(logits_of(certain, multilabel), multilabel)
        np.testing.assert_array_equal(again, certain)
