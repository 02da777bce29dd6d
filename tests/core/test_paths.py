"""Paths of Windows and macOS, simulated."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import pytest

from finetext.core import paths
from finetext.core.errors import DataError, RecipeError
from finetext.core.paths import (
    expanded,
    last_part,
    refuse_reserved,
    refuse_unportable,
    why_reserved,
)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of Windows, on any system."""
    monkeypatch.setattr(paths, "ON_WINDOWS", True)


@pytest.mark.parametrize(
    "name", ["CON", "con", "nul.csv", "Aux.tar.gz", "COM1", "lpt9.txt", "com\u00b9", "con .txt"]
)
def test_devices_of_windows_are_no_names(name: str) -> None:
    assert why_reserved(name) == "Windows reserves it for a device"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("runs.", "at the end"),
        ("runs ", "at the end"),
        ("a:b", "':'"),
        ("what?", "'?'"),
        ("a\x01", "'\\x01'"),
    ],
)
def test_other_names_that_windows_cannot_have(name: str, why: str) -> None:
    assert why in why_reserved(name)


@pytest.mark.parametrize(
    "name", ["console", "reviews.csv", "com10", "common", ".", "..", "nullable.csv", "é", "a b"]
)
def test_usual_names_are_free(name: str) -> None:
    assert why_reserved(name) == ""


@pytest.mark.parametrize(
    "place", ["runs/con", "NUL.csv", "C:\\data\\aux\\x.csv", "runs\\x.", "\\\\host\\share\\prn"]
)
def test_a_reserved_place_is_refused_on_windows(windows: None, place: str) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        refuse_reserved(PureWindowsPath(place))


@pytest.mark.parametrize(
    "place", ["C:\\data\\reviews.csv", "..\\runs", ".", "\\\\host\\share\\x", "\\\\?\\C:\\x\\y.csv"]
)
def test_a_usual_place_is_free_on_windows(windows: None, place: str) -> None:
    refuse_reserved(PureWindowsPath(place))


def test_elsewhere_every_place_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "ON_WINDOWS", False)
    refuse_reserved(Path("runs/con"))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/reviews.csv", "reviews.csv"),
        ("C:\\data\\reviews.csv", "reviews.csv"),
        ("c:/data/reviews.csv", "reviews.csv"),
        ("https://example.org/a/reviews.csv", "reviews.csv"),
        ("owner/name/", "name"),
        ("bbc-news", "bbc-news"),
    ],
)
def test_the_last_part_of_paths_and_addresses(path: str, name: str) -> None:
    assert last_part(path) == name


def test_a_backslash_separates_on_windows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "ON_WINDOWS", False)
    assert last_part("odd\\name.csv") == "odd\\name.csv"
    monkeypatch.setattr(paths, "ON_WINDOWS", True)
    assert last_part("folder\\name.csv") == "name.csv"


def test_an_unknown_user_has_no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert expanded("~/x.csv") == tmp_path / "x.csv"
    assert expanded("~nobody-of-this-name/x.csv").name == "x.csv"


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["tfidf", "Tfidf"], "its folder is that of 'tfidf'"),
        (["con"], "reserves it"),
        (["with-bert."], "drops a dot"),
    ],
)
def test_names_of_folders_must_be_right_everywhere(names: list[str], why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        refuse_unportable("methods", names)
    refuse_unportable("methods", ["tfidf", "tfidf-2", "probe"])
