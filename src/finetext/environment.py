"""The machine and the versions a run was made with, and the places it uses."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = (
    "finetext", "torch", "transformers", "tokenizers", "accelerate", "datasets", "scikit-learn",
    "numpy", "scipy",
)  # fmt: skip


def describe_environment(seed: int, device: str) -> dict[str, Any]:
    """Versions, processor, number of cores, device and seed."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "device": device,
        "seed": seed,
        "packages": {name: _version(name) for name in PACKAGES},
    }


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
