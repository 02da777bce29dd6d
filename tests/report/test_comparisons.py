"""Comparisons fit a terminal of 80 columns, whatever the names, and become rows of a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.several import Several, compare_all
from finetext.report.comparisons import WIDTH, comparison_lines, comparison_table


def sets(n: int, groups: tuple[str, ...] | None = None) -> dict[str, Predictions]:
    random = np.random.default_rng(0)
    scheme, ids = LabelScheme(("a", "b")), tuple(map(str, range(n)))
    targets = np.arange(n) % 2
    good, poor = (np.where(random.random(n) < share, targets, 1 - targets) for share in (0.95, 0.5))
    return {
        name: Predictions(ids, targets, np.eye(2)[given] * 0.8 + 0.1, scheme, groups=groups)
        for name, given in {"good": good, "poor": poor}.items()
    }


@pytest.fixture(scope="module")
def shown() -> Several:
    return compare_all(sets(200), "accuracy", resamples=100)


def test_a_pair_is_told_in_words_and_figures(shown: Several) -> None:
    text = "\n".join(comparison_lines(shown, "test"))
    [pair] = shown.pairs
    assert text.startswith("200 test rows\n")
    assert "good less poor: good is better than poor" in text
    assert f"{pair.comparison.difference.value:+.3f}" in text
    assert f"right in good alone: {pair.only_a} rows; in poor alone: {pair.only_b}" in text
    assert "p: McNemar, exact\n" in text
    assert "corrected: for" not in text


def test_lines_fit_80_columns_even_with_long_names(shown: Several) -> None:
    names = {"good": "runs-of-last-week/" * 8 + "one", "poor": "runs-of-last-week/" * 8 + "other"}
    several = replace(
        shown,
        scores={names[name]: score for name, score in shown.scores.items()},
        pairs=tuple(replace(p, a=names[p.a], b=names[p.b]) for p in shown.pairs) * 3,
    )
    lines = comparison_lines(several, "validation")
    broken = [line for line in lines if len(line) > WIDTH]
    assert all(" " not in line.strip() for line in broken)
    assert {line.split()[0][-5:] for line in lines if "…" in line} == {"k/one", "other"}
    assert any("corrected: for 3 comparisons" in line for line in lines)


def test_groups_and_what_is_not_defined_are_said() -> None:
    found = compare_all(sets(20, ("one film",) * 20), resamples=20)
    lines = comparison_lines(found, "test")
    assert lines[0] == "20 test rows in 1 group"
    assert not any("McNemar" in line for line in lines)
    [row] = [{name: values[0] for name, values in comparison_table(found).items()}]
    assert (row["low"], row["smallest"], row["mcnemar"], row["better"]) == (None,) * 4
    assert row["difference"] == pytest.approx(row["a_value"] - row["b_value"])


def test_lower_is_better_is_said_where_it_is() -> None:
    assert comparison_lines(compare_all(sets(60), "log_loss", resamples=50), "test")[0].endswith(
        "lower is better"
    )
