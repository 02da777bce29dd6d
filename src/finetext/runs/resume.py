"""The run to resume: which folder holds it, and whether it is the one that is asked for."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.core.errors import FinetextError, RunError
from finetext.core.types import Dataset, Finding, Splits
from finetext.runs.folder import split_columns
from finetext.runs.recipe import KNOBS, Recipe
from finetext.runs.run import is_finished
from finetext.storage.codec import finding_from_json
from finetext.storage.locks import Held, is_started
from finetext.storage.resume import check_same, differences

if TYPE_CHECKING:
    from finetext.pretraining.corpus import Corpus


_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, FinetextError)
_HASHES: Final = {f"{section}.content_hash" for section in ("data", "adapt", "decide")}
_OR_ELSE: Final = "to resume, or start a new run in another folder"


def held(folder: Path) -> Held:
    """Return what a folder holds of a run; see `finetext.storage.locks.check_folder`."""
    if not is_started(folder):
        return None
    finished = is_finished(folder)
    return f"{'a finished' if finished else 'an unfinished'} run", not finished


@dataclass(frozen=True, eq=False)
class Asked:
    """What a command asks for, before it is known whether a run of it was started.

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
    """Return the run in a folder, which must be the one that is asked for.

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
    was, now = _settings(values), _settings(tomllib.loads(asked.recipe.to_toml()))
    if was["methods"] != now["methods"]:
        was, now = (_without(of, "methods.") for of in (was, now))
    # Where the data lie and how they are read only matters if other texts come out.
    compared = [_without(of, "data.", "adapt.corpus") for of in (was, now)]
    check_same(f"the run in {folder}", compared[0], compared[1])
    adapt, costs, scheme = asked.recipe.adapt, asked.recipe.decide, asked.splits.scheme
    if adapt is not None and values["adapt"].get("content_hash") != adapt.content_hash:
        raise RunError(
            f"the corpus to adapt to is not the one that the run in {folder} started with. Put "
            f"that back {_OR_ELSE}"
        )
    if values.get("decide", {}).get("content_hash") not in (None, costs.content_hash):
        raise RunError(
            f"the costs in {costs.costs} are not the ones that the run in {folder} started with. "
            f"Put those back {_OR_ELSE}"
        )
    if known != (asked.dataset.content_hash, scheme.names, scheme.multilabel):
        read = "; ".join(line for line in differences(was, now) if line.startswith("data."))
        raise RunError(
            f"the data are not the ones that the run in {folder} started with"
            f"{f' ({read})' if read else ''}. Put those back {_OR_ELSE}"
        )
    if not same_split:
        raise RunError(
            f"the rows are split differently than in the run in {folder}, which another version of "
            "finetext started. Start a new run in another folder"
        )
    return Begun(recipe, findings)


def newest(name: str, asked: Asked) -> tuple[Path | None, list[str]]:
    """Return the run to resume among `runs/NAME`, `runs/NAME-2`, ...

    Args:
        name: of the folder, without a number.
        asked: what the run must be.

    Returns:
        the newest unfinished run that is the one asked for, else the newest finished one, or None
        if there is none; and a line on each unfinished run that is another.
    """
    found: list[Path] = []
    others: list[str] = []
    for folder in _newest_first(name):
        try:
            begun(folder, asked)
        except FinetextError as error:
            if not is_finished(folder):
                others.append(f"{folder} is not resumed: {error}")
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
    """Return the recipe that is asked for, with data and order of methods as a run has them.

    Its methods need no name in the registry, since they are those that were handed over.
    """
    data = Recipe.from_values({"data": values["data"]})
    there = {name: of for name in values["methods"] if (of := asked.methods.get(name)) is not None}
    return replace(
        asked, source=data.source, read=data.read, content_hash=data.content_hash, methods=there
    )


def _split_in(folder: Path) -> dict[str, list[str]]:
    import pyarrow.parquet

    columns: dict[str, list[str]] = pyarrow.parquet.read_table(
        folder / "splits.parquet"
    ).to_pydict()
    return columns


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a recipe that determine its results, by their whole names."""
    return {name: of for name, of in _flat(values) if name not in {*KNOBS, *_HASHES}}


def _without(settings: Mapping[str, Any], *places: str) -> dict[str, Any]:
    return {name: of for name, of in settings.items() if not name.startswith(places)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield "methods.finetune.epochs" with 3; under "methods" stand the names of the methods."""
    if "methods" in values and not prefix:
        yield "methods", ", ".join(sorted(values["methods"]))
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
