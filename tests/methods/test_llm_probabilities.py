"""Answers and log-probabilities as probabilities of labels."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from finetext.core.types import LabelScheme
from finetext.methods.llm_probabilities import (
    PRIOR_SHARE,
    Token,
    from_answers,
    from_tokens,
    shares_of,
)

SCHEME = LabelScheme(("ham", "spam", "sparse"))
SEVERAL = LabelScheme(("joy", "anger"), multilabel=True)
EVEN = shares_of(None, SCHEME)


def token(text: str, **others: float) -> Token:
    """A token with the probabilities of what could be there, its own under `own`."""
    own = others.pop("own", 1.0)
    return Token(text, math.log(own), tuple((t, math.log(p)) for t, p in others.items()))


def test_shares_of_labels_have_one_row_more_of_each() -> None:
    np.testing.assert_allclose(shares_of(np.array([0.0, 0, 1]), SCHEME), [3 / 6, 2 / 6, 1 / 6])
    both = np.array([[1.0, 0], [1, 1]])
    np.testing.assert_allclose(shares_of(both, SEVERAL), [3 / 4, 2 / 4])


def test_one_answer_gets_half_and_its_share_of_the_rest() -> None:
    found = from_answers(['{"label": "spam"}'], EVEN, SCHEME)
    np.testing.assert_allclose(found, [1 / 6, 2 / 3, 1 / 6])


def test_an_invalid_answer_says_what_the_training_rows_say() -> None:
    prior = np.array([0.5, 0.3, 0.2])
    np.testing.assert_allclose(from_answers(["egg"], prior, SCHEME), prior)
    np.testing.assert_allclose(from_answers([], prior, SCHEME), prior)


def test_several_answers_are_frequencies() -> None:
    said = ["ham", "ham", "spam", "egg"]
    np.testing.assert_allclose(
        from_answers(said, EVEN, SCHEME), np.array([2 + 2 / 3, 1 + 2 / 3, 2 / 3]) / 5
    )


def test_each_of_several_labels_has_its_own_frequency() -> None:
    prior = np.array([0.5, 0.5])
    said = ['{"labels": ["joy"]}', '{"labels": ["joy", "anger"]}', '{"labels": []}']
    np.testing.assert_allclose(from_answers(said, prior, SEVERAL), [2.5 / 4, 1.5 / 4])


def unmixed(found: np.ndarray | None) -> np.ndarray:  # type: ignore[type-arg]
    assert found is not None
    return (found - PRIOR_SHARE * EVEN) / (1 - PRIOR_SHARE)


def test_tokens_lead_to_labels() -> None:
    tokens = [
        token('{"'), token('label'), token('": "'),
        token("sp", own=0.7, sp=0.7, ham=0.2, egg=0.1),
        token("am", own=0.6, am=0.6, arse=0.4), token('"}'),
    ]  # fmt: skip
    found = unmixed(from_tokens('{"label": "spam"}', tokens, EVEN, SCHEME))
    np.testing.assert_allclose(found, np.array([0.2, 0.42, 0.28]) / 0.9)


def test_a_token_can_hold_the_quotation_mark_and_labels_can_share_a_way() -> None:
    tokens = [token('{"label": '), token('"ham', own=0.6, **{'"ham': 0.6, '"sp': 0.4}), token('"}')]
    found = unmixed(from_tokens('{"label": "ham"}', tokens, EVEN, SCHEME))
    np.testing.assert_allclose(found, [0.6, 0.2, 0.2])


def test_a_bare_label_is_followed_too() -> None:
    found = from_tokens("ham", [token("ham", own=0.9, spam=0.1)], EVEN, SCHEME)
    np.testing.assert_allclose(unmixed(found), [0.9, 0.1, 0])


SPORT = LabelScheme(("sport", "sports", "news"))


@pytest.mark.parametrize(
    ("tokens", "wanted"),
    [
        ([token("sports", own=0.7, sports=0.7, news=0.3)], [0, 0.7, 0.3]),
        ([token("sport", own=0.7, sport=0.7, news=0.3)], [0.7, 0, 0.3]),
        ([token("sport", own=0.9, news=0.1), token("s", own=0.6, **{".": 0.4})], [0.36, 0.54, 0.1]),
        ([token("sport", own=0.9, news=0.1), token(".", own=0.6, s=0.4)], [0.54, 0.36, 0.1]),
    ],
)
def test_a_label_that_begins_another_one_is_told_from_it(
    tokens: list[Token], wanted: list[float]
) -> None:
    content = "".join(of.text for of in tokens)
    found = from_tokens(content, tokens, EVEN, SPORT)
    np.testing.assert_allclose(unmixed(found), wanted)


@pytest.mark.parametrize("ends", [("", ""), ('{"label": "', '"}')])
def test_what_is_thought_before_an_answer_is_not_the_answer(ends: tuple[str, str]) -> None:
    before, after = ends
    tokens = [
        token('<think>"label": "', own=0.5), token("ham", own=0.9, spam=0.1), token("</think>\n"),
        token(before), token("spam", own=0.8, ham=0.2), token(after),
    ]  # fmt: skip
    content = "".join(of.text for of in tokens)
    found = from_tokens(content, tokens, EVEN, SCHEME)
    np.testing.assert_allclose(unmixed(found), [0.2, 0.8, 0])


def test_another_label_than_that_of_the_answer_is_not_the_most_probable() -> None:
    tokens = [token("spam", own=0.3, ham=0.7)]
    assert from_tokens("spam", tokens, EVEN, SCHEME) is None


@pytest.mark.parametrize("content", ["egg", '{"label": "egg"}'])
def test_invalid_answers_have_no_such_probabilities(content: str) -> None:
    assert from_tokens(content, [token(content)], EVEN, SCHEME) is None


def test_tokens_of_another_text_are_not_used() -> None:
    assert from_tokens("ham", [token("spam")], EVEN, SCHEME) is None


@given(st.lists(st.text(min_size=1, max_size=6), min_size=2, max_size=6, unique=True), st.data())
def test_a_model_that_spells_out_labels_gets_exactly_its_probabilities(
    names: list[str], data: st.DataObject
) -> None:
    """One character a token, so that every way from the answer to other labels is listed.

    Labels that leave it together divide their probability equally. Of an answer that is not the
    most probable label then, the probabilities are not taken.
    """
    scheme = LabelScheme(tuple(names))
    weights = data.draw(st.lists(st.floats(0.01, 1), min_size=len(names), max_size=len(names)))
    wanted = np.array(weights) / sum(weights)
    chosen = data.draw(st.sampled_from(names))
    spelled = [json.dumps(name, ensure_ascii=False)[1:] for name in names]
    target, tokens, before = spelled[names.index(chosen)], [Token('{"label": "', 0.0)], ""
    for letter in target:
        way = {n: of for n, of in enumerate(spelled) if of.startswith(before)}
        total = sum(wanted[n] for n in way)
        odds: dict[str, float] = {}
        for n, of in way.items():
            following = of[len(before)]
            odds[following] = odds.get(following, 0.0) + wanted[n] / total
        listed = tuple((text, math.log(of)) for text, of in odds.items())
        tokens.append(Token(letter, math.log(odds[letter]), listed))
        before += letter
    leaving = [
        next((of[:n] for n in range(1, len(of)) if of[:n] != target[:n]), of) for of in spelled
    ]
    shared = [[n for n, of in enumerate(leaving) if of == way] for way in leaving]
    wanted = np.array([wanted[of].mean() for of in shared])
    place, content = names.index(chosen), "".join(of.text for of in [*tokens, Token("}", 0.0)])
    rivals = np.delete(wanted, place)
    assume(abs(rivals.max() - wanted[place]) > 1e-6)
    even = shares_of(None, scheme)
    found = from_tokens(content, [*tokens, Token("}", 0.0)], even, scheme)
    if rivals.max() > wanted[place]:
        assert found is None
        return
    assert found is not None
    np.testing.assert_allclose((found - PRIOR_SHARE * even) / (1 - PRIOR_SHARE), wanted, atol=1e-6)
