"""Load the classifier in a model folder, of a run, or of the Hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from finetext.core.budget import within_memory
from finetext.core.contracts import Classifier
from finetext.core.errors import ModelError
from finetext.methods.llm import LlmClassifier
from finetext.models.engines import Engine, engine_of, loader_for
from finetext.models.folder import is_foreign, load_model, model_in_run, warning_of
from finetext.models.hub import model_folder
from finetext.runs.run import Run, is_run


@within_memory
def load(
    folder: str | Path,
    device: str | None = "auto",
    *,
    precision: str | None = None,
    engine: Engine = "throughput",
    say: Callable[[str], None] = lambda line: None,
) -> Classifier:
    """Load the classifier in a model folder, the best one of a run folder, or one of the Hub.

    On a CPU, ONNX Runtime computes BERT models in fp32, from the weights in the folder, if the
    extra `export` is installed, and torch is imported only for other work than prediction. torch
    predicts where the precision is bf16 or fp16, and where it is "auto" and the CPU is faster at
    batches in bf16, unless the engine is "latency".

    Args:
        folder: it, or "hub:owner/name" or "hub:owner/name@revision".
        device: where a neural model predicts: "auto" (the default), "cpu", "cuda", "cuda:1" or
            "mps".
        precision: "fp32", "bf16", "fp16" or "auto"; None (the default) for that of the model,
            which is fp32 for an fp16 model on a CPU.
        engine: "throughput" (the default) for the fastest engine for batches, "latency" for the
            fastest one for single texts, or "torch". `say` is told which engine the first two
            chose, and if it is torch, why.
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

    if not folder.is_dir():
        raise ModelError(f"there is no model or run folder {folder}")
    wanted = None if precision is None else check_precision(precision)
    if device not in (None, "auto", "cpu") or wanted == "fp16":
        choose_device(device or "auto", wanted or "auto")
    run, device = Run.open(folder) if is_run(folder) else None, device or "auto"
    place = folder if run is None else model_in_run(run.folder, run.entry().model)
    if engine != "torch" and is_foreign(place):
        explain("finetext did not save this model")
    return load_model(
        place, device, loader_for(engine, device, wanted is not None, explain), wanted
    )


def _warn(folder: Path, classifier: Classifier, say: Callable[[str], None]) -> None:
    """Say what the user should know about the model."""
    if warning := warning_of(folder):
        say(warning)
    if isinstance(classifier, LlmClassifier):
        say(classifier.told)
