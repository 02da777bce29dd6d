"""`finetext doctor`, with real and with broken packages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetext.core.extras import Package
from finetext.runs import inspection

Command = Callable[..., Any]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that lets finetext need few packages, beside torch for the device."""

    def need(*names: str) -> None:
        found = [Package(name, ">=1", "1.0", "installed") for name in names]
        missing = [Package("fastapi", ">=1", "", "missing")]
        extras = {"": found, "serve": missing}
        monkeypatch.setattr(inspection, "packages", lambda extra="": extras.get(extra, []))

    return need


def test_a_broken_package_is_a_line_and_the_status_is_1(
    command: Command, few: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "torch.py").write_text("raise OSError('libtorch_cpu.so: invalid ELF header')")
    monkeypatch.syspath_prepend(str(folder))
    few("torch")
    seen = command("doctor", status=1)
    lines = seen.out.splitlines()
    assert lines[0] == "finetext does not work here: 2 parts that it needs are broken."
    assert lines[1].startswith("  broken: torch cannot be imported (OSError: libtorch_cpu.so: inv")
    assert lines[1].endswith("; run: pip install --force-reinstall --no-deps torch")
    assert "Traceback" not in seen.out + seen.err


def test_what_is_missing_for_which_command(command: Command, few: Callable[..., None]) -> None:
    few("pydantic")
    seen = command("doctor", status=0)
    assert seen.out.splitlines()[0] == "finetext works here, without serve."
    assert '`finetext serve MODEL` needs: pip install "finetext[serve]"' in seen.out
    assert "  precision " in seen.out
    told = json.loads(command("doctor", "--json", status=0).out)
    assert told["works"] is True
    assert told["machine"]["device"]["device"] in ("cpu", "cuda", "mps")
    assert told["extras"]["serve"]["install"] == 'pip install "finetext[serve]"'
