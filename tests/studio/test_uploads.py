"""Files that the page sends: names cannot lead out of their folder, and nothing stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetext.core.paths import why_reserved
from finetext.studio.uploads import LONGEST_NAME, file_name, placed


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("reviews.csv", "reviews.csv"),
        ("Bewertungen ä (1).xlsx", "Bewertungen ä (1).xlsx"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("C:\\data\\a.csv", "a.csv"),
        ("..", "data"),
        ("", "data"),
        ("a/", "data"),
        (".hidden.csv", "hidden.csv"),
        ("a\x00b\n.csv", "a_b_.csv"),
        ("nul.csv", "_nul.csv"),
        ("a:b?.csv", "a_b_.csv"),
    ],
)
def test_names_lose_folders_and_what_no_file_has(name: str, kept: str) -> None:
    assert file_name(name) == kept
    assert not why_reserved(kept)


def test_long_names_keep_their_end() -> None:
    for sign in "a", "ä", "王":
        short = file_name(sign * 300 + ".jsonl")
        assert short.endswith(f"{sign}.jsonl")
        assert LONGEST_NAME - 4 < len(short.encode()) <= LONGEST_NAME


@pytest.mark.parametrize("name", ["a.csv", "../../a.csv", "/etc/a.csv", "~/a.csv"])
def test_a_file_is_there_while_it_is_read(tmp_path: Path, name: str) -> None:
    with placed(tmp_path, name, b"text\n") as path:
        assert path.read_bytes() == b"text\n"
        assert path.name == "a.csv"
        assert path.resolve().is_relative_to(tmp_path.resolve())
    assert list(tmp_path.iterdir()) == []


def test_nothing_stays_after_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), placed(tmp_path, "a.csv", b"x"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
