"""Trackers are refused early."""

from __future__ import annotations

import pytest

from finetext.core.errors import MissingExtraError, RecipeError, UnknownNameError
from finetext.runs.recipe import Recipe
from finetext.training.record import TRACKERS, check_installed


def test_they_are_the_ones_that_accelerate_knows() -> None:
    from accelerate.utils import LoggerType

    assert set(TRACKERS) == {kind.value for kind in LoggerType} - {"all"}


def test_an_unknown_one_is_offered_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tensorboard'"):
        Recipe(track=("tensorbord",))
    with pytest.raises(UnknownNameError, match="no tracker named 'x'; there are: aim, "):
        Recipe.from_values({"track": ["x"]})


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetext.training.record.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "finetext\[tensorboard\]"'):
        check_installed(["tensorboard"])
    with pytest.raises(RecipeError, match="run: pip install comet-ml"):
        check_installed(["comet_ml"])
    check_installed([])
