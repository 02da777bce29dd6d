"""What type checkers see; `__init__.py` imports each name when it is first used."""

from finetext.batch.distill import Distilled, distill
from finetext.batch.monitor import monitor
from finetext.batch.predict_file import predict_file
from finetext.batch.predict_parts import predict_parts
from finetext.core import __version__
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
from finetext.diagnosis.group_gaps import find_group_gaps
from finetext.diagnosis.losses import find_errors
from finetext.diagnosis.slices import find_slices
from finetext.diagnosis.text_map import text_map
from finetext.encoders.convert import Converted, convert
from finetext.encoders.features import FeatureMatrix, feature_matrix, features
from finetext.encoders.model_table import ModelTable
from finetext.encoders.tokenized_text import TokenizedText, tokens
from finetext.evaluation.agreement import agreement
from finetext.evaluation.base_rates import BaseRates, check_base_rates, correct_base_rates
from finetext.evaluation.compare import compare
from finetext.evaluation.intervals import confusion, evaluate, per_class
from finetext.evaluation.ranking import precision_recall
from finetext.evaluation.several import compare_all
from finetext.methods.blend import Blend
from finetext.methods.fewshot import FewShot
from finetext.methods.finetune import Finetune
from finetext.methods.llm import Llm
from finetext.methods.majority import Majority
from finetext.methods.probe import Probe
from finetext.methods.static import Static
from finetext.methods.tfidf import Tfidf
from finetext.methods.zeroshot import ZeroShot
from finetext.models import models
from finetext.models.hub import pull
from finetext.models.info import info
from finetext.models.upload import push
from finetext.pretraining.adapt import Adaptation, adapt
from finetext.pretraining.generate import generate
from finetext.pretraining.pretrain import Pretraining, pretrain
from finetext.report.one_text import plot_prediction
from finetext.runs.cascade_folder import Cascade
from finetext.runs.cascading import cascade
from finetext.runs.export import Exported, ExportTerms, export
from finetext.runs.fit import RangeTest, find_label_errors, find_lr, fit
from finetext.runs.learning_curve import CurveSettings, learning_curve
from finetext.runs.load import load
from finetext.runs.pipeline import train
from finetext.runs.plan import RunPlan, plan
from finetext.runs.predicted import open_predicted
from finetext.runs.recipe import Recipe
from finetext.runs.run import Run
from finetext.runs.trainer import Trainer
from finetext.runs.zero_shot import zero_shot
from finetext.serving.server import serve
from finetext.training.plan import Stage

__all__ = [
    "Adaptation",
    "BaseRates",
    "Blend",
    "Cascade",
    "Classifier",
    "Converted",
    "CurveSettings",
    "Dataset",
    "Distilled",
    "ExportTerms",
    "Exported",
    "FeatureMatrix",
    "FewShot",
    "Finding",
    "FinetextError",
    "Finetune",
    "LabelScheme",
    "Listener",
    "Llm",
    "Majority",
    "Method",
    "ModelTable",
    "Predictions",
    "Pretraining",
    "Probe",
    "RangeTest",
    "ReadSettings",
    "Recipe",
    "Run",
    "RunPlan",
    "Score",
    "ServeSettings",
    "SplitSettings",
    "Splits",
    "Stage",
    "Static",
    "Tfidf",
    "TokenizedText",
    "Trainer",
    "ZeroShot",
    "__version__",
    "adapt",
    "agreement",
    "apply_labels",
    "cascade",
    "check",
    "check_base_rates",
    "class_words",
    "compare",
    "compare_all",
    "confusion",
    "convert",
    "correct_base_rates",
    "distill",
    "evaluate",
    "explain",
    "explore",
    "export",
    "feature_matrix",
    "features",
    "find_errors",
    "find_group_gaps",
    "find_label_errors",
    "find_lr",
    "find_slices",
    "fit",
    "folds",
    "generate",
    "info",
    "learning_curve",
    "load",
    "models",
    "monitor",
    "open_predicted",
    "per_class",
    "plan",
    "plot_prediction",
    "precision_recall",
    "predict",
    "predict_file",
    "predict_parts",
    "pretrain",
    "pull",
    "push",
    "read",
    "serve",
    "split",
    "text_map",
    "tokens",
    "train",
    "zero_shot",
]
