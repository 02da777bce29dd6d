"""Fixtures shared by the tests of the commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def run(workplace: Path, finished: Path) -> Path:
    """The folder of a finished run, below the current one and to be written into."""
    shutil.copytree(finished, workplace / "runs" / "films")
    return Path("runs") / "films"
