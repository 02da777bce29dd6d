"""Ablation baselines of methods with an adapted or pretrained encoder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext import Finding, Finetune, Listener, Probe, Recipe, Run
from finetext.core.errors import ModelError
from finetext.core.types import LabelScheme, Predictions
from finetext.diagnosis.data_checks import Reader
from finetext.evaluation.compare import compare
from finetext.evaluation.leaderboard import EncoderGain, LeaderboardEntry
from finetext.methods.majority import Majority
from finetext.pretraining.folder import Origin, write_corpus_hashes, write_origin
from finetext.runs.ablations import (
    encoder_gains,
    seconds_before,
    seen_test_rows,
    with_ablation_baselines,
)
from finetext.runs.resolve import model_inputs

Make = Callable[..., Path]


@pytest.fixture
def own(tiny_encoder: Path, tmp_path: Path) -> Make:
    """A function that makes the folder of an encoder that tells where it comes from."""

    def make(
        name: str, kind: Any = "adapted", base: object = tiny_encoder,
        texts: Sequence[str] = (), with_test: bool = False,
    ) -> Path:  # fmt: skip
        folder = shutil.copytree(tiny_encoder, tmp_path / name)
        corpus = {"documents": len(texts), "with_test": with_test}
        write_origin(folder, Origin(kind, str(base), corpus, 600.0, {}, {}, {}))
        write_corpus_hashes(folder, texts)
        return folder

    return make


def tune(encoder: object, **settings: Any) -> Finetune:
    return Finetune(encoder=str(encoder), epochs=1, max_length=16, **settings)


def recipe_of(**methods: Any) -> Recipe:
    return Recipe(methods={name.replace("_", "-"): of for name, of in methods.items()})


def with_baselines(recipe: Recipe) -> tuple[Recipe, list[Finding]]:
    methods, findings = with_ablation_baselines(recipe)
    return replace(recipe, methods=methods), findings


def names(recipe: Recipe) -> list[str]:
    return [name for name in recipe.methods if name not in ("majority", "tfidf")]


def test_baseline_of_an_adapted_encoder(own: Make, tiny_encoder: Path) -> None:
    folder = own("adapted")
    recipe, findings = with_baselines(recipe_of(finetune=tune(folder), probe=Probe(str(folder))))
    assert names(recipe) == ["finetune", "finetune-unadapted", "probe", "probe-unadapted"]
    assert recipe.methods["finetune-unadapted"] == tune(tiny_encoder)
    assert recipe.methods["probe-unadapted"] == Probe(str(tiny_encoder))
    assert findings == []


def test_baseline_of_a_pretrained_encoder(own: Make) -> None:
    folder = own("pretrained", "pretrained", "")
    recipe, findings = with_baselines(recipe_of(finetune=tune(folder), probe=Probe(str(folder))))
    assert names(recipe) == ["finetune", "finetune-random", "probe"]
    assert recipe.methods["finetune-random"] == tune(f"random:{folder}")
    assert [(of.severity, of.code) for of in findings] == [("note", "no-twin")]
    assert "probe does not take random weights" in findings[0].message


def test_baselines_of_an_adapted_pretrained_encoder(own: Make, tmp_path: Path) -> None:
    folder = own("adapted", base=own("pretrained", "pretrained", ""))
    recipe, _ = with_baselines(recipe_of(finetune=tune(folder)))
    assert names(recipe) == ["finetune", "finetune-unadapted", "finetune-unadapted-random"]
    assert with_baselines(recipe)[0] == recipe
    assert [seconds_before(recipe, tmp_path)[name] for name in names(recipe)] == [1200, 600, 0]
    assert model_inputs(recipe) == [Reader(str(folder), 16)]  # baselines are not tokenized again


def test_existing_baseline_is_used(own: Make, tiny_encoder: Path) -> None:
    folder = own("adapted")
    recipe = recipe_of(mine=tune(folder), plain=tune(tiny_encoder))
    assert with_baselines(recipe) == (recipe, [])
    other = recipe_of(mine=tune(folder), plain=tune(tiny_encoder, batch_size=7))
    assert names(with_baselines(other)[0]) == ["mine", "mine-unadapted", "plain"]
    taken = recipe_of(mine=tune(folder), mine_unadapted=tune(folder, batch_size=7))
    assert names(with_baselines(taken)[0]) == [
        "mine", "mine-unadapted-2", "mine-unadapted", "mine-unadapted-unadapted",
    ]  # fmt: skip


def test_plain_encoders_need_no_baseline(tiny_encoder: Path) -> None:
    recipe = recipe_of(finetune=tune(tiny_encoder), probe=Probe("minilm"))
    assert with_baselines(recipe) == (recipe, [])


@pytest.mark.parametrize(
    ("base", "said"), [("gone", "gone"), ("adapted", "adapted replaced it in the same folder")]
)
def test_missing_or_replaced_base_is_reported(
    own: Make, tmp_path: Path, base: str, said: str
) -> None:
    folder = own("adapted", base=tmp_path / base)
    recipe = recipe_of(finetune=tune(folder))
    found, (finding,) = with_baselines(recipe)
    assert found == recipe
    assert (finding.severity, finding.code) == ("warning", "no-twin")
    assert "The gain of adaptation for finetune cannot be measured" in finding.message
    assert said in finding.message
    assert seconds_before(recipe, tmp_path)["finetune"] == 600
    assert model_inputs(recipe) == [Reader(str(folder), 16)]


def test_seen_test_rows_with_a_home_folder(
    own: Make, topics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(own("adapted", texts=topics.texts[:3]).parent))
    (finding,) = seen_test_rows(recipe_of(finetune=tune("~/adapted")), topics)
    assert "3 test rows" in finding.message


@pytest.fixture(scope="module")
def heard() -> list[Finding]:
    return []


@pytest.fixture(scope="module")
def run(
    reviews: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory,
    heard: list[Finding],
) -> Run:  # fmt: skip
    """A run of fine-tuning an encoder that was adapted to all of its rows. Not to be changed."""
    folder = shutil.copytree(tiny_encoder, tmp_path_factory.mktemp("encoders") / "adapted")
    corpus = {"with_test": True}
    write_origin(folder, Origin("adapted", str(tiny_encoder), corpus, 600.0, {}, {}, {}))
    write_corpus_hashes(folder, finetext.read(reviews).texts)
    return finetext.train(
        reviews, tune(folder), out=tmp_path_factory.mktemp("runs") / "run",
        listener=Listener(finding=heard.append),
    )  # fmt: skip


def test_run_reports_the_gain(run: Run) -> None:
    assert [entry.method for entry in run.leaderboard][2:] == ["finetune", "finetune-unadapted"]
    (pair,) = run.paid
    one, other = (run.predictions(name) for name in ("finetune", "finetune-unadapted"))
    assert pair.comparison == compare(one, other, "macro_f1", 0)
    seconds = {entry.method: entry.seconds_to_train for entry in run.leaderboard}
    assert (pair.method, pair.beside, pair.kind) == ("finetune", "finetune-unadapted", "adapted")
    assert pair.extra_seconds == pytest.approx(
        600 + seconds["finetune"] - seconds["finetune-unadapted"]
    )
    assert pair.outcome == "no difference"
    verdict = json.loads((run.folder / "verdict.json").read_text())
    assert verdict["paid"] == [pair.to_json()]
    assert 'id="paid"' in run.report.read_text()


def test_recipe_of_a_run_gives_the_same_methods_and_costs(run: Run) -> None:
    recipe = Recipe.from_file(run.folder / "recipe.toml")
    assert names(recipe) == ["finetune", "finetune-unadapted"]
    assert with_baselines(recipe) == (recipe, [])
    expected = {"majority": 0, "tfidf": 0, "finetune": 600, "finetune-unadapted": 0}
    assert seconds_before(recipe, run.folder / "adapted") == expected


def test_test_rows_in_the_corpus_are_reported(run: Run, heard: list[Finding]) -> None:
    (finding,) = (finding for finding in heard if finding.code == "test-in-corpus")
    assert finding.severity == "warning"
    assert "the texts of 9 test rows (100.0%), which was allowed then" in finding.message
    assert "test-in-corpus" in (run.folder / "data.json").read_text()


def test_pretrained_encoder_is_compared_with_random_weights(
    own: Make, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.report.report.render", lambda data: "")
    run = finetext.train(reviews, tune(own("pretrained", "pretrained", "")), out=tmp_path / "run")
    (pair,) = run.paid
    assert (pair.method, pair.beside, pair.kind) == ("finetune", "finetune-random", "pretrained")


@pytest.mark.parametrize(("right", "expected"), [(52, "majority in balanced accuracy"), (80, "")])
def test_a_gain_without_more_than_the_majority_class_is_told(
    own: Make, right: int, expected: str
) -> None:
    """Macro F1 is much higher for guesses than for the majority class."""
    folder = own("pretrained", "pretrained", "")
    methods = {"majority": Majority(), "own": tune(folder), "own-random": tune(f"random:{folder}")}
    truth = np.arange(100) % 2
    guesses = np.where(np.arange(100) < right, truth, 1 - truth)
    answers = {"majority": truth * 0, "own": guesses, "own-random": truth * 0}
    on_test = {
        name: [
            Predictions(
                tuple(map(str, range(100))), truth, np.eye(2)[of], LabelScheme(("bad", "good"))
            )
        ]
        for name, of in answers.items()
    }
    entries = {name: LeaderboardEntry(name, {}, 1.0, 1.0, 1, name) for name in methods}
    seconds = dict.fromkeys(methods, 0.0)
    (pair,) = encoder_gains(Recipe(methods=methods), entries, on_test, seconds)
    assert pair.outcome == "paid"
    assert pair.no_better_than == expected
    told = json.loads(json.dumps(pair.to_json()))
    assert EncoderGain.from_json(told) == pair
    del told["no_better_than"]  # as in runs that were made before
    assert EncoderGain.from_json(told).no_better_than == ""


def test_damaged_origin_is_reported_before_anything_is_written(
    own: Make, reviews: Path, tmp_path: Path
) -> None:
    folder = own("adapted")
    (folder / "origin.json").write_text("{")
    with pytest.raises(ModelError, match=r"origin\.json is damaged"):
        finetext.train(reviews, tune(folder), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_run_is_resumed_with_its_baseline(run: Run, reviews: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run.folder, tmp_path / "run")
    for name in ("verdict.json", "leaderboard.json", "finetune-unadapted/entry.json"):
        (folder / name).unlink()
    recipe = Recipe.from_file(folder / "recipe.toml")
    again = finetext.train(reviews, recipe.methods["finetune"], out=folder, resume=True)
    assert [pair.comparison for pair in again.paid] == [pair.comparison for pair in run.paid]


def test_command_line_reports_the_gain(command: Callable[..., Any], run: Run) -> None:
    shown = command("show", run.folder).out
    assert "finetune: no difference from finetune-unadapted could be shown: " in shown
    assert "points macro F1" in shown
    assert "for 10 min" in shown or "for 9 min" in shown
    told = json.loads(command("show", run.folder, "--json").out)
    assert told["paid"] == [run.paid[0].to_json()]
