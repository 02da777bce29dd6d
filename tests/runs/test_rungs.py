"""A rung of the ladder: what its training says is said under its own name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from finetext.core.contracts import Classifier, FitContext
from finetext.core.types import Dataset, Finding
from finetext.data.split import split
from finetext.methods.majority import Majority
from finetext.runs.fit_methods import climb
from finetext.runs.recipe import Recipe


@dataclass(frozen=True)
class Talking(Majority):
    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> Classifier:
        context.say("majority: counts the majority: done")
        context.say("3 majority: rows")
        context.find(Finding("warning", "few", "majority: too few rows"))
        return super().fit(train, validation, context)


def test_rungs_of_the_same_method_are_told_apart(topics: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    found: list[Finding] = []
    context = FitContext(say=said.append, find=found.append)
    rung = climb("often", Talking(), split(topics), tmp_path, context, Recipe())
    assert said == ["often: counts the majority: done", "3 majority: rows"]
    assert [one.message for one in found] == ["often: too few rows"]
    assert rung.findings == tuple(found)
