"""Explanations for a terminal, and as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.core.errors import RunError
from finetext.core.wording import counted
from finetext.diagnosis.explain import ClassWords, Explanation
from finetext.report.page import render_page

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


STRONG: Final = 0.4
"""Share of the strongest attribution from which a word is marked."""
LITTLE: Final = 0.01
"""Lost probability that means nothing."""
MUCH: Final = 0.1
"""Share of a score that attributions should not miss."""
WORD_COLUMNS: Final = (
    *("id", "prediction", "label", "probability", "start", "end", "word", "attribution"),
    *("lost_top", "lost_random", "way"),
)
"""The columns of a table with a row for each word."""
_BAR: Final = 20
_MOST_WORDS: Final = 15
_STYLES: Final = {"+": "bold cyan", "-": "bold yellow"}


def show_explanation(explanation: Explanation, console: Console) -> None:
    """Print the text with its strong words marked, the words with their numbers, and the check.

    Args:
        explanation: of one text.
        console: where to print; it decides on width and colour.
    """
    from rich.text import Text

    given = ", ".join(explanation.predicted) or "no label"
    console.print(Text(f"prediction: {given}", style="bold"))
    console.print(
        Text(f"explained: {explanation.label}, probability {explanation.probability:.3f}")
        + Text(f", by {explanation.way}; [+for it] [-against it]", style="dim")
    )
    if explanation.words:
        console.print(Text("\n") + _marked(explanation) + Text("\n"))
        for line in _numbered(explanation):
            console.print(line)
    for sentence in remarks(explanation):
        console.print(Text(sentence))


def remarks(explanation: Explanation) -> list[str]:
    """What is to be known of an explanation, the check of it first."""
    said = []
    if not explanation.words:
        said.append("there is no word to explain it by")
    elif all(word.attribution <= 0 for word in explanation.words):
        said.append(f"no word speaks for {explanation.label}")
    else:
        words = counted(explanation.removed, "word")
        said.append(
            f"check: without the {words} that speak{'s' * (explanation.removed == 1)} most for it, "
            f"{explanation.label} loses {_share(explanation.lost_top)} of its probability; without "
            f"{words} at random {_share(explanation.lost_random)} (mean of 10 choices)"
        )
        said += _verdict(explanation)
    if (missed := _missed(explanation)) > MUCH:
        said.append(
            f"the attributions miss {missed:.0%} of the score: the model turns too suddenly"
        )
    if explanation.unread:
        said.append(f"not read by the model: {counted(explanation.unread, 'word')} beyond the cut")
    if explanation.remark:
        said.append(explanation.remark)
    return said


def _share(value: float) -> str:
    return f"{round(value, 3) + 0.0:.3f}"


def _missed(explanation: Explanation) -> float:
    """The share of the change in score that is in no word."""
    if explanation.base is None:
        return 0.0
    change = explanation.score - explanation.base
    found = sum(word.attribution for word in explanation.words)
    return abs(change - found) / max(abs(change), 1.0)


def _verdict(explanation: Explanation) -> list[str]:
    """What is to be thought of attributions whose top words are no better than random ones."""
    top, random = explanation.lost_top, explanation.lost_random
    if top > random or explanation.removed == len(explanation.words):
        return []
    if max(abs(top), abs(random)) < LITTLE:
        return ["neither matters: the rest of the text says the same"]
    return ["do not trust these attributions: random words matter as much"]


def _marked(explanation: Explanation) -> Text:
    """The text with a sign around each strong word, in colour where there is some."""
    from rich.text import Text

    limit = STRONG * strongest(explanation)
    line, place = Text(), 0
    for word in explanation.words:
        line.append(explanation.text[place : word.start])
        place = word.end
        sign = "+" if word.attribution > 0 else "-"
        if word.attribution and abs(word.attribution) >= limit:
            line.append(f"[{sign}{word.text}]", style=_STYLES[sign])
        else:
            line.append(word.text)
    return line.append(explanation.text[place:], style="dim" if explanation.unread else "")


def _numbered(explanation: Explanation) -> list[Text]:
    """The strongest words, each with its number and a bar."""
    from rich.text import Text

    most = strongest(explanation) or 1.0
    words = sorted(explanation.words, key=lambda word: -abs(word.attribution))
    lines = []
    for word in words[:_MOST_WORDS]:
        bar = "█" * max(1, round(_BAR * abs(word.attribution) / most)) if word.attribution else ""
        style = _STYLES["+" if word.attribution > 0 else "-"]
        line = Text(f"{word.attribution:+9.3f}  ").append(f"{bar:<{_BAR}}", style=style)
        lines.append(line.append(f"  {word.text}"))
    if len(words) > _MOST_WORDS:
        lines.append(Text(f"{'':9}  and {counted(len(words) - _MOST_WORDS, 'word')} more"))
    return lines


def strongest(explanation: Explanation) -> float:
    """The largest attribution of a word, for or against."""
    return max((abs(word.attribution) for word in explanation.words), default=0.0)


def show_class_words(words: ClassWords, console: Console) -> None:
    """Print the words of each label with their numbers."""
    from rich.text import Text

    console.print(Text(f"{counted(words.texts, 'text')}, by {words.way}", style="dim"))
    for label, rows in words.words.items():
        console.print(Text(f"\n{label}", style="bold"))
        if not rows:
            console.print("  no word speaks for it in three texts or more")
        for word, mean, texts in rows:
            console.print(Text(f"{mean:+9.3f}  {word}  ").append(f"({texts:,})", style="dim"))


def word_rows(row_id: str, explanation: Explanation) -> list[tuple[Any, ...]]:
    """The columns `WORD_COLUMNS` for each word."""
    of = explanation
    return [
        (
            *(row_id, ",".join(of.predicted), of.label, of.probability),
            *(word.start, word.end, word.text, word.attribution),
            *(of.lost_top, of.lost_random, of.way),
        )
        for word in of.words
    ]


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
    from finetext.storage.files import write_text

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
