"""Readers of five tutorials find here what they can do there: the page is run and complete."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import transformers
from haiku_layout import random_arrays, write_tokenizer

import finetext

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "tutorials" / "five-ways.md"
MISSING = {39}
"""Rows that say that there is nothing to do."""
IN_THE_TEXT = {
    7: "finetext.push(",  # needs a Hub
    24: "finetext.text_map(",  # takes longer than all other statements, and downloads an encoder
    30: "finetext.load(",  # needs a Hub; so does `finetext push`, the other statement of the row
}
"""Rows of which the text between the code has a statement, and how that begins."""
LONGER = {3, 32}
"""Rows that are more statements here: options, where a tutorial has a default or nothing."""
FILMS = [
    ("a warm and funny film with a fine cast", "pos"),
    ("one of the best stories of the year", "pos"),
    ("the music was lovely and so was the ending", "pos"),
    ("a dull film with a weak plot", "neg"),
    ("the worst two hours of the year", "neg"),
    ("bad acting and a boring ending", "neg"),
]
EMOTIONS = {"joy": "glad and happy", "anger": "mad and furious", "fear": "scared and worried"}


def rows() -> dict[int, list[str]]:
    """The cells of the table by the number of the row."""
    lines = re.findall(r"^\| (\d+) \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    return {int(number): [cell.strip() for cell in rest.split("|")] for number, rest in lines}


def marked() -> Counter[int]:
    """How many statements of the code have the number of each row behind them."""
    return Counter(
        int(number)
        for block in blocks().values()
        for numbers in re.findall(r"#((?: \d+,?)+)$", block, re.MULTILINE)
        for number in re.findall(r"\d+", numbers)
    )


def blocks() -> dict[str, str]:
    """The code of each tutorial by its letter."""
    found = re.findall(r"^## ([A-E]):.*?^```python\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    return dict(found)


def test_the_table_has_all_rows_and_each_is_run_or_tested() -> None:
    table = rows()
    assert list(table) == list(range(1, 47))
    shown = marked()
    for number, (_, _, there, here, tested) in table.items():
        for path in re.findall(r"`(tests/[\w/.]+)`", tested):
            assert (ROOT / path).is_file(), path
        if number in MISSING:
            assert here == "-"
        else:
            assert number in shown or "tests/" in tested or number == 19, number
            assert int(here) <= int(there) or number in LONGER, number


def test_the_counts_are_those_of_the_code() -> None:
    counts = {number: cells[3] for number, cells in rows().items() if number not in MISSING}
    differ = {n: (here, shown) for n, here in counts.items() if int(here) != (shown := marked()[n])}
    assert differ == {7: ("2", 1), 24: ("1", 0), 30: ("2", 0)}
    assert differ.keys() == IN_THE_TEXT.keys()
    text = re.sub(r"^```python\n.*?^```", "", PAGE.read_text(), flags=re.S | re.M)
    for number, statement in IN_THE_TEXT.items():
        assert f"`{statement}" in text, number


@pytest.mark.slow
@pytest.mark.parametrize("letter", list("ABCDE"))
def test_the_code_runs(letter: str, workplace: Path) -> None:
    texts = [f"{text} {n}" for n in range(12) for text, _ in FILMS]
    labels = [label for _ in range(12) for _, label in FILMS]
    lines = [f"{text},{label}" for text, label in zip(texts, labels, strict=True)]
    Path("reviews.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    feelings = [(f"i feel {how} {n}", name) for n in range(20) for name, how in EMOTIONS.items()]
    Path("emotion.txt").write_text("".join(f"{text};{name}\n" for text, name in feelings))
    for place, (text, label) in enumerate(zip(texts, labels, strict=True)):
        folder = Path("imdb", "test" if place % 4 == 0 else "train", label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{place}.txt").write_text(text)
    language_model = finetext.Pretraining(
        preset="awd-lstm-small", width=16, feed_forward=24, batch_size=4
    )
    write_tokenizer(Path("en.json"), texts)
    params: dict[str, dict[str, Any]] = {}
    for name, array in random_arrays().items():
        module, _, parameter = name.rpartition("/")
        params.setdefault(module, {})[parameter] = array
    names: dict[str, Any] = {
        "finetext": finetext, "numpy": numpy, "pandas": pandas, "transformers": transformers,
        "texts": texts, "labels": labels, "language_model": language_model, "params": params,
    }  # fmt: skip
    exec(compile(blocks()[letter], f"five-ways.md, {letter}", "exec"), names)
    if letter == "C":
        assert names["X_train"].shape == (len(names["splits"].train), 384)
    if letter in "AE":
        assert set(names["classifier"](texts[0])) == {"pos", "neg"}
