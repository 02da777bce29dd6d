"""Models of the Hub come back as they were sent, and no pickle comes."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from loopback_hub import TOKEN, Hub, contents

import finetext
from finetext.core.decision import Decision
from finetext.core.errors import DataError, ModelError
from finetext.core.types import LabelScheme
from finetext.methods.majority import MajorityClassifier
from finetext.methods.tfidf import TfidfClassifier
from finetext.models.hub import Repository, fetched, model_folder, pull
from finetext.models.upload import push

TEXTS = ["the team won", "a loan", "soup and bread", ""]


def test_a_pushed_model_can_be_pulled(hub: Hub, folder: Path, tfidf: TfidfClassifier) -> None:
    sent = push(folder, "jane/topics", message="the first")
    assert sent.url == f"{hub.url}/jane/topics"
    assert sent.commit == hub.repos["jane/topics"].branches["main"]
    assert hub.repos["jane/topics"].messages[-1] == "the first"
    assert set(hub.files("jane/topics")) == {*contents(folder), ".gitattributes"}
    back = pull("jane/topics", folder.parent / "back")
    assert set(contents(back)) == set(contents(folder))
    loaded = finetext.load(back)
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), tfidf.predict_proba(TEXTS))


def test_hub_names_load_from_the_cache(hub: Hub, folder: Path, tfidf: TfidfClassifier) -> None:
    push(folder, "jane/topics")
    loaded = finetext.load("hub:jane/topics")
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), tfidf.predict_proba(TEXTS))
    hub.asked.clear()
    finetext.load("hub:jane/topics")
    assert not [path for method, path in hub.asked if method == "GET" and "resolve" in path]
    hub.faults = lambda method, path: "hang up"
    offline = finetext.load("hub:jane/topics")
    np.testing.assert_array_equal(offline.predict_proba(TEXTS), tfidf.predict_proba(TEXTS))


def test_without_a_network_the_cache_is_enough(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(folder, "jane/topics")
    finetext.load("hub:jane/topics")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert finetext.load("hub:jane/topics").scheme.names == ("food", "money", "sport")
    with pytest.raises(ModelError, match=r"jane/others cannot be fetched: it is not on this mach"):
        finetext.load("hub:jane/others")


def test_branches_and_commits_can_be_named(hub: Hub, folder: Path) -> None:
    first = push(folder, "jane/topics")
    other = MajorityClassifier(LabelScheme(("a", "b")), Decision(), np.array([0.25, 0.75]))
    push(other, "jane/topics", revision="trial")
    assert finetext.load("hub:jane/topics").kind == "tfidf"
    assert finetext.load("hub:jane/topics@trial").kind == "majority"
    push(other, "jane/topics@main")
    assert finetext.load(f"hub:jane/topics@{first.commit}").kind == "tfidf"
    back = pull("hub:jane/topics", folder.parent / "back", revision=first.commit)
    assert finetext.load(back).kind == "tfidf"
    with pytest.raises(ModelError, match="it has no revision 'v9'"):
        finetext.load("hub:jane/topics@v9")


def test_private_repositories_stay_private(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(folder, "jane/secret", private=True)
    assert hub.repos["jane/secret"].private
    push(folder, "jane/secret", private=True)
    push(folder, "jane/topics")
    before = hub.files("jane/topics")
    with pytest.raises(ModelError, match="exists already and is public"):
        push(folder, "jane/topics", private=True)
    assert hub.files("jane/topics") == before
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ModelError, match="there is no such model, or it is private"):
        pull("jane/secret", folder.parent / "back")


def test_pickles_are_never_fetched(hub: Hub, folder: Path) -> None:
    push(folder, "jane/topics")
    bad = pickle.dumps({"a": [1, 2]})
    files = hub.files("jane/topics")
    hub.put("jane/topics", {**files, "pytorch_model.bin": bad, "run.py": b"import os"})
    back = pull("jane/topics", folder.parent / "back")
    assert {path.name for path in back.iterdir()} == set(contents(folder))
    described = json.loads(files["finetext.json"])
    described["files"]["disguised.json"] = {"size": len(bad), "sha256": "0"}
    described["files"]["weights.pkl"] = {"size": len(bad), "sha256": "0"}
    text = json.dumps(described).encode()
    hub.put(
        "jane/topics",
        {**files, "finetext.json": text, "disguised.json": bad, "weights.pkl": bad},
    )
    for get in (
        lambda: pull("jane/topics", folder.parent / "more"),
        lambda: fetched(Repository("jane/topics")),
    ):
        with pytest.raises(ModelError, match=r"holds a pickle.*: disguised\.json"):
            get()
    assert not (folder.parent / "more").exists()
    assert not [path for _, path in hub.asked if path.endswith(".pkl")]


def test_changed_models_are_not_fetched(hub: Hub, folder: Path) -> None:
    push(folder, "jane/topics")
    files = hub.files("jane/topics")
    hub.put("jane/topics", {**files, "vocabulary.json": files["vocabulary.json"][:-1] + b" "})
    with pytest.raises(ModelError, match=r"changed: vocabulary\.json"):
        pull("jane/topics", folder.parent / "back")
    less = {name: content for name, content in files.items() if name != "vocabulary.json"}
    hub.put("jane/topics", less)
    with pytest.raises(ModelError, match=r"missing: vocabulary\.json"):
        finetext.load("hub:jane/topics")
    hub.put("jane/topics", {**files, "finetext.json": b"{}"})
    with pytest.raises(ModelError, match=r"finetext\.json is damaged"):
        finetext.load("hub:jane/topics")
    assert not (folder.parent / "back").exists()


def test_foreign_models_are_fetched_without_pickles(
    hub: Hub, tiny_encoder: Path, folder: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    from finetext.encoders.load import quiet

    place = folder.parent / "theirs"
    with quiet():
        AutoModelForSequenceClassification.from_pretrained(tiny_encoder).save_pretrained(place)
    files = contents(tiny_encoder) | contents(place)
    others = {"pytorch_model.bin": pickle.dumps([1, 2]), "onnx/model.onnx": b"\x08", "a.csv": b"x"}
    hub.put("them/toxic", files | others)
    assert finetext.load("hub:them/toxic", "cpu").scheme.names == ("LABEL_0", "LABEL_1")
    back = pull("them/toxic", folder.parent / "back")
    assert {path.name for path in back.rglob("*")} == set(files)
    hub.put("them/data", {"a.csv": b"x"})
    with pytest.raises(ModelError, match="holds no model that finetext can load"):
        pull("them/data", folder.parent / "data")


def test_pull_does_not_overwrite_other_files(
    hub: Hub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(folder, "jane/topics")
    monkeypatch.chdir(tmp_path)
    assert pull("jane/topics") == Path("topics")
    with pytest.raises(DataError, match="topics exists; name another folder, or replace it"):
        pull("jane/topics")
    assert pull("jane/topics", force=True) == Path("topics")
    (tmp_path / "topics" / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match=r"holds more than a model.*notes\.txt"):
        pull("jane/topics")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    with pytest.raises(ModelError, match="not a finetext model; choose another folder"):
        pull("jane/topics", "thesis")
    assert (tmp_path / "topics" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("text", ["hub:", "hub:jane", "hub:jane/", "hub:/x", "hub:jane/x@"])
def test_invalid_names_are_refused(text: str) -> None:
    with pytest.raises(ModelError, match="write it as USER/NAME"):
        model_folder(Path(text))


def test_the_commands_work_with_the_address_in_the_environment(
    hub: Hub, folder: Path, tmp_path: Path
) -> None:
    """As users do it: HF_ENDPOINT is read when the client is imported."""
    settings = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}
    settings["HF_HOME"] = str(tmp_path / "home")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "finetext", *words],
            cwd=tmp_path, env=os.environ | settings, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    sent = run("push", str(folder), "jane/topics", "--json")
    assert sent.returncode == 0, sent.stderr
    assert json.loads(sent.stdout)["url"] == f"{hub.url}/jane/topics"
    said = run("predict", "hub:jane/topics", "the team won the match")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("prediction: sport")
    got = run("pull", "jane/topics", "--out", "back")
    assert got.stdout.splitlines()[0] == "model: back"
    assert "Traceback" not in sent.stderr + said.stderr + got.stderr


def test_an_encoder_of_the_hub_is_fetched_without_pickles_and_code(
    hub: Hub, tiny_encoder: Path
) -> None:
    from finetext.encoders.load import load_encoder, load_tokenizer

    files = {path.name: path.read_bytes() for path in tiny_encoder.iterdir()}
    others = dict.fromkeys(("pytorch_model.bin", "own.py", "onnx/config.json"), b"harm")
    hub.put("jane/tiny", files | others)
    tokenizer = load_tokenizer("jane/tiny")
    assert not any("safetensors" in path for _, path in hub.asked)
    assert load_encoder("jane/tiny", tokenizer).config.hidden_size == 32
    assert not any(name in path for _, path in hub.asked for name in others)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_an_encoder_of_the_hub_with_code_is_refused(
    hub: Hub, tiny_encoder: Path, name: str
) -> None:
    from finetext.encoders.load import load_encoder, load_tokenizer

    files = {path.name: path.read_bytes() for path in tiny_encoder.iterdir()}
    files[name] = json.dumps(json.loads(files[name]) | {"auto_map": {"A": "own.Own"}}).encode()
    hub.put("jane/tiny", files)
    with pytest.raises(ModelError, match=f"jane/tiny: {name} has auto_map"):
        load_encoder("jane/tiny", load_tokenizer("jane/tiny"))


def test_an_encoder_of_the_hub_without_safetensors_is_refused(hub: Hub, tiny_encoder: Path) -> None:
    from finetext.encoders.load import load_encoder, load_tokenizer

    files = {path.name: path.read_bytes() for path in tiny_encoder.iterdir()}
    files["pytorch_model.bin"] = files.pop("model.safetensors")
    hub.put("jane/tiny", files)
    with pytest.raises(ModelError, match="has no weights in safetensors"):
        load_encoder("jane/tiny", load_tokenizer("jane/tiny"))


def test_a_name_on_the_hub_that_windows_took_for_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Repository] = []

    def answer(repository: Repository) -> Path:
        asked.append(repository)
        return Path("model")

    monkeypatch.setattr("finetext.models.hub.fetched", answer)
    assert model_folder(r"hub:jane\reviews@v1") == Path("model")
    assert asked == [Repository("jane/reviews", "v1")]
