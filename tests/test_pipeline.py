"""`finetext.train`: from a source to a run folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import finetext
from finetext import Finding, Majority, Recipe, Run, Tfidf
from finetext.errors import DataError, FinetextError, RecipeError, UnknownNameError
from finetext.methods.base import ProgressEvent
from finetext.methods.tfidf import TfidfClassifier
from finetext.pipeline import Listener, train

QUICK = Tfidf(inverse_regularisation=1.0)


def metrics(run: Run) -> list[Any]:
    return [(entry.method, entry.metrics) for entry in run.leaderboard]


def rows(path: Path) -> list[dict[str, str]]:
    names, *lines = (line.split(",") for line in path.read_text().splitlines())
    return [dict(zip(names, line, strict=True)) for line in lines]


def test_the_run_folder_holds_all_that_is_promised(finished: Path) -> None:
    found = {str(p.relative_to(finished)) for p in finished.rglob("*") if p.is_file()}
    rungs = {f"{m}/{f}" for m in ("majority", "tfidf") for f in ("predictions.parquet",)}
    models = {f"{m}/model/finetext.json" for m in ("majority", "tfidf")}
    top = {"recipe.toml", "data.json", "splits.parquet", "environment.json", "leaderboard.json"}
    assert rungs | models | top | {"verdict.json", "report.html"} <= found
    assert not [name for name in found if name.endswith(".part") or "/." in name]
    data = json.loads((finished / "data.json").read_text())
    assert data["rows"] == {"train": 42, "validation": 9, "test": 9}
    assert sum(data["labels_by_split"]["test"].values()) == 9
    assert data["labels"] == ["bad", "good"]
    entries = json.loads((finished / "leaderboard.json").read_text())
    keys = {"method", "metrics", "seconds_to_train", "rows_per_second", "bytes", "model"}
    assert set(entries[0]) == keys
    assert set(entries[0]["metrics"]) == {"validation", "test"}
    assert {"value", "low", "high"} <= set(entries[0]["metrics"]["test"]["macro_f1"])
    assert (finished / entries[0]["model"]).is_dir()


def test_every_source_of_the_same_rows_gives_the_same_result(
    reviews: Path, finished: Path, tmp_path: Path
) -> None:
    import pandas

    texts, labels = zip(*((row["text"], row["label"]) for row in rows(reviews)), strict=True)
    sources = {
        "frame": pandas.read_csv(reviews),
        "lists": (list(texts), list(labels)),
        "data set": finetext.read(reviews),
        "recipe": Recipe(source=str(reviews)),
    }
    expected = metrics(Run.open(finished))
    for name, source in sources.items():
        assert metrics(train(source, QUICK, out=tmp_path / name)) == expected, name


def test_data_handed_over_are_kept_for_the_next_time(tmp_path: Path) -> None:
    texts = [f"number {n} of a {'fine' if n % 3 else 'dull'} kind" for n in range(60)]
    labels = [["1", "0"] if n % 3 else (["2"] if n % 2 else []) for n in range(60)]
    first = train((texts, labels), {"mine": QUICK}, out=tmp_path / "first", seed=3)
    heard: list[Finding] = []
    second = train(
        Recipe.from_file(first.folder / "recipe.toml"),
        out=tmp_path / "second",
        listener=Listener(finding=heard.append),
    )
    assert metrics(second) == metrics(first)
    assert [entry.method for entry in first.leaderboard] == ["majority", "tfidf", "mine"]
    assert "data-changed" not in {finding.code for finding in heard}
    splits = [(run.folder / "splits.parquet").read_bytes() for run in (first, second)]
    assert splits[0] == splits[1]


def test_the_listener_hears_all(reviews: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    findings: list[Finding] = []
    events: list[ProgressEvent] = []
    train(
        reviews, [QUICK], out=tmp_path / "run",
        listener=Listener(lines.append, events.append, findings.append),
    )  # fmt: skip
    assert "60 rows, 2 labels" in lines[0]
    assert lines[1] == "splits: train 42, validation 9, test 9 rows, 2 labels"
    assert "giveaway-tokens" in {finding.code for finding in findings}


def test_another_seed_makes_other_splits(reviews: Path, tmp_path: Path) -> None:
    runs = [
        train(reviews, Majority(), out=tmp_path / name, seed=seed)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    a, b, c = ((run.folder / "splits.parquet").read_bytes() for run in runs)
    assert a == b
    assert a != c


def test_a_mistake_leaves_nothing_behind(workplace: Path, reviews: Path) -> None:
    alike = [row | {"label": "good"} for row in rows(reviews)]
    wrong: list[tuple[Any, Any]] = [
        (alike, None),
        (reviews, ["tfdif"]),
        (reviews, [finetext.Probe(encoder="minlim")]),
        (Recipe(source=str(reviews), device="tpu"), None),
        (Recipe(source=str(reviews), metric="samples_f1"), None),
        (Recipe(), None),
        (workplace / "nothere.csv", None),
        ([], None),
    ]
    for source, methods in wrong:
        with pytest.raises(FinetextError):
            train(source, methods)
    assert list(workplace.iterdir()) == []


def test_the_errors_say_what_is_wrong(reviews: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tfidf'"):
        train(reviews, "tfdif")
    with pytest.raises(RecipeError, match="names no data"):
        train(Recipe())


@dataclass(frozen=True)
class Spy(Tfidf):
    """Remembers what it was given."""

    name = "spy"

    def fit(self, train: Any, validation: Any, context: Any) -> TfidfClassifier:
        """Keep a list of the rows by part."""
        assert not set(train.ids) & set(validation.ids)
        seen = {"train": train.ids, "validation": validation.ids, "seed": context.seed}
        (context.log.parent / "seen.json").write_text(json.dumps(seen))
        return super().fit(train, validation, context)


def test_a_method_sees_train_and_validation_but_not_test(reviews: Path, tmp_path: Path) -> None:
    import pyarrow.parquet

    run = train(reviews, {"spy": Spy()}, out=tmp_path / "run", seed=9)
    seen = json.loads((run.folder / "spy" / "seen.json").read_text())
    table = pyarrow.parquet.read_table(run.folder / "splits.parquet").to_pylist()
    for part in ("train", "validation"):
        assert seen[part] == [row["id"] for row in table if row["split"] == part]
    assert seen["seed"] == 9


def test_errors_among_the_findings_stop(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worst = [Finding("error", "a", "first wrong"), Finding("error", "b", "second wrong")]
    monkeypatch.setattr("finetext.pipeline.check", lambda splits: worst)
    with pytest.raises(DataError, match="first wrong\nsecond wrong"):
        train(reviews, Majority(), out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
