"""A model folder with a link in it never shows, copies or publishes a file outside of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loopback_hub import Hub

import finetext
from finetext.core.errors import FinetextError, ModelError, RunError
from finetext.models import files, upload
from finetext.models.folder import load_model, read_description, save_model
from finetext.models.info import info
from finetext.models.upload import push
from finetext.serving.model import about

SECRET = "a secret of the user"
Command = Callable[..., Any]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the user beside the model."""
    path = tmp_path / "secret"
    path.write_text(SECRET)
    return path


def lead_out(path: Path, target: str | Path = "../secret") -> None:
    """Put a link in the place of a file or folder."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def moved_out(path: Path) -> Path:
    """Put a link to the same content, outside of the model, in the place of a file or folder."""
    outside = path.parent.parent / f"outside-{path.name}"
    path.rename(outside)
    path.symlink_to(outside)
    return outside


def sent(hub: Hub) -> bytes:
    return b"".join(hub.files("jane/topics").values())


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.json", "finetext.json"])
def test_files_of_a_model_that_are_links_are_refused(hub: Hub, folder: Path, name: str) -> None:
    moved_out(folder / name)  # of the right size and hash
    for use in (load_model, lambda f: push(f, "jane/topics"), about):
        if use is about and name != "finetext.json":
            continue
        if use is about:
            assert about(folder)["provenance"] == {}
            continue
        with pytest.raises(ModelError, match=rf"{name}.*link|link.*{name}"):
            use(folder)
    assert not hub.repos


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.json"])
def test_info_says_which_files_lead_out(folder: Path, name: str) -> None:
    moved_out(folder / name)
    found = info(folder)
    assert found.problem is not None
    assert f"link that leads out of the folder: {name}" in found.problem
    [file] = [file for file in found.files if file.name == name]
    assert (file.state, file.size, file.sha256) == ("not followed", 0, "")


def test_a_card_that_is_a_link_is_neither_shown_nor_sent(
    hub: Hub, folder: Path, secret: Path
) -> None:
    lead_out(folder / "README.md")
    assert load_model(folder)
    assert about(folder)["card"] is None
    assert info(folder).problem is None
    assert SECRET not in json.dumps(info(folder).to_json())
    done = push(folder, "jane/topics")
    assert SECRET.encode() not in sent(hub)
    assert (done.card, done.left_out) == ("new", ("README.md",))
    assert b"finetext" in hub.files("jane/topics")["README.md"]


def test_saving_over_a_card_that_is_a_link_keeps_neither(folder: Path, secret: Path) -> None:
    lead_out(folder / "README.md")
    save_model(load_model(folder), folder)
    assert not (folder / "README.md").is_symlink()
    assert SECRET not in (folder / "README.md").read_text()
    assert secret.read_text() == SECRET


@pytest.mark.parametrize("target", ["../secret", ".."])
def test_files_that_no_hash_covers_are_not_followed(
    hub: Hub, folder: Path, secret: Path, target: str
) -> None:
    lead_out(folder / "extra", target)
    assert load_model(folder)
    assert info(folder).checked.extra == ("extra",)
    assert push(folder, "jane/topics").left_out == ("extra",)
    assert SECRET.encode() not in sent(hub)


def test_a_link_swapped_in_after_the_check_is_not_sent(
    hub: Hub, folder: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = files.checked

    def then_swap(place: Path, described: Any) -> Any:
        found = look(place, described)
        if place == folder:
            lead_out(folder / "vocabulary.json")
        return found

    monkeypatch.setattr(upload, "checked", then_swap)
    with pytest.raises(ModelError, match=r"vocabulary\.json is a link that leads out"):
        push(folder, "jane/topics")
    assert not hub.repos


def test_a_file_changed_after_the_check_is_not_sent(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = files.checked

    def then_change(place: Path, described: Any) -> Any:
        found = look(place, described)
        if place == folder:
            (folder / "vocabulary.json").write_text(SECRET)
        return found

    monkeypatch.setattr(upload, "checked", then_change)
    with pytest.raises(ModelError, match=r"changed: vocabulary\.json"):
        push(folder, "jane/topics")
    assert not hub.repos


def test_what_is_staged_has_no_links_and_a_hash_for_every_file(folder: Path) -> None:
    (folder / "README.md").write_text("My own card.")
    with upload.staged(folder, "jane/topics") as (stage, _):
        described = read_description(stage)
        hashes = {name: of["sha256"] for name, of in described["files"].items()}
        hashes["README.md"] = described["card_sha256"]
        for path in stage.rglob("*"):
            assert not path.is_symlink()
            if path.name != "finetext.json":
                name = path.relative_to(stage).as_posix()
                assert hashes[name] == files.sha256_received(stage, name)


def test_a_model_without_a_list_of_files_is_read_without_links(
    hub: Hub, folder: Path, secret: Path
) -> None:
    described = json.loads((folder / "finetext.json").read_text())
    for name in ("files", "sha256"):
        described.pop(name)
    (folder / "finetext.json").write_text(json.dumps(described))
    lead_out(folder / "extra.json")
    assert load_model(folder)
    push(folder, "jane/topics")
    assert SECRET.encode() not in sent(hub)
    moved_out(folder / "vocabulary.json")
    with pytest.raises(ModelError, match="damaged"):
        load_model(folder)


def test_the_cache_of_the_hub_is_loaded_pulled_and_sent_on(
    hub: Hub, folder: Path, tmp_path: Path
) -> None:
    push(folder, "jane/topics")
    cached = finetext.models.hub.fetched(finetext.models.hub.Repository("jane/topics"))
    assert (cached / "model.safetensors").is_symlink()
    assert load_model(cached)
    assert info(cached).problem is None
    assert about(cached)["card"]
    pulled = finetext.pull("jane/topics", tmp_path / "pulled")
    assert not [path for path in pulled.rglob("*") if path.is_symlink()]
    assert info(pulled).problem is None
    push(cached, "jane/again")
    assert "model.safetensors" in hub.files("jane/again")


def run_of(folder: Path, tmp_path: Path) -> Path:
    """A run folder as `best_model` reads it, with the model of a method."""
    run = tmp_path / "run"
    (run / "tfidf").mkdir(parents=True)
    shutil.copytree(folder, run / "tfidf" / "model")
    (run / "verdict.json").write_text('{"best": "tfidf"}')
    entry = {"method": "tfidf", "model": "tfidf/model"}
    (run / "leaderboard.json").write_text(json.dumps([entry]))
    return run


RUNS: dict[str, Callable[[Path], Any]] = {
    "a model": lambda run: moved_out(run / "tfidf" / "model"),
    "a method": lambda run: moved_out(run / "tfidf"),
    "a verdict": lambda run: moved_out(run / "verdict.json"),
    "a leaderboard": lambda run: moved_out(run / "leaderboard.json"),
    "a path out": lambda run: (run / "leaderboard.json").write_text(
        json.dumps([{"method": "tfidf", "model": f"../{run.name}/tfidf/model"}])
    ),
    "an absolute path": lambda run: (run / "leaderboard.json").write_text(
        json.dumps([{"method": "tfidf", "model": str(run / "tfidf" / "model")}])
    ),
}


@pytest.mark.parametrize("case", RUNS)
def test_the_best_model_of_a_run_is_inside_of_it(folder: Path, tmp_path: Path, case: str) -> None:
    run = run_of(folder, tmp_path)
    assert info(run).problem is None
    RUNS[case](run)
    for use in (info, finetext.load):
        with pytest.raises(RunError):
            use(run)


def test_a_run_with_a_link_out_of_it_is_not_opened(
    encoder_run: Path, tmp_path: Path, secret: Path
) -> None:
    for name in ("openings.jsonl", "report.html", "finetune/predictions.parquet", "log.jsonl"):
        run = shutil.copytree(encoder_run, tmp_path / f"run-{Path(name).name}")
        lead_out(run / name, secret)
        with pytest.raises(RunError, match=f"{name} is a link that leads out"):
            finetext.Run.open(run)
    assert secret.read_text() == SECRET


def test_methods_of_a_run_are_no_paths(encoder_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(encoder_run, tmp_path / "run")
    entries = json.loads((run / "leaderboard.json").read_text())
    entries[0]["method"] = "../other/finetune"
    (run / "leaderboard.json").write_text(json.dumps(entries))
    with pytest.raises(RunError, match="is no name of something in the folder"):
        finetext.Run.open(run)


@pytest.mark.parametrize("name", ["encoder", "encoder/config.json", "encoder/tokenizer.json"])
def test_links_in_the_encoder_of_a_probe_are_refused(
    encoder_run: Path, tmp_path: Path, name: str
) -> None:
    place = shutil.copytree(encoder_run / "probe" / "model", tmp_path / "m")
    assert finetext.load(place)
    moved_out(place / name)
    with pytest.raises(ModelError, match="link that leads out"):
        finetext.load(place)
    assert "link that leads out" in str(info(place).problem)


def test_files_beside_those_of_the_list_are_not_read(encoder_run: Path, tmp_path: Path) -> None:
    place = shutil.copytree(encoder_run / "finetune" / "model", tmp_path / "m")
    before = finetext.load(place)("the team")
    added = {
        "adapter_config.json": {"base_model_name_or_path": "a/b"},
        "added_tokens.json": {"x": 9},
    }
    for file, values in added.items():
        (place / file).write_text(json.dumps(values))
    assert finetext.load(place)("the team") == before


def test_a_model_of_transformers_is_read_without_links(encoder_run: Path, tmp_path: Path) -> None:
    place = shutil.copytree(encoder_run / "finetune" / "model", tmp_path / "m")
    (place / "finetext.json").unlink()
    assert finetext.load(place)
    moved_out(place / "tokenizer.json")
    with pytest.raises(ModelError, match=r"tokenizer\.json is a link that leads out"):
        finetext.load(place)


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "config.json", "export.json"])
def test_links_in_an_onnx_model_are_refused_and_not_copied(
    onnx_model: Path, tmp_path: Path, secret: Path, name: str
) -> None:
    place = shutil.copytree(onnx_model, tmp_path / "m")
    classifier = load_model(place)
    lead_out(place / name)
    if name in read_description(place)["files"]:
        with pytest.raises(ModelError, match="link that leads out"):
            load_model(place)
    else:
        load_model(place).save(tmp_path / "again")
    again = classifier.save(tmp_path / "copy")  # as it was loaded
    assert SECRET.encode() not in b"".join(
        path.read_bytes() for path in again.rglob("*") if path.is_file()
    )
    assert load_model(again)("the team") == classifier("the team")


def test_weights_of_a_graph_outside_the_folder_are_not_read(
    onnx_model: Path, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    place = shutil.copytree(onnx_model, tmp_path / "m")
    graph = onnx.load(str(place / "model.onnx"))
    onnx.save_model(
        graph, str(place / "model.onnx"), save_as_external_data=True, location="model.onnx.data",
        size_threshold=1_000,
    )  # fmt: skip
    described = read_description(place)
    described.pop("sha256")
    (place / "finetext.json").write_text(json.dumps(described | {"files": files.listed(place)}))
    assert load_model(place)("the team") == load_model(onnx_model)("the team")
    content = (place / "model.onnx").read_bytes()
    moved = os.path.join("..", "moved.data")
    assert len(moved) < len("model.onnx.data")
    padded = moved.replace("moved", "moved" + "x" * (len("model.onnx.data") - len(moved)))
    (place / "model.onnx").write_bytes(content.replace(b"model.onnx.data", padded.encode()))
    (place / "model.onnx.data").rename(place / padded)
    described["files"] = files.listed(place)
    (place / "finetext.json").write_text(json.dumps(described))
    with pytest.raises(FinetextError, match=r"reads weights from the file '\.\./moved"):
        load_model(place)
