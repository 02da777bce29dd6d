"""Tests of finding the delimiter: what is skipped for speed never changes what is found."""

from __future__ import annotations

import csv
import random
from contextlib import suppress
from dataclasses import replace

import pytest

from finetext.data.columns import KNOWN_NAMES, plain_name
from finetext.data.delimited import sniff
from finetext.data.delimited_records import Records, split_quoted, split_unquoted

DELIMITERS = ",\t;|"
CELLS = ("", " ", "good", "a b, c", "1;2", "x|y", "so\tso", '"', '""', 'say "no"', "é, è; à", "5,0")


def drop_blank(rows: Records) -> Records:
    """The rows with content, unless most rows have one field."""
    kept = [any(cell.strip() for cell in record) for record in rows.records]
    return rows if rows.width < 2 else rows.where(kept)


def rank(text: str, delimiter: str, prefer: str | None, whole: bool) -> tuple[object, ...]:
    """How well a delimiter fits: every way of reading the whole text is tried."""
    ways = [split_unquoted(text, delimiter)]
    with suppress(csv.Error):
        ways.append(split_quoted(text, delimiter, complete=whole))
    ways = [drop_blank(way) for way in ways]
    if not whole:
        ways = [replace(way, records=way.records[:-1], lines=way.lines[:-1]) for way in ways]
    found = max(ways, key=lambda way: (way.consistency, way.quoted))
    if not found.consistency:
        return ()
    known = any(plain_name(cell) in KNOWN_NAMES for cell in found.records[0])
    return found.consistency == 1.0, known, delimiter == prefer, found.consistency


def table(chance: random.Random) -> str:
    """A table of about 8,000 characters; some have odd rows, blank ones or odd quotes."""
    delimiter, width = chance.choice(DELIMITERS), chance.choice((1, 2, 2, 3, 4))
    quotes, end = chance.random() < 0.5, chance.choice(("\n", "\n", "\n", "\r\n", "\r"))
    odd, blank, bare = (chance.choice((0.0, 0.0, 0.003, 0.05)) for _ in range(3))
    cells = CELLS if chance.random() < 0.7 else ("good", "not good", "5,0", "1,5")
    last = chance.choice(("0", "1,5", "x;y", "x|y")).replace(delimiter, ".")  # may fit as well
    lines = [delimiter.join(chance.choice((["text", "label"], ["a", "b"])) * 2)]
    while len("".join(lines)) < 8_000:
        row = chance.choices(cells, k=width + (chance.random() < odd))
        plain = [cell.replace(delimiter, " ") for cell in row]
        shown = ['"' + cell.replace('"', '""') + '"' for cell in row] if quotes else plain
        shown = shown if chance.random() >= bare else row
        line = delimiter.join([*shown, last])
        lines.append(
            chance.choice(("", " ", delimiter * width)) if chance.random() < blank else line
        )
    return end.join(lines[chance.randrange(2) :]) + end * chance.randrange(2)


@pytest.mark.parametrize("seed", range(4))
def test_a_delimiter_is_found_as_if_every_record_were_read_with_each(seed: int) -> None:
    chance = random.Random(seed)
    for number in range(20):
        text, prefer, whole = table(chance), chance.choice((None, *DELIMITERS)), number % 3 > 0
        ranks = {one: rank(text, one, prefer, whole) for one in DELIMITERS if one in text}
        best = max(filter(ranks.__getitem__, ranks), key=ranks.__getitem__, default=None)
        assert sniff(text, prefer, whole) == (best, ranks[best][3] if best else 0.0)


def test_odd_rows_below_an_even_beginning_are_counted() -> None:
    even = "good,5;0\n" * 1_000
    assert sniff(even, None) == (",", 1.0)
    assert sniff(even + "not good;1\n" * 9, None) == (";", 1.0)


def test_quotes_alone_can_make_a_beginning_even() -> None:
    assert sniff('"not good, but; bad",1\n"good; bad",0\n' * 500, None) == (",", 1.0)


def test_rows_of_delimiters_only_are_no_odd_rows() -> None:
    assert sniff(",,\n" + "good,5\n" * 1_000 + ",\n", ";") == (",", 1.0)
    assert sniff(";;\n ; \n" + "good;5,0\n" * 1_000, None) == (";", 1.0)


def test_a_long_run_of_returns_is_read_at_once() -> None:
    returns = "\r" * 200_000
    kept = split_quoted(f'text,label\n"a{returns}b",good\r\r\nx,"bad"\n', ",", complete=True)
    assert kept.records == [["text", "label"], [f"a{returns}b", "good"], ["x", "bad"]]
