"""Which slices there are, and which of them are worse."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.errors import DataError, RunError, UnknownNameError
from finetext.core.types import LabelScheme, Predicted, Predictions
from finetext.diagnosis.slices import Slices, find_slices
from finetext.diagnosis.slicing import Candidate, candidates, usual_kinds
from finetext.report.slices import slices_lines

WORDS = [f"w{number}" for number in range(30)]


def judged(
    texts: Sequence[str] | None, right: np.ndarray, groups: Sequence[str] | None = None
) -> Predicted:
    """Rows of three labels that are right or wrong as told."""
    n, random = len(right), np.random.default_rng(5)
    targets = random.integers(3, size=n)
    given = np.where(right, targets, (targets + 1) % 3)
    likely = np.full((n, 3), 0.1)
    likely[np.arange(n), given] = 0.8
    predictions = Predictions(
        tuple(map(str, range(n))), targets, likely, LabelScheme(("a", "b", "c")),
        groups=None if groups is None else tuple(groups),
    )  # fmt: skip
    return Predicted("mine.csv", predictions, None if texts is None else tuple(texts), "macro_f1")


def sentences(n: int, random: np.random.Generator) -> list[str]:
    return [" ".join(random.choice(WORDS, size=random.integers(3, 12))) for _ in range(n)]


def by_name(some: Predicted, *kinds: str, **more: object) -> dict[str, Candidate]:
    return {each.name: each for each in candidates(some, kinds, **more)}  # type: ignore[arg-type]


@given(st.integers(0, 999), st.integers(1, 40))
def test_lengths_are_covered_once(seed: int, longest: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, longest + 1, size=80).tolist()
    some = judged([" ".join(["x"] * length) for length in lengths], np.ones(len(lengths), bool))
    found = by_name(some, "length")
    rows = np.concatenate([each.rows for each in found.values()] or [np.arange(0)])
    assert len(set(rows.tolist())) == len(rows)
    for name, each in found.items():
        low, _, high = name.removesuffix("s").removesuffix(" word").partition(" to ")
        of_slice = np.array(lengths)[each.rows]
        assert (of_slice.min(), of_slice.max()) == (int(low), int(high or low))


def test_quarters_are_of_a_size_and_equal_lengths_stay_together() -> None:
    lengths = np.repeat([1, 2, 3, 4, 5, 6, 7, 8], 20)
    some = judged(["x " * length for length in lengths], np.ones(160, bool))
    found = by_name(some, "length")
    assert list(found) == ["1 to 2 words", "3 to 4 words", "5 to 6 words", "7 to 8 words"]
    assert {len(each.rows) for each in found.values()} == {40}


def test_tokens_are_words_and_signs_in_enough_rows() -> None:
    texts = [f"Text {row}" + " NOT" * (row % 4 == 0) + " !" * (row < 20) for row in range(400)]
    texts = [text + " don\u2019t" * (row >= 380) for row, text in enumerate(texts)]
    texts[0] = "rare " + texts[0]
    some = judged(texts, np.ones(400, bool))
    found = by_name(some, "token")
    assert set(found) == {"not", "!", "don't"}
    assert by_name(some, tokens=("Don't",))["don't"].rows.tolist() == list(range(380, 400))
    assert found["not"].rows.tolist() == list(range(0, 400, 4))


def test_tokens_can_be_named_and_are_found_as_whole_words() -> None:
    texts = ["the cat  Sat" if row < 12 else "category :) the mat" for row in range(100)]
    some = judged(texts, np.ones(100, bool))
    found = by_name(some, tokens=("Cat sat", ":)", "cat"))
    assert {name: len(each.rows) for name, each in found.items()} == {
        "cat sat": 12, ":)": 88, "cat": 12,
    }  # fmt: skip
    assert len(list(candidates(some, ("token",), ("cat",)))) == len(by_name(some, "token"))
    with pytest.raises(DataError, match="the token 'dog' is in 0 of 100 rows; a slice needs 10"):
        by_name(some, tokens=("dog",))
    with pytest.raises(DataError, match="the token 'the' is in 100 of 100 rows"):
        by_name(some, tokens=("the",))
    with pytest.raises(DataError, match="blank"):
        by_name(some, tokens=(" ",))


def test_languages_are_told_by_script_without_py3langid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid", None)
    texts = [
        "ein Märchen",
        "plain text",
        "сказка про Машу",
        "这是一个故事",
        "12 :)",
        "\uff26\uff55\uff4c\uff4c",
    ] * 12
    some = judged(texts, np.ones(72, bool))
    found = by_name(some, "language")
    assert {name: len(each.rows) for name, each in found.items()} == {
        "Latin script": 36, "Cyrillic script": 12, "Han script": 12, "no letters": 12,
    }  # fmt: skip
    slices = find_slices(some, by=("language",))
    assert slices.languages_by == "script"
    legend = " ".join(slices_lines(slices, "mine"))
    assert "by their script alone; those of one script are told apart after pip install" in legend


def test_languages_of_one_script_are_told_apart_by_py3langid() -> None:
    pytest.importorskip("py3langid", reason="py3langid is not installed: scripts are told apart")
    texts = [
        "The food was cold and nobody came to help us.",
        "Das Essen war kalt, und niemand kam uns zu helfen.",
        "Food",
        "12 :)",
    ] * 12
    some = judged(texts, np.ones(48, bool))
    found = by_name(some, "language")
    assert {name: each.rows.tolist() for name, each in found.items()} == {
        "en": list(range(0, 48, 4)), "de": list(range(1, 48, 4)),
        "not sure": list(range(2, 48, 4)), "no letters": list(range(3, 48, 4)),
    }  # fmt: skip
    slices = find_slices(some, by=("language",))
    assert slices.languages_by == "py3langid"
    assert "Languages are told by py3langid" in " ".join(slices_lines(slices, "mine"))


def test_without_slices_of_languages_nothing_is_said_of_them() -> None:
    found = find_slices(judged(sentences(60, np.random.default_rng(0)), np.ones(60, bool)))
    assert {each.kind for each in found.slices} == {"length", "label", "token"}
    assert found.languages_by is None
    assert "anguages" not in " ".join(slices_lines(found, "mine"))


def test_labels_and_groups_are_slices() -> None:
    some = judged(None, np.ones(90, bool), [f"film {row % 6}" for row in range(90)])
    groups, labels = by_name(some, "group"), by_name(some, "label")
    assert {len(each.rows) for each in groups.values()} == {15}
    assert (some.predictions.targets[labels["b"].rows] == 1).all()
    assert usual_kinds(some) == ("group", "label")
    several = Predictions(
        tuple(map(str, range(40))), np.repeat([[1, 1], [0, 0]], 20, axis=0), np.full((40, 2), 0.6),
        LabelScheme(("a", "b"), multilabel=True),
    )  # fmt: skip
    found = by_name(Predicted("many.csv", several, None, "macro_f1"), "label")
    assert list(found) == ["a", "b", "(none)"]
    assert found["(none)"].rows.tolist() == list(range(20, 40))


def test_columns_of_numbers_are_quartered_and_others_taken_by_value() -> None:
    some = judged(None, np.ones(80, bool))
    years = [str(1940 + row) if row < 60 else "" for row in range(80)]
    stars = [float(row % 3) for row in range(80)]
    makers = ["Ford" if row < 30 else None for row in range(80)]
    found = list(candidates(some, (), columns={"year": years, "stars": stars, "maker": makers}))
    names = [(each.kind, each.name) for each in found]
    ranges = ("1940 to 1954", "1955 to 1969", "1970 to 1984", "1985 to 1999", "(empty)")
    assert names[:5] == [("column:year", name) for name in ranges]
    assert set(names[5:8]) == {("column:stars", "0"), ("column:stars", "1"), ("column:stars", "2")}
    assert names[8:] == [("column:maker", "(empty)"), ("column:maker", "Ford")]


def test_what_is_not_known_is_said() -> None:
    some = judged(None, np.ones(60, bool))
    for kind, message in (("token", "no column 'text'"), ("group", "no groups")):
        with pytest.raises(DataError, match=message):
            find_slices(some, by=(kind,))
    with pytest.raises(UnknownNameError, match="did you mean 'length'"):
        find_slices(some, by=("lenght",))
    assert find_slices(judged(None, np.ones(12, bool))).looked_at == 0


def test_a_bad_slice_that_was_planted_is_found_and_no_other() -> None:
    random = np.random.default_rng(0)
    texts = sentences(1500, random)
    bad = random.random(1500) < 0.06
    texts = [f"{text} zebra" if is_bad else text for text, is_bad in zip(texts, bad, strict=True)]
    right = random.random(1500) < np.where(bad, 0.6, 0.9)
    found = find_slices(judged(texts, right))
    assert [(each.kind, each.name) for each in found.slices if each.worse] == [("token", "zebra")]
    first = found.slices[0]
    assert first.name == "zebra"
    assert first.rows == bad.sum()
    assert first.score.value == pytest.approx(right[bad].mean())
    assert first.difference.high < 0 < first.score.low
    assert found.looked_at == len(found.slices) > 20
    assert found.metric == "accuracy"
    signs = np.sign([each.difference.value for each in found.slices])
    assert (np.diff(signs) >= 0).all()


def test_a_slice_that_is_better_is_not_named() -> None:
    right = np.repeat([True, False], 100)
    groups = ["good"] * 100 + ["bad"] * 100
    found = find_slices(judged(None, right, groups), by=("group",))
    assert [(each.name, each.worse) for each in found.slices] == [("bad", True), ("good", False)]
    assert max(each.p_value for each in found.slices) < 0.001


def test_of_losses_the_higher_are_worse() -> None:
    right = np.repeat([True, False], 100)
    found = find_slices(judged(None, right, ["good"] * 100 + ["bad"] * 100), by=("group",),
                        metric="log_loss")  # fmt: skip
    assert (found.slices[0].name, found.slices[0].worse) == ("bad", True)


def _named_by_chance(seed: int, grouped: bool) -> bool:
    """Whether a slice is named though rows are wrong whatever their words are."""
    random = np.random.default_rng(seed)
    n = 400
    groups = [f"g{number}" for number in random.integers(40, size=n)]
    ease = dict.fromkeys(groups, 0.0) | {name: random.normal(1.7, 1) for name in set(groups)}
    odds = np.array([ease[name] for name in groups]) if grouped else np.full(n, 1.7)
    right = random.random(n) < 1 / (1 + np.exp(-odds))
    texts = sentences(n, random)
    if grouped:
        texts = [f"{text} of{name[-1]}" for text, name in zip(texts, groups, strict=True)]
    some = judged(texts, right, groups if grouped else None)
    found = find_slices(some, by=("length", "token"))
    return any(each.p_value < 0.05 for each in found.slices)


@pytest.mark.parametrize("grouped", [False, True])
def test_chance_alone_is_seldom_named(grouped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetext.diagnosis.slices._RESAMPLES", 2)
    named = sum(_named_by_chance(seed, grouped) for seed in range(40))
    assert named <= 5, "5% of 40 are 2; more than 5 come up in one of sixty"


def test_slices_survive_json() -> None:
    right = np.arange(60) % 3 > 0
    found = find_slices(judged(sentences(60, np.random.default_rng(0)), right, ["x", "y"] * 30))
    again = Slices.from_json(json.loads(json.dumps(found.to_json())))
    assert again.to_json() == found.to_json()
    assert repr(again) == repr(found)
    for values in ({}, {"slices": [{}]}, {"slices": 3}):
        with pytest.raises(RunError, match="cannot be read"):
            Slices.from_json(values)
