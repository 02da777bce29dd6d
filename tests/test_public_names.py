"""The names that users can rely on."""

from __future__ import annotations

import ast
import copy
import inspect
import multiprocessing
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import finetext

NAMES = {
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
    "Finding",
    "FinetextError",
    "FewShot",
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
}
HEAVY = {
    *("accelerate", "datasets", "matplotlib", "pandas", "pyarrow", "pydantic"),
    *("scipy", "sklearn", "torch", "transformers", "typer"),
}


def test_the_exported_names_are_the_documented_ones() -> None:
    assert set(finetext.__all__) == NAMES
    assert {name for name in dir(finetext) if name[0] != "_"} == NAMES - {"__version__"}
    hidden = {name for name in dir(finetext) if name[0] == "_"}
    assert all(name.startswith("__") and name.endswith("__") for name in hidden)


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


IMPORTS = (
    "import finetext",
    "import finetext.models.folder, finetext",
    "from finetext.models import folder; import finetext",
    "import finetext.models as models, finetext; assert models is finetext.models",
    "from finetext import models; import finetext; assert models is finetext.models",
    "import finetext; finetext.load, finetext.fit, finetext.Trainer",
    "from finetext import *; import finetext; assert models is finetext.models",
    "import finetext, importlib; finetext.models(); importlib.reload(finetext.models)",
    "import finetext, pickle as p; assert p.loads(p.dumps(finetext.models)) is finetext.models",
)


@pytest.mark.parametrize("statement", IMPORTS)
def test_models_is_a_function_after_any_import(statement: str) -> None:
    code = (
        f"{statement}; from finetext.models import folder; assert finetext.models.folder is folder"
    )
    code += "\nassert len(finetext.models(task='fill-mask')) > 1"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_models_is_sent_to_another_process() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(finetext.models, ("fill-mask",)) == finetext.models("fill-mask")
    assert copy.deepcopy(finetext.models) is finetext.models


def test_models_shows_what_the_function_does_and_what_the_package_has() -> None:
    from finetext.encoders.model_table import models
    from finetext.models import folder

    assert inspect.getdoc(finetext.models) == inspect.getdoc(models)
    assert inspect.signature(finetext.models) == inspect.signature(models)
    assert "List the encoders that have a short name" in pydoc.render_doc(finetext.models)
    assert finetext.models.folder is folder  # type: ignore[attr-defined]
    shown = {name for name in dir(finetext.models) if not name.startswith("_")}
    packages = {path.stem for path in Path(folder.__file__).parent.glob("[a-z]*.py")}
    assert {"models", "folder"} <= shown <= packages | {"models"}
