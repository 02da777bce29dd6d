"""Loading encoders: padding tokens, lengths, dropout, silence, and no code but our own."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from typing import Any

import pytest

import finetext
from finetext.core.errors import ModelError, RecipeError
from finetext.core.types import LabelScheme
from finetext.encoders.heads import ConcatPooledConfig, ConcatPooledModel
from finetext.encoders.load import (
    drop_unused_token_types,
    load_classifier,
    load_encoder,
    load_for_classification,
    load_tokenizer,
    longest_input,
    prepare_tokenizer,
)
from finetext.training.checkpoint import fingerprint

SCHEME = LabelScheme(("a", "b", "c"))
SOURCES = sorted(Path(finetext.__file__).parent.rglob("*.py"))


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder: Path) -> Any:
    return load_tokenizer(str(tiny_encoder))


def test_no_model_may_bring_code_of_its_own() -> None:
    calls = [
        (path.name, node)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "from_pretrained"
    ]
    assert len(calls) >= 5
    for name, call in calls:
        values = [of.value for of in call.keywords if of.arg == "trust_remote_code"]
        assert len(values) == 1, f"{name}:{call.lineno}"
        assert isinstance(values[0], ast.Constant), f"{name}:{call.lineno}"
        assert values[0].value is False, f"{name}:{call.lineno}"


def test_texts_are_truncated_to_the_context_or_max_length(tiny_encoder: Path) -> None:
    encoder = str(tiny_encoder)
    assert longest_input(encoder, None) == 64
    assert [longest_input(encoder, length) for length in (4, 64)] == [4, 64]
    for length in (3, 65):
        with pytest.raises(RecipeError, match=f"max_length is {length}, but .* from 4 to 64"):
            longest_input(encoder, length)


@pytest.mark.parametrize("multilabel", [False, True])
def test_the_configuration_says_what_the_outputs_mean(
    tiny_encoder: Path, tokenizer: Any, multilabel: bool
) -> None:
    scheme = LabelScheme(SCHEME.names, multilabel)
    model = load_for_classification(str(tiny_encoder), tokenizer, scheme, 0.0)
    kind = "multi" if multilabel else "single"
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"}
    assert model.config.label2id == {"a": 0, "b": 1, "c": 2}
    assert model.config.problem_type == f"{kind}_label_classification"
    assert model.classifier.out_features == 3


@pytest.mark.parametrize(("multiplier", "expected"), [(0.0, 0.0), (1.0, 0.1), (2.0, 0.2)])
def test_dropout_is_multiplied(
    tiny_encoder: Path, tokenizer: Any, multiplier: float, expected: float
) -> None:
    from torch.nn import Dropout

    model = load_for_classification(str(tiny_encoder), tokenizer, SCHEME, multiplier)
    found = {module.p for module in model.modules() if isinstance(module, Dropout)}
    assert found == {expected}


def test_a_damaged_folder_is_refused(tiny_encoder: Path, tokenizer: Any, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_encoder, folder)
    (folder / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="damaged"):
        load_encoder(str(folder), tokenizer)
    with pytest.raises(ModelError, match="damaged"):
        load_for_classification(str(folder), tokenizer, SCHEME, 0.0)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="damaged"):
        load_tokenizer(str(folder))


def test_a_folder_without_a_tokenizer_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "incomplete"
    shutil.copytree(tiny_encoder, folder)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").unlink(missing_ok=True)
    with pytest.raises(ModelError, match="has no vocabulary"):
        load_tokenizer(str(folder))


def test_weights_of_another_architecture_are_refused(
    tiny_encoder: Path, tokenizer: Any, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "renamed"
    shutil.copytree(tiny_encoder, folder)
    weights = load_file(folder / "model.safetensors")
    renamed = {f"student.{name}": tensor for name, tensor in weights.items()}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="do not fit its configuration"):
        load_encoder(str(folder), tokenizer)
    with pytest.raises(ModelError, match="do not fit its configuration"):
        load_for_classification(str(folder), tokenizer, SCHEME, 0.0)


def test_an_encoder_is_no_classifier(tiny_encoder: Path) -> None:
    with pytest.raises(ModelError, match="lacks the weights classifier"):
        load_classifier(str(tiny_encoder), SCHEME)


def test_equal_weights_have_equal_fingerprints(tiny_encoder: Path, tokenizer: Any) -> None:
    import torch

    one, two = (load_encoder(str(tiny_encoder), tokenizer) for _ in range(2))
    assert not one.training
    assert fingerprint(one) == fingerprint(two)
    with torch.no_grad():
        next(two.parameters())[0, 0] += 1e-3
    assert fingerprint(one) != fingerprint(two)


def test_loading_and_saving_print_nothing(
    tiny_encoder: Path, tmp_path: Path, topics: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    from finetext.core.contracts import Classifier, FitContext
    from finetext.methods.finetune import Finetune
    from finetext.methods.probe import Probe

    for method in (
        Finetune(encoder=str(tiny_encoder), epochs=1),
        Probe(encoder=str(tiny_encoder), inverse_regularisation=1.0),
    ):
        fitted = method.fit(topics, topics, FitContext(device="cpu"))
        Classifier.load(fitted.save(tmp_path / method.name), "cpu").predict_proba(["bread"])
    assert capfd.readouterr() == ("", "")


WITH_TYPES = ["input_ids", "token_type_ids", "attention_mask"]
WITHOUT_TYPES = ["input_ids", "attention_mask"]


@pytest.fixture
def typed_tokenizer(tiny_encoder: Path) -> Any:
    """That of BERT, which gives the type 0 to all tokens of a text, padded on the left."""
    found = load_tokenizer(str(tiny_encoder))
    found.model_input_names = WITH_TYPES
    found.padding_side = "left"
    return found


def small(kind: str, vocabulary: int) -> Any:
    """A random model of an architecture."""
    from transformers import AutoConfig, AutoModel

    names = {
        "gpt2": {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 40},
        "xlm": {"emb_dim": 32, "n_layers": 1, "n_heads": 2, "max_position_embeddings": 40},
        "distilbert": {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 64},
        "xlnet": {"d_model": 32, "n_layer": 1, "n_head": 2, "d_inner": 64},
    }
    usual = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 64, "max_position_embeddings": 40}  # fmt: skip
    embedding = {"embedding_size": 32} if kind in ("albert", "electra") else {}
    sizes = names.get(kind, usual) | embedding
    config = AutoConfig.for_model(kind, vocab_size=vocabulary, pad_token_id=1, **sizes)
    return AutoModel.from_config(config).eval()


@pytest.mark.parametrize("kind", ["bert", "albert", "electra", "xlnet"])
def test_a_model_that_reads_token_types_gets_them(typed_tokenizer: Any, kind: str) -> None:
    drop_unused_token_types(typed_tokenizer, small(kind, len(typed_tokenizer)))
    assert typed_tokenizer.model_input_names == WITH_TYPES


@pytest.mark.parametrize("kind", ["gpt2", "xlm", "distilbert", "modernbert"])
def test_other_models_get_no_token_types(typed_tokenizer: Any, tmp_path: Path, kind: str) -> None:
    drop_unused_token_types(typed_tokenizer, small(kind, len(typed_tokenizer)))
    assert typed_tokenizer.model_input_names == WITHOUT_TYPES
    typed_tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert load_tokenizer(str(tmp_path)).model_input_names == WITHOUT_TYPES


def test_concat_pooling_uses_the_token_types_of_its_encoder(typed_tokenizer: Any) -> None:
    config = ConcatPooledConfig(small("gpt2", len(typed_tokenizer)).config)
    prepare_tokenizer(typed_tokenizer, ConcatPooledModel(config).eval())
    assert typed_tokenizer.model_input_names == WITHOUT_TYPES
    assert typed_tokenizer.padding_side == "right"


def test_padding_is_on_the_right_unless_the_head_reads_the_last_token(
    typed_tokenizer: Any,
) -> None:
    prepare_tokenizer(typed_tokenizer, small("bert", len(typed_tokenizer)))
    assert typed_tokenizer.padding_side == "right"
    prepare_tokenizer(typed_tokenizer, small("xlnet", len(typed_tokenizer)))
    assert typed_tokenizer.padding_side == "left"


def test_loading_a_model_prepares_its_tokenizer_and_saving_keeps_that(
    tiny_encoder: Path, typed_tokenizer: Any, tmp_path: Path
) -> None:
    load_encoder(str(tiny_encoder), typed_tokenizer)
    assert typed_tokenizer.padding_side == "right"
    assert typed_tokenizer.model_input_names == WITH_TYPES
    typed_tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert load_tokenizer(str(tmp_path)).padding_side == "right"
