"""`finetext doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

from typer import Exit

from finetext.cli.options import Output, flag

if TYPE_CHECKING:
    from finetext.runs.inspection import Inspection

BROKEN: Final = 1
"""The status if something that the core needs is broken."""
_INDENT: Final = "  "


def doctor(
    network: Annotated[bool, flag("--network", "Ask the Hugging Face Hub for an answer.")] = False,
    imports: Annotated[
        bool, flag("--imports", "Import the packages of extras, too; slower.")
    ] = False,
    *,
    output: Output,
) -> None:
    """Show versions, device and extras, and what is broken."""
    from finetext.runs.inspection import inspect_installation

    output.screen().say("importing the packages that finetext needs ...")
    found = inspect_installation(network, imports)
    output.show(found.to_json(), _lines(found))
    if found.broken:
        raise Exit(BROKEN)


def _lines(found: Inspection) -> Iterator[str]:
    """Yield the finding, the problems with what to do, and the facts of each section."""
    yield _headline(found)
    for fact in found.broken:
        yield f"{_INDENT}broken: {fact.problem}"
    for fact in found.warnings:
        yield f"{_INDENT}warning: {fact.problem}"
    for name, facts in found.sections.items():
        shown = [fact for fact in facts if fact.said and (fact.is_main or fact.problem)]
        yield f"\n{name}"
        width = max((len(fact.name) for fact in shown), default=0)
        yield from (f"{_INDENT}{fact.name:<{width}}  {fact.said}" for fact in shown)
        if more := sum(not fact.problem and fact not in shown for fact in facts):
            yield f"{_INDENT}and {more} more, nothing wrong with them"


def _headline(found: Inspection) -> str:
    """Return the finding in a sentence."""
    count = len(found.broken)
    if count:
        parts = f"{count} parts that it needs are" if count > 1 else "a part that it needs is"
        return f"finetext does not work here: {parts} broken."
    missing = [
        fact.name
        for fact in found.sections.get("extras", ())
        if isinstance(fact.value, dict) and fact.value.get("missing")
    ]
    without = f", without {', '.join(missing)}" if missing else " with every extra"
    unknown = [of for of in found.sections.get("extras", ()) if of.said.startswith("unknown")]
    if unknown and not missing:
        without = "; which extras are installed is unknown"
    return f"finetext works here{without}."
