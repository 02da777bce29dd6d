"""AWD-LSTM: its dropouts, its state, what padding changes (nothing), and its files."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

from finetext.core.types import LabelScheme
from finetext.encoders.auto import register
from finetext.encoders.awd_lstm import (
    AwdLstmConfig,
    AwdLstmForCausalLM,
    AwdLstmForSequenceClassification,
    AwdLstmLayer,
    AwdLstmModel,
    variational_dropout,
)
from finetext.encoders.load import load_encoder, load_for_classification
from finetext.encoders.word_rules import MARKERS
from finetext.encoders.word_tokenizer import WordTokenizer
from finetext.training.optimizer import cast_weights, layer_groups

WORDS = 40


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def config(**settings: Any) -> AwdLstmConfig:
    sizes: dict[str, Any] = {"vocab_size": WORDS, "embedding_size": 6, "inner_size": 9}
    return AwdLstmConfig(**(sizes | settings))


def ids(*shape: int) -> Tensor:
    return torch.randint(7, WORDS, shape)


@pytest.fixture
def language_model() -> AwdLstmForCausalLM:
    return AwdLstmForCausalLM(config())


@pytest.fixture
def classifier() -> AwdLstmForSequenceClassification:
    return AwdLstmForSequenceClassification(config(bptt=4, num_labels=3))


def test_the_layers_are_those_of_the_paper() -> None:
    shapes = [tuple(layer.weight_ih.shape) for layer in AwdLstmModel(AwdLstmConfig()).layers]
    assert shapes == [(4 * 1152, 400), (4 * 1152, 1152), (4 * 400, 1152)]


def test_without_dropout_a_layer_is_the_lstm_of_torch() -> None:
    layer, reference = AwdLstmLayer(5, 7, 0.5).eval(), torch.nn.LSTM(5, 7, batch_first=True)
    for name, weight in reference.named_parameters():
        torch.nn.init.normal_(weight)
        getattr(layer, name.removesuffix("_l0")).data = weight.data
    values = torch.randn(3, 4, 5)
    found, (hidden, cell) = layer(values, None, None)
    wanted, state = reference(values)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close((hidden, cell), state)


def test_the_state_continues_an_earlier_call(language_model: AwdLstmForCausalLM) -> None:
    language_model.eval()
    tokens = ids(3, 10)
    whole = language_model(tokens)
    first = language_model(tokens[:, :4])
    second = language_model(tokens[:, 4:], state=first.state)
    torch.testing.assert_close(torch.cat([first.logits, second.logits], 1), whole.logits)
    torch.testing.assert_close(second.state, whole.state)
    assert [hidden.shape for hidden, _ in whole.state] == [(1, 3, 9), (1, 3, 9), (1, 3, 6)]
    forgotten = language_model(tokens[:, 4:])
    assert not torch.allclose(forgotten.logits, second.logits)


def test_labels_are_the_next_words(language_model: AwdLstmForCausalLM) -> None:
    language_model.eval()
    tokens = ids(2, 5)
    labels = tokens.clone()
    labels[0, 3:] = -100
    found = language_model(tokens, labels=labels)
    shares = found.logits[:, :-1].log_softmax(-1)
    chosen = -shares.gather(-1, tokens[:, 1:, None]).squeeze(-1)
    wanted = torch.cat([chosen[0, :2], chosen[1]]).mean()
    torch.testing.assert_close(found.loss, wanted)


def test_outputs_are_given_before_and_after_dropout(language_model: AwdLstmForCausalLM) -> None:
    found = language_model(ids(4, 5))
    dropped = found.outputs_dropped == 0
    assert 0 < dropped.float().mean() < 0.5
    torch.testing.assert_close(found.outputs_dropped, found.outputs_raw / 0.9 * ~dropped)
    torch.testing.assert_close(found.logits, language_model.lm_head(found.outputs_dropped))


def test_one_mask_serves_all_tokens_of_a_sequence() -> None:
    dropped = variational_dropout(torch.ones(50, 8, 40), 0.3, training=True)
    assert (dropped == dropped[:, :1]).all()
    assert (dropped[:, 0] == 0).float().mean() == pytest.approx(0.3, abs=0.05)
    torch.testing.assert_close(dropped[dropped > 0].unique(), torch.tensor([1 / 0.7]))
    assert not (dropped[0] == dropped[1]).all()


def test_a_dropped_word_is_dropped_everywhere() -> None:
    model = AwdLstmModel(config(embedding_dropout=0.5))
    tokens = ids(20, 30)
    values = model._embed(tokens)
    gone = (values == 0).all(-1)
    assert 0.2 < gone.float().mean() < 0.8
    for word in tokens.unique():
        assert gone[tokens == word].unique().numel() == 1
    torch.testing.assert_close(values[~gone], 2 * model.embedding(tokens)[~gone])
    assert not (model.eval()._embed(tokens) == 0).all(-1).any()


def test_recurrent_weights_get_new_masks_and_do_not_change() -> None:
    layer = AwdLstmLayer(5, 7, 0.5)
    for weight in layer.parameters():
        torch.nn.init.normal_(weight)
    before = layer.weight_hh.detach().clone()
    values = torch.randn(2, 6, 5)
    one, other = (layer(values, None, None)[0] for _ in range(2))
    assert not torch.allclose(one, other)
    torch.testing.assert_close(one[:, 0], other[:, 0])  # nothing recurs at the first token
    one.sum().backward()
    assert layer.weight_hh.grad is not None
    assert 0.3 < (layer.weight_hh.grad == 0).float().mean() < 0.7
    assert torch.equal(layer.weight_hh, before)
    layer.eval()
    assert torch.equal(layer(values, None, None)[0], layer(values, None, None)[0])


def test_one_multiplier_switches_all_dropouts_off() -> None:
    settings = config().to_dict()
    names = {name for name in settings if name.endswith("_dropout")}
    assert len(names) == 11
    model = AwdLstmForCausalLM(config(**dict.fromkeys(names, 0.0)))
    tokens = ids(2, 5)
    assert torch.equal(model(tokens).logits, model.eval()(tokens).logits)


def test_the_classifier_has_its_own_dropouts(
    classifier: AwdLstmForSequenceClassification,
) -> None:
    assert list(classifier.model.dropouts.values()) == [0.05, 0.4, 0.5, 0.3]
    assert list(AwdLstmModel(config()).dropouts.values()) == [0.02, 0.25, 0.2, 0.15]


def test_padding_and_company_change_no_logits(
    classifier: AwdLstmForSequenceClassification,
) -> None:
    classifier.eval()
    texts = [ids(1, length) for length in (1, 3, 4, 9, 13)]
    alone = torch.cat([classifier(text).logits for text in texts])
    tokens, mask = torch.full((5, 16), 1), torch.zeros(5, 16, dtype=torch.int64)
    for row, text in enumerate(texts):
        tokens[row, : text.shape[1]], mask[row, : text.shape[1]] = text[0], 1
    torch.testing.assert_close(classifier(tokens, mask).logits, alone, atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(classifier(tokens, mask).logits, alone, atol=1e-6, rtol=1e-5)


def test_gradients_stop_at_the_border_of_a_chunk() -> None:
    layer = AwdLstmLayer(3, 4, 0.0)
    for weight in layer.parameters():
        torch.nn.init.normal_(weight)
    values = torch.randn(1, 10, 3, requires_grad=True)
    outputs, _ = layer(values, None, 4)
    outputs[0, 9].sum().backward()
    assert values.grad is not None
    reached = (values.grad[0] != 0).any(-1)
    assert reached.tolist() == [False] * 8 + [True] * 2
    whole, _ = layer(values, None, None)
    torch.testing.assert_close(outputs, whole)


def test_a_classifier_learns_from_all_of_a_long_text(
    classifier: AwdLstmForSequenceClassification,
) -> None:
    tokens = torch.arange(7, 20).unsqueeze(0)  # 13 words, gradients flow over 4
    classifier(tokens).logits.square().sum().backward()
    gradient = classifier.model.embedding.weight.grad
    assert gradient is not None
    assert (gradient[7:20] != 0).any(-1).sum() > 10  # of 13; a word or two may be dropped
    assert all(weight.grad is not None for weight in classifier.parameters())


def test_a_classifier_learns_from_a_batch_of_one(
    classifier: AwdLstmForSequenceClassification,
) -> None:
    found = classifier(ids(1, 6), labels=torch.tensor([2]))
    found.loss.backward()
    assert found.loss.isfinite()


def test_weights_are_tied_after_saving_and_loading(
    language_model: AwdLstmForCausalLM, tmp_path: Path
) -> None:
    register()
    language_model.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("*.bin"))
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(again) is AwdLstmForCausalLM
    assert again.lm_head.weight is again.model.embedding.weight
    assert again.lm_head.bias.shape == (WORDS,)
    tokens = ids(2, 5)
    torch.testing.assert_close(again.eval()(tokens).logits, language_model.eval()(tokens).logits)
    assert "hidden_size" not in json.loads((tmp_path / "config.json").read_text())
    assert again.config.hidden_size == 6


def test_the_encoder_is_passed_to_the_classifier(
    language_model: AwdLstmForCausalLM, tmp_path: Path
) -> None:
    register()
    language_model.save_pretrained(tmp_path)
    tokens = ids(2, 5)
    wanted = language_model.eval()(tokens).outputs_raw
    bare = AutoModel.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(bare(tokens).last_hidden_state, wanted)
    classifier, report = AutoModelForSequenceClassification.from_pretrained(
        tmp_path, num_labels=4, output_loading_info=True
    )
    assert all(name.startswith("head.") for name in report["missing_keys"])
    torch.testing.assert_close(classifier.eval().model(tokens).last_hidden_state, wanted)
    assert classifier(tokens).logits.shape == (2, 4)


def test_our_loaders_take_the_folder(language_model: AwdLstmForCausalLM, tmp_path: Path) -> None:
    words = [*MARKERS, *(f"word{number}" for number in range(WORDS - len(MARKERS)))]
    tokenizer = WordTokenizer.of_words(words)
    language_model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    scheme = LabelScheme(("bad", "good"))
    found = load_for_classification(str(tmp_path), tokenizer, scheme, 0.0)
    assert set(found.model.dropouts.values()) == {0}
    assert found.get_input_embeddings() is found.model.embedding
    found.set_input_embeddings(torch.nn.Embedding(3, 6))
    assert found(torch.tensor([[0, 2]])).logits.shape == (1, 2)
    assert load_encoder(str(tmp_path), tokenizer)(ids(2, 3)).last_hidden_state.shape == (2, 3, 6)


def test_copies_and_other_number_formats_work(
    classifier: AwdLstmForSequenceClassification,
) -> None:
    tokens, mask = ids(3, 9), torch.ones(3, 9, dtype=torch.int64)
    mask[1, 5:] = 0
    wanted = classifier.eval()(tokens, mask).logits
    rough = copy.deepcopy(classifier).train()
    cast_weights(rough, "bf16")
    rough(tokens, mask).logits.float().sum().backward()
    assert all(weight.grad is not None for weight in rough.parameters())
    found = rough.eval()(tokens, mask).logits
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, atol=0.05, rtol=0.1)
    torch.testing.assert_close(classifier(tokens, mask).logits, wanted)


def test_layer_groups_are_found(
    classifier: AwdLstmForSequenceClassification, language_model: AwdLstmForCausalLM
) -> None:
    groups = layer_groups(classifier)
    assert len(groups) == 5
    assert groups[0] == ["model.embedding.weight"]
    assert {name.rsplit(".", 1)[0] for name in groups[2]} == {"model.layers.1"}
    assert all(name.startswith("head.") for name in groups[-1])
    assert len(layer_groups(language_model)) == 4  # the embedding belongs to the head


def test_setting_the_attention_does_nothing(
    classifier: AwdLstmForSequenceClassification,
) -> None:
    classifier.set_attn_implementation(classifier.config._attn_implementation)
    with pytest.raises(ValueError, match="scaled_dot_product_attention"):
        classifier.set_attn_implementation("sdpa")


def test_the_vocabulary_can_grow(language_model: AwdLstmForCausalLM) -> None:
    language_model.resize_token_embeddings(WORDS + 2, mean_resizing=False)
    assert language_model.lm_head.weight is language_model.model.embedding.weight
    assert language_model(torch.tensor([[WORDS + 1]])).logits.shape == (1, 1, WORDS + 2)
