"""How near is finetext's training to what this machine can do, and where does the time go?

    FINETEXT_DATA=../shared/data python benchmarks/roofline.py

By turns, in one process of its own each: the greatest rate of matrix products (several square
and skinny shapes, fp32 and, where the hardware has it, bf16), and the second epoch of
`Finetune.fit` on emotion tweets, everything between its steps included. A last turn runs the same
training under torch.profiler, with the first epoch as warm-up. finetext has a cache folder that
holds what it found before to be the fastest number format, attention and threads on this machine,
if there are 100 steps at least (1,600 rows); for fewer it takes its defaults.

Useful operations are counted from the shapes of the model: 6 for each weight of a linear layer
and real token (2 forward, 4 backward), 12 x length^2 x width a layer for the products of
attention, without padding; embeddings, softmax, normalization and the optimizer count as nothing.
Operations done are what torch's FlopCounterMode sees in another run: more by the padding, less by
what finetext leaves out because it changes no result. The table of times adds up the own time of
each operator, on the processor or, with a GPU, of the kernels that it started.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import common
from common import Answer, Job, Rows

import finetext
from finetext.core.contracts import FitContext, ProgressEvent
from finetext.core.wording import counted

SHAPES: Final = (
    (1024, 1024, 1024), (2048, 2048, 2048), (704, 384, 1536), (704, 1536, 384),
    (2112, 384, 384), (4096, 384, 1536), (4096, 1536, 384),
)  # fmt: skip
SHAPES_OF_GPU: Final = ((4096, 4096, 4096), (8192, 8192, 8192), (16384, 768, 3072))
SECONDS_A_SHAPE: Final = 0.3
GROUPS: Final = (
    ("attention products", ("scaled_dot_product", "_attention", "bmm")),
    ("softmax and loss", ("softmax", "nll_loss", "cross_entropy")),
    ("GELU", ("gelu", "::erf")),
    ("layer norm", ("layer_norm",)),
    ("dropout", ("dropout", "bernoulli")),
    ("gradient norm", ("_norm", "clip_grad")),
    ("matrix products", ("mm", "matmul", "linear")),
    ("filling with zeros", ("fill_", "zero")),
    ("embedding", ("embedding", "index_select", "index_add")),
    ("copies", ("copy", "clone", "::cat", "contiguous", "reorder", "::to")),
)
"""Groups of operators by parts of their names; the first that fits counts."""


def main() -> None:
    """Measure by turns, then profile; print the shares and the table of times."""
    if common.served(work):
        return
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        job = {
            "folder": common.model_folder(options.model, Path(scratch)), "device": options.device,
            "rows": options.rows, "data": options.data, "max_length": options.max_length,
            "precision": options.precision, "cache": str(Path(scratch) / "choice"),
        }  # fmt: skip
        choice = common.alone(__file__, job | {"task": "choose"}, options.threads)
        common.say(common.choice_in_words(choice))
        job["cache"] = job["cache"] if choice["choice"] else None
        turns = []
        for number in range(options.rounds * options.seeds):
            turn = job | {"seed": number % options.seeds}
            turns.append(
                {
                    task: common.alone(__file__, turn | {"task": task}, options.threads)
                    for task in ("peak", "step")
                }
            )
            common.say(f"turn {number + 1}: {turns[-1]['step']['rate']:.1f} rows/s")
        profiled = job | {"task": "profile", "seed": 0}
        profile = common.alone(__file__, profiled, options.threads)
    what = (
        f"Second epoch of {counted(options.rows, 'text')} ({options.data}), {options.model}, "
        f"precision {options.precision}; median [least, greatest] of "
        f"{counted(len(turns), 'turn')}. The profile covers "
        f"{profile['seconds']:.1f} s and {counted(profile['rows'], 'row')}. "
        f"{common.choice_in_words(choice)} {common.threads_in_words(options.threads)}"
    )
    tables = [shares(turns, profile), times(profile)]
    common.finish(options, f"Roofline of training: {options.model}", what, tables)


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = common.parser(__doc__)
    parser.add_argument("--data", default="emotion", choices=list(common.SOURCES))
    parser.add_argument("--model", default="minilm", choices=common.MODELS)
    parser.add_argument("--rows", type=int, default=640, help="of each of two epochs (640)")
    parser.add_argument("--rounds", type=int, default=3, help="turns (3)")
    parser.add_argument("--seeds", type=int, default=1, help="turns with another seed (1)")
    parser.add_argument("--max-length", type=int, default=512, help="tokens (512)")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    return parser.parse_args()


def shares(turns: list[dict[str, Answer]], profile: Answer) -> list[str]:
    """Achieved operations a second against each measured peak."""
    rows = [["training, rows/s", common.spread([turn["step"]["rate"] for turn in turns])]]
    achieved = [turn["step"]["useful_flops_a_second"] for turn in turns]
    rows.append(["training, useful GFLOP/s", common.spread([rate / 1e9 for rate in achieved])])
    done = profile["done_a_row"] / turns[0]["step"]["useful_a_row"]
    rows.append(["operations done / useful ones", f"{done:.3f}"])
    padding = "not seen"
    if profile["positions"]:
        padding = f"{100 * (1 - profile['tokens'] / profile['positions']):.1f}"
    rows.append(["positions that only pad, %", padding])
    for name in turns[0]["peak"]:
        peaks = [turn["peak"][name]["flops_a_second"] for turn in turns]
        shape = "x".join(map(str, turns[0]["peak"][name]["shape"]))
        rows.append([f"peak {name}, GFLOP/s (at {shape})", common.spread([p / 1e9 for p in peaks])])
        part = [100 * rate / peak for rate, peak in zip(achieved, peaks, strict=True)]
        rows.append([f"useful share of the {name} peak, %", common.spread(part)])
        part = [share * done for share in part]
        rows.append([f"share of the {name} peak by operations done, %", common.spread(part)])
    return common.table(["measure", "value"], rows)


def times(profile: Answer) -> list[str]:
    """Where the time of the profiled steps went, and the greatest operators of each group."""
    rows = []
    for name, group in sorted(profile["groups"].items(), key=lambda item: -item[1]["seconds"]):
        largest = sorted(group["operators"].items(), key=lambda item: -item[1])[:3]
        share = 100 * group["seconds"] / profile["seconds"]
        inside = ", ".join(f"{key} {100 * s / profile['seconds']:.1f}" for key, s in largest)
        rows.append([name, f"{group['seconds']:.2f}", f"{share:.1f}", inside])
    return common.table(["group", "s", "% of the time", "largest operators, %"], rows)


def work(job: Job) -> Answer:
    """One of the four tasks."""
    if job["task"] == "peak":
        return peaks_of(job["device"])
    if job["task"] == "choose":
        method, rows = what_to_train(job)
        return common.chosen_by_finetext(method, rows.train, rows.validation, job)
    return step(job) if job["task"] == "step" else profiled_step(job)


def peaks_of(device: str) -> Answer:
    """The best rate of matrix products over the shapes, for each number format."""
    import torch

    gpu = common.on_gpu(device)
    formats = {"fp32": torch.float32}
    if common.bf16_is_fast(device):
        formats["bf16"] = torch.bfloat16
    found = {}
    for name, format in formats.items():
        rates = {
            shape: product_rate(shape, format, "cuda" if gpu else "cpu")
            for shape in SHAPES + (SHAPES_OF_GPU if gpu else ())
        }
        best = max(rates, key=lambda shape: rates[shape])
        found[name] = {"flops_a_second": rates[best], "shape": best}
    return found


def product_rate(shape: tuple[int, int, int], format: Any, device: str) -> float:
    """Operations a second of a linear layer with weights (n, k) on (m, k) inputs."""
    import torch
    from torch.nn.functional import linear

    rows, inner, outer = shape
    left = torch.randn(rows, inner, device=device, dtype=format)
    right = torch.randn(outer, inner, device=device, dtype=format)
    synchronise = torch.cuda.synchronize if device == "cuda" else lambda: None
    fastest, started = float("inf"), time.perf_counter()
    with torch.inference_mode():
        while time.perf_counter() - started < SECONDS_A_SHAPE or fastest == float("inf"):
            synchronise()
            begun = time.perf_counter()
            for _ in range(5):
                linear(left, right)
            synchronise()
            fastest = min(fastest, (time.perf_counter() - begun) / 5)
    return 2 * rows * inner * outer / fastest


class SecondEpoch:
    """A listener to progress that finds the first and last step of the second of two epochs."""

    def __init__(self, rows: int, begin: Callable[[], None], end: Callable[[], None]) -> None:
        """`begin` and `end` are called after those two steps."""
        self.rows = rows
        self.begin, self.end = begin, end
        self.first: tuple[int, float] | None = None
        self.last: tuple[int, float] | None = None

    def __call__(self, event: ProgressEvent) -> None:
        """Hear of a step."""
        if self.first is None and event.done > self.rows:
            self.begin()
            self.first = (event.done, time.perf_counter())
        elif self.first is not None and self.last is None and event.done >= 2 * self.rows:
            self.end()
            self.last = (event.done, time.perf_counter())

    @property
    def covered(self) -> tuple[int, float]:
        """Rows and seconds between the two."""
        if self.first is None or self.last is None:
            raise SystemExit("too few steps to measure: give more --rows")
        return self.last[0] - self.first[0], self.last[1] - self.first[1]


def what_to_train(job: Job) -> tuple[finetext.Finetune, Rows]:
    """The method and its rows."""
    method = finetext.Finetune(
        encoder=job["folder"], epochs=2, max_length=job["max_length"], precision=job["precision"]
    )
    return method, common.rows_of(job["data"], job["rows"], 50, 50)


def fit(job: Job, progress: Callable[[ProgressEvent], None]) -> list[int]:
    """Train for two epochs; the number of tokens of each training text."""
    from transformers import AutoTokenizer

    method, rows = what_to_train(job)
    with common.choice_alone(job) as cache:
        context = FitContext(seed=job["seed"], device=job["device"], cache=cache, progress=progress)
        method.fit(rows.train, rows.validation, context)
    tokenizer = AutoTokenizer.from_pretrained(job["folder"])
    tokens = tokenizer(list(rows.train.texts), truncation=True, max_length=job["max_length"])
    return [len(ids) for ids in tokens["input_ids"]]


def step(job: Job) -> Answer:
    """Rows and useful operations a second in the second epoch."""
    wait = synchroniser(job["device"])
    listener = SecondEpoch(job["rows"], wait, wait)
    lengths = fit(job, listener)
    rows, seconds = listener.covered
    a_row = Operations.of(job["folder"]).count(lengths) / len(lengths)
    rate = rows / seconds
    return {"rate": rate, "useful_a_row": a_row, "useful_flops_a_second": rate * a_row}


def synchroniser(device: str) -> Callable[[], None]:
    """What waits for the GPU, if there is one."""
    import torch

    return torch.cuda.synchronize if common.on_gpu(device) else lambda: None


class Operations(NamedTuple):
    """What a model costs in training.

    Attributes:
        a_token: operations of linear layers for a token, forward and backward.
        a_row: the same of the layers that see one vector a text: pooling and classification.
        a_square: operations of the products of attention for a text of length 1.
    """

    a_token: int
    a_row: int
    a_square: int

    @classmethod
    def of(cls, folder: str) -> Operations:
        """Count the weights of the linear layers, without loading them."""
        import torch
        from transformers import AutoConfig, AutoModelForSequenceClassification

        config = AutoConfig.from_pretrained(folder)
        with torch.device("meta"):
            model = AutoModelForSequenceClassification.from_config(config)
        weights = {True: 0, False: 0}
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear):
                weights["pooler" in name or "classifier" in name] += module.weight.numel()
        square = 12 * config.hidden_size * config.num_hidden_layers
        return cls(6 * weights[False], 6 * weights[True], square)

    def count(self, lengths: list[int]) -> int:
        """Operations of a step on texts of these lengths, without padding."""
        return sum(
            self.a_row + length * self.a_token + length**2 * self.a_square for length in lengths
        )


def profiled_step(job: Job) -> Answer:
    """Own times of operators by group in the second epoch; real and padded positions."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    gpu = common.on_gpu(job["device"])
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]
    profiler = profile(activities=kinds)
    seen = {"tokens": 0, "positions": 0}

    def see(module: Any, inputs: tuple[Any, ...]) -> None:
        padding = getattr(module, "padding_idx", None)  # of the embedding of tokens alone
        if padding is not None and inputs and module.training and torch.is_grad_enabled():
            seen["positions"] += inputs[0].numel()
            seen["tokens"] += int((inputs[0] != padding).sum())

    # Counted in another run of the same steps, so that counting costs no time in the profile.
    hook = torch.nn.modules.module.register_module_forward_pre_hook(see)
    counter = operation_counter()
    listener = SecondEpoch(
        job["rows"], counter.__enter__, lambda: counter.__exit__(None, None, None)
    )
    fit(job, listener)
    hook.remove()
    done = counter.get_total_flops() / listener.covered[0]
    listener = SecondEpoch(job["rows"], profiler.start, profiler.stop)
    fit(job, listener)
    rows, seconds = listener.covered
    groups = grouped(profiler.events(), seconds, gpu)
    return {"rows": rows, "seconds": seconds, "groups": groups, "done_a_row": done, **seen}


def operation_counter() -> Any:
    """A `FlopCounterMode` that also knows the attention of processors, which torch's does not."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def products(query: Any, key: Any) -> int:
        batch, heads, length, width = query
        return int(4 * batch * heads * length * key[2] * width)

    forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    known = {
        forward: lambda query, key, *rest, **options: products(query, key),
        backward: lambda gradient, query, key, *rest, **options: 2 * products(query, key),
    }
    return FlopCounterMode(display=False, custom_mapping=known)


def grouped(events: Any, seconds: float, gpu: bool) -> dict[str, Any]:
    """Own seconds of operators by group, and the rest of the time."""
    groups: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for event in events:
        own = event.self_device_time_total if gpu else event.self_cpu_time_total
        on_host = event.device_type.name == "CPU"
        if on_host and own > 0:
            groups[group_of(event)][short(event.name)] += own / 1e6
    known = sum(sum(operators.values()) for operators in groups.values())
    rest = "GPU idle" if gpu else "outside operators"
    groups[rest]["Python, batches, profiler"] = max(0.0, seconds - known)
    return {
        name: {"seconds": sum(operators.values()), "operators": operators}
        for name, operators in groups.items()
    }


def short(name: str) -> str:
    """The name of an operator without what all have in front."""
    return name.removeprefix("aten::").removeprefix("autograd::engine::evaluate_function: ")


def group_of(event: Any) -> str:
    """The group of an operator, by its name and by what called it."""
    callers, caller = [], event.cpu_parent
    while caller is not None:
        callers.append(caller.name)
        caller = caller.cpu_parent
    lineage = [event.name, *callers]
    if any("Optimizer" in name or "_fused_adam" in name for name in lineage):
        return "optimizer"
    backward = any("evaluate_function" in name or "Backward" in name for name in lineage)
    for group, parts in GROUPS:
        if any(part in event.name for part in parts):
            if group == "matrix products":
                return f"{group}, {'backward' if backward else 'forward'}"
            return group
    return "other, backward" if backward else "other, forward"


if __name__ == "__main__":
    main()
