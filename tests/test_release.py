"""What a release and the pages of the repository rest on: workflows, forms, lists and tools."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import finetext

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(
    set((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) - {GITHUB / "ISSUE_TEMPLATE/config.yml"}
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
UNPACKED = {".ci", ".gitignore"}
"""What only a clone has a use for."""


def parsed(path: Path) -> dict[str, Any]:
    """The values of a YAML file; of a workflow `on` is the key True."""
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return values


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in parsed(path)["jobs"].values() for step in job["steps"]]


def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.dependabot", [GITHUB / "dependabot.yml"]),
        ("vendor.github-issue-forms", FORMS),
        ("vendor.github-issue-config", [GITHUB / "ISSUE_TEMPLATE" / "config.yml"]),
        ("vendor.citation-file-format", [ROOT / "CITATION.cff"]),
    ],
)
def test_files_for_github_are_valid(schema: str, files: list[Path]) -> None:
    pytest.importorskip("check_jsonschema")
    assert files
    asked = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    asked += ["--force-filetype", "yaml", *map(str, files)]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not there")
def test_actionlint_has_no_complaint() -> None:
    found = subprocess.run(["actionlint"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_their_version(path: Path) -> None:
    used = [line for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert used
    for line in used:
        assert re.search(r"uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_an_action_has_the_same_version_everywhere() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"uses: ([\w/-]+)@(.+)$", text, re.MULTILINE):
        versions.setdefault(name, set()).add(version)
    assert len(versions) >= 5
    assert not {name: several for name, several in versions.items() if len(several) > 1}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_and_a_job_writes_only_what_it_has_to(path: Path) -> None:
    workflow = parsed(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in path.read_text(encoding="utf-8")
    allowed = {
        "docs.yml": {"publish": {"pages", "id-token"}},
        "release.yml": {"publish": {"id-token", "attestations"}, "announce": {"contents"}},
    }
    writing = {
        name: {scope for scope, may in job.get("permissions", {}).items() if may == "write"}
        for name, job in workflow["jobs"].items()
    }
    assert {name: of for name, of in writing.items() if of} == allowed.get(path.name, {})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_checkout_keeps_no_token(path: Path) -> None:
    checkouts = [
        step for step in steps(path) if step.get("uses", "").startswith("actions/checkout")
    ]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_the_fast_tests_run_on_every_system_and_python_without_make() -> None:
    fast = parsed(GITHUB / "workflows" / "test.yml")["jobs"]["fast"]
    matrix = fast["strategy"]["matrix"]
    assert [name.partition("-")[0] for name in matrix["os"]] == ["ubuntu", "macos", "windows"]
    prefix = "Programming Language :: Python :: 3."
    stated = [name for name in PROJECT["project"]["classifiers"] if name.startswith(prefix)]
    assert [f"3.{name.removeprefix(prefix)}" for name in stated] == matrix["python"]
    assert not [step for step in fast["steps"] if "make" in step.get("run", "").split()]


def test_jobs_on_windows_use_no_make() -> None:
    for path in WORKFLOWS:
        for name, job in parsed(path)["jobs"].items():
            if "windows" in str(job.get("strategy")):
                lines = [step.get("run", "") for step in job["steps"]]
                assert not [line for line in lines if "make" in line.split()], name


def test_the_workflows_make_what_the_makefile_has() -> None:
    # `make docs` comes with the site of the manual.
    used = {
        word
        for path in WORKFLOWS
        for step in steps(path)
        for word in re.findall(r"^make (\S+)", step.get("run", ""), re.MULTILINE)
    }
    assert {"lint", "slow", "coverage", "lowest", "audit", "licenses", "docs"} <= used
    assert used <= make_targets() | {"docs"}


def test_a_release_is_built_once_and_published_as_it_was_tried() -> None:
    jobs = parsed(GITHUB / "workflows" / "release.yml")["jobs"]
    assert {name: job.get("needs") for name, job in jobs.items()} == {
        "build": None,
        "install": "build",
        "publish": "install",
        "announce": "publish",
    }
    assert jobs["publish"]["environment"] == "pypi"
    building = [name for name, job in jobs.items() if "check_wheel.py --sbom" in str(job)]
    assert building == ["build"]
    assert not [step for step in jobs["publish"]["steps"] if "run" in step]


def test_dependabot_watches_packages_actions_and_images() -> None:
    updates = parsed(GITHUB / "dependabot.yml")["updates"]
    assert {one["package-ecosystem"] for one in updates} == {"pip", "github-actions", "docker"}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no clone")
@pytest.mark.skipif(shutil.which("git") is None, reason="git is not there")
def test_the_sdist_has_every_file_of_the_clone() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tops = {line.partition("/")[0] for line in listed.stdout.splitlines()}
    patterns = [
        of.lstrip("/") for of in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    ]
    left_out = {top for top in tops if not any(fnmatch.fnmatch(top, of) for of in patterns)}
    assert left_out == UNPACKED, "name it in [tool.hatch.build.targets.sdist] of pyproject.toml"


def test_the_citation_is_of_this_version() -> None:
    citation = parsed(ROOT / "CITATION.cff")
    assert str(citation["version"]) == finetext.__version__
    assert citation["license"] == PROJECT["project"]["license"]


def test_the_tools_of_releases_are_locked_with_hashes() -> None:
    locked = (ROOT / "requirements-tools.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    pins = [line for line in locked.splitlines() if line and not line.startswith("#")]
    assert all("==" in pin and "--hash=sha256:" in pin for pin in pins)
    names = {re.split(r"[=\s]", pin)[0] for pin in pins}
    wanted = {re.split(r"[><=]", one)[0] for one in PROJECT["dependency-groups"]["release"]}
    assert wanted <= names
