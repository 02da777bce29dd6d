"""A text classifier of transformers can be used if it is safe, and is called foreign."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext.core.errors import ModelError
from finetext.models.info import info

TEXTS = ["the team won the match", "soup with bread"]


@pytest.fixture
def theirs(tiny_encoder: Path, tmp_path: Path) -> Path:
    """A folder as transformers saves a classifier of two labels."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = AutoModelForSequenceClassification.from_pretrained(
            tiny_encoder, id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1}
        )
    model.save_pretrained(tmp_path / "theirs")
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path / "theirs")
    return tmp_path / "theirs"


def change(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def test_it_predicts_as_transformers_does(theirs: Path) -> None:
    from transformers import pipeline

    loaded = finetext.load(theirs, device="cpu")
    assert loaded.scheme.names == ("no", "yes")
    expected = pipeline("text-classification", model=str(theirs), device="cpu", top_k=None)
    for text in TEXTS:
        said = {each["label"]: each["score"] for each in expected([text])[0]}
        assert loaded(text) == pytest.approx(said, abs=1e-5)


def test_several_labels_are_taken_from_its_configuration(theirs: Path) -> None:
    change(theirs, problem_type="multi_label_classification")
    loaded = finetext.load(theirs, device="cpu")
    assert loaded.scheme.multilabel
    assert not np.allclose(loaded.predict_proba(TEXTS).sum(axis=1), 1)


def test_the_command_says_that_it_is_foreign(theirs: Path, command: Callable[..., Any]) -> None:
    seen = command("predict", theirs, "a text", "--json")
    assert seen.status == 0
    seen = command("predict", theirs, "a text")
    assert "finetext did not write" in seen.err
    about = info(theirs)
    assert about.kind == "foreign"
    assert about.problem is None
    assert about.labels == ("no", "yes")
    seen = command("info", theirs)
    assert seen.status == 0
    assert "a text classifier of transformers" in seen.out


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"id2label": {"0": "score"}, "num_labels": 1}, "predicts a number"),
        ({"problem_type": "regression"}, "predicts a number"),
        ({"id2label": {"0": "a", "1": "a"}}, "not unique"),
        ({"id2label": {"0": "a", "2": "b"}}, "numbers"),
        ({"id2label": ["a", "b"]}, "are unusable"),
    ],
)
def test_labels_that_are_none_are_refused(
    theirs: Path, values: dict[str, Any], message: str
) -> None:
    change(theirs, **values)
    with pytest.raises(ModelError, match=message):
        finetext.load(theirs)


def test_only_safetensors_are_loaded(theirs: Path) -> None:
    import torch

    (theirs / "model.safetensors").rename(theirs / "model.other")
    with pytest.raises(ModelError, match="no weights in safetensors"):
        finetext.load(theirs)
    assert "no weights in safetensors" in str(info(theirs).problem)
    (theirs / "model.other").rename(theirs / "model.safetensors")
    torch.save({"w": torch.zeros(1)}, theirs / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"holds a pickle.*pytorch_model\.bin"):
        finetext.load(theirs)
