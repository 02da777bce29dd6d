"""Where the model of a rung cuts texts, and the slice of those it cuts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predicted, Predictions
from finetext.diagnosis.slices import find_slices
from finetext.diagnosis.slicing import candidates, reading_of, usual_kinds

TEXTS = tuple("soup with bread" + " and salt" * (row % 3 == 0) for row in range(60))


@pytest.fixture(params=["model", "model/encoder"])
def run(request: pytest.FixtureRequest, tmp_path: Path, tiny_encoder: Path) -> Path:
    """The folder of a run whose rung reads six pieces, tokenizer in one of the usual places."""
    place = tmp_path / "rung" / request.param
    place.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_encoder / name, place)
    described = {"format_version": 2, "labels": ["a", "b"], "multilabel": False, "decision": {}}
    described["provenance"] = {"max_length": 6}
    (tmp_path / "rung" / "model" / "finetext.json").write_text(json.dumps(described))
    return tmp_path


def judged(run: Path | None, texts: tuple[str, ...] | None = TEXTS) -> Predicted:
    """Rows that are wrong where the text is long."""
    n = len(TEXTS)
    targets = (np.arange(n) % 3 == 0).astype(np.int64)
    ids = tuple(map(str, range(n)))
    predictions = Predictions(ids, targets, np.tile([0.9, 0.1], (n, 1)), LabelScheme(("a", "b")))
    method = None if run is None else "rung"
    return Predicted("mine", predictions, texts, "accuracy", run, method, part="validation")


def test_texts_that_are_cut_are_a_slice(run: Path) -> None:
    (found,) = candidates(judged(run), ["cut"])
    assert (found.kind, found.name) == ("cut", "over 6 pieces")
    assert found.rows.tolist() == list(range(0, 60, 3))
    assert "cut" in usual_kinds(judged(run))
    (first,) = [each for each in find_slices(judged(run)).slices if each.kind == "cut"]
    assert first.worse


def test_where_nothing_is_known_there_is_no_such_slice(run: Path) -> None:
    described = run / "rung" / "model" / "finetext.json"
    without_texts = judged(run, None)
    assert reading_of(without_texts) is not None
    assert "cut" not in usual_kinds(without_texts)
    described.write_text(json.dumps(json.loads(described.read_text()) | {"provenance": {}}))
    for some in (judged(None), judged(run)):
        assert reading_of(some) is None
        assert "cut" not in usual_kinds(some)
        with pytest.raises(DataError, match="mine is no rung with an encoder"):
            list(candidates(some, ["cut"]))
    described.write_text("{")
    assert reading_of(judged(run)) is None
