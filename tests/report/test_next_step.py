"""The next step after a run: which method a learning curve is of, and where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetext.evaluation.leaderboard import LeaderboardEntry
from finetext.report.next_step import Judged, Learning, next_step

ENOUGH = Learning(rows=60, share=48, labels=6)


def command(method: str, seconds: float, place: Path, of: Learning = ENOUGH) -> str:
    entry = LeaderboardEntry(method, {}, seconds, 1.0, 1, f"{method}/model")
    return next_step(Judged(method, "probe", place), entry, "not usable yet", None, of).command


@pytest.mark.parametrize(
    ("method", "seconds", "grown"),
    [("probe", 2.0, "probe"), ("static", 0.5, "static"), ("probe", 60.0, "tfidf"),
     ("finetune", 2.0, "tfidf"), ("blend", 2.0, "tfidf"), ("majority", 0.1, "tfidf"),
     ("zeroshot", 2.0, "tfidf"), ("llm", 2.0, "tfidf"), ("probe-2", 2.0, "tfidf")],
)  # fmt: skip
def test_a_curve_is_of_the_method_if_that_is_quick(
    method: str, seconds: float, grown: str, tmp_path: Path
) -> None:
    assert command(method, seconds, tmp_path).endswith(f"/recipe.toml --methods {grown}")
    (tmp_path / "adapted").mkdir()
    assert command(method, seconds, tmp_path).endswith("/recipe.toml --methods tfidf")


def test_too_few_rows_for_a_curve_are_not_sent_there(tmp_path: Path) -> None:
    few = Learning(rows=30, share=23, labels=6)
    assert command("probe", 1.0, tmp_path, few) == f"finetext errors {tmp_path}"
    assert command("tfidf", 1.0, tmp_path, few) == f"finetext errors {tmp_path} --method tfidf"
