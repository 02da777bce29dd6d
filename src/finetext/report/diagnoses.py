"""What was found out about a run after training, as far as it was looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finetext.types import Finding

if TYPE_CHECKING:
    from finetext.diagnosis.curve import Curve
    from finetext.diagnosis.explain import ClassWords
    from finetext.diagnosis.labels import Suspects
    from finetext.diagnosis.losses import Errors
    from finetext.diagnosis.map import TextMap
    from finetext.diagnosis.slices import Slices


@dataclass(frozen=True)
class Diagnoses:
    """What the report says beyond scores; None for what was not looked at.

    Attributes:
        errors: rows of the highest and lowest losses, and confusions with their texts.
        slices: kinds of text, each beside the other rows.
        suspects: labels that look wrong.
        words: the words that matter for each label.
        map: the texts in two dimensions.
        curve: the score over the number of labelled texts.
        openings: each opening of the test rows after the run's own: "when" and "by".
        damaged: a finding on each file that could not be read; what it held is None.
    """

    errors: Errors | None = None
    slices: Slices | None = None
    suspects: Suspects | None = None
    words: ClassWords | None = None
    map: TextMap | None = None
    curve: Curve | None = None
    openings: Sequence[Mapping[str, Any]] = ()
    damaged: tuple[Finding, ...] = ()
