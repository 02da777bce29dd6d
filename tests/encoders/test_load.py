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
from finetext.encoders.load import (
    load_classifier,
    load_encoder,
    load_for_classification,
    load_tokenizer,
    longest_input,
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


def test_texts_are_cut_to_the_context_or_to_what_was_asked_for(tiny_encoder: Path) -> None:
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
