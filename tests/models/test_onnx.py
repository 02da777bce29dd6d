"""An ONNX model reads long texts as the model that it was made from."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext.core.errors import ModelError
from finetext.core.text_columns import join
from finetext.models.onnx import ABOUT
from finetext.training.truncation import set_truncation

HEAVY = ("torch", "transformers", "accelerate", "onnx", "onnxscript", "sentence_transformers")
Without = Callable[[tuple[str, ...], str, Path], str]


@pytest.mark.parametrize("is_pair", [False, True])
@pytest.mark.parametrize("kind", ["probe", "finetune"])
@pytest.mark.slow
def test_long_texts_are_read_as_by_the_original(
    kind: str,
    is_pair: bool,
    encoder_run: Path,
    topic_rows: tuple[list[str], list[str]],
    tmp_path: Path,
    snippet_of: Callable[[Path], str],
    without: Without,
) -> None:
    """The probe in windows, the fine-tuned model at head and tail."""
    original: Any = finetext.load(encoder_run / kind / "model", "cpu", engine="torch")
    if kind == "probe":
        original = replace(original, encoder=replace(original.encoder, max_length=8))
    else:
        original = replace(original, max_length=8, tokenizer=copy.deepcopy(original.tokenizer))
        set_truncation(original.tokenizer, "head+tail")
    if is_pair:
        original = replace(original, scheme=replace(original.scheme, text_columns=("a", "b")))
    terms = finetext.ExportTerms(force=True)
    folder = finetext.export(
        original.save(tmp_path / "original"), "onnx", tmp_path / "onnx", terms=terms
    ).folder
    texts = ["", *topic_rows[0], "bread " * 50]
    usual: list[Any] = list(texts)
    if is_pair:
        usual = list(zip(usual, usual[3:], strict=False))
        texts = [join(pair) for pair in usual]
    wanted = original.predict_proba(texts)
    assert np.ptp(wanted[:, 0]) > 0.05
    exported = finetext.load(folder)
    np.testing.assert_allclose(exported.predict_proba(texts), wanted, atol=1e-4)
    program = snippet_of(folder) + f"\nprint(json.dumps(predict_proba({usual!r}).tolist()))\n"
    said = json.loads(without((*HEAVY, "finetext"), program, folder).splitlines()[-1])
    wanted = exported.predict_proba([join(text) if is_pair else text for text in usual])
    np.testing.assert_allclose(said, wanted, atol=1e-5)


@pytest.mark.parametrize(
    "about",
    [
        {"kept": [0, 0]}, {"kept": [-1, 9]}, {"kept": 3}, {"kept": [1]}, {"window": 8},
        {"window": 2, "special": [1, 1]}, {"window": "x", "special": [1, 1]},
    ],
)  # fmt: skip
def test_a_damaged_way_to_read_is_an_error(
    about: dict[str, Any], onnx_model: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(onnx_model, tmp_path / "m")
    (folder / ABOUT).write_text(json.dumps(about))
    described = json.loads((folder / "finetext.json").read_text())
    del described["files"]
    (folder / "finetext.json").write_text(json.dumps(described))
    with pytest.raises(ModelError, match="damaged"):
        finetext.load(folder)
