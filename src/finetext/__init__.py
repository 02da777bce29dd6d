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

if TYPE_CHECKING:
    from finetext.artefact.about import info
    from finetext.artefact.hub import pull, push
    from finetext.data.check import check
    from finetext.data.explore import explore
    from finetext.data.read import read
    from finetext.data.settings import ReadSettings
    from finetext.data.split import SplitSettings, folds, split
    from finetext.diagnosis.class_words import class_words
    from finetext.diagnosis.corrections import apply_labels
    from finetext.diagnosis.explain import explain
    from finetext.diagnosis.labels import find_label_errors
    from finetext.diagnosis.learning import CurveSettings, learning_curve
    from finetext.diagnosis.losses import find_errors
    from finetext.diagnosis.map import text_map
    from finetext.diagnosis.slices import find_slices
    from finetext.errors import FinetextError
    from finetext.evaluation.compare import compare
    from finetext.evaluation.intervals import confusion, evaluate, per_class
    from finetext.evaluation.several import compare_all
    from finetext.exporting.export import Exported, ExportTerms, export
    from finetext.finding import RangeTest, find_lr
    from finetext.fitting import fit
    from finetext.methods.base import Classifier, Method, predict
    from finetext.methods.finetune import Finetune
    from finetext.methods.majority import Majority
    from finetext.methods.probe import Probe
    from finetext.methods.tfidf import Tfidf
    from finetext.pipeline import Listener, train
    from finetext.pretraining.adapt import Adaptation, adapt
    from finetext.pretraining.pretrain import Pretraining, pretrain
    from finetext.recipe import Recipe
    from finetext.runs.predicted import open_predicted
    from finetext.runs.run import Run
    from finetext.serving.server import serve
    from finetext.serving.settings import ServeSettings
    from finetext.types import Dataset, Finding, LabelScheme, Predictions, Score, Splits

    load = Classifier.load

__version__ = "0.1.0"

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
    "Classifier": "finetext.methods.base:Classifier",
    "CurveSettings": "finetext.diagnosis.learning:CurveSettings",
    "Dataset": "finetext.types:Dataset",
    "ExportTerms": "finetext.exporting.export:ExportTerms",
    "Exported": "finetext.exporting.export:Exported",
    "Finding": "finetext.types:Finding",
    "FinetextError": "finetext.errors:FinetextError",
    "Finetune": "finetext.methods.finetune:Finetune",
    "LabelScheme": "finetext.types:LabelScheme",
    "Listener": "finetext.pipeline:Listener",
    "Majority": "finetext.methods.majority:Majority",
    "Method": "finetext.methods.base:Method",
    "Predictions": "finetext.types:Predictions",
    "Pretraining": "finetext.pretraining.pretrain:Pretraining",
    "Probe": "finetext.methods.probe:Probe",
    "RangeTest": "finetext.finding:RangeTest",
    "ReadSettings": "finetext.data.settings:ReadSettings",
    "Recipe": "finetext.recipe:Recipe",
    "Run": "finetext.runs.run:Run",
    "Score": "finetext.types:Score",
    "ServeSettings": "finetext.serving.settings:ServeSettings",
    "SplitSettings": "finetext.data.split:SplitSettings",
    "Splits": "finetext.types:Splits",
    "Tfidf": "finetext.methods.tfidf:Tfidf",
    "adapt": "finetext.pretraining.adapt:adapt",
    "apply_labels": "finetext.diagnosis.corrections:apply_labels",
    "check": "finetext.data.check:check",
    "class_words": "finetext.diagnosis.class_words:class_words",
    "compare": "finetext.evaluation.compare:compare",
    "compare_all": "finetext.evaluation.several:compare_all",
    "confusion": "finetext.evaluation.intervals:confusion",
    "evaluate": "finetext.evaluation.intervals:evaluate",
    "explain": "finetext.diagnosis.explain:explain",
    "explore": "finetext.data.explore:explore",
    "export": "finetext.exporting.export:export",
    "find_errors": "finetext.diagnosis.losses:find_errors",
    "find_label_errors": "finetext.diagnosis.labels:find_label_errors",
    "find_lr": "finetext.finding:find_lr",
    "find_slices": "finetext.diagnosis.slices:find_slices",
    "fit": "finetext.fitting:fit",
    "folds": "finetext.data.split:folds",
    "info": "finetext.artefact.about:info",
    "learning_curve": "finetext.diagnosis.learning:learning_curve",
    "load": "finetext.methods.base:Classifier.load",
    "open_predicted": "finetext.runs.predicted:open_predicted",
    "per_class": "finetext.evaluation.intervals:per_class",
    "predict": "finetext.methods.base:predict",
    "pretrain": "finetext.pretraining.pretrain:pretrain",
    "pull": "finetext.artefact.hub:pull",
    "push": "finetext.artefact.hub:push",
    "read": "finetext.data.read:read",
    "serve": "finetext.serving.server:serve",
    "split": "finetext.data.split:split",
    "text_map": "finetext.diagnosis.map:text_map",
    "train": "finetext.pipeline:train",
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
