"""Facts of the machine, and the folders that finetext uses."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from finetext.core.errors import FinetextError

POWER_LIMITS: Final = Path("/sys/class/powercap")
_LONG_TERM: Final = "constraint_0_power_limit_uw"


def processor_name() -> str:
    """Return the model name of the processor, or the machine type if unknown."""
    return _stated("model name") or _named_by_system() or platform.processor() or platform.machine()


def processor_flags() -> frozenset[str]:
    """Return the names in Linux of the extensions of an x86 processor; empty if unknown."""
    return frozenset(_stated("flags").split())


def _named_by_system() -> str:
    """Return what macOS or Windows calls the processor, or ""."""
    with suppress(OSError, subprocess.SubprocessError, UnicodeDecodeError):
        if sys.platform == "darwin":
            asked = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(asked, capture_output=True, timeout=10).stdout.decode().strip()
        if sys.platform == "win32":
            import winreg

            place = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
                return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    return ""


def _stated(name: str) -> str:
    """Return what Linux states of its first processor, or ""."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def stated_watts(device: str) -> float | None:
    """Return the long-term power limit of "cpu", "cuda" or "cuda:NUMBER" in watts; None if unknown.

    Read from Linux for processors (RAPL), from `nvidia-smi` for NVIDIA GPUs.
    """
    if device == "cpu":
        packages = [p for p in POWER_LIMITS.glob("intel-rapl:*") if p.name.count(":") == 1]
        try:
            limits = [float((package / _LONG_TERM).read_text("ascii")) for package in packages]
        except (OSError, ValueError):
            return None
        return sum(limits) / 1e6 if limits and all(limits) else None
    if not device.startswith("cuda") or (program := shutil.which("nvidia-smi")) is None:
        return None
    asked = [program, "--query-gpu=power.limit", "--format=csv,noheader,nounits"]
    try:
        number = device.partition(":")[2] or "0"
        said = subprocess.run([*asked, f"--id={number}"], capture_output=True, timeout=10)
        return float(said.stdout.splitlines()[0]) or None
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None


def cache_folder() -> Path:
    """Return the cache: FINETEXT_CACHE, or `finetext` in the user's cache folder.

    Raises:
        FinetextError: the user has no home folder, as in some containers.
    """
    if folder := os.environ.get("FINETEXT_CACHE"):
        return Path(folder)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetext"
    except RuntimeError:
        raise FinetextError(
            "the user of this process has no home folder for the cache; set FINETEXT_CACHE to a "
            "folder"
        ) from None


def absolute(source: str) -> str:
    """Return a path that exists as absolute, anything else (URL, sample, Hub name) unchanged."""
    try:
        path = Path(source)
        return str(path.absolute()) if path.exists() else source
    except OSError:
        return source
