"""Which method is taken where rows are too few to tell which is best."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import finetext
from finetext.core import registry
from finetext.core.arrays import Floats
from finetext.core.contracts import Classifier, FitContext, Listener, Method
from finetext.core.decision import Decision
from finetext.core.settings import SplitSettings
from finetext.core.types import Dataset, LabelScheme
from finetext.methods.blend import Blend
from finetext.methods.zeroshot import ZeroShot
from finetext.runs.recipe import Recipe
from finetext.runs.run import Run


@dataclass(frozen=True, eq=False)
class ToldClassifier(Classifier):
    """Right on `right` of 10 texts from one on; their numbers are odd or even as their labels."""

    kind: ClassVar[str] = "told"
    scheme: LabelScheme
    decision: Decision
    right: int
    start: int

    def predict_proba(self, texts: Any) -> Floats:
        numbers = np.array([int(str(text).split()[0]) for text in texts], dtype=np.int64)
        labels = np.where((numbers + self.start) % 10 < self.right, numbers % 2, 1 - numbers % 2)
        return np.where(np.eye(2)[labels] > 0, 0.8, 0.2)

    def with_temperature(self, temperature: float) -> ToldClassifier:
        return replace(self)

    def save_weights(self, folder: Path) -> None:
        (folder / "told.txt").write_text(f"{self.right} {self.start}")

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> ToldClassifier:
        return cls(scheme, decision, *map(int, (folder / "told.txt").read_text().split()))


@dataclass(frozen=True)
class Told(Method):
    """Fits nothing."""

    name: ClassVar[str] = "told"
    needs_validation: ClassVar[bool] = False
    right: int = 0
    start: int = 0
    encoder: str = "minilm"

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> ToldClassifier:
        assert train.scheme is not None
        return ToldClassifier(train.scheme, Decision(), self.right, self.start)


@dataclass(frozen=True)
class Named(ZeroShot):
    """Goes by names, as it were."""

    name: ClassVar[str] = "named"
    right: int = 0

    def check(self, scheme: LabelScheme | None = None) -> None:
        """Any labels will do."""

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> Any:
        assert train.scheme is not None
        return ToldClassifier(train.scheme, Decision(), self.right, 0)


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, of in {"told": "Told", "named": "Named"}.items():
        monkeypatch.setitem(registry.table("methods"), name, f"{__name__}:{of}")
    monkeypatch.setitem(registry.table("classifiers"), "told", f"{__name__}:ToldClassifier")


def trained(out: Path, rows: int, by_name: int, learned: int, test: int = 0) -> Run:
    source = out.parent / "data.csv"
    parts = ["train"] * rows + ["test"] * test
    lines = [f"{row} text,{'ab'[row % 2]},{part}" for row, part in enumerate(parts)]
    source.write_text("\n".join(["text,label,split", *lines]), encoding="utf-8")
    methods: dict[str, Method] = {"names": Named(right=by_name), "first": Told(learned)}
    methods |= {"second": Told(learned, 5), "blend": Blend()}
    split = SplitSettings(cross_validate=not test)
    recipe = Recipe(source=str(source), methods=methods, metric="accuracy", split=split)
    return finetext.train(recipe, out=out, listener=Listener())


@pytest.mark.parametrize(
    ("rows", "by_name", "learned", "best"),
    [(16, 7, 7, "names"), (16, 5, 6, "names"), (16, 3, 9, "blend"), (30, 9, 8, "blend")],
)
@pytest.mark.slow
def test_with_fewer_than_20_rows_names_are_taken_unless_rows_are_clearly_ahead(
    tmp_path: Path, rows: int, by_name: int, learned: int, best: str
) -> None:
    run = trained(tmp_path / "run", rows, by_name, learned)
    assert run.folds
    assert run.best == best
    assert run.choice is not None
    assert run.choice.is_hedge
    said = {finding.code: finding.message for finding in run.findings}
    assert ("names-hedge" in said) == (best == "names")
    if best == "names":
        assert said["names-hedge"] == (
            "names: taken as fewer than 20 rows tell less than the names of the labels"
        )


@pytest.mark.parametrize(("rows", "best"), [(18, "names"), (40, "blend")])
def test_a_few_validation_rows_beside_test_rows_cannot_show_that_a_blend_is_ahead(
    tmp_path: Path, rows: int, best: str
) -> None:
    run = trained(tmp_path / "run", rows, 3, 9, test=60)
    assert not run.folds
    assert len(run.predictions("names", "test").ids) == 60
    assert run.best == best
