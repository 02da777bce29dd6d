"""What is kept of long texts, and the length that a data set needs."""

from __future__ import annotations

from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from finetext.core.text_columns import join
from finetext.encoders.load import load_tokenizer
from finetext.encoders.word_tokenizer import train_word_tokenizer
from finetext.training.tokens import encoded_as_read, tokenize, tokenize_windows
from finetext.training.truncation import (
    SHARE_READ,
    STEP,
    chosen_length,
    cut,
    kept_ends,
    set_truncation,
    special_ends,
    truncation_of,
    window_bounds,
)

WORDS = [f"w{number}" for number in range(40)]
FORMS = {"bert": ("<s> $A </s>", (1, 1)), "xlnet": ("$A </s> <s>", (0, 2)), "gpt2": ("$A", (0, 0))}


@cache
def tokenizer_of(form: str) -> Any:
    """A tokenizer of words with special tokens as this model has them; "slow" has no offsets."""
    if form == "slow":
        return train_word_tokenizer([" ".join(WORDS)], minimum_frequency=1)
    vocabulary = {word: n for n, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(
        single=FORMS[form][0],
        pair=None if form == "gpt2" else "<s> $A </s> $B </s>",
        special_tokens=[("<s>", 1), ("</s>", 2)],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>",
        padding_side="left" if form == "xlnet" else "right",
    )  # fmt: skip


def rows_of(table: Any) -> list[list[int]]:
    return [table.ids[a:b].tolist() for a, b in zip(table.starts, table.starts[1:], strict=False)]


texts = st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)
forms = st.sampled_from([*FORMS, "slow"])


@given(forms, texts, st.integers(4, 20))
def test_head_and_tail_are_the_ends_of_the_text_between_its_special_tokens(
    form: str, text: str, most: int
) -> None:
    tokenizer = tokenizer_of(form)
    whole: list[int] = tokenizer(text, verbose=False)["input_ids"] or [tokenizer.pad_token_id]
    set_truncation(tokenizer, "head+tail")
    [row] = rows_of(tokenize(tokenizer, [text], most))
    if len(whole) <= most:
        assert row == whole
        return
    before, after = special_ends(tokenizer) or (0, 0)
    own, body = row[before : most - after], whole[before : len(whole) - after]
    assert len(row) == most
    assert (row[:before], row[most - after :]) == (whole[:before], whole[len(whole) - after :])
    head = max(1, round((most - before - after) / 4))
    assert own[:head] == body[:head]
    assert own[head:] == body[len(body) - len(own) + head :]
    assert len(own) > head


@given(forms, st.lists(texts, min_size=1, max_size=4), st.integers(4, 20))
def test_windows_hold_every_token_once(form: str, several: list[str], most: int) -> None:
    tokenizer = tokenizer_of(form)
    found = tokenize_windows(tokenizer, several, most)
    before, after = special_ends(tokenizer) or (0, 0)
    rows = rows_of(found.table)
    assert len(found.firsts) == len(several)
    for text, first, last in zip(
        several, found.firsts, [*found.firsts[1:], len(rows)], strict=True
    ):
        whole: list[int] = tokenizer(text, verbose=False)["input_ids"] or [tokenizer.pad_token_id]
        windows = rows[first:last]
        if len(whole) <= most:
            assert windows == [whole]
            continue
        inner = [row[before : len(row) - after] for row in windows]
        assert list(chain.from_iterable(inner)) == whole[before : len(whole) - after]
        assert max(map(len, windows)) <= most
        assert max(map(len, inner)) - min(map(len, inner)) <= 1
        assert len(windows) == -(-(len(whole) - before - after) // (most - before - after))
        for row in windows:
            assert row[:before] == whole[:before]
            assert row[len(row) - after :] == whole[len(whole) - after :]


@pytest.mark.parametrize("form", FORMS)
def test_head_and_tail_alone_are_what_the_tokenizer_truncates_to(form: str) -> None:
    tokenizer, text = tokenizer_of(form), " ".join(WORDS)
    for truncation, side in (("head", "right"), ("tail", "left")):
        set_truncation(tokenizer, truncation)  # type: ignore[arg-type]
        assert kept_ends(tokenizer, 10) is None
        assert truncation_of(tokenizer) == truncation
        assert tokenizer.truncation_side == side
        expected = tokenizer(text, truncation=True, max_length=10)["input_ids"]
        assert rows_of(tokenize(tokenizer, [text], 10)) == [expected]


def test_what_is_kept_is_saved_with_the_tokenizer(tiny_encoder: Path, tmp_path: Path) -> None:
    for truncation in ("head+tail", "tail", "head"):
        tokenizer = load_tokenizer(str(tiny_encoder), truncation)  # type: ignore[arg-type]
        tokenizer.save_pretrained(tmp_path / truncation)
        (tmp_path / truncation / "config.json").write_bytes(
            (tiny_encoder / "config.json").read_bytes()
        )
        loaded = load_tokenizer(str(tmp_path / truncation))
        assert truncation_of(loaded) == truncation
        expected = rows_of(tokenize(tokenizer, ["bread and salt " * 30], 12))
        assert rows_of(tokenize(loaded, ["bread and salt " * 30], 12)) == expected


def test_the_cache_keeps_what_is_read_apart(tmp_path: Path) -> None:
    tokenizer, text = tokenizer_of("bert"), " ".join(WORDS)
    found = []
    for truncation in ("head", "tail", "head+tail", "head"):
        set_truncation(tokenizer, truncation)  # type: ignore[arg-type]
        found += rows_of(tokenize(tokenizer, [text], 12, tmp_path))
    windows = [tokenize_windows(tokenizer, [text, "w1"], 12, tmp_path) for _ in range(2)]
    assert found[0] == found[3]
    assert len(set(map(tuple, found))) == 3
    assert [of.firsts.tolist() for of in windows] == [[0, 4], [0, 4]]
    assert rows_of(windows[0].table) == rows_of(windows[1].table)


def test_a_long_pair_loses_its_end_with_head_and_tail_and_nothing_in_windows() -> None:
    tokenizer = tokenizer_of("bert")
    pair, alone = join(["w1", " ".join(WORDS)]), " ".join(WORDS)
    set_truncation(tokenizer, "head+tail")
    first, second, third = rows_of(tokenize(tokenizer, [pair, alone, join(["w1", "w2"])], 12))
    assert (len(first), first[:4], first[-2:]) == (12, [1, 5, 2, 4], [11, 2])
    assert second[-2:] == [43, 2]
    assert third == [1, 5, 2, 6, 2]
    found = tokenize_windows(tokenizer, [pair, join(["w1", "w2"])], 12)
    rows = rows_of(found.table)
    assert [token for row in rows[:-1] for token in row[1:-1]] == [5, *range(4, 44)]
    assert rows[-1] == [1, 5, 2, 6, 2]


def test_the_offsets_of_what_is_read_are_those_in_the_text() -> None:
    tokenizer, text = tokenizer_of("bert"), " ".join(WORDS)
    set_truncation(tokenizer, "head+tail")
    read = encoded_as_read(tokenizer, text, 12, return_offsets_mapping=True)
    assert read["input_ids"] == rows_of(tokenize(tokenizer, [text], 12))[0]
    words = [text[start:end] for start, end in read["offset_mapping"][1:-1]]
    assert words == [*WORDS[:2], *WORDS[-8:]]


@given(st.integers(0, 5_000), st.integers(1, 300))
def test_windows_are_few_and_nearly_equal(tokens: int, most: int) -> None:
    sizes = np.diff(window_bounds(tokens, most))
    assert sizes.sum() == tokens
    assert len(sizes) == max(1, -(-tokens // most))
    assert sizes.max() <= most
    assert sizes.max() - sizes.min() <= 1


lengths = st.lists(st.integers(2, 2_000), min_size=1, max_size=60).map(np.array)


@given(lengths, st.integers(4, 1_024))
def test_the_chosen_length_is_the_shortest_that_reads_enough(found: Any, context: int) -> None:
    chosen = chosen_length(found, context)
    assert chosen_length(np.minimum(found, context), context) == chosen
    found = np.minimum(found, context)
    read = np.minimum(found, chosen).sum() / found.sum()
    assert chosen <= context
    assert chosen % STEP == 0 or chosen == context
    assert read >= SHARE_READ or chosen == context
    if chosen > STEP:
        shorter = (chosen - 1) // STEP * STEP
        assert np.minimum(found, shorter).sum() / found.sum() < SHARE_READ


@given(lengths, st.integers(1, 10**6))
def test_a_budget_makes_it_shorter_and_is_kept(found: Any, budget: int) -> None:
    chosen = chosen_length(found, 512, budget)
    assert chosen <= chosen_length(found, 512)
    assert np.minimum(found, chosen).sum() <= budget or chosen == STEP
    longer = min(chosen + STEP, chosen_length(found, 512))
    assert longer == chosen or np.minimum(found, longer).sum() > budget


def test_no_texts_need_the_shortest_length() -> None:
    assert chosen_length(np.zeros(0, dtype=np.int64), 512) == STEP
    assert chosen_length(np.array([9]), 8) == 8


def test_a_short_list_is_not_cut() -> None:
    assert cut([1, 2, 3], (2, 1)) == [1, 2, 3]
    assert cut([1, 2, 3, 4], (2, 1)) == [1, 2, 4]
    assert cut([1, 2, 3], (2, 0)) == [1, 2]
