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
    from finetext.data.check import check
    from finetext.data.explore import explore
    from finetext.data.read import read
    from finetext.data.settings import ReadSettings
    from finetext.data.split import SplitSettings, folds, split
    from finetext.errors import FinetextError
    from finetext.evaluation.compare import compare
    from finetext.evaluation.intervals import confusion, evaluate, per_class
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
    from finetext.runs.run import Run
    from finetext.types import Dataset, Finding, LabelScheme, Predictions, Score, Splits

    load = Classifier.load

__version__ = "0.1.0"

__all__ = [
    "Adaptation",
    "Classifier",
    "Dataset",
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
    "SplitSettings",
    "Splits",
    "Tfidf",
    "__version__",
    "adapt",
    "check",
    "compare",
    "confusion",
    "evaluate",
    "explore",
    "find_lr",
    "fit",
    "folds",
    "load",
    "per_class",
    "predict",
    "pretrain",
    "read",
    "split",
    "train",
]

_PLACES: Final[dict[str, str]] = {
    "Adaptation": "finetext.pretraining.adapt:Adaptation",
    "Classifier": "finetext.methods.base:Classifier",
    "Dataset": "finetext.types:Dataset",
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
    "SplitSettings": "finetext.data.split:SplitSettings",
    "Splits": "finetext.types:Splits",
    "Tfidf": "finetext.methods.tfidf:Tfidf",
    "adapt": "finetext.pretraining.adapt:adapt",
    "check": "finetext.data.check:check",
    "compare": "finetext.evaluation.compare:compare",
    "confusion": "finetext.evaluation.intervals:confusion",
    "evaluate": "finetext.evaluation.intervals:evaluate",
    "explore": "finetext.data.explore:explore",
    "find_lr": "finetext.finding:find_lr",
    "fit": "finetext.fitting:fit",
    "folds": "finetext.data.split:folds",
    "load": "finetext.methods.base:Classifier.load",
    "per_class": "finetext.evaluation.intervals:per_class",
    "predict": "finetext.methods.base:predict",
    "pretrain": "finetext.pretraining.pretrain:pretrain",
    "read": "finetext.data.read:read",
    "split": "finetext.data.split:split",
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
