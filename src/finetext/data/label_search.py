"""The search for the columns of the labels: by name, by content, or a question to the user.

A choice is made only where one column qualifies; the rules are in `find_labels`.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import combinations
from typing import Final

from finetext.core.errors import DataError, UnlabeledError
from finetext.core.wording import listed
from finetext.data.column_search import BLANK, FULL, Look
from finetext.data.column_traits import (
    distinct,
    few_values,
    look_like_people,
    predictability,
    same_parts,
)
from finetext.data.column_words import (
    LABEL_NAMES,
    LITERAL,
    NOUN,
    RATING,
    asks_about_person,
    by_name,
    is_label_of_something,
    is_vague,
    plain_name,
    says,
)
from finetext.data.flags import is_flag, spoken_flags
from finetext.data.label_cells import find_joiner, missing

_PREDICTED: Final = 4.0
_NOT_PREDICTED: Final = 2.0
"""Standard errors above chance from which, and up to which, texts do and do not predict values."""


def find_labels(look: Look, free: Sequence[str], text: str) -> tuple[str, ...]:
    """Return the column of the labels, several of flags, or none where none are required.

    A column called label wins, if no other is called category, topic and the like. Otherwise one
    whose name means category, class, code, topic and the like, with few values; ratings qualify
    beside it. Otherwise one with few values, whatever its
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
        both = shlex.quote(",".join(several))
        hint = f"; to compare them as annotators: finetext agreement with --annotators {both}"
        look.ask("labels", "--label", several, hint)
    if found := _by_content(look, free, text):
        return (found,)
    people = [*look.people, *(name for name in free if says(name).other == "annotator")]
    people = list(dict.fromkeys(people))
    hint = f"; {people[0]!r} says who labeled a text, so it is not a label" if people else ""
    raise UnlabeledError(
        f"{look.batch.name} has no column that looks like labels; the columns are: "
        f"{listed(look.batch.columns)}{hint}; name one with --label"
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
            if strength == LITERAL:
                return _against_nouns(look, found, there, text)
            if look.settings.labelled and (is_vague(found) or is_label_of_something(found)):
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


def _against_nouns(look: Look, found: str, there: Sequence[str], text: str) -> str:
    """The column called label, if none called category, topic and the like has few values too.

    Columns that divide the rows in the same way are no rivals, nor are tags, several in a cell, nor
    a code or class that texts do not predict, such as that of a participant. The known classes of a
    model decide.
    """
    columns = look.batch.columns
    nouns = [name for name in there if says(name).label == NOUN and _few(look, name) > 1]
    nouns = [name for name in _not_blank(look, [found, *nouns]) if name != found]
    nouns = [name for name in nouns if not same_parts(columns[found], columns[name])]
    nouns = [
        name for name in nouns if look.of(name).kind != "lists"
        and find_joiner([str(value) for value in columns[name] if not missing(value)]) is None
    ]  # fmt: skip
    if known := set(look.settings.classes or ()):
        fitting = [name for name in (found, *nouns) if distinct(columns[name]) <= known]
        return fitting[0] if len(fitting) == 1 else found
    if not look.settings.labelled:
        return found
    vague = [name for name in nouns if is_vague(name)]
    scores = {name: predictability(columns[text], columns[name]) for name in vague}
    rivals = [n for n in nouns if (score := scores.get(n)) is None or score > _NOT_PREDICTED]
    if rivals:
        look.ask("labels", "--label", [found, *rivals])
    return found


def _contest(look: Look, found: str, there: Sequence[str], text: str) -> None:
    """Ask if texts predict another column with few values than the one whose name is a category.

    A code or class may say who answered, as `VP01`, or which school class did: ask if texts do not
    predict it. `Priority label` may be one of several: ask in any case.
    """
    columns = look.batch.columns
    own = [name for name in there if name not in (found, text) and not says(name).other]
    own = [name for name in own if not (says(name).remark or asks_about_person(name))]
    if not (own := [name for name in own if _few(look, name) > 1]):
        return
    if is_vague(found):
        score = predictability(columns[text], columns[found])
        if score is None or score > _NOT_PREDICTED:
            return
    own = [name for name in own if not same_parts(columns[found], columns[name])]
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
    full = any(look.of(name).filled >= FULL for name in names)
    return [name for name in names if not full or look.of(name).filled >= BLANK]


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
