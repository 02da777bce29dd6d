"""A model folder knows its files: what is missing, changed or does not belong is named."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

import finetext
from finetext.core.errors import ModelError
from finetext.methods.tfidf import TfidfClassifier
from finetext.models.files import checked
from finetext.models.folder import load_model, read_description, save_model, write_record
from finetext.models.info import info


@pytest.fixture
def folder(tmp_path: Path, tfidf: TfidfClassifier) -> Path:
    return tfidf.save(tmp_path / "m")


def change(folder: Path, **values: Any) -> None:
    described = json.loads((folder / "finetext.json").read_text())
    (folder / "finetext.json").write_text(json.dumps(described | values))


def flip(path: Path) -> None:
    """Another content of the same size."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_what_was_written_is_as_it_was(folder: Path) -> None:
    found = checked(folder, read_description(folder))
    assert found.is_known
    assert found.is_sound
    assert found.words == ""
    assert not found.extra
    assert set(read_description(folder)["files"]) == {"model.safetensors", "vocabulary.json"}
    about = info(folder)
    assert about.problem is None
    assert {file.name: file.state for file in about.files} == {
        "README.md": "ok",
        "finetext.json": "ok",
        "model.safetensors": "ok",
        "vocabulary.json": "ok",
    }


def test_another_size_or_a_missing_file_is_refused_when_it_is_loaded(folder: Path) -> None:
    path = folder / "vocabulary.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(
        ModelError, match=r"damaged: vocabulary\.json has .* bytes, .*finetext info"
    ):
        load_model(folder)
    path.unlink()
    with pytest.raises(ModelError, match=r"damaged: vocabulary\.json is missing"):
        load_model(folder)
    assert info(folder).problem == f"{folder} is not as finetext wrote it: missing: vocabulary.json"


def test_every_change_is_named(folder: Path) -> None:
    flip(folder / "model.safetensors")
    change(folder, labels=["money", "food", "sport"])
    (folder / "notes.txt").write_text("mine")
    about = info(folder)
    assert about.checked.changed == ("model.safetensors", "finetext.json")
    assert about.checked.extra == ("notes.txt",)
    assert "changed: model.safetensors, finetext.json" in str(about.problem)
    assert {file.state for file in about.files} == {"ok", "changed", "extra"}


def test_a_file_that_does_not_belong_is_no_damage(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    assert info(folder).problem is None
    load_model(folder)


def test_a_card_may_be_changed_and_stays(folder: Path, tfidf: TfidfClassifier) -> None:
    card = folder / "README.md"
    card.write_text(card.read_text().replace("# A text", "# My text"))
    assert info(folder).problem is None
    assert next(f.state for f in info(folder).files if f.name == "README.md") == "own"
    (folder / ".finetext.json.killed").write_text("")
    (folder / ".README.md.killed").write_text("")
    write_record(folder, {"title": "new"})
    assert not list(folder.glob(".*"))
    save_model(tfidf, folder)
    assert "# My text" in card.read_text()
    assert info(folder).problem is None


def test_folders_without_hashes_still_load(folder: Path) -> None:
    described = read_description(folder)
    del described["files"], described["sha256"]
    (folder / "finetext.json").write_text(json.dumps(described))
    (folder / "README.md").unlink()
    assert load_model(folder).scheme.names == ("food", "money", "sport")
    about = info(folder)
    assert about.problem is None
    assert not about.checked.is_known
    assert {file.state for file in about.files} == {"unknown"}


@pytest.mark.parametrize(
    "files",
    [
        {"../secret": {"size": 1, "sha256": "0"}},
        {"/etc/passwd": {"size": 1, "sha256": "0"}},
        {"a\\b": {"size": 1, "sha256": "0"}},
        {"model.safetensors": {"size": "many"}},
        {"model.safetensors": {"size": "12"}},
        {"model.safetensors": {}},
        {"model.safetensors": None},
        ["model.safetensors"],
        "all",
    ],
)
def test_a_list_of_files_that_is_none_is_damage(folder: Path, files: Any) -> None:
    change(folder, files=files)
    for look in (load_model, info):
        with pytest.raises(ModelError, match="damaged"):
            look(folder)


def test_a_pickle_is_refused_by_its_name(folder: Path) -> None:
    (folder / "optimizer.safetensors").write_bytes(pickle.dumps({"a": [1, 2]}))
    with pytest.raises(ModelError, match=r"holds a pickle.*optimizer\.safetensors"):
        finetext.load(folder)
    about = info(folder)
    assert about.pickles == ("optimizer.safetensors",)
    assert "holds a pickle" in str(about.problem)


def test_foreign_folders_are_named(folder: Path, finished: Path, tiny_encoder: Path) -> None:
    other = folder.parent / "other"
    other.mkdir()
    (other / "chapter.txt").write_text("a thesis")
    assert info(other).kind == "unusable"
    assert str(info(other).problem).endswith("has no finetext.json")
    assert "no text classifier" in str(info(tiny_encoder).problem)
    assert info(finished).folder == finished / "tfidf" / "model"
    assert info(finished).problem is None
    unfinished = folder.parent / "unfinished"
    shutil.copytree(finished, unfinished)
    (unfinished / "leaderboard.json").unlink()
    assert "a run that is not finished" in str(info(unfinished).problem)
    assert info(finished / "tfidf").folder == finished / "tfidf" / "model"
    with pytest.raises(ModelError, match="no model or run folder"):
        info(folder.parent / "nowhere")
