"""`finetext train` under torchrun and `accelerate launch`, whose processes are killed, too."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

LONGEST = 600
"""Seconds, on a machine that does much else."""
ALONE = (sys.executable,)
TORCHRUN = (*ALONE, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
ACCELERATE = (
    *ALONE, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1",
    "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
    "--num_processes",
)  # fmt: skip
TOPICS = {"sport": "team match goal", "money": "bank shares loan", "food": "soup bread cake"}
EPOCHS, STEPS = 12, 14 * 12


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> list[str]:
    """What all trainings are given: a file, and how to learn it."""
    drawn, rows = random.Random(0), ["text,label"]
    for number in range(300):
        label = drawn.choice(list(TOPICS))
        words = [drawn.choice(TOPICS[of].split()) for of in (label, label, "food")]
        rows.append(f"{' '.join(words)} {number},{label}")
    path = tmp_path_factory.mktemp("data") / "topics.csv"
    path.write_text("\n".join([*rows, ""]))
    settings = ("finetune.batch_size=16", "finetune.learning_rate=1e-3", "refit=false")
    return [
        str(path), "--methods", "finetune", "--encoder", str(tiny_encoder), "--precision", "fp32",
        "--epochs", str(EPOCHS), "--no-cross-validate", "--device", "cpu",
        *(word for of in (*settings, "checkpoint_steps=5") for word in ("--set", of)),
    ]  # fmt: skip


def start(launcher: Sequence[str], out: Path, *words: str) -> subprocess.Popen[str]:
    """Start a training: one process has one thread, and nobody chose those of several."""
    environment = dict(os.environ)
    if launcher != ALONE:
        environment.pop("OMP_NUM_THREADS", None)
    command = [*launcher, "-m", "finetext", "train", *words, "--out", str(out)]
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def done(launcher: Sequence[str], out: Path, *words: str) -> str:
    """Train to the end; return what was said."""
    process = start(launcher, out, *words)
    said, _ = process.communicate(timeout=LONGEST)
    assert process.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def whole(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    out = tmp_path_factory.mktemp("whole") / "run"
    done(ALONE, out, *options)
    return out


def assert_same(run: Path, whole: Path) -> None:
    """Weights are equal up to rounding, which is all that the biases of attention keys learn."""
    one, two = (load_file(of / "finetune/model/model.safetensors") for of in (run, whole))
    for name, weight in one.items():
        if not name.endswith("key.bias"):
            assert float((weight - two[name]).abs().max()) < 2e-5, name


def begun(launcher: Sequence[str], out: Path, *words: str) -> subprocess.Popen[str]:
    """Start a training that goes on; return once it has written a checkpoint."""
    latest = out / "finetune/checkpoint/latest.safetensors"
    before = latest.stat().st_mtime_ns if latest.exists() else 0
    process = start(launcher, out, *words)
    until = time.monotonic() + LONGEST
    while not latest.exists() or latest.stat().st_mtime_ns == before:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.02)
    return process


def rank(launcher: subprocess.Popen[str], number: int) -> psutil.Process:
    """The process of a number that was launched."""
    every = psutil.Process(launcher.pid).children()
    return next(of for of in every if of.environ().get("RANK") == str(number))


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for the end, which comes in time; return what was said."""
    began = time.monotonic()
    said, _ = process.communicate(timeout=LONGEST)
    assert process.returncode != 0
    assert time.monotonic() - began < 120
    return said


def test_what_is_stopped_and_killed_goes_on_and_learns_the_same(
    options: list[str], whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = begun((*TORCHRUN, "2"), out, *options)
    process.send_signal(signal.SIGINT)
    said = ended(process)
    assert said.count("to resume: finetext train --resume --out") == 1
    assert "Connection closed" not in said
    environment = json.loads((out / "environment.json").read_text())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    assert environment["processes"] == 2
    assert environment["threads"] >= 1
    assert cores is None or environment["threads"] <= max(1, cores // 2)

    process = begun((*ACCELERATE, "3"), out, "--resume")
    rank(process, 1).kill()
    said = ended(process)
    assert said.count("to resume: ") == 1
    assert "the first of 3 processes" not in said

    process = begun((*TORCHRUN, "2"), out, "--resume")
    rank(process, 0).kill()
    said = ended(process)
    assert said.count("--resume") == 1
    assert "finetext: the first of 2 processes, which writes the run, ended; to continue" in said

    done(ALONE, out, "--resume")
    assert_same(out, whole)
    lines = (out / "finetune/log.jsonl").read_text().splitlines()
    events = [str(json.loads(line).get("event")) for line in lines]
    divided = [of.split(" processes")[0] for of in events if of.startswith("steps are divided")]
    assert [of[-1] for of in divided] == ["2", "3", "2"]
    resumed = [of for of in events if of.startswith("resumed at")]
    assert len(resumed) == 3
    assert all(of.endswith(f" of {STEPS}") for of in resumed)


def test_mistakes_are_said_once(options: list[str], tmp_path: Path) -> None:
    process = start((*TORCHRUN, "2"), tmp_path / "run", "missing.csv")
    assert ended(process).count("missing.csv") == 1
    assert not (tmp_path / "run").exists()
