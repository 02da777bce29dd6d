"""Load the classifier in a model folder, of a run, or of the Hub."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from finetext.core.budget import within_memory
from finetext.core.contracts import Classifier
from finetext.core.errors import ModelError, UnknownNameError
from finetext.core.settings import Precision
from finetext.methods.llm import LlmClassifier
from finetext.methods.members import LoadKind, load_kind
from finetext.models.engines import FastLoader, engine_of
from finetext.models.folder import is_foreign, load_model, model_in_run, warning_of
from finetext.models.hub import model_folder
from finetext.runs.run import Run, is_run

Engine = Literal["torch", "latency", "throughput"]


@within_memory
def load(
    folder: str | Path,
    device: str | None = "auto",
    *,
    precision: str | None = None,
    engine: Engine = "torch",
    say: Callable[[str], None] = lambda line: None,
) -> Classifier:
    """Load the classifier in a model folder, the best one of a run folder, or one of the Hub.

    The engines "latency" and "throughput" are for prediction on a CPU. ONNX Runtime then computes
    BERT models in fp32, from the weights in the folder, if the extra `export` is installed, and
    torch is imported only for other work than prediction. torch predicts where the precision is
    bf16 or fp16, and batches where it is "auto" and the CPU is faster at them in bf16.

    Args:
        folder: it, or "hub:owner/name" or "hub:owner/name@revision".
        device: where a neural model predicts: "auto" (the default), "cpu", "cuda", "cuda:1" or
            "mps".
        precision: "fp32", "bf16", "fp16" or "auto"; None (the default) for that of the model,
            which is fp32 for an fp16 model on a CPU.
        engine: "torch" (the default), "latency" for the fastest engine for single texts, or
            "throughput" for the fastest one for batches. `say` is told which engine that is, and
            if it is torch, why.
        say: called with a warning if finetext did not write the model, or its description was
            changed since; and with the address to which a model sends texts.

    Raises:
        ModelError: it is no model, is damaged, or cannot be fetched.
        RunError: the run is unfinished or damaged.
        RecipeError: there is no such device or precision here.
        UnknownNameError: there is no such engine.
    """
    folder, reasons = model_folder(folder), list[str]()
    classifier = _loaded(folder, device, precision, engine, reasons.append)
    if engine != "torch" and (computes := engine_of(classifier)):
        for reason in dict.fromkeys(reasons):
            say(f"torch predicts instead of ONNX Runtime: {reason}")
        say(f"engine: {computes}")
    _warn(folder, classifier, say)
    return classifier


@within_memory
def load_for(
    engine: Engine,
    folder: str | Path,
    device: str | None = None,
    precision: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Classifier:
    """Load a classifier for a command, which chooses the engine itself; see `load`.

    `say` is not told the engine, nor why it is torch.
    """
    folder = model_folder(folder)
    classifier = _loaded(folder, device, precision, engine, lambda reason: None)
    _warn(folder, classifier, say)
    return classifier


def _loaded(
    folder: Path,
    device: str | None,
    precision: str | None,
    engine: Engine,
    explain: Callable[[str], None],
) -> Classifier:
    """Return the classifier; `explain` is told why ONNX Runtime does not predict."""
    from finetext.training.precision import check_precision, choose_device

    if engine not in get_args(Engine):
        raise UnknownNameError("engine", engine, get_args(Engine))
    if not folder.is_dir():
        raise ModelError(f"there is no model or run folder {folder}")
    wanted = None if precision is None else check_precision(precision)
    if device not in (None, "auto", "cpu") or wanted == "fp16":
        choose_device(device or "auto", wanted or "auto")
    run, device = Run.open(folder) if is_run(folder) else None, device or "auto"
    place = folder if run is None else model_in_run(run.folder, run.entry().model)
    loader: LoadKind = load_kind
    if engine != "torch":
        loader = FastLoader(explain, partial(_why_torch, engine, device, wanted is not None))
        if is_foreign(place):
            explain("finetext did not save this model")
    return load_model(place, device, loader, wanted)


def _why_torch(engine: Engine, device: str, is_asked: bool, precision: Precision | None) -> str:
    """Return why torch predicts what ONNX Runtime could; "" if ONNX Runtime does.

    The precision is that which is asked for, else that of the model; None is "auto".
    """
    from finetext.training.precision import cpu_format

    if (kind := _device_type(device)) != "cpu":
        return f"the device is {kind}"
    if precision in ("bf16", "fp16"):
        return f"the precision{'' if is_asked else ' of the model'} is {precision}"
    if engine == "throughput" and precision != "fp32" and cpu_format() != "fp32":
        return f"this CPU predicts batches faster in {cpu_format()}"
    return ""


def _device_type(name: str) -> str:
    """Return "cpu", "cuda" or "mps"; torch is imported only where there may be a GPU."""
    from finetext.training.precision import choose_device

    signs = ("nvidia[0-9]*", "kfd", "dxg")  # the devices of CUDA, of ROCm, and of both in WSL
    has_signs = sys.platform != "linux" or any(any(Path("/dev").glob(of)) for of in signs)
    is_cpu = name == "cpu" or (name == "auto" and not has_signs)
    return "cpu" if is_cpu else str(choose_device(name).type)


def _warn(folder: Path, classifier: Classifier, say: Callable[[str], None]) -> None:
    """Say what the user should know about the model."""
    if warning := warning_of(folder):
        say(warning)
    if isinstance(classifier, LlmClassifier):
        say(classifier.told)
