"""Devices and number formats."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toys import Curve

from finetext.core.arrays import Integers
from finetext.core.errors import ModelError, RecipeError
from finetext.training import precision as choices
from finetext.training.optimizer import FORMATS
from finetext.training.precision import (
    Choice,
    applied,
    check_precision,
    choose_device,
    choose_precision,
    default_choice,
    fastest_choice,
    precision_of_model,
    reading_copy,
    refuse_overflow,
    with_cheap_dropout,
)


def test_auto_is_the_best_available_device() -> None:
    best = "cpu"
    if torch.cuda.is_available():
        best = "cuda"
    elif torch.backends.mps.is_available():
        best = "mps"
    assert choose_device("auto").type == best
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:first", "cpu cuda"])
def test_an_invalid_device_name_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="use auto, cpu"):
        choose_device(name)


@pytest.mark.parametrize("name", ["cuda:97", "xpu", "meta"])
def test_an_absent_device_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="not on this machine"):
        choose_device(name)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_an_explicit_precision_is_used(precision: Any, device: str) -> None:
    assert choose_precision(precision, torch.device(device)) == precision
    assert check_precision(precision) == precision


def test_another_precision_is_refused() -> None:
    with pytest.raises(RecipeError, match="'fp8' is not a precision; use auto, fp32, bf16, fp16"):
        check_precision("fp8")


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that pretends that the machine has only this GPU, or none."""

    def pretend(name: str) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: name == "cuda")
        monkeypatch.setattr(torch.cuda, "device_count", lambda: int(name == "cuda"))
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: name == "mps")

    return pretend


def test_fp16_needs_a_gpu_or_the_name_of_the_cpu(with_gpu: Callable[[str], None]) -> None:
    for name in ("cuda", "mps"):
        with_gpu(name)
        assert choose_device("auto", "fp16").type == name
    with_gpu("")
    for precision in ("auto", "fp32", "bf16"):
        assert choose_device("auto", precision).type == "cpu"
    with pytest.raises(RecipeError, match=r"no GPU.* Use auto, bf16 or fp32; or name the device"):
        choose_device("auto", "fp16")
    assert choose_device("cpu", "fp16").type == "cpu"
    with pytest.raises(RecipeError, match="not on this machine"):
        choose_device("cuda", "fp16")


def test_a_model_of_fp16_predicts_in_fp32_on_a_cpu(with_gpu: Callable[[str], None]) -> None:
    with_gpu("cuda")
    assert precision_of_model("fp16", "auto") == precision_of_model("fp16", "cuda") == "fp16"
    assert precision_of_model("fp16", "cpu") == "fp32"
    with_gpu("")
    assert precision_of_model("fp16", "auto") == "fp32"
    for name in ("auto", "fp32", "bf16"):
        assert precision_of_model(name, "auto") == name
    with pytest.raises(RecipeError, match="not a precision"):
        precision_of_model("fp8", "auto")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_the_copy_for_prediction_leaves_the_model_alone(precision: Any, model: Any) -> None:
    ids = torch.arange(12).reshape(2, 6)
    model.eval()
    wanted = model(input_ids=ids).logits
    copied = reading_copy(model, precision)
    assert {of.dtype for of in copied.parameters()} == {FORMATS[precision]}
    found = copied(input_ids=ids).logits
    assert found.dtype == FORMATS[precision]
    torch.testing.assert_close(found.float(), wanted, rtol=0.02, atol=0.02)
    assert torch.equal(model(input_ids=ids).logits, wanted)
    assert reading_copy(model, "fp32") is model


def test_an_overflow_in_prediction_is_refused_in_fp16_alone(model: Any) -> None:
    for precision in ("fp32", "bf16"):
        refuse_overflow(np.array([[np.nan]]), reading_copy(model, precision))
    half = reading_copy(model, "fp16")
    refuse_overflow(np.array([[1.0]]), half)
    with pytest.raises(ModelError, match=r"BertForSequenceClassification in fp16 .* use precision"):
        refuse_overflow(np.array([[np.inf]]), half)


@pytest.mark.parametrize(("fast", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_where_that_is_fast(
    monkeypatch: pytest.MonkeyPatch, fast: bool, expected: str
) -> None:
    monkeypatch.setattr(choices, "_processor_has_bf16", lambda: fast)
    assert choose_precision("auto", torch.device("cpu")) == expected
    assert choose_precision("auto", torch.device("mps")) == "fp32"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: fast)
    assert choose_precision("auto", torch.device("cuda")) == expected


@pytest.mark.parametrize(
    ("used", "asked", "device", "began", "fast", "told"),
    [
        ("fp16", "fp32", "cuda", "cuda", True, "although precision is fp32 now; to train in fp32"),
        (
            "fp16",
            "fp16",
            "cpu",
            "cuda",
            True,
            "on cuda and continues in fp16, which is slow on cpu",
        ),
        ("fp16", "fp16", "cpu", "mps", True, "start anew in another folder, or resume on mps"),
        ("fp16", "auto", "cpu", "", True, "in fp16 and continues in fp16, which is slow on cpu"),
        ("fp32", "bf16", "cpu", "cpu", True, "precision is bf16 now; to train in bf16, start anew"),
        ("bf16", "auto", "cpu", "cuda", False, "began in bf16 on cuda .* slow on cpu; to train in"),
        ("bf16", "fp32", "cpu", "cuda", False, "although precision is fp32 now, which is slow"),
        ("bf16", "auto", "cpu", "cuda", True, ""),
        ("bf16", "bf16", "cpu", "cpu", False, ""),
        ("fp16", "fp16", "cpu", "cpu", True, ""),
        ("fp16", "fp16", "cpu", "", True, ""),
        ("fp16", "fp16", "cuda", "cpu", True, ""),
        ("fp32", "auto", "cpu", "cuda", True, ""),
    ],
)
def test_a_training_that_goes_on_in_another_precision_says_so(
    used: Any, asked: Any, device: str, began: str, fast: bool, told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(choices, "_processor_has_bf16", lambda: fast)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: fast)
    choice = Choice(used, "", 1)
    found = choices.precision_warning(choice, asked, torch.device(device), began)
    assert re.search(told, found) if told else found == ""


def test_a_transformer_learns_with_it_as_with_the_usual(model: Any) -> None:
    model.train()
    ids = torch.arange(12).reshape(2, 6)
    names = list(model.state_dict())
    with with_cheap_dropout(model):
        assert list(model.state_dict()) == names
        assert not any(type(module) is nn.Dropout for module in model.bert.embeddings.modules())
        one, two = (model(input_ids=ids).logits for _ in range(2))
        assert not torch.equal(one, two)
        model.eval()
        without = model(input_ids=ids).logits
    assert torch.equal(model(input_ids=ids).logits, without)


LONG = [np.arange(4)] * choices.FEWEST_STEPS
SHORT = LONG[1:]
DEFAULT = Choice("fp32", "sdpa", 4)
EAGER = Choice("fp32", "eager", 4)


@pytest.fixture(autouse=True)
def seeded() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def model() -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=16,
    )  # fmt: skip
    return BertForSequenceClassification(config)


class Words(Curve):
    def batch(self, rows: Any) -> dict[str, Any]:
        return {"input_ids": torch.zeros(len(rows), 7, dtype=torch.int64)}

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        self.losses += 1
        return model(**batch).logits.square().mean()


@pytest.fixture
def four_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)


@pytest.fixture
def timed(four_threads: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Choice]]:
    """A function that makes choices take certain times, and gives a list of those measured."""

    def pretend(seconds: dict[Choice, float]) -> list[Choice]:
        measured: list[Choice] = []

        def take(model: Any, task: Any, rows: Integers, choice: Choice) -> float:
            measured.append(choice)
            return seconds.get(choice, 99.0)

        monkeypatch.setattr(choices, "_seconds", take)
        monkeypatch.setattr(choices, "_share_of_others", lambda before: 0.0)
        return measured

    return pretend


def chosen(model: Any, cache: Path | None, precision: Any = "fp32", steps: Any = LONG) -> Choice:
    return fastest_choice(model, Words(), steps, precision, cache)


@pytest.mark.parametrize(("share", "expected"), [(0.94, EAGER), (0.96, DEFAULT)])
def test_a_clearly_faster_choice_is_used(
    share: float, expected: Choice, model: Any, timed: Any, tmp_path: Path
) -> None:
    timed({DEFAULT: 1.0, EAGER: share})
    assert chosen(model, tmp_path / "cache") == expected


def test_it_is_measured_once(model: Any, timed: Any, tmp_path: Path) -> None:
    measured = timed({DEFAULT: 1.0, EAGER: 0.5})
    assert chosen(model, tmp_path) == EAGER
    assert set(measured) == {DEFAULT, EAGER}
    measured.clear()
    assert chosen(model, tmp_path) == EAGER
    assert chosen(model, tmp_path, steps=SHORT) == DEFAULT
    assert measured == []


def test_few_steps_and_no_cache_are_not_worth_measuring(
    model: Any, timed: Any, tmp_path: Path
) -> None:
    measured = timed({EAGER: 0.1})
    assert chosen(model, tmp_path, steps=SHORT) == DEFAULT
    assert chosen(model, None) == DEFAULT
    assert fastest_choice(torch.nn.Linear(3, 1), Curve(), LONG, "fp32", tmp_path).attention == ""
    assert measured == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("seconds", "variable", "expected"),
    [(0.9, None, 2), (0.97, None, 4), (0.9, "4", 4)],
)
def test_half_of_the_threads_are_used_if_faster_and_not_configured(
    seconds: float, variable: str | None, expected: int, model: Any, timed: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    timed({DEFAULT: 10.0, EAGER: 1.0, Choice("fp32", "eager", 2): seconds})
    assert chosen(model, tmp_path) == Choice("fp32", "eager", expected)


@pytest.mark.parametrize(
    ("tokens", "precision", "expected"),
    [(256, "bf16", "eager"), (257, "bf16", "sdpa"), (9, "fp32", "sdpa")],
)
def test_short_texts_are_read_with_plain_attention_in_bf16_on_a_cpu(
    tokens: int, precision: Any, expected: str, model: Any
) -> None:
    task: Any = SimpleNamespace(lengths=np.array([tokens, tokens]))
    assert fastest_choice(model, task, SHORT, precision, None).attention == expected


def test_an_explicit_precision_is_not_changed(
    model: Any, timed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.training.precision._processor_has_bf16", lambda: True)
    timed({DEFAULT: 0.1, EAGER: 0.2, Choice("bf16", "sdpa", 4): 1.0})
    assert chosen(model, tmp_path, "auto") == DEFAULT
    assert chosen(model, tmp_path, "bf16").precision == "bf16"
    assert chosen(model, tmp_path, "fp16").precision == "fp16"
    assert chosen(model, tmp_path, "fp32") == DEFAULT
    assert chosen(model, tmp_path, "auto") == DEFAULT


@pytest.mark.parametrize(
    "content", ["", "nonsense", "[]", '{"a": 1}', '{"a": {"precision": "fp32"}}', "\x00" * 9]
)
def test_a_damaged_file_is_replaced(content: str, model: Any, timed: Any, tmp_path: Path) -> None:
    timed({DEFAULT: 1.0, EAGER: 0.5})
    path = tmp_path / "choices.json"
    path.write_text(content)
    assert chosen(model, tmp_path) == EAGER
    assert len(json.loads(path.read_text())) == 1
    assert chosen(model, tmp_path) == EAGER


def test_an_unwritable_file_means_the_default(model: Any, timed: Any, tmp_path: Path) -> None:
    timed({DEFAULT: 1.0, EAGER: 0.5})
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert chosen(model, blocked / "cache") == DEFAULT


def test_measuring_changes_nothing(model: Any) -> None:
    model.eval()
    before = {name: of.clone() for name, of in model.state_dict().items()}
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    task = Words()
    for choice in (
        Choice("fp32", "eager", 1),
        Choice("bf16", "sdpa", 2),
        Choice("fp16", "sdpa", 1),
    ):
        assert 0 < choices._seconds(model, task, np.arange(4), choice) < 60
    assert task.losses == 3 * choices.REPEATS
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert all(torch.equal(of, before[name]) for name, of in model.state_dict().items())
    assert all(of.grad is None and of.dtype == torch.float32 for of in model.parameters())
    assert model.config._attn_implementation == "sdpa"
    assert not model.training


def test_an_unsupported_choice_takes_infinitely_long(model: Any) -> None:
    choice = Choice("fp32", "flash_attention_2", 1)
    assert choices._seconds(model, Words(), np.arange(4), choice) == float("inf")


def test_an_applied_choice_is_reverted(model: Any) -> None:
    threads = torch.get_num_threads()
    before = default_choice(model, "fp32", torch.device("cpu"))
    choice = Choice("fp32", "eager", threads + 1)
    with applied(choice, model):
        assert model.config._attn_implementation == "eager"
        assert torch.get_num_threads() == threads + 1
    assert default_choice(model, "fp32", torch.device("cpu")) == before
    with pytest.raises(ValueError, match="of the body"), applied(choice, model):
        raise ValueError("an error of the body")
    assert default_choice(model, "fp32", torch.device("cpu")) == before


def test_a_disturbed_measurement_is_discarded(
    model: Any, timed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed({DEFAULT: 1.0, EAGER: 0.5})
    monkeypatch.setattr(choices, "_share_of_others", lambda before: 0.3)
    assert chosen(model, tmp_path) == DEFAULT
    assert not (tmp_path / "choices.json").exists()
    monkeypatch.setattr(choices, "_share_of_others", lambda before: 0.05)
    assert chosen(model, tmp_path) == EAGER


def test_the_work_of_others_is_a_share_of_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([(100.0, 50.0, 10.0), (107.0, 53.0, 15.0)])
    monkeypatch.setattr(choices, "_cpu_seconds", lambda: next(seconds))
    assert choices._share_of_others(choices._cpu_seconds()) == pytest.approx((7 - 5) / (7 + 3))
