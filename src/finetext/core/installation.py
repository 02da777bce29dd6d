"""How finetext was installed, and the command that installs more in the same way.

A message that says `pip install "finetext[excel]"` is wrong for most people: pip may belong to
another environment, uv and pipx keep finetext in an environment of its own, and a clone is
installed by its path.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import sysconfig
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, final
from urllib.parse import urlparse
from urllib.request import url2pathname

from finetext.core.extras import NAME, requirements

Way = Literal["pip", "uv", "uv project", "uv tool", "pipx", "conda", "no pip"]
_RECEIPT: Final = "uv-receipt.toml"
_PIPX: Final = "pipx_metadata.json"
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_EXPANDED: Final = frozenset('$`"')
"""What shells expand within double quotes, or what ends them."""


@final
@dataclass(frozen=True)
class Installation:
    """How finetext was installed.

    Attributes:
        way: what installs packages beside finetext.
        folder: the folder that finetext was installed from, such as a clone; None for an index.
        editable: whether finetext runs from that folder.
        url: address of the repository or the file that it was installed from; "" for none.
        extras: extras that a tool of its own would drop if they were not named again.
        beside: packages that it would drop, too.
        python: the command of the Python that runs finetext.
        pip: the command of its pip.
    """

    way: Way = "pip"
    folder: Path | None = None
    editable: bool = False
    url: str = ""
    extras: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    python: str = "python"
    pip: str = "pip"

    def command(self, extra: str) -> str:
        """Return the command that adds an extra of finetext."""
        named = self._named([*self.extras, extra])
        match self.way:
            case "conda":
                names = " ".join(one.name for one in requirements(extra))
                return f"conda install -c conda-forge {names}"
            case "uv":
                return f"{self._uv_pip} {named}"
            case "uv project":
                return f"uv add {named}"
            case "uv tool":
                return f"uv tool install {self._with}{named}"
            case "pipx":
                return f"pipx install --force {named}"
        return f"{self._pip} {named}"

    def command_for(self, package: str, again: bool = False) -> str:
        """Return the command that adds a package, or with `again` installs it anew."""
        match self.way:
            case "conda":
                forced = "--force-reinstall " if again else ""
                return f"conda install {forced}-c conda-forge {package}"
            case "uv":
                return f"{self._uv_pip} {'--reinstall --no-deps ' if again else ''}{package}"
            case "uv project":
                return f"uv sync --reinstall-package {package}" if again else f"uv add {package}"
            case "uv tool":
                named = f"{self._with}{self._named(self.extras)}"
                more = f"--reinstall-package {package}" if again else f"--with {package}"
                return f"uv tool install {more} {named}"
            case "pipx":
                return f"pipx inject {'--force ' if again else ''}{NAME} {package}"
        return f"{self._pip} {'--force-reinstall --no-deps ' if again else ''}{package}"

    def _named(self, extras: Iterable[str]) -> str:
        """Return finetext with extras as installers take it, in quotes for every shell."""
        chosen = f"[{','.join(dict.fromkeys(extras))}]" if extras else ""
        if self.folder is not None:
            is_here = self.folder == _here()
            place = "." if is_here else str(self.folder)
            named = f'"{place}{chosen}"' if not set(place) & _EXPANDED else _quoted(place + chosen)
            return f"{'-e ' if self.editable else ''}{named}"
        return f'"{NAME}{chosen} @ {self.url}"' if self.url else f'"{NAME}{chosen}"'

    @property
    def _with(self) -> str:
        return "".join(f"--with {package} " for package in self.beside)

    @property
    def _pip(self) -> str:
        if self.way == "no pip":
            return f"{self.python} -m ensurepip, and then {self.python} -m pip install"
        return f"{self.pip} install"

    @property
    def _uv_pip(self) -> str:
        active = os.environ.get("VIRTUAL_ENV") or os.environ.get("CONDA_PREFIX") or ".venv"
        is_active = Path(active).absolute() == Path(sys.prefix)
        return "uv pip install" + ("" if is_active else f" --python {self.python}")


def install_command(extra: str) -> str:
    """Return the command that adds an extra of finetext to this installation."""
    return installation().command(extra)


def package_command(package: str, again: bool = False) -> str:
    """Return the command that adds a package beside finetext, or with `again` installs it anew."""
    return installation().command_for(package, again)


@cache
def installation() -> Installation:
    """Return how finetext was installed; an installation that says nothing counts as pip's."""
    try:
        found: Distribution | None = distribution(NAME)
    except PackageNotFoundError:
        found = None
    return installed(found, Path(sys.prefix))


def installed(found: Distribution | None, prefix: Path) -> Installation:
    """Return how a distribution was installed into an environment; None is a bare source tree."""
    direct = _json(found.read_text("direct_url.json") if found else None)
    folder, editable, url = _origin(direct, found)
    by = ((found.read_text("INSTALLER") if found else None) or "").strip()
    python = _python()
    way: Way = "pip"
    extras: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    if (receipt := _toml(prefix / _RECEIPT)) is not None:
        way, (extras, beside) = "uv tool", _of_receipt(receipt)
    elif (told := _read(prefix / _PIPX)) is not None:
        way, extras = "pipx", _of_pipx(_json(told))
    elif by == "conda":
        way = "conda"
    elif by == "uv" or _is_made_by_uv(prefix):
        is_project = folder is None and (prefix.parent / "uv.lock").is_file()
        way = "uv project" if is_project else "uv"
    elif find_spec("pip") is None:
        way = "uv" if shutil.which("uv") else "no pip"
    return Installation(way, folder, editable, url, extras, beside, python, _pip(python))


def _origin(direct: Any, found: Distribution | None) -> tuple[Path | None, bool, str]:
    """Return the folder, whether it is editable, and the address of another origin."""
    if found is None:  # run from a source tree that is not installed
        root = Path(__file__).resolve().parents[3]
        return (root, True, "") if (root / "pyproject.toml").is_file() else (None, False, "")
    url = direct.get("url")
    if not isinstance(url, str):
        return None, False, ""
    parts = urlparse(url)
    about = direct.get("dir_info")
    if parts.scheme == "file" and isinstance(about, dict):
        return Path(url2pathname(parts.path)), about.get("editable") is True, ""
    if isinstance(vcs := direct.get("vcs_info"), dict):
        revision = vcs.get("requested_revision")
        return None, False, f"{vcs.get('vcs')}+{url}" + (f"@{revision}" if revision else "")
    return None, False, url


def _of_receipt(receipt: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the extras of finetext and the packages beside it, from the receipt of a uv tool."""
    asked = receipt.get("tool", {}).get("requirements", [])
    named = [of for of in asked if isinstance(of, dict) and "name" in of]
    extras = [extra for of in named if of["name"] == NAME for extra in of.get("extras", [])]
    return tuple(extras), tuple(str(of["name"]) for of in named if of["name"] != NAME)


def _of_pipx(told: Any) -> tuple[str, ...]:
    """Return the extras of finetext that pipx was asked for."""
    from packaging.requirements import InvalidRequirement, Requirement

    asked = told.get("main_package", {}) if isinstance(told.get("main_package"), dict) else {}
    line = str(asked.get("package_or_url") or "")
    with suppress(InvalidRequirement):
        return tuple(sorted(Requirement(line).extras))
    _, bracket, rest = line.rpartition("[")  # a path has no grammar
    is_path_with_extras = bracket and rest.endswith("]")
    return tuple(sorted(rest[:-1].split(","))) if is_path_with_extras else ()


def _is_made_by_uv(prefix: Path) -> bool:
    """Whether uv made the environment, which then has no pip."""
    lines = (_read(prefix / "pyvenv.cfg") or "").splitlines()
    return find_spec("pip") is None and any(of.partition("=")[0].strip() == "uv" for of in lines)


def _python() -> str:
    """Return the command of this Python: short if it is the first on the path, else its place."""
    folder = Path(sys.executable).parent if sys.executable else None
    for name in ("python", "python3"):
        first = shutil.which(name)
        if folder is None or (first is not None and Path(first).parent == folder):
            return name
    place = Path(sys.executable)
    if (here := _here()) is not None:
        with suppress(ValueError):
            place = place.relative_to(here)
    return _quoted(str(place))


def _here() -> Path | None:
    """Return the current folder; None if it was deleted."""
    with suppress(OSError):
        return Path.cwd()
    return None


def _pip(python: str) -> str:
    """Return the command of the pip of this environment, also in a notebook."""
    if "ipykernel" in sys.modules:
        return "%pip"
    first, scripts = shutil.which("pip"), sysconfig.get_path("scripts")
    is_ours = first is not None and Path(first).parent == Path(scripts)
    return "pip" if is_ours else f"{python} -m pip"


def _quoted(place: str) -> str:
    if os.name != "nt":
        return shlex.quote(place)
    return place if set(place) <= _PLAIN | {"\\", ":", "/"} else f'"{place}"'


def _read(path: Path) -> str | None:
    with suppress(OSError, ValueError):
        return path.read_text(encoding="utf-8")
    return None


def _json(text: str | None) -> Any:
    """Return the object of a JSON text; empty if it is none."""
    with suppress(ValueError):
        value = json.loads(text or "{}")
        return value if isinstance(value, dict) else {}
    return {}


def _toml(path: Path) -> dict[str, Any] | None:
    text = _read(path)
    if text is None:
        return None
    with suppress(tomllib.TOMLDecodeError):
        return tomllib.loads(text)
    return {}
