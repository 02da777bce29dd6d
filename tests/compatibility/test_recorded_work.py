"""Runs and models that commit 747c6c8 wrote say the same as they did then."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import golden
import pytest
from golden import command, differences, recorded, still_expected, unpacked

import finetext
from finetext.evaluation.calibration import fit_temperature
from finetext.training import classification

ARCHIVES = sorted(path.stem for path in golden.FOLDER.glob("*.zip"))
EXTRAS = {"onnx: predicted": "onnxruntime"}


@pytest.fixture
def run(place: Path) -> Path:
    """The recorded run of majority, tfidf, probe and finetune."""
    return unpacked("run", place) / "run"


@pytest.mark.parametrize("name", golden.OBSERVED)
def test_finished_work_says_what_it_said(name: str, place: Path, within: float) -> None:
    pytest.importorskip(EXTRAS.get(name, "numpy"))
    archive, observe = golden.OBSERVED[name]
    unpacked(archive, place)
    found = json.loads(json.dumps(observe(place)))
    assert differences(found, still_expected(recorded("expected")[name]), within) == []


def test_differences_are_noticed() -> None:
    expected = recorded("expected")["tfidf: predicted"]
    other = json.loads(json.dumps(expected))
    assert differences(other, expected, 1e-12) == []
    other["probabilities"][3][1] += 1e-9
    assert len(differences(other, expected, 1e-12)) == 1
    assert differences(other, expected, 1e-6) == []
    other["labels"][0] = "another"
    del other["names"]
    assert len(differences(other, expected, 1e-6)) == 2


def test_no_archive_names_a_place_of_a_developer() -> None:
    assert ARCHIVES
    for name in ARCHIVES:
        with zipfile.ZipFile(golden.FOLDER / f"{name}.zip") as file:
            for entry in file.namelist():
                assert not re.search(rb"/(home|work|Users)/", file.read(entry)), (name, entry)


def test_all_fixtures_together_are_small() -> None:
    assert sum(path.stat().st_size for path in golden.FOLDER.iterdir()) < 1_500_000


@pytest.mark.parametrize("method", ["tfidf", "probe", "finetune"])
def test_the_command_predicts_one_text_as_python_does(
    run: Path, method: str, within: float
) -> None:
    expected = recorded("expected")[f"{method}: predicted"]
    said = golden.json_of("predict", run / method, golden.TEXTS[0], "--device", "cpu")
    (row,) = said if isinstance(said, list) else [said]
    assert row["prediction"] == expected["labels"][0]
    of_label = {name: row[f"probability:{name}"] for name in expected["names"]}
    assert differences(of_label, expected["one"], within) == []


def test_a_report_is_written_again(run: Path) -> None:
    assert not (run / "report.html").exists()
    told = command("report", run)
    assert told.status == 0, told.err
    page = (run / "report.html").read_text(encoding="utf-8")
    assert 'class="columns"' not in page  # the run does not know how its columns were read
    page = re.sub(r"<[^>]*>", " ", page)
    for entry in recorded("expected")["run: shown"]["json"]["leaderboard"]:
        assert entry["method"] in page
        assert f"{entry['metrics']['test']['macro_f1']['value']:.3f}" in page


def test_a_finished_run_is_not_trained_again(run: Path, within: float) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    told = command("train", "--resume", "--out", run)
    assert told.status == 0, told.err
    assert {path: path.read_bytes() for path in before} == before


def test_its_recipe_gives_the_same_run(
    run: Path, place: Path, within_training: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_temperature, "__defaults__", (1.0,))  # the prior of 747c6c8
    # which kept the best weights on validation rows, even if by chance
    monkeypatch.setattr(classification, "standard_error", lambda score, rows: None)
    told = command("train", "--recipe", run / "recipe.toml", "--out", "again", "--quiet")
    assert told.status == 0, told.err
    was, now = golden.trained(run), golden.trained(place / "again")
    if not golden.is_same_machine():
        was, now = golden.without_weights(was), golden.without_weights(now)
    # 747c6c8 let rounding decide ties of the bootstrap, so its intervals depend on the processor.
    was, now = (golden.without(values, "low", "high") for values in (was, now))
    assert differences(now, was, within_training) == []
    parts = [finetext.Run.open(of).predictions("tfidf", "test").ids for of in (run, "again")]
    assert parts[0] == parts[1]


def test_a_rule_is_chosen_as_it_was(run: Path, place: Path, within: float) -> None:
    rules = ("--aim", "f1", "--abstain", "coverage=0.7", "--coverage", "0.9")
    told = command("decide", run / "finetune", *rules, "--out", "decided")
    assert told.status == 0, told.err
    expected = recorded("expected")
    found = {"predicted": golden.predicted, "described": golden.described}
    for name, observe in found.items():
        was, now = expected[f"decided: {name}"], observe(place / "decided")
        was.pop("files", None)
        if name == "described":  # abstention keeps a safe share of the rows now
            old = was["decision"].pop("least")
            assert all(new <= of for new, of in zip(now["decision"]["least"], old, strict=True))
        else:
            labels = zip(now["labels"], was.pop("labels"), strict=True)
            assert all(of is None or new == of for new, of in labels)
        assert differences(now, was, within) == []


def test_a_server_answers_as_python_did(run: Path, within: float) -> None:
    for package in ("fastapi", "uvicorn", "prometheus_client"):
        pytest.importorskip(package)
    expected = recorded("expected")["finetune: predicted"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "finetext", "serve", str(run / "finetune"), "--port", str(port)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ
    ) as process:
        try:
            scores, decided = (
                asked(process, f"http://127.0.0.1:{port}{path}") for path in ("/predict", "/decide")
            )
        finally:
            process.kill()
    for number, of_text, answer in zip(NOT_EMPTY, scores, decided, strict=True):
        likely = expected["probabilities"][number]
        was = dict(zip(expected["names"], likely, strict=True))
        found = {score["label"]: score["score"] for score in of_text}
        # Texts share batches in another way than in Python, which changes the last bits of fp32.
        assert differences(found, was, max(within, 1e-6)) == []
        assert differences(answer["probabilities"], was, max(within, 1e-6)) == []
        assert answer["prediction"] == expected["labels"][number]


NOT_EMPTY = [number for number, text in enumerate(golden.TEXTS) if text.strip()]
"""The texts that a server takes."""


def asked(process: subprocess.Popen[bytes], address: str) -> Any:
    """What a server answers on the texts, once it listens."""
    data = json.dumps({"inputs": [golden.TEXTS[number] for number in NOT_EMPTY]}).encode()
    request = urllib.request.Request(address, data, {"content-type": "application/json"})
    for _ in range(300):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
    raise AssertionError("the server does not answer")
