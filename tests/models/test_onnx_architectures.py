"""Architectures of the catalogue as ONNX graphs: with random weights, on texts of any length."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetext.core.decision import Decision
from finetext.core.types import LabelScheme
from finetext.methods.finetune import TransformerClassifier
from finetext.models.onnx import ABOUT, OnnxClassifier

TEXT = "the team won a match and bank raised its rates soup with bread salt cook baked cake"
WORDS = TEXT.split()
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def word_tokenizer(special: tuple[str, ...], **names: str) -> Any:
    """Words in small letters; <s> and </s> around them where both are special tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {piece: number for number, piece in enumerate((*special, *WORDS))}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token=special[0]))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    if "<s>" in special:
        inner.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[(t, vocabulary[t]) for t in ("<s>", "</s>")]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, model_input_names=["input_ids", "attention_mask"], **names
    )


def roberta() -> tuple[Any, Any]:
    from transformers import RobertaConfig

    tokenizer = word_tokenizer(SPECIAL, pad_token="<pad>", eos_token="</s>", bos_token="<s>")
    return tokenizer, RobertaConfig(
        vocab_size=len(tokenizer), intermediate_size=64, max_position_embeddings=42,
        pad_token_id=1, type_vocab_size=1, **SMALL,
    )  # fmt: skip


def distilbert() -> tuple[Any, Any]:
    from transformers import DistilBertConfig

    tokenizer = word_tokenizer(SPECIAL, pad_token="<pad>", eos_token="</s>", bos_token="<s>")
    return tokenizer, DistilBertConfig(
        vocab_size=len(tokenizer), dim=32, n_layers=2, n_heads=2, hidden_dim=64,
        max_position_embeddings=40, pad_token_id=1,
    )  # fmt: skip


def gpt2() -> tuple[Any, Any]:
    """Reads left to right, pads with its end of text, and has no special tokens around a text."""
    from transformers import GPT2Config

    tokenizer = word_tokenizer(("<end>",), pad_token="<end>", eos_token="<end>")
    return tokenizer, GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=40,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip


def xlnet() -> tuple[Any, Any]:
    """Pads on the left."""
    from transformers import XLNetConfig

    tokenizer = word_tokenizer(SPECIAL, pad_token="<pad>", eos_token="</s>", bos_token="<s>")
    tokenizer.padding_side = "left"
    return tokenizer, XLNetConfig(
        vocab_size=len(tokenizer), d_model=32, n_layer=2, n_head=2, d_inner=64, pad_token_id=1,
        bos_token_id=0, eos_token_id=2,
    )  # fmt: skip


@pytest.mark.parametrize("build", [roberta, distilbert, gpt2, xlnet])
def test_labels_and_probabilities_are_those_of_torch(
    build: Callable[[], tuple[Any, Any]], tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript")
    import torch
    from transformers import AutoModelForSequenceClassification

    from finetext.models.onnx_export import Exportable

    tokenizer, config = build()
    config.num_labels, config.pad_token_id = 3, tokenizer.pad_token_id
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config).eval()
        with torch.no_grad():
            for weight in model.parameters():
                if weight.dim() > 1:  # large ones, so that texts differ
                    weight.normal_(std=0.4)
    scheme = LabelScheme(("a", "b", "c"))
    original = TransformerClassifier(scheme, Decision(), model, tokenizer, 40, "fp32")
    exportable = Exportable.of(original)
    exportable.describe(tmp_path, scheme)
    exportable.write_graph(tmp_path)
    (tmp_path / ABOUT).write_text("{}")
    exported = OnnxClassifier.load_weights(tmp_path, scheme, Decision(), "cpu")
    texts = [" ".join(WORDS[start : start + n]) for start in range(6) for n in (1, 4, 10)]
    texts += ["", "nothing known", " ".join(WORDS * 5)]
    wanted = original.predict_proba(texts)
    assert np.ptp(wanted[:, 0]) > 0.01
    np.testing.assert_allclose(exported.predict_proba(texts), wanted, atol=1e-4)
    alone = np.concatenate([exported.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(alone, wanted, atol=1e-4)
    assert exported.predict(texts) == original.predict(texts)
    assert (exportable.empty_as == "<end>") == (build is gpt2)
