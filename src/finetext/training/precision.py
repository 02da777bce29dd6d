"""Device, number format and kernels of a training.

Number format, attention implementation and threads change the speed, and the last bits of the
result. So they are measured once for a type of model and length of text, remembered in the cache
folder, and the same in every later run on the machine.
"""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any, Final, cast, get_args

from finetext.core.arrays import Integers
from finetext.core.deadline import Deadline
from finetext.core.environment import processor_flags, processor_name
from finetext.core.errors import ModelError, RecipeError
from finetext.core.settings import NumberFormat, Precision
from finetext.storage.files import write_json
from finetext.training.task import Task

BYTE_VALUES: Final = 256
FEWEST_STEPS: Final = 100
REPEATS: Final = 3
MOST_POSITIONS: Final = 1_024
FLASH: Final = "flash_attention_2"
LONGEST_EAGER: Final = 256
"""Mean tokens up to which plain attention trains faster in bf16 on a CPU than torch's fused kernel,
whose backward pass takes 40% of a step on short texts (`benchmarks/LOG.md`)."""
MOST_OTHER_WORK: Final = 0.1
WORTH_A_CHANGE: Final = 0.95
WORTH_SOME_SECONDS: Final = 200.0
"""Time that is left for a training from which measuring the candidates is worth its seconds."""
"""A candidate must take at most this share of the time of the default."""
NO_GPU: Final = (
    "precision = 'fp16': this machine has no GPU, and its CPU is many times slower in fp16 than in "
    "fp32. Use auto, bf16 or fp32; or name the device cpu to compute in fp16 there anyway"
)


@dataclass(frozen=True)
class Choice:
    """Number format, attention implementation ("" is the model's own) and CPU threads."""

    precision: NumberFormat
    attention: str
    threads: int


def choose_device(name: str, precision: Precision = "auto") -> Any:
    """Return the `torch.device` of a name; "auto" is CUDA, else MPS, else the CPU.

    Raises:
        RecipeError: it is not on this machine, or computes in fp16 only if it is named: a CPU.
    """
    import torch

    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        if precision == "fp16" and not (torch.cuda.is_available() or has_mps):
            raise RecipeError(NO_GPU)
        name = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise RecipeError(
            f"{name!r} is not a device; use auto, cpu, cuda, cuda:NUMBER or mps"
        ) from None
    has_cuda = torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    if not {"cpu": True, "cuda": has_cuda, "mps": has_mps}.get(device.type, False):
        raise RecipeError(f"the device {name!r} is not on this machine; use auto or cpu")
    return device


def check_precision(name: str) -> Precision:
    """Return the precision of a name; raise a RecipeError if there is none."""
    if name not in get_args(Precision):
        raise RecipeError(f"{name!r} is not a precision; use {', '.join(get_args(Precision))}")
    return cast(Precision, name)


def choose_precision(precision: Precision, device: Any) -> NumberFormat:
    """Return the number format of matrix products; "auto" is bf16 where the hardware is fast at it.

    That is CUDA from Ampere on, and CPUs with AMX or AVX512-BF16. It is never fp16.
    """
    import torch

    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return cpu_format() if device.type == "cpu" else "fp32"


def cpu_format() -> NumberFormat:
    """Return what "auto" is on the CPU of this machine."""
    return "bf16" if _processor_has_bf16() else "fp32"


def precision_warning(choice: Choice, asked: Precision, device: Any, began: str) -> str:
    """Return a warning of a training that goes on in another or a slow number format; "" for none.

    `asked` is the precision that is asked for now, and `began` the type of device on which the
    training began, "" if that is unknown.
    """
    used = choice.precision
    is_other = asked not in ("auto", used)
    is_slow = used == "fp16" if device.type == "cpu" else False
    if used == "bf16":
        is_slow = choose_precision("auto", device) == "fp32"
    is_moved = began not in ("", device.type)
    if not (is_other or (is_slow and (is_moved or asked == "auto"))):
        return ""
    return "".join(
        [
            f"training began in {used}{f' on {began}' if began else ''} and continues in {used}",
            f", although precision is {asked} now" if is_other else "",
            f", which is slow on {device.type}" if is_slow else "",
            f"; to train in {asked if is_other else 'fp32'}, start anew in another folder",
            f", or resume on {began}" if is_slow and is_moved else "",
        ]
    )


def _processor_has_bf16() -> bool:
    if (flags := processor_flags()) and not {"amx_tile", "avx512_bf16"} & flags:
        return False
    if find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def precision_of_model(name: str, device: str) -> Precision:
    """Return the precision a model folder names; fp32 for fp16 on a CPU, which is slow at it."""
    precision = check_precision(name)
    return "fp32" if precision == "fp16" and choose_device(device).type == "cpu" else precision


def reading_copy(model: Any, precision: Precision) -> Any:
    """Return the model for prediction: itself in fp32, or a copy in bf16 or fp16."""
    number_format = choose_precision(precision, model.device)
    if number_format == "fp32":
        return model
    from finetext.training.optimizer import cast_weights

    copied = copy.deepcopy(model)
    cast_weights(copied, number_format)
    return copied


def refuse_overflow(outputs: Any, model: Any) -> None:
    """Raise a ModelError if the outputs of a model in fp16 are not finite."""
    import numpy as np
    import torch

    if model.dtype == torch.float16 and not np.isfinite(outputs).all():
        raise ModelError(
            f"{type(model).__name__} in fp16 computes numbers above 65,504, the largest there is; "
            "use precision bf16 or fp32"
        )


@contextmanager
def with_cheap_dropout(model: Any) -> Iterator[None]:
    """Replace every `torch.nn.Dropout` of a model on a CPU by `cheap_dropout` in the body."""
    import torch

    is_cpu = next(model.parameters()).device.type == "cpu"
    replaced = {
        name: of
        for name, of in model.named_modules(remove_duplicate=False)
        if is_cpu and name and type(of) is torch.nn.Dropout and 0 < round(of.p * BYTE_VALUES) < 256
    }
    for name, module in replaced.items():
        model.set_submodule(name, cheap_dropout(module.p).train(module.training))
    try:
        yield
    finally:
        for name, module in replaced.items():
            module.train(model.get_submodule(name).training)
            model.set_submodule(name, module)


def cheap_dropout(share: float) -> Any:
    """Return a module like `torch.nn.Dropout(share)` that draws one random byte per value."""
    import torch

    dropped = round(share * BYTE_VALUES)
    scale = BYTE_VALUES / (BYTE_VALUES - dropped)

    class CheapDropout(torch.nn.Module):
        p = share

        def __reduce__(self) -> Any:  # to another process, for training
            return cheap_dropout, (share,)

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            if not self.training:
                return values
            count = values.numel()
            words = torch.empty(count // 8 + 1, dtype=torch.int64).random_(-(2**63), None)
            level = words.view(torch.uint8)[:count].view(values.shape)
            return values * (level >= dropped).to(values.dtype).mul_(scale)

    return CheapDropout()


def default_choice(model: Any, precision: Precision, device: Any) -> Choice:
    """Return the choice without a measurement: what the hardware is built for, all threads."""
    import torch

    attention = getattr(getattr(model, "config", None), "_attn_implementation", None) or ""
    return Choice(choose_precision(precision, device), attention, torch.get_num_threads())


def use(choice: Choice, model: Any) -> None:
    """Set the attention and the threads of a choice."""
    import torch

    torch.set_num_threads(choice.threads)
    if choice.attention and hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation(choice.attention)


@contextmanager
def applied(choice: Choice, model: Any) -> Iterator[None]:
    """Use the attention and the threads of a choice in the body."""
    before = default_choice(model, "fp32", next(model.parameters()).device)
    use(choice, model)
    try:
        yield
    finally:
        use(before, model)


def fastest_choice(
    model: Any,
    task: Task,
    batches: Sequence[Integers],
    precision: Precision,
    cache: Path | None,
    deadline: Deadline | None = None,
) -> Choice:
    """Return the fastest choice on this machine, measured or remembered in the cache folder.

    If little time is left, and none is remembered, it is the default one.
    """
    default = default_choice(model, precision, next(model.parameters()).device)
    can_choose = hasattr(model, "set_attn_implementation")
    if can_choose:
        default = _eager_if_short(default, model, task)
    if cache is None or not can_choose or len(batches) < FEWEST_STEPS:
        return default
    path = cache / "choices.json"
    known = _remembered(path)
    key = _key(model, task, batches, precision, default)
    if key in known:
        return known[key]
    if deadline is not None and deadline.left < WORTH_SOME_SECONDS:
        return default
    before = _cpu_seconds()
    choice = _measure(model, task, batches, precision, default)
    if _share_of_others(before) > MOST_OTHER_WORK:
        return default
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        every = {**_remembered(path), key: choice}
        write_json(path, {name: asdict(of) for name, of in every.items()})
    except OSError:
        return default
    return choice


def _eager_if_short(default: Choice, model: Any, task: Task) -> Choice:
    """The default with plain attention, where that is known to be faster."""
    is_cpu = next(model.parameters()).device.type == "cpu"
    is_fused = default.precision == "bf16" and default.attention == "sdpa"
    is_short = len(task.lengths) > 0 and float(task.lengths.mean()) <= LONGEST_EAGER
    return replace(default, attention="eager") if is_cpu and is_fused and is_short else default


def _cpu_seconds() -> tuple[float, float, float]:
    """CPU seconds of all programs, idle, and of this process, over all cores."""
    import psutil

    times, own = psutil.cpu_times(), psutil.Process().cpu_times()
    work = times.user + times.system + getattr(times, "nice", 0.0)
    return work, times.idle + getattr(times, "iowait", 0.0), own.user + own.system


def _share_of_others(before: tuple[float, float, float]) -> float:
    """The share of other programs in the CPU time since `before`."""
    work, idle, own = (now - then for now, then in zip(_cpu_seconds(), before, strict=True))
    return max(0.0, work - own) / max(work + idle, 1e-9)


def _measure(
    model: Any, task: Task, batches: Sequence[Integers], precision: Precision, default: Choice
) -> Choice:
    """The fastest of the candidates on the batch of median size."""
    from transformers.utils.import_utils import is_flash_attn_2_available

    lengths = task.lengths
    by_size = sorted(batches, key=lambda rows: len(rows) * int(lengths[rows].max()))
    rows = by_size[len(by_size) // 2]
    rows = rows[: max(1, MOST_POSITIONS // int(lengths[rows].max()))]
    best, seconds = default, WORTH_A_CHANGE * _seconds(model, task, rows, default)
    formats = {default.precision, "fp32"} if precision == "auto" else {default.precision}
    for number_format, attention in product(sorted(formats), ("eager", "sdpa", FLASH)):
        candidate = replace(default, precision=number_format, attention=attention)
        is_possible = attention != FLASH or (
            number_format != "fp32" and is_flash_attn_2_available()
        )
        if candidate != default and is_possible:
            taken = _seconds(model, task, rows, candidate)
            if taken < seconds:
                best, seconds = candidate, taken
    device = next(model.parameters()).device
    if device.type == "cpu" and default.threads > 1 and "OMP_NUM_THREADS" not in os.environ:
        fewer = replace(best, threads=default.threads // 2)
        if _seconds(model, task, rows, fewer) < WORTH_A_CHANGE * seconds:
            best = fewer
    return best


def _seconds(model: Any, task: Task, rows: Integers, choice: Choice) -> float:
    """The shortest time of a step; infinite if the model does not support the choice."""
    import torch

    from finetext.training.optimizer import Optimizer

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
    """Everything that the fastest choice depends on."""
    import torch
    import transformers

    device = next(model.parameters()).device
    where = f"{processor_name()} {torch.backends.cpu.get_cpu_capability()}"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    shape = (getattr(model.config, name, "") for name in names)
    length = 1 << int(task.lengths.mean() - 1).bit_length()
    rows = 1 << (sum(map(len, batches)) // len(batches) - 1).bit_length()
    words = (
        where, os.cpu_count(), torch.__version__, transformers.__version__,
        type(model).__name__, type(getattr(model, "base_model", model)).__name__, *shape,
        length, rows, precision, default.precision, default.threads,
    )  # fmt: skip
    return " ".join(map(str, words))


def _remembered(path: Path) -> dict[str, Choice]:
    """Earlier measurements; none if the file is missing or damaged."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {key: Choice(**of) for key, of in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
