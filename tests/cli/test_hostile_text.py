"""Data whose texts, labels and names try to control the terminal, a page or a plot."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]

TEXT, LABEL = "te\x1b[1mxt", "label[bold]\x07"
LABELS = ("[red]a\x1b[31m", "[/]b\u202e$\\frac", "=\x9b5m:smile:<b>")
WORDS = ("good bad fine", "awful terrible poor", "great nice lovely")
HOSTILE = "\x1b]0;owned\x07 [/] [red]x \u2066y $\\frac$ \r\x9b31m <script>alert(1)</script>"
NAME = "d\x1b[32m\u202ex.csv"
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def write() -> None:
    with Path(NAME).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([TEXT, LABEL, "who[/]"])
        for n in range(90):
            writer.writerow(
                [f"{WORDS[n % 3]} {n} {HOSTILE}", LABELS[(n + n // 29) % 3], "p\x1b[5m"]
            )


@pytest.mark.slow
def test_no_command_passes_on_a_control_sequence(command: Command) -> None:
    write()
    read = ("--text", TEXT, "--label", LABEL)

    def shown(*words: str, status: int = 0) -> str:
        seen = command(*words, status=status)
        assert not _UNSAFE.findall(seen.out + seen.err), words
        return str(seen.out + seen.err)

    said = shown("explore", NAME, *read, "--html", "explore.html")
    assert "d\\x1b[32m\\u202ex.csv" in said
    assert "te\\x1b[1mxt" in said
    for line in ("[red]a\\x1b[31m", "[/]b", "=\\x9b5m:smile:<b>"):
        assert line in said
    shown("explore", NAME, *read, "--rows", "3")
    assert "\\x1b]0;owned\\x07 [/] [red]x" in shown("explore", NAME, *read, "--tokens", "2")
    shown("train", NAME, *read, "--methods", "majority,tfidf", "--out", "run")
    for words in (
        ("show", "run"), ("show", "run", "--json"), ("info", "run"), ("info", "run", "--json"),
        ("evaluate", "run", NAME), ("confusion", "run"), ("confusion", "run", "--out", "m.svg"),
        ("errors", "run", "--page", "errors.html"), ("slices", "run"), ("explain", "run", HOSTILE),
        ("label-errors", NAME, *read), ("predict", "run", f"good {HOSTILE}"),
        ("predict", "run", NAME, "--json"), ("plot", "run", f"good {HOSTILE}", "--out", "b.svg"),
        ("compare", "run", "--against", "majority"),
    ):  # fmt: skip
        shown(*words)
    shown("explore", NAME, "--text", "no\x1b[31m", status=2)
    shown("predict", "run", f"no{NAME}", status=2)
    for page in (*Path().rglob("*.html"), *Path().rglob("*.svg"), *Path().rglob("*.md")):
        content = page.read_text("utf-8")
        assert not _UNSAFE.findall(content), page
        assert "<script>alert" not in content, page
    for path in (*Path().rglob("*.json"), *Path().rglob("*.jsonl")):
        assert not _UNSAFE.findall(path.read_text("utf-8")), path


def test_data_in_a_pipe_stay_as_they_are(command: Command) -> None:
    write()
    command(
        "train", NAME, "--text", TEXT, "--label", LABEL, "--methods", "tfidf", "--out", "run",
        status=0,
    )  # fmt: skip
    assert f"{HOSTILE}" in command("predict", "run", NAME, status=0).out
