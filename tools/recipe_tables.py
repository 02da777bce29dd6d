"""Tables of all keys of a recipe, from the dataclasses that check it: for docs/reference/recipe.md.

The description of a key is what the docstring of its dataclass says of it below `Attributes:`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from inspect import cleandoc
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Interval, Le, Lt

from finetext.core import registry
from finetext.core.settings import ReadSettings, SplitSettings
from finetext.data.weak_labels import WeakLabels
from finetext.evaluation.deciding import Deciding
from finetext.pretraining.adapt import Adaptation
from finetext.runs.recipe import SECTIONS, TOP, Adapting, Recipe
from finetext.training.plan import Stage

NAMES: Final = {bool: "boolean", int: "integer", float: "float", str: "string", Path: "string"}
UNITS: Final = {
    "seeds": "fits",
    "jobs": "processes",
    "minutes": "minutes",
    "checkpoint_steps": "steps",
    "evaluate_every": "steps",
    "patience": "evaluations",
    "epochs": "passes",
    "stage_epochs": "passes",
    "batch_size": "rows",
    "max_length": "tokens",
    "context_length": "tokens",
    "longest_ngram": "words",
    "minimum_documents": "texts",
    "most_features": "n-grams",
    "prior_rows": "rows",
    "longest": "characters",
    "budget": "tokens",
    "train": "rows or share",
    "validation": "rows or share",
    "test": "rows or share",
}
"""Units of keys whose name does not end with one."""
ENDINGS: Final = {"_seconds": "seconds", "seconds": "seconds", "_bytes": "bytes", "_share": "share"}
OWN: Final = {
    "source": (
        "string or table",
        "What to read: a path, an address, `hub:NAME` or a sample; as a table, one for each of "
        "`train`, `validation` and `test`.",
    ),
    "data_hash": ("string", "Hash of the data of an earlier run; a change is reported."),
    "corpus": (
        "string or array of strings",
        "The texts to adapt to; without it those of the training rows.",
    ),
    "corpus_hash": ("string", "Hash of the corpus of an earlier run; a change is reported."),
    "method": (
        "string",
        "The method, where the table has a name of your choice: `[methods.with-bert]`.",
    ),
}
"""Keys that recipes have beside the fields of a dataclass: type and description."""


def described(kind: type) -> dict[str, str]:
    """Return what the docstring of a dataclass says of each field."""
    text = cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    for line in text.splitlines():
        if start := re.match(r" {4}(\w+): (.*)", line):
            name, found[start[1]] = start[1], start[2]
        elif re.match(r" {8}", line):
            found[name] += f" {line.strip()}"
        elif line.strip():
            break
    return found


def type_name(hint: Any) -> str:
    """Return a type in the words of TOML, with its range."""
    origin, of = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return type_name(of[0]) + "".join(bounds(of[1:]))
    if origin is Literal:
        return " or ".join(f'`"{one}"`' for one in of)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(type_name(one) for one in of if one is not NoneType))
    if origin is not None and issubclass(origin, Mapping):
        return "table"
    if origin is not None and issubclass(origin, Sequence):
        inner = " or ".join(dict.fromkeys(type_name(one) for one in of if one is not Ellipsis))
        return f"array of {inner}"
    if dataclasses.is_dataclass(hint):
        return "table"
    return NAMES[hint]


def bounds(marks: Sequence[Any]) -> Iterator[str]:
    """Yield the range that annotations of a type state."""
    for mark in marks:
        signs = {"gt": "above", "ge": "from", "lt": "below", "le": "up to"}
        if isinstance(mark, Gt | Ge | Lt | Le | Interval):
            values = {sign: getattr(mark, sign, None) for sign in signs}
            said = [
                f"{signs[sign]} {value:g}"
                for sign, value in values.items()
                if value is not None and value != float("inf")
            ]
            yield f", {' and '.join(said)}" if said else ""


def default(field: dataclasses.Field[Any]) -> str:
    """Return the default of a field as TOML; nothing where the key is left out."""
    value = field.default
    if value is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
        return "required"
    if value is dataclasses.MISSING or value is None or value == ():
        return ""
    return f"`{toml(value)}`"


def toml(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value) if isinstance(value, str) else f"{value}"


def unit(name: str) -> str:
    """Return the unit of a key."""
    endings = (of for ending, of in ENDINGS.items() if name.endswith(ending))
    return UNITS.get(name) or next(endings, "")


def row(name: str, kind: str, of: str, text: str) -> str:
    """Return a line of a table; a bar within a cell is escaped."""
    text = text[:1].upper() + text[1:]
    cells = (f"`{name}`", kind, unit(name), of, text if text.endswith(".") else f"{text}.")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def rows(kind: Any, names: Sequence[str] | None = None) -> list[str]:
    """Return the lines of the table of a dataclass.

    Raises:
        ValueError: the docstring does not describe a field.
    """
    hints, texts = get_type_hints(kind, include_extras=True), described(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    found = []
    for name in names or fields:
        if name not in texts:
            raise ValueError(f"the docstring of {kind.__name__} does not describe {name}")
        found.append(row(name, type_name(hints[name]), default(fields[name]), texts[name]))
    return found


def own(*keys: str) -> list[str]:
    """Return the lines of keys that are no fields of a dataclass."""
    return [row(re.sub(r"^\w+_hash$", "content_hash", key), OWN[key][0], "", OWN[key][1])
            for key in keys]  # fmt: skip


def table(title: str, intro: str, lines: Sequence[str]) -> str:
    """Return a part of the page."""
    head = "| key | type | unit | default | what it is |\n|---|---|---|---|---|"
    body = "\n".join([head, *lines]) if lines else "No keys."
    return f"## {title}\n\n{intro}\n\n{body}\n" if intro else f"## {title}\n\n{body}\n"


def first_line(kind: type) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join((kind.__doc__ or "").partition("\n\n")[0].split())


def recipe_tables() -> str:
    """Return the tables of a recipe: the keys outside tables, the sections, each method."""
    assert set(SECTIONS) == {"data", "split", "decide", "adapt", "weak", "methods"}
    parts = [
        table("Outside the tables", "These stand before the first table.", rows(Recipe, TOP)),
        table("[data]", "Where the data are, and how to read them.",
              own("source", "data_hash") + rows(ReadSettings)),
        table("[split]", "How rows are divided.", rows(SplitSettings)),
        table("[decide]", "How probabilities become labels.", rows(Deciding)),
        table("[adapt]", "First adapt an encoder to unlabeled text; methods take it as "
              '`encoder = "adapted"`.', own("corpus", "corpus_hash") + rows(Adaptation)),
        table("[weak]", "Where weak labels are from; `finetext distill` writes it.",
              rows(WeakLabels)),
    ]  # fmt: skip
    assert {field.name for field in dataclasses.fields(Adapting)} == {
        "settings", "corpus", "content_hash",
    }  # fmt: skip
    for name in registry.names("methods"):
        kind = registry.load("methods", name)
        if kind.__module__.startswith("finetext."):
            parts.append(table(f"[methods.{name}]", first_line(kind), own("method") + rows(kind)))
    stages = "A stage of fine-tuning by hand; the tables are trained in their order."
    parts.append(table("[[methods.finetune.stages]]", stages, rows(Stage)))
    return "\n".join(parts)
