"""`finetext plot` as a user meets it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


def test_bars_figures_and_picture(command: Command, finished: Path) -> None:
    seen = command("plot", finished, "a fine film", "--out", "bars.png")
    assert seen.status == 0
    first, *bars = seen.out.splitlines()
    assert first == "prediction: good"
    assert [line.split()[0] for line in bars] == ["good", "bad"]
    assert all("█" in line for line in bars)
    assert "\x1b" not in seen.out
    assert seen.err == "picture: bars.png\n"
    assert Path("bars.png").stat().st_size > 5000
    told = json.loads(command("plot", finished, "a fine film", "--json").out)
    assert told["prediction"] == "good"
    assert list(told["probabilities"]) == ["good", "bad"]
    assert sum(told["probabilities"].values()) == pytest.approx(1)
    assert f"{told['probabilities']['good']:.4f}" in bars[0]
    assert told["picture"] is None


def test_fewer_bars_are_said(command: Command, finished: Path) -> None:
    seen = command("plot", finished, "a fine film", "--top", "1")
    assert len(seen.out.splitlines()) == 3
    assert "and 1 less likely label, together 0." in seen.out


def test_standard_input_is_one_text(
    command: Command, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a fine\nfilm\n")))
    assert json.loads(command("plot", finished, "-", "--json").out)["text"] == "a fine\nfilm"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["in.txt"], "in.txt is a file, and this shows one text"),
        (["nothere.txt"], "there is no file nothere.txt"),
        (["."], ". is a folder, and this shows one text\n"),
        (["https://example.org/x"], "https://example.org/x is an address, and"),
        (["a film", "--out", "x.jpg"], "must end in .png or .svg"),
        (["a film", "--out", "no/x.png"], "there is no folder no"),
    ],
)
def test_mistakes_are_told(command: Command, finished: Path, words: list[str], said: str) -> None:
    Path("in.txt").write_text("a fine film")
    seen = command("plot", finished, *words)
    assert (seen.status, seen.out) == (2, "")
    assert said in seen.err
