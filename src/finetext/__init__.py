"""From a file of labelled text to a classifier one can trust.

The public names of the library. Each is imported when it is first used, so that
`import finetext` costs nothing.

    run = finetext.train("reviews.csv")
    run.classifier()("What a film!")

"""

from __future__ import annotations

from importlib import import_module
from operator import attrgetter
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
    from finetext.runs.find_lr import RangeTest, find_lr
    from finetext.runs.fit import fit
    from finetext.runs.label_errors import find_label_errors
    from finetext.runs.learning_curve import CurveSettings, learning_curve
    from finetext.runs.pipeline import train
    from finetext.runs.recipe import Recipe
    from finetext.runs.run import Run, load, open_predicted
    from finetext.serving.server import serve

__all__ = [
    "Adaptation",
    "Classifier",
    "CurveSettings",
    "Dataset",
    "ExportTerms",
    "Exported",
    "Finding",
    "FinetextError",
    "Finetune",
    "LabelScheme",
    "Listener",
    "Majority",
    "Method",
    "Predictions",
    "Pretraining",
    "Probe",
    "RangeTest",
    "ReadSettings",
    "Recipe",
    "Run",
    "Score",
    "ServeSettings",
    "SplitSettings",
    "Splits",
    "Tfidf",
    "__version__",
    "adapt",
    "apply_labels",
    "check",
    "class_words",
    "compare",
    "compare_all",
    "confusion",
    "evaluate",
    "explain",
    "explore",
    "export",
    "find_errors",
    "find_label_errors",
    "find_lr",
    "find_slices",
    "fit",
    "folds",
    "info",
    "learning_curve",
    "load",
    "open_predicted",
    "per_class",
    "predict",
    "predict_file",
    "pretrain",
    "pull",
    "push",
    "read",
    "serve",
    "split",
    "text_map",
    "train",
]

_PLACES: Final[dict[str, str]] = {
    "Adaptation": "finetext.pretraining.adapt:Adaptation",
    "Classifier": "finetext.core.contracts:Classifier",
    "CurveSettings": "finetext.runs.learning_curve:CurveSettings",
    "Dataset": "finetext.core.types:Dataset",
    "ExportTerms": "finetext.runs.export:ExportTerms",
    "Exported": "finetext.runs.export:Exported",
    "Finding": "finetext.core.types:Finding",
    "FinetextError": "finetext.core.errors:FinetextError",
    "Finetune": "finetext.methods.finetune:Finetune",
    "LabelScheme": "finetext.core.types:LabelScheme",
    "Listener": "finetext.core.contracts:Listener",
    "Majority": "finetext.methods.majority:Majority",
    "Method": "finetext.core.contracts:Method",
    "Predictions": "finetext.core.types:Predictions",
    "Pretraining": "finetext.pretraining.pretrain:Pretraining",
    "Probe": "finetext.methods.probe:Probe",
    "RangeTest": "finetext.runs.find_lr:RangeTest",
    "ReadSettings": "finetext.core.settings:ReadSettings",
    "Recipe": "finetext.runs.recipe:Recipe",
    "Run": "finetext.runs.run:Run",
    "Score": "finetext.core.types:Score",
    "ServeSettings": "finetext.core.settings:ServeSettings",
    "SplitSettings": "finetext.core.settings:SplitSettings",
    "Splits": "finetext.core.types:Splits",
    "Tfidf": "finetext.methods.tfidf:Tfidf",
    "adapt": "finetext.pretraining.adapt:adapt",
    "apply_labels": "finetext.diagnosis.corrections:apply_labels",
    "check": "finetext.diagnosis.data_checks:check",
    "class_words": "finetext.diagnosis.explain:class_words",
    "compare": "finetext.evaluation.compare:compare",
    "compare_all": "finetext.evaluation.several:compare_all",
    "confusion": "finetext.evaluation.intervals:confusion",
    "evaluate": "finetext.evaluation.intervals:evaluate",
    "explain": "finetext.diagnosis.explain:explain",
    "explore": "finetext.diagnosis.explore:explore",
    "export": "finetext.runs.export:export",
    "find_errors": "finetext.diagnosis.losses:find_errors",
    "find_label_errors": "finetext.runs.label_errors:find_label_errors",
    "find_lr": "finetext.runs.find_lr:find_lr",
    "find_slices": "finetext.diagnosis.slices:find_slices",
    "fit": "finetext.runs.fit:fit",
    "folds": "finetext.data.split:folds",
    "info": "finetext.models.info:info",
    "learning_curve": "finetext.runs.learning_curve:learning_curve",
    "load": "finetext.runs.run:load",
    "open_predicted": "finetext.runs.run:open_predicted",
    "per_class": "finetext.evaluation.intervals:per_class",
    "predict": "finetext.core.contracts:predict",
    "predict_file": "finetext.batch.predict_file:predict_file",
    "pretrain": "finetext.pretraining.pretrain:pretrain",
    "pull": "finetext.models.hub:pull",
    "push": "finetext.models.upload:push",
    "read": "finetext.data.read:read",
    "serve": "finetext.serving.server:serve",
    "split": "finetext.data.split:split",
    "text_map": "finetext.diagnosis.text_map:text_map",
    "train": "finetext.runs.pipeline:train",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'finetext' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    value = attrgetter(attribute)(import_module(module))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
