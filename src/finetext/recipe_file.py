"""Reading a recipe from a TOML file."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from finetext.errors import RecipeError


def read_toml(path: str | Path) -> dict[str, Any]:
    """The values in a TOML file; a source that lies beside it is made an absolute path.

    Raises:
        RecipeError: it is missing, or is not TOML.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"there is no recipe {path}") from None
    except (OSError, ValueError) as error:
        raise RecipeError(f"the recipe {path} cannot be read: {error}") from None
    for section, name in (("data", "source"), ("adapt", "corpus"), ("decide", "costs")):
        table = values.get(section)
        if isinstance(table, dict) and name in table:
            table[name] = _found_beside(Path(path).absolute().parent, table[name])
    return values


def _found_beside(folder: Path, source: Any) -> Any:
    """A source, or several, with the absolute path of what lies in the folder."""
    if isinstance(source, dict):
        return {split: _found_beside(folder, of) for split, of in source.items()}
    if isinstance(source, list):
        return [_found_beside(folder, of) for of in source]
    if isinstance(source, str) and source and os.path.exists(folder / source):
        return str(folder / source)
    return source
