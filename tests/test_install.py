"""The page on installation is true of this project."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from finetext.core.extras import EXTRAS
from finetext.core.installation import Installation

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "how-to" / "install.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_table_has_every_extra_with_its_packages() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", PAGE, flags=re.MULTILINE)
    assert [row[0] for row in rows] == list(EXTRAS)
    for name, brings, commands, packages in rows:
        assert brings == EXTRAS[name].brings
        assert re.findall(r"`([^`]+)`", commands) == list(EXTRAS[name].commands)
        needs = [Requirement(line).name for line in PROJECT["optional-dependencies"][name]]
        assert [re.sub(r"\[.*", "", one) for one in packages.split(", ")] == needs


def test_every_extra_in_the_page_exists() -> None:
    named = {one for found in re.findall(r"\w\[([\w,]+)\]\"", PAGE) for one in found.split(",")}
    assert {"offline", "excel", "serve"} <= named
    assert named <= set(PROJECT["optional-dependencies"])


def test_the_page_says_what_messages_say() -> None:
    tool = Installation(way="uv tool", extras=("offline",))
    assert f"`{tool.command('excel')}`" in PAGE
    for way in (Installation(), Installation(way="uv"), Installation(way="uv project")):
        assert way.command("offline").replace(" --python python", "") in PAGE


def test_the_supported_versions_of_python_are_those_of_the_project() -> None:
    versions = re.findall(r"^.*Python (3\.\d+), (3\.\d+) or (3\.\d+)", PAGE, flags=re.MULTILINE)[0]
    stated = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if ":: 3." in line]
    assert list(versions) == stated


def test_the_page_is_made_by_its_generator() -> None:
    """The same as `cog --check` in `make lint`, for whoever runs the tests alone."""
    block = re.search(r"\[\[\[cog\n(.*?)\]\]\]", PAGE, flags=re.DOTALL)
    assert block
    lines: list[str] = []

    class Cog:
        @staticmethod
        def outl(text: str = "") -> None:
            lines.append(text)

    exec(block[1].replace('"pyproject.toml"', repr(str(ROOT / "pyproject.toml"))), {"cog": Cog})
    made = PAGE[block.end() :].partition("-->\n")[2].partition("<!-- [[[end]]] -->")[0]
    assert made.split() == "\n".join(lines).split()
