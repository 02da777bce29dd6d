"""Name tables: the only place where a name becomes an import.

A new method, metric, check or sample is one file plus one line here. Other packages add theirs
with an entry point of the same form, `name = "module:attribute"`, in the group
`finetext.TABLE` (for example `finetext.methods`).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final

from finetext.core.errors import UnknownNameError

TABLES: Final[dict[str, dict[str, str]]] = {
    "methods": {
        "majority": "finetext.methods.majority:Majority",
        "tfidf": "finetext.methods.tfidf:Tfidf",
        "zeroshot": "finetext.methods.zeroshot:ZeroShot",
        "llm": "finetext.methods.llm:Llm",
        "static": "finetext.methods.static:Static",
        "probe": "finetext.methods.probe:Probe",
        "fewshot": "finetext.methods.fewshot:FewShot",
        "finetune": "finetext.methods.finetune:Finetune",
        "blend": "finetext.methods.blend:Blend",
        "teacher": "finetext.methods.teacher:Teacher",
    },
    "classifiers": {
        "majority": "finetext.methods.majority:MajorityClassifier",
        "zeroshot": "finetext.methods.zeroshot:ZeroShotClassifier",
        "entailment": "finetext.methods.entailment:EntailmentClassifier",
        "gliclass": "finetext.methods.gliclass:GliclassClassifier",
        "llm": "finetext.methods.llm:LlmClassifier",
        "tfidf": "finetext.methods.tfidf:TfidfClassifier",
        "probe": "finetext.methods.probe:ProbeClassifier",
        "transformer": "finetext.methods.transformer:TransformerClassifier",
        "onnx": "finetext.models.onnx:OnnxClassifier",
        "static": "finetext.methods.static:StaticClassifier",
        "blend": "finetext.methods.blend:BlendClassifier",
        "cascade": "finetext.methods.cascade:CascadeClassifier",
    },
    "exporters": {
        "onnx": "finetext.models.onnx_export:OnnxExporter",
        "static": "finetext.models.static:StaticExporter",
    },
    "metrics": {
        "accuracy": "finetext.evaluation.metrics:accuracy",
        "balanced_accuracy": "finetext.evaluation.metrics:balanced_accuracy",
        "macro_f1": "finetext.evaluation.metrics:macro_f1",
        "weighted_f1": "finetext.evaluation.metrics:weighted_f1",
        "micro_f1": "finetext.evaluation.metrics:micro_f1",
        "binary_precision": "finetext.evaluation.metrics:binary_precision",
        "binary_recall": "finetext.evaluation.metrics:binary_recall",
        "binary_f1": "finetext.evaluation.metrics:binary_f1",
        "roc_auc": "finetext.evaluation.ranking:roc_auc",
        "average_precision": "finetext.evaluation.ranking:average_precision",
        "subset_accuracy": "finetext.evaluation.metrics:subset_accuracy",
        "samples_f1": "finetext.evaluation.metrics:samples_f1",
        "mean_average_precision": "finetext.evaluation.ranking:mean_average_precision",
        "log_loss": "finetext.evaluation.metrics:log_loss",
        "brier_score": "finetext.evaluation.calibration:brier_score",
        "calibration_error": "finetext.evaluation.calibration:calibration_error",
    },
    "checks": {
        "class-balance": "finetext.diagnosis.checks:class_balance",
        "rare-classes": "finetext.diagnosis.checks:rare_classes",
        "missing-classes": "finetext.diagnosis.checks:missing_classes",
        "label-shares": "finetext.diagnosis.checks:label_shares",
        "label-spelling": "finetext.diagnosis.checks:label_spelling",
        "conflicting-labels": "finetext.diagnosis.checks:conflicting_labels",
        "annotator-agreement": "finetext.diagnosis.adjudication:annotator_agreement",
        "language-mismatch": "finetext.diagnosis.languages:language_mismatch",
        "blank-texts": "finetext.diagnosis.checks:blank_texts",
        "control-characters": "finetext.diagnosis.checks:control_characters",
        "duplicates": "finetext.diagnosis.checks:duplicates",
        "near-duplicates": "finetext.diagnosis.checks:near_duplicates",
        "leakage": "finetext.diagnosis.checks:leakage",
        "near-leakage": "finetext.diagnosis.checks:near_leakage",
        "group-leakage": "finetext.diagnosis.checks:group_leakage",
        "few-groups": "finetext.diagnosis.checks:few_groups",
        "giveaway-tokens": "finetext.diagnosis.checks:giveaway_tokens",
        "cut-texts": "finetext.diagnosis.checks:cut_texts",
    },
    "storage": {"save": "finetext.models.folder:save_model", "load": "finetext.runs.load:load"},
    "views": {
        "batch": "finetext.report.batches:show_batch",
        "shares": "finetext.report.shares:shares_of",
        "density": "finetext.report.text_map:plot_density",
        "exploration": "finetext.report.exploration:exploration_text",
        "label-errors": "finetext.runs.fit:find_label_errors",
        "notebook": "finetext.report.notebook_results:notebook_html",
        "rate-curve": "finetext.report.curves:plot_rate_curve",
    },
    "samples": {"bbc-news": "finetext.data.sources:bbc_news"},
}


@cache
def table(name: str) -> dict[str, str]:
    """Return the table `name`: the lines above and the entry points of installed packages."""
    third_party = {point.name: point.value for point in entry_points(group=f"finetext.{name}")}
    return third_party | TABLES[name]


def names(of: str) -> tuple[str, ...]:
    """Return the names in the table `of`, in its order."""
    return tuple(table(of))


def load(of: str, name: str) -> Any:
    """Import what `name` stands for in the table `of`; an UnknownNameError offers the nearest."""
    known = table(of)
    if name not in known:
        special = {"classifiers": "type of classifier", "exporters": "export format"}
        raise UnknownNameError(special.get(of, of.removesuffix("s")), name, known)
    module, _, attribute = known[name].partition(":")
    return getattr(import_module(module), attribute)
