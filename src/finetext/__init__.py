"""Turn a file of labeled text into a classifier that you can trust.

These are the public names of the library. Each is imported when it is first used, so that
`import finetext` is fast.

    run = finetext.train("reviews.csv")
    run.classifier()("What a film!")

"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from finetext.core import __version__

if TYPE_CHECKING:
    from finetext.batch.predict_file import predict_file
    from finetext.core.contracts import Classifier, Listener, Method, predict
    from finetext.core.errors import FinetextError
    from finetext.core.settings import ReadSettings, ServeSettings, SplitSettings
    from finetext.core.types import Dataset, Finding, LabelScheme, Predictions, Score, Splits
    from finetext.data.read import read
    from finetext.data.split import folds, split
    from finetext.diagnosis.corrections import apply_labels
    from finetext.diagnosis.data_checks import check
    from finetext.diagnosis.explain import class_words, explain
    from finetext.diagnosis.explore import explore
    from finetext.diagnosis.losses import find_errors
    from finetext.diagnosis.slices import find_slices
    from finetext.diagnosis.text_map import text_map
    from finetext.evaluation.compare import compare
    from finetext.evaluation.intervals import confusion, evaluate, per_class
    from finetext.evaluation.several import compare_all
    from finetext.methods.finetune import Finetune
    from finetext.methods.majority import Majority
    from finetext.methods.probe import Probe
    from finetext.methods.tfidf import Tfidf
    from finetext.models.hub import pull
    from finetext.models.info import info
    from finetext.models.upload import push
    from finetext.pretraining.adapt import Adaptation, adapt
    from finetext.pretraining.pretrain import Pretraining, pretrain
    from finetext.runs.export import Exported, ExportTerms, export
    from finetext.runs.fit import RangeTest, find_label_errors, find_lr, fit
    from finetext.runs.learning_curve import CurveSettings, learning_curve
    from finetext.runs.pipeline import train
    from finetext.runs.recipe import Recipe
    from finetext.runs.run import Run, load, open_predicted
    from finetext.serving.server import serve

__all__ = [
    "Adaptation", "Classifier", "CurveSettings", "Dataset", "ExportTerms", "Exported", "Finding",
    "FinetextError", "Finetune", "LabelScheme", "Listener", "Majority", "Method", "Predictions",
    "Pretraining", "Probe", "RangeTest", "ReadSettings", "Recipe", "Run", "Score",
    "ServeSettings", "SplitSettings", "Splits", "Tfidf", "__version__", "adapt", "apply_labels",
    "check", "class_words", "compare", "compare_all", "confusion", "evaluate", "explain",
    "explore", "export", "find_errors", "find_label_errors", "find_lr", "find_slices", "fit",
    "folds", "info", "learning_curve", "load", "open_predicted", "per_class", "predict",
    "predict_file", "pretrain", "pull", "push", "read", "serve", "split", "text_map", "train",
]  # fmt: skip

_MODULES: Final[dict[str, tuple[str, ...]]] = {
    "batch.predict_file": ("predict_file",),
    "core.contracts": ("Classifier", "Listener", "Method", "predict"),
    "core.errors": ("FinetextError",),
    "core.settings": ("ReadSettings", "ServeSettings", "SplitSettings"),
    "core.types": ("Dataset", "Finding", "LabelScheme", "Predictions", "Score", "Splits"),
    "data.read": ("read",),
    "data.split": ("folds", "split"),
    "diagnosis.corrections": ("apply_labels",),
    "diagnosis.data_checks": ("check",),
    "diagnosis.explain": ("class_words", "explain"),
    "diagnosis.explore": ("explore",),
    "diagnosis.losses": ("find_errors",),
    "diagnosis.slices": ("find_slices",),
    "diagnosis.text_map": ("text_map",),
    "evaluation.compare": ("compare",),
    "evaluation.intervals": ("confusion", "evaluate", "per_class"),
    "evaluation.several": ("compare_all",),
    "methods.finetune": ("Finetune",),
    "methods.majority": ("Majority",),
    "methods.probe": ("Probe",),
    "methods.tfidf": ("Tfidf",),
    "models.hub": ("pull",),
    "models.info": ("info",),
    "models.upload": ("push",),
    "pretraining.adapt": ("Adaptation", "adapt"),
    "pretraining.pretrain": ("Pretraining", "pretrain"),
    "runs.export": ("ExportTerms", "Exported", "export"),
    "runs.fit": ("RangeTest", "find_label_errors", "find_lr", "fit"),
    "runs.learning_curve": ("CurveSettings", "learning_curve"),
    "runs.pipeline": ("train",),
    "runs.recipe": ("Recipe",),
    "runs.run": ("Run", "load", "open_predicted"),
    "serving.server": ("serve",),
}
_PLACES: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'finetext' has no attribute {name!r}")
    value = getattr(import_module(f"finetext.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
