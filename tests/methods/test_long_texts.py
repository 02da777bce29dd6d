"""What `probe` and `finetune` read of long texts, when they are trained and from their folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import finetext
from finetext.core.contracts import Classifier, FitContext
from finetext.core.types import Dataset
from finetext.encoders import states
from finetext.methods.finetune import Finetune
from finetext.methods.probe import Probe

CPU = FitContext(device="cpu")


def test_head_and_tail_are_read_in_training_and_from_the_folder(
    tiny_encoder: Path, topics: Dataset, make_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    method = Finetune(
        encoder=str(tiny_encoder), epochs=2, batch_size=9, learning_rate=3e-3, max_length=10,
        truncation="head+tail",
    )  # fmt: skip
    filler = "the " * 30
    texts = [f"{text.split()[0]} {filler}{text}" for text in topics.texts]
    rows = make_dataset(texts, topics.labels)
    fitted = method.fit(rows, rows, CPU)
    assert fitted.provenance()["truncation"] == "head+tail"
    # Two of eight tokens are from the head, where one more word changes nothing.
    np.testing.assert_allclose(
        fitted.predict_proba([text.replace("the the", "the the of", 1) for text in texts]),
        fitted.predict_proba(texts), atol=1e-6,
    )  # fmt: skip
    folder = fitted.save(tmp_path / "model")
    loaded = finetext.load(folder, "cpu")
    np.testing.assert_allclose(loaded.predict_proba(texts), fitted.predict_proba(texts), atol=1e-6)
    card = (folder / "README.md").read_text()
    assert "of a text with more than\n10 tokens it reads the beginning" in card
    assert "25% from the head, the rest from the tail" in card
    assert "does not read the middle of a text with more than 10 tokens" in card
    longer = fitted.predict_proba([f"{text} bread" for text in texts])
    assert (np.abs(longer - fitted.predict_proba(texts)).max(axis=1) > 1e-6).all()


def test_whole_texts_are_read_in_windows_unless_there_is_a_length(
    tiny_encoder: Path, topics: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "WINDOW", 12)
    text = f"{'the ' * 40}fresh bread"
    context = FitContext(device="cpu")
    whole = Probe(encoder=str(tiny_encoder), inverse_regularisation=1.0)
    head, tail = (replace(whole, max_length=12, truncation=of) for of in ("head", "tail"))  # type: ignore[arg-type]
    fitted = {name: of.fit(topics, topics, context) for name, of in
              (("whole", whole), ("head", head), ("tail", tail))}  # fmt: skip
    assert fitted["whole"].provenance()["window"] == 12
    context_of_encoder = replace(whole, truncation="head").fit(topics, topics, context)
    assert context_of_encoder.provenance()["max_length"] == 64
    assert "max_length" not in fitted["whole"].provenance()
    assert fitted["tail"].provenance()["truncation"] == "tail"
    cut = {"head": "the " * 10, "tail": f"{'the ' * 8}fresh bread"}
    for name, classifier in fitted.items():
        found = classifier.predict_proba([text])
        loaded = Classifier.load(classifier.save(tmp_path / name), "cpu")
        np.testing.assert_allclose(loaded.predict_proba([text]), found, atol=1e-6)
        for other, part in cut.items():
            same = np.allclose(classifier.predict_proba([part]), found, atol=1e-6)
            assert same == (name == other)


def test_probes_of_earlier_versions_truncate(
    tiny_encoder: Path, topics: Dataset, tmp_path: Path
) -> None:
    probe = Probe(encoder=str(tiny_encoder), max_length=12, inverse_regularisation=1.0)
    fitted = probe.fit(topics, topics, FitContext(device="cpu"))
    folder = fitted.save(tmp_path / "m")
    (folder / "probe.json").write_text('{"max_length": 12}')
    described = json.loads((folder / "finetext.json").read_text())
    del described["files"]
    (folder / "finetext.json").write_text(json.dumps(described))
    loaded = Classifier.load(folder, "cpu")
    text = ["bread " * 40]
    np.testing.assert_allclose(loaded.predict_proba(text), fitted.predict_proba(text), atol=1e-6)
