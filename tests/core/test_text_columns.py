"""Texts of several columns are one string, and every form in which people give them is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.text_columns import (
    SEPARATOR,
    as_one,
    given_text,
    join,
    text_in_json,
    texts_in,
    texts_of,
)
from finetext.core.types import LabelScheme

NAMES = ("title", "body")
JOINED = f"Rain{SEPARATOR}It rained"


@given(st.lists(st.text(), min_size=2, max_size=4))
def test_joined_texts_come_apart_again_whatever_they_hold(texts: list[str]) -> None:
    joined = join(texts)
    assert texts_in(joined) == [text.replace("\x1f", " ") for text in texts]
    assert len(as_one(joined)) == len(joined)
    assert SEPARATOR not in as_one(joined)


def test_text_of_one_column_stays_as_it_is() -> None:
    assert join(["a\x1fb"]) == "a\x1fb"
    assert given_text("a\x1fb") == "a\x1fb"


@pytest.mark.parametrize(
    "value",
    [
        ("Rain", "It rained"),
        ["Rain", "It rained"],
        {"title": "Rain", "body": "It rained"},
        {"body": "It rained", "title": "Rain"},
        {"title": "Rain", "body": "It rained", "label": "weather"},
        {"text": "Rain", "text_pair": "It rained"},
        JOINED,
    ],
)
def test_a_pair_is_given_in_many_forms(value: Any) -> None:
    assert given_text(value, NAMES) == JOINED


@pytest.mark.parametrize("missing", [None, "", float("nan")])
def test_a_missing_text_leaves_the_other_in_its_place(missing: Any) -> None:
    assert given_text({"title": missing, "body": "b"}, NAMES) == f"{SEPARATOR}b"
    assert given_text((missing, missing), NAMES) == ""


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("one text", "is 'one text', but the model reads 2 texts \\(title, body\\)"),
        (("a", "b", "c"), "has 3 texts, but the model reads 2"),
        (("a",), "is \\('a',\\), not a string"),
        (("a", 3), "has 3 among its texts"),
        ({"title": "a"}, "has the keys 'title', but the model reads 2 texts"),
        (f"a{SEPARATOR}b{SEPARATOR}c", "is .*, but the model reads 2"),
        (None, "is None, not a string"),
    ],
)
def test_what_is_no_pair_is_refused_in_words(value: Any, words: str) -> None:
    with pytest.raises(DataError, match=f"the text {words}"):
        given_text(value, NAMES)


def test_json_is_read_for_models_of_several_columns_only() -> None:
    text = '{"title": "Rain", "body": "It rained"}'
    assert text_in_json(text, NAMES) == text_in_json('["Rain", "It rained"]', NAMES) == JOINED
    assert text_in_json(JOINED, NAMES) == JOINED
    assert text_in_json(text) == text
    with pytest.raises(DataError, match=r'write {"title": "\.\.\.", "body"'):
        text_in_json("[1", NAMES)


def test_frames_arrays_and_rows_of_texts_are_taken() -> None:
    rows = [("Rain", "It rained"), ("Sun", "It shone")]
    frame = pandas.DataFrame(rows, columns=list(NAMES)).assign(id=[1, 2])
    expected = [join(row) for row in rows]
    for texts in (rows, frame, frame[["body", "title"]], np.array(rows, dtype=object), expected):
        assert texts_of(texts, NAMES) == expected
    with pytest.raises(DataError, match="Pass the columns title, body of it"):
        texts_of(frame[["body"]], NAMES)
    with pytest.raises(DataError, match="text 1, counted from 0, is 'Sun', but the model reads"):
        texts_of([rows[0], "Sun"], NAMES)
    with pytest.raises(DataError, match=r"shape \(2, 2\)"):
        texts_of(np.array(rows, dtype=object))


def test_given_text_columns_are_as_many_as_those_of_the_model() -> None:
    scheme = LabelScheme(("x", "y"), text_columns=NAMES)
    assert ReadSettings().with_texts_of(scheme).text == NAMES
    assert ReadSettings(text="a,b").with_texts_of(scheme).text == "a,b"
    one = ReadSettings(text="a").with_texts_of(LabelScheme(("x", "y"), text_column="body"))
    assert (one.text, one.preferred_text) == ("a", "body")
    for few in ("a", ("a", "b", "c")):
        with pytest.raises(DataError, match=r"joins the texts of 2 columns \(title,body\)"):
            ReadSettings(text=few).with_texts_of(scheme)
