"""The frozen encoder: its states are right, and computed once."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetext.core.arrays import unit
from finetext.core.contracts import Classifier, FitContext, ProgressEvent
from finetext.core.errors import RecipeError, UnknownNameError
from finetext.core.types import Dataset, Finding
from finetext.encoders.load import load_encoder, load_tokenizer
from finetext.encoders.states import FrozenEncoder
from finetext.methods.linear import Prototypes
from finetext.methods.probe import REGRESSIONS, Probe, _with_prototypes
from finetext.runs.recipe import Recipe
from finetext.training.tokens import TokenTable


@pytest.fixture(scope="module")
def frozen(tiny_encoder: Path) -> FrozenEncoder:
    import torch

    tokenizer = load_tokenizer(str(tiny_encoder))
    return FrozenEncoder(
        load_encoder(str(tiny_encoder), tokenizer), tokenizer, 64, torch.device("cpu")
    )


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each computation of states was asked for."""
    counts: list[int] = []
    compute = FrozenEncoder._compute

    def counted(self: FrozenEncoder, table: TokenTable, context: FitContext | None) -> Any:
        counts.append(len(table))
        return compute(self, table, context)

    monkeypatch.setattr(FrozenEncoder, "_compute", counted)
    return counts


def test_a_state_is_the_mean_over_the_tokens_of_a_text(frozen: FrozenEncoder) -> None:
    import torch

    texts = ["fresh bread", "", "the team won the match in the final game"]
    for text, state in zip(texts, frozen.states(texts), strict=True):
        with torch.no_grad():
            hidden = frozen.model(**frozen.tokenizer(text, return_tensors="pt")).last_hidden_state
        np.testing.assert_allclose(state, hidden[0].mean(dim=0).numpy(), atol=1e-5)


def test_a_second_fit_computes_no_states(
    tiny_encoder: Path, topics: Dataset, tmp_path: Path, computed: list[int]
) -> None:
    context = FitContext(device="cpu", cache=tmp_path)
    probe = Probe(encoder=str(tiny_encoder), inverse_regularisation=1.0)
    first = probe.fit(topics, topics, context)
    assert computed == [27]
    second = replace(probe, inverse_regularisation=10.0).fit(topics, topics, context)
    third = probe.fit(topics, topics, context)
    assert computed == [27]
    texts = ["bread", "bank"]
    np.testing.assert_array_equal(third.predict_proba(texts), first.predict_proba(texts))
    assert not np.allclose(second.predict_proba(texts), first.predict_proba(texts))


def test_other_texts_lengths_weights_and_tokenizers_have_states_of_their_own(
    frozen: FrozenEncoder, tmp_path: Path, computed: list[int]
) -> None:
    import copy

    import torch
    from transformers import BertTokenizerFast

    context = FitContext(cache=tmp_path)
    texts = ["fresh bread", "the bank"]
    frozen.states(texts, context)
    frozen.states(texts[::-1], context)
    frozen.states(["fresh", "bread the bank"], context)
    replace(frozen, max_length=3).states(texts, context)
    other = copy.deepcopy(frozen.model)
    with torch.no_grad():
        next(other.parameters()).add_(1e-3)
    replace(frozen, model=other).states(texts, context)
    vocabulary = frozen.tokenizer.get_vocab()
    swapped = {"bread": vocabulary["bank"], "bank": vocabulary["bread"]}
    tokenizer = BertTokenizerFast(vocab=vocabulary | swapped)
    replace(frozen, tokenizer=tokenizer).states(texts, context)
    assert computed == [2] * 6
    frozen.states(texts, context)
    assert computed == [2] * 6


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "pickle"])
def test_a_damaged_file_is_computed_again(
    frozen: FrozenEncoder, tmp_path: Path, computed: list[int], damage: str
) -> None:
    context = FitContext(cache=tmp_path)
    texts = ["bread", "bank", "team"]
    states = frozen.states(texts, context)
    (file,) = (tmp_path / "states").iterdir()
    whole = file.read_bytes()
    damaged = {"empty": b"", "cut": whole[:-50], "text": b"no array", "pickle": pickle.dumps([1])}
    file.write_bytes(damaged[damage])
    np.testing.assert_array_equal(frozen.states(texts, context), states)
    assert computed == [3, 3]
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_done_without(
    frozen: FrozenEncoder, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    states = frozen.states(["bread"], FitContext(cache=tmp_path / "file"))
    np.testing.assert_array_equal(states, frozen.states(["bread"]))


def test_progress_counts_every_text(frozen: FrozenEncoder) -> None:
    heard: list[ProgressEvent] = []
    frozen.states(["bread " * 60] * 150, FitContext(progress=heard.append))
    assert len(heard) > 1
    assert (heard[-1].done, heard[-1].total) == (150, 150)


def test_weights_that_a_checkpoint_lacks_do_not_spoil_the_cache(
    frozen: FrozenEncoder, topics: Dataset, tmp_path: Path, computed: list[int]
) -> None:
    from transformers import BertModel

    folder = tmp_path / "without-pooler"
    BertModel(frozen.model.config, add_pooling_layer=False).save_pretrained(folder)
    frozen.tokenizer.save_pretrained(folder)
    probe = Probe(encoder=str(folder), inverse_regularisation=1.0)
    for _ in range(2):
        probe.fit(topics, topics, FitContext(device="cpu", cache=tmp_path / "cache"))
    assert computed == [27]


def test_it_chooses_c_and_says_which(
    tiny_encoder: Path, topics: Dataset, make_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    labels = [str(label) for label in topics.column("label")]
    rows, context = make_dataset(topics.texts * 2, labels * 2), FitContext(device="cpu")
    fitted = Probe(encoder=str(tiny_encoder)).fit(rows, topics, context)
    chosen = {way.inverse_regularisation for way in REGRESSIONS}
    assert fitted.provenance()["inverse_regularisation"] in chosen
    assert fitted.provenance()["window"] == 64
    few = Probe(encoder=str(tiny_encoder)).fit(topics, topics, context)
    assert few.provenance()["prototypes"] is True
    assert Classifier.load(few.save(tmp_path / "few"), "cpu").provenance() == few.provenance()


NEWS = {
    "sports": ["The striker scored twice", "The coach was fired", "A record in the marathon"],
    "politics": ["The minister resigned", "A new tax bill passed", "The election is close"],
    "science": ["A new planet was found", "The virus changed its genes", "A stronger magnet"],
}
UNSEEN = ["The goalkeeper saved a penalty", "Parliament debates", "A telescope sees a galaxy"]


def news(make_dataset: Callable[..., Dataset], names: Sequence[str], each: int) -> Dataset:
    texts = [text for several in NEWS.values() for text in several[:each]]
    return make_dataset(texts, [name for name in names for _ in range(each)])


@pytest.mark.parametrize("each", [1, 3])
def test_with_few_rows_each_label_is_the_mean_of_its_rows_and_name(
    make_dataset: Callable[..., Dataset], each: int
) -> None:
    rows, context = news(make_dataset, list(NEWS), each), FitContext(device="cpu")
    fitted = Probe().fit(rows, rows.select([]), context)
    assert fitted.provenance()["prototypes"]
    assert "inverse_regularisation" not in fitted.provenance()
    assert fitted.predict(UNSEEN) == list(NEWS)
    assert np.median(fitted.predict_proba(UNSEEN).max(axis=1)) < 0.99
    whole = fitted.encoder.states([*rows.texts, "none"])[:-1]
    assert rows.scheme is not None
    wanted = []
    for column, name in enumerate(rows.scheme.names):
        said = [name, f"This text expresses {name}.", f"The topic is {name}."]
        of_name = unit(unit(fitted.encoder.states(said)).mean(axis=0))
        wanted.append(unit(unit(whole[rows.targets == column]).sum(axis=0) + 9 * of_name))
    cosines = unit(fitted.encoder.states(UNSEEN)) @ np.array(wanted).T
    logits = fitted.head.logits((fitted.encoder.states(UNSEEN) - fitted.mean) / fitted.scale)
    ratios = logits / cosines  # one factor a text: its length
    np.testing.assert_allclose(ratios, np.repeat(ratios[:, :1], 3, axis=1), rtol=1e-4)


@pytest.mark.parametrize(
    ("rows", "settings", "tried"),
    [(300, {}, True), (501, {}, False), (60, {"encoder": "bert"}, False), (20, {}, True)],
)
def test_prototypes_are_for_few_rows_and_encoders_that_compare(
    make_dataset: Callable[..., Dataset], rows: int, settings: Any, tried: bool
) -> None:
    data = make_dataset([str(row) for row in range(rows)], ["ab"[row % 2] for row in range(rows)])
    assert Probe(**settings)._tries_prototypes(data) is tried


def test_prototypes_are_not_for_several_labels(mixed_topics: Dataset) -> None:
    assert not Probe()._tries_prototypes(mixed_topics)


@pytest.mark.parametrize(
    ("rows", "labels", "ways"), [(32, 2, 1), (33, 2, 11), (60, 20, 1), (61, 20, 11)]
)
def test_with_the_fewest_rows_prototypes_alone_are_taken(rows: int, labels: int, ways: int) -> None:
    alone = Prototypes(20.0, np.zeros((labels, 4)), np.zeros(4), np.ones(4))
    assert len(_with_prototypes(alone, rows)) == ways


def test_c_is_chosen_by_log_loss_whatever_the_metric(
    tiny_encoder: Path, topics: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics: list[str] = []

    def chosen(*args: Any) -> Any:
        metrics.append(args[4].metric)
        return REGRESSIONS[0], 0.0

    monkeypatch.setattr("finetext.methods.probe.choose_head", chosen)
    Probe(str(tiny_encoder)).fit(topics, topics, FitContext(device="cpu", metric="accuracy"))
    assert metrics == ["log_loss"]


def test_descriptions_that_are_not_used_are_warned_of(
    tiny_encoder: Path, mixed_topics: Dataset
) -> None:
    found: list[Finding] = []
    method = Probe(str(tiny_encoder), descriptions={"food": "what is eaten"})
    method.fit(mixed_topics, mixed_topics, FitContext(device="cpu", find=found.append))
    assert [of.code for of in found] == ["unused-setting"]


def test_names_that_mislead_are_not_learned_from(make_dataset: Callable[..., Dataset]) -> None:
    rows = news(make_dataset, ["science", "sports", "politics"], 3)
    said: list[str] = []
    fitted = Probe().fit(rows, rows.select([]), FitContext(device="cpu", say=said.append))
    assert any("names of labels are left out" in line for line in said)
    assert fitted.predict(UNSEEN) == ["science", "sports", "politics"]


def test_descriptions_are_learned_from(make_dataset: Callable[..., Dataset]) -> None:
    texts, context = ["The striker scored twice", "A new tax bill passed"], FitContext(device="cpu")
    rows = make_dataset(texts, ["1", "2"])
    described = {"1": ("astronomy", "planets and telescopes"), "2": "cooking and recipes"}
    bare, fitted = (
        Probe(descriptions=some).fit(rows, rows.select([]), context) for some in ({}, described)
    )
    asked = ["A telescope sees a galaxy", "Bake the bread for an hour"]
    gain = np.diag(fitted.predict_proba(asked)) - np.diag(bare.predict_proba(asked))
    assert gain.min() > 0.1


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_states_in_16_bits_are_those_in_fp32_but_for_rounding(
    precision: Any, frozen: FrozenEncoder, topics: Dataset, tmp_path: Path
) -> None:
    context = FitContext(device="cpu", cache=tmp_path)
    wanted = replace(frozen, precision="fp32").states(topics.texts, context)
    found = replace(frozen, precision=precision).states(topics.texts, context)
    np.testing.assert_allclose(found, wanted, atol=0.05)
    assert (found != wanted).any()


def test_states_are_standardised_with_the_training_rows(
    tiny_encoder: Path, frozen: FrozenEncoder, topics: Dataset, make_dataset: Callable[..., Dataset]
) -> None:
    other = make_dataset(["something quite different"] * 3, ["food", "money", "sport"])
    fitted = Probe(encoder=str(tiny_encoder), inverse_regularisation=1.0).fit(
        topics, other, FitContext(device="cpu")
    )
    np.testing.assert_allclose(fitted.mean, frozen.states(topics.texts).mean(axis=0))


def test_settings_and_encoders_are_checked(tiny_encoder: Path) -> None:
    for settings in ({"max_length": 3}, {"inverse_regularisation": 0}):
        with pytest.raises(RecipeError, match=next(iter(settings))):
            Recipe.from_values({"methods": {"probe": settings}})
    with pytest.raises(UnknownNameError, match="distilbert"):
        Probe(encoder="distilbrt").check()
    with pytest.raises(RecipeError, match="takes from 4 to 64 tokens"):
        Probe(encoder=str(tiny_encoder), max_length=100).check()
