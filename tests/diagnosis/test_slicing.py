"""Tests of the candidate slices: which rows are in them, and how languages are identified."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predicted, Predictions
from finetext.diagnosis.languages import NO_LETTERS, NOT_SURE
from finetext.diagnosis.slices import find_slices
from finetext.diagnosis.slicing import (
    Candidate,
    applicable_kinds,
    candidates,
    input_limit,
)
from finetext.report.errors import slices_lines

Judged = Callable[..., Predicted]


def by_name(some: Predicted, *kinds: str, **more: object) -> dict[str, Candidate]:
    return {each.name: each for each in candidates(some, kinds, **more)}  # type: ignore[arg-type]


def sizes(found: dict[str, Candidate]) -> dict[str, int]:
    return {name: len(each.rows) for name, each in found.items()}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 999), st.integers(1, 40))
def test_lengths_are_covered_once(judged: Judged, seed: int, longest: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, longest + 1, size=80)
    found = by_name(judged([" ".join(["x"] * n) for n in lengths], np.ones(80, bool)), "length")
    rows = np.concatenate([each.rows for each in found.values()] or [np.arange(0)])
    assert len(set(rows.tolist())) == len(rows)
    for name, each in found.items():
        low, _, high = name.removesuffix("s").removesuffix(" word").partition(" to ")
        of_slice = lengths[each.rows]
        assert (of_slice.min(), of_slice.max()) == (int(low), int(high or low))


def test_quarters_have_equal_sizes_and_equal_lengths_stay_together(judged: Judged) -> None:
    texts = ["x " * length for length in np.repeat(np.arange(1, 9), 20)]
    found = by_name(judged(texts, np.ones(160, bool)), "length")
    names = ("1 to 2 words", "3 to 4 words", "5 to 6 words", "7 to 8 words")
    assert sizes(found) == dict.fromkeys(names, 40)


def test_tokens_are_words_and_signs_in_enough_rows(judged: Judged) -> None:
    texts = [f"Text {row}" + " NOT" * (row % 4 == 0) + " !" * (row < 20) for row in range(400)]
    texts = [text + " don\u2019t" * (row >= 380) for row, text in enumerate(texts)]
    texts[0] = "rare " + texts[0]
    some = judged(texts, np.ones(400, bool))
    found = by_name(some, "token")
    assert set(found) == {"not", "!", "don't"}
    assert by_name(some, tokens=("Don't",))["don't"].rows.tolist() == list(range(380, 400))
    assert found["not"].rows.tolist() == list(range(0, 400, 4))


def test_named_tokens_are_found_as_whole_words(judged: Judged) -> None:
    texts = ["the cat  Sat" if row < 12 else "category :) the mat" for row in range(100)]
    some = judged(texts, np.ones(100, bool))
    assert sizes(by_name(some, tokens=("Cat sat", ":)", "cat"))) == {
        "cat sat": 12, ":)": 88, "cat": 12,
    }  # fmt: skip
    assert len(list(candidates(some, ("token",), ("cat",)))) == len(by_name(some, "token"))
    for token, message in (
        ("dog", "the token 'dog' is in 0 of 100 rows; a slice needs 10"),
        ("the", "the token 'the' is in 100 of 100 rows"),
        (" ", "blank"),
    ):
        with pytest.raises(DataError, match=message):
            by_name(some, tokens=(token,))


def test_labels_and_groups_are_slices(judged: Judged) -> None:
    some = judged(None, np.ones(90, bool), [f"film {row % 6}" for row in range(90)])
    assert set(sizes(by_name(some, "group")).values()) == {15}
    labels = by_name(some, "label")
    assert (some.predictions.targets[labels["b"].rows] == 1).all()
    assert applicable_kinds(some) == ("group", "label")
    several = Predictions(
        tuple(map(str, range(40))), np.repeat([[1, 1], [0, 0]], 20, axis=0), np.full((40, 2), 0.6),
        LabelScheme(("a", "b"), multilabel=True),
    )  # fmt: skip
    found = by_name(Predicted("many.csv", several, None, "macro_f1"), "label")
    assert list(found) == ["a", "b", "(none)"]
    assert found["(none)"].rows.tolist() == list(range(20, 40))


def test_columns_of_numbers_are_quartered_and_others_taken_by_value(judged: Judged) -> None:
    columns = {
        "year": [str(1940 + row) if row < 60 else "" for row in range(80)],
        "stars": [float(row % 3) for row in range(80)],
        "maker": ["Ford" if row < 30 else None for row in range(80)],
    }
    found = list(candidates(judged(None, np.ones(80, bool)), (), columns=columns))
    names = [(each.kind, each.name) for each in found]
    ranges = ("1940 to 1954", "1955 to 1969", "1970 to 1984", "1985 to 1999", "(empty)")
    assert names[:5] == [("column:year", name) for name in ranges]
    assert set(names[5:8]) == {("column:stars", "0"), ("column:stars", "1"), ("column:stars", "2")}
    assert names[8:] == [("column:maker", "(empty)"), ("column:maker", "Ford")]


LONG = "soup with bread and salt"
TEXTS = tuple("soup with bread" + " and salt" * (row % 3 == 0) for row in range(60))


@pytest.fixture(params=["model", "model/encoder"])
def predicted(request: pytest.FixtureRequest, tmp_path: Path, tiny_encoder: Path) -> Predicted:
    """Predictions of a method that reads six tokens, wrong where the text is long."""
    place = tmp_path / "method" / request.param
    place.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_encoder / name, place)
    described = {"format_version": 2, "labels": ["a", "b"], "multilabel": False, "decision": {}}
    described["provenance"] = {"max_length": 6}
    (tmp_path / "method" / "model" / "finetext.json").write_text(json.dumps(described))
    targets = np.array([text == LONG for text in TEXTS], dtype=np.int64)
    predictions = Predictions(
        tuple(map(str, range(60))), targets, np.tile([0.9, 0.1], (60, 1)), LabelScheme(("a", "b"))
    )
    return Predicted("mine", predictions, TEXTS, "accuracy", tmp_path, "method", part="validation")


def test_truncated_texts_are_a_slice(predicted: Predicted) -> None:
    (found,) = candidates(predicted, ["cut"])
    assert (found.kind, found.name) == ("cut", "over 6 tokens")
    assert found.rows.tolist() == list(range(0, 60, 3))
    assert "cut" in applicable_kinds(predicted)
    (first,) = [each for each in find_slices(predicted).slices if each.kind == "cut"]
    assert first.worse


def test_the_tokens_of_a_gliclass_model_are_counted(predicted: Predicted) -> None:
    place, _ = input_limit(predicted) or (Path(), 0)
    inner = json.loads((place / "config.json").read_text())
    config = {"model_type": "GLiClass", "encoder_config": inner}
    (place / "config.json").write_text(json.dumps(config))
    (found,) = candidates(predicted, ["cut"])
    assert found.rows.tolist() == list(range(0, 60, 3))


def test_without_a_known_limit_there_is_no_such_slice(predicted: Predicted) -> None:
    assert predicted.run is not None
    described = predicted.run / "method" / "model" / "finetext.json"
    without_texts = replace(predicted, texts=None)
    assert input_limit(without_texts) is not None
    assert "cut" not in applicable_kinds(without_texts)
    described.write_text(json.dumps(json.loads(described.read_text()) | {"provenance": {}}))
    for some in (replace(predicted, run=None, method=None), predicted):
        assert input_limit(some) is None
        assert "cut" not in applicable_kinds(some)
        with pytest.raises(DataError, match="mine truncates no texts"):
            list(candidates(some, ["cut"]))
    described.write_text("{")
    assert input_limit(predicted) is None


def test_slices_by_language(judged: Judged) -> None:
    texts = [
        "I did not feel well yesterday, so I stayed at home.",
        "Gestern ging es mir nicht gut, darum blieb ich zu Hause.",
        "Food",
        "12 :)",
    ] * 12
    some = judged(texts, np.ones(48, bool))
    found = {name: each.rows.tolist() for name, each in by_name(some, "language").items()}
    names = ("en", "de", NOT_SURE, NO_LETTERS)
    assert found == {name: list(range(n, 48, 4)) for n, name in enumerate(names)}
    slices = find_slices(some, by=("language",))
    assert slices.languages_by == "py3langid"
    assert "py3langid" in " ".join(slices_lines(slices, "mine"))
