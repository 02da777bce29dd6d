"""What the options of a command say, as a recipe, a data set or a model."""

from __future__ import annotations

import dataclasses
import os
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetext.core import registry
from finetext.core.errors import RecipeError, RunError, UnknownNameError
from finetext.core.settings import ReadSettings, made
from finetext.core.types import SPLIT_NAMES, Dataset
from finetext.data.sources import sample_recipe
from finetext.runs.recipe import ADAPTED, LADDER, SECTIONS, TOP, read_toml
from finetext.storage.files import check_place as check_place
from finetext.storage.locks import is_started


@dataclass(frozen=True)
class DataOptions:
    """The options on how to read data; see `finetext.core.settings.ReadSettings`.

    Attributes:
        text: column of the texts.
        label: column of the labels, or several joined by commas.
        group: column of the groups.
        id: column of the row names.
        label_names: file of label names.
        drop_unlabelled: whether rows without a label are left out.
    """

    text: str | None = None
    label: str | None = None
    group: str | None = None
    id: str | None = None
    label_names: str | None = None
    drop_unlabelled: bool = False

    def given(self) -> dict[str, Any]:
        """The settings that were given."""
        label: Any = self.label
        if label is not None and "," in label:
            label = tuple(name.strip() for name in label.split(","))
        values = dataclasses.asdict(self) | {"label": label}
        return {name: value for name, value in values.items() if value not in (None, False)}


@dataclass(frozen=True)
class MethodOptions:
    """The options of `train` that concern methods.

    Attributes:
        names: rungs joined by commas, or None for those of the recipe or the whole ladder.
        encoder: for every rung that has one; for one that takes the adapted encoder it is what
            that starts from.
        max_length: for every rung that has one.
        epochs: for every rung that has some.
        precision: for every rung that has one.
    """

    names: str | None = None
    encoder: str | None = None
    max_length: int | None = None
    epochs: int | None = None
    precision: str | None = None

    def given(self) -> dict[str, Any]:
        """The hyperparameters that were given."""
        values = dataclasses.asdict(self)
        return {k: of for k, of in values.items() if k != "names" and of is not None}


def data_values(
    reading: DataOptions, paths: Sequence[str | None], sizes: Sequence[str | None] = (None,) * 3
) -> dict[str, Any]:
    """The sections on data and splits of a recipe, with None where an option was left out.

    Args:
        reading: how to read.
        paths: of the training, validation and test rows.
        sizes: of the same parts, as shares or counts.

    Raises:
        RecipeError: a size is neither.
    """
    source = dict(zip(SPLIT_NAMES, paths, strict=True))
    return {
        "data": {"source": source} | reading.given(),
        "split": {name: size(text) for name, text in zip(SPLIT_NAMES, sizes, strict=True)},
    }


def recipe_values(
    recipe: Path | None,
    given: Mapping[str, Any],
    methods: MethodOptions,
    settings: list[str] | None,
) -> dict[str, Any]:
    """A recipe file, or that of a sample, with what the command line says put over it.

    Args:
        recipe: TOML file, or None.
        given: values by section in the form of a recipe; None where an option was left out. The
            source is a mapping from split to path, of those that were named.
        methods: the options that concern methods.
        settings: assignments `SECTION.NAME=VALUE`, where a section may also be a rung.

    Raises:
        RecipeError: no data are named, or an assignment is not one.
        UnknownNameError: there is no such method.
    """
    values = {} if recipe is None else read_toml(recipe)
    source = _source(given["data"]["source"], _table(values, "data").get("source"))
    if recipe is None and isinstance(source, str):
        values = sample_recipe(source)
    elif any(given["data"]["source"].values()):
        _table(values, "data").pop("content_hash", None)
    _lay_over(values, {**given, "data": {**given["data"], "source": source}})
    known = _table(values, "methods") or {name: {} for name in LADDER}
    if (chosen := names(methods.names)) is not None:
        if not chosen:
            raise RecipeError("--methods names no method; leave it out for the whole ladder")
        known = {name: known.get(name, {}) for name in chosen}
    values["methods"] = _with_options(known, methods)
    if methods.encoder not in (None, ADAPTED) and "adapt" in values:
        values["adapt"] = {**_table(values, "adapt"), "encoder": methods.encoder}
    for section, assignments in assigned(settings).items():
        _assign(values, section, assignments)
    return values


def read_data(source: str, given: Mapping[str, Any], settings: list[str] | None = None) -> Dataset:
    """Read data as the options and assignments `data.NAME=VALUE` say.

    Raises:
        RecipeError: an assignment is not one.
        DataError: the data cannot be read; see `finetext.read`.
    """
    from finetext.data.read import read

    return read(source, settings=read_settings(given, settings))


def read_settings(given: Mapping[str, Any], settings: list[str] | None = None) -> ReadSettings:
    """Return how to read data, by the options and assignments `data.NAME=VALUE`.

    Raises:
        RecipeError: an assignment is not one.
    """
    return made("[data]", ReadSettings, data_settings(given, settings))


def data_settings(given: Mapping[str, Any], settings: list[str] | None = None) -> dict[str, Any]:
    """Return the given settings of reading by name; raises as `read_settings`."""
    values = dict(given)
    for section, assignments in assigned(settings).items():
        if section != "data":
            raise RecipeError("--set: only data.NAME=VALUE can be set here")
        values |= assignments
    return values


def recipe_of_run(folder: Path | None, is_needed: bool) -> Path | None:
    """The recipe of the run to go on with; None without a folder or a run in it.

    Args:
        folder: the run folder that was asked for.
        is_needed: whether a run must be there, since no data are named to start one.

    Raises:
        RunError: the folder holds no run, but must.
    """
    if folder is not None and is_started(folder):
        return folder / "recipe.toml"
    if folder is not None and is_needed:
        raise RunError(f"{folder} holds no run to go on with; name the data to start one")
    return None


def names(text: str | None) -> list[str] | None:
    """What commas join, or None if it was left out."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def size(text: str | None) -> int | float | None:
    """A share such as 0.2 or a count such as 500.

    Raises:
        RecipeError: it is neither.
    """
    if text is None:
        return None
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        raise RecipeError(f"{text!r} is neither a share such as 0.2 nor a count of rows") from None


def assigned(settings: list[str] | None) -> dict[str, dict[str, Any]]:
    """Assignments `SECTION.NAME=VALUE` by section; values are read as TOML, else as text.

    The settings in no section, such as `seed=1`, are in the section "".

    Raises:
        RecipeError: one is not of that form.
    """
    values: dict[str, dict[str, Any]] = {}
    for assignment in settings or []:
        key, equals, text = assignment.partition("=")
        section, dot, name = key.strip().rpartition(".")
        is_whole = section if dot else name in TOP
        if not (equals and is_whole and name):
            raise RecipeError(f"--set {assignment}: write SECTION.NAME=VALUE, as finetune.epochs=3")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        values.setdefault(section, {})[name] = value
    return values


def _source(given: Mapping[str, str | None], of_recipe: Any) -> Any:
    """What to train on: what the recipe names, with the parts that were given put over it.

    Raises:
        RecipeError: neither names any data, or a run folder is named.
    """
    parts = {split: path for split, path in given.items() if path}
    if "train" not in parts and isinstance(of_recipe, Mapping):
        parts = {**of_recipe, **parts}
    elif "train" not in parts and of_recipe is not None:
        parts = {"train": of_recipe, **parts}
    for path in filter(None, given.values()):
        if os.path.isdir(path) and is_started(Path(path)):
            raise RecipeError(
                f"{path} is the folder of a run, which is no data; for the data and settings of "
                f"that run write --recipe {shlex.quote(str(Path(path) / 'recipe.toml'))} in its "
                "place"
            )
    if "train" not in parts:
        raise RecipeError("name the data to train on, or a recipe with --recipe; see --help")
    return parts if len(parts) > 1 else parts["train"]


def _assign(values: dict[str, Any], section: str, assignments: Mapping[str, Any]) -> None:
    if not section:
        values |= assignments
        return
    if section in SECTIONS[:-1]:
        values[section] = {**_table(values, section), **assignments}
        return
    name = section.removeprefix("methods.")
    if name not in values["methods"]:
        known = [*SECTIONS[:-1], *values["methods"]]
        raise UnknownNameError("section in this run", name, known)
    values["methods"][name] |= assignments


def _with_options(known: Mapping[str, Any], options: MethodOptions) -> dict[str, Any]:
    """The rungs, each with those of the given hyperparameters that it has.

    Raises:
        RecipeError: none of them has one that was given.
        UnknownNameError: there is no such method.
    """
    given, used, values = options.given(), set(), {}
    for name, of in known.items():
        kind = of.get("method", name) if isinstance(of, Mapping) else name
        fields = {f.name for f in dataclasses.fields(registry.load("methods", str(kind)))}
        own = {key: value for key, value in given.items() if key in fields}
        if "encoder" in own and isinstance(of, Mapping) and of.get("encoder") == ADAPTED:
            own["encoder"] = ADAPTED
        values[name] = {**of, **own} if isinstance(of, Mapping) else of
        used |= set(own)
    if idle := [f"--{key.replace('_', '-')}" for key in given if key not in used]:
        raise RecipeError(f"{idle[0]} concerns none of the methods: {', '.join(known)}")
    return values


def _lay_over(values: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Put what was given over the values of a recipe, section by section."""
    for key, value in given.items():
        if isinstance(value, Mapping):
            there = {name: of for name, of in value.items() if of is not None}
            values[key] = {**_table(values, key), **there}
        elif value is not None:
            values[key] = value


def _table(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A section of a recipe, an empty one if it is missing.

    Raises:
        RecipeError: it is something else than a section.
    """
    section = values.get(name, {})
    if not isinstance(section, dict):
        raise RecipeError(f"{name} in the recipe must be a table, not {section!r}")
    return section
