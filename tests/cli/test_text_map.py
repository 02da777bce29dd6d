"""The command `map`, with a stand-in for the layout."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from finetext.core.arrays import Floats
from finetext.diagnosis import text_map as maps
from finetext.diagnosis.text_map import States, TextMap
from finetext.runs.run import Run
from finetext.storage.codec import from_json

Command = Callable[..., Any]


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layout that does not compile for half a minute."""

    def on_a_circle(states: States, seed: int) -> Floats:
        turn = np.linspace(0, 6, states.vectors.shape[0]) + seed
        return 0.5 + 0.5 * np.stack([np.cos(turn), 0.5 * np.sin(turn)], axis=1)

    monkeypatch.setattr(maps, "layout", on_a_circle)


def kept(path: Path) -> TextMap:
    return from_json(TextMap, json.loads(path.read_text()), str(path))


def ids_of(run: Path, split: str) -> list[str]:
    table = pyarrow.parquet.read_table(run / "splits.parquet", filters=[("split", "=", split)])
    ids: list[str] = table["id"].to_pylist()
    return ids


def test_a_run_and_other_data_are_mapped(command: Command, finished: Path, reviews: Path) -> None:
    command("map", finished, "--method", "tfidf", "--out", "own", status=0)
    assert sorted(path.name for path in Path("own").iterdir()) == [
        "map.html", "map.json", "map.png", "map.svg"
    ]  # fmt: skip
    found = kept(Path("own/map.json"))
    assert list(found.ids) == Run.open(finished).rows("tfidf").ids
    assert (found.method, found.split) == ("tfidf", "validation")
    model = finished / "tfidf" / "model"
    told = json.loads(command("map", model, reviews, "--label", "label", "--json").out)
    assert (len(told["ids"]), told["folder"], told["split"]) == (60, "map", None)
    Path("lines.txt").write_text("".join(f"a fine film {n}\n" for n in range(20)))
    assert json.loads(command("map", model, "lines.txt", "--json", "--force").out)["truths"] == []


def test_training_rows_leave_the_map_of_the_report_alone(command: Command, run: Path) -> None:
    seen = command("map", run, status=0)
    assert "map of 9 validation texts: runs/films/diagnosis/map.html" in seen.out
    before = (run / "diagnosis" / "map.json").read_bytes()
    seen = command("map", run, "--split", "train", status=0)
    assert "42 training rows of runs/films" in seen.err
    assert "map of 42 training texts: runs/films/diagnosis/map-train.html" in seen.out
    assert (run / "diagnosis" / "map.json").read_bytes() == before
    found = kept(run / "diagnosis" / "map-train.json")
    assert (list(found.ids), found.split) == (ids_of(run, "train"), "train")
    page = (run / "diagnosis" / "map-train.html").read_text()
    assert "of 42 training texts on the map</h1>" in page
    assert "tfidf was trained on these texts" in page
    command("report", run, status=0)
    report = (run / "report.html").read_text()
    assert "of 9 validation texts on the map" in report
    assert "42 training texts" not in report


def test_other_data_are_never_in_the_report(command: Command, run: Path, reviews: Path) -> None:
    command("map", run, reviews, status=0)
    assert kept(Path("map/map.json")).split is None
    assert not (run / "diagnosis" / "map.json").exists()
    command("map", run, reviews, "--out", run / "diagnosis", status=0)
    command("report", run, status=0)
    assert "on the map" not in (run / "report.html").read_text()


def test_the_splits_are_the_stored_ones(command: Command, run: Path) -> None:
    table = pyarrow.parquet.read_table(run / "splits.parquet").to_pydict()
    turned = {"train": "test", "test": "train"}
    table["split"] = [turned.get(name, name) for name in table["split"]]
    pyarrow.parquet.write_table(pyarrow.table(table), run / "splits.parquet")
    told = json.loads(command("map", run, "--split", "train", "--json").out)
    assert told["ids"] == ids_of(run, "train")
    assert len(told["ids"]) == 9


def test_changed_data_stop_the_map_of_training_rows(
    command: Command, reviews: Path, workplace: Path
) -> None:
    lines = reviews.read_text().splitlines(keepends=True)
    Path("films.csv").write_text("".join(lines))
    quick = ("--methods", "tfidf", "--set", "tfidf.inverse_regularisation=1.0")
    command("train", "films.csv", *quick, "--out", "run", status=0)
    Path("films.csv").write_text("".join(lines[:-3]))
    for words in (("map", "run", "--split", "train"), ("features", "run", "--out", "f.npz")):
        seen = command(*words, status=2)
        assert "have changed since it started" in seen.err
        assert re.search(r"3 of its 60 rows are missing, that with the id '(58|59|60)'", seen.err)
    assert not Path("f.npz").exists()
    assert not Path("run/diagnosis/map-train.json").exists()
    command("map", "run", status=0)


def test_an_encoder_maps_data_without_a_classifier(
    command: Command, reviews: Path, tiny_encoder: Path
) -> None:
    seen = command("map", reviews, "--encoder", tiny_encoder, "--out", "maps.png", status=0)
    assert seen.out.strip() == "density of 60 texts: maps.png"
    assert Path("maps.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["maps.png"]
    told = json.loads(command("map", reviews, "--encoder", tiny_encoder, "--json").out)
    assert (told["method"], told["predictions"], len(told["truths"])) == (None, [], 60)
    page = Path("map/map.html").read_text()
    assert "60 texts, similar ones close together" in page
    assert "prediction</th>" not in page
    assert "only wrong predictions" not in page


def test_ready_made_training_rows_can_be_mapped_alone(
    command: Command, reviews: Path, tiny_encoder: Path
) -> None:
    lines = reviews.read_text().splitlines(keepends=True)
    Path("data").mkdir()
    Path("data/train.csv").write_text("".join(lines[:41]))
    Path("data/test.csv").write_text("".join([lines[0], *lines[41:]]))
    words = ("map", "data", "--encoder", tiny_encoder, "--split", "train")
    told = json.loads(command(*words, "--json", status=0).out)
    assert (len(told["ids"]), told["split"]) == (40, "train")
    assert Path("map/map-train.html").is_file()
    refused = command("map", reviews, *words[2:], "--force", status=2)
    assert "has no ready-made training rows for --split train" in refused.err


def test_a_limit_and_labels_without_a_panel_are_told(
    command: Command, workplace: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maps, "MOST_TEXTS", 65)
    rows = [f"film number {n},label {n % 32}" for n in range(66)]
    Path("many.csv").write_text("\n".join(["text,label", *rows]))
    seen = command("map", "many.csv", "--encoder", tiny_encoder, "--seed", 3, status=0)
    assert "on the map: 65 of 66 texts, drawn at random (seed 3)" in seen.err
    assert "The 30 most frequent of 32 labels have a panel; left out: label" in seen.err


def test_what_does_not_fit_together_is_refused(
    command: Command, finished: Path, reviews: Path, tiny_encoder: Path
) -> None:
    model = finished / "tfidf" / "model"
    for words, message in (
        ((model,), "name DATA, too"),
        ((model, "--encoder", tiny_encoder), "name DATA, too"),
        ((reviews,), "name an encoder, too: --encoder minilm"),
        ((model, reviews, "--method", "tfidf"), "leave it out"),
        ((finished, "--method", "tfdif"), "did you mean 'tfidf'"),
        ((finished, reviews, "--split", "train"), "--split train chooses rows of a run"),
        ((model, reviews, "--split", "validation"), "--split validation chooses rows of a run"),
        ((finished, "--split", "test"), "--split test: it must be validation or train"),
        ((finished, "--label", "label"), "which says how its data are read"),
        ((finished, "--out", "maps.gif"), "a picture that ends in .png or .svg"),
        ((finished, "--out", reviews), "name a folder, or a picture"),
        ((finished, "--out", "nowhere/maps.png"), "there is no folder nowhere"),
    ):
        assert message in command("map", *words, status=2).err
    assert list(Path.cwd().iterdir()) == []
