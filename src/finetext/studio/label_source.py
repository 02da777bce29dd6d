"""The texts and labels of a project, as a `Learner` reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from finetext.core.types import LabelScheme
from finetext.studio.pool import PoolText
from finetext.studio.project import Project
from finetext.studio.review import decided_labels

_UNDECIDED: Final = (
    "SELECT DISTINCT texts.id FROM texts JOIN judgements ON judgements.text = texts.id "
    "WHERE texts.stream = 'random' AND judgements.kind = 'label' "
    "AND judgements.replaced IS NULL AND judgements.undone IS NULL"
)


@final
@dataclass(frozen=True)
class ProjectLabels:
    """A `LabelSource` over the database of a project."""

    project: Project

    def texts(self) -> Sequence[PoolText]:
        """Return all texts in the order in which they were drawn, which is random."""
        with self.project.database.read() as connection:
            rows = connection.execute("SELECT id, text, stream FROM texts ORDER BY draw").fetchall()
        return [PoolText(number, text, stream == "random") for number, text, stream in rows]

    def scheme(self) -> LabelScheme:
        """Return the labels that can be given."""
        with self.project.database.read() as connection:
            rows = connection.execute(
                "SELECT name FROM labels WHERE NOT retired ORDER BY position"
            ).fetchall()
        return LabelScheme(tuple(name for (name,) in rows), self.project.settings().multilabel)

    def decided(self) -> Mapping[int, tuple[str, ...]]:
        """Return the decided labels of texts by their numbers."""
        return decided_labels(self.project)

    def undecided_random(self) -> int:
        """Return how many labeled texts of the random stream have no decided label."""
        with self.project.database.read() as connection:
            labeled = {number for (number,) in connection.execute(_UNDECIDED)}
        return len(labeled - self.decided().keys())
