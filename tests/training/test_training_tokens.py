"""Token tables: cut, padded on the right side, empty texts kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.training import tokens
from finetext.training.tokens import TokenTable, tokenize


class Letters:
    """A tokenizer that gives each letter its code point, and no special tokens."""

    pad_token_id = 0
    pad_token_type_id = 7

    def __init__(self, padding_side: str = "right", last_kind: int = 0) -> None:
        self.padding_side = padding_side
        self.last_kind = last_kind

    def __call__(self, texts: list[str], *, max_length: int, **options: Any) -> dict[str, Any]:
        ids = [[ord(letter) for letter in text.encode().decode()][:max_length] for text in texts]
        kinds = [[0] * (len(row) - 1) + [self.last_kind] * bool(row) for row in ids]
        return {"input_ids": ids, "token_type_ids": kinds}


def ids(table: TokenTable, rows: Sequence[int]) -> list[list[int]]:
    found: list[list[int]] = table.batch(rows)["input_ids"].tolist()
    return found


@pytest.mark.parametrize(
    ("side", "short", "mask"), [("right", [97, 0, 0], [1, 0, 0]), ("left", [0, 0, 97], [0, 0, 1])]
)
def test_padding_is_on_the_side_the_tokenizer_wants(
    side: str, short: list[int], mask: list[int]
) -> None:
    batch = tokenize(Letters(side), ["a", "abc"], 8).batch([0, 1])
    assert batch["input_ids"].tolist() == [short, [97, 98, 99]]
    assert batch["attention_mask"].tolist() == [mask, [1, 1, 1]]
    assert "token_type_ids" not in batch


def test_token_types_are_kept_and_padded_where_there_are_several() -> None:
    batch = tokenize(Letters("left", last_kind=2), ["a", "abc"], 8).batch([0, 1])
    assert batch["token_type_ids"].tolist() == [[7, 7, 2], [0, 0, 2]]


def test_an_empty_text_is_one_padding_token_that_is_attended_to() -> None:
    table = tokenize(Letters(), ["", "abc"], 8)
    assert table.lengths.tolist() == [1, 3]
    batch = table.batch([0, 1])
    assert batch["input_ids"].tolist() == [[0, 0, 0], [97, 98, 99]]
    assert batch["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]


def test_texts_are_cut() -> None:
    assert ids(tokenize(Letters(), ["abcdefgh"], 3), [0]) == [[97, 98, 99]]


def test_a_lone_surrogate_becomes_a_question_mark() -> None:
    assert ids(tokenize(Letters(), ["a\ud800"], 3), [0]) == [[97, ord("?")]]


def test_no_texts_make_an_empty_table() -> None:
    table = tokenize(Letters(), [], 8)
    assert len(table) == 0
    assert table.lengths.tolist() == []


@given(st.lists(st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=9)))
def test_rows_keep_their_order_over_parts(texts: list[str]) -> None:
    most, tokens.TEXTS_AT_A_TIME = tokens.TEXTS_AT_A_TIME, 3
    try:
        table = tokenize(Letters(), texts, 6)
    finally:
        tokens.TEXTS_AT_A_TIME = most
    assert len(table) == len(texts)
    for row, text in enumerate(texts):
        assert ids(table, [row]) == [[ord(letter) for letter in text[:6]] or [0]]


def test_a_batch_is_as_wide_as_its_longest_row() -> None:
    table = tokenize(Letters(), ["a", "ab", "abcdef"], 8)
    assert table.batch(np.array([1, 0]))["input_ids"].shape == (2, 2)


@given(
    st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=9), min_size=1, max_size=9),
    st.sampled_from(["left", "right"]),
    st.booleans(),
    st.data(),
)
def test_a_batch_is_what_a_plain_loop_makes(
    texts: list[list[int]], side: str, with_kinds: bool, data: st.DataObject
) -> None:
    flat = np.array([token for text in texts for token in text], dtype=np.int32)
    kinds = (flat % 3).astype(np.int8)
    starts = np.cumsum([0, *map(len, texts)])
    table = TokenTable(flat, kinds if with_kinds else None, starts, (100, 5, side))
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1), min_size=1, max_size=12))
    longest = max(len(texts[row]) for row in rows)

    def padded(found: list[int], fill: int) -> list[int]:
        padding = [fill] * (longest - len(found))
        return padding + found if side == "left" else found + padding

    expected = {
        "input_ids": [padded(texts[row], 100) for row in rows],
        "attention_mask": [padded([1] * len(texts[row]), 0) for row in rows],
    }
    if with_kinds:
        expected["token_type_ids"] = [
            padded([token % 3 for token in texts[row]], 5) for row in rows
        ]
    batch = table.batch(rows)
    assert {name: of.tolist() for name, of in batch.items()} == expected
    assert {str(of.dtype) for of in batch.values()} == {"torch.int64"}


def test_a_real_tokenizer_adds_special_tokens_within_the_limit(tiny_encoder: Any) -> None:
    from finetext.encoders.load import load_tokenizer

    tokenizer = load_tokenizer(str(tiny_encoder))
    row = ids(tokenize(tokenizer, ["bread and salt " * 30], 10), [0])[0]
    assert len(row) == 10
    assert (row[0], row[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
