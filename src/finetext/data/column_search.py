"""The search for the column of the texts: by name, by content, or a question to the user.

A choice is made only where one column qualifies; the rules are in `find_text`.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from finetext.core.errors import UnclearError
from finetext.core.settings import ReadSettings
from finetext.core.wording import listed
from finetext.data.column_traits import (
    Traits,
    is_number,
    sampled,
    traits_of,
)
from finetext.data.column_words import (
    LITERAL,
    NOUN,
    TEXT_NAMES,
    by_name,
    says,
)
from finetext.data.label_cells import missing
from finetext.data.rows import Batch

FULL: Final = 0.9
BLANK: Final = 0.5
"""A column with fewer values than this share gives way to one that is full."""
_TITLE_WORDS: Final = 1.5
_SHOWN: Final = 8


@dataclass(frozen=True)
class Look:
    """A batch, and what its columns hold as far as it was looked at.

    Attributes:
        people: columns whose values look like annotators and that texts do not predict.
    """

    batch: Batch
    settings: ReadSettings
    traits: dict[str, Traits] = field(default_factory=dict)
    people: list[str] = field(default_factory=list)

    def of(self, name: str) -> Traits:
        """What a column holds."""
        if name not in self.traits:
            columns = self.batch.columns
            self.traits[name] = traits_of(columns[name], len(columns))
        return self.traits[name]

    def ask(self, what: str, option: str, names: Sequence[str], hint: str = "") -> NoReturn:
        """Refuse to guess between columns: list them with values, and say how to name one."""
        width = max(len(name) for name in names[:_SHOWN])
        lines = [f"  {name:{width}}  {self.of(name).shown}" for name in names[:_SHOWN]]
        lines += [f"  and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
        both = shlex.quote(",".join(names[:2]))
        several = f", or join texts in this order: --text {both}" if option == "--text" else ""
        raise UnclearError(
            f"{self.batch.name}: {len(names)} columns could hold the {what}",
            ":\n" + "\n".join(lines)
            + f"\nname one with {option} {shlex.quote(names[0])}{hint}{several}",
            option.removeprefix("--"),
            {name: self.of(name).examples for name in names},
        )  # fmt: skip


def find_text(look: Look, free: Sequence[str]) -> str:
    """Return the column of the texts.

    A column called text wins, if it is not mostly blank. Otherwise columns of prose qualify: three
    words a value on average, mostly different, no dates, addresses, annotators or remarks. One of
    them is taken if its name means text and no other is half as long, or if it is the only one.
    A title beside it qualifies from 1.5 words on. A column that is filled in fewer than half of the
    rows gives way to one filled in 90%. Without prose, the name decides, and then the length.
    JSON objects are no texts. Where a column called text holds single words, it or prose is meant.
    Raises a DataError if several qualify, or none.
    """
    free = [name for name in free if not _holds_objects(look, name)]
    known = [name for name in free if _may_be_text(look, name)]
    prose = [name for name in known if look.of(name).kind == "prose"]
    fullest = max((look.of(name).filled for name in prose), default=0.0)
    if fullest >= FULL:
        known = [name for name in known if look.of(name).filled >= BLANK]
        prose = [name for name in prose if name in known]
    called = [n for n in known if says(n).text == LITERAL and (n in prose or not _is_code(look, n))]
    if prose and any(name in prose for name in called):
        called = [name for name in called if name in prose]
    if len(called) == 1:
        return called[0]
    if called:
        look.ask("texts", "--text", called)
    if prose:
        if words := [n for n in known if says(n).text == LITERAL and _are_words(look, n)]:
            look.ask("texts", "--text", [*words, *prose])
        return _of_prose(look, prose, [name for name in known if _is_title(look, name)])
    usual = [name for name in known if says(name).text and not says(name).remark]
    spaced = [name for name in usual if look.of(name).words > 1] or usual
    if len(spaced) == 1:
        return spaced[0]
    if spaced and (found := by_name(TEXT_NAMES, spaced)):
        if all(look.of(name).words > 1 for name in spaced):
            look.ask("texts", "--text", spaced)
        return found
    if found := by_name(TEXT_NAMES, free):
        return found
    return spaced[0] if spaced else _longest(look, free)


def _may_be_text(look: Look, name: str) -> bool:
    traits = look.of(name)
    if not traits.strings or traits.kind not in ("prose", "words"):
        return False
    return says(name).other not in ("annotator", "id", "metadata")


def _holds_objects(look: Look, name: str) -> bool:
    """Whether a column holds JSON objects as strings, of which only a part could be a text."""
    values = [v.strip() for v in sampled(look.batch.columns[name])
              if isinstance(v, str) and v.strip()]  # fmt: skip
    return bool(values) and all(
        value.startswith(('{"', '[{"')) and value.endswith(("}", "]")) for value in values
    )


def _is_code(look: Look, name: str) -> bool:
    """Whether a column holds single words, while another one holds prose."""
    return look.of(name).words < 1.2 and any(
        look.of(other).kind == "prose" and _may_be_text(look, other) for other in look.batch.columns
    )


def _are_words(look: Look, name: str) -> bool:
    """Whether a column holds words of which most differ, such as one-word answers, and no codes."""
    values = [str(v).strip() for v in sampled(look.batch.columns[name]) if not missing(v)]
    alphabetic = sum(value.replace("-", "").isalpha() for value in values)
    return look.of(name).distinct >= look.of(name).rows / 2 and alphabetic >= 0.9 * len(values)


def _is_title(look: Look, name: str) -> bool:
    """Whether a column called title or the like holds short texts."""
    of = look.of(name)
    return says(name).text > 0 and of.words >= _TITLE_WORDS and of.distinct >= of.rows / 2


def _of_prose(look: Look, prose: Sequence[str], titles: Sequence[str]) -> str:
    usual = [name for name in prose if says(name).text] + [n for n in titles if n not in prose]
    usual = [name for name in look.batch.columns if name in usual and not says(name).remark]
    if len(usual) > 1:
        look.ask("texts", "--text", usual)
    others = [name for name in prose if not says(name).text]
    others = [name for name in others if says(name).label < NOUN and not says(name).other] or others
    if usual:
        enough = look.of(usual[0]).characters / 2
        others = [name for name in others if look.of(name).characters >= enough]
    candidates = [*usual, *others] or list(prose)
    if len(candidates) > 1:
        look.ask("texts", "--text", candidates)
    return candidates[0]


def _longest(look: Look, free: Sequence[str]) -> str:
    """The column with the longest strings, some of them with spaces unless there are few."""
    lengths = {}
    for name in free:
        strings = [v for v in sampled(look.batch.columns[name]) if isinstance(v, str)]
        numbers = all(is_number(value) for value in strings if value)
        spaced = any(" " in value or not value.isascii() for value in strings)
        if strings and not numbers and (spaced or len(strings) < 20):
            lengths[name] = sum(map(len, strings)) / len(strings)
    own = {name: of for name, of in lengths.items() if says(name).other is None} or lengths
    if not own:
        known = listed(look.batch.columns)
        raise UnclearError(
            f"{look.batch.name} has no column of texts; the columns are: {known}",
            "; name one with --text", "text",
            {name: look.of(name).examples for name in look.batch.columns},
        )  # fmt: skip
    first, *others = sorted(own, key=lambda name: -own[name])
    alike = [
        name for name in others
        if own[name] >= own[first] / 2 and look.of(name).words >= 2
        and look.of(name).distinct >= 0.8 * look.of(name).rows and look.of(name).rows >= 20
    ]  # fmt: skip
    if alike:
        look.ask("texts", "--text", [first, *alike])
    return first
