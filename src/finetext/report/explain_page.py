"""Explanations as one self-contained HTML page: texts with their words highlighted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from finetext.diagnosis.explain import ClassWords, Explanation
from finetext.errors import RunError
from finetext.report.explain_text import remarks, strongest
from finetext.report.page import render_page


@dataclass(frozen=True)
class Part:
    """A piece of a text that is highlighted alike.

    Attributes:
        text: the piece.
        attribution: of the word, or None between words.
        strength: percent of the colour, 0 to 60.
    """

    text: str
    attribution: float | None = None
    strength: int = 0


def write_explain_page(
    path: Path,
    explanations: Sequence[tuple[str, Explanation]],
    words: ClassWords | None = None,
    total: int = 0,
) -> Path:
    """Write the page, whole or not at all.

    Args:
        path: the file to write; one that is there is replaced.
        explanations: names of rows with their explanations; one name alone is not shown.
        words: the words of each label, or None.
        total: how many texts were explained, if the page has not all of them.

    Raises:
        RunError: the file cannot be written.
    """
    from finetext.artefact.folder import write_text

    context = {
        "texts": [(row, of, parts(of), remarks(of)) for row, of in explanations],
        "words": words,
        "total": max(total, len(explanations)),
    }
    try:
        write_text(path, render_page("explain_page.html.j2", context))
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}; choose another place") from None
    return path


def parts(explanation: Explanation) -> list[Part]:
    """The whole text in pieces: words with their colour, and what is between them."""
    most = strongest(explanation) or 1.0
    found, place = [], 0
    for word in explanation.words:
        found.append(Part(explanation.text[place : word.start]))
        strength = round(60 * abs(word.attribution) / most)
        found.append(Part(word.text, word.attribution, strength))
        place = word.end
    return [part for part in [*found, Part(explanation.text[place:])] if part.text]
