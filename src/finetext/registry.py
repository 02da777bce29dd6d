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

from finetext.errors import UnknownNameError

TABLES: Final[dict[str, dict[str, str]]] = {
    "methods": {
        "majority": "finetext.methods.majority:Majority",
        "tfidf": "finetext.methods.tfidf:Tfidf",
        "probe": "finetext.methods.probe:Probe",
        "finetune": "finetext.methods.finetune:Finetune",
    },
    "classifiers": {
        "majority": "finetext.methods.majority:MajorityClassifier",
        "tfidf": "finetext.methods.tfidf:TfidfClassifier",
        "probe": "finetext.methods.probe:ProbeClassifier",
        "transformer": "finetext.methods.finetune:TransformerClassifier",
        "onnx": "finetext.artefact.onnx:OnnxClassifier",
        "static": "finetext.artefact.static:StaticClassifier",
    },
    "exporters": {
        "onnx": "finetext.exporting.onnx:OnnxExporter",
        "static": "finetext.exporting.static:StaticExporter",
    },
    "metrics": {
        "accuracy": "finetext.evaluation.metrics:accuracy",
        "balanced_accuracy": "finetext.evaluation.metrics:balanced_accuracy",
        "macro_f1": "finetext.evaluation.metrics:macro_f1",
        "weighted_f1": "finetext.evaluation.metrics:weighted_f1",
        "micro_f1": "finetext.evaluation.metrics:micro_f1",
        "binary_f1": "finetext.evaluation.metrics:binary_f1",
        "subset_accuracy": "finetext.evaluation.metrics:subset_accuracy",
        "samples_f1": "finetext.evaluation.metrics:samples_f1",
        "mean_average_precision": "finetext.evaluation.metrics:mean_average_precision",
        "log_loss": "finetext.evaluation.metrics:log_loss",
        "brier_score": "finetext.evaluation.calibration:brier_score",
        "calibration_error": "finetext.evaluation.calibration:calibration_error",
    },
    "checks": {
        "class-balance": "finetext.data.checks.classes:class_balance",
        "rare-classes": "finetext.data.checks.classes:rare_classes",
        "missing-classes": "finetext.data.checks.classes:missing_classes",
        "label-spelling": "finetext.data.checks.labels:label_spelling",
        "conflicting-labels": "finetext.data.checks.labels:conflicting_labels",
        "blank-texts": "finetext.data.checks.texts:blank_texts",
        "control-characters": "finetext.data.checks.texts:control_characters",
        "duplicates": "finetext.data.checks.duplicates:duplicates",
        "near-duplicates": "finetext.data.checks.duplicates:near_duplicates",
        "leakage": "finetext.data.checks.leakage:leakage",
        "near-leakage": "finetext.data.checks.leakage:near_leakage",
        "group-leakage": "finetext.data.checks.groups:group_leakage",
        "few-groups": "finetext.data.checks.groups:few_groups",
        "giveaway-tokens": "finetext.data.checks.giveaways:giveaway_tokens",
        "cut-texts": "finetext.data.checks.texts:cut_texts",
    },
    "samples": {
        "bbc-news": "finetext.data.samples:bbc_news",
    },
}

_SINGULAR: Final = {
    "methods": "method",
    "classifiers": "kind of classifier",
    "exporters": "format of export",
    "metrics": "metric",
    "checks": "check",
    "samples": "sample",
}


@cache
def table(name: str) -> dict[str, str]:
    """The whole table `name`: the lines above and the entry points of installed packages."""
    third_party = {point.name: point.value for point in entry_points(group=f"finetext.{name}")}
    return third_party | TABLES[name]


def names(of: str) -> tuple[str, ...]:
    """The names in the table `of`, in the order of the table."""
    return tuple(table(of))


def load(of: str, name: str) -> Any:
    """Import what `name` stands for in the table `of`.

    Args:
        of: the table ("methods", "classifiers", "exporters", "metrics", "checks",
            "samples").
        name: the name to look up.

    Raises:
        UnknownNameError: the table has no such name; the message offers the nearest.
    """
    known = table(of)
    if name not in known:
        raise UnknownNameError(_SINGULAR[of], name, known)
    module, _, attribute = known[name].partition(":")
    return getattr(import_module(module), attribute)
