"""Numbers as people write them."""

from __future__ import annotations

import pytest

from finetext.core import wording


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.97, "10 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (812, "14 min"),
        (5400, "1 h 30 min"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert wording.duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (90_912_345, "90.9 MB"),
        (5 * 10**12, "5000.0 GB"),
    ],
)
def test_sizes(count: int, words: str) -> None:
    assert wording.size(count) == words


@pytest.mark.parametrize(
    ("rate", "words"), [(0.52, "0.52"), (405.3, "405"), (18234, "18,234"), (1.23e6, "1.2 M")]
)
def test_speeds(rate: float, words: str) -> None:
    assert wording.speed(rate) == words


def test_long_and_broken_labels_become_one_short_line() -> None:
    assert wording.short("a\nb\tc\x00") == "a b c\\x00"
    assert wording.short("x" * 50, 10) == "x" * 9 + "…"


def test_small_p_values_are_not_written_as_zero() -> None:
    assert wording.p_value(0.0004) == "< 0.001"
    assert wording.p_value(0.04) == "0.040"


def test_no_more_than_can_be_read_is_shown_of_a_long_text() -> None:
    start, rest = wording.start_and_rest("word " * 1000)
    assert len(start) <= 220
    assert start.endswith("word")
    assert rest.endswith("[…] (of 5,000 characters)")
    assert wording.start_and_rest("x" * 250) == ("x" * 250, "")
    assert wording.start_and_rest("x" * 300) == ("x" * 220, "x" * 80)


def test_signed_numbers() -> None:
    assert [wording.signed(value) for value in (0.5, -0.5, float("nan"))] == [
        "+0.500",
        "-0.500",
        "-",
    ]


def test_commands_name_the_data_as_they_were_given() -> None:
    message = "decide them: finetext agreement DATA --out differ.csv; DATA of DATA"
    assert wording.with_source(message, r"my \1 data.csv") == (
        r"decide them: finetext agreement 'my \1 data.csv' --out differ.csv; DATA of DATA"
    )


def test_what_a_model_learned_from() -> None:
    assert wording.learned_in_words(60, 0) == "learned from all 60 rows"
    assert wording.learned_in_words(51, 9) == "learned from 51 of 60 rows; 9 chose the checkpoint"
    splits = {"train": 1_400, "validation": 300, "test": 300}
    words = "learned from all 1,700 training and validation rows"
    assert wording.refitted_in_words(1_700, splits) == words
    for rows, known in ((1_400, splits), (None, splits), (60, {"train": 60})):
        assert wording.refitted_in_words(rows, known) == ""
