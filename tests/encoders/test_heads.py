"""Concat pooling on any encoder: what the head reads, and how models are saved and loaded."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from finetext.core.contracts import Classifier, FitContext
from finetext.core.errors import ModelError
from finetext.core.types import Dataset, LabelScheme
from finetext.encoders.auto import context_from, context_of, register
from finetext.encoders.heads import (
    ConcatPooledConfig,
    ConcatPooledForSequenceClassification,
    concat_pooled,
    start_at,
)
from finetext.encoders.load import (
    load_classifier,
    load_encoder,
    load_for_classification,
    load_tokenizer,
    restore_dropout,
)
from finetext.methods.finetune import Finetune
from finetext.training.checkpoint import fingerprint
from finetext.training.classification import only_first_token
from finetext.training.tokens import TokenTable, tokenize, vocabulary_in_use

SCHEME = LabelScheme(("food", "money", "sport"))
SMALL = {
    "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 40,
}  # fmt: skip
GPT2 = {
    "vocab_size": 60, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
ENCODERS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "BERT": ("Bert", SMALL, "first", "right"),
    "DistilBERT": (
        "DistilBert",
        {"vocab_size": 60, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24,
         "max_position_embeddings": 40},
        "first", "right",
    ),
    "RoBERTa": (
        "Roberta",
        SMALL | {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
        "first", "right",
    ),
    "ModernBERT": (
        "ModernBert",
        SMALL | {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2,
                 "eos_token_id": 3},
        "first", "right",
    ),
    "GPT-2": ("GPT2", GPT2, "last", "right"),
    "GPT-2 padded left": ("GPT2", GPT2, "last", "left"),
}  # fmt: skip
LENGTHS = (9, 4, 1)


@pytest.fixture(scope="module", params=ENCODERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(kind: str) -> Any:
    """A random encoder under a random head."""
    name, options, _, _ = ENCODERS[kind]
    config = getattr(transformers, f"{name}Config")(**options)
    names = {"id2label": dict(enumerate(SCHEME.names)), "label2id": SCHEME.index}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ConcatPooledForSequenceClassification(ConcatPooledConfig(config, **names)).eval()


def batch(kind: str) -> dict[str, torch.Tensor]:
    """Three texts of 9, 4 and 1 tokens, padded on the side of the kind."""
    there = torch.arange(9) < torch.tensor(LENGTHS)[:, None]
    if ENCODERS[kind][3] == "left":
        there = there.flip(1)
    ids = torch.arange(4, 31).reshape(3, 9)
    return {"input_ids": torch.where(there, ids, 1), "attention_mask": there.long()}


def logits(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return torch.as_tensor(model(**inputs).logits)


def test_three_vectors_side_by_side() -> None:
    states = torch.tensor(
        [[[1.0, -2.0], [3.0, -4.0], [9.0, 9.0]], [[5.0, 6.0], [7.0, 8.0], [0, 1]]]
    )
    mask = torch.tensor([[1, 1, 0], [0, 1, 1]])
    first = concat_pooled(states, mask, "first")
    assert first.tolist() == [[1, -2, 3, -2, 2, -3], [7, 8, 7, 8, 3.5, 4.5]]
    last = concat_pooled(states, mask, "last")
    assert last[:, :2].tolist() == [[3, -4], [0, 1]]
    assert torch.equal(last[:, 2:], first[:, 2:])


def test_the_token_is_the_one_that_has_seen_the_whole_text(kind: str, model: Any) -> None:
    assert model.config.token == ENCODERS[kind][2]


def test_padding_makes_no_difference(kind: str, model: Any) -> None:
    inputs = batch(kind)
    there = inputs["attention_mask"] == 1
    alone = [
        logits(model, {name: of[row : row + 1, there[row]] for name, of in inputs.items()})
        for row in range(3)
    ]
    torch.testing.assert_close(logits(model, inputs), torch.cat(alone), rtol=1e-5, atol=1e-6)
    other = inputs | {"input_ids": torch.where(there, inputs["input_ids"], 7)}
    if kind != "RoBERTa":  # which finds its positions by the id of padding
        torch.testing.assert_close(logits(model, inputs), logits(model, other), rtol=0, atol=1e-6)


def test_a_text_in_training_does_not_depend_on_the_rest_of_its_batch(kind: str, model: Any) -> None:
    inputs = {name: of[:1] for name, of in batch(kind).items()}
    two = {name: torch.cat([of, of.flip(1)]) for name, of in inputs.items()}
    model.head.train()
    model.head[0].p = model.head[4].p = 0.0
    torch.testing.assert_close(model(**two).logits[:1], model(**inputs).logits, atol=1e-6, rtol=0)


def test_every_weight_learns_from_the_loss_of_the_labels(kind: str, model: Any) -> None:
    labels = torch.tensor([0, 1, 2])
    found = model(**batch(kind), labels=labels)
    assert torch.equal(found.loss, nn.functional.cross_entropy(found.logits, labels))
    found.loss.backward()
    assert [name for name, of in model.named_parameters() if of.grad is None] == []


def test_the_encoder_is_passed_through(kind: str, model: Any) -> None:
    assert model.base_model is model.encoder
    assert model.config.hidden_size == 16
    assert model.config.num_hidden_layers == 2
    assert model.config.max_position_embeddings == 40
    assert model.config.vocab_size == 60
    assert model.config.pad_token_id == model.encoder.config.pad_token_id
    table = model.get_input_embeddings()
    assert table is model.encoder.get_input_embeddings()
    model.set_input_embeddings(nn.Embedding(70, 16))
    assert model.encoder.get_input_embeddings().num_embeddings == 70
    model.resize_token_embeddings(80, mean_resizing=False)
    assert model.config.vocab_size == model.encoder.config.vocab_size == 80
    with only_first_token(model):
        assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_attention_is_that_of_the_encoder(kind: str, model: Any, attention: str) -> None:
    expected = logits(model, batch(kind))
    model.set_attn_implementation(attention)
    assert model.config._attn_implementation == attention
    assert model.encoder.config._attn_implementation == attention
    torch.testing.assert_close(logits(model, batch(kind)), expected, rtol=1e-5, atol=1e-6)


def test_it_is_equal_after_loading(kind: str, model: Any, tmp_path: Path) -> None:
    register()
    register()
    model.save_pretrained(tmp_path)
    loaded = load_classifier(str(tmp_path), SCHEME).eval()
    assert type(loaded) is ConcatPooledForSequenceClassification
    assert fingerprint(loaded) == fingerprint(model)
    assert torch.equal(logits(loaded, batch(kind)), logits(model, batch(kind)))
    said = json.loads((tmp_path / "config.json").read_text())
    assert said["id2label"] == {"0": "food", "1": "money", "2": "sport"}
    assert said["encoder"]["model_type"] == model.encoder.config.model_type
    assert (tmp_path / "model.safetensors").is_file()


def test_training_with_the_vocabulary_in_use_changes_nothing(kind: str, model: Any) -> None:
    inputs = batch(kind)
    pad = model.config.pad_token_id
    real = inputs["attention_mask"] == 1
    inputs["input_ids"] = torch.where(real, inputs["input_ids"], pad)
    rows = [ids[there].numpy() for ids, there in zip(inputs["input_ids"], real, strict=True)]
    starts = np.cumsum([0, *LENGTHS])
    table = TokenTable(np.concatenate(rows), None, starts, (pad, 0, ENCODERS[kind][3]))
    expected = logits(model, inputs)
    with vocabulary_in_use(model, [table]) as [cut]:
        assert model.get_input_embeddings().num_embeddings < 60
        torch.testing.assert_close(
            logits(model, cut.batch(np.arange(3))), expected, rtol=1e-5, atol=1e-6
        )
    assert torch.equal(logits(model, inputs), expected)


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder: Path) -> Any:
    return load_tokenizer(str(tiny_encoder))


def built(tiny_encoder: Path, tokenizer: Any, multiplier: float = 0.0) -> Any:
    return load_for_classification(str(tiny_encoder), tokenizer, SCHEME, multiplier, head="concat")


def test_a_head_is_put_on_the_pretrained_weights(tiny_encoder: Path, tokenizer: Any) -> None:
    model = built(tiny_encoder, tokenizer)
    assert type(model) is ConcatPooledForSequenceClassification
    assert model.config.id2label == {0: "food", 1: "money", 2: "sport"}
    assert model.config.problem_type == "single_label_classification"
    own = load_encoder(str(tiny_encoder), tokenizer).state_dict()
    kept = model.encoder.state_dict()
    assert set(own) - set(kept) == {"pooler.dense.weight", "pooler.dense.bias"}
    assert all(torch.equal(of, own[name]) for name, of in kept.items())
    assert model.encoder.config._attn_implementation == "sdpa"


def test_an_encoder_decoder_is_refused(tokenizer: Any, tmp_path: Path) -> None:
    config = transformers.BartConfig(
        vocab_size=60, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16,
        decoder_ffn_dim=16, encoder_attention_heads=2, decoder_attention_heads=2,
        max_position_embeddings=40,
    )  # fmt: skip
    transformers.BartModel(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="has an encoder and a decoder"):
        load_for_classification(str(tmp_path), tokenizer, SCHEME, 0.0, head="concat")


@pytest.mark.parametrize("multiplier", [0.0, 0.5, 20.0])
def test_all_dropout_is_multiplied_and_restored(
    tiny_encoder: Path, tokenizer: Any, multiplier: float
) -> None:
    model = built(tiny_encoder, tokenizer, multiplier)
    found = {module.p for module in model.modules() if isinstance(module, nn.Dropout)}
    assert found == {min(1.0, 0.1 * multiplier)}
    restore_dropout(model, str(tiny_encoder))
    assert model.config.head_dropout == 0.1
    assert model.config.encoder.hidden_dropout_prob == 0.1
    assert "hidden_dropout_prob" not in vars(model.config)


def test_a_model_that_was_tuned_can_be_tuned_again(
    tiny_encoder: Path, tokenizer: Any, tmp_path: Path
) -> None:
    model = built(tiny_encoder, tokenizer)
    restore_dropout(model, str(tiny_encoder))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    two = LabelScheme(("a", "b"))
    again = load_for_classification(str(tmp_path), tokenizer, two, 0.5, head="concat")
    assert again.config.id2label == {0: "a", 1: "b"}
    assert again.config.head_dropout == again.config.encoder.hidden_dropout_prob == 0.05
    assert fingerprint(again.encoder) == fingerprint(model.encoder)
    restore_dropout(again, str(tmp_path))
    assert again.config.head_dropout == again.config.encoder.hidden_dropout_prob == 0.1


@pytest.fixture(scope="module")
def tuned(tiny_encoder: Path, topics: Dataset) -> Any:
    method = Finetune(
        encoder=str(tiny_encoder), epochs=12, batch_size=4, learning_rate=5e-3, head="concat"
    )
    return method.fit(topics, topics, FitContext(device="cpu"))


def test_it_learns(tuned: Any, topics: Dataset) -> None:
    predicted = tuned.predict_proba(topics.texts).argmax(1)
    assert (predicted == topics.targets).mean() > 0.9


@pytest.fixture(scope="module")
def folder(tuned: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tuned.save(tmp_path_factory.mktemp("tuned") / "model")


def test_a_saved_classifier_is_equal(tuned: Any, folder: Path, topics: Dataset) -> None:
    loaded: Any = Classifier.load(folder, device="cpu")
    assert (loaded.predict_proba(topics.texts) == tuned.predict_proba(topics.texts)).all()
    assert loaded.max_length == tuned.max_length == context_of(str(folder)) == 64


def test_the_context_is_that_of_the_encoder(tmp_path: Path) -> None:
    config = transformers.RobertaConfig(**ENCODERS["RoBERTa"][1])
    assert context_from(ConcatPooledConfig(config), 10**30) == context_from(config, 10**30) == 38


def test_its_frozen_states_can_be_read(tuned: Any, folder: Path) -> None:
    encoder = load_encoder(str(folder), tuned.tokenizer)
    assert fingerprint(encoder.encoder) == fingerprint(tuned.model.encoder)


def test_another_process_needs_one_line_to_load_it(tuned: Any, folder: Path) -> None:
    code = (
        "import sys, transformers; from finetext.encoders.auto import register; register(); "
        "ask = transformers.pipeline('text-classification', sys.argv[1], top_k=None, device='cpu');"
        "print([(of['label'], of['score']) for of in ask(['bread and soup'])[0]])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(folder)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    said = dict(ast.literal_eval(done.stdout))
    assert said == pytest.approx(tuned("bread and soup"), abs=1e-5)
    assert "not supported" not in done.stderr


def test_only_a_new_head_starts_at_given_logits(tiny_encoder: Path, tokenizer: Any) -> None:
    model = load_for_classification(str(tiny_encoder), tokenizer, SCHEME, 1.0).eval()
    inputs = tokenize(tokenizer, ["a b"], 8).batch([0])
    wanted = torch.arange(len(SCHEME), dtype=torch.float32) - 1
    before = model(**inputs).logits
    start_at(model, wanted, inputs)
    torch.testing.assert_close(model(**inputs).logits - before, wanted[None])
    start_at(model, wanted + 5, inputs)  # it is not new any more
    torch.testing.assert_close(model(**inputs).logits - before, wanted[None])
