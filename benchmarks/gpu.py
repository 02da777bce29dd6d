"""What a GPU gives: one prepared script for ten minutes on a GPU.

    FINETEXT_DATA=../shared/data python benchmarks/gpu.py --out gpu
    python benchmarks/gpu.py --out rehearsal --device cpu --rows 64 --models tiny

Without FINETEXT_DATA it takes the BBC articles that come with `finetext[offline]`. In the order of
what is to be known first, as far as the minutes last; what did not fit is named at the end:
  agreement  are labels and probabilities those of the processor: of a saved model in fp32 and
             bf16, of a text alone and in a batch, of a model trained there with the same seed
  training   `train_vs_trainer.py` in bf16: MiniLM, then a BERT of 110 M parameters
  roofline   `roofline.py`: share of the peak of matrix products, positions that only pad
  attention  `attention.py`: padded against packed
  prediction `predict_vs_pipeline.py`
Each part writes OUT/PART.md as it ends, and one that fails OUT/PART.log.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import common
import numpy as np
from common import Answer, Job

import finetext
from finetext.core.contracts import FitContext

HERE: Final = Path(__file__).resolve().parent
SIZES: Final = {"minilm": 4_000, "bert-base": 2_000, "tiny": 64}
SHORTEST: Final = 20.0
"""Seconds in which no part of them can end."""


def main() -> None:
    """Do one part after another while there is time; exits with 1 if one failed or is missing."""
    if common.served(work):
        return
    options = arguments()
    if options.device != "cpu" and not common.on_gpu(options.device):
        raise SystemExit("no GPU is seen here: --device cpu rehearses the script")
    options.out.mkdir(parents=True, exist_ok=True)
    ends = time.monotonic() + 60 * options.minutes
    missing = []
    for name, command in parts_of(options).items():
        left = ends - time.monotonic()
        if left < SHORTEST or not is_done(options, name, command, left):
            missing.append(name)
    if missing:
        raise SystemExit(f"failed, or out of time: {', '.join(missing)}; see {options.out}")


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = common.parser(__doc__)
    parser.add_argument("--out", type=Path, default=Path("gpu"), help="folder of results (gpu)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of all parts (10)")
    parser.add_argument("--rows", type=int, help="to train on (minilm 4000, bert-base 2000)")
    parser.add_argument(
        "--models", nargs="+", default=["minilm", "bert-base"], choices=common.MODELS
    )
    return parser.parse_args()


def parts_of(options: argparse.Namespace) -> dict[str, list[str]]:
    """Return the parts in their order with the words of their commands; agreement has none."""
    data = "emotion" if os.environ.get("FINETEXT_DATA") else "bbc"
    shared = ["--device", options.device, "--threads", str(options.threads)]
    found: dict[str, list[str]] = {"agreement": []}

    def size(model: str) -> list[str]:
        return ["--rows", str(options.rows or SIZES[model])]

    for model in options.models:
        found[f"training-{model}"] = [
            "train_vs_trainer.py", "--data", data, "--model", model, "--epochs", "2",
            "--seeds", "1", "--held-out", "200", *size(model), *shared,
        ]  # fmt: skip
    for model in options.models:
        found[f"roofline-{model}"] = [
            "roofline.py", "--data", data, "--model", model, "--rounds", "1",
            *size(model), *shared,
        ]  # fmt: skip
    for model in options.models:
        found[f"attention-{model}"] = [
            "attention.py", "--data", data, "--model", model, *size(model), *shared,
        ]  # fmt: skip
    contenders = ["pipeline-32", "torch-sorted", "torch-sorted-bf16", "finetext"]
    found["prediction"] = [
        "predict_vs_pipeline.py", "--data", data, "--rounds", "1", "--calls", "50",
        "--contenders", *contenders, "--rows", str(min(options.rows or 1_000, 1_000)), *shared,
    ]  # fmt: skip
    return found


def is_done(options: argparse.Namespace, name: str, command: list[str], left: float) -> bool:
    """Do a part within so many seconds and keep what it prints; whether that worked."""
    common.say(f"{name}: {left:.0f} s are left")
    result = options.out / f"{name}.md"
    try:
        if not command:
            result.write_text(agreement(options, left))
            return True
        done = run([sys.executable, str(HERE / command[0]), *command[1:]], left)
    except (subprocess.TimeoutExpired, common.JobFailed) as error:
        (options.out / f"{name}.log").write_text(str(error))
        return False
    if done.returncode:
        (options.out / f"{name}.log").write_text(done.stderr)
        return False
    result.write_text(done.stdout)
    return True


def run(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a command; once its time is over, kill it with all processes that it started.

    Raises subprocess.TimeoutExpired then.
    """
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        try:
            said, errors = running.communicate(timeout=seconds)
        except BaseException:  # Ctrl-C does not reach another session
            os.killpg(running.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, running.returncode, said, errors)


def agreement(options: argparse.Namespace, left: float) -> str:
    """Return the section of what differs from the processor."""
    with tempfile.TemporaryDirectory() as scratch:
        job = {
            "folder": common.model_folder(options.models[0], Path(scratch)),
            "saved": str(Path(scratch) / "saved"), "rows": options.rows or 320,
            "data": "emotion" if os.environ.get("FINETEXT_DATA") else "bbc",
            "device": options.device,
        }  # fmt: skip
        answer = common.answer_of(__file__, job, options.threads, longest=left)
    titles = ["against the processor in fp32", "largest difference", "same labels, %"]
    rows = [[name, f"{of['apart']:.1e}", f"{of['same']:.1f}"] for name, of in answer.items()]
    body = "\n".join(common.table(titles, rows))
    return (
        f"## Agreement of a GPU with the processor\n\n"
        f"{common.surroundings(options.threads, options.device)} {options.models[0]}, "
        f"{job['rows']} rows to learn from, one epoch.\n\n{body}\n"
    )


def work(job: Job) -> Answer:
    """Train on the processor, save, and compare what the device makes of it."""
    rows = common.rows_of(job["data"], job["rows"], 50, 200)
    texts, device = list(rows.held_out.texts), job["device"]

    def trained(where: str, precision: Any) -> Any:
        method = finetext.Finetune(encoder=job["folder"], epochs=1, precision=precision)
        return method.fit(rows.train, rows.validation, FitContext(seed=0, device=where))

    original = trained("cpu", "fp32")
    expected = original.predict_proba(texts)
    original.save(job["saved"])

    def compared(found: Any) -> dict[str, float]:
        same = (found.argmax(axis=1) == expected.argmax(axis=1)).mean()
        return {"apart": float(np.abs(found - expected).max()), "same": 100 * float(same)}

    answer: Answer = {}
    for precision in ("fp32", "bf16"):
        if precision == "bf16" and not common.bf16_is_fast(device):
            continue
        loaded = finetext.load(job["saved"], device=device, precision=precision)
        answer[f"the saved model in {precision}"] = compared(loaded.predict_proba(texts))
        alone = np.concatenate([loaded.predict_proba([text]) for text in texts])
        answer[f"the same, each text alone, in {precision}"] = compared(alone)
        again = trained(device, precision).predict_proba(texts)
        answer[f"trained there in {precision}"] = compared(again)
    return answer


if __name__ == "__main__":
    main()
