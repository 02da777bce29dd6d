"""Which methods of the default list are fitted to which rows."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import finetext
from finetext.core.errors import RecipeError
from finetext.core.types import Dataset
from finetext.methods.fewshot import FewShot
from finetext.methods.finetune import Finetune
from finetext.methods.zeroshot import ZeroShot
from finetext.runs.default_methods import FEW_ROWS, suited
from finetext.runs.recipe import LADDER, Recipe, ladder
from finetext.runs.resolve import check_possible, recipe_for


def rows(make_dataset: Any, each: int, labels: tuple[str, ...] = ("good", "bad")) -> Dataset:
    texts = [f"{label} film number {number}" for number in range(each) for label in labels]
    made: Dataset = make_dataset(texts, list(labels) * each)
    return made


@pytest.mark.parametrize(("each", "left_out"), [(FEW_ROWS, "finetune"), (FEW_ROWS + 1, "fewshot")])
def test_the_rows_of_a_label_choose_between_fewshot_and_finetune(
    make_dataset: Any, each: int, left_out: str
) -> None:
    recipe, lines = suited(Recipe(), rows(make_dataset, each))
    assert list(recipe.methods) == [name for name in LADDER if name != left_out]
    assert [line.split(":")[0] for line in lines] == [f"{left_out} is left out"]
    assert f"with {each} training rows a label" in lines[0]


def test_labels_without_a_meaning_are_not_compared_with_texts(make_dataset: Any) -> None:
    recipe, lines = suited(Recipe(), rows(make_dataset, 3, ("0", "1")))
    assert "zeroshot" not in recipe.methods
    assert any(line.startswith("zeroshot is left out: nothing in") for line in lines)
    described = ZeroShot(descriptions={"0": "a bad film", "1": "a good film"})
    own = replace(Recipe(), methods={**ladder(LADDER), "zeroshot": described})
    assert "zeroshot" in suited(own, rows(make_dataset, 3, ("0", "1")))[0].methods


def test_an_encoder_that_compares_no_texts_is_not_asked_to(make_dataset: Any) -> None:
    methods = {**ladder(LADDER), "zeroshot": ZeroShot("distilbert")}
    recipe, lines = suited(replace(Recipe(), methods=methods), rows(make_dataset, 3))
    assert "zeroshot" not in recipe.methods
    assert "zeroshot is left out: distilbert was not trained to compare texts" in lines


def test_what_was_chosen_by_hand_is_fitted(make_dataset: Any) -> None:
    few = rows(make_dataset, 3)
    for chosen in (["finetune"], ["fewshot", "finetune"]):
        methods = ladder(chosen)
        assert suited(Recipe(methods=methods), few)[1] == []
    every = Recipe.from_values({"methods": {name: {} for name in LADDER}})
    assert list(suited(every, few)[0].methods) == list(LADDER)
    assert list(suited(recipe_for("x", LADDER), few)[0].methods) == list(LADDER)
    for finetune in (Finetune(epochs=2), Finetune("mpnet")):
        own = replace(Recipe(), methods={**ladder(LADDER), "finetune": finetune})
        assert {"fewshot", "finetune"} <= set(suited(own, few)[0].methods)


def test_hyperparameters_that_both_have_are_no_choice(make_dataset: Any) -> None:
    how: dict[str, Any] = {"encoder": "mpnet", "max_length": 64}
    both = {"fewshot": FewShot(**how), "finetune": Finetune(**how)}
    recipe = replace(Recipe(), methods={**ladder(LADDER), **both})
    assert "finetune" not in suited(recipe, rows(make_dataset, 3))[0].methods


def test_a_run_records_what_it_fits(make_dataset: Any) -> None:
    recipe, _ = suited(Recipe(), rows(make_dataset, 3))
    again = Recipe.from_values(tomllib.loads(recipe.to_toml()))
    assert (again.methods, again.by_rows) == (recipe.methods, False)


def test_a_blend_that_is_left_out_before_changes_nothing(make_dataset: Any) -> None:
    alone = {name: of for name, of in ladder(LADDER).items() if name != "blend"}
    recipe, _ = suited(replace(Recipe(), methods=alone), rows(make_dataset, 3, ("0", "1")))
    assert not {"zeroshot", "finetune"} & set(recipe.methods)


def test_a_wrong_description_is_an_error(make_dataset: Any) -> None:
    wrong = ZeroShot(descriptions={"goood": "a good film"})
    recipe = replace(Recipe(), methods={**ladder(LADDER), "zeroshot": wrong})
    few = rows(make_dataset, 3)
    assert "zeroshot" in suited(recipe, few)[0].methods
    with pytest.raises(RecipeError, match="'goood', which is no label here"):
        check_possible(suited(recipe, few)[0], few.scheme)


def test_rows_with_several_labels_count_for_each(make_dataset: Any) -> None:
    texts = [f"film {number}" for number in range(FEW_ROWS + 1)]
    several = make_dataset(texts, [["good", "long"]] * len(texts))
    assert "finetune" in suited(Recipe(), several)[0].methods


@pytest.mark.parametrize(("each", "kind"), [(4, "probe"), (FEW_ROWS + 1, "transformer")])
@pytest.mark.slow
def test_one_call_takes_the_method_that_does_better(
    monkeypatch: pytest.MonkeyPatch, tiny_encoder: Path, each: int, kind: str
) -> None:
    for method in (FewShot, Finetune):
        monkeypatch.setattr(method.__init__, "__defaults__", _with(method, str(tiny_encoder)))
    monkeypatch.setattr(FewShot, "most_steps", lambda self, texts: 2)
    texts = [f"{of} film number {number}" for number in range(each) for of in ("good", "bad")]
    assert finetext.fit(texts, ["good", "bad"] * each, device="cpu").kind == kind


def _with(method: Any, encoder: str) -> tuple[Any, ...]:
    """The defaults of a method with another encoder, which is the first of them."""
    return (encoder, *method.__init__.__defaults__[1:])
