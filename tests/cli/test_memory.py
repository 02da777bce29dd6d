"""What ends a command for want of memory, or would: one message and status 2."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


def broken(error: BaseException) -> Callable[..., None]:
    def fail(*args: object, **settings: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "error", [MemoryError(), RecursionError("maximum"), RuntimeError("can't allocate memory: 9 B")]
)
def test_the_end_of_memory_is_one_message(
    command: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr("finetext.encoders.model_table.ModelTable.to_json", broken(error))
    seen = command("models", "--json", status=2)
    assert len(seen.err.splitlines()) == 1
    assert re.search(r"^finetext: (there is not enough memory|lists or objects)", seen.err)
    assert "bug" not in seen.err


def test_the_budget_of_reading_is_an_option_everywhere(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"text,label\n" + b"a film,good\n" * 300_000, 1))
    for words in (["explore", str(path)], ["train", str(path), "--out", str(tmp_path / "run")]):
        said = command(*words, "--set", "data.most_bytes=2MB", status=2).err
        assert "bomb.csv.gz takes more than 2.0 MB of memory to read" in said
        assert "--set data.most_bytes=4MB" in said
    assert (
        "is not a size" in command("explore", str(path), "--set", "data.most_bytes=x", status=2).err
    )
    assert not (tmp_path / "run").exists()


def test_a_message_with_a_long_name_is_cut_in_its_middle(command: Command) -> None:
    seen = command("explore", "x" * 200 + "/" + "y/" * 50_000, status=2)
    assert len(seen.err) < 6_000
    assert "…" in seen.err
