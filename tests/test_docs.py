"""Every block of code in the manual runs, is checked, or says why it is not run."""

from __future__ import annotations

import ast
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import pytest
import yaml
from doc_blocks import ROOT, Block, blocks_of, pages
from doc_files import train_run, write_encoder, write_files
from haiku_layout import random_arrays
from packaging.requirements import Requirement

import finetext
from finetext.encoders import catalogue

PACKAGED = catalogue._packaged
PAGES = {str(page.relative_to(ROOT)): blocks_of(page) for page in pages()}
RUN = [name for name, found in PAGES.items() if any(block.is_run for block in found)]
RECIPE_KEYS = {"methods", "adapt", "decide", "data", "split", "metric", "seed", "minutes"}
"""Tables and values by which a block of TOML is a recipe."""
LADDERS = {"docs/how-to/language-models.md": ("majority", "tfidf", "finetune")}
"""Methods of a run that names none, where a page is about more than the quick ones."""
MADE = {
    "docs/how-to/language-models.md": ("adapted", "own", "wt103", "course"),
    "docs/reference/command-line.md": ("wt103",),
}
"""Folders that several blocks of a page make, each for itself."""
WITH_MINILM = {"docs/how-to/distill.md"}
"""Pages whose commands need an encoder that knows words; a toy is called minilm on others."""


def all_blocks() -> list[Block]:
    return [block for found in PAGES.values() for block in found]


@cache
def of_encoder(folder: Path) -> Callable[..., Path | None]:
    """What replaces the search for encoders in packages: each of them is the toy."""
    return lambda entry, check=False: folder if entry.package else None


@pytest.fixture(scope="module")
def toy(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder") / "toy", [reviews.read_text()])


@pytest.fixture(scope="module")
def run_once(reviews: Path, toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of majority, tfidf and finetune on the reviews. Not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finetext.encoders.catalogue._packaged", of_encoder(toy))
        return train_run(reviews, tmp_path_factory.mktemp("runs") / "reviews")


@pytest.fixture
def files(
    workplace: Path, reviews: Path, run_once: Path, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The files that the pages speak of, and a toy as minilm."""
    monkeypatch.setattr("finetext.encoders.catalogue._packaged", of_encoder(toy))
    write_files(reviews, run_once)
    return workplace


@pytest.fixture
def run_line(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], str]:
    """A function that runs a line of a shell block and returns what it prints."""

    def run(line: str, place: str) -> str:
        plain, _, redirected = line.partition(" < ")
        words = shlex.split(plain, comments=True)
        if words[0] == "finetext":
            if redirected:
                data = io.BytesIO(Path(redirected).read_bytes())
                monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))
            seen = command(*words[1:])
            assert seen.status == 0, f"{place}: {line}: {seen.err}"
            assert seen.out or "--out" in words or "--page" in words, f"{place}: {line}"
            return str(seen.out) + str(seen.err)
        if words[0] == "make":
            subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)
        elif words[:3] == [".venv/bin/python", "-m", "pytest"]:
            asked = [sys.executable, *words[1:], "--collect-only", "-q"]
            subprocess.run(asked, cwd=ROOT, check=True, capture_output=True)
        elif words[:2] == ["pip", "install"]:
            for extra in (of for word in words[2:] for of in Requirement(word).extras):
                assert extra in extras(), f"{place}: there is no extra {extra}"
        elif words[0] == "printf":
            subprocess.run(["bash", "-c", line], check=True)
        else:
            pytest.fail(f"{place}: nothing runs {line!r} here: give the block a mark")
        return ""

    return run


def extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["optional-dependencies"])


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_the_blocks_run(
    name: str,
    files: Path,
    run_line: Callable[[str, str], str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ladder = LADDERS.get(name, ("majority", "tfidf"))
    monkeypatch.setattr("finetext.cli.arguments.LADDER", ladder)
    if name in WITH_MINILM:
        monkeypatch.setattr("finetext.encoders.catalogue._packaged", PACKAGED)
    names: dict[str, Any] = {
        "finetext": finetext, "numpy": numpy, "params": by_module(random_arrays()),
        "run": finetext.Run.open("runs/reviews"),
    }  # fmt: skip
    for block in PAGES[name]:
        if block.file:
            Path(block.file).write_text(block.text + "\n")
    printed = ""
    for block in PAGES[name]:
        for folder in MADE.get(name, ()):
            if re.search(rf'--out {folder}\b|", "{folder}"', block.text):
                shutil.rmtree(folder, ignore_errors=True)
        if block.mark == "output of the above":
            assert squeezed(block.text) in squeezed(printed), f"{block.place}: {printed}"
        elif block.is_run and block.kind == "shell":
            printed = "".join(run_line(line, block.place) for line in block.lines())
        elif block.is_run and block.kind == "python":
            capsys.readouterr()
            exec(compile("\n" * block.line + block.text, str(block.page), "exec"), names)
            printed = capsys.readouterr().out


def by_module(arrays: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return arrays by module and name, as Haiku holds them."""
    found: dict[str, dict[str, Any]] = {}
    for path, array in arrays.items():
        module, _, name = path.rpartition("/")
        found.setdefault(module, {})[name] = array
    return found


def squeezed(text: str) -> str:
    """Return a text with runs of blanks and line ends as one blank."""
    return " ".join(text.split())


def test_each_block_is_run_or_says_why_not() -> None:
    found = [f"{block.place}: {problem}" for block in all_blocks() if (problem := block.problem())]
    assert not found, "\n".join(found)


def test_the_tests_that_marks_name_use_the_commands() -> None:
    for block in all_blocks():
        if block.mark.startswith("run by: "):
            test = (ROOT / block.other_test).read_text(encoding="utf-8")
            assert "def test_" in test
            for name, *_ in block.commands():
                assert f'"{name}"' in test, f"{block.place}: {block.other_test} runs no {name}"


@pytest.mark.parametrize(
    "name",
    [
        "docs/concepts/labels.md", "docs/concepts/which-method.md", "docs/how-to/from-trainer.md",
        "docs/tutorials/index.md",
    ],
)  # fmt: skip
def test_figures_are_those_of_the_record(name: str) -> None:
    record = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    recorded = set(re.findall(r"(?<![\d.])\d[\d,]*(?:\.\d+)?(?![\d%])", record))
    recorded = {figure.replace(",", "") for figure in recorded}
    figures = set(re.findall(r"\b0\.\d{3}\b|\b\d+,\d{3}(?= \|)", (ROOT / name).read_text()))
    assert len(figures) >= 4
    assert {figure.replace(",", "") for figure in figures} - recorded == set()


def test_python_that_no_test_runs_has_valid_syntax_and_names() -> None:
    modules = {"ray", "sklearn"}
    for block in all_blocks():
        if block.kind == "python":
            tree = ast.parse(textwrap.dedent(block.text), block.place)
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    is_known = node.attr in {*finetext.__all__, *modules}
                    assert is_known or node.value.id != "finetext", f"{block.place}: {node.attr}"


def test_the_options_of_all_commands_exist() -> None:
    import typer

    from finetext.cli.app import app

    known = typer.main.get_command(app)
    count = 0
    for block in all_blocks():
        for name, *words in block.commands():
            if name == "COMMAND":
                continue
            if name.startswith("-"):
                assert any(name in option.opts for option in known.params), block.place
                continue
            assert name in known.commands, f"{block.place}: there is no command {name}"
            given = [word for word in words if word not in ("...", "<")]
            try:
                known.commands[name].make_context(name, given)
            except typer.Exit:
                pass
            except Exception as error:
                pytest.fail(f"{block.place}: {shlex.join([name, *words])}: {error}")
            count += 1
    assert count > 100


def test_blocks_of_data_can_be_read() -> None:
    from finetext.runs.recipe import Recipe

    seen = set[str]()
    for block in all_blocks():
        if block.kind != "data" or block.mark == "output":
            continue
        seen.add(block.language)
        if block.language == "json":
            for line in block.text.splitlines():
                json.loads(line)
        elif block.language == "yaml":
            assert list(yaml.safe_load_all(block.text)), block.place
        elif RECIPE_KEYS & (values := tomllib.loads(block.text)).keys():
            assert Recipe.from_values({**values}).methods, block.place
    assert seen >= {"toml", "json"}


def test_the_line_on_what_was_chosen_is_the_one_shown(
    command: Callable[..., Any], reviews: Path
) -> None:
    page = ROOT / "docs" / "how-to" / "data.md"
    shown = re.search(r"^    (reviews\.csv: .*)$", page.read_text(), re.M)
    assert shown
    Path("reviews.csv").write_text(reviews.read_text())
    said = command("train", "reviews.csv", "--methods", "majority").err.splitlines()[0]
    assert said == shown[1]


def test_the_recipe_in_the_manual_is_valid() -> None:
    from finetext.runs.recipe import Recipe

    page = ROOT / "docs" / "reference" / "command-line.md"
    block = re.search(r"^```toml\n(.*?)^```", page.read_text(), re.S | re.M)
    assert block
    recipe = Recipe.from_values(tomllib.loads(block[1]))
    assert list(recipe.methods) == ["majority", "tfidf", "with-bert"]
