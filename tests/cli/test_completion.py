"""Completion in bash, zsh, fish and PowerShell, through the variables of the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetext.cli import completion
from finetext.encoders.catalogue import ENTRIES

Offered = Callable[..., list[str]]


@pytest.fixture
def offered(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Offered:
    """A function that returns what bash is offered for the last word of a line."""

    def offer(line: str) -> list[str]:
        monkeypatch.setenv("_FINETEXT_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        seen = command()
        assert (seen.status, seen.err) == (0, "")
        words: list[str] = seen.out.split("\n")[:-1]
        return [word for word in words if word]

    return offer


def test_commands_and_options_are_completed(offered: Offered) -> None:
    assert offered("finetext trai") == ["train"]
    assert {"train", "predict", "doctor"} <= set(offered("finetext "))
    assert "labels" not in offered("finetext la")  # hidden
    assert offered("finetext train --enc") == ["--encoder"]


def test_names_are_completed(offered: Offered) -> None:
    assert offered("finetext train x.csv --methods tf") == ["tfidf"]
    assert offered("finetext train x.csv --methods tfidf,f") == ["tfidf,fewshot", "tfidf,finetune"]
    assert offered("finetext train x.csv --methods tfidf,tf") == []
    assert offered("finetext train x.csv --metric macro") == ["macro_f1"]
    assert offered("finetext train --encoder random:ti") == ["random:tiny"]
    assert ENTRIES[0].alias in offered("finetext train --encoder ")
    assert offered("finetext train --device c") == ["cpu", "cuda"]
    assert offered("finetext adapt x.csv --precision b") == ["bf16"]


def test_samples_are_offered_beside_files(offered: Offered) -> None:
    assert offered("finetext train bb") == ["bbc-news"]
    Path("bbc.csv").write_text("")
    assert offered("finetext train bb") == ["bbc-news", "bbc.csv"]
    assert offered("finetext train ") == offered("finetext train x") == []  # files, by the shell


def test_runs_and_their_methods_are_completed(offered: Offered, run: Path) -> None:
    (run / "tfidf" / "notes").mkdir()
    assert offered("finetext report ") == ["runs/films"]
    assert offered("finetext report runs/f") == ["runs/films"]
    assert offered("finetext predict runs/films/t") == ["runs/films/tfidf"]
    assert offered("finetext errors runs/films --method ") == ["majority", "tfidf"]
    assert offered("finetext errors nothere --method ") == []
    assert offered("finetext errors --method ") == []


def test_folders_of_encoders_are_offered(offered: Offered) -> None:
    Path("adapted").mkdir()
    Path("adapted/config.json").write_text("{}")
    assert offered("finetext train --encoder ada") == ["adapted"]


def test_what_cannot_be_read_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(folder: Path) -> list[str]:
        raise PermissionError

    monkeypatch.setattr(os, "listdir", refused)
    assert completion.runs("") == completion.models("") == []


@pytest.mark.parametrize(
    ("shell", "variables", "shown"),
    [
        ("zsh", {"_TYPER_COMPLETE_ARGS": "finetext train --metric macro"}, '"macro_f1"'),
        (
            "fish",
            {
                "_TYPER_COMPLETE_ARGS": "finetext train --metric macro",
                "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            },
            "macro_f1",
        ),
        (
            "powershell",
            {
                "_TYPER_COMPLETE_ARGS": "finetext train --metric macro",
                "_TYPER_COMPLETE_WORD_TO_COMPLETE": "macro",
            },
            "macro_f1:::",
        ),
    ],
)
def test_every_shell_is_answered(
    command: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    shell: str,
    variables: dict[str, str],
    shown: str,
) -> None:
    monkeypatch.setenv("_FINETEXT_COMPLETE", f"complete_{shell}")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert shown in command(status=0).out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_the_script_of_a_shell_is_shown(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    monkeypatch.setattr("typer._completion_shared._get_shell_name", lambda: shell)
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: shell)
    assert "_FINETEXT_COMPLETE" in command("--show-completion", status=0).out


def test_completion_loads_no_heavy_library() -> None:
    code = (
        "import sys, json\nfrom finetext.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    words = "finetext train bbc --encoder mini"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "_FINETEXT_COMPLETE": "complete_bash", "COMP_WORDS": words,
             "COMP_CWORD": "4"},
    )  # fmt: skip
    assert done.stdout.split()[0] == "minilm"
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr)}
    heavy = {"numpy", "pandas", "pyarrow", "torch", "transformers", "datasets", "huggingface_hub"}
    assert not loaded & heavy
