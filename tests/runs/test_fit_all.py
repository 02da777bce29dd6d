"""Methods, folds and seeds that are fitted at once give what they give one after the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import finetext
from finetext.core.contracts import FitContext, Listener, Method
from finetext.core.decision import AS_LIKELY
from finetext.core.settings import SplitSettings
from finetext.core.types import Dataset
from finetext.methods.majority import MajorityClassifier
from finetext.runs.learning_curve import CurveSettings
from finetext.runs.pipeline import Place as Into
from finetext.runs.pipeline import train_recipe
from finetext.runs.recipe import Recipe, ladder
from finetext.runs.resume import is_finished
from finetext.runs.run import Run

TFIDF = finetext.Tfidf(longest_ngram=1, inverse_regularisation=10.0)


@dataclass(frozen=True)
class Place(Method):
    """Writes down in which process it is fitted, and fails where a file asks for it."""

    name: ClassVar[str] = "place"
    needs_validation: ClassVar[bool] = False
    log: str = ""

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> MajorityClassifier:
        with Path(self.log).open("a") as file:
            file.write(f"{os.getpid()}\n")
        if Path(f"{self.log}.broken").exists():
            raise finetext.FinetextError(f"{self.name}: broken")
        assert train.scheme is not None
        return MajorityClassifier(train.scheme, AS_LIKELY, np.full(len(train.scheme), 0.5))

    @property
    def processes(self) -> set[int]:
        """Those in which it was fitted."""
        return set(map(int, Path(self.log).read_text().split()))


@dataclass(frozen=True)
class Paid(Place):
    """The same, for money."""

    name: ClassVar[str] = "paid"
    pays_per_text: ClassVar[bool] = True


def results(run: Run) -> dict[str, Any]:
    """All that must be the same to the last bit."""
    found: dict[str, Any] = {"best": run.best, "unfinished": run.unfinished}
    for entry in run.leaderboard:
        # As text, as a figure that is not a number does not equal itself.
        found[entry.method] = str((entry.metrics, [of.metrics for of in entry.seeds]))
        for path in sorted((run.folder / entry.method).rglob("*")):
            if path.suffix in (".safetensors", ".parquet", ".npy"):
                found[path.relative_to(run.folder).as_posix()] = path.read_bytes()
    found["findings"] = run.findings
    found["files"] = {of.relative_to(run.folder).as_posix() for of in run.folder.rglob("*")}
    return found


@pytest.fixture
def two_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FOLDS", "REPEATS"):
        monkeypatch.setattr(f"finetext.runs.cross_validation.{name}", 2)


@pytest.mark.parametrize("folded", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_fits_at_once_give_the_same_run(
    folded: bool, two_folds: None, topics: Dataset, tmp_path: Path
) -> None:
    place = Place(str(tmp_path / "place"))
    runs = same_with_two_jobs(
        [TFIDF, place], topics, SplitSettings(cross_validate=folded), tmp_path
    )
    assert place.processes - {os.getpid()}
    recipes = [set((of.folder / "recipe.toml").read_text().split("\n")) for of in runs]
    assert recipes[1] - recipes[0] == {"jobs = 2"}


@pytest.mark.slow
@pytest.mark.parametrize("folded", [True, False])
def test_fits_of_encoders_at_once_give_the_same_run(
    folded: bool, two_folds: None, topics: Dataset, tiny_encoder: Path, tmp_path: Path
) -> None:
    finetune = finetext.Finetune(
        str(tiny_encoder), epochs=1, batch_size=4, max_length=16, precision="fp32",
        dropout_multiplier=1.0,
    )  # fmt: skip
    methods = [TFIDF, finetext.Probe(str(tiny_encoder), precision="fp32"), finetune]
    same_with_two_jobs(methods, topics, SplitSettings(cross_validate=folded), tmp_path)


def same_with_two_jobs(
    methods: list[Method], topics: Dataset, split: SplitSettings, folder: Path
) -> list[Run]:
    """Runs with three seeds, unless they are cross-validated, with one job and with two."""
    recipe = Recipe(methods=ladder(methods), split=split, seeds=3)
    places = [folder / str(jobs) for jobs in (1, 2)]
    runs = [
        train_recipe(replace(recipe, jobs=jobs), topics, Into(place), Listener(), time.monotonic())
        for jobs, place in enumerate(places, start=1)
    ]
    assert results(runs[0]) == results(runs[1])
    return runs


@pytest.mark.parametrize("folded", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_what_is_paid_for_stays_in_this_process(
    folded: bool, two_folds: None, topics: Dataset, tmp_path: Path
) -> None:
    place, paid = Place(str(tmp_path / "place")), Paid(str(tmp_path / "paid"))
    split = SplitSettings(cross_validate=folded)
    finetext.train(
        topics, [place, paid], split=split, out=tmp_path / "run", jobs=2, listener=Listener()
    )
    assert paid.processes == {os.getpid()}
    assert os.getpid() not in place.processes
    again = finetext.train(
        topics, [place, paid], split=split, out=tmp_path / "run", jobs=2, listener=Listener(),
        resume=True,
    )  # fmt: skip
    assert [of.method for of in again.leaderboard] == ["majority", "tfidf", "place", "paid"]


@pytest.mark.parametrize("folded", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_method_that_fails_is_named_and_those_before_it_are_kept(
    folded: bool, two_folds: None, topics: Dataset, tmp_path: Path
) -> None:
    place, broken = Place(str(tmp_path / "place")), tmp_path / "place.broken"
    given: dict[str, Any] = {
        "split": SplitSettings(cross_validate=folded), "out": tmp_path / "run", "jobs": 2,
        "listener": Listener(),
    }  # fmt: skip
    broken.touch()
    with pytest.raises(finetext.FinetextError) as caught:
        finetext.train(topics, [TFIDF, place, Paid(str(tmp_path / "paid"))], **given)
    assert str(caught.value).split("\n") == [
        "place failed: broken",
        f"what was finished before (majority, tfidf) is in {tmp_path / 'run'}",
        "the same settings would fail again: start a new run in another folder",
    ]
    run = Run.open(tmp_path / "run")
    assert [of.method for of in run.leaderboard] == ["majority", "tfidf"]
    assert run.unfinished == ("place", "paid")
    broken.unlink()
    run = finetext.train(topics, [TFIDF, place, Paid(str(tmp_path / "paid"))], resume=True, **given)
    assert [of.method for of in run.leaderboard] == ["majority", "tfidf", "place", "paid"]


@pytest.mark.parametrize("folded", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_curve_whose_points_are_made_at_once_is_the_same(
    folded: bool, two_folds: None, topics: Dataset, tmp_path: Path
) -> None:
    curves = [
        finetext.learning_curve(
            topics, [TFIDF], settings=CurveSettings(steps=2, trainings=2), jobs=jobs,
            split=SplitSettings(cross_validate=folded), out=tmp_path / str(jobs),
            listener=Listener(),
        )
        for jobs in (1, 2)
    ]  # fmt: skip
    first, second = ({**of.to_json()} for of in curves)
    assert _without_times(first) == _without_times(second)


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_times(of) for name, of in value.items() if "seconds" not in name}
    return [_without_times(of) for of in value] if isinstance(value, list) else value


ROWS = "text,label\n" + "".join(
    f"a {word} film number {number} of {word} ones,{label}\n"
    for number in range(60)
    for word, label in (("fine", "good"), ("dull", "bad"))
)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_with_jobs_that_is_stopped_or_killed_resumes_to_the_same(
    number: signal.Signals, tiny_encoder: Path, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    arguments = [
        sys.executable, "-m", "finetext", "train", str(tmp_path / "rows.csv"), "--cross-validate",
        "--methods", "tfidf,finetune", "--encoder", str(tiny_encoder), "--jobs", "2",
        "--set", "finetune.precision=fp32", "--set", "finetune.epochs=2",
    ]  # fmt: skip
    whole = [*arguments, "--out", str(tmp_path / "whole")]
    assert subprocess.run(whole, capture_output=True, check=False).returncode == 0
    given = [*arguments, "--out", str(tmp_path / "stopped")]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(given, start_new_session=True, **pipes)
    folds = tmp_path / "stopped" / "tfidf" / "folds"
    assert _until(lambda: len(list(folds.glob("repeat-*.parquet"))) >= 3)
    if number == signal.SIGINT:  # as a terminal sends it: to all processes
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert _until(lambda: not _in_session(process.pid))
    assert not is_finished(tmp_path / "stopped")
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert said.count("to resume: finetext train --resume") == 1
        assert "Traceback" not in said
    kept = {of.name: of.stat().st_mtime_ns for of in folds.glob("repeat-*.parquet")}
    again = subprocess.run([*given, "--resume"], capture_output=True, check=False, text=True)
    assert again.returncode == 0, again.stderr
    assert {name: (folds / name).stat().st_mtime_ns for name in kept} == kept
    found = [Run.open(tmp_path / name) for name in ("whole", "stopped")]
    assert results(found[0]) == results(found[1])


def _until(is_so: Callable[[], bool]) -> bool:
    ends = time.monotonic() + 120
    while not is_so() and time.monotonic() < ends:
        time.sleep(0.05)
    return is_so()


def _in_session(leader: int) -> list[int]:
    """The processes that still run in a session."""
    found = subprocess.run(
        ["ps", "-o", "pid=,stat=", "-s", str(leader)], capture_output=True, text=True, check=False
    )
    lines = [line.split() for line in found.stdout.splitlines()]
    return [int(pid) for pid, state in lines if not state.startswith("Z")]
