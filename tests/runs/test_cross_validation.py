"""Runs on few rows: cross-validated on all of them, by the whole pipeline in every fold."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from llm_server import LlmServer, serving

import finetext
from finetext.core import registry
from finetext.core.contracts import FitContext, Listener, hyperparameters
from finetext.core.errors import DataError, RecipeError
from finetext.core.settings import SplitSettings
from finetext.core.types import Dataset, Predictions
from finetext.methods.majority import Majority, MajorityClassifier
from finetext.methods.teacher import Teacher
from finetext.report.confusion import confusion_matrix
from finetext.runs import cross_validation
from finetext.runs.cross_validation import FoldPlan, wants_folds
from finetext.runs.fold_fits import Validating, cross_validate
from finetext.runs.predicted import open_predicted
from finetext.runs.predictions import folds_of, stored_folds
from finetext.runs.reporting import report_data
from finetext.runs.run import Run
from finetext.runs.stored_folds import read_repeats

FOLDED = SplitSettings(cross_validate=True)
TFIDF = finetext.Tfidf(longest_ngram=1, inverse_regularisation=10.0)


@dataclass(frozen=True)
class Seeing(Majority):
    """Majority that asks for validation rows, and writes down what it is given."""

    name: ClassVar[str] = "seeing"
    needs_validation: ClassVar[bool] = True
    seen: ClassVar[list[tuple[Dataset, Dataset, FitContext]]] = []

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> MajorityClassifier:
        self.seen.append((train, validation, context))
        return super().fit(train, validation, context)


@pytest.fixture
def seeing(monkeypatch: pytest.MonkeyPatch) -> Seeing:
    monkeypatch.setattr(Seeing, "seen", [])
    monkeypatch.setitem(registry.table("methods"), "seeing", f"{__name__}:Seeing")
    return Seeing()


@pytest.fixture
def run(few_folds: None, topics: Dataset, tmp_path: Path) -> Run:
    return trained(topics, tmp_path / "run")


def trained(data: Any, out: Path, methods: Any = (TFIDF,), **more: Any) -> Run:
    more = {"split": FOLDED, "listener": Listener()} | more
    return finetext.train(data, list(methods), out=out, **more)


def test_all_rows_are_learned_from_and_all_are_scored(run: Run, topics: Dataset) -> None:
    assert run.evaluation == "cross-validation"
    found = run.predictions("tfidf")
    assert found.ids == tuple(topics.ids)
    np.testing.assert_array_equal(found.targets, topics.targets)
    assert run.texts("tfidf") == topics.texts
    rows = json.loads((run.folder / "data.json").read_text())["rows"]
    assert rows == {"train": len(topics)}
    assert Run.open(run.folder).evaluation == "cross-validation"


def test_scores_are_of_all_folds_and_have_intervals(run: Run, topics: Dataset) -> None:
    score = run.entry("tfidf").metrics["test"]["accuracy"]
    assert score.n == len(topics)
    assert score.low < score.value < score.high or score.high == 1.0
    majority = run.entry("majority").metrics["test"]["accuracy"]
    assert majority.high - majority.low > 0.2
    assert (
        run.comparisons["majority"].test
        == "Student's t over folds, corrected for the rows that they share"
    )


def test_every_figure_is_a_mean_over_all_repeats(run: Run, topics: Dataset) -> None:
    folds = stored_folds(run.folder / "tfidf")
    assert folds is not None
    scores = run.entry("tfidf").metrics["test"]
    assert folds.scores() == scores
    found = run.summary()
    given = [list(zip(of.targets, of.decisions, strict=True)) for of in folds.given()]
    for column, of in enumerate(found.classes):
        right = [np.mean([a == b for a, b in repeat if a == column]) for repeat in given]
        assert of.found.value == pytest.approx(np.mean(right))
    predicted = open_predicted(run.folder)
    matrix = confusion_matrix(predicted, folds=folds_of(predicted))
    assert matrix.right / matrix.rows == pytest.approx(scores["accuracy"].value)
    assert matrix.to_json()["rows"] == len(topics)
    shown = report_data(run).repeats["tfidf"]
    assert shown.scores() == scores


def test_the_verdict_has_the_lead_of_all_folds(run: Run) -> None:
    assert run.choice is not None
    lead = run.choice.over_constant["tfidf"]
    assert run.summary().lead == lead
    assert Run.open(run.folder).summary().lead == lead
    score = run.entry("tfidf").metrics["test"]["accuracy"].value
    assert lead.value == pytest.approx(score - run.summary().always_right)


def test_nothing_of_a_fold_is_seen_where_it_is_held_out(
    few_folds: None, seeing: Seeing, topics: Dataset, tmp_path: Path
) -> None:
    plan = FoldPlan.of(topics, FOLDED, 0)
    trained(topics, tmp_path / "run", [seeing])
    *folds, whole = Seeing.seen
    held = [rows for repeat in plan.held for rows in repeat]
    assert len(folds) == len(held) == 4
    for (train, validation, context), rows in zip(folds, held, strict=True):
        outside = set(topics.ids) - set(topics.select(rows).ids)
        assert set(train.ids) | set(validation.ids) == outside
        assert not set(train.ids) & set(validation.ids)
        assert set(validation.labels) == set(topics.labels)
        assert context.checkpoints is None
    assert {context.seed for _, _, context in folds} == {0, 1}
    assert len(whole[0]) + len(whole[1]) == len(topics)


def test_each_repeat_divides_the_rows_anew_and_the_same_for_all_methods(topics: Dataset) -> None:
    one, other = (FoldPlan.of(topics, FOLDED, 0) for _ in range(2))
    assert len(one.held) == cross_validation.REPEATS
    for repeat, again in zip(one.held, other.held, strict=True):
        assert sorted(np.concatenate(repeat)) == list(range(len(topics)))
        for rows, same in zip(repeat, again, strict=True):
            np.testing.assert_array_equal(rows, same)
    assert [rows.tolist() for rows in one.held[0]] != [rows.tolist() for rows in one.held[1]]


def test_methods_that_train_step_by_step_are_repeated_less_often(topics: Dataset) -> None:
    plan = FoldPlan.of(topics, FOLDED, 0)
    assert plan.repeats(finetext.Tfidf()) == 10
    assert plan.repeats(finetext.Finetune()) == 2
    assert "tfidf 50, finetune 10" in plan.fits(
        {"tfidf": finetext.Tfidf(), "finetune": finetext.Finetune()}
    )


def test_groups_are_whole_in_a_fold(reviews: Path) -> None:
    data = finetext.read(reviews, group="movie")
    plan = FoldPlan.of(data, FOLDED, 0)
    groups = np.array(data.groups)
    for repeat in plan.held:
        parts = [set(groups[rows]) for rows in repeat]
        assert sum(map(len, parts)) == len(set.union(*parts))


@pytest.mark.parametrize(("rows", "folds"), [(2, 2), (3, 3), (4, 4), (5, 5), (9, 5)])
def test_a_rare_class_makes_fewer_folds(make_dataset: Any, rows: int, folds: int) -> None:
    labels = ["a"] * 30 + ["rare"] * rows
    data = make_dataset([f"text {n}" for n in range(len(labels))], labels)
    plan = FoldPlan.of(data, FOLDED, 0)
    assert plan.count == folds
    assert [of.code for of in plan.findings] == (["few-folds"] if folds < 5 else [])
    if folds < 5:
        assert f"The class 'rare' has {rows} rows" in plan.findings[0].message
        assert "leave it out: --set data.missing=rare; likewise" in plan.findings[0].message


def test_a_class_of_one_row_is_refused(make_dataset: Any, tmp_path: Path) -> None:
    data = make_dataset([f"text {n}" for n in range(31)], ["a"] * 30 + ["rare"])
    advice = "the class 'rare' has 1 row.*, or leave it out: --set data.missing=rare$"
    with pytest.raises(DataError, match=advice):
        trained(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(DataError, match=advice):
        trained(data, tmp_path / "run", split=SplitSettings(cross_validate=False))


def test_advice_about_a_class_of_two_rows_can_be_followed(
    few_folds: None, make_dataset: Any, tmp_path: Path
) -> None:
    data = make_dataset([f"text {n}" for n in range(32)], ["a", "b"] * 15 + ["very rare"] * 2)
    with pytest.raises(DataError, match=r"need 3 rows.*train --cross-validate needs no test rows"):
        trained(data, tmp_path / "run", split=SplitSettings(cross_validate=False))
    source = tmp_path / "rows.csv"
    rows = [f"{text},{label}" for text, label in zip(data.texts, data.labels, strict=True)]
    source.write_text("\n".join(["text,label", *rows]) + "\n")
    read = finetext.ReadSettings(missing="very rare")
    without = trained(
        source, tmp_path / "run", split=SplitSettings(cross_validate=False), read=read
    )
    assert without.scheme.names == ("a", "b")


def test_a_class_of_two_rows_is_scored(few_folds: None, make_dataset: Any, tmp_path: Path) -> None:
    data = make_dataset([f"text {n}" for n in range(32)], ["a"] * 30 + ["rare"] * 2)
    assert trained(data, tmp_path / "run").predictions("tfidf").ids == tuple(data.ids)


def test_eight_rows_a_class_complete(make_dataset: Any, tmp_path: Path) -> None:
    texts = {"a": "sun and sea", "b": "rain and wind", "c": "snow and ice"}
    rows = [(f"{text} {n}", label) for n in range(8) for label, text in texts.items()]
    data = make_dataset([text for text, _ in rows], [label for _, label in rows])
    run = trained(data, tmp_path / "run")
    assert run.entry("tfidf").metrics["test"]["accuracy"].n == 24
    assert run.report.is_file()


def test_a_killed_run_resumes_without_fitting_finished_repeats_again(
    few_folds: None, topics: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(topics, tmp_path / "whole")
    real, fits = finetext.Tfidf.fit, list[int]()

    def stopping(self: Any, train: Dataset, validation: Dataset, context: FitContext) -> Any:
        fits.append(context.seed)
        if len(fits) == 4:
            raise KeyboardInterrupt
        return real(self, train, validation, context)

    monkeypatch.setattr(finetext.Tfidf, "fit", stopping)
    with pytest.raises(KeyboardInterrupt):
        trained(topics, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run/tfidf/folds").iterdir()] == ["repeat-1.parquet"]
    fits[:] = [0] * 10
    resumed = trained(topics, tmp_path / "run", resume=True)
    assert fits[10:13] == [1, 1, 0]  # then those that look for label errors
    for name in ("majority", "tfidf"):
        one, other = (replace(of.entry(name), seconds_to_train=0, rows_per_second=0)
                      for of in (whole, resumed))  # fmt: skip
        assert repr(one) == repr(other)  # nan equals itself
        np.testing.assert_array_equal(
            whole.predictions(name).probabilities, resumed.predictions(name).probabilities
        )


def test_folds_of_a_version_without_a_hyperparameter_are_not_fitted_again(
    few_folds: None, topics: Dataset, tmp_path: Path
) -> None:
    import pyarrow.parquet as parquet

    run = trained(topics, tmp_path / "run", [replace(TFIDF, by_ratios=False)])
    for path in (run.folder / "tfidf/folds").iterdir():
        table = parquet.read_table(path)
        about = json.loads(table.schema.metadata[b"finetext"])
        about["hyperparameters"].pop("by_ratios", None)
        known = {**table.schema.metadata, b"finetext": json.dumps(about)}
        parquet.write_table(table.replace_schema_metadata(known), path)
    (run.folder / "verdict.json").unlink()
    said = list[str]()
    trained(
        topics, tmp_path / "run", [replace(TFIDF, by_ratios=False)], resume=True,
        listener=Listener(say=said.append),
    )  # fmt: skip
    assert "tfidf was finished before" in said


def test_a_damaged_repeat_is_fitted_again(run: Run, topics: Dataset) -> None:
    path = run.folder / "tfidf/folds/repeat-1.parquet"
    before = path.read_bytes()
    path.write_bytes(b"PAR1")
    (run.folder / "leaderboard.json").unlink()
    trained(topics, run.folder, resume=True)
    assert path.read_bytes() == before


def test_the_decision_is_stored_and_repeats(
    few_folds: None, topics: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_validation, "AUTOMATIC", True)
    said = list[str]()
    run = trained(topics, tmp_path / "run", split=None, listener=Listener(said.append))
    recipe = tomllib.loads((run.folder / "recipe.toml").read_text())
    assert recipe["split"]["cross_validate"] is True
    assert (
        "27 rows: scored by 2-fold cross-validation, 2 times, as a test split of 4 rows would say "
        "little; --no-cross-validate for a test split"
    ) in said
    held = trained(topics, tmp_path / "held", split=SplitSettings(cross_validate=False), methods=[])
    assert held.evaluation == "test"
    recipe = tomllib.loads((held.folder / "recipe.toml").read_text())
    assert recipe["split"]["cross_validate"] is False


@pytest.mark.parametrize(
    ("rows", "rarest", "wanted"),
    [(1000, 300, True), (1001, 300, False), (5000, 66, True), (5000, 67, False), (5001, 9, False)],
)
def test_few_rows_or_few_of_a_class_are_cross_validated(
    make_dataset: Any, monkeypatch: pytest.MonkeyPatch, rows: int, rarest: int, wanted: bool
) -> None:
    monkeypatch.setattr(cross_validation, "AUTOMATIC", True)
    data = make_dataset([""] * rows, ["a"] * (rows - rarest) + ["b"] * rarest)
    assert wants_folds(data, SplitSettings(), False) is wanted
    assert wants_folds(data, SplitSettings(cross_validate=not wanted), False) is not wanted
    for settings in (SplitSettings(test=0.2), SplitSettings(train=100)):
        assert not wants_folds(data, settings, False)
    assert not wants_folds(data, SplitSettings(), adapts=True)


def test_a_ready_made_test_split_and_a_size_of_test_are_not_cross_validated(
    make_dataset: Callable[..., Dataset], topics: Dataset, tmp_path: Path
) -> None:
    parts = ["test" if n % 4 == 0 else "train" for n in range(len(topics))]
    data = replace(topics, table=topics.table.add_column("split", parts))
    assert not wants_folds(data, SplitSettings(), False)
    with pytest.raises(RecipeError, match="ready-made test split of 7 rows"):
        trained(data, tmp_path / "run")
    with pytest.raises(RecipeError, match=r"test cannot have a size \(0.2\)"):
        SplitSettings(test=0.2, cross_validate=True)


def test_an_older_unfinished_run_resumes_as_it_began(
    few_folds: None, topics: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(topics, tmp_path / "run", split=SplitSettings())
    recipe = run.folder / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("cross_validate = false\n", ""))
    shutil.rmtree(run.folder / "tfidf")
    (run.folder / "leaderboard.json").unlink()
    monkeypatch.setattr(cross_validation, "AUTOMATIC", True)
    resumed = trained(topics, run.folder, split=SplitSettings(), resume=True)
    assert resumed.evaluation == "test"


def test_seeds_add_nothing(few_folds: None, topics: Dataset, tmp_path: Path) -> None:
    said = list[str]()
    recipe = finetext.Recipe(methods={"tfidf": TFIDF}, split=FOLDED, seeds=3)
    path = tmp_path / "data.csv"
    lines = [f'"{text}",{label}' for text, label in zip(topics.texts, topics.labels, strict=True)]
    path.write_text("\n".join(["text,label", *lines]))
    run = finetext.train(
        replace(recipe, source=str(path)), out=tmp_path / "run", listener=Listener(said.append)
    )
    assert "seeds = 3 adds nothing: each repeat has a seed of its own" in said
    assert run.entry().seeds == ()


@pytest.fixture
def toy_llm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmServer]:
    """A language model on loopback, and a cache for its answers."""
    monkeypatch.setenv("FINETEXT_CACHE", str(tmp_path / "cache"))
    with serving() as server:
        yield server


def test_every_method_can_be_cross_validated(
    few_folds: None, topics: Dataset, tiny_encoder: Path, tmp_path: Path, toy_llm: LlmServer
) -> None:
    small = {"encoder": str(tiny_encoder), "epochs": 1, "inverse_regularisation": 1.0}
    small |= {"url": toy_llm.url, "model": "toy", "similarity": str(tiny_encoder)}
    plan = FoldPlan.of(topics, FOLDED, 0)
    for name in registry.names("methods"):
        kind = registry.load("methods", name)
        if kind.combines:  # what the others predicted: tests/runs/test_blending.py
            continue
        known = hyperparameters(kind())
        method = kind(**{key: of for key, of in small.items() if key in known})
        if isinstance(method, Teacher):
            fitted = finetext.Tfidf().fit(topics, topics.select([]), FitContext())
            method = Teacher(str(fitted.save(tmp_path / "saved")))
        place, context = tmp_path / name, FitContext(device="cpu")
        decide = finetext.Recipe().decide
        found, _ = cross_validate(Validating(name, method, plan, place, context, decide))
        again = read_repeats(method, plan, place)
        assert again is not None
        for repeat, same in zip(found.repeats, again.repeats, strict=True):
            assert _raw(repeat) == _raw(same)
        scores = found.scores()
        assert 0 <= scores["accuracy"].low <= scores["accuracy"].value <= scores["accuracy"].high


def _raw(folds: tuple[Predictions, ...]) -> list[Any]:
    return [(fold.ids, fold.probabilities.tolist(), fold.decision) for fold in folds]
