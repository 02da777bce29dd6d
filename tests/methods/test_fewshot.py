"""Few-shot learning: what it learns from, when it ends, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext.core.contracts import Checkpoints, Classifier, FitContext
from finetext.core.errors import RecipeError
from finetext.core.types import Dataset
from finetext.methods.fewshot import (
    MOST_EPOCHS,
    MOST_STEPS,
    FewShot,
)
from finetext.methods.label_sentences import TEXTS_OF_A_NAME, names_fit, repeated
from finetext.methods.probe import Probe

CONTEXT = FitContext(device="cpu")
TEXTS = {
    "sports": ["The striker scored twice", "The coach was fired", "A record in the marathon"],
    "politics": ["The minister resigned", "A new tax bill passed", "The election is close"],
    "science": ["A new planet was found", "The virus changed its genes", "A stronger magnet"],
}


def fitted(encoder: Path, rows: Dataset, context: FitContext = CONTEXT, **more: Any) -> Classifier:
    return FewShot(str(encoder), **more).fit(rows, rows.select([]), context)


def test_texts_of_a_label_come_together(tiny_encoder: Path, topics: Dataset) -> None:
    before = Probe(str(tiny_encoder)).fit(topics, topics.select([]), CONTEXT).encoder
    after = fitted(tiny_encoder, topics, steps=60, learned_at=0.0).encoder  # type: ignore[attr-defined]
    assert _gap(after, topics) > _gap(before, topics) + 0.2
    assert not after.model.training


def _gap(encoder: Any, rows: Dataset) -> float:
    """How much more alike texts of the same label are than others."""
    states = encoder.states(rows.texts)
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    cosines, same = states @ states.T, rows.targets[:, None] == rows.targets
    other_rows = ~np.eye(len(rows), dtype=bool)
    return float(cosines[same & other_rows].mean() - cosines[~same].mean())


def test_training_ends_when_pairs_are_apart(tiny_encoder: Path, topics: Dataset) -> None:
    said: list[str] = []
    context = FitContext(device="cpu", say=said.append)
    easy = fitted(tiny_encoder, topics, context, learned_at=10.0, batch_size=4)
    trained = easy.provenance()["trained_with"]
    assert trained["step"] == 14 < trained["steps"]  # all 27 rows, two of them in a step
    assert "fewshot: nothing is left to learn at step 14 of 140" in said
    few = fitted(tiny_encoder, topics, learned_at=10.0).provenance()["trained_with"]
    assert few["step"] == 8
    whole = fitted(tiny_encoder, topics, steps=5, learned_at=0.0).provenance()["trained_with"]
    assert whole["step"] == whole["steps"] == 5


@pytest.mark.parametrize("texts", [1, 7, 64, 500, 40_000])
@pytest.mark.parametrize("batch_size", [1, 3, 15, 16])
def test_the_budget_is_ten_passes_and_at_most_400_steps(texts: int, batch_size: int) -> None:
    method = FewShot(batch_size=batch_size)
    pairs = max(1, batch_size // 2)
    assert method.most_steps(texts) == min(MOST_STEPS, MOST_EPOCHS * -(-texts // pairs))
    assert FewShot(batch_size=batch_size, steps=3).most_steps(texts) == 3


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_no_more_steps_are_made_than_asked(
    tiny_encoder: Path, topics: Dataset, batch_size: int
) -> None:
    done = fitted(tiny_encoder, topics, steps=7, learned_at=0.0, batch_size=batch_size)
    assert done.provenance()["trained_with"]["step"] == 7


def test_sentences_are_of_names_that_say_something_and_of_descriptions(
    tiny_encoder: Path, make_dataset: Any
) -> None:
    rows = make_dataset(["bread", "salt", "match", "final"], ["food", "food", "1", "1"])
    assert rows.scheme is not None
    column = rows.scheme.index["food"]
    named = FewShot(str(tiny_encoder), templates=("{}", "about {}", "on {}"))
    texts = ["food", "about food", "on food"] * (TEXTS_OF_A_NAME // 3)
    assert _sentences(named, rows) == [(text, column) for text in texts]
    described = FewShot(str(tiny_encoder), descriptions={"1": ("a game", "sports")}, templates=())
    said = _sentences(described, rows)
    assert {text for text, _ in said} == {"a game", "sports"}
    assert {of for _, of in said} == {rows.scheme.index["1"]}


def states_of(encoder: Any, texts: Sequence[str]) -> Callable[[Any], Any]:
    return lambda rows: encoder.states([texts[row] for row in rows])


def _sentences(method: FewShot, rows: Dataset) -> list[tuple[str, int]]:
    assert rows.scheme is not None
    labels = np.eye(len(rows.scheme), dtype=np.int64)[rows.targets]
    encoder = method._untrained(CONTEXT)
    known = method._known.of(rows.scheme, encoder, states_of(encoder, rows.texts), labels, CONTEXT)
    return repeated(known)


@pytest.mark.parametrize(
    ("names", "fit"),
    [(("sports", "politics", "science"), True), (("science", "sports", "politics"), False)],
)
def test_names_that_mislead_are_left_out(
    make_dataset: Any, names: tuple[str, ...], fit: bool
) -> None:
    texts = [text for several in TEXTS.values() for text in several]
    labels = [name for name in names for _ in range(3)]
    said: list[str] = []
    context = FitContext(device="cpu", say=said.append)
    rows, method = make_dataset(texts, labels), FewShot()
    one_hot = np.eye(3, dtype=np.int64)[rows.targets]
    assert rows.scheme is not None
    encoder = method._untrained(context)
    states = states_of(encoder, rows.texts)
    found = method._known.of(rows.scheme, encoder, states, one_hot, context)
    assert any(found) is fit
    assert any("names of labels are left out" in line for line in said) is not fit


def test_nothing_speaks_against_names_without_two_texts_to_compare(tiny_encoder: Path) -> None:
    encoder = FewShot(str(tiny_encoder))._untrained(CONTEXT)
    every = np.ones((4, 2), dtype=np.int64)
    states = states_of(encoder, ["a", "b", "c", "d"])
    assert names_fit(encoder, [["bread"], ["match"]], states, every, CONTEXT)


def test_a_saved_model_predicts_the_same(
    tiny_encoder: Path, topics: Dataset, tmp_path: Path
) -> None:
    model = fitted(tiny_encoder, topics, steps=4)
    loaded = finetext.Classifier.load(model.save(tmp_path / "model"), device="cpu")
    texts = list(topics.texts)[:5]
    np.testing.assert_allclose(loaded.predict_proba(texts), model.predict_proba(texts), atol=1e-6)
    assert loaded.provenance()["trained_with"] == model.provenance()["trained_with"]


def test_dropout_is_off_in_training_and_kept_for_later(tiny_encoder: Path, topics: Dataset) -> None:
    from finetext.encoders.load import load_encoder, load_tokenizer

    one, two = (fitted(tiny_encoder, topics, steps=4).predict_proba(["bread"]) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    original = load_encoder(str(tiny_encoder), load_tokenizer(str(tiny_encoder))).config
    kept = fitted(tiny_encoder, topics, steps=2).encoder.model.config  # type: ignore[attr-defined]
    assert kept.hidden_dropout_prob == original.hidden_dropout_prob > 0


@pytest.mark.parametrize(("learned_at", "rows"), [(0.0, 64), (10.0, 108)])
def test_an_interrupted_training_resumes(
    tiny_encoder: Path, topics: Dataset, tmp_path: Path, learned_at: float, rows: int
) -> None:
    def context(folder: str, progress: Any = lambda event: None) -> FitContext:
        checkpoints = Checkpoints(tmp_path / folder, every_steps=1)
        return FitContext(device="cpu", checkpoints=checkpoints, progress=progress)

    def stop(event: Any) -> None:
        if event.stage.startswith("fewshot") and event.done >= rows:
            raise KeyboardInterrupt

    how = {"steps": 10, "learned_at": learned_at}
    whole = fitted(tiny_encoder, topics, context("whole"), **how)
    with pytest.raises(KeyboardInterrupt):
        fitted(tiny_encoder, topics, context("stopped", stop), **how)
    resumed = fitted(tiny_encoder, topics, context("stopped"), **how)
    texts = list(topics.texts)
    np.testing.assert_array_equal(resumed.predict_proba(texts), whole.predict_proba(texts))


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"encoder": "random:minilm"}, "random weights"),
        ({"templates": ("no place",)}, "needs {} once"),
        ({"descriptions": {"sport": " "}}, "'sport' is empty"),
        ({"descriptions": {"sprt": "a match"}}, "no label here"),
        ({"max_length": 10_000}, "tokens"),
    ],
)
def test_what_cannot_work_is_refused(
    tiny_encoder: Path, topics: Dataset, hyperparameters: dict[str, Any], message: str
) -> None:
    method = FewShot(**{"encoder": str(tiny_encoder), **hyperparameters})
    with pytest.raises(RecipeError, match=message):
        method.check(topics.scheme)


def test_several_labels_a_text(tiny_encoder: Path, mixed_topics: Dataset) -> None:
    model = fitted(tiny_encoder, mixed_topics, steps=30)
    assert mixed_topics.scheme is not None
    shape = len(mixed_topics), len(mixed_topics.scheme)
    assert model.predict_proba(mixed_topics.texts).shape == shape
    assert all(isinstance(labels, list) for labels in model.predict(list(mixed_topics.texts)))


def test_three_texts_a_label_and_its_name_suffice() -> None:
    rows = [(text, label) for label, several in TEXTS.items() for text in several]
    model = finetext.fit(*zip(*rows, strict=True), method="fewshot", device="cpu")  # type: ignore[arg-type]
    unseen = ["The goalkeeper saved a penalty", "Parliament debates", "Telescopes saw a galaxy"]
    assert model.predict(unseen) == ["sports", "politics", "science"]
