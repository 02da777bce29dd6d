"""A static export: vectors of the encoder, a head that learns anew, and what that costs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext.core.contracts import Classifier, FitContext
from finetext.core.decision import Decision
from finetext.core.errors import ModelError, RecipeError, UnlabeledError
from finetext.core.types import Dataset
from finetext.evaluation.calibration import tempered

ODD_TEXTS = ("", " \n", "x" * 3_000, "bread " * 3_000, "😀", "\x00", "שלום", "bread \ud83c salt")
HEAVY = ("torch", "transformers", "model2vec", "onnxruntime")


@pytest.fixture(scope="module")
def exported(static_model: Path) -> Classifier:
    return finetext.load(static_model)


def test_static_predictions_are_accurate(
    exported: Classifier, topic_rows: tuple[list[str], list[str]]
) -> None:
    texts, labels = topic_rows
    right = [a == b for a, b in zip(exported.predict(texts), labels, strict=True)]
    assert np.mean(right) > 0.9


def test_unusual_texts_get_valid_probabilities(exported: Classifier) -> None:
    texts = ["fresh bread", *ODD_TEXTS]
    probabilities = exported.predict_proba(texts)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    alone = np.concatenate([exported.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(probabilities, alone, atol=1e-9)
    assert exported.predict_proba([]).shape == (0, 3)


def test_decision_and_temperature_are_kept(exported: Classifier, tmp_path: Path) -> None:
    texts = ["fresh bread", *ODD_TEXTS]
    wanted = tempered(exported.predict_proba(texts), False, 0.5)
    cooled = exported.with_temperature(0.5).with_decision(Decision(least=(2.0,) * 3))
    loaded = finetext.load(cooled.save(tmp_path / "m"))
    np.testing.assert_allclose(loaded.predict_proba(texts), wanted, atol=1e-9)
    assert set(loaded.predict(texts)) == {None}
    assert (tmp_path / "m" / "export.json").is_file()


def test_the_loss_has_an_interval(static_model: Path) -> None:
    compared = json.loads((static_model / "export.json").read_text(encoding="utf-8"))
    assert compared["rows"] > 5
    assert "chosen on these rows" in compared["remark"]
    cost = compared["differences"]["accuracy"]["difference"]
    assert cost["low"] <= cost["value"] <= cost["high"]
    described = json.loads((static_model / "finetext.json").read_text(encoding="utf-8"))
    assert described["provenance"]["made_from"] == "run/finetune"
    assert described["provenance"]["dimensions"] == 32


def test_the_program_in_the_card_needs_safetensors_tokenizers_and_numpy_only(
    static_model: Path,
    exported: Classifier,
    snippet_of: Callable[[Path], str],
    without: Callable[[tuple[str, ...], str, Path], str],
) -> None:
    texts = ["fresh bread", "", "a late goal " * 60]
    program = snippet_of(static_model)
    program += f"\nprint(json.dumps(predict_proba({texts!r}).tolist()))\n"
    said = json.loads(without((*HEAVY, "finetext"), program, static_model).splitlines()[-1])
    np.testing.assert_allclose(said, exported.predict_proba(texts), atol=1e-9)


def test_a_model_without_a_run_needs_a_labeled_table(
    encoder_run: Path, topic_rows: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    model = encoder_run / "probe" / "model"
    model = shutil.copytree(model, tmp_path / "model")
    with pytest.raises(RecipeError, match="give a labeled table with --data"):
        finetext.export(model, "static")
    with pytest.raises(UnlabeledError):
        finetext.export(model, "static", data=topic_rows[0])
    settings = {"dimensions": 8}
    found = finetext.export(model, "static", data=topic_rows, settings=settings)
    assert found.folder == tmp_path / "static"
    assert found.compared is not None
    assert found.compared.rows < len(topic_rows[0]) / 2
    assert "held out" in found.compared.remark
    vectors: Any = found.classifier
    assert vectors.embeddings.vectors.shape[1] == 8


def test_model2vec_loads_the_vectors_and_embeds_alike(static_model: Path) -> None:
    model2vec = pytest.importorskip("model2vec")
    texts = ["fresh bread", "", "a late goal", "something else"]
    theirs = model2vec.StaticModel.from_pretrained(static_model).encode(texts)
    ours: Any = finetext.load(static_model)
    np.testing.assert_allclose(ours.embeddings.states(texts), theirs, atol=3e-3)


def test_an_export_never_replaces_a_fitted_static_model(
    encoder_run: Path, static_model: Path, topics: Dataset, tiny_encoder: Path, tmp_path: Path
) -> None:
    method = finetext.Static(encoder=str(tiny_encoder), inverse_regularisation=16.0)
    place = method.fit(topics, topics, FitContext(device="cpu")).save(tmp_path / "m")
    terms = finetext.ExportTerms(force=True)
    with pytest.raises(ModelError, match="something other than an export"):
        finetext.export(encoder_run / "finetune", "static", place, terms=terms)
    older = shutil.copytree(static_model, tmp_path / "older")
    assert finetext.export(encoder_run / "finetune", "static", older, terms=terms).folder == older
    with pytest.raises(ModelError, match="itself an export"):
        finetext.export(older, "onnx", tmp_path / "onnx")


@pytest.mark.parametrize(
    "file",
    [
        "head.safetensors",
        "model.safetensors",
        "tokenizer.json",
        "static.json",
        "tokens.safetensors",
    ],
)
def test_a_damaged_file_is_named(static_model: Path, tmp_path: Path, file: str) -> None:
    folder = shutil.copytree(static_model, tmp_path / "m")
    (folder / file).write_bytes(b"\x00" * (folder / file).stat().st_size)
    with pytest.raises(ModelError, match="damaged"):
        finetext.load(folder)


def test_tokens_beyond_the_vectors_are_damage(static_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(static_model, tmp_path / "m")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["bread"] = 10**6
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    described = json.loads((folder / "finetext.json").read_text())
    del described["files"]
    (folder / "finetext.json").write_text(json.dumps(described))
    with pytest.raises(ModelError, match="fewer vectors"):
        finetext.load(folder)
