"""The inspection of an installation, whole and broken."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finetext.core.errors import ModelError
from finetext.core.extras import EXTRAS, Package
from finetext.core.trials import Trial
from finetext.runs import inspection
from finetext.runs.inspection import HARDWARE, Fact, Inspection, inspect_installation

CPU = {
    "device": "cpu", "gpus": [], "cuda": None, "mps": False, "precision": "fp32",
    "why": "this CPU has neither AMX nor AVX512-BF16, so bf16 would be slower",
    "instruction_sets": ["AVX2"], "threads": 2,
}  # fmt: skip
GPU = {
    **CPU, "device": "cuda", "cuda": "12.8", "precision": "bf16", "why": "this GPU has bf16",
    "gpus": [{"name": "H200", "memory": 141_000_000_000, "capability": "9.0"}],
}  # fmt: skip


@pytest.fixture
def here(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What a made-up machine has: packages of the core by "", of extras by their names."""
    has = SimpleNamespace(
        packages={"": [Package("torch", ">=2.6,<3", "2.13.0", "installed")]},
        trials={HARDWARE: Trial(CPU)},
        asked=[],
    )

    def tried(items: list[str]) -> dict[str, Trial]:
        has.asked += items
        return {item: has.trials.get(item, Trial()) for item in items}

    source = SimpleNamespace(on_machine=True, path="/models/minilm")
    monkeypatch.setattr("finetext.encoders.catalogue.resolve", lambda name: source)
    monkeypatch.setattr(inspection, "packages", lambda extra="": has.packages.get(extra, []))
    monkeypatch.setattr(inspection, "tried", tried)
    for name in inspection.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return has


def fact(found: Inspection, section: str, name: str) -> Fact:
    return next(of for of in found.sections[section] if of.name == name)


def test_a_whole_installation(here: SimpleNamespace) -> None:
    found = inspect_installation()
    assert found.broken == []
    assert fact(found, "packages", "torch").said == "2.13.0 (supported: >=2.6,<3)"
    assert fact(found, "machine", "device").said == "cpu (no CUDA in torch; no MPS)"
    assert fact(found, "machine", "precision").said.startswith("fp32: this CPU has neither AMX")
    assert fact(found, "encoder", "minilm (default)").said == "/models/minilm"
    assert fact(found, "hub", "reachable").value == {"asked": False}
    told = found.to_json()
    assert told["works"] is True
    assert told["machine"]["precision"] == {"precision": "fp32", "why": CPU["why"]}
    assert json.loads(json.dumps(told)) == told


def test_a_gpu_is_shown(here: SimpleNamespace) -> None:
    here.trials[HARDWARE] = Trial(GPU)
    found = inspect_installation()
    assert fact(found, "machine", "device").said == "cuda (H200, 141.0 GB; no MPS)"
    assert fact(found, "machine", "precision").said == "bf16: this GPU has bf16"


@pytest.mark.parametrize(
    ("package", "error", "said"),
    [
        (
            Package("torch", ">=2.6,<3", "2.13.0", "installed"),
            "OSError: libcudart.so.12: cannot open",
            "torch cannot be imported (OSError: libcudart.so.12: cannot open); run: pip install "
            "--force-reinstall --no-deps torch",
        ),
        (
            Package("torch", ">=2.6,<3", "", "missing"),
            "",
            'torch is not installed; run: pip install "torch>=2.6,<3"',
        ),
        (
            Package("torch", ">=2.6,<3", "1.9.0", "unsupported"),
            "",
            'torch 1.9.0 is not supported: >=2.6,<3; run: pip install "torch>=2.6,<3"',
        ),
    ],
    ids=["raises", "missing", "unsupported"],
)
def test_a_broken_package_of_the_core(
    here: SimpleNamespace, package: Package, error: str, said: str
) -> None:
    here.packages[""] = [package]
    here.trials["torch"] = Trial(error=error)
    found = inspect_installation()
    assert [of.problem for of in found.broken] == [said]
    assert found.to_json()["works"] is False


def test_torch_that_cannot_compute(here: SimpleNamespace) -> None:
    here.trials[HARDWARE] = Trial(error="it ends Python by SIGILL")
    found = inspect_installation()
    assert [of.name for of in found.broken] == ["device"]
    assert "SIGILL" in found.broken[0].problem
    assert fact(found, "machine", "threads").said.startswith("unknown in torch")


def test_extras_say_which_commands_need_them(here: SimpleNamespace) -> None:
    here.packages["serve"] = [Package("fastapi", ">=0.115", "", "missing")]
    here.packages["excel"] = [Package("openpyxl", ">=3.1", "3.1.5", "installed")]
    found = inspect_installation()
    assert fact(found, "extras", "serve").said == (
        'not installed; `finetext serve MODEL` needs: pip install "finetext[serve]"'
    )
    assert fact(found, "extras", "excel").said == "installed: Excel files"
    assert fact(found, "extras", "serve").value["missing"] == ["fastapi"]
    assert [of.name for of in found.sections["extras"]] == list(EXTRAS)
    assert found.broken == []


def test_a_broken_extra_is_a_warning(here: SimpleNamespace) -> None:
    here.packages["excel"] = [Package("openpyxl", ">=3.1", "2.0", "unsupported")]
    here.packages["map"] = [Package("umap-learn", ">=0.5", "0.5.9", "installed")]
    here.trials["umap"] = Trial(error="ImportError: numba")
    assert "map" not in [of.name for of in inspect_installation().warnings]
    assert "umap" not in here.asked
    found = inspect_installation(imports=True)
    assert "umap" in here.asked
    problems = {of.name: of.problem for of in found.warnings}
    assert problems["excel"] == (
        'excel: openpyxl 2.0 is not supported: >=3.1; run: pip install "finetext[excel]"'
    )
    assert "umap-learn cannot be imported (ImportError: numba)" in problems["map"]
    assert found.broken == []


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*values: object, **named: object) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("place", "section"),
    [
        ("packages", "packages"),
        ("tried", "packages"),
        ("installation", "finetext"),
        ("processor_name", "machine"),
        ("usable_cores", "machine"),
        ("cache_folder", "storage"),
    ],
)
def test_no_part_fails_on_a_broken_part(
    here: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, place: str, section: str
) -> None:
    monkeypatch.setattr(inspection, place, failing(RuntimeError("broken in two\nlines")))
    found = inspect_installation()
    assert list(found.sections) == list(inspect_installation().sections)
    said = [of.problem for of in found.sections[section] if of.problem]
    assert any("RuntimeError: broken in two lines" in problem for problem in said)
    assert found.broken


def test_a_damaged_encoder_is_broken_and_a_missing_one_a_warning(
    here: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = failing(ModelError("model.safetensors is not the published file"))
    monkeypatch.setattr("finetext.encoders.catalogue.resolve", damaged)
    found = inspect_installation()
    assert "not the published file" in found.broken[0].problem
    missing = SimpleNamespace(on_machine=False)
    monkeypatch.setattr("finetext.encoders.catalogue.resolve", lambda name: missing)
    found = inspect_installation()
    assert found.broken == []
    problem = fact(found, "encoder", "minilm (default)").problem
    assert 'pip install "finetext[offline]"' in problem


def test_a_cache_that_cannot_be_written_is_a_warning(
    here: SimpleNamespace, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "file").write_text("")
    monkeypatch.setenv("FINETEXT_CACHE", str(workplace / "file" / "cache"))
    found = inspect_installation()
    problem = fact(found, "storage", "cache").problem
    assert f"{workplace / 'file'} is a file" in problem
    assert "Set FINETEXT_CACHE" in problem
    assert found.broken == []


def test_the_size_of_the_cache_counts(here: SimpleNamespace, workplace: Path) -> None:
    cache = Path(os.environ["FINETEXT_CACHE"])
    (cache / "states").mkdir(parents=True)
    (cache / "states" / "a.safetensors").write_bytes(b"1" * 2_000)
    value = fact(inspect_installation(), "storage", "cache").value
    assert value == {"folder": str(cache), "bytes": 2_000, "writable": True}


@pytest.mark.parametrize(("said", "problem"), [("many", "no whole number"), ("2", "")])
def test_threads_that_the_user_set(
    here: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, said: str, problem: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    monkeypatch.setattr(inspection.os, "cpu_count", lambda: 8)
    found = fact(inspect_installation(), "machine", "threads")
    assert f"OMP_NUM_THREADS={said}" in found.said
    assert problem in found.problem
    assert bool(found.problem) == bool(problem)


def test_more_threads_than_cores(here: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection.os, "cpu_count", lambda: 1)
    assert "2 threads on 1 logical" in fact(inspect_installation(), "machine", "threads").problem


def test_the_limits_of_a_container_hold(
    here: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.core.budget.container_limits", lambda: [1_000_000_000])
    found = fact(inspect_installation(), "machine", "memory")
    assert found.said.startswith("1.0 GB")
    assert "the limit of the container" in found.said
    assert "close other programs" in found.problem


def test_a_full_disk_is_a_warning(here: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=1_000_000)
    monkeypatch.setattr(inspection.shutil, "disk_usage", lambda folder: usage)
    assert "1.0 MB are free" in fact(inspect_installation(), "storage", "free disk").problem


def test_the_hub_is_asked_only_on_request(
    here: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "create_connection", failing(AssertionError("a connection")))
    assert inspect_installation().sections["hub"][0].problem == ""
    monkeypatch.setattr("urllib.request.urlopen", failing(OSError("no route")))
    found = fact(inspect_installation(network=True), "hub", "reachable")
    assert found.value == {"asked": True, "answers": False}
    assert "does not answer (no route)" in found.problem
    answer = SimpleNamespace(close=lambda: None)
    monkeypatch.setattr("urllib.request.urlopen", lambda asked, timeout: answer)
    found = fact(inspect_installation(network=True), "hub", "reachable")
    assert found.value == {"asked": True, "answers": True}
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: True)
    assert "HF_HUB_OFFLINE" in inspect_installation(network=True).sections["hub"][0].said


def test_an_unsupported_python_is_broken(
    here: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection.platform, "python_version", lambda: "3.9.1")
    monkeypatch.setattr(inspection, "supported_python", lambda: ">=3.11")
    assert inspect_installation().broken[0].problem == "Python 3.9.1 is not supported: >=3.11"


def test_what_is_not_needed_and_not_known_is_a_warning(
    here: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def packages(extra: str = "") -> list[Package]:
        if extra == "serve":
            raise ValueError("damaged")
        return []

    monkeypatch.setattr(inspection, "packages", packages)
    found = inspect_installation()
    assert found.broken == []
    core, extra = (of.problem for of in found.warnings)
    assert core.startswith("which packages finetext needs is unknown: it is not installed; run: ")
    assert extra == "serve cannot be inspected (ValueError: damaged)"
