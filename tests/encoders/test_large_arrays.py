"""Arrays that say that they are large, or are compressed so that they would be."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from finetext.core.errors import ModelError, TooLargeError
from finetext.encoders.foreign_weights import read_arrays


def test_arrays_that_say_they_are_large_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINETEXT_MOST_BYTES", "5MB")
    np.savez_compressed(tmp_path / "w.npz", weights=np.zeros((10_000_000,), np.int8))
    with pytest.raises(TooLargeError, match=r"w\.npz, weights, takes more than 5\.0 MB"):
        read_arrays(tmp_path / "w.npz")
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_BZIP2) as packed:
        packed.writestr("weights.npy", bytes(1_000_000))
    with pytest.raises(ModelError, match="compressed as numpy does not"):
        read_arrays(tmp_path / "x.npz")
    with zipfile.ZipFile(tmp_path / "y.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("weights.npy", bytes(50_000_000))
    with pytest.raises(ModelError, match="no array"):
        read_arrays(tmp_path / "y.npz")
