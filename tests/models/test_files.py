"""Changed, missing and extra files are named, and pickles are found by their content."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import shutil
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import finetext
from finetext.core.errors import ModelError
from finetext.methods.tfidf import TfidfClassifier
from finetext.models.files import checked, refuse_pickles
from finetext.models.folder import load_model, read_description, save_model, write_record
from finetext.models.info import info
from finetext.models.pickles import holds_pickle


def change(folder: Path, **values: Any) -> None:
    described = json.loads((folder / "finetext.json").read_text())
    (folder / "finetext.json").write_text(json.dumps(described | values))


def flip(path: Path) -> None:
    """Another content of the same size."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_unchanged_files_pass_the_check(folder: Path) -> None:
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


def test_loading_refuses_missing_or_resized_files(folder: Path) -> None:
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


def test_extra_files_are_no_damage(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    assert info(folder).problem is None
    load_model(folder)


def test_a_handwritten_card_is_kept(folder: Path, tfidf: TfidfClassifier) -> None:
    card = folder / "README.md"
    card.write_text(card.read_text().replace("# A text", "# My text"))
    assert info(folder).problem is None
    assert next(f.state for f in info(folder).files if f.name == "README.md") == "own"
    left = folder / f".finetext-{'0' * 32}"  # by a killed process
    left.mkdir()
    (left / "README.md").write_text("")
    assert info(folder).checked.extra == ()
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
def test_an_invalid_file_list_is_damage(folder: Path, files: Any) -> None:
    change(folder, files=files)
    for look in (load_model, info):
        with pytest.raises(ModelError, match="damaged"):
            look(folder)


def test_pickles_are_refused_by_name(folder: Path) -> None:
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


VALUE = OrderedDict(weights=[1.5, 2.5], name="a text", more={"b": (1, None)})
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def torch_file(is_new: bool) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save({"w": torch.zeros(3)}, file, _use_new_zipfile_serialization=is_new)
    return file.getvalue()


def joblib_file(compress: Any) -> bytes:
    import joblib

    file = io.BytesIO()
    joblib.dump({"w": np.zeros(3000), "name": "x"}, file, compress=compress)
    return file.getvalue()


def numpy_file(write: Callable[..., None], *arrays: Any) -> bytes:
    file = io.BytesIO()
    write(file, *arrays)
    return file.getvalue()


def archive(kind: str, content: bytes) -> bytes:
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("readme.txt", "a text")
            zipped.writestr("archive/data", content)
    else:
        with tarfile.open(fileobj=file, mode="w") as packed:
            member = tarfile.TarInfo("storages")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return file.getvalue()


PICKLES: dict[str, Callable[[], bytes]] = {
    **{f"protocol {n}": lambda n=n: pickle.dumps(VALUE, n) for n in range(6)},
    **{f"list of protocol {n}": lambda n=n: pickle.dumps(list(range(50_000)), n) for n in (0, 1)},
    **{f"long text of protocol {n}": lambda n=n: pickle.dumps("x" * 99_999, n) for n in range(6)},
    "a call after a long text": lambda: b"V" + b"x" * 99_999 + b"\n0cos\nsystem\n(S'true'\ntR.",
    "long text in a zip": lambda: archive("zip", pickle.dumps("x" * 99_999, 2)),
    "long text in a tar": lambda: archive("tar", pickle.dumps("x" * 99_999, 2)),
    "a call": lambda: b"cos\nsystem\n(S'true'\ntR.",
    "a call of protocol 1": lambda: b"(S'true'\nios\nsystem\n.",
    "torch": lambda: torch_file(True),
    "old torch": lambda: torch_file(False),
    "joblib": lambda: joblib_file(0),
    "joblib, zlib": lambda: joblib_file(3),
    "joblib, gzip": lambda: joblib_file(("gzip", 3)),
    "joblib, bz2": lambda: joblib_file(("bz2", 3)),
    "joblib, xz": lambda: joblib_file(("xz", 3)),
    "joblib, lzma": lambda: joblib_file(("lzma", 3)),
    "array of objects": lambda: numpy_file(np.save, np.array([{"a": 1}], dtype=object)),
    "arrays of objects": lambda: numpy_file(np.savez, np.array([{"a": 1}], dtype=object)),
    "in a zip": lambda: archive("zip", pickle.dumps(VALUE)),
    "in a tar": lambda: archive("tar", pickle.dumps(VALUE)),
}
HARMLESS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "a dot": lambda: b".",
    "a number": lambda: b"10.5",
    "numbers": lambda: b"0.5\n10.5\n2\n",
    "a sentence": lambda: b"(I said so). Not a pickle.",
    "a long line": lambda: b"V" + b"x" * 99_999,
    "a long line and words": lambda: b"V" + b"x" * 99_999 + b"\nthe\nend.\n",
    "json": lambda: json.dumps({"a": [1, 2]}).encode(),
    "vocabulary": lambda: b"[PAD]\n[UNK]\nthe\na\n",
    "array": lambda: numpy_file(np.save, np.zeros((3, 2))),
    "array of texts": lambda: numpy_file(np.save, np.array(["OO", "a"])),
    "arrays": lambda: numpy_file(np.savez, np.zeros(3), np.ones(2)),
    "a zip of texts": lambda: archive("zip", b"a text"),
    "a tar of texts": lambda: archive("tar", b"a text"),
    "compressed text": lambda: gzip.compress(b"a text " * 9_000),
    "a zip cut off": lambda: archive("zip", b"a text")[:40],
    "onnx": lambda: b"\x08\x0a\x12\x07pytorch\x1a\x052.13:\x10",
    **{
        f"safetensors {n:#x}": lambda n=n: n.to_bytes(8, "little") + b"{" + b" " * n
        for n in (0x80, 0x280, 0x380, 0x480, 0x580)
    },
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickles_are_detected(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(PICKLES[name]())
    assert holds_pickle(path.parent, path.name)
    with pytest.raises(ModelError, match=r"pickle.*: config\.json; finetext"):
        refuse_pickles(tmp_path)


@pytest.mark.parametrize("name", HARMLESS)
def test_other_files_are_no_pickles(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.bin").write_bytes(HARMLESS[name]())
    assert not holds_pickle(tmp_path, "a.bin")
    refuse_pickles(tmp_path)


@given(DATA, st.integers(0, 5))
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_pickles_of_any_protocol_are_detected(tmp_path: Path, data: Any, protocol: int) -> None:
    (tmp_path / "a").write_bytes(pickle.dumps({"data": data}, protocol))
    assert holds_pickle(tmp_path, "a")


@given(st.text() | DATA.map(lambda data: json.dumps(data, default=repr)))
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_texts_are_no_pickles(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").write_bytes(text.encode("utf-8", "replace"))
    assert not holds_pickle(tmp_path, "a")


def test_files_in_subfolders_are_listed(tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    for number in range(7):
        (tmp_path / "encoder" / f"{number}.bin").write_bytes(pickle.dumps(VALUE))
    with pytest.raises(ModelError, match=r"encoder/0\.bin, .*encoder/4\.bin and 2 more"):
        refuse_pickles(tmp_path)
