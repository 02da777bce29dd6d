"""The plain transformer encoder; its states against numpy are in `test_foreign_weights`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from finetext.encoders.auto import OWN_MODEL_TYPES, register
from finetext.encoders.heads import summary_token
from finetext.encoders.transformer import (
    TransformerConfig,
    TransformerForMaskedLM,
    TransformerForSequenceClassification,
    TransformerModel,
    sinusoids,
)
from finetext.training.optimizer import layer_groups

IDS = torch.tensor([[1, 7, 3, 9, 2, 0, 0], [1, 5, 6, 8, 4, 3, 2]])
MASK = (IDS != 0).long()


def config(**changes: Any) -> TransformerConfig:
    sizes = {
        "vocab_size": 12,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 24,
    }
    return TransformerConfig(**(sizes | changes))


@pytest.fixture(params=["sinusoidal", "learned", "none"])
def encoder(request: pytest.FixtureRequest) -> TransformerModel:
    torch.manual_seed(0)
    return TransformerModel(config(positions=request.param)).eval()


@torch.no_grad()
def test_padding_changes_nothing(encoder: TransformerModel) -> None:
    together = encoder(IDS, MASK).last_hidden_state[0, :5]
    torch.testing.assert_close(encoder(IDS[:1, :5]).last_hidden_state[0], together)


@torch.no_grad()
def test_only_positions_tell_one_order_from_another(encoder: TransformerModel) -> None:
    forward = encoder(IDS[1:]).last_hidden_state
    backward = encoder(IDS[1:].flip(1)).last_hidden_state.flip(1)
    is_same = torch.allclose(forward, backward, atol=1e-5)
    assert is_same == (encoder.config.positions == "none")


@torch.no_grad()
def test_texts_in_a_row_are_kept_apart_by_a_mask_and_positions(encoder: TransformerModel) -> None:
    segments = torch.tensor([1, 1, 1, 2, 2, 2, 2])
    places = torch.tensor([[0, 1, 2, 0, 1, 2, 3]])
    mask = torch.zeros(7, 7).masked_fill(segments[:, None] != segments, -1e30)[None, None]
    packed = encoder(IDS[1:], mask, places).last_hidden_state[0]
    torch.testing.assert_close(packed[3:], encoder(IDS[1:, 3:]).last_hidden_state[0])


def test_sinusoids_begin_with_zeros_and_ones_and_take_any_width() -> None:
    found = sinusoids(torch.arange(3), 5)
    assert found[0].tolist() == [0, 1, 0, 1, 0]
    torch.testing.assert_close(found[:, 0], torch.arange(3).sin())
    torch.testing.assert_close(found[:, 3], (torch.arange(3) / 10_000 ** (2 / 5)).cos())


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("relu", functional.relu),
        ("gelu", functional.gelu),
        ("gelu-tanh", lambda values: functional.gelu(values, approximate="tanh")),
        ("silu", functional.silu),
    ],
)
def test_the_activation_is_the_one_that_is_named(name: str, function: Any) -> None:
    layer = TransformerModel(config(activation=name)).layers[0].feed_forward
    values = torch.linspace(-3, 3, 32).reshape(2, 16)
    torch.testing.assert_close(layer(values), layer.down(function(layer.up(values))))


def test_states_of_all_layers_are_returned_if_asked_for(encoder: TransformerModel) -> None:
    found = encoder(IDS, MASK, output_hidden_states=True)
    assert len(found.hidden_states) == 3
    assert found.hidden_states[-1] is found.last_hidden_state
    assert encoder(IDS, MASK).hidden_states is None


def test_dropout_is_active_in_training_only() -> None:
    model = TransformerModel(config())
    assert not torch.equal(model(IDS)[0], model(IDS)[0])
    assert torch.equal(model.eval()(IDS)[0], model(IDS)[0])


def test_both_losses_are_cross_entropies() -> None:
    model = TransformerForMaskedLM(config()).eval()
    labels = torch.where(torch.arange(7) == 3, IDS, -100)
    found = model(IDS, MASK, labels=labels)
    wanted = functional.cross_entropy(found.logits[:, 3], IDS[:, 3])
    torch.testing.assert_close(found.loss, wanted)
    classifier = TransformerForSequenceClassification(config(num_labels=3)).eval()
    found = classifier(IDS, MASK, labels=torch.tensor([2, 0]))
    torch.testing.assert_close(
        found.loss, functional.cross_entropy(found.logits, torch.tensor([2, 0]))
    )


def test_a_language_model_gives_a_classifier_all_but_its_outputs(tmp_path: Any) -> None:
    register()
    model = TransformerForMaskedLM(config(tie_word_embeddings=True))
    assert model.output.weight is model.encoder.embedding.weight
    model.save_pretrained(tmp_path)
    again = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again(IDS, MASK).logits, model.eval()(IDS, MASK).logits)
    classifier, report = AutoModelForSequenceClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert set(report["missing_keys"]) == {"classifier.weight", "classifier.bias"}
    torch.testing.assert_close(classifier.head.state_dict(), model.head.state_dict())


def test_the_rest_of_finetext_knows_the_architecture() -> None:
    register()
    assert TransformerConfig.model_type in OWN_MODEL_TYPES
    assert summary_token(config()) == "first"
    groups = layer_groups(TransformerForSequenceClassification(config()))
    assert [group[0].rpartition(".")[0] for group in groups] == [
        "encoder.embedding",
        "encoder.layers.0.attention.query",
        "encoder.layers.1.attention.query",
        "head.dense",
    ]
