"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets, from the environment variable FINETEXT_DATA."""
    folder = os.environ.get("FINETEXT_DATA")
    if not folder:
        pytest.skip("FINETEXT_DATA is not set: real data sets are not at hand")
    path = Path(folder).resolve()
    assert path.is_dir(), f"FINETEXT_DATA={folder} is not a folder"
    return path
