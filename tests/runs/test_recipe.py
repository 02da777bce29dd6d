"""`Recipe`: one schema for TOML, options and Python."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.core import registry
from finetext.core.errors import FinetextError, RecipeError, UnknownNameError
from finetext.core.settings import ReadSettings, SplitSettings
from finetext.methods.finetune import Finetune
from finetext.methods.tfidf import Tfidf
from finetext.runs.recipe import LADDER, Recipe, ladder
from finetext.runs.resolve import run_name
from finetext.storage.locks import RUN_FILES

ROOT = Path(__file__).parents[2]
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)

METHOD_NAMES = st.from_regex(r"\w[\w.-]{0,20}", fullmatch=True).filter(
    lambda name: name.lower() not in RUN_FILES
)


def again(recipe: Recipe) -> Recipe:
    return Recipe.from_values(tomllib.loads(recipe.to_toml()))


def test_default_methods_are_the_ladder() -> None:
    assert list(Recipe().methods) == list(LADDER)
    assert list(LADDER) == [name for name in registry.names("methods") if name in LADDER]


def test_baselines_come_first_and_are_added() -> None:
    own = {"mine": Finetune(epochs=3), "tfidf": Tfidf(longest_ngram=1)}
    recipe = Recipe(methods=own)
    assert list(recipe.methods) == ["majority", "tfidf", "mine"]
    assert recipe.methods["tfidf"] == Tfidf(longest_ngram=1)


@pytest.mark.parametrize("name", registry.names("methods"))
def test_toml_round_trip_of_every_method(name: str) -> None:
    recipe = Recipe(source="x.csv", methods={f"my-{name}": registry.load("methods", name)()})
    assert again(recipe) == recipe


def test_toml_round_trip_of_every_section() -> None:
    recipe = Recipe(
        source={"train": "a.csv", "test": "b.csv"},
        read=ReadSettings(
            text="T e x t", label=("joy", "anger"), delimiter="\t", header=False, multilabel=True,
            label_names={"0": "joy", "a.b": 'quo"te'}, drop_unlabelled=True,
        ),
        split=SplitSettings(train=100, validation=0.25, strategy="random", grouped=False),
        methods={"long": Finetune(encoder="bert", learning_rate=3e-5, class_weights="balanced")},
        seed=2**32 - 1,
        device="cpu",
        metric="accuracy",
        content_hash="abc",
        track=("tensorboard", "wandb"),
        checkpoint_seconds=5.0,
        checkpoint_steps=100,
    )  # fmt: skip
    assert again(recipe) == recipe


def test_a_recipe_that_an_earlier_version_recorded_keeps_duplicates() -> None:
    written = {"data": {"source": "a.csv"}, "split": {"test": 0.2}}
    assert not Recipe.from_values(written).split.keep_duplicates
    assert "keep_duplicates = false" in Recipe.from_values(written).to_toml()
    recorded = written | {"data": {"source": "a.csv", "content_hash": "abc"}}
    assert Recipe.from_values(recorded).split == SplitSettings(test=0.2, keep_duplicates=True)
    stated = recorded | {"split": {"keep_duplicates": False}}
    assert not Recipe.from_values(stated).split.keep_duplicates


@settings(max_examples=25)
@given(source=NAMES, text=NAMES, name=METHOD_NAMES, seed=st.integers(0, 2**32 - 1))
def test_toml_round_trip_of_any_name(source: str, text: str, name: str, seed: int) -> None:
    method = {} if name in registry.names("methods") else {name: Tfidf()}
    recipe = Recipe(source=source, read=ReadSettings(text=text), methods=method, seed=seed)
    assert again(recipe) == recipe


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"sede": 1}, "the recipe has no setting 'sede'; did you mean 'seed'"),
        ({"seed": -1}, "the seed is -1"),
        ({"seed": 2**32}, "the seed is 4294967296"),
        ({"seed": "x"}, "seed = 'x'"),
        ({"checkpoint_seconds": -1}, "checkpoint_seconds = -1"),
        ({"checkpoint_steps": 0}, "checkpoint_steps = 0"),
        ({"data": {"txet": "a"}}, r"\[data\] has no setting 'txet'; did you mean 'text'"),
        ({"data": "x.csv"}, "data in the recipe must be a table"),
        ({"split": {"test": "many"}}, r"\[split\]: test = 'many'"),
        ({"split": {"test": 2.5}}, "the size of test is 2.5"),
        ({"methods": {"tfidf": 3}}, "tfidf in the recipe must be a table"),
        ({"methods": {"tfidf": {"ngram": 3}}}, r"\[methods.tfidf\] has no setting 'ngram'"),
        ({"methods": {"finetune": {"epochs": "many"}}}, r"\[methods.finetune\]: epochs = 'many'"),
        ({"methods": {"finetune": {"resample": "both"}}}, "resample = 'both'"),
        ({"methods": {"finetune": {"stage_epochs": [1, 1]}}}, "value 3 is missing"),
        ({"adapt": {"corpos": "a.txt"}}, r"\[adapt\] has no setting 'corpos'"),
        ({"adapt": {"corpus": 3}}, r"\[adapt\]: corpus = 3 must be a path or a list of paths"),
        ({"adapt": {"corpus": ""}}, r"corpus = '' must be a path or a list of paths"),
        ({"adapt": {"corpus": []}}, r"corpus = \[\] must be a path or a list of paths"),
        ({"adapt": {"epochs": 0}}, r"\[adapt\]: epochs = 0"),
        ({"adapt": "a.txt"}, "adapt in the recipe must be a table"),
        (
            {"methods": {"finetune": {"encoder": "adapted"}}},
            r'\[methods.finetune\]: encoder = "adapted" needs a section \[adapt\]',
        ),
    ],
)
def test_errors_name_the_wrong_setting(values: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        Recipe.from_values(values)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
SETTINGS = {
    "data": ["source", "text", "label", "most_bytes", "header", "missing", "download_seconds"],
    "split": ["test", "validation", "strategy", "group", "cross_validate"],
    "decide": ["aim", "abstain", "coverage", "precision", "thresholds"],
    "adapt": ["corpus", "epochs", "encoder"],
    "methods": ["tfidf", "finetune", "x"],
}
SECTIONS = st.one_of(
    st.fixed_dictionaries({section: st.dictionaries(st.sampled_from(names), VALUES)})
    for section, names in SETTINGS.items()
)


@settings(max_examples=80)
@given(values=st.one_of(SECTIONS, st.dictionaries(st.sampled_from([*SETTINGS, "seed"]), VALUES)))
def test_any_value_is_taken_or_refused_in_words(values: dict[str, Any]) -> None:
    with suppress(FinetextError):
        Recipe.from_values(values).to_toml()


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'macro_f1'"):
        Recipe(metric="macrof1")
    with pytest.raises(UnknownNameError, match="did you mean 'finetune'"):
        Recipe.from_values({"methods": {"mine": {"method": "fintune"}}})
    with pytest.raises(UnknownNameError, match="did you mean 'tfidf'"):
        ladder(["tfdif"])


@pytest.mark.parametrize("name", ["distilbert", "jane/encoder"])
def test_an_encoder_is_no_method_but_belongs_to_one(name: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"an encoder: take Finetune\('{name}'\)"):
        ladder([name])


def test_python_hyperparameters_are_checked() -> None:
    with pytest.raises(RecipeError, match="longest_ngram = 'x'"):
        Recipe(methods={"tfidf": Tfidf(longest_ngram="x")})  # type: ignore[arg-type]


def test_missing_and_invalid_files(tmp_path: Path) -> None:
    (tmp_path / "odd.toml").write_text("a = [")
    for name, said in (("nothere.toml", "there is no recipe"), ("odd.toml", "cannot be read")):
        with pytest.raises(RecipeError, match=said):
            Recipe.from_file(tmp_path / name)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_recipes_are_valid(path: Path) -> None:
    assert set(Recipe.from_file(path).methods) > {"majority", "tfidf"}


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/x", "a/b", "", ".hidden", "-x", "a b"])
def test_method_names_stay_in_the_run_folder(name: str) -> None:
    with pytest.raises(RecipeError, match="the name of a method consists of letters"):
        Recipe(methods={name: Tfidf()})


@pytest.mark.parametrize("name", ["report.html", "Recipe.toml", "data.parquet", "adapted"])
def test_method_names_are_no_names_of_run_files(name: str) -> None:
    with pytest.raises(RecipeError, match="a run has a file of this name"):
        Recipe.from_values({"methods": {name: {"method": "tfidf"}}})


def test_methods_with_one_name_are_numbered() -> None:
    made = ladder([Finetune(), Finetune(encoder="bert"), Finetune(epochs=1), Finetune(), "tfidf"])
    assert list(made) == ["finetune", "finetune-2", "finetune-3", "tfidf"]
    assert made["finetune-3"] == Finetune(epochs=1)


def test_source_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[data.source]\ntrain = "own.csv"\ntest = "other.csv"\n')
    source = {"train": str(tmp_path / "own.csv"), "test": "other.csv"}
    assert Recipe.from_file(recipe).source == source


@pytest.mark.parametrize(
    ("corpus", "found"),
    [('"own.txt"', "{}/own.txt"), ('["own.txt", "other.txt"]', ("{}/own.txt", "other.txt"))],
)
def test_corpus_beside_the_recipe(tmp_path: Path, corpus: str, found: Any) -> None:
    (tmp_path / "own.txt").write_text("")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"[adapt]\ncorpus = {corpus}\nepochs = 3\n")
    read = Recipe.from_file(recipe)
    assert read.adapt is not None
    paths = [found] if isinstance(found, str) else found
    expected = tuple(path.format(tmp_path) for path in paths)
    assert read.adapt.corpus == (expected[0] if isinstance(found, str) else expected)
    assert read.adapt.settings.epochs == 3
    assert again(read) == read


def test_adapted_is_a_folder_without_adapt_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = {"methods": {"finetune": {"encoder": "adapted"}}}
    with pytest.raises(RecipeError, match="or a folder adapted; there is neither"):
        Recipe.from_values(values)
    (tmp_path / "adapted").mkdir()
    method = Recipe.from_values(values).methods["finetune"]
    assert method == Finetune(encoder=str(tmp_path / "adapted"))


def test_a_margin_of_a_share_is_below_one() -> None:
    with pytest.raises(RecipeError, match="margin = 5: macro F1 lies between 0 and 1"):
        Recipe(margin=5.0)
    assert Recipe(margin=5.0, metric="log_loss").margin == 5.0


def test_recipes_of_earlier_runs_truncate_texts_as_they_did() -> None:
    values = {"methods": {"probe": {}, "finetune": {}, "tfidf": {}}}
    recorded = Recipe.from_values({"data": {"content_hash": "0" * 64}, **values})
    assert [recorded.methods[name].truncation for name in ("probe", "finetune")] == ["head"] * 2  # type: ignore[attr-defined]
    fresh = Recipe.from_values(values).methods["probe"]
    assert fresh.reads_whole_texts  # type: ignore[attr-defined]
    assert not recorded.methods["probe"].reads_whole_texts  # type: ignore[attr-defined]
    kept = again(replace(recorded, methods={"probe": fresh}))
    assert kept.methods["probe"].reads_whole_texts  # type: ignore[attr-defined]


def test_a_label_of_texts_of_no_class_implies_a_rule_for_them() -> None:
    named = Recipe.from_values({"data": {"out_of_scope": "oos"}})
    assert named.decide.out_of_scope == 0.05
    assert replace(Recipe(), read=ReadSettings(out_of_scope="oos")).decide.out_of_scope == 0.05
    rare = {"data": {"out_of_scope": "oos"}, "decide": {"out_of_scope": 0.01}}
    assert Recipe.from_values(rare).decide.out_of_scope == 0.01
    assert Recipe().decide.out_of_scope is None


@pytest.mark.parametrize("names", [("A", "a"), ("Majority",), ("con",), ("b.",)])
def test_folders_of_methods_can_be_copied_to_every_system(names: tuple[str, ...]) -> None:
    with pytest.raises(RecipeError, match="Windows"):
        Recipe(source="x.csv", methods={name: Tfidf() for name in names})


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("C:\\data\\My reviews.csv", "My-reviews"),
        ("data/reviews.csv", "reviews"),
        ("aux.csv", "aux-run"),
        ("hub:owner/Con", "Con-run"),
        ("https://example.org/a/b.csv?token=secret", "b"),
    ],
)
def test_a_run_is_named_after_its_source_on_every_system(source: str, name: str) -> None:
    assert run_name(Recipe(source=source)) == name
