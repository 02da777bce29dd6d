"""A run that is killed at any moment resumes to the result of one that never was."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

import pytest

from finetext import Finetune, Listener, Recipe, SplitSettings, Tfidf, train
from finetext.report import curves, plots
from finetext.runs.resume import is_finished
from finetext.runs.run import Run
from finetext.storage.locks import is_free, is_started
from finetext.storage.resume import read_log

KILLS: Final = 20
FEWEST_RESUMED: Final = 5
LOG: Final = "finetune/log.jsonl"
PRELOADED: Final = (
    *("accelerate", "datasets", "jinja2", "pandas", "pyarrow.parquet", "tokenizers"),
    *("matplotlib.backends.backend_svg", "matplotlib.figure", "safetensors.torch", "scipy.stats"),
    *("sklearn.feature_extraction.text", "sklearn.linear_model", "sklearn.model_selection"),
    *("torch", "torch.utils.data", "transformers", "transformers.models.bert.modeling_bert"),
    *("finetext.runs.pipeline", "finetext.methods.probe", "finetext.training.loop"),
)


def go(source: str, encoder: str, folder: str, resume: bool) -> None:
    """What the process does that is to be killed. Its figures, most of the time, are left out."""
    for module in (plots, curves):
        module.svg = lambda *given: ""  # type: ignore[attr-defined]
    finetune = Finetune(
        encoder=encoder, epochs=4, batch_size=4, max_length=16, evaluate_every=9,
        dropout_multiplier=1.0,
    )  # fmt: skip
    recipe = Recipe(
        source=source,
        split=SplitSettings(cross_validate=False),
        methods={"tfidf": Tfidf(inverse_regularisation=1.0), "finetune": finetune},
        device="cpu",
        checkpoint_seconds=0.05,
        checkpoint_steps=2,
        keep_checkpoints=2,
    )
    train(recipe, out=folder, resume=resume, listener=Listener())


@pytest.fixture(scope="module")
def start(
    reviews: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Path, bool], BaseProcess]:
    """A function that starts a run in a process of its own, all modules loaded."""
    context: ForkServerContext = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))

    def start(folder: Path, resume: bool) -> BaseProcess:
        given = (str(reviews), str(tiny_encoder), str(folder), resume)
        process = context.Process(target=go, args=given, daemon=True)
        process.start()
        return process

    return start


def results(folder: Path) -> dict[str, Any]:
    """All that must be the same to the last bit, however often a run was killed."""
    run = Run.open(folder)
    found: dict[str, Any] = {"best": run.best, "unfinished": run.unfinished}
    for entry in run.leaderboard:
        found[entry.method] = entry.metrics
        for path in sorted((folder / entry.model).iterdir()):
            if path.name not in ("finetext.json", "README.md"):  # they tell seconds
                found[f"{entry.method}/{path.name}"] = path.read_bytes()
        for kept in run.checkpoints(entry.method):
            weights = (kept.folder / "model.safetensors").read_bytes()
            found[f"{entry.method}, step {kept.step}"] = (kept.figures, weights)
        for split in ("validation", "test"):
            predictions = run.predictions(entry.method, split)  # type: ignore[arg-type]
            found[f"{entry.method} on {split}"] = predictions.probabilities.tobytes()
    for name in ("splits.parquet", "recipe.toml", "data.json"):
        found[name] = (folder / name).read_bytes()
    return found


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def events(folder: Path) -> list[str]:
    return [str(line.get("event", "")) for line in read_log(folder / LOG)]


def wait_for_step(process: BaseProcess, log: Path, step: int) -> None:
    """Wait until the log of training says that a step is done, or the process has ended."""
    known = len(read_log(log))
    while process.is_alive():
        if any(line["step"] >= step for line in read_log(log)[known:]):
            return
        process.join(0.005)


@pytest.mark.slow
def test_run_killed_at_any_moment_resumes_to_the_same_result(
    start: Callable[[Path, bool], BaseProcess], tmp_path: Path
) -> None:
    whole = start(tmp_path / "warm", False)
    whole.join(60)
    began = time.perf_counter()
    whole = start(tmp_path / "whole", False)
    whole.join(60)
    seconds = time.perf_counter() - began
    assert whole.exitcode == 0
    expected = results(tmp_path / "whole")
    last_step = max(line["step"] for line in read_log(tmp_path / "whole" / LOG))
    chance = random.Random(7)
    kills = resumed = number = 0
    while kills < KILLS:
        number += 1
        folder = tmp_path / f"run-{number}"
        while not is_finished(folder):
            process = start(folder, True)
            if chance.random() < 0.5:
                process.join(chance.uniform(0, seconds))
            else:
                wait_for_step(process, folder / LOG, chance.randrange(last_step))
            if process.is_alive():
                process.kill()
                process.join()
                kills += 1
            else:
                assert process.exitcode == 0
            assert is_started(folder) or is_free(folder)
        assert results(folder) == expected
        assert files(folder) == files(tmp_path / "whole")
        resumed += sum(event.startswith("resumed") for event in events(folder))
    assert json.loads((folder / "verdict.json").read_text())["unfinished"] == []
    assert resumed >= FEWEST_RESUMED
