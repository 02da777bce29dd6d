"""Encoders with the head of a language model, loaded and saved."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    BertConfig,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedConfig,
    T5Config,
    XLNetConfig,
)

from finetext.core.errors import ModelError
from finetext.core.types import LabelScheme
from finetext.encoders.language_models import (
    initialize_output_bias,
    load_for_language_model,
    objective_of,
    save_language_model,
)
from finetext.encoders.load import load_encoder, load_for_classification, load_tokenizer

SCHEME = LabelScheme(("no", "yes"))


def folder_of(config: PreTrainedConfig, tiny_encoder: Path, folder: Path) -> str:
    """A folder with this configuration and the tokenizer of the tests."""
    config.save_pretrained(folder)
    load_tokenizer(str(tiny_encoder)).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("config", "objective"),
    [(BertConfig(), "masked"), (GPT2Config(), "causal"), (XLNetConfig(), "causal")],
)
def test_the_architecture_says_what_is_predicted(
    tiny_encoder: Path, tmp_path: Path, config: PreTrainedConfig, objective: str
) -> None:
    assert objective_of(folder_of(config, tiny_encoder, tmp_path)) == objective


def test_an_architecture_without_a_language_model_is_refused(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="architecture t5, which has neither a masked"):
        objective_of(folder_of(T5Config(), tiny_encoder, tmp_path))


def test_a_missing_head_is_new_and_tied_to_the_embeddings(tiny_encoder: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_encoder))
    torch.manual_seed(0)
    model, is_fresh = load_for_language_model(str(tiny_encoder), tokenizer)
    assert is_fresh
    output = model.get_output_embeddings()
    assert output.weight is model.get_input_embeddings().weight
    assert output.bias is not None
    assert output.bias.requires_grad
    transform = model.cls.predictions.transform.dense
    assert torch.equal(transform.weight, torch.eye(32))
    assert transform.bias.eq(0).all()
    torch.manual_seed(0)
    again, _ = load_for_language_model(str(tiny_encoder), tokenizer)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True)
    )
    bare = load_encoder(str(tiny_encoder), tokenizer)
    inputs = tokenizer(["the team won"], return_tensors="pt")
    with torch.no_grad():
        states = model.eval().base_model(**inputs).last_hidden_state
        torch.testing.assert_close(states, bare(**inputs).last_hidden_state)


def test_dropout_is_multiplied_and_saved_as_it_was(tiny_encoder: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_encoder))
    model, _ = load_for_language_model(str(tiny_encoder), tokenizer, 2.0)
    assert model.bert.embeddings.dropout.p == pytest.approx(0.2)
    save_language_model(model, tokenizer, tmp_path, str(tiny_encoder))
    assert BertConfig.from_pretrained(tmp_path).hidden_dropout_prob == pytest.approx(0.1)


def test_what_is_saved_is_loaded_by_everything(tiny_encoder: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_encoder))
    model, _ = load_for_language_model(str(tiny_encoder), tokenizer)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.01
    tokenizer(["a text"], truncation=True, max_length=5, padding="max_length")
    save_language_model(model, tokenizer, tmp_path, str(tiny_encoder))
    inputs = tokenizer(["the team won"], return_tensors="pt")
    states = model.eval().base_model(**inputs).last_hidden_state
    again, is_fresh = load_for_language_model(str(tmp_path), load_tokenizer(str(tmp_path)))
    assert not is_fresh
    assert again.get_output_embeddings().weight is again.get_input_embeddings().weight
    torch.testing.assert_close(again.eval()(**inputs).logits, model(**inputs).logits)
    plain = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(plain(**inputs).logits, model(**inputs).logits)
    for loaded in (
        load_encoder(str(tmp_path), tokenizer),
        load_for_classification(str(tmp_path), tokenizer, SCHEME, 0.0).base_model.eval(),
    ):
        torch.testing.assert_close(loaded(**inputs).last_hidden_state, states)
    assert len(load_tokenizer(str(tmp_path)).backend_tokenizer.encode("the " * 9)) == 11


def test_the_pooling_layer_of_the_base_is_kept_through_two_adaptations(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(str(tiny_encoder))
    pooler = AutoModel.from_pretrained(tiny_encoder).pooler.dense.weight
    bases = [str(tiny_encoder), str(tmp_path / "one"), str(tmp_path / "two")]
    for base, folder in pairwise(bases):
        Path(folder).mkdir()
        save_language_model(
            load_for_language_model(base, tokenizer)[0], tokenizer, Path(folder), base
        )
    classifier: Any = load_for_classification(bases[-1], tokenizer, SCHEME, 0.0)
    assert torch.equal(classifier.bert.pooler.dense.weight, pooler)


def test_a_decoder_has_its_own_head(tiny_encoder: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_encoder))
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, n_positions=64,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    made = GPT2LMHeadModel(config).eval()
    made.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model, is_fresh = load_for_language_model(str(tmp_path), tokenizer)
    assert not is_fresh
    inputs = tokenizer(["the team won"], return_tensors="pt", return_token_type_ids=False)
    torch.testing.assert_close(model.eval()(**inputs).logits, made(**inputs).logits)


def test_weights_of_another_architecture_are_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder_of(BertConfig.from_pretrained(tiny_encoder), tiny_encoder, tmp_path)
    save_file({"something": torch.zeros(2)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="do not fit its configuration"):
        load_for_language_model(str(tmp_path), load_tokenizer(str(tmp_path)))


def test_a_new_head_starts_with_the_word_frequencies(tiny_encoder: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_encoder))
    model, _ = load_for_language_model(str(tiny_encoder), tokenizer)
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    counts[[7, 9]] = [30, 10]
    initialize_output_bias(model, counts)
    shares = model.get_output_embeddings().bias.softmax(0)[[7, 9, 8]] * (40 + len(tokenizer))
    assert shares.tolist() == pytest.approx([31, 11, 1], rel=1e-5)
    bare = GPT2LMHeadModel(GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2))
    initialize_output_bias(bare, counts)
