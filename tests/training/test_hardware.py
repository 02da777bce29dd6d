"""What torch computes on, as the inspection tells it."""

from __future__ import annotations

import json

import pytest
import torch

from finetext.training import hardware as module
from finetext.training.hardware import hardware, instruction_sets


def test_it_is_what_a_training_would_take() -> None:
    from finetext.training.precision import choose_device, choose_precision

    found = hardware()
    device = choose_device("auto")
    assert found["device"] == str(device)
    assert found["precision"] == choose_precision("auto", device)
    assert found["threads"] == torch.get_num_threads()
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("device", "precision", "sets", "why"),
    [
        ("cpu", "fp32", ["AVX2"], "neither AMX nor AVX512-BF16"),
        ("cpu", "bf16", ["AVX2", "AMX"], "this CPU has AMX"),
        ("cpu", "bf16", ["AVX512-BF16"], "this CPU has AVX512-BF16"),
        ("cuda", "bf16", [], "this GPU has bf16"),
        ("cuda", "fp32", [], "no bf16 in hardware"),
        ("mps", "fp32", [], "Apple"),
    ],
)
def test_the_precision_has_a_reason(device: str, precision: str, sets: list[str], why: str) -> None:
    assert why in module._why(device, precision, sets)


def test_an_arm_processor_has_its_own_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("avx2", "avx512", "vnni", "avx512_bf16", "amx_tile"):
        monkeypatch.setattr(f"torch.cpu._is_{name}_supported", lambda: False, raising=False)
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "SVE256")
    assert instruction_sets() == ["SVE256"]
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "DEFAULT")
    assert instruction_sets() == []


def test_a_torch_that_lost_a_private_name_tells_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("torch.cpu._is_vnni_supported", raising=False)
    assert "AVX512-VNNI" not in instruction_sets()
