"""The search for the columns of texts and labels: by name, by content, or a question to the user.

A choice is made only where one column qualifies; the rules are in `find_text` and `find_labels`.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final, NoReturn

from finetext.core.errors import DataError, UnlabeledError
from finetext.core.settings import ReadSettings
from finetext.data.column_traits import (
    Traits,
    distinct,
    few_values,
    is_number,
    look_like_people,
    predictability,
    same_parts,
    sampled,
    traits_of,
)
from finetext.data.column_words import (
    LABEL_NAMES,
    LITERAL,
    NOUN,
    RATING,
    TEXT_NAMES,
    asks_about_person,
    by_name,
    is_vague,
    plain_name,
    says,
)
from finetext.data.flags import is_flag, spoken_flags
from finetext.data.label_cells import missing
from finetext.data.rows import Batch

_FULL: Final = 0.9
_BLANK: Final = 0.5
"""A column with fewer values than this share gives way to one that is full."""
_TITLE_WORDS: Final = 1.5
_PREDICTED: Final = 4.0
_NOT_PREDICTED: Final = 2.0
"""Standard errors above chance from which, and up to which, texts do and do not predict values."""
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
            self.traits[name] = traits_of(name, columns[name], len(columns))
        return self.traits[name]

    def ask(self, what: str, option: str, names: Sequence[str], hint: str = "") -> NoReturn:
        """Refuse to guess between columns: list them with values, and say how to name one."""
        width = max(len(name) for name in names[:_SHOWN])
        lines = [f"  {name:{width}}  {self.of(name).shown}" for name in names[:_SHOWN]]
        lines += [f"  and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
        both = shlex.quote(",".join(names[:2]))
        several = f", or join texts in this order: --text {both}" if option == "--text" else ""
        raise DataError(
            f"{self.batch.name}: {len(names)} columns could hold the {what}:\n"
            + "\n".join(lines)
            + f"\nname one with {option} {shlex.quote(names[0])}{hint}{several}"
        )


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
    if fullest >= _FULL:
        known = [name for name in known if look.of(name).filled >= _BLANK]
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
        known = ", ".join(look.batch.columns)
        raise DataError(
            f"{look.batch.name} has no column of texts; the columns are: {known}; name one with "
            "--text"
        )
    first, *others = sorted(own, key=lambda name: -own[name])
    alike = [
        name for name in others
        if own[name] >= own[first] / 2 and look.of(name).words >= 2
        and look.of(name).distinct >= 0.8 * look.of(name).rows and look.of(name).rows >= 20
    ]  # fmt: skip
    if alike:
        look.ask("texts", "--text", [first, *alike])
    return first


def find_labels(look: Look, free: Sequence[str], text: str) -> tuple[str, ...]:
    """Return the column of the labels, several of 0 and 1, or none where none are required.

    A column called label wins. Otherwise one whose name means category, class, code, topic and the
    like, with few values; ratings qualify beside it. Otherwise one with few values, whatever its
    name; of several, the one that texts predict (4 standard errors above chance) if they predict
    none of the others (2). Not candidates by content: annotators, ids, dates, addresses, and what
    a text is about. Raises a DataError if several qualify, an UnlabeledError if none does and
    labels are required.
    """
    settings = look.settings
    known = settings.classes if settings.multilabel else None
    if known and all(name in free and is_flag(look.batch.columns[name]) for name in known):
        return tuple(known)
    found = _by_name(look, free, text)
    if found or not settings.labelled:
        return (found,) if found else ()
    if several := _several_annotators(look, free):
        look.ask("labels", "--label", several, ", each of them by one annotator")
    if found := _by_content(look, free, text):
        return (found,)
    people = [*look.people, *(name for name in free if says(name).other == "annotator")]
    people = list(dict.fromkeys(people))
    hint = f"; {people[0]!r} says who labeled a text, so it is not a label" if people else ""
    raise UnlabeledError(
        f"{look.batch.name} has no column that looks like labels; the columns are: "
        f"{', '.join(look.batch.columns)}{hint}; name one with --label"
    )


def _by_name(look: Look, free: Sequence[str], text: str) -> str | None:
    there = [name for name in free if look.of(name).kind != "empty"] or list(free)
    by_plain = by_name(LABEL_NAMES, there)
    for strength in (LITERAL, NOUN):
        named = [name for name in there if says(name).label == strength]
        fitting = [name for name in named if strength == LITERAL or _has_few(look, name)]
        fitting = _not_blank(look, fitting)
        if fitting and strength == NOUN:
            fitting += [n for n in there if says(n).label == RATING and _few(look, n) > 1]
        if found := _one_of(look, fitting, by_plain):
            if look.settings.labelled and is_vague(found):
                _contest(look, found, there, text)
            return found
        if fitting:
            if look.settings.labelled:
                flags = all(is_flag(look.batch.columns[name]) for name in fitting)
                every = shlex.quote(",".join(fitting))
                hint = f", or all if a text can have several: --label {every}" if flags else ""
                look.ask("labels", "--label", fitting, hint)
            return None
    named = [name for name in there if says(name).label]
    if by_plain and (len(named) == 1 and (not look.settings.labelled or _is_odd(look, by_plain))):
        return by_plain
    return None


def _contest(look: Look, found: str, there: Sequence[str], text: str) -> None:
    """Ask if texts do not predict a column called code or class, but another one with few values.

    It may say who answered, as `VP01`, or which school class did.
    """
    columns = look.batch.columns
    own = [name for name in there if name not in (found, text) and not says(name).other]
    own = [name for name in own if not (says(name).remark or asks_about_person(name))]
    if not (own := [name for name in own if _few(look, name) > 1]):
        return
    score = predictability(columns[text], columns[found])
    if score is None or score > _NOT_PREDICTED:
        return
    scores = {name: predictability(columns[text], columns[name]) for name in own}
    if rivals := [n for n in own if (one := scores[n]) is not None and one >= _PREDICTED]:
        look.ask("labels", "--label", [*rivals, found])


def _one_of(look: Look, names: Sequence[str], first: str | None) -> str | None:
    """The only one, or one of several that divide the rows alike, or hold the known classes."""
    columns = look.batch.columns
    if len(names) < 2:
        return names[0] if names else None
    if all(same_parts(columns[one], columns[other]) for one, other in combinations(names, 2)):
        return first if first in names else names[0]
    known = set(look.settings.classes or ())
    fitting = [n for n in names if known and distinct(columns[n]) <= known]
    return fitting[0] if len(fitting) == 1 else None


def _has_few(look: Look, name: str) -> bool:
    """Whether a column called category or the like could hold labels."""
    traits = look.of(name)
    if traits.kind in ("times", "addresses"):
        return False
    few = max(10, traits.rows / 2)
    return traits.kind == "lists" or traits.distinct <= few or bool(_few(look, name))


def _not_blank(look: Look, names: Sequence[str]) -> list[str]:
    """The columns, without those that are mostly blank if another one is full."""
    full = any(look.of(name).filled >= _FULL for name in names)
    return [name for name in names if not full or look.of(name).filled >= _BLANK]


def _is_odd(look: Look, name: str) -> bool:
    """Whether a column has no few values, so that only its name speaks for it."""
    return not _few(look, name) and all(
        name == other or not _few(look, other) for other in look.batch.columns
    )


def _few(look: Look, name: str) -> int:
    if look.of(name).kind in ("empty", "times", "addresses", "fractions"):
        return 0
    return few_values(look.batch.columns[name])


def _several_annotators(look: Look, free: Sequence[str]) -> list[str]:
    """Columns called coder 1, coder 2 and so on, which hold the same labels rather than names."""
    named = [name for name in free if says(name).other == "annotator"]
    values = {name: distinct(look.batch.columns[name]) for name in named}
    shared = [
        one for one in named
        if any(len(values[one] & values[other]) * 2 >= len(values[one] | values[other]) > 0
               for other in named if other != one)
        and plain_name(one).rstrip("_0123456789abc") != plain_name(one)
    ]  # fmt: skip
    return shared if len(shared) > 1 else []


def _by_content(look: Look, free: Sequence[str], text: str) -> str | None:
    """The column with few values that qualifies; see `find_labels`."""
    columns = look.batch.columns
    own = [name for name in free if says(name).other not in ("annotator", "id", "metadata")]
    about = [name for name in own if says(name).other == "about" or asks_about_person(name)]
    own = [n for n in own if says(n).label or not (n in about or says(n).remark)]
    counts = {name: _few(look, name) for name in own}
    few = _not_blank(look, [name for name, count in counts.items() if count >= 2])
    flags = [name for name in own if counts[name] and is_flag(columns[name])]
    marks = [name for name in flags if any(map(missing, columns[name]))]
    few += marks if len(marks) > 1 else []
    if len(flags) > 1 and set(few) <= set(flags):
        raise DataError(
            f"{look.batch.name} has {len(flags)} columns of {spoken_flags(columns[flags[0]])} that "
            f"could be labels; name one "
            f"with --label {shlex.quote(flags[0])}, or all if a text can have several: "
            f"--label {shlex.quote(','.join(flags))}"
        )
    if len(few) == 1:
        return None if _names_people(look, few[0], text) else few[0]
    if not few:
        constant = [name for name in own if counts[name] == 1]
        if constant or len(free) != 1:
            return constant[0] if len(constant) == 1 else None
        return about[0] if about and _few(look, about[0]) else None
    ratings = [name for name in few if says(name).label == RATING]
    counted = [name for name in few if look.of(name).kind == "numbers" and name not in flags]
    if len(ratings) == 1 and set(few) <= {*ratings, *counted}:
        return ratings[0]  # other numbers are counts
    return _one_of(look, few, None) or _predicted(look, few, text)


def _predicted(look: Look, few: Sequence[str], text: str) -> str:
    """The one of several columns that the texts predict; see `find_labels`."""
    columns = look.batch.columns
    scores = {name: predictability(columns[text], columns[name]) for name in few}
    unrelated = [n for n in few if (score := scores[n]) is not None and score <= _NOT_PREDICTED]
    look.people.extend(name for name in unrelated if look_like_people(columns[name]))
    rest = [name for name in few if name not in look.people]
    sure = [n for n in rest if (score := scores[n]) is not None and score >= _PREDICTED]
    if len(sure) == 1 and set(rest) - set(sure) <= set(unrelated):
        return sure[0]
    if len(rest) == 1 and rest[0] not in unrelated:
        return rest[0]
    return look.ask("labels", "--label", rest if len(rest) > 1 else few)


def _names_people(look: Look, name: str, text: str) -> bool:
    """Whether the only column with few values says who labeled the texts."""
    columns = look.batch.columns
    if says(name).label or not look_like_people(columns[name]):
        return False
    score = predictability(columns[text], columns[name])
    if score is None or score > _NOT_PREDICTED:
        return False
    look.people.append(name)
    return True
