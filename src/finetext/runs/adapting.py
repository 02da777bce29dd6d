"""Adapt the encoder of a run to unlabeled text before its methods are fitted."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from finetext.core.types import Finding
from finetext.core.wording import duration
from finetext.runs.ablations import origin_of, uses_adapted
from finetext.runs.fit_methods import UNREADABLE, Started
from finetext.runs.recipe import ADAPTED
from finetext.storage.codec import from_json, to_json
from finetext.storage.files import write_json
from finetext.storage.received import read_received_text

_NOTICED: Final = "noticed.json"


def adapt_encoder(started: Started) -> None:
    """Adapt the encoder of the run, or resume that, if it is needed and not finished."""
    adapt, corpus, context = started.recipe.adapt, started.run.corpus, started.context
    if adapt is None or corpus is None:
        return
    from finetext.pretraining.adapt import adapt_to

    place = started.folder / ADAPTED

    def find(finding: Finding) -> None:
        context.find(finding)
        known = dict.fromkeys([*_noticed(started.folder), finding])
        write_json(place / _NOTICED, to_json(list(known)))

    adapt_to(corpus, place, adapt.settings, replace(context, find=find), resume=True)


def adaptation_findings(started: Started) -> list[Finding]:
    """Return what adapting noticed, and its effect on the perplexity; nothing without it."""
    origin = origin_of(started.adapted) if uses_adapted(started.recipe) else None
    if origin is None:
        return []
    before, after = (of.get("perplexity", float("nan")) for of in (origin.before, origin.after))
    message = (
        f"The encoder {origin.base} was adapted in {duration(origin.seconds)}: perplexity on "
        f"held-out text {before:,.1f} before, {after:,.1f} after."
    )
    return [*_noticed(started.folder), Finding("note", "adapted", message)]


def _noticed(folder: Path) -> list[Finding]:
    path = folder / ADAPTED / _NOTICED
    with suppress(*UNREADABLE):
        return from_json(
            list[Finding],
            json.loads(read_received_text(folder, f"{ADAPTED}/{_NOTICED}")),
            str(path),
        )
    return []
