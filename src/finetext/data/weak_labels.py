"""Weak labels: labels that a model gave to texts, to learn from and never to choose or score on.

The column `label_status` of a table says "weak" of such a row and "human" of the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from finetext.core.errors import DataError
from finetext.core.types import Finding
from finetext.core.wording import counted, short
from finetext.data.label_cells import missing
from finetext.data.predictions import OWN
from finetext.data.rows import LABEL_STATUS

if TYPE_CHECKING:
    from finetext.core.types import Dataset
    from finetext.data.rows import Batch

_PROBABILITY: Final = re.compile(r"probability([_:].*)?", re.IGNORECASE)
"""Names of the columns with the probabilities of predictions."""
WEAK: Final = "weak"
HUMAN: Final = "human"


@dataclass(frozen=True)
class WeakLabels:
    """Where the weak labels of training rows are from: the section `[weak]` of a recipe.

    Attributes:
        teacher: name of the model that gave them, without its folder.
        kind: kind of its classifier, such as "zeroshot".
        sha256: hash of its files.
        pool: name of the unlabeled texts.
        texts: number of these that it read.
        keep: share of the texts of each label that was asked for, the most confident ones.
        least: least confidence that was asked for.
        given: label to the number of texts that it gave it, all its labels in their order.
        kept: label to the number of these that are training rows.
        confidence: label to the least confidence among these.
        is_scored: whether rows that people labeled chose and scored.
        known: number of the test rows that the teacher learned from, so far as that is known.
    """

    teacher: str
    kind: str
    sha256: str
    pool: str
    texts: int
    keep: float
    least: float
    given: Mapping[str, int]
    kept: Mapping[str, int]
    confidence: Mapping[str, float]
    is_scored: bool = True
    known: int = 0

    @property
    def rows(self) -> int:
        """The number of training rows with weak labels."""
        return sum(self.kept.values())

    def words(self) -> str:
        """Return in a sentence which training rows have weak labels."""
        least = min(self.confidence.values(), default=0.0)
        said = (
            f"{self.rows:,} of {counted(self.texts, 'text')} of {self.pool} are training rows with "
            f"weak labels, which the model {self.teacher} ({self.kind}) gave with a confidence of "
            f"{least:.2f} or more and no person checked"
        )
        if self.is_scored:
            return f"{said}; all rows that choose or score were labeled by people"
        return (
            f"{said}; no row that people labeled was given, so nothing says how often it is right, "
            "and its probabilities are those of agreement with that model"
        )

    def renamed(self, rename: Callable[[str], str]) -> WeakLabels:
        """Return it with other names of model, kind and texts, such as escaped ones."""
        teacher, kind, pool = map(rename, (self.teacher, self.kind, self.pool))
        return replace(self, teacher=teacher, kind=kind, pool=pool)

    def shares(self) -> dict[str, float]:
        """Return label to the share of its texts that are training rows, of labels with texts."""
        return {label: self.kept.get(label, 0) / of for label, of in self.given.items() if of}


def statuses_in(batches: Sequence[Batch], findings: list[Finding]) -> dict[str, list[str]]:
    """Return the column of the status of each label, none unless one is weak; add findings.

    Labels of which the column says nothing, as of rows that were added by hand, are of people.
    """
    found = [_status(value) for of in batches for value in of.column(_status_column(of))]
    if WEAK not in found:
        return {}
    if odd := [of for of in found if of not in (WEAK, HUMAN)]:
        said = (
            f"{LABEL_STATUS} is neither {WEAK!r} nor {HUMAN!r} of {counted(len(odd), 'row')}, but "
            f"{', '.join(map(repr, list(dict.fromkeys(odd))[:5]))}: their labels count as those of "
            f"people, and {found.count(WEAK):,} are weak"
        )
        findings.append(Finding("warning", "odd-label-status", said))
    return {LABEL_STATUS: [WEAK if of == WEAK else HUMAN for of in found]}


def _status_column(batch: Batch) -> str:
    """Return the name of the column of the status in a batch, in its own case of letters."""
    return next((name for name in batch.columns if name.casefold() == LABEL_STATUS), LABEL_STATUS)


def _status(value: Any) -> str:
    """Return what a cell says; a blank one, or NaN, says that a person labeled the row."""
    said = HUMAN if missing(value) else str(value).strip()
    return said.casefold() if said.casefold() in (WEAK, HUMAN) else said


def predicted_labels(batches: Sequence[Batch], labels: Sequence[str]) -> list[Finding]:
    """Return a warning if the labels are the predictions in a table that finetext wrote."""
    for name in labels:
        if name.replace(OWN, "").casefold() != "prediction":
            continue
        for batch in batches:
            if any(_PROBABILITY.fullmatch(of.replace(OWN, "")) for of in batch.columns):
                message = (
                    f"{batch.name}: the labels in {name!r} are predictions, with their "
                    "probabilities beside them: a model gave them, and no person checked them. A "
                    "score on them is agreement with that model, not accuracy. Learn from them "
                    "with finetext distill, and score on rows that people labeled"
                )
                return [Finding("warning", "predicted-labels", message)]
    return []


def refuse_weak(rows: Dataset, part: str) -> None:
    """Raise a DataError if a row that chooses or scores has a weak label."""
    if LABEL_STATUS not in rows.table.column_names:
        return
    weak = [row for row, of in enumerate(rows.column(LABEL_STATUS)) if of == WEAK]
    if weak:
        first = f"the id {rows.ids[weak[0]]!r} and the text {short(rows.texts[weak[0]], 60)!r}"
        raise DataError(
            f"{counted(len(weak), f'{part} row')} would have weak labels, first that with {first} "
            f"({LABEL_STATUS} is {WEAK!r}): a score on them is agreement with a model, not "
            "accuracy. Give rows that people labeled with --validation and --test"
        )
