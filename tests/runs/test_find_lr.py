"""Finding a learning rate: on the training rows alone, on any data, with plain messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import finetext
from finetext import Finetune, Listener, RangeTest, Recipe, SplitSettings
from finetext.core.errors import DataError, RecipeError
from finetext.runs.fit import finetune_method
from finetext.runs.recipe import ladder

TEST = RangeTest(lowest=1e-6, highest=1.0, steps=20)


@pytest.fixture
def method(tiny_encoder: Path, workplace: Path) -> Finetune:
    return Finetune(encoder=str(tiny_encoder), batch_size=4)


def find(what: Any, method: Finetune, **how: Any) -> Any:
    return finetext.find_lr(what, method, TEST, listener=Listener(), **how)


def test_curve_of_a_seed(reviews: Path, method: Finetune) -> None:
    curve = find(reviews, method, seed=3)
    assert curve.rates[0] == pytest.approx(1e-6)
    assert 10 <= len(curve.rates) == len(curve.losses) <= 20
    assert {curve.suggestion, curve.valley} <= set(curve.rates)
    assert find(reviews, method, seed=3) == curve != find(reviews, method, seed=4)
    assert list(Path.cwd().iterdir()) == []


def test_only_training_rows_are_used(
    reviews: Path, method: Finetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetext.data.split import split

    seen: list[set[str]] = []
    real = Finetune.task

    def watched(self: Finetune, classifier: Any, train: Any, validation: Any, context: Any) -> Any:
        seen.append({*train.texts, *validation.texts})
        return real(self, classifier, train, validation, context)

    monkeypatch.setattr(Finetune, "task", watched)
    divided = SplitSettings(test=0.5)
    find(reviews, method, seed=7, split=divided)
    assert seen == [set(split(finetext.read(reviews), divided, 7).train.texts)]


def test_texts_and_labels_as_data(topics: Any, method: Finetune) -> None:
    several = [[label] for label in topics.labels]
    for labels in (topics.labels, several):
        assert find((topics.texts, labels), method).suggestion > 0


def test_only_few_rows_raise_a_warning(reviews: Path, topics: Any, method: Finetune) -> None:
    found: list[Any] = []
    listener = Listener(finding=found.append)
    finetext.find_lr(reviews, method, TEST, listener=listener)
    assert found == []
    finetext.find_lr((topics.texts, topics.labels), method, TEST, listener=listener)
    assert [finding.code for finding in found] == ["few-rows"]
    assert "19 training rows make 5 batches of 4" in found[0].message


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (RangeTest(lowest=1.0, highest=0.1), "goes from 1 to 0.1; the lowest"),
        (RangeTest(steps=5), "has 5 steps; use at least 10"),
        (RangeTest(lowest=-1.0), "the range test: lowest = -1.0"),
        (RangeTest(steps=2.5), "the range test: steps = 2.5"),  # type: ignore[arg-type]
    ],
)
def test_invalid_range_is_refused(reviews: Path, test: RangeTest, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        finetext.find_lr(reviews, Finetune(), test)


def test_data_too_few_to_split_are_refused(method: Finetune) -> None:
    with pytest.raises(DataError, match="rows"):
        find((["a film", "a book", "a play"], ["x", "y", "z"]), method)


def test_recipe_gives_the_method_and_the_seed(reviews: Path, method: Finetune) -> None:
    recipe = Recipe(source=str(reviews), methods=ladder([method]), seed=3)
    assert finetune_method(recipe) == ("finetune", method)
    curve = finetext.find_lr(recipe, test=TEST, listener=Listener())
    assert curve == find(reviews, method, seed=3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": {"source": "x.csv"}, "methods": {"tfidf": {}}}, "recipe fine-tunes no method"),
        (
            {"data": {"source": "x.csv"}, "adapt": {"corpus": "x.txt"},
             "methods": {"mine": {"method": "finetune", "encoder": "adapted"}}},
            "mine takes the encoder .adapted., which the run makes",
        ),
        ({"methods": {"finetune": {}}}, "the recipe names no data"),
    ],
)  # fmt: skip
def test_recipe_without_a_learning_rate_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        finetext.find_lr(Recipe.from_values(values))


def test_concat_pooling(reviews: Path, tiny_encoder: Path, workplace: Path) -> None:
    method = Finetune(encoder=str(tiny_encoder), batch_size=4, head="concat", discriminative=2.6)
    assert find(reviews, method).suggestion > 0


Command = Callable[..., Any]
FAST = ("--lowest", "1e-6", "--steps", "20", "--set", "finetune.batch_size=4")


def test_command_prints_the_rate_and_the_option(
    command: Command, reviews: Path, tiny_encoder: Path
) -> None:
    seen = command("find-lr", reviews, "--encoder", tiny_encoder, *FAST, "--out", "curve.png")
    assert seen.status == 0, seen.err
    lines = seen.out.splitlines()
    rate = lines[0].removeprefix("learning rate: ").split()[0]
    assert 1e-6 < float(rate) < 1
    assert lines[1].endswith(f"--set finetune.learning_rate={rate}")
    assert lines[2] == "picture: curve.png"
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG")
    assert "60 rows, 2 labels" in seen.err
    option = lines[1].partition("... ")[2].split()
    trained = command("train", reviews, "--encoder", tiny_encoder, "--methods", "finetune",
                      "--epochs", 1, *option)  # fmt: skip
    assert trained.status == 0, trained.err
    assert f"learning rate {rate}" in trained.err


def test_command_prints_the_curve_as_json(
    command: Command, reviews: Path, tiny_encoder: Path
) -> None:
    import json

    seen = command("find-lr", reviews, "--encoder", tiny_encoder, *FAST, "--json")
    told = json.loads(seen.out)
    assert told["suggestion"] in told["rates"]
    assert len(told["rates"]) == len(told["losses"])
    assert told["rung"] == "finetune"
    assert told["picture"] is None
    assert seen.err == ""


def test_command_takes_the_method_of_a_recipe(
    command: Command, reviews: Path, tiny_encoder: Path
) -> None:
    Path("mine.toml").write_text(
        f'[data]\nsource = "{reviews}"\n[methods.mine]\nmethod = "finetune"\n'
        f'encoder = "{tiny_encoder}"\nbatch_size = 4\n'
    )
    seen = command("find-lr", "--recipe", "mine.toml", "--lowest", "1e-6", "--steps", 20)
    assert seen.status == 0, seen.err
    assert "--set mine.learning_rate=" in seen.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "curve.pdf"], "must end in .png or .svg"),
        (["--out", "nowhere/curve.png"], "there is no folder nowhere"),
        (["--steps", "3"], "has 3 steps"),
        (["--set", "finetune.batchsize=4"], "no setting 'batchsize'"),
        (["--device", "tpu"], "not a device"),
    ],
)
def test_command_reports_an_error_in_one_line(
    command: Command, reviews: Path, words: list[str], message: str
) -> None:
    assert "name the data" in command("find-lr").err
    seen = command("find-lr", reviews, *words)
    assert seen.status == 2
    assert seen.out == ""
    assert message in seen.err
    assert len(seen.err.splitlines()) == 1


def test_command_prints_the_rate_if_the_picture_cannot_be_written(
    command: Command, reviews: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(curve: Any, path: Path) -> None:
        raise DataError(f"{path} cannot be written: the disk is full")

    monkeypatch.setattr("finetext.report.curves.plot_rate_curve", fail)
    seen = command("find-lr", reviews, "--encoder", tiny_encoder, *FAST, "--out", "curve.png")
    assert seen.status == 2
    assert "learning rate: " in seen.out
    assert "picture" not in seen.out
    assert "the disk is full" in seen.err
