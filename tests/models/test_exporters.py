"""What every export has in common: where it goes, what it is compared on, when it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import datasets
import numpy as np
import pytest

import finetext
from finetext.core import registry
from finetext.core.contracts import FitContext
from finetext.core.errors import DataError, ModelError, RecipeError, RunError, UnknownNameError
from finetext.core.types import Score
from finetext.methods.majority import MajorityClassifier
from finetext.methods.tfidf import TfidfClassifier
from finetext.models.exporters import Exporter, Made, Original
from finetext.models.onnx_export import OnnxExporter
from finetext.models.static import StaticExporter
from finetext.runs.export import ExportTerms
from finetext.runs.origin import open_origin, place_in_run
from finetext.runs.run import Run

Command = Callable[..., Any]


@dataclass(frozen=True)
class Same(Exporter):
    """An export that is its original."""

    name: ClassVar[str] = "same"
    least_agreement: ClassVar[float] = 0.99  # type: ignore[misc, assignment]

    def check(self, original: Original) -> None:
        """Everything can be exported."""

    def make(self, original: Original, work: Path) -> Made:
        """What is there already."""
        return Made(original.classifier)


@dataclass(frozen=True)
class Silly(Same):
    """An export that always gives the first label."""

    name: ClassVar[str] = "silly"

    def make(self, original: Original, work: Path) -> Made:
        """Certainty."""
        first = np.eye(len(original.classifier.scheme))[0]
        scheme, decision = original.classifier.scheme, original.classifier.decision
        return Made(MajorityClassifier(scheme, decision, first))


@pytest.fixture(autouse=True)
def exporters(monkeypatch: pytest.MonkeyPatch) -> None:
    table = dict(registry.TABLES["exporters"])
    table |= {name.lower(): f"{__name__}:{name}" for name in ("Same", "Silly", "Broken")}
    monkeypatch.setitem(registry.TABLES, "exporters", table)
    registry.table.cache_clear()
    monkeypatch.setattr(registry, "import_module", lambda name: _module(name))


def _module(name: str) -> Any:
    import importlib
    import sys

    return sys.modules[__name__] if name == __name__ else importlib.import_module(name)


def test_the_export_is_written_beside_the_model(finished: Path, tmp_path: Path) -> None:
    import shutil

    run = shutil.copytree(finished, tmp_path / "run")
    for named in (run, run / "tfidf", run / "tfidf" / "model"):
        found = finetext.export(named, "same")
        assert found.folder == run / "tfidf" / "same"
        assert isinstance(found.classifier, TfidfClassifier)
        assert found.compared is not None
        assert found.compared.agreement == 1
        assert found.compared.where == "validation rows of the run"
        shutil.rmtree(found.folder)


def test_comparison_uses_validation_rows_never_test_rows(finished: Path) -> None:
    origin = open_origin(finished)
    assert origin.rows is not None
    run = finetext.Run.open(finished)
    assert origin.rows.ids == list(run.predictions(split="validation").ids)
    train = set(origin.training_rows().ids)
    assert train
    assert not train & {*run.predictions().ids, *origin.rows.ids}


def test_changed_data_cannot_provide_training_rows(
    finished: Path, reviews: Path, tmp_path: Path
) -> None:
    import shutil

    run = shutil.copytree(finished, tmp_path / "run")
    recipe = (run / "recipe.toml").read_text(encoding="utf-8")
    changed = tmp_path / "changed.csv"
    changed.write_text(reviews.read_text() + "a new film,good,x\n", encoding="utf-8")
    (run / "recipe.toml").write_text(recipe.replace(str(reviews), str(changed)), encoding="utf-8")
    with pytest.raises(RunError, match="have changed since it started"):
        open_origin(run).training_rows()


def test_low_agreement_is_refused_and_writes_nothing(finished: Path, tmp_path: Path) -> None:
    place = tmp_path / "new" / "export"
    with pytest.raises(
        ModelError, match=r"same labels as finished/tfidf on \d+\.\d+% of 9"
    ) as told:
        finetext.export(finished, "silly", place)
    assert "--force" in str(told.value)
    assert not list(tmp_path.iterdir())


def test_force_writes_an_export_with_low_agreement(
    command: Command, finished: Path, tmp_path: Path
) -> None:
    place = tmp_path / "export"
    words = ("export", finished, "--format", "silly", "--out", place)
    assert command(*words).status == 2
    seen = command(*words, "--force")
    assert seen.status == 0
    assert "it is kept because of --force" in seen.err
    assert "same labels on" in seen.out
    assert f"export: {place}" in seen.out
    assert finetext.load(place).kind == "majority"
    assert command(*words, "--force").status == 2
    assert command(*words[:-1], tmp_path / "less", "--least-agreement", "0.1").status == 0


def test_an_export_without_rows_needs_data_or_force(
    command: Command, finished: Path, reviews: Path, tmp_path: Path
) -> None:
    import shutil

    model = shutil.copytree(finished / "tfidf" / "model", tmp_path / "model")
    words = ("export", model, "--format", "same")
    seen = command(*words)
    assert seen.status == 2
    assert "give some with --data, or --force" in seen.err
    assert not (tmp_path / "same").exists()
    told = json.loads(command(*words, "--data", reviews, "--json").out)
    assert told["folder"] == str(tmp_path / "same")
    assert told["compared"]["rows"] == 60
    assert told["compared"]["where"] == f"rows of {reviews.name}"
    for file in ("finetext.json", "README.md"):
        assert str(reviews.parent) not in (tmp_path / "same" / file).read_text(encoding="utf-8")
    assert told["compared"]["scores"]["accuracy"]["original"]["value"] > 0.9
    Path("unlabelled.txt").write_text("a fine film\na dull film\n")
    told = json.loads(command(*words, "--data", "unlabelled.txt", "--json", "--out", "b").out)
    assert told["compared"]["rows"] == 2
    assert told["compared"]["scores"] == {}
    seen = command(*words, "--force", "--out", "c")
    assert seen.status == 0
    assert "not compared with the original" in seen.err
    assert json.loads(command(*words, "--force", "--out", "d", "--json").out)["compared"] is None


def test_a_classifier_is_exported_with_rows_and_a_folder(finished: Path, tmp_path: Path) -> None:
    classifier = finetext.load(finished)
    with pytest.raises(RecipeError, match="name the folder for the export"):
        finetext.export(classifier, "same")
    rows = (["a fine film", "a dull film"], ["good", "bad"])
    found = finetext.export(classifier, "same", tmp_path / "e", data=rows)
    assert found.compared is not None
    assert found.compared.rows == 2


def test_other_folders_are_never_replaced(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    for place in (tmp_path / "thesis", finished / "tfidf" / "model"):
        with pytest.raises(ModelError, match="choose another folder"):
            finetext.export(finished, "same", place)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    assert finetext.export(finished, "same", tmp_path / "empty").folder == tmp_path / "empty"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--format", "onxx"), "did you mean 'onnx'"),
        (("--format", "static", "--quantize", "int8"), "has no setting 'quantize'"),
        (("--quantize", "int4"), "quantize = 'int4'"),
        (("--least-agreement", "99"), "a share from 0 to 1"),
        ((), "copy its model folder"),
        (("--format", "static"), "needs no export to static embeddings"),
    ],
)
def test_impossible_exports_are_refused(
    command: Command, finished: Path, words: tuple[str, ...], message: str
) -> None:
    seen = command("export", finished, *words, "--out", "export")
    assert (seen.status, seen.out) == (2, "")
    assert message in seen.err
    assert not list(Path().iterdir())


def test_an_unknown_method_is_refused(finished: Path) -> None:
    with pytest.raises(ModelError, match="no model or run folder"):
        finetext.export(finished / "finetune", "same")
    assert place_in_run(finished / "tfidf") == (finished, "tfidf")
    assert place_in_run(finished.parent) is None


def test_a_method_missing_from_the_leaderboard_is_unknown(finished: Path, tmp_path: Path) -> None:
    import shutil

    run = shutil.copytree(finished, tmp_path / "run")
    shutil.copytree(run / "tfidf", run / "other")
    with pytest.raises(UnknownNameError, match="no method in this run named 'other'"):
        finetext.export(run / "other", "same")


def test_python_tokenizers_cannot_be_exported(finished: Path) -> None:
    from finetext.encoders.word_tokenizer import WordTokenizer
    from finetext.methods.transformer import TransformerClassifier

    class InPython:
        is_fast = False

    words = WordTokenizer.of_words(["xxunk", "xxpad", "xxbos", "film"])
    scheme = finetext.load(finished).scheme
    decision = finetext.load(finished).decision
    for tokenizer, exporter in ((InPython(), OnnxExporter()), (words, StaticExporter())):
        classifier = TransformerClassifier(scheme, decision, None, tokenizer, 64)
        with pytest.raises(ModelError, match="rules written in Python"):
            exporter.check(Original(classifier))


def test_abstaining_in_only_one_model_is_disagreement(finished: Path) -> None:
    from finetext.models.exporters import compare_export

    origin = open_origin(finished)
    assert origin.rows is not None
    classifier = origin.classifier
    mute = classifier.with_decision(replace(classifier.decision, least=(1.1, 1.1)))
    for of, agreement in ((classifier, 0), (mute, 1)):
        found = compare_export(Original(of), mute, origin.rows, (1, 1), "rows")
        assert found.agreement == agreement


@dataclass(frozen=True)
class Broken(Same):
    """An export that gives no numbers, which of several labels means none."""

    name: ClassVar[str] = "broken"

    def make(self, original: Original, work: Path) -> Made:
        """Not a number."""
        scheme, decision = original.classifier.scheme, original.classifier.decision
        return Made(MajorityClassifier(scheme, decision, np.full(len(scheme), np.nan)))


def test_nan_predictions_are_refused(
    mixed_topics: finetext.Dataset, finished: Path, tmp_path: Path
) -> None:
    method = finetext.Tfidf(inverse_regularisation=1.0)
    rare = method.fit(mixed_topics, mixed_topics, FitContext())
    rare = rare.with_decision(replace(rare.decision, thresholds=(1.0,) * len(rare.scheme)))
    assert not any(rare.predict(mixed_topics.texts))
    for what, data in ((rare, mixed_topics), (finished, None)):
        for force in (False, True):
            terms = ExportTerms(least_agreement=0.0, force=force)
            with pytest.raises(ModelError, match=r"the export predicts something that is not"):
                finetext.export(what, "broken", tmp_path / "e", data=data, terms=terms)
    assert not list(tmp_path.iterdir())


def test_comparing_needs_rows(finished: Path) -> None:
    from finetext.models.exporters import compare_export

    origin = open_origin(finished)
    assert origin.rows is not None
    with pytest.raises(DataError, match="no rows"):
        compare_export(
            Original(origin.classifier), origin.classifier, origin.rows.select([]), (1, 1), "rows"
        )


def test_multilabel_rows_agree_if_all_labels_do(
    mixed_topics: finetext.Dataset, tmp_path: Path
) -> None:
    method = finetext.Tfidf(inverse_regularisation=1.0)
    classifier = method.fit(mixed_topics, mixed_topics, FitContext())
    found = finetext.export(classifier, "same", tmp_path / "e", data=mixed_topics)
    assert found.compared is not None
    assert found.compared.agreement == 1
    assert set(found.compared.scores) == {"subset_accuracy", "macro_f1"}
    with pytest.raises(ModelError, match=r"less than the required 99\.00%"):
        finetext.export(classifier, "silly", tmp_path / "f", data=mixed_topics)


@pytest.mark.parametrize(
    ("batched", "alone", "words"),
    [
        (
            Score(2.5, 2.2, 2.8, 300), Score(2.0, 1.9, 2.1, 21),
            "2.5 [2.2, 2.8] times as fast in batches (300 rows) and "
            "2.0 [1.9, 2.1] times as fast for one text (21 texts)",
        ),
        (
            Score(1.1, 0.9, 1.3, 300), Score(0.5, 0.45, 0.55, 21),
            "about as fast as the original in batches (300 rows) and "
            "0.50 [0.45, 0.55] times as fast, which is slower, for one text",
        ),
        (
            Score(44.0, 40.0, 48.0, 30), Score(5.0, 1.5, 16.0, 21),
            "its speed for one text (21 texts) could not be measured on this busy machine; "
            "its speed in batches was not measured: 30 rows are too few",
        ),
    ],
)  # fmt: skip
def test_speed_is_claimed_only_where_it_was_measured(
    batched: Score, alone: Score, words: str, finished: Path
) -> None:
    from finetext.models.exporters import compare_export, speed_in_words

    origin = open_origin(finished)
    assert origin.rows is not None
    few = origin.rows.select(range(3))
    found = compare_export(Original(origin.classifier), origin.classifier, few, (1, 1), "rows")
    assert found.times is not None
    assert (found.times.n, "3 rows are too few" in speed_in_words(found)) == (3, True)
    assert words in speed_in_words(replace(found, times=batched, times_alone=alone))
    assert "not measured" in speed_in_words(replace(found, times=None))


def test_a_run_gives_training_texts_to_learn_from_and_halves_of_validation(
    encoder_run: Path,
) -> None:
    apart = open_origin(encoder_run / "finetune").apart()
    assert apart is not None
    run = Run.open(encoder_run)
    assert set(apart.learn) <= set(open_origin(encoder_run).training_rows().texts)
    validation = list(run.rows("finetune").texts)
    assert sorted([*apart.choose, *apart.compare.texts]) == sorted(validation)
    assert abs(len(apart.choose) - len(apart.compare)) <= 1


def test_given_rows_are_divided_by_three(encoder_run: Path) -> None:
    texts = [f"text {number}" for number in range(31)]
    names = [str(number) for number in range(31)]
    rows = finetext.Dataset(datasets.Dataset.from_dict({"id": names, "text": texts}))
    apart = open_origin(finetext.load(encoder_run / "finetune" / "model"), rows).apart()
    assert apart is not None
    assert (len(apart.learn), len(apart.choose), len(apart.compare)) == (10, 10, 11)
    assert sorted([*apart.learn, *apart.choose, *apart.compare.texts]) == sorted(texts)
    for part in (apart.learn, apart.choose, apart.compare.texts):
        assert list(part) != [text for text in texts if text in part]  # a prefix is a sample


def test_nothing_is_divided_where_there_is_nothing(encoder_run: Path) -> None:
    assert open_origin(finetext.load(encoder_run / "finetune" / "model")).apart() is None
