"""The head of `static` is logistic regression, and chooses by folds what counts how much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from finetext.core.contracts import FitContext
from finetext.core.types import Dataset
from finetext.methods import joint_head
from finetext.methods.joint_head import CANDIDATES, POWERS, SCALES, Choice, TokenRows

CONTEXT = FitContext(seed=3)
NAMES = ["a", "b", "c"]


def rows_of(counts: Any, vectors: Any) -> TokenRows:
    from scipy.sparse import csr_array

    lengths = np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-12)
    found = csr_array(counts.astype(np.float32))
    return TokenRows(found, csr_array(counts / lengths), vectors.astype(np.float32))


def drawn(n: int, tokens: int, width: int) -> TokenRows:
    random = np.random.default_rng(0)
    return rows_of(random.poisson(0.5, (n, tokens)), random.normal(size=(tokens, width)))


@pytest.mark.parametrize("several", [False, True])
def test_it_is_logistic_regression_of_scikit_learn(
    several: bool, make_dataset: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.linear_model import LogisticRegression

    rows, classes = drawn(60, 8, 4), np.arange(60) % 3
    labels: list[Any] = [NAMES[of] for of in classes]
    if several:
        labels = [[NAMES[of], *(["c"] if row % 4 == 0 else [])] for row, of in enumerate(classes)]
    train = make_dataset([f"text {row}" for row in range(60)], labels, NAMES)
    monkeypatch.setattr(joint_head, "POWERS", (0,))
    monkeypatch.setattr(joint_head, "SCALES", (2.0,))
    found = joint_head.fit_joint_head(rows, train, 3.0, CONTEXT)
    assert (found.token_weights == 1).all()
    states = rows.means(found.token_weights)
    states = (states - states.mean(axis=0)) / (states.std(axis=0) + 1e-6)
    together = np.concatenate([states * found.choice.scale / 2, rows.features.toarray()], axis=1)
    model, logits = LogisticRegression(C=3.0, tol=1e-8, max_iter=10_000), found.logits(rows)
    if several:
        for column in range(3):
            wanted = model.fit(together, train.targets[:, column]).predict_proba(together)[:, 1]
            np.testing.assert_allclose(1 / (1 + np.exp(-logits[:, column])), wanted, atol=0.01)
    else:
        likely = np.exp(logits - logits.max(axis=1, keepdims=True))
        likely /= likely.sum(axis=1, keepdims=True)
        wanted = model.fit(together, train.targets).predict_proba(together)
        np.testing.assert_allclose(likely, wanted, atol=0.01)


def test_tokens_that_tell_labels_apart_weigh_more(make_dataset: Callable[..., Dataset]) -> None:
    classes = np.arange(90) % 3
    everywhere, random = np.ones((90, 1)), np.random.default_rng(1)
    lone = np.zeros((90, 2))
    lone[4, 0] = lone[7, 1] = 1
    counts = np.concatenate([np.eye(3)[classes], everywhere * 3, lone], axis=1)
    labels = np.eye(3, dtype=np.float32)[classes]
    rows = rows_of(counts, random.normal(size=(6, 3)))
    ratios = joint_head._ratios(rows.counts, labels)
    assert ratios[:3].min() > 1 > ratios[3]
    np.testing.assert_allclose(ratios[4:], 1, atol=1e-9)
    train = make_dataset([f"text {row}" for row in range(90)], [NAMES[of] for of in classes])
    found = joint_head.fit_joint_head(rows, train, None, CONTEXT)
    assert (found.logits(rows).argmax(axis=1) == classes).all()
    choice = found.choice
    assert choice.power in POWERS
    assert choice.scale in SCALES
    assert choice.inverse_regularisation in CANDIDATES


def test_token_weights_come_from_the_rows_of_a_fold_alone() -> None:
    rows, labels = drawn(40, 8, 3), np.eye(2, dtype=np.float32)[np.arange(40) % 2]
    half = np.arange(20)
    seen = joint_head._fitted(rows.select(half), labels[half], False, Choice(power=1))
    counts = np.asarray(rows.counts.toarray())
    counts[20:] = counts[20:][:, ::-1]
    other = rows_of(counts, rows.vectors)
    again = joint_head._fitted(other.select(half), labels[half], False, Choice(power=1))
    np.testing.assert_array_equal(seen.token_weights, again.token_weights)


def test_tokens_that_no_row_of_a_fold_has_keep_their_vectors() -> None:
    counts = np.zeros((6, 4))
    counts[:, 0], counts[::2, 1], counts[1::2, 2] = 1, 1, 1
    labels = np.eye(2, dtype=np.float32)[np.arange(6) % 2]
    found = joint_head._fitted(rows_of(counts, np.eye(4)), labels, False, Choice(power=3))
    assert found.token_weights[3] == 1
    assert found.token_weights[0] < found.token_weights[1]


def test_groups_stay_in_one_fold(
    make_dataset: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        joint_head, "folds_of", lambda targets, scheme, groups: seen.append(groups) or []
    )
    train = make_dataset(["one", "two", "three"], ["a", "b", "a"])
    train = Dataset(train.table.add_column("group", ["g", "h", "g"]), train.scheme)
    found = joint_head.fit_joint_head(drawn(3, 4, 2), train, None, CONTEXT)
    assert sorted(seen[0]) == ["g", "g", "h"]
    assert found.choice == Choice()
