"""The plan of a run, and the estimate of its time, before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import finetext
from finetext import Finetune, Majority, Probe, Tfidf
from finetext.core.contracts import FitContext
from finetext.core.errors import DataError
from finetext.core.types import Dataset
from finetext.runs import pipeline
from finetext.runs import plan as planning
from finetext.runs.costs import Cost, How, Load, cost_of
from finetext.runs.recipe import ADAPTED


def test_every_method_has_its_time_and_nothing_is_written(
    topics: Dataset, tiny_encoder: Path, workplace: Path
) -> None:
    name = str(tiny_encoder)
    methods = [Majority(), Tfidf(), Probe(encoder=name), Finetune(encoder=name, epochs=2)]
    found = finetext.plan(topics, methods, seed=3)
    assert [of.method for of in found.methods] == ["majority", "tfidf", "probe", "finetune"]
    assert all(of.seconds is not None and of.seconds > 0 for of in found.methods)
    assert found.seconds == pytest.approx(sum(of.seconds or 0 for of in found.methods))
    assert sum(found.rows.values()) == len(topics)
    assert found.methods[3].settings == {"encoder": name, "epochs": 2}
    assert not list(workplace.iterdir())


def test_more_epochs_and_seeds_are_estimated_to_take_longer(
    topics: Dataset, tiny_encoder: Path
) -> None:
    def seconds(epochs: int) -> float:
        method = Finetune(encoder=str(tiny_encoder), epochs=epochs, batch_size=8)
        return float(finetext.plan(topics, method).methods[-1].seconds or 0)

    assert seconds(3000) > 20 * seconds(3)


def test_the_time_of_an_encoder_that_is_still_to_be_adapted_is_unknown(
    topics: Dataset, tiny_encoder: Path
) -> None:
    recipe = finetext.Recipe.from_values({
        "data": {"source": "x"}, "adapt": {"encoder": str(tiny_encoder)},
        "methods": {"finetune": {"encoder": ADAPTED}},
    })  # fmt: skip
    found = planning.planned(_resolved(topics, recipe))
    by_name = {of.method: of.seconds for of in found.methods}
    assert by_name["finetune"] is None
    assert "estimate: at least" in found.estimate
    assert "finetune unknown" in found.estimate


def _resolved(topics: Dataset, recipe: Any) -> Any:
    from types import SimpleNamespace

    splits = finetext.split(topics)
    return SimpleNamespace(recipe=recipe, splits=splits, dataset=topics, folds=None)


def test_a_plan_refuses_what_a_run_refuses() -> None:
    with pytest.raises(DataError):
        finetext.plan((["a", "b"], ["x", "x"]))


def test_the_dry_run_prints_columns_splits_methods_and_estimate(
    command: Any, reviews: Path, workplace: Path
) -> None:
    before = set(workplace.rglob("*"))
    shown = command("train", reviews, "--methods", "tfidf", "--dry-run")
    for words in ("text '", "splits:", "tfidf: default settings", "estimate:", "nothing was"):
        assert words in shown.out + shown.err
    values = json.loads(command("train", reviews, "--methods", "tfidf", "--dry-run", "--json").out)
    assert [of["method"] for of in values["methods"]] == ["majority", "tfidf"]
    assert set(workplace.rglob("*")) == before


def test_a_long_run_begins_with_an_estimate(
    topics: Dataset, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = list[str]()
    method = Finetune(encoder=str(tiny_encoder), epochs=1)
    for number, long in enumerate((planning.LONG, 1)):
        monkeypatch.setattr(planning, "LONG", long)
        listener = finetext.Listener(say=said.append)
        pipeline.train(topics, method, out=tmp_path / str(number), listener=listener)
    assert sum(line.startswith("estimate:") for line in said) == 1


def test_the_leaderboard_is_known_before_the_diagnosis(topics: Dataset, tmp_path: Path) -> None:
    happened = list[str]()
    listener = finetext.Listener(
        say=happened.append, scored=lambda run: happened.append(f"scored {run.best}")
    )
    run = pipeline.train(topics, "tfidf", out=tmp_path / "run", listener=listener)
    assert happened.index(f"scored {run.best}") < happened.index("diagnosing errors")


def test_a_plan_with_minutes_shows_what_is_cut(
    command: Any, reviews: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cost(method: Any, *rest: Any) -> Cost:
        return Cost(0.0, 10.0 * (method.name == "tfidf"), 0.0)

    monkeypatch.setattr("finetext.runs.minutes.cost_of", cost)
    monkeypatch.setattr("finetext.runs.minutes.FEWEST_ROWS", 10)
    words = ("train", reviews, "--methods", "tfidf", "--dry-run", "--minutes")
    shown = command(*words, "5").out
    assert "tfidf is cut to fit: " in shown
    assert "of 42 training rows" in shown
    values = json.loads(command(*words, "5", "--json").out)
    assert values["minutes"] == 5
    assert values["methods"][1]["note"].startswith("tfidf is cut to fit")
    assert values["seconds"] <= 300
    assert "left out" in command(*words, "0.5").out
    assert "cut" not in command(*words, "60").out
    assert not list(workplace.iterdir())


def test_minutes_that_are_none_are_refused_before_any_work(command: Any, reviews: Path) -> None:
    for minutes in ("0", "-5", "nan", "0.001"):
        refused = command("train", reviews, "--minutes", minutes, status=2)
        assert "give a number of minutes from 0.02" in refused.err
    assert "seeds = 2" in command("train", reviews, "--minutes", 5, "--seeds", 2, status=2).err


def test_a_cost_is_measured_from_fits_on_few_rows(topics: Dataset) -> None:
    found = cost_of(Tfidf(inverse_regularisation=1.0), finetext.split(topics), FitContext())
    assert found.fixed >= 0
    assert found.learn > 0
    assert found.read > 0
    assert found.seconds(Load(10.0, 1.0, 1.0)) < found.seconds(Load(1000.0, 1.0, 1.0))


def test_the_cost_of_a_training_tells_steps_and_lengths(
    topics: Dataset, tiny_encoder: Path
) -> None:
    method = Finetune(encoder=str(tiny_encoder), epochs=3, batch_size=4)
    found = cost_of(method, finetext.split(topics), FitContext(device="cpu"))
    assert (found.epochs, found.batch) == (3, 4)
    assert found.share(5) < found.share(7) <= 1
    load = Load.of(finetext.split(topics))
    shorter = found.seconds(load, How(max_length=5))
    assert found.seconds(load, How(epochs=1)) < found.seconds(load) > shorter
