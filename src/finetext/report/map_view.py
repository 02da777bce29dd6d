"""The map of texts as the report draws it: a dot a text, in the colour of its label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from finetext.diagnosis.map import TextMap

COLOURS: Final = 10
MOST_DOTS: Final = 2000
WIDTH: Final = 1000
HEIGHT: Final = 680
_MARGIN: Final = 16


@dataclass(frozen=True)
class Dot:
    """A text.

    Attributes:
        row: its place in the map.
        x: from the left, of `WIDTH`.
        y: from the top, of `HEIGHT`.
        colour: number of the colour of its label, from 1; 0 for the rarer labels.
        is_wrong: whether the prediction is another.
    """

    row: int
    x: int
    y: int
    colour: int
    is_wrong: bool


@dataclass(frozen=True)
class MapView:
    """What the page draws of a map.

    Attributes:
        map: the map.
        dots: all texts, or evenly chosen ones of more than 2,000; wrong ones are last, so on top.
        legend: each label with a colour of its own, the most frequent first.
        others: number of labels that share a colour.
        labels: of each text of the map, that which gives the colour: the true one if it is known,
            or else the one that it gets.
    """

    map: TextMap
    dots: Sequence[Dot]
    legend: Sequence[str]
    others: int
    labels: Sequence[str]


def map_view(of: TextMap) -> MapView:
    """Scale the map to the figure and give the most frequent labels a colour each."""
    labels = of.truths or of.predictions
    counts = Counter(labels)
    ranked = [name for name, _ in counts.most_common()]
    legend = ranked if len(ranked) <= COLOURS else ranked[: COLOURS - 1]
    colours = {name: number for number, name in enumerate(legend, 1)}
    chosen = np.unique(np.linspace(0, len(of.ids) - 1, min(MOST_DOTS, len(of.ids))).astype(int))
    x, y = _scaled(of.x, WIDTH), HEIGHT - _scaled(of.y, HEIGHT)
    dots = [
        Dot(i, int(x[i]), int(y[i]), colours.get(labels[i], 0), labels[i] != of.predictions[i])
        for i in chosen.tolist()
    ]
    dots.sort(key=lambda dot: dot.is_wrong)
    return MapView(of, dots, legend, len(ranked) - len(legend), labels)


def _scaled(values: Sequence[float], length: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Coordinates so that all lie within the margins of an edge of the figure."""
    raw = np.asarray(values, dtype=np.float64)
    low, span = raw.min(), max(float(np.ptp(raw)), 1e-12)
    return np.asarray(_MARGIN + (raw - low) / span * (length - 2 * _MARGIN))
