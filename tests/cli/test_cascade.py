"""`finetext cascade`, and what other commands make of its model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eye_toys import known_eyes, large_run, text_of

from finetext import Run
from finetext.runs.accesses import accesses

Command = Callable[..., Any]


@pytest.fixture(scope="module", autouse=True)
def eyes() -> Iterator[None]:
    with known_eyes():
        yield


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return large_run(tmp_path_factory.mktemp("eyes") / "run")


@pytest.fixture
def run(once: Run, workplace: Path) -> Path:
    """A copy of the run, beside the place where commands work."""
    return Path(shutil.copytree(once.folder, workplace.parent / "run"))


@pytest.fixture
def made(run: Path, command: Command) -> str:
    """What a cascade says of itself, which is in the folder `fast`."""
    return str(command("cascade", run, "--max-loss", 2, "--out", "fast", status=0).out)


def test_it_says_what_is_certified_and_what_was_measured(made: str, run: Path) -> None:
    said = " ".join(made.split())
    assert "With 95% confidence it loses at most 2 points of accuracy against stare alone." in said
    assert "On the 1,200 validation rows that certified it, it lost" in said
    assert "On 400 test rows it lost" in said
    assert "times as fast as stare" in said
    assert "to use it: finetext predict fast TEXT" in said
    assert [of["by"] for of in accesses(run)] == ["finetext cascade"]


def test_json_has_the_certificate(run: Path, command: Command) -> None:
    seen = command("cascade", run, "--max-loss", 2, "--cheap", "look", "--out", "fast", "--json")
    told = json.loads(seen.out)
    assert (told["cheap"], told["expensive"]) == ("look", "stare")
    assert told["certificate"]["most_loss"] == 0.02
    assert told["certificate"]["sent"]["n"] == 1_200


def test_predict_says_what_was_sent_on(made: str, command: Command, workplace: Path) -> None:
    texts = workplace / "new.csv"
    texts.write_text("\n".join(["text", *(text_of(row) for row in range(5_000, 5_100))]))
    seen = command("predict", "fast", texts, "--out", "predicted.csv", status=0)
    sent = int(seen.err.split("look sent ")[1].split(" of 100 texts")[0])
    assert 0 < sent < 50
    assert "on to stare" in seen.err
    assert len((workplace / "predicted.csv").read_text().splitlines()) == 101
    seen = command("predict", "fast", texts, "--out", "parts/", status=0)
    assert f"look sent {sent} of 100 texts" in seen.err


def test_other_commands_take_it(made: str, command: Command, workplace: Path) -> None:
    assert "stare the others" in " ".join(command("info", "fast", status=0).out.split())
    assert "occlusion" in command("explain", "fast", text_of(5_000), status=0).out
    labeled = workplace / "labeled.csv"
    rows = [f"{text_of(row)},{'ab'[row % 2]}" for row in range(5_000, 5_100)]
    labeled.write_text("\n".join(["text,label", *rows]))
    assert "accuracy" in command("evaluate", "fast", labeled, status=0).out
    assert "the expensive classifier of this cascade, stare, cannot be exported" in " ".join(
        command("export", "fast", status=2).err.split()
    )
    assert (
        "not the folder of a finished run"
        in command("decide", "fast", "--out", "other", status=2).err
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--max-loss", "0.01"], "it takes about"),
        (["--max-loss", "-1"], "points above 0 and below 100, not -1"),
        (["--method", "glimpse"], "glimpse"),
        (["--cheap", "stare"], "must be another one"),
    ],
)
def test_what_cannot_be_is_said_in_one_message(
    run: Path, command: Command, workplace: Path, asked: list[str], said: str
) -> None:
    assert said in command("cascade", run, *asked, "--out", "fast", status=2).err
    assert not (workplace / "fast").exists()
