"""The Parquet file of predictions."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetext.core.decision import Decision
from finetext.core.types import LabelScheme, Predictions
from finetext.runs.predictions import read_predictions, write_predictions


def no_space(table: Any, path: Path) -> None:
    path.write_bytes(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
def test_round_trip_and_full_disk(
    tmp_path: Path, several: bool, grouped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = LabelScheme(("b", "a", "probability:é"), multilabel=several)
    random = np.random.default_rng(0)
    parts = {
        split: Predictions(
            ids=tuple(f"{split} {row}" for row in range(rows)),
            targets=random.integers(2, size=(rows, 3)) if several else np.arange(rows) % 3,
            probabilities=random.random((rows, 3)),
            scheme=scheme,
            decision=Decision(thresholds=(0.1, 0.5, 0.9)) if several else Decision(),
            groups=tuple("gh"[row % 2] for row in range(rows)) if grouped else None,
        )
        for split, rows in (("validation", 5), ("test", 4))
    }
    path = tmp_path / "predictions.parquet"
    texts = {split: [f"text of {row}" for row in part.ids] for split, part in parts.items()}
    write_predictions(path, parts, texts)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.setattr("pyarrow.parquet.write_table", no_space)
    with pytest.raises(OSError, match="No space left"):
        write_predictions(path, parts, texts)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == [path]
    for split, part in parts.items():
        back = read_predictions(path, split)  # type: ignore[arg-type]
        assert (back.ids, back.scheme, back.groups) == (part.ids, scheme, part.groups)
        np.testing.assert_array_equal(back.targets, part.targets)
        np.testing.assert_array_equal(back.probabilities, part.probabilities)
        np.testing.assert_array_equal(back.decisions, part.decisions)
