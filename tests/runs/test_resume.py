"""Resuming a run: which one, whether it is the same, what is done again."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import finetext
from finetext import Finding, Listener, Majority, ReadSettings, Recipe, Run, SplitSettings, Tfidf
from finetext.core.errors import DataError, FinetextError, RecipeError, RunError
from finetext.evaluation.deciding import Deciding
from finetext.methods.majority import MajorityClassifier
from finetext.report.report import ReportData
from finetext.runs.resume import is_finished

QUICK = Tfidf(inverse_regularisation=1.0)
NOTICED = Finding("warning", "odd", "training was odd")


@dataclass(frozen=True)
class Moody(Majority):
    """Notices something, counts its fits in a file, and fails as long as a file `ill` is there."""

    name = "moody"
    needs_validation = True  # so it is fitted once
    strength: int | None = None

    def fit(self, train: Any, validation: Any, context: Any) -> MajorityClassifier:
        """Append to `fits` in the run folder."""
        context.find(NOTICED)
        context.find(NOTICED)
        folder = context.log.parent.parent
        with (folder / "fits").open("a") as file:
            file.write(context.log.parent.name + "\n")
        if (folder / "ill").exists():
            raise {"stop": KeyboardInterrupt(), "": DataError("no mood")}[
                (folder / "ill").read_text()
            ]
        return super().fit(train, validation, context)


METHODS = {"tfidf": QUICK, "first": Moody(), "second": Moody()}


@pytest.fixture(autouse=True)
def short_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report of the findings alone, which takes no time."""

    def render(data: ReportData) -> str:
        return "\n".join([data.description, *(finding.message for finding in data.findings)])

    monkeypatch.setattr("finetext.report.report.render", render)


@pytest.fixture(scope="module")
def whole(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run. Not to be changed."""
    return finetext.train(reviews, METHODS, out=tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture
def folder(whole: Run, tmp_path: Path) -> Path:
    """The folder of a run that was killed at its last method."""
    return unfinished(whole, tmp_path / "run")


def test_changed_costs_under_the_same_path_are_noticed(reviews: Path, tmp_path: Path) -> None:
    costs = tmp_path / "costs.csv"
    costs.write_text(",good,bad\ngood,0,1\nbad,5,0\n")
    recipe = Recipe(source=str(reviews), methods={"tfidf": QUICK}, decide=Deciding(costs=costs))
    heard: list[Finding] = []
    listener = Listener(finding=heard.append)
    run = finetext.train(recipe, out=tmp_path / "run", listener=listener)
    costs.write_text(";good;bad\ngood;0;1,0\nbad;5,0;0\n")
    again = Recipe.from_file(run.folder / "recipe.toml")
    for same in (recipe, again):
        assert finetext.train(same, out=run.folder, resume=True).best == run.best
    costs.write_text(",good,bad\ngood,0,1\nbad,50,0\n")
    for same in (recipe, again):
        with pytest.raises(
            RunError, match=r"costs\.csv are not the ones that the run in .* started"
        ):
            finetext.train(same, out=run.folder, resume=True)
    assert all(finding.code != "costs-changed" for finding in heard)
    finetext.train(again, out=tmp_path / "anew", listener=listener)
    (changed,) = [finding for finding in heard if finding.code == "costs-changed"]
    assert str(costs) in changed.message
    costs.unlink()
    with pytest.raises(RecipeError, match="cannot be read: No such file"):
        finetext.train(again, out=run.folder, resume=True)


def scores(run: Run) -> Any:
    return [(entry.method, entry.metrics) for entry in run.leaderboard]


def unfinished(whole: Run, folder: Path) -> Path:
    """A copy of a run, as if it was killed at its last method."""
    shutil.copytree(whole.folder, folder)
    for name in ("leaderboard.json", "verdict.json", "report.html", "second/entry.json"):
        (folder / name).unlink()
    (folder / "fits").unlink()
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_only_what_is_missing_is_done(reviews: Path, whole: Run, folder: Path) -> None:
    lines: list[str] = []
    heard: list[Finding] = []
    run = finetext.train(
        reviews, METHODS, out=folder, resume=True,
        listener=Listener(lines.append, finding=heard.append),
    )  # fmt: skip
    assert (folder / "fits").read_text() == "second\n"
    assert f"resuming the run in {folder}" in lines
    assert "first was finished before" in lines
    assert heard.count(NOTICED) == 1
    assert scores(run) == scores(whole)
    assert run.findings == whole.findings == (NOTICED, NOTICED)
    assert "training was odd" in run.report.read_text()
    assert set(content(folder)) == set(content(whole.folder))


def test_finished_run_is_left_as_it_is(reviews: Path, whole: Run) -> None:
    folder, lines = whole.folder, list[str]()
    before = content(folder)
    listener = Listener(lines.append)
    assert finetext.train(reviews, METHODS, out=folder, resume=True, listener=listener) == whole
    assert lines[-1] == f"the run in {folder} is finished already"
    assert content(folder) == before


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("entry.json", b"{"), ("entry.json", b"[]"), ("entry.json", b'{"files": []}'),
        ("predictions.parquet", b"PAR1"), ("scores.json", None), ("model", None),
        ("model/finetext.json", b"{"), ("model/frequencies.json", None),
        ("model/frequencies.json", b"[0.5"),
    ],
)  # fmt: skip
def test_damaged_method_is_fitted_again(
    reviews: Path, folder: Path, name: str, left: bytes | None
) -> None:
    path = folder / "first" / name
    if left is not None:
        path.write_bytes(left)
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    run = finetext.train(reviews, METHODS, out=folder, resume=True)
    assert (folder / "fits").read_text() == "first\nsecond\n"
    assert not run.unfinished


def test_run_with_a_failed_method_is_completed(reviews: Path, folder: Path) -> None:
    advice = {"": "start a new run in another folder", "stop": "to resume: finetext train --resume"}
    for kind, raised in (("", RunError), ("stop", KeyboardInterrupt)):
        (folder / "ill").write_text(kind)
        with pytest.raises(raised, match=advice[kind]):
            finetext.train(reviews, METHODS, out=folder, resume=True)
        run = Run.open(folder)
        assert run.unfinished == ("second",)
        assert not is_finished(folder)
    (folder / "ill").unlink()
    run = finetext.train(reviews, METHODS, out=folder, resume=True)
    assert [entry.method for entry in run.leaderboard] == ["majority", *METHODS]
    assert run.unfinished == ()
    assert "unfinished" not in run.report.read_text()


DIFFERENT: list[tuple[dict[str, Any], type[FinetextError], str]] = [
    ({"seed": 1}, RecipeError, "seed was 0 and is 1"),
    ({"metric": "accuracy"}, RecipeError, "metric was macro_f1 and is accuracy"),
    (
        {"methods": METHODS | {"third": Moody()}},
        RecipeError,
        "methods was first, majority, second, tfidf and is first, majority, second, tfidf, third",
    ),
    ({"split": SplitSettings(test=12)}, RecipeError, "split.test was not set and is 12"),
    ({"read": ReadSettings(group="movie")}, RunError, "data.group was not set and is movie"),
    (
        {"methods": {**METHODS, "first": Moody(strength=1)}},
        RecipeError,
        "methods.first.strength was not set and is 1",
    ),
]


@pytest.mark.parametrize(("change", "kind", "said"), DIFFERENT)
def test_other_settings_are_refused_and_nothing_is_changed(
    reviews: Path, folder: Path, change: dict[str, Any], kind: type[FinetextError], said: str
) -> None:
    before = content(folder)
    recipe = replace(Recipe(source=str(reviews), methods=METHODS), **change)
    with pytest.raises(kind, match=said):
        finetext.train(recipe, out=folder, resume=True)
    assert content(folder) == before


def test_other_data_are_refused(reviews: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    shutil.copy(reviews, own)
    folder = finetext.train(own, METHODS, out=tmp_path / "run").folder
    (folder / "verdict.json").unlink()
    with own.open("a") as file:
        file.write("one more fine film,good,x\n")
    with pytest.raises(RunError, match="the data are not the ones"):
        finetext.train(own, METHODS, out=folder, resume=True)
    elsewhere = tmp_path / "elsewhere.csv"
    shutil.copy(reviews, elsewhere)
    assert not finetext.train(elsewhere, METHODS, out=folder, resume=True).unfinished


@pytest.mark.parametrize("name", ["recipe.toml", "data.json", "splits.parquet"])
def test_damaged_folder_is_reported(reviews: Path, folder: Path, name: str) -> None:
    (folder / name).write_text("[")
    with pytest.raises(RunError, match=r"the run in \S*run is damaged"):
        finetext.train(reviews, METHODS, out=folder, resume=True)


def test_settings_that_change_no_result_may_differ(reviews: Path, folder: Path) -> None:
    recipe = Recipe(source=str(reviews), methods=METHODS, checkpoint_seconds=5.0)
    assert not finetext.train(recipe, out=folder, resume=True).unfinished


def test_data_passed_in_python_are_recognized(tmp_path: Path) -> None:
    texts = [f"number {n} of a {'fine' if n % 3 else 'dull'} kind" for n in range(60)]
    source = (texts, [str(n % 3 > 0) for n in range(60)])
    whole = finetext.train(source, METHODS, out=tmp_path / "whole")
    kept = ReadSettings(text="text", label="label", id="id")
    read_again = Recipe(source=str(whole.folder / "data.parquet"), methods=METHODS, read=kept)
    for number, given in enumerate((source, read_again)):
        folder = unfinished(whole, tmp_path / f"run-{number}")
        run = finetext.train(given, METHODS, out=folder, resume=True)
        assert scores(run) == scores(whole)
        assert run.report.read_text() == whole.report.read_text()


def test_a_run_of_an_earlier_version_keeps_its_splits(tmp_path: Path) -> None:
    texts = [f"the copied text has the number {n % 20} in all of its copies" for n in range(60)]
    source = (texts, [str(n % 2) for n in range(60)])
    keeping = SplitSettings(keep_duplicates=True)
    whole = finetext.train(source, METHODS, split=keeping, out=tmp_path / "whole")
    folder = unfinished(whole, tmp_path / "run")
    with pytest.raises(RecipeError, match=r"split\.keep_duplicates was True"):
        finetext.train(source, METHODS, out=folder, resume=True)
    recipe = folder / "recipe.toml"
    lines = recipe.read_text().splitlines(keepends=True)
    recipe.write_text("".join(line for line in lines if "keep_duplicates" not in line))
    for number, split in enumerate((None, keeping)):
        again = tmp_path / f"again-{number}"
        shutil.copytree(folder, again)
        run = finetext.train(source, METHODS, split=split, out=again, resume=True)
        assert scores(run) == scores(whole)


def test_newest_unfinished_run_is_resumed_without_a_folder(
    workplace: Path, reviews: Path, whole: Run
) -> None:
    def resume(seed: int = 0) -> tuple[Path, str]:
        lines: list[str] = []
        run = finetext.train(
            reviews, METHODS, seed=seed, resume=True, listener=Listener(lines.append)
        )
        return run.folder, "\n".join(lines)

    folder, said = resume()
    assert folder == Path("runs/reviews")
    assert "no such run to resume, so a new one is started" in said
    folder, said = resume()
    assert folder == Path("runs/reviews")
    assert "finished already" in said
    unfinished(whole, Path("runs/reviews-4"))
    recipe = unfinished(whole, Path("runs/reviews-2")) / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("seed = 0", "seed = 1"))
    folder, said = resume(seed=0)
    assert folder == Path("runs/reviews-4")
    assert "resuming the run in runs/reviews-4" in said
    folder, said = resume(seed=2)
    assert folder == Path("runs/reviews-3")
    assert "runs/reviews-2 is not resumed" in said
    assert "seed was 1 and is 2" in said


Break = Callable[[pytest.MonkeyPatch, Any], None]


def full_disk(*given: Any, **named: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def at_rename(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    rename = os.replace

    def replace_or_fail(source: Any, target: Any) -> None:
        if str(target).endswith(name):
            full_disk()
        rename(source, target)

    monkeypatch.setattr("os.replace", replace_or_fail)


def at_save(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from safetensors import SafetensorError

    def fail(*given: Any, **named: Any) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.numpy.save_file", fail)


def at_table(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("pyarrow.parquet.write_table", full_disk)


FULL: list[tuple[Break, str, bool]] = [
    (at_table, "splits", False),
    (at_rename, "recipe.toml", False),
    (at_rename, "data.json", False),
    (at_save, "weights", True),
    (at_rename, "first/scores.json", True),
    (at_rename, "first/model", True),
    (at_rename, "first/entry.json", True),
    (at_rename, "report.html", True),
    (at_rename, "leaderboard.json", True),
    (at_rename, "verdict.json", True),
]


@pytest.mark.parametrize(("fill", "name", "is_begun"), FULL, ids=[name for _, name, _ in FULL])
def test_full_disk_loses_nothing(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    fill: Break, name: str, is_begun: bool,
) -> None:  # fmt: skip
    folder = tmp_path / "run"
    with monkeypatch.context() as full:
        fill(full, name)
        with pytest.raises(RunError, match="No space left on device") as refused:
            finetext.train(reviews, METHODS, out=folder)
    assert ("to resume: finetext train --resume" in str(refused.value)) == is_begun
    assert folder.exists() == is_begun
    hidden = [str(path) for path in folder.rglob(".*") if path.name != ".lock"]
    assert hidden == []
    run = finetext.train(reviews, METHODS, out=folder, resume=True)
    assert [entry.method for entry in run.leaderboard] == ["majority", *METHODS]
    assert not run.unfinished


def test_full_disk_keeps_the_existing_leaderboard(
    reviews: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "ill").write_text("")
    with pytest.raises(RunError):
        finetext.train(reviews, METHODS, out=folder, resume=True)
    (folder / "ill").unlink()
    for name in ("report.html", "leaderboard.json", "verdict.json"):
        with monkeypatch.context() as full:
            at_rename(full, name)
            with pytest.raises(RunError, match="No space left"):
                finetext.train(reviews, METHODS, out=folder, resume=True)
        assert Run.open(folder).unfinished == ("second",)
    assert not finetext.train(reviews, METHODS, out=folder, resume=True).unfinished


def test_unwritable_folder_is_refused_before_reading(
    reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.runs.resolve.read_data", full_disk)
    with pytest.raises(RunError, match="the folder /proc/run cannot be written"):
        finetext.train(reviews, Majority(), out="/proc/run")
    monkeypatch.chdir("/proc")
    with pytest.raises(RunError, match="the folder runs cannot be written"):
        finetext.train(reviews, Majority())


def test_findings_are_in_the_verdict(reviews: Path, tmp_path: Path) -> None:
    run = finetext.train(reviews, {"moody": Moody()}, out=tmp_path / "run")
    verdict = json.loads((run.folder / "verdict.json").read_text())
    assert [finding["code"] for finding in verdict["findings"]] == ["odd"]
    entry = json.loads((run.folder / "moody" / "entry.json").read_text())
    assert entry["findings"] == verdict["findings"]
