"""The machine, and the places that are used."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from finetext.core import environment
from finetext.core.environment import absolute, cache_folder, processor_name
from finetext.core.errors import FinetextError
from finetext.methods.finetune import Finetune
from finetext.methods.tfidf import Tfidf
from finetext.runs.folder import describe_environment
from finetext.runs.recipe import Recipe


def test_versions_are_recorded() -> None:
    described = describe_environment(Recipe(seed=3, methods={"tfidf": Tfidf()}))
    assert (described["seed"], described["device"]) == (3, "cpu")
    assert "threads" not in described
    assert described["packages"]["finetext"]
    assert all(described["packages"].values())


def test_what_is_computed_on_is_recorded() -> None:
    import torch

    described = describe_environment(Recipe(methods={"a": Finetune()}))
    assert torch.device(described["device"])
    assert (described["processes"], described["threads"]) == (1, torch.get_num_threads())


def test_the_processor_has_a_name() -> None:
    assert processor_name().strip()


@pytest.mark.parametrize("answer", [b"Apple M2 Pro\n", b"\xff", OSError("no such program")])
def test_macos_is_asked_for_the_processor(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | Exception
) -> None:
    def run(asked: list[str], **how: object) -> SimpleNamespace:
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(stdout=answer)

    monkeypatch.setattr(environment, "_stated", lambda name: "")
    monkeypatch.setattr(environment.sys, "platform", "darwin")
    monkeypatch.setattr(environment.subprocess, "run", run)
    monkeypatch.setattr(environment.platform, "processor", lambda: "arm")
    assert processor_name() == ("Apple M2 Pro" if answer == b"Apple M2 Pro\n" else "arm")


def test_windows_is_asked_for_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = SimpleNamespace(
        HKEY_LOCAL_MACHINE=1,
        OpenKey=lambda root, place: nullcontext(place),
        QueryValueEx=lambda key, name: (" Intel(R) Core(TM) i7 ", 1),
    )
    monkeypatch.setitem(sys.modules, "winreg", registry)  # type: ignore[arg-type]
    monkeypatch.setattr(environment, "_stated", lambda name: "")
    monkeypatch.setattr(environment.sys, "platform", "win32")
    assert processor_name() == "Intel(R) Core(TM) i7"


def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FINETEXT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("FINETEXT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "finetext"


def test_without_a_home_folder_the_cache_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("FINETEXT_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(FinetextError, match="set FINETEXT_CACHE to a folder"):
        cache_folder()


def test_only_paths_that_exist_become_absolute(workplace: Path) -> None:
    Path("x.csv").write_text("")
    assert absolute("x.csv") == str(workplace / "x.csv")
    for name in ("y.csv", "hub:owner/name", "https://example.org/x.csv", "bbc-news", "a" * 5000):
        assert absolute(name) == name
