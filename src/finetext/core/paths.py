"""Paths that Linux, macOS and Windows take alike: homes, reserved names, case, separators."""

from __future__ import annotations

import ntpath
import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePath, PureWindowsPath
from typing import Final

from finetext.core.errors import DataError, RecipeError

ON_WINDOWS: Final = os.name == "nt"
_DEVICES: Final = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE
)
"""Names that Windows takes for devices, with any ending and in every folder."""
_FORBIDDEN: Final = re.compile(r'[<>:"|?*\x00-\x1f]')
"""Characters that no file of Windows has in its name."""


def expanded(source: str | os.PathLike[str]) -> Path:
    """Return a path with `~` as the home folder; that of an unknown user stays as it is."""
    return Path(os.path.expanduser(source))


def why_reserved(name: str) -> str:
    """Return why Windows cannot have a file or folder of this name; "" if it can."""
    if _DEVICES.fullmatch(name.split(".")[0].rstrip(" ")):
        return "Windows reserves it for a device"
    if name.endswith((".", " ")) and name not in (".", ".."):
        return "Windows drops a dot or a space at the end of a name"
    if found := _FORBIDDEN.search(name):
        return f"Windows allows no {found[0]!r} in a name"
    return ""


def refuse_reserved(path: PurePath) -> None:
    r"""Raise a DataError, on Windows alone, for a path that it cannot have or takes for a device.

    What is written to `nul.csv` would be lost without an error.
    """
    if not ON_WINDOWS:
        return
    whole = PureWindowsPath(path)
    for part in whole.parts[bool(whole.anchor) :]:
        if why := why_reserved(part):
            raise DataError(f"{path} cannot be written: {part!r}: {why}; choose another name")


def last_part(path: str) -> str:
    """Return the last part of a path or an address, of a path of Windows, too."""
    is_of_windows = ON_WINDOWS or bool(ntpath.splitdrive(path)[0])
    ends = "/\\" if is_of_windows and "://" not in path else "/"
    return re.split(f"[{re.escape(ends)}]", path.rstrip(ends))[-1]


def refuse_unportable(section: str, names: Iterable[str]) -> None:
    """Raise a RecipeError for names whose folders Windows or macOS cannot have, or take for one.

    A run folder may be copied there.
    """
    known: dict[str, str] = {}
    for name in names:
        if why := why_reserved(name):
            raise RecipeError(f"[{section}.{name}]: {why}; choose another name")
        other = known.setdefault(name.casefold(), name)
        if other != name:
            raise RecipeError(
                f"[{section}.{name}]: on macOS and Windows its folder is that of {other!r}; choose "
                "a name that differs in more than case"
            )
