"""Where and in which number format the arithmetic is done."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from finetext.core.arrays import Integers
from finetext.core.environment import processor_name
from finetext.core.errors import RecipeError
from finetext.core.settings import Precision
from finetext.storage.files import write_json
from finetext.training.optimizer import Optimizer, cast_weights
from finetext.training.plan import Task

LEVELS: Final = 256


@contextmanager
def with_cheap_dropout(model: Any) -> Iterator[None]:
    """While the body runs, every `torch.nn.Dropout` of a model on the processor is a cheap one.

    Dropout that a model computes by `torch.nn.functional.dropout`, as inside attention, stays.

    Args:
        model: a `torch.nn.Module`; afterwards it has its own modules again.
    """
    import torch

    replaced = {
        name: module
        for name, module in model.named_modules(remove_duplicate=False)
        if name and type(module) is torch.nn.Dropout and 0 < dropped_levels(module.p) < LEVELS
    }
    if next(model.parameters()).device.type != "cpu":
        replaced = {}
    for name, module in replaced.items():
        model.set_submodule(name, cheap_dropout(module.p).train(module.training))
    try:
        yield
    finally:
        for name, module in replaced.items():
            module.train(model.get_submodule(name).training)
            model.set_submodule(name, module)


def dropped_levels(p: float) -> int:
    """How many of the 256 values of a byte drop, for a share of `p`."""
    return round(p * LEVELS)


def cheap_dropout(p: float) -> Any:
    """A module like `torch.nn.Dropout(p)`, for the processor.

    The share dropped is `p` rounded to a 256th, and what is kept is scaled by just that share, so
    the mean is preserved to the precision of the number format. Which values are dropped follows
    from `torch.manual_seed`.

    Args:
        p: share dropped, from 1/512 to 511/512.
    """
    return _module_class()(p)


@cache
def _module_class() -> Any:
    """The class of the modules; made when torch is there to derive it from."""
    import torch

    class CheapDropout(torch.nn.Module):
        def __init__(self, p: float) -> None:
            super().__init__()
            self.p = p

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values * _kept(values, dropped_levels(self.p)) if self.training else values

    return CheapDropout


def _kept(values: Any, dropped: int) -> Any:
    """What to multiply values with, of their shape: 0 or the inverse of the share kept."""
    import torch

    count = values.numel()
    words = torch.empty(count // 8 + 1, dtype=torch.int64).random_(-(2**63), None)
    level = words.view(torch.uint8)[:count].view(values.shape)
    return (level >= dropped).to(values.dtype).mul_(LEVELS / (LEVELS - dropped))


def choose_device(name: str) -> Any:
    """The `torch.device` for a name; "auto" takes CUDA, then MPS, then the processor.

    Raises:
        RecipeError: the name is not a device, or the device is not there.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            name = "cuda"
        else:
            name = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise RecipeError(
            f"{name!r} is not a device; use auto, cpu, cuda, cuda:NUMBER or mps"
        ) from None
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise RecipeError(f"the device {name!r} is not on this machine; use auto or cpu")
    return device


def check_precision(name: str) -> Precision:
    """The precision of a name.

    Raises:
        RecipeError: there is none of that name.
    """
    if name not in get_args(Precision):
        raise RecipeError(f"{name!r} is not a precision; use {', '.join(get_args(Precision))}")
    return cast(Precision, name)


def choose_precision(precision: Precision, device: Any) -> Literal["fp32", "bf16"]:
    """The number format of matrix products in training.

    Args:
        precision: what was asked for; "auto" takes bf16 where the hardware multiplies it fast
            (CUDA from Ampere on, processors with AMX or AVX512-BF16), fp32 elsewhere.
        device: a `torch.device`.
    """
    import torch

    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu" and _processor_has_bf16():
        return "bf16"
    return "fp32"


def reading_copy(model: Any, precision: Precision) -> Any:
    """The model as it predicts: itself in fp32, a copy in bf16 where that is faster.

    Args:
        model: a transformers model in fp32, on its device.
        precision: what was asked for; see `choose_precision`.
    """
    if choose_precision(precision, model.device) == "fp32":
        return model
    copied = copy.deepcopy(model)
    cast_weights(copied, "bf16")
    return copied


def _processor_has_bf16() -> bool:
    import torch

    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


FEWEST_STEPS: Final = 100


REPEATS: Final = 3


MOST_POSITIONS: Final = 1_024


MOST_OTHER_WORK: Final = 0.1


WORTH_A_CHANGE: Final = 0.95
"""A candidate must take at most this share of the time of what is used by default."""


@dataclass(frozen=True)
class Choice:
    """How the arithmetic is done.

    Attributes:
        precision: number format of weights and products.
        attention: name that transformers has for the implementation; "" leaves the model's own.
        threads: threads of the processor.
    """

    precision: Literal["fp32", "bf16"]
    attention: str
    threads: int


def default_choice(model: Any, precision: Precision, device: Any) -> Choice:
    """What is taken without a measurement: what the hardware is built for, all threads."""
    import torch

    attention = getattr(getattr(model, "config", None), "_attn_implementation", None) or ""
    return Choice(choose_precision(precision, device), attention, torch.get_num_threads())


def fastest_choice(
    model: Any, task: Task, batches: Sequence[Integers], precision: Precision, cache: Path | None
) -> Choice:
    """The fastest way to train on this machine.

    Args:
        model: on the device where it is to be trained; it is not changed.
        task: what is learned.
        batches: the rows of every step.
        precision: what was asked for; "auto" measures bf16 where the hardware has it, and fp32.
        cache: folder where the outcome is kept. Without one, and for less than a hundred steps,
            nothing is measured and the default is taken; nor is a measurement believed that
            other programs disturbed.
    """
    device = next(model.parameters()).device
    default = default_choice(model, precision, device)
    can_choose = hasattr(model, "set_attn_implementation")
    if cache is None or not can_choose or len(batches) < FEWEST_STEPS:
        return default
    path = cache / "choices.json"
    known = _known(path)
    key = _key(model, task, batches, precision, default)
    if key in known:
        return known[key]
    others = OtherWork()
    choice = _measured(model, task, batches, precision, default)
    if others.share() > MOST_OTHER_WORK:
        return default
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {name: asdict(of) for name, of in {**_known(path), key: choice}.items()})
    except OSError:
        return default
    return choice


class OtherWork:
    """What other programs do with the processor from now on."""

    def __init__(self) -> None:
        """Start to look."""
        self._start = self._seconds()

    def share(self) -> float:
        """Their share of the processor's time so far, all cores together."""
        all_work, idle, own = (
            now - then for now, then in zip(self._seconds(), self._start, strict=True)
        )
        return max(0.0, all_work - own) / max(all_work + idle, 1e-9)

    @staticmethod
    def _seconds() -> tuple[float, float, float]:
        """Seconds of all programs, of nobody, and of this process, over all cores."""
        import psutil

        times, own = psutil.cpu_times(), psutil.Process().cpu_times()
        work = times.user + times.system + getattr(times, "nice", 0.0)
        return work, times.idle + getattr(times, "iowait", 0.0), own.user + own.system


@contextmanager
def applied(choice: Choice, model: Any) -> Iterator[None]:
    """Use the attention and the threads of a choice; afterwards all is as before."""
    before = default_choice(model, "fp32", next(model.parameters()).device)
    use(choice, model)
    try:
        yield
    finally:
        use(before, model)


def in_fp32(choice: Choice) -> Choice:
    """The choice with fp32 arithmetic; flash attention, which cannot do that, becomes SDPA."""
    attention = "sdpa" if choice.attention.startswith("flash") else choice.attention
    return replace(choice, precision="fp32", attention=attention)


def use(choice: Choice, model: Any) -> None:
    """Use the attention and the threads of a choice."""
    import torch

    torch.set_num_threads(choice.threads)
    if choice.attention and hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation(choice.attention)


def _measured(
    model: Any, task: Task, batches: Sequence[Integers], precision: Precision, default: Choice
) -> Choice:
    """The fastest of the candidates on the batch of median size."""
    lengths = task.lengths
    by_size = sorted(batches, key=lambda rows: len(rows) * int(lengths[rows].max()))
    rows = by_size[len(by_size) // 2]
    rows = rows[: max(1, MOST_POSITIONS // int(lengths[rows].max()))]
    best, seconds = default, WORTH_A_CHANGE * _seconds(model, task, rows, default)
    for candidate in _candidates(model, precision, default):
        taken = _seconds(model, task, rows, candidate)
        if taken < seconds:
            best, seconds = candidate, taken
    device = next(model.parameters()).device
    if device.type == "cpu" and default.threads > 1 and "OMP_NUM_THREADS" not in os.environ:
        fewer = replace(best, threads=default.threads // 2)
        if _seconds(model, task, rows, fewer) < WORTH_A_CHANGE * seconds:
            best = fewer
    return best


def _candidates(model: Any, precision: Precision, default: Choice) -> list[Choice]:
    """Other number formats and attention implementations than the default."""
    from transformers.utils.import_utils import is_flash_attn_2_available

    formats = {default.precision, "fp32"} if precision == "auto" else {default.precision}
    found = []
    for number_format in sorted(formats):
        names = ["eager", "sdpa"]
        if number_format == "bf16" and is_flash_attn_2_available():
            names.append("flash_attention_2")
        found += [replace(default, precision=number_format, attention=name) for name in names]
    return [candidate for candidate in found if candidate != default]


def _seconds(model: Any, task: Task, rows: Integers, choice: Choice) -> float:
    """The shortest time of a step; infinite if the model cannot do it in this way."""
    import torch

    device = next(model.parameters()).device
    threads = torch.get_num_threads()
    times = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            trial = copy.deepcopy(model).train()
            use(choice, trial)
            optimizer = Optimizer(trial, 0.0, 0.0, choice.precision)
            for _ in range(REPEATS):
                started = time.perf_counter()
                batch = {name: of.to(device) for name, of in task.batch(rows).items()}
                task.loss(trial, batch).backward()
                float(optimizer.step(1.0))
                times.append(time.perf_counter() - started)
        except (ValueError, ImportError, RuntimeError, AssertionError):
            return float("inf")
        finally:
            torch.set_num_threads(threads)
    return min(times)


def _key(
    model: Any, task: Task, batches: Sequence[Integers], precision: Precision, default: Choice
) -> str:
    """What the fastest way depends on, in words."""
    import torch
    import transformers

    device = next(model.parameters()).device
    where = f"{processor_name()} {torch.backends.cpu.get_cpu_capability()}"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    config = model.config
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    shape = (getattr(config, name, "") for name in names)
    length = 1 << int(task.lengths.mean() - 1).bit_length()
    rows = 1 << (sum(map(len, batches)) // len(batches) - 1).bit_length()
    words = (
        where, os.cpu_count(), torch.__version__, transformers.__version__,
        type(model).__name__, type(getattr(model, "base_model", model)).__name__, *shape,
        length, rows, precision, default.precision, default.threads,
    )  # fmt: skip
    return " ".join(map(str, words))


def _known(path: Path) -> dict[str, Choice]:
    """What was measured before; nothing if the file is missing or damaged."""
    try:
        kept: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {key: Choice(**of) for key, of in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
