"""Models go to the Hub and come back as they were; nothing else goes, and no pickle comes."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from loopback_hub import READ_ONLY, TOKEN, Hub, Repo

import finetext
from finetext.core.decision import Decision
from finetext.core.errors import ModelError
from finetext.core.types import LabelScheme
from finetext.methods.majority import MajorityClassifier
from finetext.methods.tfidf import TfidfClassifier
from finetext.models.folder import read_description
from finetext.models.hub import Repository, fetched, model_folder, pull
from finetext.models.upload import push

TEXTS = ["the team won", "a loan", "soup and bread", ""]


@pytest.fixture
def folder(tmp_path: Path, tfidf: TfidfClassifier) -> Path:
    return tfidf.save(tmp_path / "m")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits seconds before it tries again."""
    from huggingface_hub.utils import _http

    quick = SimpleNamespace(**vars(_http.time) | {"sleep": lambda seconds: None})
    monkeypatch.setattr(_http, "time", quick)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_what_is_sent_comes_back(hub: Hub, folder: Path, tfidf: TfidfClassifier) -> None:
    sent = push(folder, "jane/topics", message="the first")
    assert sent.url == f"{hub.url}/jane/topics"
    assert sent.commit == hub.repos["jane/topics"].branches["main"]
    assert hub.repos["jane/topics"].messages[-1] == "the first"
    assert set(hub.files("jane/topics")) == {*contents(folder), ".gitattributes"}
    back = pull("jane/topics", folder.parent / "back")
    assert set(contents(back)) == set(contents(folder))
    loaded = finetext.load(back)
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), tfidf.predict_proba(TEXTS))


def test_by_its_name_a_model_is_loaded_from_the_cache(
    hub: Hub, folder: Path, tfidf: TfidfClassifier
) -> None:
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


def test_the_card_names_the_model_and_is_checked_by_the_hub(hub: Hub, folder: Path) -> None:
    push(folder, "jane/topics")
    card = hub.files("jane/topics")["README.md"].decode()
    assert 'finetext.load("hub:jane/topics")' in card
    assert card in hub.checked
    assert "hub:jane" not in (folder / "README.md").read_text()


def test_only_what_belongs_to_the_model_goes(hub: Hub, folder: Path) -> None:
    for name in ("texts.csv", "log.jsonl", ".env", "events.out", "state/weights.safetensors"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("secret")
    sent = push(folder, "jane/topics")
    assert set(sent.left_out) == {
        "texts.csv", "log.jsonl", ".env", "events.out", "state/weights.safetensors",
    }  # fmt: skip
    assert set(hub.files("jane/topics")) == {*sent.files, ".gitattributes"}
    assert b"secret" not in b"".join(hub.files("jane/topics").values())


def test_no_path_of_the_machine_goes(hub: Hub, tfidf: TfidfClassifier, tmp_path: Path) -> None:
    from finetext.models.folder import save_model

    made = {"method": "probe", "hyperparameters": {"encoder": str(tmp_path / "encoders" / "mine")}}
    push(save_model(tfidf, tmp_path / "m", made), "jane/topics")
    sent = b"".join(hub.files("jane/topics").values())
    assert str(tmp_path).encode() not in sent
    described = json.loads(hub.files("jane/topics")["finetext.json"])
    assert described["provenance"]["hyperparameters"] == {"encoder": "mine"}
    assert finetext.info(fetched(Repository("jane/topics"))).problem is None


def test_a_model_in_the_place_of_another_leaves_nothing_of_it(hub: Hub, folder: Path) -> None:
    push(folder, "jane/topics")
    hub.put("jane/topics", {**hub.files("jane/topics"), "LICENSE": b"as you like"})
    other = MajorityClassifier(LabelScheme(("a", "b")), Decision(), np.array([0.25, 0.75]))
    sent = push(other, "jane/topics")
    assert set(sent.removed) == {"model.safetensors", "vocabulary.json"}
    assert set(hub.files("jane/topics")) == {
        "README.md", "finetext.json", "frequencies.json", "LICENSE", ".gitattributes",
    }  # fmt: skip
    assert finetext.load("hub:jane/topics")("x") == {"b": 0.75, "a": 0.25}


def test_files_of_others_are_not_written_over(hub: Hub, folder: Path) -> None:
    theirs = {"config.json": b"{}", "model.safetensors": b"theirs", "README.md": b"a card"}
    hub.repos["jane/bert"] = Repo()
    hub.repos["jane/bert"].commit("main", theirs)
    with pytest.raises(ModelError, match=r"whose model\.safetensors would be lost; choose another"):
        push(folder, "jane/bert")
    assert hub.files("jane/bert") == theirs
    hub.repos["jane/new"] = Repo()
    hub.repos["jane/new"].commit("main", {"LICENSE": b"MIT", "README.md": b"a card"})
    assert push(folder, "jane/new").card == "kept"
    assert hub.files("jane/new")["LICENSE"] == b"MIT"


def test_a_card_that_was_written_by_hand_stays(hub: Hub, folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    assert push(folder, "jane/topics").card == "own"
    assert hub.files("jane/topics")["README.md"] == b"---\nlicense: mit\n---\n# Mine\n"
    (folder / "README.md").unlink()
    assert push(folder, "jane/topics").card == "kept"
    assert hub.files("jane/topics")["README.md"] == b"---\nlicense: mit\n---\n# Mine\n"


def test_a_run_stands_for_its_best_model(hub: Hub, finished: Path) -> None:
    push(finished, "jane/reviews")
    described = json.loads(hub.files("jane/reviews")["finetext.json"])
    assert described["classifier"] == "tfidf"
    assert described["record"]["scores"]
    assert "with its 95% interval" in hub.files("jane/reviews")["README.md"].decode()


def test_an_old_folder_without_hashes_is_sent_with_them(hub: Hub, folder: Path) -> None:
    described = read_description(folder)
    del described["files"], described["sha256"]
    (folder / "finetext.json").write_text(json.dumps(described))
    (folder / "extra.json").write_text("{}")
    push(folder, "jane/topics")
    assert "extra.json" not in hub.files("jane/topics")
    assert json.loads(hub.files("jane/topics")["finetext.json"])["files"]


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


def test_private_means_private(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_nothing_changed_or_with_a_pickle_is_sent(hub: Hub, folder: Path) -> None:
    path = folder / "vocabulary.json"
    before = path.read_bytes()
    path.write_bytes(before[:-1] + b" ")
    with pytest.raises(ModelError, match=r"not as finetext wrote it: changed: vocabulary\.json"):
        push(folder, "jane/topics")
    path.write_bytes(before)
    (folder / "optimizer.txt").write_bytes(pickle.dumps({"a": [1]}))
    with pytest.raises(ModelError, match=r"holds a pickle.*optimizer\.txt"):
        push(folder, "jane/topics")
    with pytest.raises(ModelError, match=r"has no finetext\.json"):
        push(folder.parent, "jane/topics")
    with pytest.raises(ModelError, match="does not exist"):
        push(folder / "nowhere", "jane/topics")
    assert not hub.asked


@pytest.mark.parametrize(
    ("token", "name", "message"),
    [
        ("", "jane/topics", "needs a token of the Hub with write permission.*hf auth login"),
        ("hf_wrong", "jane/topics", "does not accept the token"),
        (READ_ONLY, "jane/topics", "may not write to jane/topics"),
        (TOKEN, "google/bert", "may not write to google/bert.*your user name"),
        (TOKEN, "topics", "write it as USER/NAME"),
        (TOKEN, "jane/topics/extra", "write it as USER/NAME"),
        (TOKEN, "jane/../x", "write it as USER/NAME"),
        (TOKEN, "jane/topics@", "write it as USER/NAME"),
    ],
)
def test_what_may_not_be_sent_is_explained(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, token: str, name: str, message: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(folder / "none"))
    with pytest.raises(ModelError, match=message):
        push(folder, name)
    assert not hub.repos


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (404, "the Hub does not know it"),
        (409, "somebody else is changing it.*run it again"),
        (429, "too many requests.*run it again"),
        (500, "internal error.*status 500.*run it again"),
        (418, "refuses it.*418"),
        ("hang up", "hung up; check the network; run it again"),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_a_commit_that_fails_is_explained(
    hub: Hub, folder: Path, fault: int | str, message: str
) -> None:
    hub.faults = lambda method, path: fault if "/commit/" in path else None
    with pytest.raises(ModelError, match=f"jane/topics cannot be sent to the Hub: .*{message}"):
        push(folder, "jane/topics")
    assert set(hub.files("jane/topics")) == {".gitattributes"}
    hub.faults = lambda method, path: None
    push(folder, "jane/topics")


@pytest.mark.usefixtures("impatient")
def test_an_upload_that_breaks_off_goes_on_where_it_was(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.faults = lambda method, path: "hang up" if method == "PUT" else None
    with pytest.raises(ModelError, match="run it again to resume"):
        push(folder, "jane/topics")
    hub.faults = lambda method, path: "hang up" if "/commit/" in path else None
    with pytest.raises(ModelError, match="run it again to resume"):
        push(folder, "jane/topics")
    assert len(hub.stored) == 1
    hub.asked.clear()
    hub.faults = lambda method, path: None
    push(folder, "jane/topics")
    assert not [method for method, _ in hub.asked if method == "PUT"]
    assert "model.safetensors" in hub.files("jane/topics")

    def stop(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", stop)
    with pytest.raises(KeyboardInterrupt, match="was stopped; run it again to resume"):
        push(folder, "jane/topics")


def test_without_a_network_nothing_is_sent(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"the Hub at http://127\.0\.0\.1:9 cannot be reached"):
        push(folder, "jane/topics")


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


def test_what_is_not_as_it_was_written_is_not_taken(hub: Hub, folder: Path) -> None:
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


def test_other_models_of_the_hub_are_taken_without_their_pickles(
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


def test_a_folder_with_something_in_it_is_not_overwritten(
    hub: Hub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(folder, "jane/topics")
    monkeypatch.chdir(tmp_path)
    assert pull("jane/topics") == Path("topics")
    assert pull("jane/topics") == Path("topics")
    (tmp_path / "topics" / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match=r"holds more than a model.*notes\.txt"):
        pull("jane/topics")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    with pytest.raises(ModelError, match="not a finetext model; choose another folder"):
        pull("jane/topics", "thesis")
    assert (tmp_path / "topics" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("text", ["hub:", "hub:jane", "hub:jane/", "hub:/x", "hub:jane/x@"])
def test_a_name_that_is_none_is_refused(text: str) -> None:
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
