"""What more minutes would likely bring to a run, from its own validation scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from finetext.core.deadline import SECONDS_A_MINUTE
from finetext.core.wording import number
from finetext.evaluation.metrics import metric_for
from finetext.runs.fit_methods import Started
from finetext.runs.minutes import NONE_TO_COMBINE, SAFETY, Ledger, Turn
from finetext.storage.resume import read_log

CERTAIN: Final = 2.0
"""Standard errors of a score by which it must rise to be more than chance."""


def outlook(started: Started, ledger: Ledger) -> Iterator[str]:
    """Yield sentences on the cuts that more minutes would lift, and on what that would bring."""
    cut = [turn for turn in ledger.turns if turn.line]
    if cut:
        names = ", ".join(of.method for of in cut)
        lacking = sum(max(0.0, (of.whole or 0.0) - (of.seconds or 0.0)) for of in cut) / SAFETY
        needed = max(ledger.minutes * 1.1, ledger.minutes + lacking / SECONDS_A_MINUTE)
        if all(of.whole is not None or of.skipped == NONE_TO_COMBINE for of in cut):
            yield f"with --minutes {in_minutes(needed)} nothing would likely be cut ({names})"
        else:
            yield (
                f"more minutes would lift what was cut ({names}); there was no time to measure how "
                f"many, but --minutes {in_minutes(max(needed, 2 * ledger.minutes))} is the least"
            )
    for turn in ledger.turns:
        rose = _scores(started, turn.method)
        if rose:
            yield _on_epochs(turn, rose, started)
        elif turn.rows is not None:
            yield _on_rows(turn)
    if not cut:
        yield (
            "no method was cut, so more minutes alone change nothing; more labeled rows may: "
            "finetext learning-curve DATA"
        )


def in_minutes(minutes: float) -> str:
    """Return minutes rounded up to two digits, as an option takes them."""
    digits = 1 - math.floor(math.log10(minutes))
    scale = 10.0**digits
    return f"{math.ceil(minutes * scale - 1e-9) / scale:g}"


def _scores(started: Started, method: str) -> list[float]:
    """Return the validation scores of a training in the order of its steps; higher is better."""
    name = f"validation {started.recipe.metric}"
    found: dict[int, Any] = {}
    for line in read_log(started.folder / method / "log.jsonl"):
        value = (line.get("evaluation") or {}).get(name)
        if value is not None:
            found[int(line["step"])] = value
    metric = metric_for(started.recipe.metric, started.run.splits.scheme)
    sign = 1 if metric.higher_is_better else -1
    return [sign * found[step] for step in sorted(found)]


def _on_epochs(turn: Turn, scores: Sequence[float], started: Started) -> str:
    """Return whether the score of a training still rose at its end, and what that says."""
    metric, rows = started.recipe.metric, max(1, len(started.run.splits.validation))
    name = turn.method
    if len(scores) == 1:
        more = f"; {_on_rows(turn)}" if turn.rows is not None else ""
        return (
            f"{name} was evaluated once ({metric} {number(abs(scores[-1]))}), so nothing shows "
            f"whether more training helps{more}"
        )
    before, last = max(scores[:-1]), scores[-1]
    change = f"{metric} {number(abs(before))}, then {number(abs(last))} on validation rows"
    share = min(max(abs(last), 0.0), 1.0)
    error = math.sqrt(max(share * (1 - share), 1e-9) / rows)
    if last <= before:
        return f"{name} did not get better in the end ({change}): more epochs hardly help"
    if last - before > CERTAIN * error:
        return (
            f"{name} still got better in the end ({change}), more than chance explains: more "
            "epochs likely help, by how much is not known"
        )
    return (
        f"{name} got slightly better in the end ({change}), which may be chance: whether more "
        "epochs help is open"
    )


def _on_rows(turn: Turn) -> str:
    return (
        f"{turn.method} learned from {turn.rows:,} rows only; how much the others would add is "
        "not measured: finetext learning-curve DATA estimates it"
    )
