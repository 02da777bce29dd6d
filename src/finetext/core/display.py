"""How results show themselves: short tables in a notebook, one line in a terminal."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from finetext.core.decision import Decision
from finetext.core.registry import load
from finetext.core.terminal import escaped

MOST_NAMES: Final = 6
_SHOWN: Final = {
    "architecture": "architecture",
    "parameters": "parameters",
    "max_length": "tokens read",
    "features": "words and word pairs",
}
"""What of the provenance of a model its display names."""


class ShownInNotebook:
    """A result of which `report.notebook_results` makes tables for a notebook."""

    def _repr_html_(self) -> str:
        shown: str = load("views", "notebook")(self)
        return shown


def html_text(value: Any) -> str:
    """Return a value as the text of an HTML element; markup and unsafe characters are escaped."""
    return html.escape(escaped(str(value)))


def html_table(caption: str, columns: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """Return a table for a notebook; whatever the cells hold is escaped."""
    lines = [
        f"<tr>{''.join(f'<{tag}>{html_text(cell)}</{tag}>' for cell in row)}</tr>"
        for tag, row in (("th", columns), *(("td", row) for row in rows))
    ]
    return f"<table><caption>{html_text(caption)}</caption>{''.join(lines)}</table>"


def listed(names: Sequence[str], most: int = MOST_NAMES) -> str:
    """Return names in one line: "a, b, c and 74 more"."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def labels_in_words(names: Sequence[str]) -> str:
    """Return "3 labels: a, b, c"."""
    return f"{len(names):,} label{'' if len(names) == 1 else 's'}: {listed(names)}"


def decision_in_words(decision: Decision, multilabel: bool) -> str:
    """Return in one line how probabilities become labels."""
    aim = f" ({decision.aim})" if decision.aim else ""
    if decision.costs is not None:
        said = f"the least expected cost{aim}"
    elif (limits := decision.thresholds) is not None:
        said = f"a threshold for each label, {min(limits):.3g} to {max(limits):.3g}{aim}"
    else:
        said = "each label from a probability of 0.5" if multilabel else "the likeliest label"
    if decision.least is not None:
        said += f"; abstains below {max(decision.least):.3g}{aim if aim not in said else ''}"
    if (limit := decision.in_scope_up_to) is not None:
        said += f"; out of scope if less certain than {limit:.3g}{aim if aim not in said else ''}"
    if decision.coverage is not None:
        said += f"; prediction sets of {decision.coverage:.0%} coverage"
    return said


def classifier_facts(
    kind: str, names: Sequence[str], decision: str, provenance: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Return what the display of a classifier says, in order: kind, labels, decision, origin."""
    origin = {_SHOWN[name]: value for name, value in provenance.items() if name in _SHOWN}
    return [
        ("kind", kind),
        ("labels", labels_in_words(names)),
        ("decision", decision),
        *((name, f"{of:,}" if isinstance(of, int) else str(of)) for name, of in origin.items()),
    ]
