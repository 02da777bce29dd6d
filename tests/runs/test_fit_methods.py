"""Fitting the methods of a run: names in messages, and several seeds."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import finetext
from finetext.core.contracts import Classifier, FitContext, Listener, Method
from finetext.core.decision import AS_LIKELY
from finetext.core.types import Dataset, Finding
from finetext.evaluation.deciding import Deciding
from finetext.methods.majority import Majority, MajorityClassifier
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


@dataclass(frozen=True)
class Talking(Majority):
    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> Classifier:
        context.say("majority: counts the majority: done")
        context.say("3 majority: rows")
        context.find(Finding("warning", "few", "majority: too few rows"))
        return super().fit(train, validation, context)


def test_messages_have_the_name_of_the_method_in_the_run(workplace: Path, reviews: Path) -> None:
    said: list[str] = []
    found: list[Finding] = []
    listener = Listener(say=said.append, finding=found.append)
    finetext.train(reviews, {"often": Talking()}, out="run", listener=listener)
    assert {"often: counts the majority: done", "3 majority: rows"} <= set(said)
    assert "often: too few rows" in [one.message for one in found]
    assert [one.message for one in Run.open("run").findings] == ["often: too few rows"]


@dataclass(frozen=True)
class Counting(Majority):
    """Says how many validation rows it is given."""

    name: ClassVar[str] = "counting"

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> Classifier:
        context.say(f"counting: {len(validation)} validation rows")
        return super().fit(train, validation, context)


@pytest.mark.parametrize(("validation", "given"), [(300, 150), (200, 200)])
def test_a_decision_rule_has_validation_rows_of_its_own_and_says_what_it_assures(
    workplace: Path, validation: int, given: int
) -> None:
    rows = [{"text": f"text number {n}", "label": "ab"[n % 5 == 0]} for n in range(500)]
    Path("rows.csv").write_text(
        "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows)
    )
    sizes = finetext.SplitSettings(train=100, validation=validation, test=100, keep_duplicates=True)
    decide = Deciding(abstain="coverage=0.9" if validation == 300 else "accuracy=0.95")
    heard: list[str] = []
    run = finetext.train(
        Recipe(source="rows.csv", split=sizes, methods={"counting": Counting()}, decide=decide),
        out="run",
        listener=Listener(say=heard.append),
    )
    assert any(line.startswith(f"counting: {given} validation rows") for line in heard)
    decision = run.classifier("counting").decision
    assert decision.assured == (validation == 300,)
    assert decision.least is not None
    said = f"counting: the target of the decision rule is {decision.assurance}"
    assert said in heard
    card = (run.folder / "counting" / "model" / "README.md").read_text()
    assert f"The target is {decision.assurance}." in card
    assert len(run.predictions("counting", "validation")) == validation
