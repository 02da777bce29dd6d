"""The splits that a run stored, with the rows of its data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet
import pytest

import finetext
from finetext.core.errors import RunError
from finetext.core.types import Dataset
from finetext.runs.run import Run
from finetext.runs.stored_splits import stored_splits


def test_the_splits_are_those_of_the_run(finished: Path, reviews: Path) -> None:
    found = stored_splits(finished)
    table = pyarrow.parquet.read_table(finished / "splits.parquet").to_pydict()
    assert [row for _, part in found.items() for row in part.ids] == table["id"]
    assert [name for name, part in found.items() for _ in part.ids] == table["split"]
    texts = dict(zip((data := finetext.read(reviews)).ids, data.texts, strict=True))
    assert found.train.texts == [texts[row] for row in found.train.ids]
    run = Run.open(finished)
    assert found.validation.ids == run.rows(split="validation").ids


def test_data_passed_in_python_are_read_from_the_run_folder(
    topics: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = finetext.Tfidf(inverse_regularisation=1.0)
    run = finetext.train(topics, [method], out=tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    train = run.rows(split="train")
    assert set(train.ids) < set(topics.ids)
    assert train.scheme == topics.scheme
    assert set(run.rows(split="validation").ids) < set(train.ids)  # it learned from them, too
    assert not set(train.ids) & set(run.predictions().ids)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("film number 3,", "film number three,"), "rows were added, or"),
        (lambda text: text + "one more,good,film 12\n", "rows were added, or"),
        (lambda text: "".join(text.splitlines(keepends=True)[:-1]), "1 of its 60 rows are missing"),
    ],
    ids=["text", "added", "missing"],
)
def test_changed_data_are_refused(
    finished: Path, reviews: Path, tmp_path: Path, change: object, message: str
) -> None:
    films = shutil.copy(reviews, tmp_path / "films.csv")
    recipe = (finished / "recipe.toml").read_text().replace(str(reviews), str(films))
    (finished / "recipe.toml").write_text(recipe)
    assert len(stored_splits(finished).train) == 42
    films.write_text(change(films.read_text()))  # type: ignore[operator]
    with pytest.raises(RunError, match=f"have changed since .* {message}"):
        stored_splits(finished)
    films.unlink()
    with pytest.raises(RunError, match=r"cannot be read: there is no file.*recipe\.toml"):
        stored_splits(finished)


@pytest.mark.parametrize("name", ["recipe.toml", "data.json", "splits.parquet"])
def test_a_damaged_run_is_named(finished: Path, name: str) -> None:
    (finished / name).write_bytes(b"")
    with pytest.raises(RunError, match="is damaged"):
        stored_splits(finished)


def test_labels_are_spelled_as_the_run_stored_them(
    finished: Path, reviews: Path, tmp_path: Path
) -> None:
    films = tmp_path / "films.csv"
    films.write_text(reviews.read_text().replace(",good,", ",good ,"))
    recipe = (finished / "recipe.toml").read_text().replace(str(reviews), str(films))
    (finished / "recipe.toml").write_text(recipe)
    known = finetext.ReadSettings(classes=("bad", "good "))
    as_before = finetext.read(films, settings=known)
    assert set(as_before.labels) == {"bad", "good "}
    about = json.loads((finished / "data.json").read_text())
    about |= {"labels": ["bad", "good "], "content_hash": as_before.content_hash}
    (finished / "data.json").write_text(json.dumps(about))
    assert set(stored_splits(finished).train.labels) == {"bad", "good "}
    assert set(finetext.read(films).labels) == {"bad", "good"}
