"""Load the classifier in a model folder, of a run, or of the Hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from finetext.core.budget import within_memory
from finetext.core.contracts import Classifier
from finetext.core.errors import ModelError
from finetext.methods.llm import LlmClassifier
from finetext.models.folder import load_model, warning_of
from finetext.models.hub import model_folder
from finetext.runs.run import Run, is_run


@within_memory
def load(
    folder: str | Path,
    device: str | None = "auto",
    *,
    precision: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Classifier:
    """Load the classifier in a model folder, the best one of a run folder, or one of the Hub.

    Args:
        folder: it, or "hub:owner/name" or "hub:owner/name@revision".
        device: where a neural model predicts: "auto" (the default), "cpu", "cuda", "cuda:1" or
            "mps".
        precision: "fp32", "bf16", "fp16" or "auto"; None (the default) for that of the model,
            which is fp32 for an fp16 model on a CPU.
        say: called with a warning if finetext did not write the model, or its description was
            changed since; and with the address to which a model sends texts.

    Raises:
        ModelError: it is no model, is damaged, or cannot be fetched.
        RunError: the run is unfinished or damaged.
        RecipeError: there is no such device or precision here.
    """
    from finetext.training.precision import check_precision, choose_device

    folder = model_folder(folder)
    if not folder.is_dir():
        raise ModelError(f"there is no model or run folder {folder}")
    wanted = None if precision is None else check_precision(precision)
    if device not in (None, "auto", "cpu") or wanted == "fp16":
        choose_device(device or "auto", wanted or "auto")
    run, device = Run.open(folder) if is_run(folder) else None, device or "auto"
    classifier = load_model(folder, device) if run is None else run.classifier(device=device)
    if warning := warning_of(folder):
        say(warning)
    if isinstance(classifier, LlmClassifier):
        say(classifier.told)
    return classifier if wanted is None else classifier.with_precision(wanted)
