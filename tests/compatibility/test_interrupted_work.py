"""Work that commit 747c6c8 began and did not finish is resumed to the end it would have had."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import golden
import pytest
from golden import command, differences, recorded, unpacked

from finetext.evaluation.calibration import fit_temperature

needs_versions = pytest.mark.skipif(
    not golden.can_resume(), reason="checkpoints were recorded with other versions of torch"
)


@pytest.fixture(scope="module")
def expected() -> Mapping[str, Any]:
    """What was recorded, of work that nothing interrupted too."""
    values = recorded("expected")
    return values if golden.is_same_machine() else golden.without_weights(values)


def steps(text: str) -> list[int]:
    """Return the steps in the lines of `log.jsonl` that are whole."""
    lines = [line for line in text.splitlines() if line.endswith("}")]
    return [json.loads(line)["step"] for line in lines]


def assert_continued(before: str, after: str) -> None:
    """Training continued: what was logged before stays, and step 1 is not done again."""
    assert after.startswith(before.rpartition("\n")[0])
    assert max(steps(after)) > max(steps(before))
    assert steps(after).count(1) == steps(before).count(1) == 1


@needs_versions
def test_a_run_is_resumed(
    place: Path,
    expected: Mapping[str, Any],
    within_training: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fit_temperature, "__defaults__", (1.0,))  # the prior of 747c6c8
    run = unpacked("unfinished-run", place) / "unfinished"
    log = run / "finetune" / "log.jsonl"
    before, scores = log.read_text(), (run / "tfidf" / "scores.json").read_bytes()
    told = command("train", "--resume", "--out", run)
    assert told.status == 0, told.err
    wanted = golden.still_expected(expected["resumed: train"])
    assert differences(golden.trained(run), wanted, within_training) == []
    assert_continued(before, log.read_text())
    assert (run / "tfidf" / "scores.json").read_bytes() == scores
    assert not (run / "finetune" / "checkpoint").exists()


def test_a_run_is_not_resumed_with_other_settings(place: Path) -> None:
    run = unpacked("unfinished-run", place) / "unfinished"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for words in (("--seed", 6), ("--epochs", 3)):
        assert command("train", "--resume", "--out", run, *words).status == 2
    assert command("train", "topics.csv", "--out", run).status == 2
    assert {path: path.read_bytes() for path in before} == before


@needs_versions
@pytest.mark.parametrize("verb", ["adapt", "pretrain"])
def test_an_encoder_is_resumed(
    place: Path, verb: str, expected: Mapping[str, Any], within_training: float
) -> None:
    folder = unpacked(f"unfinished-{verb}", place) / verb
    before = (folder / "log.jsonl").read_text()
    words = [word.replace(golden.PLACE, str(place)) for word in expected[f"words: {verb}"]]
    given = (verb, "corpus.csv", *words, "--out", verb)
    assert command(*given).status == 2
    told = command(*given, "--resume")
    assert told.status == 0, told.err
    assert differences(golden.grown(folder), expected[f"resumed: {verb}"], within_training) == []
    assert_continued(before, (folder / "log.jsonl").read_text())
    assert {path.name for path in folder.iterdir()} >= {"config.json", "tokenizer.json"}


def test_a_learning_curve_is_resumed(
    place: Path, expected: Mapping[str, Any], within: float
) -> None:
    folder = unpacked("unfinished-curve", place) / "curve"
    before = (folder / "fits.jsonl").read_text()
    assert len(before.splitlines()) < 17
    former = ("--set", "tfidf.by_ratios=false")  # the default of 747c6c8
    words = ("curve", "topics.csv", *expected["words: curve"], *former, "--out", "curve")
    assert command(*words).status == 2
    told = command(*words, "--resume")
    assert told.status == 0, told.err
    assert differences(golden.curve(folder), expected["resumed: curve"], within) == []
    after = (folder / "fits.jsonl").read_text()
    assert after.startswith(before)
    assert len(after.splitlines()) == 1 + 16


def test_a_prediction_is_resumed_to_the_same_bytes(
    place: Path, expected: Mapping[str, Any]
) -> None:
    unpacked("unfinished-predict", place)
    words = ("predict", "model", "large.csv", "--top", 1, "--out", "out.csv")
    assert command(*words).status == 2
    told = command(*words, "--resume")
    assert told.status == 0, told.err
    lines = Path("out.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2_601
    if golden.is_same_machine():
        assert golden.file_hash(Path("out.csv")) == expected["resumed: predict"]
    was = [line.split(",") for line in expected["last rows: predict"]]
    for line, row in zip(lines[-len(was) :], was, strict=True):
        found = line.split(",")
        assert (found[:3], found[4:-1]) == (row[:3], row[4:-1])
        assert float(found[3]) == pytest.approx(float(row[3]), abs=1e-6)
    assert not list(place.glob(".out.csv.*"))


def test_rows_that_were_predicted_before_are_kept(place: Path) -> None:
    unpacked("unfinished-predict", place)
    part = Path(".out.csv.part")
    text = part.read_bytes()
    marked = text.replace(b"the", b"THE", 1)
    assert marked != text
    part.write_bytes(marked)
    words = ("predict", "model", "large.csv", "--top", 1, "--out", "out.csv")
    assert command(*words, "--resume").status == 0
    assert Path("out.csv").read_bytes().startswith(marked)
