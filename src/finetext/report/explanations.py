"""Explanations: the words that decided, for the terminal, as rows of a table and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from finetext.core.styled import Text
from finetext.core.wording import counted
from finetext.diagnosis.explain import ClassWords, Explanation
from finetext.encoders.words import word_spans
from finetext.report.rendering import render_page, write_page

WORD_COLUMNS: Final = (
    *("id", "prediction", "label", "probability", "start", "end", "word", "attribution"),
    *("lost_top", "lost_random", "way"),
)
_BAR: Final = 20
_WORDS_SHOWN: Final = 15
_STYLES: Final = {"+": "bold cyan", "-": "bold yellow"}


@dataclass(frozen=True)
class Part:
    """A part of a text: a word with its attribution, or None for what is between words."""

    text: str
    attribution: float | None = None
    share: float = 0.0

    @property
    def strength(self) -> int:
        """Percent of the color, 0 to 60."""
        return round(60 * self.share)

    @property
    def sign(self) -> str:
        """Whether it is evidence for the label, or against it."""
        return "+" if (self.attribution or 0) > 0 else "-"


def parts(explanation: Explanation) -> list[Part]:
    """Return the whole text in parts: words, and what is between them."""
    most = max((abs(word.attribution) for word in explanation.words), default=0.0) or 1.0
    found, place = [], 0
    for word in explanation.words:
        found.append(Part(explanation.text[place : word.start]))
        found.append(Part(word.text, word.attribution, abs(word.attribution) / most))
        place = word.end
    return [part for part in [*found, Part(explanation.text[place:])] if part.text]


def show_explanation(explanation: Explanation, console: Console) -> None:
    """Print the text with its strong words marked, the words with their numbers, and the check."""
    console.print(Text(f"prediction: {explanation.given}", style="bold"))
    console.print(
        Text(f"explained: {explanation.label}, probability {explanation.probability:.3f}")
        + Text(f", by {explanation.way}; [+for it] [-against it]", style="dim")
    )
    if explanation.words:
        line, every = Text("\n"), parts(explanation)
        for part in every:
            if part.attribution and part.share >= 0.4:
                line.append(f"[{part.sign}{part.text}]", style=_STYLES[part.sign])
            else:
                is_unread = part.attribution is None and bool(word_spans(part.text))
                line.append(part.text, style="dim" if is_unread else "")
        console.print(line + Text("\n"))
        words = [part for part in every if part.attribution is not None]
        words.sort(key=lambda word: -word.share)
        for word in words[:_WORDS_SHOWN]:
            bar = "█" * max(1, round(_BAR * word.share)) if word.attribution else ""
            line = Text(f"{word.attribution:+9.3f}  ").append(f"{bar:<{_BAR}}", _STYLES[word.sign])
            console.print(line.append(f"  {word.text}"))
        if len(words) > _WORDS_SHOWN:
            console.print(Text(f"{'':9}  and {counted(len(words) - _WORDS_SHOWN, 'word')} more"))
    for sentence in remarks(explanation):
        console.print(Text(sentence))


def remarks(explanation: Explanation) -> list[str]:
    """Return the check of an explanation, then its limits."""
    said = []
    if not explanation.words:
        said.append("there is no word to explain it by")
    elif all(word.attribution <= 0 for word in explanation.words):
        said.append(f"no word is evidence for {explanation.label}")
    else:
        words = counted(explanation.removed, "word")
        top, random = explanation.lost_top, explanation.lost_random
        said.append(
            f"check: without the {words} with the strongest evidence for it, {explanation.label} "
            f"loses {top:z.3f} of its probability; without {words} at random {random:z.3f} (mean "
            "of 10 choices)"
        )
        if top <= random and explanation.removed < len(explanation.words):
            said.append(
                "neither matters: the rest of the text is evidence for the same label"
                if max(abs(top), abs(random)) < 0.01
                else "do not trust these attributions: random words matter as much"
            )
    if explanation.base is not None:
        change = explanation.score - explanation.base
        found = sum(word.attribution for word in explanation.words)
        missed = abs(change - found) / max(abs(change), 1.0)
        if missed > 0.1:
            said.append(f"the attributions miss {missed:.0%} of the score, which changes abruptly")
    if explanation.unread:
        beyond = counted(explanation.unread, "word")
        said.append(f"not read by the model: {beyond} of a text longer than it takes")
    return [*said, explanation.remark] if explanation.remark else said


def word_rows(row_id: str, of: Explanation) -> list[tuple[Any, ...]]:
    """Return the columns `WORD_COLUMNS` for each word."""
    first = (row_id, ",".join(of.predicted), of.label, of.probability)
    last = (of.lost_top, of.lost_random, of.way)
    return [(*first, w.start, w.end, w.text, w.attribution, *last) for w in of.words]


def show_class_words(words: ClassWords, console: Console) -> None:
    """Print the words of each label with their numbers."""
    console.print(Text(f"{counted(words.texts, 'text')}, by {words.way}", style="dim"))
    for label, rows in words.words.items():
        console.print(Text(f"\n{label}", style="bold"))
        if not rows:
            console.print("  no word is evidence for it in three or more texts")
        for word, mean, texts in rows:
            console.print(Text(f"{mean:+9.3f}  {word}  ").append(f"({texts:,})", style="dim"))


def words_shown(words: ClassWords) -> Mapping[str, Sequence[tuple[str, float, int, int]]]:
    """Return label to word, attribution, texts, and length of the bar in % of the longest."""
    shown = {}
    for label, of_label in words.words.items():
        top = of_label[:10]
        longest = max((abs(attribution) for _, attribution, _ in top), default=0.0) or 1.0
        shown[label] = [(w, a, n, round(100 * abs(a) / longest)) for w, a, n in top]
    return shown


def words_headline(words: ClassWords) -> str:
    """Return the strongest word of the first labels, as a heading."""
    first = [f"“{rows[0][0]}” for {label}" for label, rows in words.words.items() if rows]
    if not first:
        return "No word is evidence for a label in three or more texts"
    more = f" and {len(first) - 3} more labels" if len(first) > 3 else ""
    return f"The strongest evidence: {', '.join(first[:3])}{more}"


def write_explain_page(
    path: Path,
    explanations: Sequence[tuple[str, Explanation]],
    words: ClassWords | None = None,
    total: int = 0,
) -> Path:
    """Write the page, and return its path; see `write_page`."""
    context = {
        "texts": [(row, of, parts(of), remarks(of)) for row, of in explanations],
        "words": words,
        "headline": words_headline(words) if words else explained_headline(explanations),
        "total": max(total, len(explanations)),
    }
    return write_page(path, render_page("explain_page.html.j2", context))


def explained_headline(explanations: Sequence[tuple[str, Explanation]]) -> str:
    """Return the strongest word of one text, or the number of texts, as a heading."""
    if len(explanations) != 1:
        return f"The words that decided {counted(len(explanations), 'text')}"
    [(_, of)] = explanations
    strong = max(of.words, key=lambda word: word.attribution, default=None)
    if strong is None or strong.attribution <= 0:
        return f"No word is evidence for “{of.label}”"
    return f"“{strong.text}” is the strongest evidence for “{of.label}”"
