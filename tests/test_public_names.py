"""The names that users can rely on."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import finetext

NAMES = {
    "Adaptation",
    "Classifier",
    "Converted",
    "CurveSettings",
    "Dataset",
    "ExportTerms",
    "Exported",
    "FeatureMatrix",
    "Finding",
    "FinetextError",
    "Finetune",
    "LabelScheme",
    "Listener",
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
    "Score",
    "ServeSettings",
    "SplitSettings",
    "Splits",
    "Stage",
    "Tfidf",
    "TokenizedText",
    "Trainer",
    "__version__",
    "adapt",
    "apply_labels",
    "check",
    "class_words",
    "compare",
    "compare_all",
    "confusion",
    "convert",
    "evaluate",
    "explain",
    "explore",
    "export",
    "feature_matrix",
    "features",
    "find_errors",
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
    "open_predicted",
    "per_class",
    "plot_prediction",
    "precision_recall",
    "predict",
    "predict_file",
    "pretrain",
    "pull",
    "push",
    "read",
    "serve",
    "split",
    "text_map",
    "tokens",
    "train",
}
HEAVY = {
    *("accelerate", "datasets", "matplotlib", "pandas", "pyarrow", "pydantic"),
    *("scipy", "sklearn", "torch", "transformers", "typer"),
}


def test_the_exported_names_are_the_documented_ones() -> None:
    assert set(finetext.__all__) == NAMES
    assert set(dir(finetext)) >= NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_can_be_used_and_has_a_docstring(name: str) -> None:
    value = getattr(finetext, name)
    if name != "__version__":
        assert callable(value)
        assert inspect.getdoc(value)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        finetext.trian  # noqa: B018


def test_type_checkers_see_the_names_that_are_there() -> None:
    tree = ast.parse(Path(finetext.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imported = {
        alias.name: (node.module or "").removeprefix("finetext.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("finetext.")
        for alias in node.names
        if alias.name != "__version__"
    }
    assert imported == finetext._PLACES
    [listed] = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)]
    assert sorted(listed) == finetext.__all__


def test_import_brings_in_no_heavy_library() -> None:
    code = "import sys, finetext; finetext.FinetextError; print(*sys.modules, sep='\\n')"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {line.partition(".")[0] for line in result.stdout.splitlines()}
    assert "finetext" in loaded
    assert not loaded & HEAVY
