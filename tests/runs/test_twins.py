"""A rung with an encoder of one's own has the same method without it beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import finetext
from finetext import Finding, Finetune, Listener, Probe, Recipe, Run
from finetext.core.errors import ModelError
from finetext.evaluation.compare import compare
from finetext.pretraining.folder import Origin, write_corpus_hashes, write_origin
from finetext.runs.adapting import model_inputs
from finetext.runs.baselines import seconds_before, seen_test_rows, with_twins

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


def rungs(**methods: Any) -> Recipe:
    return Recipe(methods={name.replace("_", "-"): of for name, of in methods.items()})


def names(recipe: Recipe) -> list[str]:
    return [name for name in recipe.methods if name not in ("majority", "tfidf")]


def test_an_adapted_encoder_stands_beside_the_one_before(own: Make, tiny_encoder: Path) -> None:
    folder = own("adapted")
    recipe, findings = with_twins(rungs(finetune=tune(folder), probe=Probe(str(folder))))
    assert names(recipe) == ["finetune", "finetune-unadapted", "probe", "probe-unadapted"]
    assert recipe.methods["finetune-unadapted"] == tune(tiny_encoder)
    assert recipe.methods["probe-unadapted"] == Probe(str(tiny_encoder))
    assert findings == []


def test_a_pretrained_encoder_stands_beside_random_weights(own: Make) -> None:
    folder = own("grown", "pretrained", "")
    recipe, findings = with_twins(rungs(finetune=tune(folder), probe=Probe(str(folder))))
    assert names(recipe) == ["finetune", "finetune-random", "probe"]
    assert recipe.methods["finetune-random"] == tune(f"random:{folder}")
    assert [(of.severity, of.code) for of in findings] == [("note", "no-twin")]
    assert "probe does not take random weights" in findings[0].message


def test_an_encoder_adapted_from_a_pretrained_one_is_followed_to_its_beginning(own: Make) -> None:
    folder = own("adapted", base=own("grown", "pretrained", ""))
    recipe, _ = with_twins(rungs(finetune=tune(folder)))
    assert names(recipe) == ["finetune", "finetune-unadapted", "finetune-unadapted-random"]
    assert with_twins(recipe)[0] == recipe


def test_nothing_is_added_where_the_twin_is_there(own: Make, tiny_encoder: Path) -> None:
    folder = own("adapted")
    recipe = rungs(mine=tune(folder), plain=tune(tiny_encoder))
    assert with_twins(recipe) == (recipe, [])
    other = rungs(mine=tune(folder), plain=tune(tiny_encoder, batch_size=7))
    assert names(with_twins(other)[0]) == ["mine", "mine-unadapted", "plain"]
    taken = rungs(mine=tune(folder), mine_unadapted=tune(folder, batch_size=7))
    assert names(with_twins(taken)[0]) == [
        "mine", "mine-unadapted-2", "mine-unadapted", "mine-unadapted-unadapted",
    ]  # fmt: skip


def test_plain_encoders_have_no_twin(tiny_encoder: Path) -> None:
    recipe = rungs(finetune=tune(tiny_encoder), probe=Probe("minilm"))
    assert with_twins(recipe) == (recipe, [])


def test_a_base_that_is_gone_is_told(own: Make, tmp_path: Path) -> None:
    recipe = rungs(finetune=tune(own("adapted", base=tmp_path / "gone")))
    found, (finding,) = with_twins(recipe)
    assert found == recipe
    assert (finding.severity, finding.code) == ("warning", "no-twin")
    assert "Whether adaptation paid for finetune cannot be shown" in finding.message
    assert "gone" in finding.message


def test_an_encoder_that_lies_where_the_one_before_lay_is_told(own: Make, tmp_path: Path) -> None:
    folder = own("adapted", base=tmp_path / "adapted")
    recipe = rungs(finetune=tune(folder))
    found, (finding,) = with_twins(recipe)
    assert found == recipe
    assert finding.code == "no-twin"
    assert f"{folder} lies where that lay" in finding.message
    assert seconds_before(recipe, tmp_path)["finetune"] == 600
    assert model_inputs(recipe) == [(str(folder), 16)]


def test_what_an_encoder_was_made_from_counts_in_its_cost(own: Make, tmp_path: Path) -> None:
    folder = own("adapted", base=own("grown", "pretrained", ""))
    recipe, _ = with_twins(rungs(finetune=tune(folder)))
    seconds = [seconds_before(recipe, tmp_path)[name] for name in names(recipe)]
    assert seconds == [1200, 600, 0]


def test_test_rows_are_found_through_the_home_folder(
    own: Make, topics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(own("adapted", texts=topics.texts[:3]).parent))
    (finding,) = seen_test_rows(rungs(finetune=tune("~/adapted")), topics)
    assert "3 test rows" in finding.message


def test_a_twin_is_not_cut_into_pieces_again(own: Make) -> None:
    folder = own("adapted", base=own("grown", "pretrained", ""))
    recipe, _ = with_twins(rungs(finetune=tune(folder)))
    assert model_inputs(recipe) == [(str(folder), 16)]


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


def test_a_run_says_whether_it_paid(run: Run) -> None:
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


def test_seconds_of_the_encoder_are_a_cost_of_the_rungs_that_use_it(run: Run) -> None:
    recipe = Recipe.from_file(run.folder / "recipe.toml")
    expected = {"majority": 0, "tfidf": 0, "finetune": 600, "finetune-unadapted": 0}
    assert seconds_before(recipe, run.folder / "adapted") == expected


def test_test_rows_in_the_corpus_are_told(run: Run, heard: list[Finding]) -> None:
    (finding,) = (finding for finding in heard if finding.code == "test-in-corpus")
    assert finding.severity == "warning"
    assert "the texts of 9 test rows (100.0%), as was allowed then" in finding.message
    assert "test-in-corpus" in (run.folder / "data.json").read_text()


def test_a_pretrained_encoder_is_compared_with_random_weights(
    own: Make, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.report.report.render", lambda data: "")
    run = finetext.train(reviews, tune(own("grown", "pretrained", "")), out=tmp_path / "run")
    (pair,) = run.paid
    assert (pair.method, pair.beside, pair.kind) == ("finetune", "finetune-random", "pretrained")


def test_a_damaged_origin_is_told_before_anything_is_written(
    own: Make, reviews: Path, tmp_path: Path
) -> None:
    folder = own("adapted")
    (folder / "origin.json").write_text("{")
    with pytest.raises(ModelError, match=r"origin\.json is damaged"):
        finetext.train(reviews, tune(folder), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_recipe_of_a_run_gives_the_same_rungs(run: Run) -> None:
    recipe = Recipe.from_file(run.folder / "recipe.toml")
    assert names(recipe) == ["finetune", "finetune-unadapted"]
    assert with_twins(recipe) == (recipe, [])


def test_a_run_goes_on_with_its_twin(run: Run, reviews: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run.folder, tmp_path / "run")
    for name in ("verdict.json", "leaderboard.json", "finetune-unadapted/entry.json"):
        (folder / name).unlink()
    recipe = Recipe.from_file(folder / "recipe.toml")
    again = finetext.train(reviews, recipe.methods["finetune"], out=folder, resume=True)
    assert [pair.comparison for pair in again.paid] == [pair.comparison for pair in run.paid]


def test_the_command_line_says_it_too(command: Callable[..., Any], run: Run) -> None:
    shown = command("show", run.folder).out
    assert "finetune: no difference from finetune-unadapted could be shown: " in shown
    assert "points macro F1" in shown
    assert "for 10 min" in shown or "for 9 min" in shown
    told = json.loads(command("show", run.folder, "--json").out)
    assert told["paid"] == [run.paid[0].to_json()]
