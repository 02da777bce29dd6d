"""What fine-tuning does where the user leaves it open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from finetext import Finetune
from finetext.core.contracts import FitContext
from finetext.core.types import Dataset
from finetext.methods import regimes
from finetext.training.plan import Stage

BERT: Any = SimpleNamespace(model_type="bert", hidden_size=384)
WIDE: Any = SimpleNamespace(model_type="bert", hidden_size=768)
LSTM: Any = SimpleNamespace(model_type="awd_lstm", hidden_size=400)


@pytest.mark.parametrize(
    ("rows", "epochs", "flat"),
    [
        (1, 10, 10), (640, 10, 10), (1_600, 5, 4), (2_200, 4, 3), (3_200, 3, 2), (8_000, 2, 2),
        (12_800, 2, 2), (47_000, 2, 2), (48_000, 1, 2),
        (10**6, 1, 2),
    ],
)  # fmt: skip
def test_small_data_are_seen_more_often(rows: int, epochs: int, flat: int) -> None:
    assert regimes.epochs_for(rows, 32, 20.0) == epochs
    assert regimes.epochs_for(rows, 32, 20.0, is_flat=True) == flat


def test_wider_encoders_get_lower_rates() -> None:
    assert regimes.top_rate(BERT) == pytest.approx(3e-4)
    assert regimes.top_rate(WIDE) == pytest.approx(3e-4 / 2**1.5)
    assert regimes.flat_rate(WIDE) == pytest.approx(5e-5)
    tiny: Any = SimpleNamespace(model_type="bert", hidden_size=16)
    assert regimes.top_rate(tiny) == 1e-3


@pytest.mark.parametrize(
    ("classes", "factor"), [(2, 1.0), (8, 1.0), (28, 3.5), (77, 9.625), (150, 10.0)]
)
def test_the_head_of_many_classes_learns_faster(classes: int, factor: float) -> None:
    assert regimes.head_factor(classes) == factor


def test_what_is_left_open_is_taken_from_the_table() -> None:
    settled = Finetune(batch_size=32).settled(16, BERT)
    assert settled.learning_rate == pytest.approx(3e-4)
    assert (settled.discriminative, settled.head_rate) == (0.8, 2.0)
    assert settled.stages_for(1_600, 20.0, BERT) == [Stage(5, settled.learning_rate)]
    assert Finetune(head_rate=4.0).settled(16, BERT).head_rate == 4.0
    chosen = Finetune(epochs=1, batch_size=32).settled(2, BERT)
    assert chosen.stages_for(1_600, 20.0, BERT)[0].epochs == 1


@pytest.mark.parametrize(
    "chosen",
    [
        {"learning_rate": 1e-4}, {"unfreeze": "gradual"}, {"stages": (Stage(1, 1e-4),)},
        {"discriminative": 1.0},
    ],
    ids=str,
)  # fmt: skip
def test_own_rates_are_those_of_all_layers(chosen: Any) -> None:
    method = Finetune(**chosen)
    settled = method.settled(16, BERT)
    assert (settled.discriminative, settled.head_rate) == (1.0, 1.0)
    assert replace(settled, discriminative=method.discriminative, head_rate=None) == method


def test_few_rows_make_small_batches() -> None:
    rows = (1, 100, 500, 900, 1_000, 2_000, 10**6)
    assert [regimes.batch_size_for(of, 20.0) for of in rows] == [8, 8, 8, 14, 16, 32, 32]
    assert [regimes.epochs_for(of, 8, 20.0) for of in (100, 500)] == [10, 4]
    assert {regimes.epochs_for(of, regimes.batch_size_for(of, 20.0), 20.0) for of in rows[3:6]} == {
        4
    }
    assert [regimes.batch_size_for(of, 230.0) for of in (100, 500, 720)] == [8, 22, 32]
    assert Finetune().settled(16, BERT).sized(100, 20.0).batch_size == 8
    assert Finetune(learning_rate=1e-4).settled(16, BERT).sized(100, 20.0).batch_size == 32
    assert Finetune(batch_size=64).sized(100, 20.0).batch_size == 64
    assert Finetune(batch_size="auto").sized(100, 20.0).batch_size == "auto"


def test_recurrent_encoders_keep_one_high_rate() -> None:
    settled = Finetune(batch_size=32).settled(16, LSTM)
    assert (settled.learning_rate, settled.discriminative, settled.head_rate) == (None, 1.0, 1.0)
    assert settled.stages_for(1_600, 20.0, LSTM) == [Stage(4, 1e-3)]


def test_a_recipe_of_an_earlier_version_has_the_rates_it_had() -> None:
    """Recipes of runs have all hyperparameters, and those had one rate for all layers."""
    method = Finetune(discriminative=1.0, batch_size=32)
    [stage] = method.settled(16, BERT).stages_for(1_600, 20.0, BERT)
    assert stage == Stage(4, 1e-4)


def test_random_weights_learn_alike_in_all_layers() -> None:
    settled = Finetune(encoder="random:minilm").settled(2, BERT)
    assert (settled.discriminative, settled.learning_rate) == (1.0, None)


def test_the_first_bias_gives_labels_their_frequency() -> None:
    targets = np.array([[1, 0, 0], [1, 0, 1], [1, 0, 0], [0, 0, 1]])
    shares = 1 / (1 + np.exp(-regimes.first_bias(targets)))
    np.testing.assert_allclose(shares, [3.5 / 5, 0.5 / 5, 2.5 / 5])


def test_long_texts_take_fewer_epochs_and_are_read_at_both_ends() -> None:
    assert [regimes.epochs_for(960, 32, tokens) for tokens in (20, 64, 128, 230)] == [9, 9, 5, 3]
    assert regimes.epochs_for(960, 32, 230, is_flat=True) == regimes.epochs_for(960, 32, 20, True)
    assert regimes.longest(512, "bert") == 256
    assert regimes.longest(128, "bert") == 128
    assert regimes.longest(512, "awd_lstm") == 512


def test_what_is_read_of_long_texts(tiny_encoder: Path) -> None:
    encoder = str(tiny_encoder)  # with a context of 64 tokens
    assert (Finetune(encoder).longest, Finetune(encoder).kept_of_long) == (64, "head+tail")
    assert Finetune(encoder, max_length=8).kept_of_long == "head"
    assert Finetune(encoder, max_length=8, truncation="tail").kept_of_long == "tail"
    assert Finetune("minilm").longest == 256
    assert Finetune("minilm", truncation="head").longest == 512


def test_the_second_fit_makes_the_epochs_of_the_first(
    tiny_encoder: Path, make_dataset: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regimes, "epochs_for", lambda rows, *rest: 2 if rows < 40 else 1)
    rows = make_dataset([f"good bad {number}" for number in range(40)], ["a", "b"] * 20)
    method, context = Finetune(str(tiny_encoder), batch_size=8), FitContext(0, "cpu")
    fitted = method.fit(rows.select(range(32)), rows.select([]), context)
    again = method.refit(rows, fitted, context)
    assert [of.trained_with["epochs"] for of in (fitted, again)] == [2, 2]  # type: ignore[attr-defined]
    assert again.trained_with["steps"] == 10  # type: ignore[attr-defined]
