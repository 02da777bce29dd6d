"""Contrastive learning: pairs of texts, and when there is nothing left to learn."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.arrays import Integers
from finetext.encoders.load import load_tokenizer
from finetext.training.contrastive import STEPS_AVERAGED, ContrastiveTask
from finetext.training.tokens import TokenTable, tokenize


def task(labels: Integers, tokens: TokenTable | None = None) -> ContrastiveTask:
    if tokens is None:
        ids = np.arange(len(labels))
        tokens = TokenTable(ids, None, np.arange(len(labels) + 1), (0, 0, "right"))
    return ContrastiveTask(tokens, labels, learned_at=0.05)


def of_vectors(vectors: list[list[float]]) -> Any:
    """A model whose state of each text, of one token, is that of its id."""
    table = torch.tensor(vectors)

    def model(input_ids: Any, attention_mask: Any) -> Any:
        return SimpleNamespace(last_hidden_state=table[input_ids])

    return model


@given(
    labels=st.lists(st.sets(st.integers(0, 3)), min_size=1, max_size=30),
    size=st.integers(1, 12),
    seed=st.integers(0, 3),
)
def test_an_epoch_has_each_row_once_with_a_partner_that_shares_a_label(
    labels: list[set[int]], size: int, seed: int
) -> None:
    having = np.array([[label in of for label in range(4)] for of in labels], dtype=np.int64)
    batches = task(having).batches(size, seed, 0)
    assert all(len(batch) <= max(2, size) and len(batch) % 2 == 0 for batch in batches)
    pairs = np.concatenate(batches).reshape(-1, 2)
    assert sorted(pairs[:, 0]) == list(range(len(labels)))
    for row, partner in pairs:
        alike = [one for one in range(len(labels)) if one != row and _alike(labels, row, one)]
        assert partner in alike if alike else partner == row


def _alike(labels: list[set[int]], one: int, other: int) -> bool:
    return bool(labels[one] & labels[other]) or not (labels[one] or labels[other])


def test_epochs_differ_and_seeds_repeat() -> None:
    same = task(np.eye(2, dtype=np.int64)[[0, 0, 0, 0, 1, 1, 1, 1]])
    first, again, second = (np.concatenate(same.batches(4, 0, n)).tolist() for n in (0, 0, 1))
    assert first == again != second


def test_states_as_similar_as_their_labels_have_no_loss() -> None:
    labels = np.array([[1, 0], [1, 0], [0, 1], [1, 1]])
    half = 2**-0.5
    learned = of_vectors([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0], [half, half]])
    of = task(labels)
    assert float(of.loss(learned, of.batch([0, 1, 2, 3]))) == pytest.approx(0, abs=1e-6)


def test_the_loss_is_the_mean_over_pairs_that_share_a_label_and_over_those_that_do_not() -> None:
    labels = np.eye(2, dtype=np.int64)[[0, 0, 1]]
    same = task(labels)
    all_alike = of_vectors([[1.0, 0.0]] * 3)
    assert float(same.loss(all_alike, same.batch([0, 1, 2]))) == pytest.approx((0 + 1) / 2)
    all_apart = of_vectors(np.eye(3).tolist())
    assert float(same.loss(all_apart, same.batch([0, 1, 2]))) == pytest.approx((1 + 0) / 2)


def test_one_text_alone_has_nothing_to_learn_from() -> None:
    alone = task(np.ones((1, 1), dtype=np.int64))
    assert float(alone.loss(of_vectors([[1.0, 1.0]]), alone.batch([0]))) == pytest.approx(0)


def test_it_is_learned_once_the_losses_of_the_last_steps_are_small() -> None:
    of = task(np.eye(2, dtype=np.int64))
    far, near = of_vectors([[1.0, 0.0], [1.0, 0.0]]), of_vectors([[1.0, 0.0], [0.0, 1.0]])
    of.loss(far, of.batch([0, 1]))
    for _ in range(STEPS_AVERAGED - 1):
        of.loss(near, of.batch([0, 1]))
        assert not of.is_learned
    of.loss(near, of.batch([0, 1]))
    assert of.is_learned
    kept = of.state()
    of.load_state({})
    assert not of.is_learned
    of.load_state(kept)
    assert of.is_learned


def test_gradients_are_those_of_a_real_encoder(tiny_encoder: Path) -> None:
    from finetext.encoders.load import load_encoder

    tokenizer = load_tokenizer(str(tiny_encoder))
    tokens = tokenize(tokenizer, ["fresh bread", "the final match", "bread"], 16)
    of, model = (
        task(np.eye(2, dtype=np.int64)[[0, 1, 0]], tokens),
        load_encoder(str(tiny_encoder), tokenizer),
    )
    of.loss(model, of.batch([0, 2, 1])).backward()
    assert model.get_input_embeddings().weight.grad.abs().sum() > 0
