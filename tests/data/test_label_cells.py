"""Labels in cells, and the words of a reviewer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.errors import DataError, UnknownNameError
from finetext.core.types import LabelScheme
from finetext.data.label_cells import Word, understood, written

ONE = LabelScheme(("bad", "good"))
SEVERAL = LabelScheme(("anger", "joy", "love"), multilabel=True)


@pytest.mark.parametrize(
    ("cell", "meant"),
    [
        ("", Word.OK), ("  ", Word.OK), ("ok", Word.OK), ("OK", Word.OK), ("(ok)", Word.OK),
        ("drop", Word.DROP), ("(Drop)", Word.DROP), ("good", ("good",)), (" good ", ("good",)),
    ],
)  # fmt: skip
def test_words_and_labels(cell: str, meant: object) -> None:
    assert understood(cell, ONE) == meant


@pytest.mark.parametrize(
    ("cell", "meant"),
    [
        ("joy", ("joy",)), ("love,anger", ("anger", "love")), ("joy, joy,", ("joy",)),
        ("none", ()), ("(none)", ()), ("drop", Word.DROP),
    ],
)  # fmt: skip
def test_several_labels(cell: str, meant: object) -> None:
    assert understood(cell, SEVERAL) == meant


def test_a_label_called_like_a_word_is_that_label() -> None:
    scheme = LabelScheme(("drop", "ok", "hold"))
    assert understood("drop", scheme) == ("drop",)
    assert understood("ok", scheme) == ("ok",)
    assert understood("(drop)", scheme) is Word.DROP
    assert understood("(ok)", scheme) is Word.OK


def test_a_word_that_is_nearly_a_label_is_not_guessed_at() -> None:
    with pytest.raises(UnknownNameError, match="no label named 'drop'; did you mean 'Drop'"):
        understood("drop", LabelScheme(("Drop", "hold")))


def test_a_label_in_parentheses_is_a_label() -> None:
    assert understood("(drop)", LabelScheme(("(drop)", "hold"))) == ("(drop)",)


@pytest.mark.parametrize("cell", ["Good", "godo", "good, bad", "none"])
def test_what_is_no_label_is_refused(cell: str) -> None:
    with pytest.raises(UnknownNameError, match="there is no label"):
        understood(cell, ONE)


def test_a_broken_list_is_refused() -> None:
    scheme = LabelScheme(("a, b", "c; d", "e | f"), multilabel=True)
    assert written(["a, b", "c; d"], scheme) == '["a, b", "c; d"]'
    with pytest.raises(DataError, match="JSON list"):
        understood("a, b, c; d", scheme)


@given(
    names=st.lists(st.text(min_size=1).filter(str.strip), min_size=2, max_size=5, unique=True),
    data=st.data(),
)
def test_what_is_written_is_understood(names: list[str], data: st.DataObject) -> None:
    scheme = LabelScheme(tuple(names), multilabel=True)
    chosen = data.draw(st.lists(st.sampled_from(names), unique=True))
    ordered = tuple(name for name in names if name in chosen)
    assert understood(written(ordered, scheme), scheme) == ordered
    single = LabelScheme(tuple(names))
    assert understood(written([names[0]], single), single) == (names[0],)
