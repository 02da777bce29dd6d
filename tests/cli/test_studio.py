"""`finetext studio`: a real process, what it prints, what it refuses, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

Command = Callable[..., Any]
Start = Callable[..., tuple[subprocess.Popen[str], dict[str, Any]]]


@pytest.fixture
def started(workplace: Path) -> Iterator[Start]:
    """A function that starts the command, and gives the process and what it prints."""
    processes: list[subprocess.Popen[str]] = []

    def start(*words: object) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        command = [sys.executable, "-m", "finetext", "studio", "--json", "--no-browser"]
        process = subprocess.Popen(
            [*command, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout is not None
        lines = ""
        while not lines.endswith("\n}\n"):
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            lines += line
        return process, json.loads(lines)

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGTERM")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_it_is_stopped(started: Start, number: signal.Signals) -> None:
    process, told = started("--port", 0)
    with urllib.request.urlopen(f"{told['url']}api/studio", timeout=20) as answer:
        assert json.loads(answer.read())["projects"] == []
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    assert "Traceback" not in err
    assert out == ""


def test_links_are_printed_for_people(started: Start) -> None:
    _, told = started("--port", 0, "--annotator", "Ann", "--annotator", "Bo", "--folder", "mine")
    assert list(told["links"]) == ["Ann", "Bo"]
    assert "#token=" in told["links"]["Bo"]
    assert Path("mine").is_dir()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nothere.csv", "there is no file, folder or sample 'nothere.csv'"),
        ("--host 0.0.0.0 --port 0", "--annotator NAME for each person"),
        ("--host no.such.host.invalid", "no such address"),
        ("--folder file", "is a file"),
        ("--annotator= ", "the name of an annotator has 0 characters"),
        ("--port 70000", "'--port'"),
    ],
)
def test_what_cannot_be_is_one_message(
    command: Command, workplace: Path, words: str, said: str
) -> None:
    (workplace / "file").write_text("x")
    seen = command("studio", *words.split(" "), status=2)
    assert said in seen.err


def test_a_missing_package_is_told_with_its_command(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.studio.server.find_spec", lambda name: None)
    seen = command("studio", status=2)
    assert "finetext studio needs the package fastapi, which is not installed; run: " in seen.err
    assert "studio" in seen.err.rpartition("run: ")[2]


def test_the_help_explains_every_option(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = command("studio", "--help", status=0).out.splitlines()
    assert len(lines) <= 48
    assert max(map(len, lines)) <= 80
    for option in ("--folder", "--host", "--port", "--annotator", "--no-browser"):
        assert any(option in line for line in lines)
