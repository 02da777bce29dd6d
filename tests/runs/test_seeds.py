"""Methods that are fitted with several seeds: what is done again, noticed and shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import finetext
from finetext.core.contracts import FitContext, Listener, Method
from finetext.core.decision import AS_LIKELY
from finetext.core.types import Dataset, Finding
from finetext.methods.majority import MajorityClassifier
from finetext.runs.recipe import LARGEST_SEED, Recipe, read_toml
from finetext.runs.run import Run


@dataclass(frozen=True)
class Chance(Method):
    """As sure of the first class as its seed says."""

    name: ClassVar[str] = "chance"

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> MajorityClassifier:
        assert train.scheme is not None
        if (broken := Path("broken")).exists() and context.seed == 6:
            broken.unlink()
            raise finetext.FinetextError("broken")
        with Path("fits").open("a") as file:
            file.write(f"{context.seed}\n")
        share = 0.9 if context.seed == 5 else 0.2
        return MajorityClassifier(train.scheme, AS_LIKELY, np.array([share, 1 - share]))


def trained(reviews: Path, **settings: Any) -> Run:
    return finetext.train(
        Recipe(source=str(reviews), methods={"chance": Chance()}, seed=5, seeds=3),
        out="run",
        listener=Listener(),
        **settings,
    )


def test_every_method_is_fitted_with_every_seed(workplace: Path, reviews: Path) -> None:
    run = trained(reviews)
    assert Path("fits").read_text().split() == ["5", "6", "7"]
    entry = next(entry for entry in run.leaderboard if entry.method == "chance")
    assert [of.seed for of in entry.seeds] == [5, 6, 7]
    values = [of.metrics["test"]["accuracy"] for of in entry.seeds]
    assert values[0] == entry.metrics["test"]["accuracy"].value
    assert values[1] == values[2] != values[0]
    assert (run.folder / "chance" / "seed-6" / "predictions.parquet").is_file()
    assert not (run.folder / "chance" / "seed-6" / "model").exists()
    assert run.best == "tfidf"
    assert read_toml(run.folder / "recipe.toml")["seeds"] == 3


def test_finished_seeds_are_not_fitted_again(workplace: Path, reviews: Path) -> None:
    Path("broken").touch()
    with pytest.raises(finetext.FinetextError, match="a further seed failed: broken"):
        trained(reviews)
    unfinished = Run.open("run")
    assert unfinished.unfinished == ("majority", "tfidf", "chance")
    assert [entry.method for entry in unfinished.leaderboard] == ["majority", "tfidf", "chance"]
    run = trained(reviews, resume=True)
    assert Path("fits").read_text().split() == ["5", "6", "7"]
    assert len(run.leaderboard[-1].seeds) == 3
    assert not run.unfinished


@dataclass(frozen=True)
class Noticing(Chance):
    """Finds one thing with every seed, one with some, and one that tells the seed."""

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> MajorityClassifier:
        for message in ("all the same", *(["odd"] * (context.seed != 6)), f"step {context.seed}"):
            context.find(Finding("warning", "training", f"chance: {message}"))
        return super().fit(train, validation, context)


def test_findings_of_all_seeds_are_in_the_report(workplace: Path, reviews: Path) -> None:
    quick = finetext.Tfidf(longest_ngram=1, inverse_regularisation=1.0)
    methods = {"tfidf": quick, "luck": Noticing()}
    recipe = Recipe(source=str(reviews), methods=methods, seed=5, seeds=3)
    heard: list[Finding] = []
    Path("broken").touch()
    with pytest.raises(finetext.FinetextError, match="a further seed failed: broken"):
        finetext.train(recipe, out="run", listener=Listener(finding=heard.append))
    assert "luck, seed 6: all the same" in [finding.message for finding in heard]
    run = finetext.train(recipe, out="run", resume=True, listener=Listener())
    told = [finding.message for finding in Run.open("run").findings]
    assert told == [finding.message for finding in run.findings]
    assert told == [
        "luck: all the same",
        "luck, seeds 5 and 7: odd",
        "luck, seed 5: step 5",
        "luck, seed 6: step 6",
        "luck, seed 7: step 7",
    ]
    page = run.report.read_text()
    assert page.count("all the same") == 1
    assert all(message in page for message in told)
    again = finetext.train(recipe, out="run", resume=True, listener=Listener())
    assert again.findings == run.findings


def test_seed_0_follows_the_largest_seed(workplace: Path, reviews: Path) -> None:
    recipe = Recipe(source=str(reviews), methods={"chance": Chance()}, seed=LARGEST_SEED, seeds=2)
    run = finetext.train(recipe, out="run", listener=Listener())
    assert [of.seed for of in run.leaderboard[-1].seeds] == [LARGEST_SEED, 0]


def test_every_seed_learns_from_all_rows(workplace: Path, reviews: Path) -> None:
    quick = finetext.Tfidf(longest_ngram=1, inverse_regularisation=1.0)
    recipe = Recipe(source=str(reviews), methods={"tfidf": quick}, seeds=2)
    one, other = (
        finetext.train(replace(recipe, refit=refit), out=f"run-{refit}", listener=Listener())
        for refit in (True, False)
    )
    for seed in range(2):
        for part in ("validation", "test"):
            both = [of.entry("tfidf").seeds[seed].metrics[part]["log_loss"] for of in (one, other)]
            assert (both[0] == both[1]) == (part == "validation")


def test_command_shows_mean_and_standard_deviation(
    command: Callable[..., Any], reviews: Path
) -> None:
    seen = command("train", reviews, "--methods", "majority", "--seeds", "2", "--out", "r")
    assert seen.status == 0, seen.err
    assert "mean over 2 seeds [95%: of the method, over rows and seeds] ± spread" in seen.out
    assert re.search(r"tfidf     1\.000 \[0\.\d+, 1\.000\]  ± 0\.000", seen.out)
    refused = command("train", reviews, "--seeds", "0")
    assert refused.status == 2
    assert "seeds = 0" in refused.err
