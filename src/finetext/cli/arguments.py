"""Options of the command line as a recipe, a data set or a model."""

from __future__ import annotations

import csv
import dataclasses
import os
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from finetext.cli import options
from finetext.cli.options import Reading, Training
from finetext.core import registry
from finetext.core.budget import toml_values
from finetext.core.errors import RecipeError, UnknownNameError, UnlabeledError
from finetext.core.settings import ReadSettings, made
from finetext.core.types import Dataset, LabelScheme, SplitName
from finetext.evaluation.deciding import FALSE_ALARMS
from finetext.runs.recipe import ADAPTED, LADDER, SECTIONS, TOP, Recipe, read_toml
from finetext.storage.locks import is_started

if TYPE_CHECKING:
    from finetext.core.console import Screen
    from finetext.methods.llm import Llm


LLM: Final = "llm"
"""The method that an option adds."""


@dataclass(frozen=True)
class MethodOptions:
    """The options on methods; each goes to every method that has such a hyperparameter."""

    names: str | None = None
    encoder: str | None = None
    max_length: int | None = None
    epochs: int | None = None
    precision: str | None = None
    of_llm: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def given(self) -> dict[str, Any]:
        """Return the hyperparameters that were given for all methods."""
        own = ("names", "of_llm")
        return {name: of for name, of in options.given(self).items() if name not in own}


def asked_recipe(
    data: str | None,
    chosen: Training,
    methods: MethodOptions,
    recipe: Path | None = None,
    **given: Any,
) -> Recipe:
    """Return the recipe that the options of a command describe."""
    parts = {"train": data, "validation": chosen.validation, "test": chosen.test}
    values = {
        "data": {
            "source": parts,
            "positive": getattr(chosen, "positive", None),
            "out_of_scope": getattr(chosen, "out_of_scope_label", None),
        }
        | chosen.given(),
        "split": {name: size(getattr(chosen, f"{name}_size", None)) for name in parts}
        | {
            "keep_duplicates": getattr(chosen, "keep_duplicates", False) or None,
            "cross_validate": getattr(chosen, "is_cross_validated", None),
        },
        "seed": chosen.seed,
        "device": chosen.device,
    }
    of_llm = getattr(chosen, "of_llm", None) or {}
    methods = replace(methods, encoder=chosen.encoder, max_length=chosen.max_length, of_llm=of_llm)
    asked = Recipe.from_values(
        recipe_values(recipe or chosen.recipe, values | given, methods, chosen.settings)
    )
    if getattr(chosen, "out_of_scope", False) and asked.decide.out_of_scope is None:
        asked = replace(asked, decide=replace(asked.decide, out_of_scope=FALSE_ALARMS))
    return asked


def recipe_values(
    recipe: Path | None,
    given: Mapping[str, Any],
    methods: MethodOptions,
    settings: list[str] | None,
) -> dict[str, Any]:
    """Return the values of a recipe file, overridden by the command line."""
    values = {} if recipe is None else read_toml(recipe)
    source = _source(given["data"]["source"], _table(values, "data").get("source"))
    if any(given["data"]["source"].values()):
        _table(values, "data").pop("content_hash", None)
        values.pop("weak", None)
    for key, value in {**given, "data": {**given["data"], "source": source}}.items():
        if isinstance(value, Mapping):
            there = {name: of for name, of in value.items() if of is not None}
            values[key] = _table(values, key) | there
        elif value is not None:
            values[key] = value
    listed = _table(values, "methods")
    values.setdefault("by_rows", methods.names is None and not listed)
    known = listed or {name: {} for name in LADDER}
    if (chosen := names(methods.names)) is not None:
        if not chosen:
            raise RecipeError("--methods names no method; leave it out to fit all of them")
        known = {name: known.get(name, {}) for name in chosen}
    if methods.of_llm:
        known = {**known, LLM: {**known.get(LLM, {}), **methods.of_llm}}
    values["methods"] = _with_options(known, methods)
    if methods.encoder not in (None, ADAPTED) and "adapt" in values:
        values["adapt"] = _table(values, "adapt") | {"encoder": methods.encoder}
    for section, assignments in assigned(settings).items():
        method = section.removeprefix("methods.")
        if not section:
            values |= assignments
        elif section in SECTIONS[:-1]:
            values[section] = _table(values, section) | assignments
        elif method in values["methods"]:
            values["methods"][method] |= assignments
        else:
            known_sections = [*SECTIONS[:-1], *values["methods"]]
            raise UnknownNameError("section in this run", method, known_sections)
    return values


def descriptions(labels: str | None, path: Path | None) -> dict[str, tuple[str, ...]]:
    """Return the labels of a zero-shot classifier, each with its descriptions, if any.

    Raises a RecipeError if there are none, or the file of descriptions is no table of texts.
    """
    named = _label_names(labels)
    if twice := [label for label in named if named.count(label) > 1]:
        raise RecipeError(f"--labels names {twice[0]!r} twice")
    given: dict[str, tuple[str, ...]] = dict.fromkeys(named, ())
    if path is None:
        if not given:
            raise RecipeError("name the labels: --labels sports,politics or --describe FILE")
        return given
    try:
        found = toml_values(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise RecipeError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path} cannot be read: {error}") from None
    if not found:
        raise RecipeError(f'{path} describes no label; write lines such as sports = "a match"')
    for label, said in found.items():
        several = [said] if isinstance(said, str) else said
        if not isinstance(several, list) or not all(isinstance(one, str) for one in several):
            raise RecipeError(
                f"{path}: {label} needs a text or a list of texts, as in {label} = "
                '"what its texts are about"; a name with a dot goes in quotes'
            )
        if given and label not in given:
            raise RecipeError(f"{path} describes {label!r}, which --labels lacks")
        found[label] = tuple(one for one in several if one.strip())
    return given | found


def _label_names(text: str | None) -> list[str]:
    """Return names as a line of CSV has them, so that one in double quotes may have commas."""
    try:
        rows = list(csv.reader([text or ""], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise RecipeError(f"--labels {text}: {error}; write it as a line of CSV") from None
    found = [name.strip() for name in rows[0]]
    if "" in found and text:
        raise RecipeError(f"--labels {text}: a name between commas is empty")
    return found


def llm(given: Mapping[str, Any]) -> Llm | None:
    """Return the language model that options name; None without any."""
    from finetext.methods.llm import Llm

    return made("--llm", Llm, given) if given else None


def read_with_or_without_labels(
    source: str, reading: Reading, settings: list[str] | None, scheme: LabelScheme | None = None
) -> Dataset:
    """Read data with their labels, those of a scheme if given; or as unlabeled text if without."""
    from finetext.data.read import read

    try:
        return read(source, settings=settings_for(scheme, reading, settings))
    except UnlabeledError:
        if reading.label is not None:
            raise
        unlabeled = replace(settings_for(scheme, reading, settings), labelled=False)
        return read(source, settings=replace(unlabeled, classes=None, multilabel=None))


def settings_for(
    scheme: LabelScheme | None, reading: Reading, settings: list[str] | None
) -> ReadSettings:
    """Return how to read data, with the labels and the text columns of a model, unless given."""
    if scheme is None:
        return read_settings(reading.given(), settings)
    known = {"classes": scheme.names, "multilabel": scheme.multilabel}
    return read_settings(known | reading.given(), settings).with_texts_of(scheme)


def read_settings(given: Mapping[str, Any], settings: list[str] | None = None) -> ReadSettings:
    """Return how to read data, by the options and assignments `data.NAME=VALUE`."""
    return made("[data]", ReadSettings, data_settings(given, settings))


def data_settings(given: Mapping[str, Any], settings: list[str] | None = None) -> dict[str, Any]:
    """Return the given settings of reading by name."""
    values = dict(given)
    for section, assignments in assigned(settings).items():
        if section != "data":
            raise RecipeError("--set: only data.NAME=VALUE can be set here")
        values |= assignments
    return values


def split_name(part: str, known: Sequence[str] = ("validation", "test")) -> SplitName:
    """Return the split that an option names; raise a `RecipeError` for others."""
    if part not in known:
        *others, last = known
        raise RecipeError(f"--split {part}: it must be {', '.join(others)} or {last}")
    return cast("SplitName", part)


def count_access(run: Path | None, part: str, by: str, screen: Screen) -> int | None:
    """Count an access to the test rows of a run; return the number of accesses so far."""
    from finetext.runs.accesses import accesses_in_words, has_test_rows, record_access

    if run is None or part != "test" or not has_test_rows(run):
        return None
    accesses = record_access(run, by)
    screen.say(accesses_in_words(run, accesses))
    return accesses


def run_folder_at(path: str | None) -> Path | None:
    """Return the run folder at the path, or None if there is none."""
    return Path(path) if path and os.path.isdir(path) and is_started(Path(path)) else None


def names(text: str | None) -> list[str] | None:
    """Return the names that commas join, or None if there is no text."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def row_counts(name: str, text: str | None) -> tuple[int, ...] | None:
    """Return numbers of rows joined by commas, as the option `name` gives them."""
    counts = names(text)
    if wrong := [count for count in counts or () if not count.isdecimal()]:
        raise RecipeError(f"{name} {text}: {wrong[0]!r} is not a number of rows; write 100,200,400")
    return None if counts is None else tuple(map(int, counts))


def size(text: str | None) -> int | float | None:
    """Return a share such as 0.2 or a count such as 500; raise a `RecipeError` for others."""
    if text is None:
        return None
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        raise RecipeError(f"{text!r} is neither a share such as 0.2 nor a count of rows") from None


def assigned(settings: list[str] | None) -> dict[str, dict[str, Any]]:
    """Return assignments `SECTION.NAME=VALUE` by section, with values read as TOML, else as text.

    Keys outside the sections, such as `seed=1`, are in the section "".

    Raises:
        RecipeError: one has another form.
    """
    values: dict[str, dict[str, Any]] = {}
    for assignment in settings or []:
        key, equals, text = assignment.partition("=")
        section, dot, name = key.strip().rpartition(".")
        is_whole = section if dot else name in TOP
        if not (equals and is_whole and name):
            raise RecipeError(
                f"--set {assignment}: write SECTION.NAME=VALUE, as finetune.epochs=3 or "
                "pretrain.layers=4"
            )
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        values.setdefault(section, {})[name] = value
    return values


def _source(given: Mapping[str, str | None], of_recipe: Any) -> Any:
    """Return the source of the recipe, overridden by the parts that were given."""
    parts = {split: path for split, path in given.items() if path}
    if "train" not in parts and isinstance(of_recipe, Mapping):
        parts = {**of_recipe, **parts}
    elif "train" not in parts and of_recipe is not None:
        parts = {"train": of_recipe, **parts}
    for run in filter(None, map(run_folder_at, given.values())):
        raise RecipeError(
            f"{run} is a run folder, not data; to use the data and settings of that run, write "
            f"--recipe {shlex.quote(str(run / 'recipe.toml'))} instead"
        )
    if "train" not in parts:
        raise RecipeError("name the data to train on, or a recipe with --recipe; see --help")
    return parts if len(parts) > 1 else parts["train"]


def _with_options(known: Mapping[str, Any], methods: MethodOptions) -> dict[str, Any]:
    """Return the methods, each with those of the given hyperparameters that it has."""
    given, used, values = methods.given(), set(), {}
    for name, of in known.items():
        if not isinstance(of, Mapping):
            values[name] = of
            continue
        kind = registry.load("methods", str(of.get("method", name)))
        fields = {field.name for field in dataclasses.fields(kind)}
        own = {key: value for key, value in given.items() if key in fields}
        if "encoder" in own and of.get("encoder") == ADAPTED:
            own["encoder"] = ADAPTED
        values[name] = {**of, **own}
        used |= set(own)
    if idle := [f"--{key.replace('_', '-')}" for key in given if key not in used]:
        raise RecipeError(f"{idle[0]} applies to none of the methods: {', '.join(known)}")
    return values


def _table(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a section of a recipe, empty if it is missing."""
    section = values.get(name, {})
    if not isinstance(section, dict):
        raise RecipeError(f"{name} in the recipe must be a table, not {section!r}")
    return section
