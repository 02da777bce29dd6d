from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from finetext.core.decision import Decision
from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.selective import MOST_POINTS, Selective, selective

SCHEME = LabelScheme(("a", "b"))


def rows(sure: list[float], right: list[bool]) -> Predictions:
    likely = np.array([[p, 1 - p] for p in sure])
    targets = np.where(right, 0, 1)
    return Predictions(tuple(map(str, range(len(sure)))), targets, likely, SCHEME)


def test_leaving_out_the_least_certain_first() -> None:
    found = selective(rows([0.9, 0.6, 0.8, 0.8], [True, False, True, False]))
    assert found.points == ((1.0, 0.5, 0.6), (0.75, pytest.approx(2 / 3), 0.8), (0.25, 1.0, 0.9))
    assert (found.coverage, found.accuracy) == (1.0, 0.5)


def test_what_the_model_abstains_from_is_left_out() -> None:
    predictions = rows([0.9, 0.6, 0.8], [True, False, True])
    decided = selective(replace(predictions, decision=Decision(least=(0.7, 0.7))))
    assert (decided.coverage, decided.accuracy) == (pytest.approx(2 / 3), 1.0)
    nothing = selective(replace(predictions, decision=Decision(least=(1.1, 1.1))))
    assert nothing.coverage == 0.0
    assert np.isnan(nothing.accuracy)
    assert np.isnan(Selective.from_json(json.loads(json.dumps(nothing.to_json()))).accuracy)
    assert Selective.from_json(json.loads(json.dumps(decided.to_json()))) == decided


def test_many_rows_make_few_points_from_all_rows_to_the_surest() -> None:
    random = np.random.default_rng(0)
    sure = (0.5 + random.random(5_000) / 2).tolist()
    points = selective(rows(sure, (random.random(5_000) < 0.8).tolist())).points
    assert len(points) == MOST_POINTS
    coverages = [coverage for coverage, _, _ in points]
    assert coverages == sorted(coverages, reverse=True)
    assert coverages[0] == 1.0
    assert coverages[-1] == 1 / 5_000


def test_it_is_for_rows_of_one_label() -> None:
    with pytest.raises(DataError, match="one label"):
        selective(rows([], []))
