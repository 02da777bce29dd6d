"""The command line as a whole: help, usage errors, faults of our own, and its documentation."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

import finetext
from finetext.cli import app as cli
from finetext.core.errors import DataError

Command = Callable[..., Any]
EVERY: dict[str, Any] = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
COMMANDS = {name: command for name, command in EVERY.items() if not command.hidden}
MANUAL = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")


def section(command: str) -> str:
    """What the manual says of a command."""
    found = re.search(rf"^## {command}\n(.*?)(?=^## |\Z)", MANUAL, flags=re.DOTALL | re.MULTILINE)
    assert found, f"docs/command-line.md has no section on {command}"
    return found[1]


def test_the_commands_are_the_documented_ones() -> None:
    assert set(COMMANDS) == {
        *("train", "demo", "explore", "evaluate", "predict", "plot", "models", "show"),
        *("find-lr", "adapt", "pretrain", "generate", "convert"),
        *("info", "push", "pull"),
        "serve",
        *(
            "compare",
            "errors",
            "slices",
            "label-errors",
            "explain",
            "map",
            "learning-curve",
            "decide",
            "report",
        ),
        "export",
    }
    assert re.findall(r"^## ([\w-]+)", MANUAL, flags=re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help_and_a_line_in_the_manual(name: str) -> None:
    table = re.findall(r"^\| `(--[^|]*)` \|", section(name), flags=re.MULTILINE)
    documented = {option.split()[0].strip("`,") for option in table}
    there = set()
    for parameter in COMMANDS[name].params:
        assert parameter.help, f"{name}: {parameter.name} has no help"
        if parameter.param_type_name == "option":
            there.add(parameter.opts[0])
    assert documented == there
    assert f"finetext {name}" in section(name)


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_screen_and_shows_an_example(
    command: Command, monkeypatch: pytest.MonkeyPatch, name: str, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    seen = command(name, "--help")
    assert seen.status == 0
    assert len(seen.out.splitlines()) <= 42
    assert max(map(len, seen.out.splitlines())) <= columns
    assert f"Example: finetext {name}" in seen.out


def test_help_lists_every_command_in_full(command: Command) -> None:
    seen = command("--help")
    assert all(f"\n  {name} " in seen.out for name in COMMANDS)
    assert "..." not in seen.out.split("Commands:")[1]


def test_the_version(command: Command) -> None:
    assert command("--version") == (0, f"finetext {finetext.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian", "x"], "Did you mean 'train', 'pretrain'?"),
        (["train", "--epocs", "3"], "--epochs"),
        (["train", "x.csv", "more"], "(more)"),
        (["train", "x.csv", "--epochs", "many"], "'--epochs'"),
        (["train", "x.csv", "--seed", "-1"], "'--seed'"),
        (["predict", "runs/x"], "INPUT"),
        (["show", "runs/x", "--results", "0"], "'--results'"),
        (["--nope"], "--nope"),
    ],
)
def test_a_wrong_command_is_one_message(command: Command, words: list[str], said: str) -> None:
    seen = command(*words)
    assert seen.status == 2
    assert seen.out == ""
    assert said in seen.err
    assert seen.err.count("Error: ") == 1
    assert "Traceback" not in seen.err


def test_without_a_command_help_is_shown(command: Command) -> None:
    seen = command()
    assert seen.status == 2
    assert "Commands:" in seen.out + seen.err


def test_models_are_listed_for_people_and_machines(command: Command) -> None:
    seen = command("models")
    assert "minilm  sentence-transformers/all-MiniLM-L6-v2" in seen.out
    first = json.loads(command("models", "--json").out)[0]
    assert first["alias"] == "minilm"
    facts = {"description", "parameters", "context", "languages", "tasks", "finetunable"}
    assert facts | {"on_this_machine"} <= set(first)


def broken(error: BaseException) -> Callable[..., None]:
    def fail(*args: object, **settings: object) -> None:
        raise error

    return fail


def test_a_fault_of_ours_asks_for_a_report(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.report.models.models_json", broken(ZeroDivisionError("a\nb")))
    seen = command("models", "--json")
    assert seen.status == 1
    assert seen.out == ""
    assert len(seen.err.splitlines()) == 1
    assert "ZeroDivisionError: a" in seen.err
    assert "--debug" in seen.err
    with pytest.raises(ZeroDivisionError):
        command("models", "--json", "--debug")


def test_a_mistake_shows_its_traceback_with_debug_only(command: Command) -> None:
    seen = command("explore", "nothere.csv")
    assert seen.status == 2
    assert seen.err.startswith("finetext: there is no file")
    with pytest.raises(DataError, match="nothere"):
        command("explore", "nothere.csv", "--debug")


def test_ctrl_c_stops_with_one_word(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetext.report.models.models_json", broken(KeyboardInterrupt()))
    assert command("models", "--json") == (130, "", "finetext: stopped\n")


def test_the_demo_is_train_on_the_sample(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = []

    def record(recipe: Any, **settings: Any) -> None:
        recipes.append((recipe, settings["out"]))
        raise DataError("enough")

    monkeypatch.setattr("finetext.runs.pipeline.train", record)
    command("demo", "--seed", "3")
    command("train", "bbc-news", "--seed", "3")
    assert len(recipes) == 2
    assert recipes[0] == recipes[1]
    assert recipes[0][0].source == "bbc-news"
    assert list(recipes[0][0].methods) == ["majority", "tfidf", "probe", "finetune"]
    assert recipes[0][0].methods["finetune"].max_length == 64


def test_the_program_is_installed_and_can_be_run_as_a_module() -> None:
    for program in (["finetext"], [sys.executable, "-m", "finetext"]):
        path = Path(sys.executable).parent / program[0]
        words = [str(path) if path.exists() else program[0], *program[1:], "show", "nothere"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("finetext: nothere is not the folder of a finished run")
