"""What the answers to texts add up to: how many there were, and how many gave no label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self, final

from finetext.core.arrays import Floats
from finetext.core.types import Finding
from finetext.core.wording import counted, short
from finetext.methods.answers import SHOWN

ANSWERS: Final = "answers"
"""Code of the findings."""


@dataclass(frozen=True)
class Answered:
    """Probabilities of the texts that an endpoint was asked about.

    Attributes:
        rows: positions of the texts with an answer, in their order; the budget left out the others.
        probabilities: (n, k) of these texts.
    """

    rows: tuple[int, ...]
    probabilities: Floats


@final
@dataclass
class Totals:
    """Texts that were asked about, and seconds of the answers.

    Attributes:
        invalid: texts with an answer that was no label.
        cut: texts of which only the beginning and the end were sent.
        seconds: time of all answers.
        no_label: one of the invalid answers.
    """

    texts: int = 0
    invalid: int = 0
    cut: int = 0
    seconds: float = 0.0
    no_label: str = ""

    def add(self, no_label: str | None, is_cut: bool, seconds: float) -> None:
        """Count a text, with an answer that is no label if one was."""
        self.texts += 1
        self.invalid += no_label is not None
        self.cut += is_cut
        self.seconds += seconds
        self.no_label = no_label or self.no_label

    def since(self, before: Self) -> Self:
        """Return what came after an earlier state."""
        return replace(
            self, texts=self.texts - before.texts, invalid=self.invalid - before.invalid,
            cut=self.cut - before.cut, seconds=self.seconds - before.seconds,
        )  # fmt: skip

    def nothing_valid(self, model: str) -> str:
        """Return that no answer was a label, with the beginning of one; "" if some were."""
        if self.invalid < self.texts or not self.texts:
            return ""
        said = short(self.no_label[: 10 * SHOWN], SHOWN)
        one = "It" if self.invalid == 1 else "One of them"
        return (
            f"{invalid_in_words(self.invalid, self.texts, model)}, so nothing is classified. {one} "
            f"{f'begins: {said}' if said else 'is empty'}"
        )

    def findings(self, model: str, longest: int, multilabel: bool) -> list[Finding]:
        """Return warnings of invalid answers, and of texts with more characters than are sent."""
        found = []
        if self.invalid:
            counted_as = "naming no label" if multilabel else "the shares of the labels"
            words = invalid_in_words(self.invalid, self.texts, model)
            found.append(f"{words}, and counted as {counted_as}")
        if self.cut:
            has = "has" if self.cut == 1 else "have"
            found.append(
                f"{self.cut:,} of {counted(self.texts, 'text')} {has} more than {longest:,} "
                f"characters: only beginning and end of such a text are sent to {model}"
            )
        return [Finding("warning", ANSWERS, message) for message in found]


def invalid_in_words(invalid: int, texts: int, model: str = "") -> str:
    """Return how many answers were no label: "3 of 5 answers of toy were no label"."""
    of, were = f" of {model}" if model else "", "was" if invalid == 1 else "were"
    return f"{invalid:,} of {counted(texts, 'answer')}{of} {were} no label"
