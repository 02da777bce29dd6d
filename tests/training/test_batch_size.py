"""The largest batch that fits into a made-up memory is found, and nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toys import Curve, Settings

import finetext
from finetext.core.contracts import Checkpoints, FitContext
from finetext.core.errors import RecipeError
from finetext.core.types import Dataset
from finetext.methods import regimes
from finetext.methods.finetune import Finetune
from finetext.methods.transformer import TransformerClassifier
from finetext.runs.recipe import Recipe
from finetext.training import batch_size, state
from finetext.training.batch_size import largest_batch, most_rows

ERRORS = [MemoryError(), torch.OutOfMemoryError("no"), RuntimeError("x: can't allocate memory")]


def model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))


class Loose(Curve):
    """A curve whose lone rows, of which a batch norm has no variance, pass unnoticed."""

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        if len(batch["input_ids"]) == 1:
            return super().loss(model, {"input_ids": batch["input_ids"].repeat(2, 1)})
        return super().loss(model, batch)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(("most", "size"), [(2, 2), (3, 2), (8, 8), (15, 8), (100, 16)])
def test_the_largest_batch_that_fits_is_found(error: Exception, most: int, size: int) -> None:
    said: list[str] = []
    task = Loose(most_rows=most, out_of_memory=error)
    assert largest_batch(model(), task, Settings(), FitContext(say=said.append)) == size
    tried = [2**n for n in range(1, 5) if 2**n <= 2 * size]
    assert said[:-1] == [
        f"toy: batch size {of} fits, trying {2 * of}" for of in tried if of < min(size + 1, 16)
    ]
    assert said[-1] == (
        "toy: using batch size 16, the most for 18 training rows on cpu"
        if size == 16
        else f"toy: batch size {2 * size} does not fit; using {size}"
    )


def test_a_single_row_is_left_if_two_do_not_fit() -> None:
    said: list[str] = []
    plain = nn.Sequential(nn.Linear(3, 1))
    assert largest_batch(plain, Curve(most_rows=1), Settings(), FitContext(say=said.append)) == 1
    assert said == ["toy: batch size 2 does not fit; using 1"]


def test_the_longest_rows_are_tried() -> None:
    class Recording(Loose):
        def batch(self, rows: Any) -> dict[str, Any]:
            lengths.append(list(self.lengths[rows]))
            return super().batch(rows)

    lengths: list[list[int]] = []
    largest_batch(model(), Recording(), Settings(), FitContext())
    assert lengths[1:3] == [[9, 9], [9, 9, 8, 8]]


def test_everything_else_stays_as_it_was() -> None:
    """Weights, statistics of normalization, random numbers, and whether the model trains."""
    searched, untouched = model().eval(), model()
    before = torch.get_rng_state()
    largest_batch(searched, Loose(most_rows=8), Settings(), FitContext())
    assert torch.equal(torch.get_rng_state(), before)
    assert not searched.training
    for (name, value), expected in zip(
        searched.state_dict().items(), untouched.state_dict().values(), strict=True
    ):
        assert torch.equal(value, expected), name
    assert all(weight.grad is None and weight.requires_grad for weight in searched.parameters())


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    task = Loose(most_rows=4, out_of_memory=RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        largest_batch(model(), task, Settings(), FitContext())


def test_what_cannot_fit_by_estimate_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU the system would kill the process."""
    tried: list[int] = []

    def fits(model: Any, task: Any, settings: Any, rows: Any) -> bool:
        tried.append(len(rows))
        return True

    monkeypatch.setattr(batch_size, "_fits", fits)
    monkeypatch.setattr(batch_size, "bytes_a_token", lambda model, task: 10.0)
    weights = sum(of.numel() for of in model().parameters()) * state.BYTES_OF_A_TRAINED_WEIGHT
    free = (weights + 10 * 9 * 5) / state.SHARE_TO_USE
    monkeypatch.setattr(state, "free_bytes", lambda device: free)
    assert largest_batch(model(), Loose(), Settings(), FitContext()) == 4
    assert tried == [2, 4]


@pytest.mark.parametrize(
    ("rows", "cpu", "cuda"),
    [(0, 1, 1), (1, 1, 1), (3, 2, 2), (27, 16, 16), (500, 32, 32), (1_300, 32, 64),
     (10_000, 32, 256), (10**6, 32, 512)],
)  # fmt: skip
def test_the_most_rows(rows: int, cpu: int, cuda: int) -> None:
    assert (most_rows(rows, "cpu"), most_rows(rows, "cuda")) == (cpu, cuda)


@pytest.fixture
def auto(tiny_encoder: Path) -> Finetune:
    return Finetune(encoder=str(tiny_encoder), epochs=2, batch_size="auto", learning_rate=3e-3)


def fit(method: Finetune, rows: Dataset, folder: Path | None = None) -> TransformerClassifier:
    context = FitContext(device="cpu")
    if folder is not None:
        folder.mkdir(exist_ok=True)
        checkpoints = Checkpoints(folder / "checkpoint", every_steps=1)
        context = replace(context, checkpoints=checkpoints, log=folder / "log.jsonl")
    return method.fit(rows, rows, context)


def test_a_second_fit_takes_the_size_that_was_found(
    auto: Finetune, topics: Dataset, limited: Callable[[int], list[int]]
) -> None:
    tried = limited(4)
    fitted = fit(auto, topics)
    before = len(tried)
    again = auto.refit(topics, fitted, FitContext(device="cpu"))
    assert isinstance(again, TransformerClassifier)
    assert again.trained_with["batch_size"] == 4
    assert len(tried) == before


@pytest.mark.parametrize("size", [4, 16])
def test_if_none_is_chosen_the_number_of_rows_says_how_many_make_a_step(
    auto: Finetune, topics: Dataset, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[int]()
    monkeypatch.setattr(regimes, "batch_size_for", lambda rows, *_: asked.append(rows) or size)
    method = replace(auto, batch_size=None)
    found, expected = fit(method, topics), fit(replace(auto, batch_size=size), topics)
    np.testing.assert_array_equal(
        found.predict_proba(topics.texts), expected.predict_proba(topics.texts)
    )
    assert asked == [len(topics)]
    again = method.refit(topics, found, FitContext(device="cpu"))
    assert isinstance(again, TransformerClassifier)
    assert again.trained_with["batch_size"] == found.trained_with["batch_size"] == size
    assert asked == [len(topics)]  # more rows may ask for another size


@pytest.mark.parametrize(("most", "size"), [(1, 1), (4, 4), (100, 16)])
def test_it_trains_as_with_that_number(
    auto: Finetune, topics: Dataset, most: int, size: int, tmp_path: Path,
    limited: Callable[[int], list[int]],
) -> None:  # fmt: skip
    limited(most)
    found = fit(auto, topics, tmp_path)
    expected = fit(replace(auto, batch_size=size), topics)
    assert found.provenance()["trained_with"]["batch_size"] == size
    assert "batch_size" not in expected.provenance()["trained_with"]
    np.testing.assert_array_equal(
        found.predict_proba(topics.texts), expected.predict_proba(topics.texts)
    )
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert f"using {'batch size ' if size == 16 else ''}{size}" in logged[0]["event"]
    assert max(line["step"] for line in logged) == 2 * -(-len(topics) // size)


def test_the_search_itself_changes_no_weight(auto: Finetune, topics: Dataset) -> None:
    """Without a made-up memory: the trial steps are made."""
    found, expected = fit(auto, topics), fit(replace(auto, batch_size=16), topics)
    np.testing.assert_array_equal(
        found.predict_proba(topics.texts), expected.predict_proba(topics.texts)
    )


def test_a_resumed_training_has_the_size_that_it_began_with(
    auto: Finetune, topics: Dataset, tmp_path: Path, limited: Callable[[int], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    limited(4)
    expected = fit(auto, topics)
    with monkeypatch.context() as patch:
        usual = finetext.training.state.Training.count
        steps: list[int] = []

        def stop(self: Any, *given: Any) -> None:
            usual(self, *given)
            steps.append(1)
            if len(steps) == 5:
                raise KeyboardInterrupt

        patch.setattr("finetext.training.state.Training.count", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(auto, topics, tmp_path)
    tried = limited(8)
    resumed = fit(auto, topics, tmp_path)
    assert tried == []
    np.testing.assert_array_equal(
        resumed.predict_proba(topics.texts), expected.predict_proba(topics.texts)
    )
    assert "resumed at step 5" in (tmp_path / "log.jsonl").read_text()


@pytest.mark.parametrize("kept", ["", "{", "[]", '{"batch_size": 0}', '{"batch_size": "auto"}'])
def test_a_damaged_record_is_searched_again(
    auto: Finetune, topics: Dataset, tmp_path: Path, kept: str, limited: Callable[[int], list[int]]
) -> None:
    tried = limited(2)
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / batch_size.FILE).write_text(kept)
    assert fit(auto, topics, tmp_path).provenance()["trained_with"]["batch_size"] == 2
    assert tried == [2, 4]


def test_it_is_a_value_of_recipes() -> None:
    recipe = Recipe.from_values({"methods": {"finetune": {"batch_size": "auto"}}})
    assert recipe.methods["finetune"] == Finetune(batch_size="auto")
    assert 'batch_size = "auto"' in recipe.to_toml()
    with pytest.raises(RecipeError, match="batch_size = 'large'"):
        Recipe(methods={"finetune": Finetune(batch_size="large")})  # type: ignore[arg-type]


def test_the_learning_rate_finder_and_the_trainer_take_it(
    auto: Finetune, reviews: Path, workplace: Path, limited: Callable[[int], list[int]]
) -> None:
    limited(4)
    silent = finetext.Listener()
    said: list[str] = []
    finetext.find_lr(
        reviews, auto, finetext.RangeTest(steps=10), listener=finetext.Listener(say=said.append)
    )
    assert any(line.endswith("in batches of 4") for line in said)
    splits = finetext.split(finetext.read(reviews))
    trainer = finetext.Trainer(replace(auto, epochs=None, learning_rate=None), splits,
                               device="cpu", listener=silent)  # fmt: skip
    trainer.fit_stage(1, 1e-3)
    assert max(line["step"] for line in trainer.log) == -(-len(splits.train) // 4)
    trained = trainer.classifier().provenance()["trained_with"]
    assert trained["batch_size"] == 4
    assert trained["precision"] in ("fp32", "bf16")
