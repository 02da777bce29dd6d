"""What is broken is found without being broken by it."""

from __future__ import annotations

import os
import signal
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
    "slow": "import time\ntime.sleep(1.5)",
    "slower": "import time\ntime.sleep(1.5)",
    "interrupted": "raise KeyboardInterrupt",
    "having_a_child": (
        "import subprocess, sys\n"
        "code = 'import time; time.sleep(600)'\n"
        "child = subprocess.Popen([sys.executable, '-c', code])\n"
        "def number(): return child.pid\n"
    ),
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


def test_each_item_has_the_whole_time(modules: None) -> None:
    assert set(tried(["slow", "slower", "fine"], seconds=2.5).values()) == {Trial()}


def test_a_process_that_is_left_behind_holds_nobody_up(modules: None) -> None:
    found = tried(["having_a_child:number", "fine"])
    os.kill(found["having_a_child:number"].value, signal.SIGTERM)
    assert found["fine"] == Trial()


def test_an_interrupt_ends_the_process(modules: None) -> None:
    found = tried(["interrupted", "fine"])
    assert found["interrupted"].error.startswith("it ends Python")
    assert found["fine"] == Trial()


def test_nothing_to_try() -> None:
    assert tried([]) == {}
