"""The head of `static` is logistic regression, and chooses what counts how much by folds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from finetext.core.contracts import FitContext
from finetext.core.types import Dataset
from finetext.methods import joint_head
from finetext.methods.joint_head import CANDIDATES, SCALES, JointHead, fit_joint_head

CONTEXT = FitContext(seed=3)


def features_of(n: int, width: int, seed: int) -> Any:
    from scipy.sparse import csr_array

    made = np.random.default_rng(seed).random((n, width)) * (
        np.random.default_rng(seed + 1).random((n, width)) < 0.3
    )
    made[:, 0] += 0.1
    return csr_array(made / np.linalg.norm(made, axis=1, keepdims=True))


def logits(head: JointHead, vectors: Any, features: Any) -> Any:
    return vectors @ head.of_vectors + features @ head.of_features + head.bias


@pytest.mark.parametrize("several", [False, True])
def test_it_is_logistic_regression_of_scikit_learn(
    several: bool, make_dataset: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    from scipy.sparse import csr_array, hstack
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(0)
    vectors = random.normal(size=(60, 4)).astype(np.float32)
    features = features_of(60, 6, 1)
    classes = np.arange(60) % 3
    names = ["a", "b", "c"]
    labels: list[Any] = [names[of] for of in classes]
    if several:
        labels = [[names[of], *(["c"] if row % 4 == 0 else [])] for row, of in enumerate(classes)]
    train = make_dataset([f"text {row}" for row in range(60)], labels, names)
    monkeypatch.setattr(joint_head, "SCALES", (2.0,))
    found = logits(fit_joint_head(vectors, features, train, 3.0, CONTEXT), vectors, features)
    together = hstack([csr_array(vectors * 2.0 / np.sqrt(4)), features]).tocsr()
    model = LogisticRegression(C=3.0, tol=1e-8, max_iter=10_000)
    if several:
        for column in range(3):
            wanted = model.fit(together, train.targets[:, column]).decision_function(together)
            np.testing.assert_allclose(found[:, column], wanted, atol=0.02)
    else:
        wanted = model.fit(together, train.targets).decision_function(together)
        np.testing.assert_allclose(
            found - found.mean(axis=1, keepdims=True),
            wanted - wanted.mean(axis=1, keepdims=True),
            atol=0.02,
        )


def test_it_counts_vectors_more_where_only_they_say_the_label(
    make_dataset: Callable[..., Dataset],
) -> None:
    random = np.random.default_rng(1)
    classes = np.arange(90) % 3
    train = make_dataset([f"text {row}" for row in range(90)], ["abc"[of] for of in classes])
    telling = (np.eye(3)[classes] + random.normal(0, 0.3, (90, 3))).astype(np.float32)
    noise = random.normal(size=(90, 3)).astype(np.float32)
    by_vectors = fit_joint_head(telling, features_of(90, 30, 5), train, None, CONTEXT)
    from scipy.sparse import csr_array

    by_features = fit_joint_head(noise, csr_array(np.eye(3)[classes]), train, None, CONTEXT)
    assert by_vectors.scale > by_features.scale
    assert by_features.inverse_regularisation in CANDIDATES


def test_groups_stay_in_one_fold(
    make_dataset: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        joint_head, "folds_of", lambda targets, scheme, groups: seen.append(groups) or []
    )
    train = make_dataset(["one", "two", "three"], ["a", "b", "a"])
    train = Dataset(train.table.add_column("group", ["g", "h", "g"]), train.scheme)
    found = fit_joint_head(np.eye(3, dtype=np.float32), features_of(3, 2, 0), train, None, CONTEXT)
    assert sorted(seen[0]) == ["g", "g", "h"]
    assert (found.inverse_regularisation, found.scale) == (CANDIDATES[0], SCALES[0])
