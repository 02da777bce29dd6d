"""What is broken is found without being broken by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetext.core.trials import Trial, tried

MODULES = {
    "fine": "import sys\nprint('noise')\nprint('more', file=sys.stderr)\ndef two(): return [1, 2]",
    "raising": "raise ValueError('no\\ngood')",
    "exiting": "import os\nos._exit(3)",
    "leaving": "raise SystemExit(0)",
    "crashing": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    "hanging": "import time\ntime.sleep(600)",
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, code in MODULES.items():
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_each_item_has_an_outcome_in_order(modules: None) -> None:
    found = tried(["raising", "fine", "exiting", "nothere", "crashing", "leaving", "fine:two"])
    assert list(found) == [
        "raising",
        "fine",
        "exiting",
        "nothere",
        "crashing",
        "leaving",
        "fine:two",
    ]
    assert found["raising"] == Trial(error="ValueError: no good")
    assert found["fine"] == Trial()
    assert found["exiting"].error == "it ends Python with status 3"
    assert found["nothere"].error == "ModuleNotFoundError: No module named 'nothere'"
    assert found["crashing"].error.startswith("it ends Python")
    assert found["leaving"].error == "SystemExit: 0"
    assert found["fine:two"] == Trial([1, 2])


def test_what_hangs_is_ended(modules: None) -> None:
    found = tried(["hanging", "fine"], seconds=2)
    assert found["hanging"].error == "it does not end within 2 seconds"
    assert found["fine"] == Trial()


def test_nothing_to_try() -> None:
    assert tried([]) == {}
