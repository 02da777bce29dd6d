"""The picture of a range test: the smoothed loss over the learning rate."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from finetext.training.rate_finder import RateCurve

FORMATS: Final = (".png", ".svg")
_INK: Final = "#1b1f24"
_GRID: Final = "#d5dae0"
_CURVE: Final = "#2563a8"
_MARK: Final = "#c25e00"
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rate curve",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GRID,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def check_picture(path: Path) -> None:
    """Refuse a picture of another format.

    Raises:
        DataError: the name ends in neither .png nor .svg.
    """
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{path} cannot be drawn: the name must end in {' or '.join(FORMATS)}")


def write_rate_curve(curve: RateCurve, path: Path) -> Path:
    """Draw the curve with the suggestion marked; the file is written whole or not at all.

    Args:
        curve: what `finetext.find_lr` gave.
        path: .png or .svg; a file that is there is replaced.

    Raises:
        DataError: it is another format, or cannot be written.
    """
    return write_picture(path, lambda axes: _draw(axes, curve))


def write_picture(
    path: Path, draw: Callable[[Axes], None], inches: tuple[float, float] = (6.4, 4.0)
) -> Path:
    """Draw one plot; the file is written whole or not at all.

    Args:
        path: .png or .svg; a file that is there is replaced.
        draw: fills the axes.
        inches: width and height, 6.4 and 4 by default.

    Raises:
        DataError: it is another format, or cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from finetext.durable import put_in_place

    check_picture(path)
    unfinished = path.with_name(f".{path.name}.unfinished")
    kind = path.suffix.lower().removeprefix(".")
    with rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=inches, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        draw(figure.subplots())
        try:
            figure.savefig(
                unfinished, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else {}
            )
            put_in_place(unfinished, path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise DataError(f"{path} cannot be written: {error.strerror}") from None
    return path


def _draw(axes: Axes, curve: RateCurve) -> None:
    losses = dict(zip(curve.rates, curve.losses, strict=True))
    suggestion, valley = curve.suggestion, curve.valley
    axes.plot(curve.rates, curve.losses, color=_CURVE, linewidth=1.8)
    axes.axvline(suggestion, color=_MARK, linewidth=1.0, linestyle="--")
    axes.plot(
        [suggestion], [losses[suggestion]], "o", color=_MARK, markersize=8,
        label=f"suggestion: {suggestion:.2g}",
    )  # fmt: skip
    axes.plot(
        [valley], [losses[valley]], "o", color=_CURVE, markerfacecolor="white", markersize=7,
        label=f"more careful: {valley:.2g}",
    )  # fmt: skip
    low, first = min(curve.losses), curve.losses[0]
    height = max(first - low, 0.05 * abs(first), 1e-6)
    axes.set_ylim(low - 0.15 * height, min(max(curve.losses), first + 0.7 * height) + 0.1 * height)
    axes.set_xscale("log")
    axes.set(xlabel="learning rate", ylabel="training loss, smoothed")
    axes.grid(axis="both")
    axes.legend(frameon=False, loc="lower left")
