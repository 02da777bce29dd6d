"""Methods that see the class of a text through noise, so that a cascade of them is fast to make."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import finetext
from finetext import Listener, Recipe, Run, SplitSettings
from finetext.core import registry
from finetext.core.arrays import Floats, probabilities_of
from finetext.core.contracts import Classifier, FitContext, Method
from finetext.core.decision import AS_LIKELY, Decision
from finetext.core.types import Dataset, LabelScheme

SPEEDS = {"majority": 1e6, "tfidf": 50_000, "glance": 20_000, "look": 5_000, "stare": 100}
"""Rows a second that a run is to have measured."""


@dataclass(frozen=True, eq=False)
class EyeClassifier(Classifier):
    """Sees the class, which is odd or even, through noise, and knows how well it sees it."""

    kind: ClassVar[str] = "eye"
    scheme: LabelScheme
    decision: Decision
    noise: float
    scale: float = 1.0

    def predict_proba(self, texts: Any) -> Floats:
        words = [str(text).split(maxsplit=1)[:1] for text in texts]
        numbers = [int(word[0]) if word and word[0].isdigit() else 0 for word in words]
        rows = np.zeros((len(numbers), len(self.scheme)))
        for row, number in zip(rows, numbers, strict=True):
            row[number % 2] = 3.0
            row += np.random.default_rng([int(10 * self.noise), number]).normal(0, self.noise, 2)
        return probabilities_of(rows * self.scale, False)

    def with_temperature(self, temperature: float) -> EyeClassifier:
        return replace(self, scale=self.scale / temperature)

    def save_weights(self, folder: Path) -> None:
        (folder / "eye.json").write_text(json.dumps([self.noise, self.scale]))

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> EyeClassifier:
        return cls(scheme, decision, *json.loads((folder / "eye.json").read_text()))


@dataclass(frozen=True)
class Eye(Method):
    """Fits nothing."""

    name: ClassVar[str] = "eye"
    needs_validation: ClassVar[bool] = False
    noise: float = 1.0

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> EyeClassifier:
        assert train.scheme is not None
        return EyeClassifier(train.scheme, AS_LIKELY, self.noise)


METHODS: dict[str, Method] = {"glance": Eye(1.6), "look": Eye(1.2), "stare": Eye(0.1)}


@contextmanager
def known_eyes() -> Iterator[None]:
    """Let finetext know both classes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.table("methods"), "eye", f"{__name__}:Eye")
        patch.setitem(registry.table("classifiers"), "eye", f"{__name__}:EyeClassifier")
        yield


def text_of(row: int) -> str:
    """A text with its number and a word that says nothing of the class."""
    return f"{row} {('moon', 'tree', 'hill')[row % 3]}"


def trained(out: Path, rows: int, methods: dict[str, Method] = METHODS, **more: Any) -> Run:
    """A run on numbers, whose leaderboard says the speeds above."""
    source, group = out.parent / "data.csv", more.pop("group", None)
    lines = [f"{text_of(row)},{'ab'[row % 2]},{row // 4}" for row in range(rows)]
    source.write_text("\n".join(["text,label,group", *lines]), encoding="utf-8")
    read = finetext.ReadSettings(text="text", label="label", group=group)
    recipe = Recipe(source=str(source), read=read, methods=methods, metric="accuracy", **more)
    run = finetext.train(recipe, out=out, listener=Listener())
    path = run.folder / "leaderboard.json"
    entries = json.loads(path.read_text())
    for entry in entries:
        entry["rows_per_second"] = SPEEDS[entry["method"]]
    path.write_text(json.dumps(entries))
    return Run.open(run.folder)


def large_run(out: Path) -> Run:
    """A run with 100 training, 1,200 validation and 400 test rows."""
    sizes = SplitSettings(train=100, validation=1_200, test=400)
    return trained(out, 1_700, split=sizes, refit=False)
