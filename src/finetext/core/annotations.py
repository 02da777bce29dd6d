"""What several annotators said about the same texts, before one label is taken for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

Labels = tuple[str, ...]
"""The labels that one annotator gave one text, sorted; one unless multi-label."""


@dataclass(frozen=True)
class AnnotatedText:
    """A text that two or more annotators labeled.

    Attributes:
        id: of the first row with the text.
        answers: name of the annotator and the labels given, in the order of the rows; names are
            "" where the source does not say them.
        group, split: those of the first row; None if the data have none.
    """

    id: str
    text: str
    answers: tuple[tuple[str, Labels], ...]
    group: str | None = None
    split: str | None = None

    @property
    def differ(self) -> bool:
        """Whether two annotators gave different labels."""
        return len({labels for _, labels in self.answers}) > 1


@dataclass(frozen=True)
class Annotations:
    """The texts of a source that two or more annotators labeled.

    Attributes:
        column: the column of annotators; None where texts are merely repeated.
        texts: those with two answers or more, in the order of the source.
        total: number of texts in the source, those with one answer included.
    """

    column: str | None
    texts: tuple[AnnotatedText, ...]
    total: int

    @property
    def names(self) -> tuple[str, ...]:
        """The annotators, in the order in which they first occur; none if they are not known."""
        return tuple(dict.fromkeys(name for of in self.texts for name, _ in of.answers if name))


def majorities(answers: Sequence[Labels], multilabel: bool) -> tuple[Labels, ...]:
    """Return the answers that tie for the majority: one if there is no tie.

    In a multi-label scheme it is the set of the labels of more than half of the answers; a label of
    exactly half is a tie, with the sets with and without all such labels.
    """
    if not answers:
        return ()
    if not multilabel:
        counts = Counter(answers)
        most = max(counts.values())
        return tuple(labels for labels, count in counts.items() if count == most)
    each = Counter(label for labels in answers for label in labels)
    sure = {label for label, count in each.items() if 2 * count > len(answers)}
    half = {label for label, count in each.items() if 2 * count == len(answers)}
    return tuple(dict.fromkeys((tuple(sorted(sure)), tuple(sorted(sure | half)))))
