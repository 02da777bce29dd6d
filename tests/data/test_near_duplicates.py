"""Copies and near-copies are found whatever their order, and nothing else is."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.data import near_duplicates as module
from finetext.data.near_duplicates import copies, near_duplicates


def sentences(count: int, words: int = 40, seed: int = 0) -> list[str]:
    """Texts of random words, which have next to nothing in common."""
    chance = random.Random(seed)
    return [" ".join(f"w{chance.randrange(5000)}" for _ in range(words)) for _ in range(count)]


def numbered(clusters: list[int]) -> list[set[int]]:
    """The rows of each cluster."""
    return [{r for r, of in enumerate(clusters) if of == c} for c in sorted(set(clusters))]


def test_copies_differ_in_spaces_alone() -> None:
    texts = ["a b", " a\nb ", "A b", "", " ", "a b."]
    assert copies(texts).tolist() == [0, 0, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        lambda text: text.replace(" ", ", "),
        lambda text: f"{text} and one more",
        lambda text: text.replace(text.split()[20], "other", 1),
        lambda text: " ".join(text.split()[:35]),
    ],
)
def test_a_changed_copy_is_found(change: object) -> None:
    texts = sentences(50)
    assert callable(change)
    assert near_duplicates([*texts, change(texts[7])]).tolist() == [*range(50), 7]


def test_short_answers_and_blank_texts_are_left_alone() -> None:
    texts = ["thank you", "Thank you!", "so very good indeed", "so very good, indeed", "", " ", "?"]
    assert near_duplicates(texts).tolist() == list(range(7))
    assert near_duplicates(["ok", "no", " ok "]).tolist() == [0, 1, 0]
    assert near_duplicates([]).tolist() == []


def test_short_texts_are_alike_if_one_word_sets_them_apart() -> None:
    texts = sentences(30, words=10)
    words = texts[4].split()
    replaced = " ".join([*words[:5], "other", *words[6:]])
    lacking = " ".join(words[:3] + words[4:])
    more = " ".join([*words[:7], "one", *words[7:]])
    assert near_duplicates([*texts, replaced, lacking, more]).tolist() == [*range(30), 4, 4, 4]
    two = " ".join(["new", *words[1:5], "other", *words[6:]])
    assert near_duplicates([*texts, two]).tolist() == list(range(31))
    nine = sentences(2, words=9, seed=3)
    changed = nine[0].replace(nine[0].split()[4], "other")
    assert near_duplicates([*nine, changed]).tolist() == [0, 1, 2]


@pytest.mark.parametrize("added", [1, 5, 12])
def test_short_texts_are_alike_if_one_begins_or_ends_with_the_other(added: int) -> None:
    texts = sentences(30, words=8)
    more = sentences(1, words=added, seed=2)[0]
    longer = [f"{texts[4]}. {more}", f"{more}! {texts[9].upper()}"]
    assert near_duplicates([*texts, *longer]).tolist() == [*range(30), 4, 9]
    assert near_duplicates([*texts, f"{more} {texts[4]} {more}"]).tolist() == list(range(31))


def test_a_text_is_not_alike_to_a_much_longer_one_that_begins_with_it() -> None:
    texts = sentences(30, words=8)
    longer = f"{texts[4]} {sentences(1, words=13, seed=2)[0]}"
    assert near_duplicates([*texts, longer]).tolist() == list(range(31))


def test_texts_that_others_link_are_one_cluster() -> None:
    words = sentences(1, words=60)[0].split()
    chain = [" ".join([f"new{i}" for i in range(n)] + words[n:]) for n in range(0, 16, 3)]
    assert near_duplicates([chain[0], chain[-1]]).tolist() == [0, 1]
    assert near_duplicates(chain).tolist() == [0] * len(chain)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_the_order_of_the_rows_changes_nothing(seed: int, copied: int) -> None:
    chance = random.Random(seed)
    texts = sentences(60, words=25, seed=seed)
    for row in range(copied):
        words = texts[chance.randrange(60)].split()
        words[chance.randrange(25)] = "other"
        texts[row] = " ".join(words)
    order = np.random.default_rng(seed).permutation(60)
    found = numbered(near_duplicates(texts).tolist())
    shuffled = numbered(near_duplicates([texts[row] for row in order]).tolist())
    assert sorted(map(sorted, found)) == sorted(
        sorted(int(order[r]) for r in of) for of in shuffled
    )


def test_many_texts_of_one_template_are_one_cluster() -> None:
    body = sentences(1)[0]
    texts = [f"Order {row}: {body}" for row in range(300)]
    assert set(near_duplicates([*sentences(20, seed=1), *texts]).tolist()[20:]) == {20}


def test_long_texts_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*sentences(30), sentences(30)[3].upper(), *sentences(5, words=4), "", "é ß 漢字"]
    whole = near_duplicates(texts).tolist()
    monkeypatch.setattr(module, "_CHARACTERS_AT_ONCE", 100)
    monkeypatch.setattr(module, "_PAIRS_AT_ONCE", 2)
    assert near_duplicates(texts).tolist() == whole
    assert whole[30] == 3


def test_too_much_text_is_searched_for_equal_texts_only(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = sentences(5)
    texts += [texts[0], f"{texts[1]}!"]
    monkeypatch.setattr(module, "MOST_CHARACTERS", 10)
    assert near_duplicates(texts).tolist() == [0, 1, 2, 3, 4, 0, 6]
