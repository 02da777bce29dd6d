"""The commands that messages give fit the way in which finetext was installed."""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import pytest

from finetext.core import installation as module
from finetext.core.installation import Installation, installed

RECEIPT = """
[tool]
requirements = [{ name = "finetext", extras = ["serve"] }, { name = "wandb" }]
"""
REQUIRES = [
    "openpyxl<4,>=3.1; extra == 'excel'",
    "onnx; extra == 'export'",
    "onnxruntime; extra == 'export'",
]


class Machine:
    """An environment without anything, in which finetext can be installed."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.prefix, self.patch = folder / "env", patch
        self.scripts = self.prefix / ("Scripts" if sys.platform == "win32" else "bin")
        self.info = self.prefix / "finetext-0.1.0.dist-info"
        for place in (self.scripts, self.info):
            place.mkdir(parents=True)
        (folder / "work").mkdir()
        patch.chdir(folder / "work")
        patch.setattr(sys, "prefix", str(self.prefix))
        patch.setattr(sys, "executable", str(self.scripts / "python"))
        patch.setattr(module.sysconfig, "get_path", lambda name: str(self.scripts))
        patch.delitem(sys.modules, "ipykernel", raising=False)
        patch.delenv("CONDA_PREFIX", raising=False)
        self.has("pip")
        self.activate()

    def has(self, *modules: str) -> None:
        """Let these modules be installed alone."""
        self.patch.setattr(module, "find_spec", lambda name: name if name in modules else None)

    def activate(self, *elsewhere: str, is_active: bool = True) -> None:
        """Put the programs of the environment on the path, or others by their places."""
        names = [str(self.scripts / of) for of in ("python", "pip")] if is_active else []
        places = {Path(of).name: of for of in [*names, *elsewhere]}
        self.patch.setattr(module.shutil, "which", places.get)
        self.patch.setenv("VIRTUAL_ENV", str(self.prefix) if is_active else "")

    def write(self, name: str, content: Any) -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        (self.prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (self.prefix / name).write_text(text, encoding="utf-8")

    def install(self, by: str = "pip", origin: Any = None) -> Installation:
        """Install finetext, from an index or from an origin as of direct_url.json."""
        needs = "".join(f"Requires-Dist: {of}\n" for of in REQUIRES)
        (self.info / "METADATA").write_text(f"Name: finetext\nVersion: 0.1.0\n{needs}\n")
        (self.info / "INSTALLER").write_text(f"{by}\n")
        if origin is not None:
            (self.info / "direct_url.json").write_text(json.dumps(origin))
        return installed(PathDistribution(self.info), self.prefix)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_pip_in_an_active_environment(machine: Machine) -> None:
    how = machine.install()
    assert how.command("excel") == 'pip install "finetext[excel]"'
    assert how.command_for("wandb") == "pip install wandb"
    assert how.command_for("wandb", again=True) == "pip install --force-reinstall --no-deps wandb"


def test_the_pip_of_another_environment_is_not_named(machine: Machine) -> None:
    machine.activate("/usr/bin/pip", "/usr/bin/python", is_active=False)
    python = machine.scripts / "python"
    assert machine.install().command("excel") == f'{python} -m pip install "finetext[excel]"'


def test_an_environment_below_the_current_folder_is_named_from_there(machine: Machine) -> None:
    machine.activate(is_active=False)
    machine.patch.chdir(machine.prefix.parent)
    place = machine.scripts.relative_to(machine.prefix.parent) / "python"
    assert machine.install().command("excel") == f'{place} -m pip install "finetext[excel]"'


@pytest.mark.skipif(os.name == "nt", reason="the paths are of POSIX")
def test_a_place_with_a_space_is_quoted(machine: Machine) -> None:
    machine.activate(is_active=False)
    machine.patch.setattr(sys, "executable", "/home/jane doe/env/bin/python")
    assert machine.install().command_for("x") == "'/home/jane doe/env/bin/python' -m pip install x"
    machine.patch.setattr(module.os, "name", "nt")
    assert module._quoted("C:\\Jane Doe\\python.exe") == '"C:\\Jane Doe\\python.exe"'
    assert module._quoted("C:\\Jane\\python.exe") == "C:\\Jane\\python.exe"


def test_in_a_notebook_it_is_its_own_command(machine: Machine) -> None:
    machine.patch.setitem(sys.modules, "ipykernel", sys)
    assert machine.install().command("excel") == '%pip install "finetext[excel]"'


def test_uv_without_and_with_an_active_environment(machine: Machine) -> None:
    how = machine.install("uv")
    assert how.command("excel") == 'uv pip install "finetext[excel]"'
    assert how.command_for("x", again=True) == "uv pip install --reinstall --no-deps x"
    machine.activate(is_active=False)
    how = machine.install("uv")
    python = machine.scripts / "python"
    assert how.command("excel") == f'uv pip install --python {python} "finetext[excel]"'


def test_uv_made_the_environment_and_pip_is_not_there(machine: Machine) -> None:
    machine.has()
    machine.write("pyvenv.cfg", "home = /usr/bin\nuv = 0.9.1\nversion_info = 3.11\n")
    assert machine.install().command("excel") == 'uv pip install "finetext[excel]"'


def test_a_project_of_uv(machine: Machine) -> None:
    (machine.prefix.parent / "uv.lock").write_text("")
    how = machine.install("uv")
    assert how.command("excel") == 'uv add "finetext[excel]"'
    assert how.command_for("wandb") == "uv add wandb"
    assert how.command_for("wandb", again=True) == "uv sync --reinstall-package wandb"


def test_a_tool_of_uv_keeps_what_it_has(machine: Machine) -> None:
    machine.write("uv-receipt.toml", RECEIPT)
    how = machine.install("uv")
    assert how.command("excel") == 'uv tool install --with wandb "finetext[serve,excel]"'
    assert how.command("serve") == 'uv tool install --with wandb "finetext[serve]"'
    assert how.command_for("aim") == 'uv tool install --with aim --with wandb "finetext[serve]"'
    machine.write("uv-receipt.toml", "not [ toml")
    assert machine.install("uv").command("excel") == 'uv tool install "finetext[excel]"'


@pytest.mark.parametrize(
    ("asked", "kept"), [("finetext", ""), ("finetext[serve,map]", "map,serve,"), (None, "")]
)
def test_pipx_keeps_what_it_has(machine: Machine, asked: str | None, kept: str) -> None:
    machine.write("pipx_metadata.json", {"main_package": {"package_or_url": asked}})
    how = machine.install()
    assert how.command("excel") == f'pipx install --force "finetext[{kept}excel]"'
    assert how.command_for("wandb") == "pipx inject finetext wandb"
    assert how.command_for("wandb", again=True) == "pipx inject --force finetext wandb"


@pytest.mark.skipif(os.name == "nt", reason="the paths are of POSIX")
def test_pipx_from_a_clone(machine: Machine) -> None:
    machine.write("pipx_metadata.json", {"main_package": {"package_or_url": "/a/clone[serve]"}})
    how = machine.install(origin={"url": "file:///a/clone", "dir_info": {}})
    assert how.command("excel") == 'pipx install --force "/a/clone[serve,excel]"'


def test_conda_has_no_extras_and_gets_the_packages(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = machine.install("conda")
    found = PathDistribution(machine.info)
    monkeypatch.setattr("finetext.core.extras.distribution", lambda name: found)
    assert how.command("export") == "conda install -c conda-forge onnx onnxruntime"
    assert how.command_for("x") == "conda install -c conda-forge x"
    assert how.command_for("x", again=True) == "conda install --force-reinstall -c conda-forge x"


def test_pip_within_conda_stays_pip(machine: Machine) -> None:
    machine.write("conda-meta/history", "")
    assert machine.install().command("excel") == 'pip install "finetext[excel]"'


def test_a_clone_is_named_by_its_place(machine: Machine) -> None:
    clone = machine.prefix.parent / "clone"
    clone.mkdir()
    how = machine.install(origin={"url": clone.as_uri(), "dir_info": {"editable": True}})
    assert how.command("excel") == f'pip install -e "{clone}[excel]"'
    machine.patch.chdir(clone)
    assert how.command("excel") == 'pip install -e ".[excel]"'
    how = machine.install(origin={"url": clone.as_uri(), "dir_info": {}})
    assert how.command("excel") == 'pip install ".[excel]"'
    how = machine.install("uv", {"url": clone.as_uri(), "dir_info": {"editable": True}})
    assert how.command("excel") == 'uv pip install -e ".[excel]"'


@pytest.mark.skipif(os.name == "nt", reason="the paths are of POSIX")
def test_a_clone_with_a_space_in_its_name(machine: Machine) -> None:
    how = machine.install(origin={"url": "file:///a/my%20clone", "dir_info": {"editable": True}})
    assert how.command("excel") == 'pip install -e "/a/my clone[excel]"'
    how = machine.install(origin={"url": "file:///a/$(date)%20x", "dir_info": {}})
    assert how.command("excel") == "pip install '/a/$(date) x[excel]'"


@pytest.mark.parametrize(
    ("origin", "address"),
    [
        (
            {
                "url": "https://example.org/finetext.git",
                "vcs_info": {"vcs": "git", "requested_revision": "v0.2.0", "commit_id": "c0ffee"},
            },
            "git+https://example.org/finetext.git@v0.2.0",
        ),
        ({"url": "file:///dist/finetext.whl", "archive_info": {}}, "file:///dist/finetext.whl"),
    ],
)
def test_a_repository_or_a_file_is_named_by_its_address(
    machine: Machine, origin: Any, address: str
) -> None:
    assert (
        machine.install(origin=origin).command("map") == f'pip install "finetext[map] @ {address}"'
    )


@pytest.mark.parametrize("origin", [{}, [], {"url": 3}, {"url": None, "dir_info": {}}])
def test_an_origin_that_says_nothing_is_an_index(machine: Machine, origin: Any) -> None:
    assert machine.install(origin=origin).command("map") == 'pip install "finetext[map]"'


def test_without_pip(machine: Machine) -> None:
    machine.has()
    python = "python"
    assert machine.install().command("map") == (
        f'{python} -m ensurepip, and then {python} -m pip install "finetext[map]"'
    )
    machine.activate("/usr/bin/uv")
    assert machine.install().command("map") == 'uv pip install "finetext[map]"'


def test_a_source_tree_that_is_not_installed_is_a_clone(machine: Machine) -> None:
    how = installed(None, machine.prefix)
    assert how.folder == Path(__file__).parents[2]
    assert how.editable


def test_messages_give_the_command_of_this_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    from finetext.core.errors import MissingExtraError

    monkeypatch.setattr(module, "installation", lambda: Installation(way="uv project"))
    error = MissingExtraError("reading Excel files", "openpyxl", "excel")
    assert str(error).endswith('is not installed; run: uv add "finetext[excel]"')
