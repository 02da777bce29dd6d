"""Load the classifier in a model folder, of a run, or of the Hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from finetext.core.budget import within_memory
from finetext.core.contracts import Classifier
from finetext.core.errors import ModelError, UnknownNameError
from finetext.methods.llm import LlmClassifier
from finetext.methods.members import LoadKind, load_kind
from finetext.models.engines import FastLoader, engine_of
from finetext.models.folder import load_model, model_in_run, warning_of
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

    A classifier that only predicts can have the fastest engine. Then ONNX Runtime computes what an
    encoder of the BERT family does, in fp32 from the same weights, and torch is imported only if
    something else is asked of the classifier. That needs the packages of the extra `export`, and is
    for a CPU where no precision is asked for; and for batches only where the CPU is not faster in
    bf16.

    Args:
        folder: it, or "hub:owner/name" or "hub:owner/name@revision".
        device: where a neural model predicts: "auto" (the default), "cpu", "cuda", "cuda:1" or
            "mps".
        precision: "fp32", "bf16", "fp16" or "auto"; None (the default) for that of the model,
            which is fp32 for an fp16 model on a CPU.
        engine: "torch" (the default) for any use, "latency" for the fastest engine for single
            texts, or "throughput" for the fastest one for batches; `say` is told which that is.
        say: called with a warning if finetext did not write the model, or its description was
            changed since; and with the address to which a model sends texts.

    Raises:
        ModelError: it is no model, is damaged, or cannot be fetched.
        RunError: the run is unfinished or damaged.
        RecipeError: there is no such device or precision here.
        UnknownNameError: there is no such engine.
    """
    from finetext.training.precision import check_precision, choose_device

    if engine not in get_args(Engine):
        raise UnknownNameError("engine", engine, get_args(Engine))

    folder = model_folder(folder)
    if not folder.is_dir():
        raise ModelError(f"there is no model or run folder {folder}")
    wanted = None if precision is None else check_precision(precision)
    if device not in (None, "auto", "cpu") or wanted == "fp16":
        choose_device(device or "auto", wanted or "auto")
    run, device = Run.open(folder) if is_run(folder) else None, device or "auto"
    loader: LoadKind = load_kind
    if wanted is None and _is_fast_at(engine, device):
        loader = FastLoader(say)
    place = folder if run is None else model_in_run(run.folder, run.entry().model)
    classifier = load_model(place, device, loader)
    if wanted is not None:
        classifier = classifier.with_precision(wanted)
    if engine != "torch" and (computes := engine_of(classifier)):
        say(f"engine: {computes}")
    if warning := warning_of(folder):
        say(warning)
    if isinstance(classifier, LlmClassifier):
        say(classifier.told)
    return classifier


def _is_fast_at(engine: Engine, device: str) -> bool:
    """Return whether ONNX Runtime on the CPU is the fastest engine where there is a choice."""
    from finetext.training.precision import cpu_format, device_type

    if engine == "torch" or device_type(device) != "cpu":
        return False
    return engine == "latency" or cpu_format() == "fp32"
