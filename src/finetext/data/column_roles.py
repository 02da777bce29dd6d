"""What was made of the columns of a source, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from finetext.core.column_role import ColumnRole
from finetext.core.settings import ReadSettings
from finetext.core.types import SPLIT_NAMES, LabelScheme
from finetext.core.wording import counted, short
from finetext.data.column_traits import Traits, traits_of
from finetext.data.column_words import NameSays, plain_name, says
from finetext.data.columns import Chosen
from finetext.data.rows import Batch, Source

MOST_LINES: Final = 12
_KINDS: Final = {
    "empty": "blank", "times": "dates or times", "addresses": "addresses", "fractions": "fractions",
    "numbers": "numbers", "lists": "lists",
}  # fmt: skip
_FEW: Final = 30
_WIDTHS: Final = (24, 9, 48, 28)


def roles_of(
    batch: Batch,
    chosen: Chosen,
    settings: ReadSettings,
    classes: int,
    labels: Sequence[Sequence[str] | None] | None = None,
) -> tuple[ColumnRole, ...]:
    """Return what each column of the first batch was taken for and why, those in use first.

    The example of a label column that holds objects or lists is the first of the labels read.
    """
    used: dict[str, str] = dict.fromkeys(chosen.texts, "text")
    used |= dict.fromkeys(chosen.labels, "label")
    others = {"id": chosen.id, "group": chosen.group, "split": chosen.split}
    used |= {name: role for role, name in others.items() if name is not None}
    used |= {chosen.annotator: "annotator"} if chosen.annotator else {}
    asked = set(map(plain_name, settings.columns))

    def role(name: str) -> ColumnRole:
        of = chosen.traits.get(name) or traits_of(batch.columns[name], len(batch.columns))
        example = of.examples[0] if of.examples else ""
        if example.startswith(("{", "[")) and chosen.labels == (name,):
            example = next((", ".join(own) for own in labels or () if own), example)
        example = short(example, _WIDTHS[3] - 2)
        if name not in used:
            if says(name).other == "annotator" and of.distinct > 0:
                reason = f"{counted(of.distinct, 'value')}; not a label"
                return ColumnRole(name, "annotator", reason, example)
            is_other = says(name).other or of.kind in ("times", "addresses", "fractions")
            return ColumnRole(name, "metadata" if is_other else "", _why_not(name, of), example)
        told = "content"
        if plain_name(name) in asked:
            told = "given"
        elif used[name] == "text" and chosen.is_preferred:
            told = "the column of training"
        elif says(name) != NameSays():
            told = "name"
        return ColumnRole(name, used[name], f"{told}, {_why(used[name], of, classes)}", example)

    order = [*used, *(name for name in batch.columns if name not in used)]
    return tuple(role(name) for name in order if name in batch.columns)


def _why(role: str, of: Traits, classes: int) -> str:
    filled = f"{of.filled:.0%} filled"
    if role == "text":
        return f"{of.words:.0f} words on average, {filled}"
    if role == "label":
        return f"{classes:,} class{'es' * (classes != 1)}, {filled}"
    if role == "annotator":
        return f"{counted(of.distinct, 'value')}; for agreement, not a label"
    return counted(of.distinct, "value")


def _why_not(name: str, of: Traits) -> str:
    if of.kind in _KINDS and not (of.kind == "numbers" and of.distinct <= _FEW):
        return _KINDS[of.kind]
    if of.kind == "prose":
        return f"{of.words:.0f} words on average, {of.filled:.0%} filled"
    what = counted(of.distinct, "value") + (f", {of.filled:.0%} filled" if of.filled < 1 else "")
    if says(name).other in ("annotator", "id", "metadata") or not 2 <= of.distinct <= _FEW:
        return what
    return f"{what}; labels with --label"


def role_lines(roles: Sequence[ColumnRole]) -> Iterator[str]:
    """Yield the lines of a table of the columns, 12 at most; none where all are called like that.

    Columns called text, label, id, group and split need no explanation.
    """
    if all(plain_name(one.column) == one.role for one in roles):
        return
    shown = roles if len(roles) < MOST_LINES else roles[: MOST_LINES - 2]
    rows = [("column", "role", "why", "example")]
    rows += [(one.column, one.role or "-", one.reason, repr(one.example)) for one in shown]
    cells = [[short(cell, most) for cell, most in zip(row, _WIDTHS, strict=True)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  " + "  ".join(map(str.ljust, row, widths)).rstrip()
    if len(shown) < len(roles):
        yield f"  and {counted(len(roles) - len(shown), 'column')} more, not used"


def describe(
    source: Source,
    columns: Mapping[str, Sequence[Any]],
    chosen: Chosen,
    details: str,
    scheme: LabelScheme | None,
) -> str:
    """Return one line on the source, its form, the chosen columns, and its size."""
    shown = [f"text {chosen.texts_shown}"]
    if scheme is not None:
        names = ", ".join(map(repr, chosen.labels))
        shown.append(f"label {names}" + (f" ({details})" if details else ""))
    shown += [f"{k} {v!r}" for k, v in (("group", chosen.group), ("id", chosen.id)) if v]
    if scheme is not None and chosen.annotator:
        shown.append(f"annotator {chosen.annotator!r}")
    if chosen.split and not any(batch.split for batch in source.batches):
        shown.append(f"ready-made splits of column {chosen.split!r}")
    counts = Counter(columns.get("split", ()))
    splits = ", ".join(f"{split} {counts[split]:,}" for split in SPLIT_NAMES if counts[split])
    size = counted(len(columns["id"]), "row") + (f" ({splits})" if splits else "")
    if scheme is not None:
        size += f", {counted(len(scheme), 'label')}{', several a row' * scheme.multilabel}"
    return f"{source.title}: {source.batches[0].form}; {', '.join(shown)}; {size}"
