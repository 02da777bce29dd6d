"""Turn a file of labeled text into a classifier that you can trust.

These are the public names of the library. Each is imported when it is first used, so that
`import finetext` is fast.

    run = finetext.train("reviews.csv")
    run.classifier()("What a film!")

"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from typing import Any, Final

from finetext.core import __version__ as __version__

_MODULES: Final[dict[str, tuple[str, ...]]] = {
    "batch.distill": ("Distilled", "distill"),
    "batch.monitor": ("monitor",),
    "batch.predict_file": ("predict_file",),
    "batch.predict_parts": ("predict_parts",),
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
    "diagnosis.group_gaps": ("find_group_gaps",),
    "diagnosis.losses": ("find_errors",),
    "diagnosis.slices": ("find_slices",),
    "diagnosis.text_map": ("text_map",),
    "encoders.convert": ("Converted", "convert"),
    "encoders.model_table": ("ModelTable",),
    "evaluation.agreement": ("agreement",),
    "evaluation.base_rates": ("BaseRates", "check_base_rates", "correct_base_rates"),
    "evaluation.compare": ("compare",),
    "evaluation.intervals": ("confusion", "evaluate", "per_class"),
    "evaluation.ranking": ("precision_recall",),
    "evaluation.several": ("compare_all",),
    "methods.blend": ("Blend",),
    "methods.fewshot": ("FewShot",),
    "methods.finetune": ("Finetune",),
    "methods.llm": ("Llm",),
    "methods.majority": ("Majority",),
    "methods.probe": ("Probe",),
    "methods.static": ("Static",),
    "methods.tfidf": ("Tfidf",),
    "methods.zeroshot": ("ZeroShot",),
    "models": ("models",),
    "models.hub": ("pull",),
    "models.info": ("info",),
    "models.upload": ("push",),
    "pretraining.adapt": ("Adaptation", "adapt"),
    "pretraining.generate": ("generate",),
    "pretraining.pretrain": ("Pretraining", "pretrain"),
    "report.one_text": ("plot_prediction",),
    "runs.cascade_folder": ("Cascade",),
    "runs.cascading": ("cascade",),
    "runs.export": ("ExportTerms", "Exported", "export"),
    "runs.fit": ("RangeTest", "find_label_errors", "find_lr", "fit"),
    "runs.learning_curve": ("CurveSettings", "learning_curve"),
    "runs.pipeline": ("train",),
    "runs.plan": ("RunPlan", "plan"),
    "runs.recipe": ("Recipe",),
    "runs.predicted": ("open_predicted",),
    "runs.load": ("load",),
    "runs.run": ("Run",),
    "runs.trainer": ("Trainer",),
    "runs.zero_shot": ("zero_shot",),
    "encoders.features": (
        "FeatureMatrix",
        "feature_matrix",
        "features",
    ),
    "encoders.tokenized_text": (
        "TokenizedText",
        "tokens",
    ),
    "serving.server": ("serve",),
    "training.plan": ("Stage",),
}
_PLACES: Final = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted([*_PLACES, "__version__"])


if "ipykernel" in sys.modules:  # a notebook needs no widgets for what finetext shows
    warnings.filterwarnings("ignore", message="IProgress not found")


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'finetext' has no attribute {name!r}")
    value = getattr(import_module(f"finetext.{_PLACES[name]}"), name)
    return globals().setdefault(name, value)  # importing `finetext.models` makes it a global


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
