"""The machine, and the places that are used."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetext.environment import absolute, cache_folder, describe_environment


def test_versions_are_recorded() -> None:
    described = describe_environment(3, "cpu")
    assert (described["seed"], described["device"]) == (3, "cpu")
    assert described["packages"]["finetext"]
    assert all(described["packages"].values())


def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FINETEXT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("FINETEXT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "finetext"


def test_only_paths_that_exist_become_absolute(workplace: Path) -> None:
    Path("x.csv").write_text("")
    assert absolute("x.csv") == str(workplace / "x.csv")
    for name in ("y.csv", "hub:owner/name", "https://example.org/x.csv", "bbc-news", "a" * 5000):
        assert absolute(name) == name
