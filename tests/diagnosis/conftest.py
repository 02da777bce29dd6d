"""Helpers of the tests of diagnosis: made-up data sets and predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetext.core.contracts import Classifier, FitContext
from finetext.core.decision import AS_LIKELY
from finetext.core.types import Dataset, LabelScheme, Predicted, Predictions
from finetext.methods.blend import BlendClassifier
from finetext.methods.cascade import CascadeClassifier, Stage
from finetext.methods.finetune import Finetune
from finetext.methods.probe import Probe
from finetext.methods.tfidf import Tfidf


@pytest.fixture(scope="session")
def engines(
    tiny_encoder: Path, topics: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Classifier, Classifier]]:
    """A transformer, a probe, and a blend and a cascade with the transformer, by torch and ONNX."""
    from finetext.models.engines import RUNTIME, engine_of
    from finetext.runs.load import load

    pytest.importorskip("onnxruntime")
    context, encoder = FitContext(device="cpu"), str(tiny_encoder)
    tuned = Finetune(
        encoder=encoder, epochs=4, batch_size=8, learning_rate=5e-3, precision="fp32", max_length=12
    )
    cheap = Tfidf(inverse_regularisation=1.0).fit(topics, topics, context)
    made: dict[str, Classifier] = {
        "transformer": tuned.fit(topics, topics, context),
        "probe": Probe(encoder=encoder, inverse_regularisation=1.0).fit(topics, topics, context),
    }
    members = {"tfidf": cheap, "transformer": made["transformer"]}
    weights = {"tfidf": 0.4, "transformer": 1.2}
    stages = (Stage(name, of) for name, of in members.items())
    made["blend"] = BlendClassifier.of(cheap.scheme, weights, members)
    made["cascade"] = CascadeClassifier(cheap.scheme, AS_LIKELY, *stages, 2.0)
    found = {}
    for name, classifier in made.items():
        folder = classifier.save(tmp_path_factory.mktemp("engines") / name)
        both = load(folder, "cpu", engine="torch"), load(folder, "cpu", engine="latency")
        assert list(map(engine_of, both)) == ["torch in fp32", RUNTIME]
        found[name] = both
    return found


@pytest.fixture(scope="session")
def rows_of() -> Callable[..., Dataset]:
    """A function that makes a data set of texts, labels and further columns; ids are r0, r1, ..."""

    def make(texts: list[str], labels: list[Any], **columns: list[str]) -> Dataset:
        import datasets

        several = bool(labels) and isinstance(labels[0], list)
        names = sorted({name for label in labels for name in (label if several else [label])})
        rows = {"id": [f"r{i}" for i in range(len(texts))], "text": texts, "label": labels}
        table = datasets.Dataset.from_dict({**rows, **columns})
        return Dataset(table, LabelScheme(tuple(names), several))

    return make


@pytest.fixture(scope="session")
def judged() -> Callable[..., Predicted]:
    """A function that makes predictions of three labels that are right or wrong as given."""

    def make(
        texts: Sequence[str] | None, right: np.ndarray, groups: Sequence[str] | None = None
    ) -> Predicted:
        n = len(right)
        targets = np.random.default_rng(5).integers(3, size=n)
        given = np.where(right, targets, (targets + 1) % 3)
        probabilities = np.full((n, 3), 0.1)
        probabilities[np.arange(n), given] = 0.8
        predictions = Predictions(
            tuple(map(str, range(n))), targets, probabilities, LabelScheme(("a", "b", "c")),
            groups=None if groups is None else tuple(groups),
        )  # fmt: skip
        known = None if texts is None else tuple(texts)
        return Predicted("mine.csv", predictions, known, "macro_f1")

    return make
