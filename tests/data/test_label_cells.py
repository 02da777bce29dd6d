"""Labels in cells, and the words of a reviewer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.errors import DataError, UnknownNameError
from finetext.core.types import LabelScheme
from finetext.data.label_cells import Word, find_joiner, labels_in, understood, written

ONE = LabelScheme(("bad", "good"))
SEVERAL = LabelScheme(("anger", "joy", "love"), multilabel=True)


@pytest.mark.parametrize(
    ("scheme", "cell", "meant"),
    [
        *((ONE, cell, Word.OK) for cell in ("", "  ", "ok", "OK", "(ok)")),
        (ONE, "drop", Word.DROP), (ONE, "(Drop)", Word.DROP), (SEVERAL, "drop", Word.DROP),
        (ONE, "good", ("good",)), (ONE, " good ", ("good",)), (SEVERAL, "joy", ("joy",)),
        (SEVERAL, "love,anger", ("anger", "love")), (SEVERAL, "joy, joy,", ("joy",)),
        (SEVERAL, "none", ()), (SEVERAL, "(none)", ()),
    ],
)  # fmt: skip
def test_words_and_labels(scheme: LabelScheme, cell: str, meant: object) -> None:
    assert understood(cell, scheme) == meant


def test_a_label_called_like_a_word_is_that_label() -> None:
    scheme = LabelScheme(("drop", "ok", "hold"))
    assert understood("drop", scheme) == ("drop",)
    assert understood("ok", scheme) == ("ok",)
    assert understood("(drop)", scheme) is Word.DROP
    assert understood("(ok)", scheme) is Word.OK


def test_a_word_close_to_a_label_is_ambiguous() -> None:
    with pytest.raises(UnknownNameError, match="no label named 'drop'; did you mean 'Drop'"):
        understood("drop", LabelScheme(("Drop", "hold")))


def test_a_label_in_parentheses_is_a_label() -> None:
    assert understood("(drop)", LabelScheme(("(drop)", "hold"))) == ("(drop)",)


@pytest.mark.parametrize("cell", ["Good", "godo", "good, bad", "none"])
def test_an_unknown_label_is_refused(cell: str) -> None:
    with pytest.raises(UnknownNameError, match="there is no label"):
        understood(cell, ONE)


def test_a_broken_list_is_refused() -> None:
    scheme = LabelScheme(("a, b", "c; d", "e | f"), multilabel=True)
    assert written(["a, b", "c; d"], scheme) == '["a, b", "c; d"]'
    with pytest.raises(DataError, match="JSON list"):
        understood("a, b, c; d", scheme)


@pytest.mark.parametrize(
    ("cells", "joiner"),
    [
        (["food", "room#food", "room"], "#"),
        (["food", "room#bed", "room"], None),
        (["C", "C#", "F#", "F"], None),
        (["#food", "food", "#food#room", "room"], None),
        (["food,room", "room", "food"] * 3, ","),
    ],
)
def test_labels_that_doccano_joins_are_taken_apart(cells: list[str], joiner: str | None) -> None:
    assert find_joiner(cells) == joiner
    if joiner == "#":
        assert labels_in("room#food", {"room", "food"}) == ("room", "food")


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


def test_a_label_may_look_like_a_list_of_labels() -> None:
    scheme = LabelScheme(("a", "[]", '["a"]'), multilabel=True)
    for names in ((), ("a",), ("[]",), ("a", "[]")):
        assert understood(written(names, scheme), scheme) == names


def test_a_comma_in_a_cell_is_decimal_where_its_parts_are_no_labels() -> None:
    ratings, ids = LabelScheme(("1", "2.5")), LabelScheme(("0", "1", "2"), multilabel=True)
    assert labels_in("1,0", {"1", "2.5"}) == understood("1,0", ratings) == ("1",)
    assert labels_in("2,5", {"1", "2.5"}) == understood("2,5", ratings) == ("2.5",)
    assert set(labels_in("1,0", {"0", "1", "2"}) or ()) == {"0", "1"}
    assert understood("1,0", ids) == ("0", "1")
    assert understood("2,1", ids) == ("1", "2")
