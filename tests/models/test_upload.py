"""Uploads hold exactly what belongs to the model, and failures are explained."""

from __future__ import annotations

import json
import pickle
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
from finetext.models.hub import Repository, fetched
from finetext.models.upload import push


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits seconds before it tries again."""
    from huggingface_hub.utils import _http

    quick = SimpleNamespace(**vars(_http.time) | {"sleep": lambda seconds: None})
    monkeypatch.setattr(_http, "time", quick)


def test_the_card_names_the_model_and_is_checked_by_the_hub(hub: Hub, folder: Path) -> None:
    push(folder, "jane/topics")
    card = hub.files("jane/topics")["README.md"].decode()
    assert 'finetext.load("hub:jane/topics")' in card
    assert card in hub.checked
    assert "hub:jane" not in (folder / "README.md").read_text()


def test_only_model_files_are_uploaded(hub: Hub, folder: Path) -> None:
    for name in ("texts.csv", "log.jsonl", ".env", "events.out", "state/weights.safetensors"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("secret")
    sent = push(folder, "jane/topics")
    assert set(sent.left_out) == {
        "texts.csv", "log.jsonl", ".env", "events.out", "state/weights.safetensors",
    }  # fmt: skip
    assert set(hub.files("jane/topics")) == {*sent.files, ".gitattributes"}
    assert b"secret" not in b"".join(hub.files("jane/topics").values())


def test_no_local_path_is_uploaded(hub: Hub, tfidf: TfidfClassifier, tmp_path: Path) -> None:
    from finetext.models.folder import save_model

    made = {"method": "probe", "hyperparameters": {"encoder": str(tmp_path / "encoders" / "mine")}}
    push(save_model(tfidf, tmp_path / "m", made), "jane/topics")
    sent = b"".join(hub.files("jane/topics").values())
    assert str(tmp_path).encode() not in sent
    described = json.loads(hub.files("jane/topics")["finetext.json"])
    assert described["provenance"]["hyperparameters"] == {"encoder": "mine"}
    assert finetext.info(fetched(Repository("jane/topics"))).problem is None


def test_pushing_over_a_model_removes_its_files(hub: Hub, folder: Path) -> None:
    push(folder, "jane/topics")
    hub.put("jane/topics", {**hub.files("jane/topics"), "LICENSE": b"as you like"})
    other = MajorityClassifier(LabelScheme(("a", "b")), Decision(), np.array([0.25, 0.75]))
    sent = push(other, "jane/topics")
    assert set(sent.removed) == {"model.safetensors", "vocabulary.json"}
    assert set(hub.files("jane/topics")) == {
        "README.md", "finetext.json", "frequencies.json", "LICENSE", ".gitattributes",
    }  # fmt: skip
    assert finetext.load("hub:jane/topics")("x") == {"b": 0.75, "a": 0.25}


def test_files_of_other_models_are_not_overwritten(hub: Hub, folder: Path) -> None:
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


def test_a_handwritten_card_on_the_hub_stays(hub: Hub, folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    assert push(folder, "jane/topics").card == "own"
    assert hub.files("jane/topics")["README.md"] == b"---\nlicense: mit\n---\n# Mine\n"
    (folder / "README.md").unlink()
    assert push(folder, "jane/topics").card == "kept"
    assert hub.files("jane/topics")["README.md"] == b"---\nlicense: mit\n---\n# Mine\n"


def test_pushing_a_run_sends_its_best_model(hub: Hub, finished: Path) -> None:
    push(finished, "jane/reviews")
    described = json.loads(hub.files("jane/reviews")["finetext.json"])
    assert described["classifier"] == "tfidf"
    assert described["record"]["scores"]
    assert "with its 95% interval" in hub.files("jane/reviews")["README.md"].decode()


def test_hashes_are_added_to_old_folders(hub: Hub, folder: Path) -> None:
    described = read_description(folder)
    del described["files"], described["sha256"]
    (folder / "finetext.json").write_text(json.dumps(described))
    (folder / "extra.json").write_text("{}")
    push(folder, "jane/topics")
    assert "extra.json" not in hub.files("jane/topics")
    assert json.loads(hub.files("jane/topics")["finetext.json"])["files"]


def test_changed_models_and_pickles_are_not_sent(hub: Hub, folder: Path) -> None:
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
def test_refused_uploads_are_explained(
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
def test_interrupted_uploads_resume(
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
