"""What `finetext adapt` and `finetext pretrain` share: their settings, and what they show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from finetext import arguments
from finetext.arguments import DataOptions
from finetext.console import Screen
from finetext.errors import RecipeError

if TYPE_CHECKING:
    from finetext.data.settings import ReadSettings
    from finetext.pretraining.learning import Adapted


def settings_of(
    kind: type[Any], given: Mapping[str, Any], text: str | None, settings: list[str] | None
) -> tuple[Any, ReadSettings]:
    """The hyperparameters, and how to read, from options and assignments.

    Args:
        kind: `Adaptation` or `Pretraining`.
        given: hyperparameters, None where an option was left out.
        text: column of the texts.
        settings: assignments `data.NAME=VALUE`, or with the name of the command before the dot.

    Raises:
        RecipeError: an assignment is none of these, or a value does not fit.
    """
    from finetext.pretraining.adapt import Adaptation
    from finetext.recipe import made

    command = "adapt" if kind is Adaptation else "pretrain"
    assigned = arguments.assigned(settings)
    reading = arguments.read_settings(DataOptions(text).given() | assigned.pop("data", {}))
    chosen = {name: value for name, value in given.items() if value is not None}
    chosen |= assigned.pop(command, {})
    if assigned:
        raise RecipeError(f"--set: only {command}.NAME=VALUE and data.NAME=VALUE can be set here")
    return made(command, kind, chosen), reading


def show_made(encoder: Adapted, screen: Screen, as_json: bool) -> None:
    """The figures before and after, the seconds, and where the encoder is.

    Args:
        encoder: what was made.
        screen: where to write.
        as_json: whether for machines.
    """
    origin = encoder.origin
    if as_json:
        screen.json({"folder": str(encoder.folder), **asdict(origin)})
        return
    print(f"{'held-out text':<14}{'before':>12}{'after':>12}")
    for name, form in (("loss", ",.3f"), ("accuracy", ",.3f"), ("perplexity", ",.1f")):
        print(f"{name:<14}{origin.before[name]:>12{form}}{origin.after[name]:>12{form}}")
    if origin.head_is_fresh and origin.kind == "adapted":
        print(f"before, the head that predicts words was fresh: {origin.base} comes without one")
    print(f"{origin.seconds:,.0f} seconds")
    print(f"encoder: {encoder.folder}")
