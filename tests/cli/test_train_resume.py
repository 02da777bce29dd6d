"""`finetext train --resume`, and what a run says that is stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from finetext.core.errors import ModelError
from finetext.runs.run import Run
from finetext.storage.locks import claimed

Command = Callable[..., Any]
QUICK = ("--methods", "tfidf", "--set", "tfidf.inverse_regularisation=1.0")


@pytest.fixture
def run(finished: Path, workplace: Path) -> Path:
    """The folder of a run that was killed at its last method."""
    shutil.copytree(finished, "run")
    for name in ("verdict.json", "leaderboard.json", "tfidf/entry.json"):
        Path("run", name).unlink()
    return Path("run")


@pytest.mark.parametrize("with_data", [True, False])
def test_the_same_command_resumes(
    command: Command, run: Path, reviews: Path, finished: Path, with_data: bool
) -> None:
    given = (reviews, *QUICK) if with_data else ()
    seen = command("train", *given, "--resume", "--out", "run", status=0)
    assert "resuming the run in run" in seen.err
    assert "majority was finished before" in seen.err
    assert "tfidf was finished before" not in seen.err
    told = [json.loads((of / "leaderboard.json").read_text()) for of in (run, finished)]
    assert [e["metrics"] for e in told[0]] == [e["metrics"] for e in told[1]]
    again = command("train", *given, "--resume", "--out", "run")
    assert again.status == 0
    assert "the run in run is finished already" in again.err
    assert again.out == seen.out


def test_the_first_time_it_starts_a_run(command: Command, workplace: Path, reviews: Path) -> None:
    seen = command("train", reviews, *QUICK, "--resume", status=0)
    assert "no such run to resume, so a new one is started" in seen.err
    assert "report: runs/reviews/report.html" in seen.out
    (workplace / "runs/reviews/verdict.json").unlink()
    assert "resuming the run in runs/reviews" in command("train", reviews, *QUICK, "--resume").err
    assert not Path("runs/reviews-2").exists()


def test_an_unfinished_run_is_not_overwritten(command: Command, run: Path, reviews: Path) -> None:
    before = sorted(path.stat().st_mtime_ns for path in run.rglob("*"))
    seen = command("train", reviews, *QUICK, "--out", "run", status=2)
    assert "holds an unfinished run: resume it with --resume" in seen.err
    seen = command("train", reviews, *QUICK, "--resume", "--out", "run", "--seed", 3, status=2)
    assert "other settings: seed was 0 and is 3" in seen.err
    assert "resume it: finetext train --resume --out run" in command("show", "run").err
    assert sorted(path.stat().st_mtime_ns for path in run.rglob("*")) == before


def test_a_folder_without_a_run_needs_data(command: Command, workplace: Path) -> None:
    seen = command("train", "--resume", "--out", "nothing", status=2)
    assert "nothing holds no run to resume; name the data to start one" in seen.err
    assert "name the data to train on" in command("train", "--resume").err


def test_two_runs_are_not_written_into_one_folder(command: Command, run: Path) -> None:
    with claimed(run):
        seen = command("train", "--resume", "--out", "run", status=2)
    assert "another process is writing into run; wait until it ends" in seen.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("quiet", [True, False])
def test_a_stopped_run_says_how_to_resume(
    command: Command, workplace: Path, reviews: Path, monkeypatch: pytest.MonkeyPatch,
    number: int, quiet: bool,
) -> None:  # fmt: skip
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patched:
        patched.setattr(
            "finetext.methods.tfidf.Tfidf.fit", lambda *given: os.kill(os.getpid(), number)
        )
        silent = ("--quiet",) if quiet else ()
        seen = command("train", reviews, *QUICK, *silent, "--out", "my run", status=130)
    assert seen.err.endswith(
        "what was finished before (majority) is in my run\n"
        "to resume: finetext train --resume --out 'my run'\nfinetext: stopped\n"
    )
    assert signal.getsignal(signal.SIGTERM) == before
    assert ("stopping; writing what is finished" in seen.err) != quiet
    shown = command("show", "my run")
    assert "report:" not in shown.out
    assert "unfinished: tfidf\nto resume: finetext train --resume --out 'my run'" in shown.out
    told = json.loads(command("show", "my run", "--json").out)
    assert told["unfinished"] == ["tfidf"]
    assert told["findings"][0]["code"] == "unfinished"
    assert command("train", "--resume", "--out", "my run").status == 0
    assert json.loads(command("show", "my run", "--json").out)["unfinished"] == []


def test_a_stop_swallowed_by_a_finalizer_is_repeated(
    command: Command, workplace: Path, reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closing:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    def fit(*given: Any) -> None:
        Closing()
        for _ in range(1000):
            time.sleep(0.01)

    monkeypatch.setattr("finetext.methods.tfidf.Tfidf.fit", fit)
    seen = command("train", reviews, *QUICK, "--out", "run", status=130)
    assert "tfidf was stopped" in seen.err
    assert "ignored" not in seen.err


def test_a_method_that_fails_is_not_resumed(
    command: Command, workplace: Path, reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(*given: Any) -> None:
        raise ModelError("tfidf: the loss is nan")

    monkeypatch.setattr("finetext.methods.tfidf.Tfidf.fit", fit)
    seen = command("train", reviews, *QUICK, "--out", "run", status=2)
    assert "finetext: tfidf failed: the loss is nan\n" in seen.err
    assert "start a new run in another folder" in seen.err
    for said in (seen.err, command("show", "run").out):
        assert "to resume" not in said
    assert "report: run/report.html" in command("show", "run").out


def test_only_what_is_given_is_compared_with_the_run(
    command: Command, workplace: Path, reviews: Path, run: Path
) -> None:
    seen = command("train", reviews, "--resume", "--out", "run", status=0)
    assert "resuming the run in run" in seen.err
    seen = command("train", reviews, "--resume", "--out", "run", "--test-size", 12, status=2)
    assert "other settings: split.test was not set and is 12. Give the" in seen.err


def test_a_run_stopped_before_it_began_leaves_nothing_to_resume(
    command: Command, workplace: Path, reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("finetext.runs.resolve.check_material", stop)
    assert "to resume" not in command("train", reviews, *QUICK, status=130).err
    assert list(workplace.iterdir()) == []


def test_precision_trackers_and_checkpoints_are_in_the_recipe(
    command: Command, workplace: Path, reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts: list[Any] = []
    monkeypatch.setattr(
        "finetext.runs.fit_all.fit_method", lambda *given: contexts.append(given[2].context)
    )
    monkeypatch.setattr("finetext.runs.pipeline.finish", lambda *given: 1 / 0)
    monkeypatch.setattr("finetext.methods.finetune.Finetune.check", lambda *given: None)
    monkeypatch.setattr("finetext.training.record.find_spec", lambda name: True)
    monkeypatch.setattr("finetext.runs.finish.finish", lambda *given: None)
    command(
        "train", reviews, "--methods", "tfidf,finetune", "--precision", "fp32",
        "--track", "tensorboard, mlflow", "--checkpoint-seconds", "5",
        "--set", "checkpoint_steps=7", "--device", "cpu", "--out", "run",
    )  # fmt: skip
    values = tomllib.loads(Path("run/recipe.toml").read_text())
    assert values["methods"]["finetune"]["precision"] == "fp32"
    assert values["track"] == ["tensorboard", "mlflow"]
    assert (values["checkpoint_seconds"], values["checkpoint_steps"]) == (5.0, 7)
    assert contexts[0].trackers == ("tensorboard", "mlflow")
    kept = contexts[0].checkpoints
    assert (kept.every_seconds, kept.every_steps) == (5.0, 7)
    assert len(kept.data) == 64


def test_scalars_go_to_tensorboard_and_curves_into_the_report(
    command: Command, workplace: Path, reviews: Path, tiny_encoder: Path
) -> None:
    pytest.importorskip("tensorboard")
    command(
        "train", reviews, "--methods", "tfidf,finetune", "--encoder", tiny_encoder,
        "--max-length", 16, "--epochs", 1, *QUICK[2:], "--track", "tensorboard",
        "--device", "cpu", "--out", "run", status=0,
    )  # fmt: skip
    assert list(Path("run/finetune").rglob("*tfevents*"))
    assert Run.open("run").training_log("finetune")[-1]["step"] > 0
    assert Run.open("run").training_log("tfidf") == []
    assert '<section id="training">' in Path("run/report.html").read_text()
    assert not Path("run/finetune/checkpoint").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--precision", "fp8"), "precision = 'fp8'"),
        pytest.param(
            ("--precision", "fp16"),
            "precision = 'fp16': this machine has no GPU",
            marks=pytest.mark.skipif(
                torch.cuda.is_available() or torch.backends.mps.is_available(), reason="it has one"
            ),
        ),
        (("--track", "tensorbord"), "did you mean 'tensorboard'"),
        (("--track", "mlflow"), "needs its package"),
        (("--checkpoint-seconds", "0"), "checkpoint_seconds = 0"),
        (("--set", "checkpoint_steps=0"), "checkpoint_steps = 0"),
        (
            ("--methods", "tfidf", "--precision", "fp32"),
            "--precision applies to none of the methods",
        ),
    ],
)
def test_wrong_settings_are_named(
    command: Command, workplace: Path, reviews: Path, words: tuple[str, ...], said: str
) -> None:
    assert said in command("train", reviews, *words, status=2).err
    assert list(workplace.iterdir()) == []
