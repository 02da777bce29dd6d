"""The picture of a range test."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetext.core.errors import DataError
from finetext.report.pictures import write_rate_curve
from finetext.training.rate_finder import RateCurve

RATES = tuple(10.0 ** (power / 4 - 6) for power in range(20))
LOSSES = (*(1.0 - 0.02 * k for k in range(14)), 0.9, 1.2, 1.5, 2.0, 2.5, 3.0)
CURVE = RateCurve(RATES, LOSSES, RATES[7], RATES[10])


def test_it_says_the_numbers(tmp_path: Path) -> None:
    path = write_rate_curve(CURVE, tmp_path / "curve.svg")
    drawn = path.read_text()
    assert f"suggestion: {RATES[7]:.2g}" in drawn
    assert f"more careful: {RATES[10]:.2g}" in drawn
    assert "learning rate" in drawn
    assert [file.name for file in tmp_path.iterdir()] == ["curve.svg"]


@pytest.mark.parametrize("name", ["curve.svg", "curve.PNG"])
def test_the_same_curve_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    one = write_rate_curve(CURVE, tmp_path / name).read_bytes()
    assert write_rate_curve(CURVE, tmp_path / name).read_bytes() == one


def test_a_curve_that_never_falls_can_be_drawn(tmp_path: Path) -> None:
    flat = RateCurve(RATES, (0.5,) * 20, RATES[0], RATES[0])
    assert write_rate_curve(flat, tmp_path / "flat.png").stat().st_size > 1000


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must end in \.png or \.svg"):
        write_rate_curve(CURVE, tmp_path / "curve.gif")


def test_a_place_that_cannot_be_written_is_told_plainly(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        write_rate_curve(CURVE, tmp_path / "missing" / "curve.png")
