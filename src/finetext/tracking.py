"""Trackers, which show the scalars of training while it goes on, through accelerate."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Final

from finetext.errors import MissingExtraError, RecipeError, UnknownNameError

TRACKERS: Final = (
    "tensorboard", "wandb", "trackio", "comet_ml", "aim", "mlflow", "clearml", "dvclive",
    "swanlab",
)  # fmt: skip
"""The trackers that accelerate knows, each the name of the module that it needs."""


def check_names(trackers: Iterable[str]) -> None:
    """Refuse a tracker that is not known.

    Raises:
        UnknownNameError: the message has those that are.
    """
    for name in trackers:
        if name not in TRACKERS:
            raise UnknownNameError("tracker", name, TRACKERS)


def check_installed(trackers: Iterable[str]) -> None:
    """Refuse a tracker whose package is missing, before any work is done.

    Raises:
        MissingExtraError: it is one that an extra brings.
        RecipeError: it is another.
    """
    for name in trackers:
        if find_spec(name) is not None:
            continue
        if name == "tensorboard":
            raise MissingExtraError("tracking with TensorBoard", name, "tensorboard")
        raise RecipeError(
            f"tracking with {name} needs its package, which is not installed; "
            f"run: pip install {name.replace('_', '-')}"
        )
