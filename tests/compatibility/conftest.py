"""A place of its own for each test, without anything that was cached before."""

from __future__ import annotations

import os
from pathlib import Path

import golden
import pytest

# Read when torch loads: the fixtures were recorded with one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    monkeypatch.setenv("FINETEXT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def within() -> float:
    """How far figures may be from the recorded ones."""
    return 1e-12 if golden.is_same_machine() else 1e-6


@pytest.fixture(scope="session")
def within_training() -> float:
    """The same for what is trained anew, where rounding adds up over the steps."""
    return 1e-12 if golden.is_same_machine() else 1e-3
