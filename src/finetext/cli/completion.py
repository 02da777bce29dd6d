"""What shells offer for a word of a command that is not whole yet: names, runs, methods of a run.

It runs at each press of Tab: nothing heavy is imported, and no error shows. A function that offers
nothing leaves the word to the shell, which offers files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from typer import Context
from typer.models import ParameterInfo

_RUN: Final = "recipe.toml"
_DEVICES: Final = ("auto", "cpu", "cuda", "mps")
_MOST: Final = 200
"""Folders that are looked at, so that a folder of thousands of runs is no pause."""


def methods(incomplete: str) -> list[str]:
    """Return lists of methods, joined by commas, of which the last name begins so."""
    from finetext.core import registry

    before, comma, last = incomplete.rpartition(",")
    used = before.split(",")
    fitting = [name for name in registry.names("methods") if name.startswith(last)]
    return [f"{before}{comma}{name}" for name in fitting if name not in used]


def metrics(incomplete: str) -> list[str]:
    """Return the metrics that begin so."""
    from finetext.core import registry

    return _beginning(incomplete, registry.names("metrics"))


def devices(incomplete: str) -> list[str]:
    """Return the kinds of devices that begin so."""
    return _beginning(incomplete, _DEVICES)


def precisions(incomplete: str) -> list[str]:
    """Return the number formats that begin so."""
    return _beginning(incomplete, ("auto", "fp32", "bf16", "fp16"))


def splits(incomplete: str) -> list[str]:
    """Return the splits that have predictions, which begin so."""
    return _beginning(incomplete, ("validation", "test", "all"))


def encoders(incomplete: str) -> list[str]:
    """Return short names of encoders, presets of random ones, and folders, which begin so."""
    from finetext.encoders.catalogue import ENTRIES, PREFIX, PRESETS

    names = [entry.alias for entry in ENTRIES] + [f"{PREFIX}{of.name}" for of in PRESETS]
    return [*_beginning(incomplete, names), *_folders(incomplete, "config.json")]


def data(incomplete: str) -> list[str]:
    """Return the samples that begin so, with the files beside; nothing for an empty word."""
    from finetext.core import registry

    found = _beginning(incomplete, registry.names("samples")) if incomplete else []
    return [*found, *_beginning(incomplete, _names(Path()))] if found else []


def runs(incomplete: str) -> list[str]:
    """Return the run folders that begin so, here and in `runs`."""
    return [*_folders(incomplete, _RUN), *_folders(incomplete, _RUN, "runs")]


def models(incomplete: str) -> list[str]:
    """Return the run folders that begin so; below one, its methods."""
    parent, slash, last = incomplete.rpartition("/")
    with suppress(OSError):
        if slash and os.path.isfile(Path(parent, _RUN)):
            return [f"{parent}/{name}" for name in _beginning(last, _methods_in(Path(parent)))]
    return [*runs(incomplete), *_folders(incomplete, "finetext.json")]


def methods_of_run(ctx: Context, incomplete: str) -> list[str]:
    """Return the methods that begin so, of the run that the command names before."""
    # An option whose value is not there yet keeps arguments from being parsed.
    given = [ctx.params.get("run"), ctx.params.get("model"), *ctx.args]
    named = next((of for of in given if of and os.path.isfile(Path(of, _RUN))), None)
    return _beginning(incomplete, _methods_in(Path(named))) if named is not None else []


def _methods_in(run: Path) -> Iterator[str]:
    return (name for name in _names(run)[:_MOST] if os.path.isdir(run / name / "model"))


def _folders(incomplete: str, holding: str, parent: str = "") -> list[str]:
    """Return the folders that begin so and hold a file, as paths from here."""
    found = (f"{parent}/{name}" if parent else name for name in _names(Path(parent)))
    first = _beginning(incomplete, found)[:_MOST]
    return [place for place in first if os.path.isfile(Path(place, holding))]


def _names(folder: Path) -> list[str]:
    """Return the names in a folder, in order; nothing if it cannot be read."""
    with suppress(OSError):
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    return []


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


_OFFERS: Final[dict[str, Callable[..., list[str]]]] = {
    "methods": methods,
    "method": methods_of_run,
    "against": methods_of_run,
    "metric": metrics,
    "device": devices,
    "precision": precisions,
    "part": splits,
    "encoder": encoders,
    "data": data,
    "run": runs,
    "model": models,
    "teacher": models,
}
"""What is offered for an argument or option, by the name of its parameter."""


def offer(name: str, annotation: object) -> None:
    """Let shells offer words for a parameter of a command, annotated as typer reads it."""
    for told in getattr(annotation, "__metadata__", ()):
        if name in _OFFERS and isinstance(told, ParameterInfo) and told.autocompletion is None:
            told.autocompletion = _OFFERS[name]
