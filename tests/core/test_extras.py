"""Ranges of packages, extras, and what is wrong with them."""

from __future__ import annotations

import tomllib
from email.message import Message
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

from finetext.core import extras
from finetext.core.extras import EXTRAS, Package, packages, supported_python

ROOT = Path(__file__).parents[2]
LINES = [
    "numpy<3,>=2.0",
    "nothere>=1",
    "pip>=999",
    "winonly>=1; sys_platform == 'nowhere'",
    "openpyxl<4,>=3.1; extra == 'excel'",
    "elsewhere; extra == 'excel' and sys_platform == 'nowhere'",
]


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metadata of finetext that name a few packages."""
    about = Message()
    about["Requires-Python"] = ">=3.11"
    found = SimpleNamespace(requires=LINES, metadata=about)
    versions = {"numpy": "2.1.0", "pip": "25.0", "openpyxl": "3.1.5"}

    def version(name: str) -> str:
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(extras, "distribution", lambda name: found)
    monkeypatch.setattr(extras, "version", version)


def test_the_packages_of_the_core_are_those_of_this_platform(metadata: None) -> None:
    assert packages() == [
        Package("nothere", ">=1", "", "missing"),
        Package("numpy", ">=2.0,<3", "2.1.0", "installed"),
        Package("pip", ">=999", "25.0", "unsupported"),
    ]
    assert [of.problem for of in packages()] == [
        "nothere is not installed",
        "",
        "pip 25.0 is not supported: >=999",
    ]
    assert supported_python() == ">=3.11"


def test_the_packages_of_an_extra_are_its_own(metadata: None) -> None:
    assert packages("excel") == [Package("openpyxl", ">=3.1,<4", "3.1.5", "installed")]
    assert packages("serve") == []


def test_without_metadata_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", missing)
    assert packages() == packages("excel") == []
    assert supported_python() == ""


def test_every_extra_for_users_is_described() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"]) - {"all", "dev", "docs"}
    assert all(extra.brings and extra.commands for extra in EXTRAS.values())


def test_every_command_of_an_extra_exists() -> None:
    from finetext.cli.app import _COMMANDS

    known = {example.split()[0] for example in _COMMANDS}
    for extra in EXTRAS.values():
        for line in extra.commands:
            words = line.split()
            assert words[0].startswith("finetext"), line
            assert words[0] != "finetext" or words[1] in known, line


@pytest.mark.parametrize("name", ["numpy", "scikit-learn", "huggingface-hub", "tomli-w"])
def test_a_package_knows_its_module(name: str) -> None:
    assert import_module(Package(name, "", "1", "installed").module)
