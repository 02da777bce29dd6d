"""What the options of a command say, as a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetext.cli.arguments import (
    MethodOptions,
    asked_recipe,
    assigned,
    names,
    recipe_values,
    size,
)
from finetext.cli.options import Reading, RunTraining
from finetext.core.errors import RecipeError, UnknownNameError
from finetext.runs.recipe import LADDER, Recipe

NOTHING = {"data": {"source": {"train": None, "validation": None, "test": None}}, "split": {}}


def given(train: str | None = None, **parts: str) -> dict[str, Any]:
    return NOTHING | {"data": {"source": {"train": train, **parts}}}


def test_only_what_was_given_counts() -> None:
    assert Reading().given() == {}
    assert MethodOptions().given() == {}
    options = Reading(text="review", label="joy, anger", drop_unlabelled=True)
    assert options.given() == {
        "text": "review", "label": ("joy", "anger"), "drop_unlabelled": True,
    }  # fmt: skip


def test_texts_of_no_class_get_a_rule_and_their_label_a_name() -> None:
    none = asked_recipe("x.csv", RunTraining(), MethodOptions())
    assert (none.decide.out_of_scope, none.read.out_of_scope) == (None, None)
    plain = asked_recipe("x.csv", RunTraining(out_of_scope=True), MethodOptions())
    assert (plain.decide.out_of_scope, plain.read.out_of_scope) == (0.05, None)
    named = asked_recipe("x.csv", RunTraining(out_of_scope_label="oos"), MethodOptions())
    assert (named.decide.out_of_scope, named.read.out_of_scope) == (0.05, "oos")
    strict = RunTraining(out_of_scope=True, settings=["decide.out_of_scope=0.01"])
    assert asked_recipe("x.csv", strict, MethodOptions()).decide.out_of_scope == 0.01
    by_setting = RunTraining(settings=["data.out_of_scope=oos"])
    assert asked_recipe("x.csv", by_setting, MethodOptions()).decide.out_of_scope == 0.05


@pytest.mark.parametrize("options", [{"out_of_scope_label": "oos"}, {"out_of_scope": True}])
def test_options_leave_the_share_of_false_alarms_of_a_recipe(
    options: dict[str, Any], tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[decide]\nout_of_scope = 0.01\n")
    asked = asked_recipe("x.csv", RunTraining(recipe=recipe, **options), MethodOptions())
    assert asked.decide.out_of_scope == 0.01


def test_a_share_and_a_count_are_told_apart() -> None:
    assert size(None) is None
    assert isinstance(size("1"), int)
    assert size("500") == 500
    assert size("0.2") == 0.2
    with pytest.raises(RecipeError, match="'half' is neither"):
        size("half")


def test_assignments_are_read_as_toml_or_else_as_text() -> None:
    values = assigned(["a.n=3", "a.x=0.5", "a.b=true", "b.t=hub/name", "b.s=';'", "m.c.e=x = y"])
    assert values == {
        "a": {"n": 3, "x": 0.5, "b": True}, "b": {"t": "hub/name", "s": ";"}, "m.c": {"e": "x = y"},
    }  # fmt: skip


@pytest.mark.parametrize("wrong", ["", "x", "x=1", "a.b", ".b=1", "a.=1"])
def test_what_is_no_assignment_is_refused(wrong: str) -> None:
    with pytest.raises(RecipeError, match=r"SECTION\.NAME=VALUE"):
        assigned([wrong])


def test_settings_in_no_section_can_be_set() -> None:
    assert assigned(["seed=3", "checkpoint_steps=5"]) == {"": {"seed": 3, "checkpoint_steps": 5}}
    values = recipe_values(None, given("x.csv"), MethodOptions(), ["checkpoint_steps=5"])
    assert values["checkpoint_steps"] == 5
    assert Recipe.from_values(values).checkpoint_steps == 5


def test_every_section_can_be_assigned_to() -> None:
    settings = ["data.text=t", "split.test=0.1", "decide.aim=f1", "tfidf.max_features=9"]
    values = recipe_values(None, given("x.csv"), MethodOptions(), [*settings, "adapt.corpus=c"])
    assert values["data"]["text"] == "t"
    assert (values["split"], values["adapt"]) == ({"test": 0.1}, {"corpus": "c"})
    assert values["decide"] == {"aim": "f1"}
    assert values["methods"]["tfidf"] == {"max_features": 9}


def test_commas_join_names() -> None:
    assert names(None) is None
    assert names(" a, b,") == ["a", "b"]


def test_all_methods_of_the_ladder_are_fitted_by_default() -> None:
    values = recipe_values(None, given("x.csv"), MethodOptions(), None)
    assert values == {
        "data": {"source": "x.csv"}, "split": {},
        "methods": {name: {} for name in LADDER}, "by_rows": True,
    }  # fmt: skip


def test_options_go_to_the_methods_that_have_them() -> None:
    options = MethodOptions("tfidf, probe,finetune", "bert", None, 3)
    values = recipe_values(None, given("x.csv"), options, ["methods.probe.max_length=9"])
    assert values["methods"] == {
        "tfidf": {},
        "probe": {"encoder": "bert", "max_length": 9},
        "finetune": {"encoder": "bert", "epochs": 3},
    }


def test_the_command_line_goes_over_a_recipe_file(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        'seed = 3\n[data]\nsource = "a.csv"\ncontent_hash = "h"\ntext = "t"\n'
        '[methods.mine]\nmethod = "finetune"\nepochs = 9\n'
    )
    values = recipe_values(recipe, given() | {"seed": 4}, MethodOptions(epochs=1), ["split.test=7"])
    assert values == {
        "seed": 4,
        "data": {"source": "a.csv", "content_hash": "h", "text": "t"},
        "split": {"test": 7},
        "methods": {"mine": {"method": "finetune", "epochs": 1}},
        "by_rows": False,
    }
    other = recipe_values(recipe, given("b.csv"), MethodOptions("tfidf"), None)
    assert other["data"] == {"source": "b.csv", "text": "t"}
    assert other["methods"] == {"tfidf": {}}


@pytest.mark.parametrize(
    ("of_recipe", "named", "source"),
    [
        ('"a"', {}, "a"),
        ('"a"', {"test": "t"}, {"train": "a", "test": "t"}),
        ('{train = "a", test = "b"}', {"test": "t"}, {"train": "a", "test": "t"}),
        ('{train = "a", test = "b"}', {"train": "c"}, "c"),
    ],
)
def test_parts_of_the_data(
    tmp_path: Path, of_recipe: str, named: dict[str, str], source: Any
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(f"[data]\nsource = {of_recipe}\n")
    values = recipe_values(recipe, given(**named), MethodOptions(), None)
    assert values["data"]["source"] == source


def test_a_sample_has_no_settings_of_its_own() -> None:
    values = recipe_values(None, given("bbc-news"), MethodOptions(max_length=32), None)
    assert values["methods"]["probe"] == {"max_length": 32}
    assert values["methods"]["finetune"] == {"max_length": 32}
    assert values["methods"]["tfidf"] == {}


def test_names_that_are_not_there() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tfidf'"):
        recipe_values(None, given("x.csv"), MethodOptions("tfdif"), None)
    with pytest.raises(UnknownNameError, match="'probe'"):
        recipe_values(None, given("x.csv"), MethodOptions("tfidf"), ["probe.max_length=9"])
    with pytest.raises(RecipeError, match="--max-length applies to none of the methods: tfidf"):
        recipe_values(None, given("x.csv"), MethodOptions("tfidf", max_length=9), None)
