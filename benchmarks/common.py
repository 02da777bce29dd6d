"""What the benchmarks share: data, jobs in processes of their own, tables and records.

A benchmark runs its contenders by turns (A B C A B C ...), each turn in a fresh process, so that
threads, caches and peak memory are its own and a slow minute of the machine hits all alike. A
script calls itself with `--job FILE`: the file holds the job and then takes the answer.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import os
import platform
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, Final, NamedTuple

from record import RESULTS, commit, machine

import finetext
from finetext.core.contracts import FitContext, ProgressEvent
from finetext.core.wording import counted
from finetext.evaluation.proportions import score_interval

LONGEST_JOB: Final = 6 * 3600
TRIES_TO_CHOOSE: Final = 3
INSTRUCTION_SETS: Final = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")
SOURCES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "emotion": ("emotion", {}),
    "films": ("rotten_tomatoes_movies/rotten_tomatoes_movies.csv", {"group": "movie"}),
    "imdb": ("imdb", {"text": "text", "label": "label"}),
    "bbc": ("bbc-news", {}),
    "banking77": ("banking77/train.csv", {"text": "text", "label": "category"}),
}
SHAPES: Final = {"tiny": (32, 2, 2, 64), "bert-base": (768, 12, 12, 3072)}
MODELS: Final = ("minilm", *SHAPES)

Job = dict[str, Any]
Answer = dict[str, Any]


class Rows(NamedTuple):
    """Training rows, rows to choose a checkpoint on, and rows to measure accuracy on."""

    train: finetext.Dataset
    validation: finetext.Dataset
    held_out: finetext.Dataset


def rows_of(name: str, train: int, validation: int, held_out: int) -> Rows:
    """Rows of a data set of `SOURCES`, always the same; test rows are never touched.

    All but the BBC articles, a sample of finetext, lie in the folder of the data sets.

    Films are split by film, so that counts are met as nearly as whole films allow. The rows to
    measure on and those to choose a checkpoint on are a random cut of the validation part.
    """
    import numpy as np

    path, settings = SOURCES[name]
    source = path if name == "bbc" else data_folder() / path
    data = finetext.read(source, **settings)
    sizes = finetext.SplitSettings(train=train, validation=validation + held_out)
    parts = finetext.split(data, sizes, seed=0)
    order = np.random.default_rng(0).permutation(len(parts.validation))
    return Rows(
        parts.train,
        parts.validation.select(np.sort(order[:validation])),
        parts.validation.select(np.sort(order[validation:])),
    )


def data_folder() -> Path:
    """The folder of the data sets."""
    folder = os.environ.get("FINETEXT_DATA")
    if not folder:
        raise SystemExit("set FINETEXT_DATA to the folder of the data (benchmarks/README.md)")
    return Path(folder)


def model_folder(name: str, scratch: Path) -> str:
    """The folder of an encoder of `MODELS`; all have the tokenizer of MiniLM.

    "bert-base" (110 M parameters) and "tiny" (two layers, 32 wide) are randomly initialized and
    written below `scratch`.
    """
    from finetext.encoders.catalogue import resolve

    minilm = resolve("minilm").path
    if name == "minilm":
        return minilm
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    width, layers, heads, between = SHAPES[name]
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=layers,
        num_attention_heads=heads, intermediate_size=between,
    )  # fmt: skip
    torch.manual_seed(0)
    folder = scratch / name
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cores = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    made.add_argument("--threads", type=int, default=cores, help=f"of each process ({cores})")
    made.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    made.add_argument("--record", action="store_true", help="append the tables to RESULTS.md")
    made.add_argument(
        "--ledgers", type=Path, default=Path("runs/ledgers"), metavar="FOLDER",
        help="where long benchmarks keep what they have found, to go on later (runs/ledgers)",
    )  # fmt: skip
    made.add_argument("--note", default="", help="a sentence for the record")
    return made


def served(work: Callable[[Job], Answer]) -> bool:
    """In a process started by `alone`, do the job and write its answer; else say no."""
    if sys.argv[1:2] != ["--job"]:
        return False
    path = Path(sys.argv[2])
    path.write_text(json.dumps(work(json.loads(path.read_text()))))
    return True


class JobFailed(Exception):
    """A process of `answer_of` failed or took too long; the message has the end of its output."""


def alone(script: str, job: Job, threads: int) -> Answer:
    """Do a job in a fresh process of `script`, without network, and return its answer."""
    try:
        return answer_of(script, job, threads)
    except JobFailed as failure:
        raise SystemExit(f"{failure}\nthis job failed: {job}") from None


def answer_of(
    script: str,
    job: Job,
    threads: int,
    python: str = sys.executable,
    longest: float = LONGEST_JOB,
    more: dict[str, str] | None = None,
) -> Answer:
    """Do as `alone`, with another interpreter, time limit and further variables; may raise."""
    count = str(threads)
    environment = os.environ | {
        "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "RAYON_NUM_THREADS": count,
        "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", **(more or {}),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(job))
        try:
            done = subprocess.run(
                [python, script, "--job", str(path)],
                env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                timeout=longest,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise JobFailed(f"not finished within {longest:.0f} s") from None
        if done.returncode:
            raise JobFailed(done.stderr[-3000:])
        return json.loads(path.read_text())


class FirstStepEnded(Exception):
    """Ends a training after its first step."""


def chosen_by_finetext(method: finetext.Finetune, train: Any, validation: Any, job: Job) -> Answer:
    """Let `Finetune` find out what is fastest here and keep it in the folder `job["cache"]`.

    That is the beginning of a training, up to its first step; it is tried again where other
    programs disturbed the measurement.

    Returns:
        "choice", what is fastest, or nothing if none was measured; "why" not; "seconds" up to the
        end of the first step with the measurement, and the "usual" ones without it.
    """
    from finetext.methods.regimes import SHORT, batch_size_for
    from finetext.training.precision import FEWEST_STEPS

    size = method.batch_size or batch_size_for(len(train), SHORT)
    steps = math.ceil(len(train) / size) * (method.epochs or 1)
    if steps < FEWEST_STEPS:
        return {"choice": {}, "why": f"it measures nothing for fewer than {FEWEST_STEPS} steps"}

    def seconds(cache: Path | None) -> float:
        context = FitContext(device=job["device"], cache=cache, progress=stop)
        started = time.perf_counter()
        with threads_not_fixed(), suppress(FirstStepEnded):
            method.fit(train, validation, context)
        return time.perf_counter() - started

    def stop(event: ProgressEvent) -> None:
        if event.done:
            raise FirstStepEnded

    seconds(None)  # imports and the first reading of the weights
    cache, usual = Path(job["cache"]), seconds(None)
    kept = cache / "choices.json"
    for _ in range(TRIES_TO_CHOOSE):
        taken = seconds(cache)
        if kept.exists():
            [choice] = json.loads(kept.read_text(encoding="utf-8")).values()
            return {"choice": choice, "seconds": taken, "usual": usual}
    return {"choice": {}, "why": "other programs disturbed its measurement"}


@contextmanager
def threads_not_fixed() -> Iterator[None]:
    """Take OMP_NUM_THREADS away, with which finetext does not try fewer threads.

    torch has read it before and keeps to it.
    """
    import torch

    torch.get_num_threads()
    fixed = os.environ.pop("OMP_NUM_THREADS", None)
    try:
        yield
    finally:
        if fixed is not None:
            os.environ["OMP_NUM_THREADS"] = fixed


@contextmanager
def choice_alone(job: Job) -> Iterator[Path | None]:
    """A cache folder that holds what finetext chose before and nothing else, no tokens above all.

    None if nothing was chosen, as finetext would then measure within what is timed.
    """
    if job["cache"] is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        before = Path(job["cache"]) / "choices.json"
        after = Path(shutil.copy(before, folder))
        with threads_not_fixed():
            yield Path(folder)
        if after.read_bytes() != before.read_bytes():
            raise SystemExit("finetext chose again within what is timed")


def choice_in_words(found: Answer) -> str:
    """A sentence on what finetext chose and how long that took."""
    if not found["choice"]:
        return f"finetext runs with its defaults, as {found['why']}."
    words = ", ".join(f"{name} {value}" for name, value in found["choice"].items())
    return (
        f"finetext runs with {words}, chosen before, not timed: its first step ended after "
        f"{found['seconds']:.1f} s, and after {found['usual']:.1f} s without choosing."
    )


def threads_in_words(threads: int) -> str:
    """A sentence on the threads that every contender has."""
    return f"Every process has OMP_NUM_THREADS={threads}, MKL and Rayon (tokenizers) the same."


@contextmanager
def measured() -> Iterator[Answer]:
    """Seconds of a block, memory (MiB) before it and at its peak, threads of torch after it."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    reset_peak()
    found: Answer = {"before_mib": memory("VmRSS")}
    started = time.perf_counter()
    yield found
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        found["gpu_mib"] = torch.cuda.max_memory_allocated() / 2**20
    found["seconds"] = time.perf_counter() - started
    found["peak_mib"] = memory("VmHWM")
    found["threads"] = torch.get_num_threads()


def reset_peak() -> None:
    """Give freed memory back and let the peak begin anew, where the system can do that."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    switch = Path("/proc/self/clear_refs")
    if switch.exists():
        switch.write_text("5")


def memory(field: str) -> float:
    """Resident memory of this process in MiB: "VmRSS" now, "VmHWM" at its peak.

    Where there is no /proc it is the peak in either case.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        unit = 2**20 if platform.system() == "Darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    line = next(line for line in status.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 2**10


def instruction_sets() -> list[str]:
    """Which of `INSTRUCTION_SETS` the processor has."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return [name for name in INSTRUCTION_SETS if name in flags]


def bf16_is_fast(device: str) -> bool:
    """Whether the hardware multiplies bf16: AMX, AVX512-BF16, or CUDA from Ampere on."""
    if on_gpu(device):
        import torch

        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool({"amx_bf16", "avx512_bf16"} & set(instruction_sets()))


def on_gpu(device: str) -> bool:
    """Whether a device of the options is a GPU."""
    import torch

    return device != "cpu" and torch.cuda.is_available()


def surroundings(threads: int, device: str) -> str:
    """Date, commit, processor or GPU, threads and versions, for a record."""
    import torch

    place = f"{machine()} ({', '.join(instruction_sets()) or 'no vector extensions known'})"
    if on_gpu(device):
        place += f", {torch.cuda.get_device_name()}"
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {place}, "
        f"{counted(threads, 'thread')}, {versions}."
    )


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table with columns of equal width."""
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    lines = [
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in (titles, *rows)
    ]
    return [lines[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines[1:]]


class Ledger:
    """Answers that were found before, so that a benchmark of hours can be resumed.

    One JSON object a line in FOLDER/NAME.jsonl. Delete the file to measure anew.
    """

    def __init__(self, name: str, folder: Path) -> None:
        """Open it; the folder is made if need be.

        Args:
            name: of the benchmark.
            folder: of all ledgers.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{name}.jsonl"
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        self._known = [json.loads(line) for line in lines]

    def get(
        self, job: Job, work: Callable[[], Answer], again: Callable[[Answer], bool] | None = None
    ) -> Answer:
        """The answer to a job: the one that is known, or what `work` gives now.

        A known answer for which `again` is true is found anew.
        """
        for line in reversed(self._known):
            if line["job"] == job and not (again and again(line["answer"])):
                return line["answer"]
        answer = work()
        line = {"job": job, "answer": answer, "found": f"{datetime.now(UTC):%Y-%m-%d %H:%M}"}
        self._known.append(line)
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        return answer

    def answers(self) -> list[tuple[Job, Answer]]:
        """All jobs that are known with their answers, the newest last."""
        return [(line["job"], line["answer"]) for line in self._known]


def mean_and_spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean and standard deviation over seeds."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{fmean(values):.{digits}f} ± {stdev(values):.{digits}f}"


def paired(ours: Sequence[float], theirs: Sequence[float], digits: int = 3) -> str:
    """Mean difference over paired seeds with its 95% interval by Student's t."""
    from scipy import stats

    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    middle = fmean(differences)
    if len(differences) == 1:
        return f"{middle:+.{digits}f}"
    error = stdev(differences) / math.sqrt(len(differences))
    half = float(stats.t.ppf(0.975, len(differences) - 1)) * error
    return f"{middle:+.{digits}f} [{middle - half:+.{digits}f}, {middle + half:+.{digits}f}]"


def share(values: Sequence[float]) -> str:
    """A share of simulations in percent with its 95% interval (Wilson, JASA 1927)."""
    low, high = score_interval(fmean(values), len(values))
    return f"{fmean(values):.1%} [{low:.1%}, {high:.1%}]"


def spread(values: Sequence[float], digits: int = 1) -> str:
    """The median, and the least and the greatest if there are several."""
    middle = f"{median(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def say(text: str) -> None:
    """Tell how far it has come, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def finish(options: argparse.Namespace, title: str, what: str, tables: Sequence[list[str]]) -> None:
    """Print the results and, with `--record`, append them to RESULTS.md."""
    arguments = shlex.join(word for word in sys.argv[1:] if word != "--record")
    body = "\n\n".join("\n".join(lines) for lines in tables)
    section = (
        f"## {title}\n\n    python benchmarks/{Path(sys.argv[0]).name} {arguments}".rstrip()
        + f"\n\n{surroundings(options.threads, options.device)} {what} {options.note}".rstrip()
        + f"\n\n{body}\n"
    )
    print(section)
    if options.record:
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(f"{section}\n")
