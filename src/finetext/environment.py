"""The machine and the versions a run was made with, and the places it uses."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from finetext.recipe import Recipe

PACKAGES: Final = (
    "finetext", "torch", "transformers", "tokenizers", "accelerate", "datasets", "scikit-learn",
    "numpy", "scipy",
)  # fmt: skip


def describe_environment(recipe: Recipe) -> dict[str, Any]:
    """Versions, processor, number of cores, what the arithmetic is done on, and seed."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        **_arithmetic(recipe),
        "seed": recipe.seed,
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _arithmetic(recipe: Recipe) -> dict[str, Any]:
    """The device that is used and the threads; how a rung was trained says its model folder.

    Without a rung that has an encoder all is done on the processor, and torch is not loaded.
    """
    if not any(hasattr(method, "encoder") for method in recipe.methods.values()):
        return {"device": "cpu"}
    import torch

    from finetext.training.precision import choose_device

    return {"device": str(choose_device(recipe.device)), "threads": torch.get_num_threads()}


def processor_name() -> str:
    """What the maker calls the processor, or the kind of machine if that is not known."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names or [platform.processor()])[0] or platform.machine()


def cache_folder() -> Path:
    """Where encoder states are kept: FINETEXT_CACHE, or `finetext` in the user's cache folder."""
    if folder := os.environ.get("FINETEXT_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetext"


def absolute(source: str) -> str:
    """A path made absolute if it exists, anything else (address, sample, Hub name) as it is."""
    try:
        path = Path(source)
        return str(path.absolute()) if path.exists() else source
    except OSError:
        return source


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
