"""Going on with a run: is what is in the folder the run that is asked for?"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.core.errors import FinetextError, RecipeError, RunError
from finetext.core.types import Dataset, Finding, Splits
from finetext.runs.claiming import is_started
from finetext.runs.folder import split_columns
from finetext.runs.recipe import KNOBS, Recipe
from finetext.storage.codec import finding_from_json

if TYPE_CHECKING:
    from finetext.pretraining.corpus import Corpus


_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, FinetextError)


@dataclass(frozen=True, eq=False)
class Asked:
    """What a command asks for, before it is known whether a run of it was begun.

    Attributes:
        recipe: the settings.
        dataset: all rows.
        splits: the same rows, divided.
        corpus: the texts to adapt an encoder to first, or None.
    """

    recipe: Recipe
    dataset: Dataset
    splits: Splits
    corpus: Corpus | None = None


@dataclass(frozen=True, eq=False)
class Begun:
    """What a run folder says of its run.

    Attributes:
        recipe: as it was written; the settings that change no result are those asked for now.
        findings: what reading and checking noticed then.
    """

    recipe: Recipe
    findings: tuple[Finding, ...]


def begun(folder: Path, asked: Asked) -> Begun:
    """The run in a folder, once it is sure that it is the one that is asked for.

    Raises:
        RecipeError: it has other settings.
        RunError: it has other data or another split, or the folder is damaged.
    """
    try:
        values = tomllib.loads((folder / "recipe.toml").read_text("utf-8"))
        recipe = _as_written(values, asked.recipe)
        described = json.loads((folder / "data.json").read_text("utf-8"))
        findings = tuple(map(finding_from_json, described["findings"]))
        same_split = _split_in(folder) == split_columns(asked.splits)
        known = (described["content_hash"], tuple(described["labels"]), described["multilabel"])
    except _UNREADABLE as error:
        raise RunError(
            f"the run in {folder} is damaged: {error}; start a new one in another folder"
        ) from None
    if differing := differences(values, asked.recipe):
        raise RecipeError(
            f"the run in {folder} has other settings: {'; '.join(differing)}. Give it the same "
            "settings to go on, or start a new run in another folder"
        )
    now = asked.recipe.adapt
    if now is not None and values["adapt"].get("content_hash") != now.content_hash:
        raise RunError(
            f"the corpus to adapt to is not the one that the run in {folder} was begun with. Put "
            "that back to go on, or start a new run in another folder"
        )
    was, costs = values.get("decide", {}).get("content_hash"), asked.recipe.decide
    if was not in (None, costs.content_hash):
        raise RunError(
            f"the costs in {costs.costs} are not the ones that the run in {folder} was begun with. "
            "Put those back to go on, or start a new run in another folder"
        )
    scheme = asked.splits.scheme
    if known != (asked.dataset.content_hash, scheme.names, scheme.multilabel):
        raise RunError(
            f"the data are not the ones that the run in {folder} was begun with"
            f"{_ways_of_reading(values, asked.recipe)}. Put those back to go on, or start a new "
            "run in another folder"
        )
    if not same_split:
        raise RunError(
            f"the rows are divided in another way than in the run in {folder}: another version of "
            "finetext began it. Start a new run in another folder"
        )
    return Begun(recipe, findings)


def differences(was: Mapping[str, Any], now: Recipe) -> list[str]:
    """The settings in which two recipes differ, as phrases: "seed was 1 and is 2".

    Source and reading are left out, since the texts that were read say more; so are settings
    that change no result.

    Args:
        was: a recipe as the values in its TOML file.
        now: another one.
    """
    places = ("data.", "adapt.corpus ")
    return [line for line in _compared(was, now) if not line.startswith(places)]


def newest(name: str, asked: Asked) -> tuple[Path | None, list[str]]:
    """The run among `runs/NAME`, `runs/NAME-2`, ... to go on with.

    Args:
        name: of the folder, without a number.
        asked: what the run must be.

    Returns:
        the newest unfinished run that is the one asked for, else the newest finished one, or None
        if there is none; and a line on each unfinished run that is another.
    """
    from finetext.runs.run import is_finished

    found: list[Path] = []
    others: list[str] = []
    for folder in _newest_first(name):
        try:
            begun(folder, asked)
        except FinetextError as error:
            if not is_finished(folder):
                others.append(f"{folder} is not gone on with: {error}")
        else:
            found.append(folder)
    unfinished = [folder for folder in found if not is_finished(folder)]
    return next(iter([*unfinished, *found]), None), others


def _newest_first(name: str) -> list[Path]:
    numbered = re.compile(rf"{re.escape(name)}(-\d+)?")
    folders = Path("runs").iterdir() if Path("runs").is_dir() else iter(())
    found = [folder for folder in folders if numbered.fullmatch(folder.name) and is_started(folder)]
    return sorted(found, key=lambda of: (of / "recipe.toml").stat().st_mtime_ns, reverse=True)


def _as_written(values: Mapping[str, Any], asked: Recipe) -> Recipe:
    """The recipe that is asked for, with data and order of rungs as in the file of a run.

    Its methods need no name in the registry, since they are those that were handed over.
    """
    data = Recipe.from_values({"data": values["data"]})
    there = {name: of for name in values["methods"] if (of := asked.methods.get(name)) is not None}
    return replace(
        asked,
        source=data.source,
        read=data.read,
        content_hash=data.content_hash,
        methods=there,
    )


def _split_in(folder: Path) -> dict[str, list[str]]:
    import pyarrow.parquet

    columns: dict[str, list[str]] = pyarrow.parquet.read_table(
        folder / "splits.parquet"
    ).to_pydict()
    return columns


def _ways_of_reading(was: Mapping[str, Any], now: Recipe) -> str:
    """In brackets, how the two recipes read data otherwise."""
    differing = [line for line in _compared(was, now) if line.startswith("data.")]
    return f" ({'; '.join(differing)})" if differing else ""


def _compared(was: Mapping[str, Any], now: Recipe) -> list[str]:
    """A phrase on each setting that determines the results and is not the same."""
    before, after = dict(_flat(was)), dict(_flat(tomllib.loads(now.to_toml())))
    hashes = {f"{section}.content_hash" for section in ("data", "adapt", "decide")}
    names = sorted({*before, *after} - {*KNOBS, *hashes})
    if before["methods"] != after["methods"]:
        names = [name for name in names if not name.startswith("methods.")]
    differing = [(n, before.get(n, "not set"), after.get(n, "not set")) for n in names]
    return [f"{name} was {one} and is {other}" for name, one, other in differing if one != other]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings by their whole name: "methods.finetune.epochs" to 3.

    Under "methods" stand the names of the rungs.
    """
    if "methods" in values and not prefix:
        yield "methods", ", ".join(sorted(values["methods"]))
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
