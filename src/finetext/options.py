"""The options that commands share, and how they become a recipe."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from finetext import registry
from finetext.data.samples import sample_recipe
from finetext.errors import RecipeError, nearest
from finetext.methods.base import Classifier
from finetext.recipe import LADDER, Recipe, read_toml
from finetext.types import Dataset

Data = Annotated[str, typer.Argument(help="File, folder, archive, URL, hub:NAME or sample.")]
OptionalData = Annotated[
    str | None, typer.Argument(help="File, folder, archive, URL, hub:NAME or sample.")
]
Model = Annotated[Path, typer.Argument(help="A model folder, or a run folder for its best model.")]
Text = Annotated[str | None, typer.Option(help="Column of the texts; found by default.")]
Label = Annotated[
    str | None, typer.Option(help="Column of the labels; 0/1 columns joined by commas.")
]
Group = Annotated[str | None, typer.Option(help="Column of groups never to be split up.")]
RowId = Annotated[str | None, typer.Option("--id", help="Column of unique row names.")]
LabelNames = Annotated[str | None, typer.Option(help="File with the names of label ids.")]
DropUnlabelled = Annotated[
    bool, typer.Option("--drop-unlabelled", help="Leave rows without a label out.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting of a recipe: data.delimiter=';' finetune.patience=2"),
]
Seed = Annotated[int | None, typer.Option(help="Seed of every random choice; 0 by default.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:NUMBER or mps.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show the result only.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
TrainSize = Annotated[str | None, typer.Option(help="Rows of train: share or count.")]
ValidationSize = Annotated[str | None, typer.Option(help="Rows of validation; 0.15 by default.")]
TestSize = Annotated[str | None, typer.Option(help="Rows of test; 0.15 by default.")]


@dataclass(frozen=True)
class MethodOptions:
    """The options of `train` that concern methods.

    Attributes:
        names: rungs joined by commas, or None for those of the recipe or the whole ladder.
        encoder: for every rung that has one.
        max_length: for every rung that has one.
        epochs: for every rung that has some.
    """

    names: str | None = None
    encoder: str | None = None
    max_length: int | None = None
    epochs: int | None = None

    def given(self) -> dict[str, Any]:
        """The hyperparameters that were given."""
        values = {"encoder": self.encoder, "max_length": self.max_length, "epochs": self.epochs}
        return {name: value for name, value in values.items() if value is not None}


def recipe_values(
    recipe: Path | None,
    given: Mapping[str, Any],
    methods: MethodOptions,
    settings: list[str] | None,
) -> dict[str, Any]:
    """A recipe file, or that of a sample, with what the command line says put over it.

    Args:
        recipe: TOML file, or None.
        given: values by section in the form of a recipe; None where an option was left out.
        methods: the options that concern methods.
        settings: assignments `SECTION.NAME=VALUE`, where a section may also be a rung.

    Raises:
        RecipeError: no data are named, or an assignment is not one.
        UnknownNameError: there is no such method.
    """
    values: dict[str, Any] = {} if recipe is None else read_toml(recipe)
    source = given["data"]["source"] or values.get("data", {}).get("source")
    if source is None:
        raise RecipeError("name the data to train on, or a recipe with --recipe; see --help")
    if recipe is None and isinstance(source, str):
        values = sample_recipe(source)
    elif given["data"]["source"] is not None:
        values.get("data", {}).pop("content_hash", None)
    _lay_over(values, given)
    known = values.get("methods") or {name: {} for name in LADDER}
    if methods.names:
        names = [name.strip() for name in methods.names.split(",") if name.strip()]
        known = {name: known.get(name, {}) for name in names}
    values["methods"] = {
        name: dict(of) | _applicable(name, of, methods) for name, of in known.items()
    }
    for section, assignments in assigned(settings).items():
        _assign(values, section, assignments)
    return values


def read_data(
    source: str, given: Mapping[str, Any], settings: list[str] | None, labelled: bool = True
) -> Dataset:
    """Read data as the options and assignments `data.NAME=VALUE` say."""
    from finetext.data.read import read

    values = {name: value for name, value in given.items() if value is not None}
    for section, assignments in assigned(settings).items():
        if section != "data":
            raise RecipeError(f"--set {section}: only data.NAME=VALUE can be set here")
        values |= assignments
    recipe = Recipe.from_values(
        {"data": {"labelled": labelled} | values, "methods": {"majority": {}}}
    )
    return read(source, settings=recipe.read)


def open_model(folder: Path, device: str | None) -> Classifier:
    """The classifier in a model folder, or the best one of a run folder."""
    from finetext.run import Run

    if (folder / "leaderboard.json").is_file():
        return Run.open(folder).classifier(device=device or "auto")
    return Classifier.load(folder, device or "auto")


def columns(names: str | None) -> str | tuple[str, ...] | None:
    """One column name, or several joined by commas."""
    if names is None or "," not in names:
        return names
    return tuple(name.strip() for name in names.split(","))


def size(text: str | None) -> int | float | None:
    """A share such as 0.2 or a count such as 500.

    Raises:
        RecipeError: it is neither.
    """
    if text is None:
        return None
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise RecipeError(f"{text!r} is neither a share such as 0.2 nor a count of rows") from None


def assigned(settings: list[str] | None) -> dict[str, dict[str, Any]]:
    """Assignments `SECTION.NAME=VALUE` by section; values are read as TOML, else as text.

    Raises:
        RecipeError: one is not of that form.
    """
    values: dict[str, dict[str, Any]] = {}
    for assignment in settings or []:
        key, equals, text = assignment.partition("=")
        section, dot, name = key.rpartition(".")
        if not (equals and dot and section and name):
            raise RecipeError(f"--set {assignment}: write SECTION.NAME=VALUE, as finetune.epochs=3")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        values.setdefault(section, {})[name] = value
    return values


def _assign(values: dict[str, Any], section: str, assignments: Mapping[str, Any]) -> None:
    if section in ("data", "split"):
        values[section] = {**values.get(section, {}), **assignments}
        return
    name = section.removeprefix("methods.")
    if name not in values["methods"]:
        known = ["data", "split", *values["methods"]]
        raise RecipeError(f"--set {section}: this run has no such section{nearest(name, known)}")
    values["methods"][name] |= assignments


def _applicable(name: str, values: Mapping[str, Any], options: MethodOptions) -> dict[str, Any]:
    """Those of the given hyperparameters that the method has."""
    method = registry.load("methods", values.get("method", name))
    fields = {field.name for field in dataclasses.fields(method)}
    return {key: value for key, value in options.given().items() if key in fields}


def _lay_over(values: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Put what was given over the values of a recipe, section by section."""
    for key, value in given.items():
        if isinstance(value, Mapping):
            there = {name: of for name, of in value.items() if of is not None}
            values[key] = {**values.get(key, {}), **there}
        elif value is not None:
            values[key] = value
