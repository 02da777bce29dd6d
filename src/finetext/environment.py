"""The machine and the versions a run was made with, and the places it uses."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from finetext.recipe import Recipe

PACKAGES: Final = (
    "finetext", "torch", "transformers", "tokenizers", "accelerate", "datasets", "scikit-learn",
    "numpy", "scipy",
)  # fmt: skip
POWER_LIMITS: Final = Path("/sys/class/powercap")
_LONG_TERM: Final = "constraint_0_power_limit_uw"


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


def stated_watts(device: str) -> float | None:
    """The power that a device says it draws at most over long, in watts; None if it does not say.

    Of processors Linux tells the limit of each package (RAPL), of NVIDIA's cards `nvidia-smi`.

    Args:
        device: "cpu", "cuda" or "cuda:NUMBER"; of others nothing is known.
    """
    if device == "cpu":
        packages = (p for p in POWER_LIMITS.glob("intel-rapl:*") if p.name.count(":") == 1)
        limits = [_number_in(package / _LONG_TERM) for package in packages]
        known = [limit for limit in limits if limit]
        return sum(known) / 1e6 if known and len(known) == len(limits) else None
    if not device.startswith("cuda") or (program := shutil.which("nvidia-smi")) is None:
        return None
    asked = [program, "--query-gpu=power.limit", "--format=csv,noheader,nounits"]
    try:
        number = device.partition(":")[2] or "0"
        said = subprocess.run([*asked, f"--id={number}"], capture_output=True, timeout=10)
        return float(said.stdout.splitlines()[0]) or None
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None


def _number_in(path: Path) -> float | None:
    try:
        return float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


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
