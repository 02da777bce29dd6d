"""A place of its own for each test, without anything that was cached before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import golden
import pytest

# Read when torch loads: the fixtures were recorded with one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, which is the current one; torch has one thread."""
    import torch

    monkeypatch.setenv("FINETEXT_CACHE", str(tmp_path / "cache"))
    threads = torch.get_num_threads()  # of whatever was trained before in this process
    torch.set_num_threads(1)
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def within() -> float:
    """How far figures may be from the recorded ones."""
    return 1e-12 if golden.is_same_machine() else 1e-6


@pytest.fixture(scope="session")
def within_training() -> float:
    """The same for what is trained anew, where rounding adds up over the steps."""
    return 1e-12 if golden.is_same_machine() else 1e-3
