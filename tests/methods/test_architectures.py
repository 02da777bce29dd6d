"""Architectures of the Hub train, save, reload, and load in `transformers.pipeline`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetext.core.contracts import Classifier, FitContext
from finetext.core.types import Dataset
from finetext.methods.finetune import Finetune
from finetext.methods.probe import Probe

BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
XLNET_SPECIAL = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eop>", "<eod>"]


def word_pieces(texts: list[str]) -> dict[str, int]:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer = normalizers.BertNormalizer()
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=150, special_tokens=BERT_SPECIAL, show_progress=False
    )
    trained.train_from_iterator(texts, trainer)
    return trained.get_vocab()


def byte_pairs(texts: list[str], special: list[str]) -> dict[str, Any]:
    """Vocabulary and merges of a byte-level tokenizer."""
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    trained.train_from_iterator(texts, trainer)
    merges = json.loads(trained.to_str())["model"]["merges"]
    return {"vocab": trained.get_vocab(), "merges": [tuple(pair) for pair in merges]}


def unigrams(texts: list[str], special: list[str], unknown: str) -> list[tuple[str, float]]:
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=special, unk_token=unknown, show_progress=False
    )
    trained.train_from_iterator(texts, trainer)
    return [(piece, score) for piece, score in json.loads(trained.to_str())["model"]["vocab"]]


def distilbert(texts: list[str]) -> tuple[Any, Any]:
    from transformers import DistilBertConfig, DistilBertTokenizerFast

    tokenizer = DistilBertTokenizerFast(vocab=word_pieces(texts))
    return tokenizer, DistilBertConfig(
        vocab_size=len(tokenizer), dim=32, n_layers=2, n_heads=2, hidden_dim=64,
        max_position_embeddings=40,
    )  # fmt: skip


def roberta(texts: list[str]) -> tuple[Any, Any]:
    from transformers import RobertaConfig, RobertaTokenizerFast

    tokenizer = RobertaTokenizerFast(**byte_pairs(texts, ROBERTA_SPECIAL))
    return tokenizer, RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=42, pad_token_id=1, type_vocab_size=1,
        bos_token_id=0, eos_token_id=2,
    )  # fmt: skip


def xlnet(texts: list[str]) -> tuple[Any, Any]:
    from transformers import XLNetConfig, XLNetTokenizerFast

    tokenizer = XLNetTokenizerFast(
        vocab=unigrams(texts, XLNET_SPECIAL, "<unk>"),
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    return tokenizer, XLNetConfig(
        vocab_size=len(tokenizer), d_model=32, n_layer=2, n_head=2, d_inner=64,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip


def deberta(texts: list[str]) -> tuple[Any, Any]:
    from transformers import DebertaV2Config, DebertaV2TokenizerFast

    tokenizer = DebertaV2TokenizerFast(vocab=unigrams(texts, BERT_SPECIAL, "[UNK]"))
    return tokenizer, DebertaV2Config(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=40, relative_attention=True,
        pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0,
        share_att_key=True, norm_rel_ebd="layer_norm", position_buckets=16,
    )  # fmt: skip


def modernbert(texts: list[str]) -> tuple[Any, Any]:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import ModernBertConfig, PreTrainedTokenizerFast

    vocabulary = word_pieces(texts)
    inner = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(t, vocabulary[t]) for t in ("[CLS]", "[SEP]")]
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, **dict(zip(names, BERT_SPECIAL, strict=True)),
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    return tokenizer, ModernBertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=40, pad_token_id=0, cls_token_id=2,
        sep_token_id=3, bos_token_id=2, eos_token_id=3, local_attention=16,
    )  # fmt: skip


def gpt2(texts: list[str]) -> tuple[Any, Any]:
    """No padding token: the one at the end of text pads."""
    from transformers import GPT2Config, GPT2TokenizerFast

    tokenizer = GPT2TokenizerFast(**byte_pairs(texts, ["<|endoftext|>"]))
    assert tokenizer.pad_token is None
    return tokenizer, GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=40,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip


def gpt2_without_end(texts: list[str]) -> tuple[Any, Any]:
    """Neither a padding token nor one at the end of text: one is added."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, PreTrainedTokenizerFast

    pairs = byte_pairs(texts, [])
    inner = Tokenizer(models.BPE(pairs["vocab"], pairs["merges"]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, model_input_names=["input_ids", "attention_mask"]
    )
    assert tokenizer.pad_token is None
    assert tokenizer.eos_token is None
    return tokenizer, GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=40,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip


def gpt2_with_bert_tokenizer(texts: list[str]) -> tuple[Any, Any]:
    """Token types that the model takes to be words, and padding on the left."""
    from transformers import BertTokenizerFast, GPT2Config

    tokenizer = BertTokenizerFast(vocab=word_pieces(texts), padding_side="left")
    assert "token_type_ids" in tokenizer.model_input_names
    return tokenizer, GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=40,
        bos_token_id=2, eos_token_id=3,
    )  # fmt: skip


def bert_padded_on_the_left(texts: list[str]) -> tuple[Any, Any]:
    """Its head reads the first token, which would be padding."""
    from transformers import BertConfig, BertTokenizerFast

    tokenizer = BertTokenizerFast(vocab=word_pieces(texts), padding_side="left")
    return tokenizer, BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=40,
    )  # fmt: skip


BUILDERS: dict[str, Callable[[list[str]], tuple[Any, Any]]] = {
    "DistilBERT": distilbert,
    "RoBERTa": roberta,
    "XLNet": xlnet,
    "DeBERTa-v2": deberta,
    "ModernBERT": modernbert,
    "GPT-2": gpt2,
    "GPT-2 without end": gpt2_without_end,
    "GPT-2 with BERT's tokenizer": gpt2_with_bert_tokenizer,
    "BERT padded on the left": bert_padded_on_the_left,
}


@pytest.fixture(scope="module")
def rows(topics: Dataset, make_dataset: Callable[..., Dataset]) -> Dataset:
    """16 texts, an empty and an overlong one among them."""
    texts = [*topics.texts[:14], "", "the cook baked a cake with salt " * 20]
    return make_dataset(texts, [*topics.labels[:14], "food", "food"])


@pytest.fixture(scope="module", params=BUILDERS)
def encoder(
    request: pytest.FixtureRequest, topics: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a randomly initialized model and its tokenizer."""
    import torch
    from transformers import AutoModel

    tokenizer, config = BUILDERS[request.param](topics.texts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModel.from_config(config)
    folder = tmp_path_factory.mktemp("encoder")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tuned(encoder: Path, rows: Dataset) -> Classifier:
    method = Finetune(
        encoder=str(encoder), epochs=1, batch_size=4, learning_rate=1e-2, truncation="head"
    )
    return method.fit(rows, rows, FitContext(device="cpu"))


def test_it_trains_on_the_whole_context(tuned: Any, rows: Dataset) -> None:
    probabilities = tuned.predict_proba(rows.texts)
    assert np.isfinite(probabilities).all()
    assert len(np.unique(probabilities[:, 0].round(6))) > 10
    assert tuned.max_length == (512 if tuned.model.config.model_type == "xlnet" else 40)


def test_no_dropout_is_left(tuned: Any, rows: Dataset) -> None:
    import torch

    batch = tuned.tokenizer(rows.texts[0], return_tensors="pt")
    tuned.model.train()
    with torch.no_grad():
        one, two = (tuned.model(**batch).logits for _ in range(2))
    tuned.model.eval()
    assert torch.equal(one, two)


def test_padding_makes_no_difference(tuned: Classifier, rows: Dataset) -> None:
    alone = np.concatenate([tuned.predict_proba([text]) for text in rows.texts])
    np.testing.assert_allclose(tuned.predict_proba(rows.texts), alone, atol=1e-5)


def test_it_is_equal_after_reloading(tuned: Classifier, rows: Dataset, tmp_path: Path) -> None:
    loaded = Classifier.load(tuned.save(tmp_path / "model"), device="cpu")
    np.testing.assert_allclose(
        loaded.predict_proba(rows.texts), tuned.predict_proba(rows.texts), atol=1e-6
    )


def test_the_pipeline_of_transformers_agrees(
    tuned: Classifier, rows: Dataset, tmp_path: Path
) -> None:
    from transformers import pipeline

    texts = [text for text in rows.texts if text]
    folder = tuned.save(tmp_path / "model")
    ask = pipeline("text-classification", model=str(folder), top_k=None, device="cpu")
    # transformers cannot take the output of XLNet, its memory, apart into the rows of a batch.
    sizes = [1] if ask.model.config.model_type == "xlnet" else [1, 5]
    for size in sizes:
        answers = ask(texts, truncation=True, batch_size=size)
        said = [{of["label"]: of["score"] for of in row} for row in answers]
        for row, ours in zip(said, tuned.predict_proba(texts), strict=True):
            assert row == pytest.approx(dict(zip(tuned.scheme.names, ours, strict=True)), abs=1e-5)


def test_its_frozen_states_can_be_probed(encoder: Path, rows: Dataset, tmp_path: Path) -> None:
    probe = Probe(encoder=str(encoder), inverse_regularisation=1.0)
    fitted, again = (probe.fit(rows, rows, FitContext(device="cpu")) for _ in range(2))
    probabilities = fitted.predict_proba(rows.texts)
    assert np.isfinite(probabilities).all()
    np.testing.assert_array_equal(again.predict_proba(rows.texts), probabilities)
    loaded = Classifier.load(fitted.save(tmp_path / "model"), device="cpu")
    np.testing.assert_allclose(loaded.predict_proba(rows.texts), probabilities, atol=1e-6)
