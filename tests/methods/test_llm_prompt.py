"""Prompts that keep texts apart from instructions, and the labels in answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.types import LabelScheme
from finetext.methods.llm_prompt import (
    answer,
    columns_in,
    instruction,
    messages,
    schema,
    shortened,
)

SCHEME = LabelScheme(("ham", "spam", "not sure"))
SEVERAL = LabelScheme(("joy", "anger"), multilabel=True)


@given(st.text())
def test_a_text_cannot_leave_its_string(text: str) -> None:
    found = messages(SCHEME, "Label.", [(text, "ham")], text)
    assert [of["role"] for of in found] == ["system", "user", "assistant", "user"]
    assert found[0]["content"] == "Label."
    assert json.loads(found[1]["content"]) == json.loads(found[3]["content"]) == {"text": text}
    assert json.loads(found[2]["content"]) == {"label": "ham"}


def test_the_labels_and_their_descriptions_are_told() -> None:
    said = instruction(SCHEME, "Is it spam?", {"spam": ("an ad", "a fraud")})
    assert '- "spam": an ad; a fraud\n- "not sure"\n' in said
    assert "Is it spam?" in said
    assert '{"label": "ham"}' in said
    assert '{"labels": []}' in instruction(SEVERAL, "", {})


def test_the_schema_allows_the_labels_alone() -> None:
    assert schema(SCHEME)["properties"]["label"]["enum"] == list(SCHEME.names)
    assert schema(SEVERAL)["properties"]["labels"]["items"]["enum"] == ["joy", "anger"]


@given(st.sampled_from(SCHEME.names))
def test_a_valid_answer_gives_its_label(label: str) -> None:
    assert columns_in(answer(SCHEME, label), SCHEME) == [SCHEME.index[label]]


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("spam", [1]),
        (' "Spam". ', [1]),
        ('<think>ham or spam?</think>\n{"label": "spam"}', [1]),
        ('```json\n{"label": "ham"}\n```', [0]),
        ("The label is spam.", [1]),
        ("**Label:** spam", [1]),
        ('label = "spam"', [1]),
        ('I would say "spam".', [1]),
        ("It is 'spam', isn't it?", [1]),
        ('Is it "ham" or "spam"?', None),
        ("It may be spam", None),
        ("The label is not spam", None),
        ("I'm sorry, but I'm not sure about that.", None),
        ("ham, not spam", None),
        ('{"label": "egg"}', None),
        ('{"label": null}', None),
        ('{"label": ["ham"]}', [0]),
        ('{"label": ["ham", "spam"]}', None),
        ('{"answer": "egg"}', None),
        ("[" * 100_000, None),
        ("spammer", None),
        ("", None),
    ],
)
def test_other_answers_are_read_or_invalid(content: str, columns: list[int] | None) -> None:
    assert columns_in(content, SCHEME) == columns


def test_a_word_of_a_refusal_is_no_label() -> None:
    scheme = LabelScheme(("help", "complaint"))
    assert columns_in("I'm sorry, but I can't help with that.", scheme) is None


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ('{"labels": ["anger", "joy", "joy"]}', [0, 1]),
        ('{"labels": []}', []),
        ('["joy"]', [0]),
        ('{"labels": ["joy", "hope"]}', None),
        ('{"labels": "joy"}', None),
        ("joy", None),
    ],
)
def test_answers_with_several_labels(content: str, columns: list[int] | None) -> None:
    assert columns_in(content, SEVERAL) == columns


@given(st.text(), st.integers(1, 60))
def test_long_texts_lose_their_middle(text: str, most: int) -> None:
    short = shortened(text, most)
    assert len(short) <= max(most, 7)
    assert short == text or (len(text) > most and " [...] " in short)
