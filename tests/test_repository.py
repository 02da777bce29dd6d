"""The repository keeps its own rules."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import finetext

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FILES = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))]
WRITTEN = {".py", ".md", ".toml", ".j2", ".js", ".css", ".html"}
# What no native speaker in the field would write; the terms that we use instead are in brackets.
UNWANTED = re.compile(
    r"gone on with|goes on with|of one's own|so often|is told by|how dear|at their word"
    r"|what is left(?! out)|hard to it|grown from nothing|did it pay|\bpaid off\b"
    r"|(?<![.\"])\brungs?\b(?![\"=:(])|\bclimb"  # (method, fit the methods); keys of JSON stay
    r"|(?<!\")\bword pieces?\b(?!\")",  # (token)
    re.IGNORECASE,
)
# Names that users type keep their spelling: --drop-unlabelled, ReadSettings.labelled, `licence`.
BRITISH = re.compile(
    r"(?<![-_./\"`])\b(?:colour|behaviour|neighbour|(?:un)?labelled(?!by)|optimis(?:e|ing|ation)"
    r"|normalis|standardis|tokenis|quantis|licence|favour|initialis|summaris|recognis)"
    r"\w*(?![-_=.:\"])",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def requirements(project: dict[str, Any]) -> Iterator[Requirement]:
    extras: dict[str, list[str]] = project["optional-dependencies"]
    for line in [*project["dependencies"], *(line for lines in extras.values() for line in lines)]:
        if not line.startswith("finetext["):
            yield Requirement(line)


def imported_modules(path: Path) -> set[str]:
    """Top-level modules that a file imports, wherever in it."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add((node.module or "").partition(".")[0])
    return modules


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(pin(line) for line in lines if line and not line.startswith("#"))


def pin(line: str) -> tuple[str, str]:
    """The name of a package and its only version, with the platforms that it is for."""
    of = Requirement(line)
    platforms = "" if of.marker is None else f" ; {of.marker}"
    return canonicalize_name(of.name), str(of.specifier).removeprefix("==") + platforms


def locked(file: str) -> dict[str, str]:
    """Versions of a lock file; each must have hashes."""
    versions = {}
    for line in (ROOT / file).read_text().replace("\\\n", " ").splitlines():
        if not line.startswith("#"):
            requirement, *hashes = re.split(r"\s+(?=--)", line.strip())
            name, version = pin(requirement)
            versions[name] = version
            assert hashes, f"{name} has no hash"
            assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", of) for of in hashes)
    return versions


def test_constraints_pin_every_dependency_within_its_range(project: dict[str, Any]) -> None:
    versions = pinned()
    for requirement in requirements(project):
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in constraints.txt"
        number = version.partition(" ;")[0]
        assert requirement.specifier.contains(number), f"{requirement} excludes {version}"


def test_every_package_that_is_imported_is_a_dependency(project: dict[str, Any]) -> None:
    declared = {canonicalize_name(requirement.name) for requirement in requirements(project)}
    providers = packages_distributions()
    for path in SOURCES:
        for module in imported_modules(path) - sys.stdlib_module_names - {"finetext"}:
            names = {canonicalize_name(name) for name in providers.get(module, [module])}
            assert names & declared, f"{path.name} imports {module}, which nothing brings"


def test_constraints_name_versions_that_every_index_has() -> None:
    assert not [version for version in pinned().values() if "+" in version]


def test_the_lock_file_has_hashes_of_every_version_in_the_constraints() -> None:
    assert locked("requirements.lock") == pinned(), "run `make lock`"
    assert locked("requirements-cpu.lock") == {"torch": f"{pinned()['torch']}+cpu"}


def test_torch_is_the_release_without_gigabytes_of_cuda() -> None:
    assert pinned()["torch"] == "2.13.0"


def test_the_extra_all_has_every_extra_for_users(project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"]
    match = re.fullmatch(r"finetext\[([\w,-]+)\]", *extras["all"])
    assert match is not None
    assert set(match[1].split(",")) == set(extras) - {"all", "dev", "docs"}


def test_every_extra_that_a_message_names_exists(project: dict[str, Any]) -> None:
    places, named = {"MissingExtraError": 2, "install_command": 0}, set[str]()
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r"finetext\[([\w-]+)\]", text))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                place = places.get(node.func.id)
                given = node.args[place : place + 1] if place is not None else []
                named |= {of.value for of in given if isinstance(of, ast.Constant)}
    assert {"offline", "serve", "export"} <= named
    assert named <= set(project["optional-dependencies"])


def test_the_changelog_has_an_entry_for_the_version() -> None:
    assert f"\n## [{finetext.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no clone")
@pytest.mark.skipif(shutil.which("git") is None, reason="git is not there")
def test_git_ignores_no_file_of_ours() -> None:
    asked = ["git", "check-ignore", "--no-index", "--", *map(str, FILES)]
    found = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"


def test_few_files_are_small() -> None:
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    small = [path.name for path, count in counts.items() if count < 60 and path.stem != "__init__"]
    assert len(small) <= 10, small


def written_files() -> list[Path]:
    """What people read: code, templates, pages, manual."""
    places = ("src", "docs", "recipes", "benchmarks", "tests", "tools")
    files = [path for place in places for path in (ROOT / place).rglob("*")]
    files += ROOT.glob("*.md")
    return [path for path in files if path.suffix in WRITTEN and path != Path(__file__)]


@pytest.mark.parametrize("unwanted", [UNWANTED, BRITISH], ids=["phrases", "spelling"])
def test_plain_american_technical_english(unwanted: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in written_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for match in unwanted.finditer(line)
    ]
    assert not found, "\n".join(found)


def test_the_version_is_where_the_build_looks_for_it() -> None:
    path = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["version"]["path"]
    found = re.findall(r'^__version__ = "([^"]+)"$', (ROOT / path).read_text(), re.MULTILINE)
    assert found == [finetext.__version__]
