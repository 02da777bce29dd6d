"""Model folders are written whole or not at all, and refused with a reason."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import finetext
from finetext.core.decision import Decision
from finetext.core.errors import FinetextError, ModelError
from finetext.core.types import LabelScheme
from finetext.methods.majority import MajorityClassifier
from finetext.methods.tfidf import TfidfClassifier
from finetext.models.folder import (
    FORMAT_VERSION,
    load_model,
    read_description,
    save_model,
    write_description,
    write_record,
)
from finetext.models.info import info
from finetext.storage import unfinished
from finetext.storage.files import write_text


def classifier(first: float = 0.25) -> MajorityClassifier:
    return MajorityClassifier(LabelScheme(("a", "b")), Decision(), np.array([first, 1 - first]))


def rewrite(folder: Path, **values: Any) -> None:
    described = json.loads((folder / "finetext.json").read_text())
    (folder / "finetext.json").write_text(json.dumps(described | values))


def test_the_description_lists_the_content(tmp_path: Path) -> None:
    folder = save_model(
        classifier().with_decision(Decision(thresholds=(0.5, 0.25))), tmp_path / "new" / "m"
    )
    described = json.loads((folder / "finetext.json").read_text())
    assert described["format_version"] == FORMAT_VERSION
    assert described["classifier"] == "majority"
    assert described["labels"] == ["a", "b"]
    assert described["decision"] == {"thresholds": [0.5, 0.25]}
    assert [path.name for path in folder.parent.iterdir()] == ["m"]


def test_a_model_is_replaced_as_a_whole(tmp_path: Path, tfidf: TfidfClassifier) -> None:
    folder = save_model(tfidf, tmp_path / "m")
    save_model(classifier(0.75), folder)
    assert load_model(folder)("x") == {"a": 0.75, "b": 0.25}
    names = {"finetext.json", "frequencies.json", "README.md"}
    assert {path.name for path in folder.iterdir()} == names
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize(
    "error", [OSError("disk full"), RuntimeError("a bug"), KeyboardInterrupt()]
)
def test_a_failed_save_keeps_the_old_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    folder = save_model(classifier(), tmp_path / "m")

    def fail(self: MajorityClassifier, place: Path) -> None:
        (place / "half").write_text("written")
        raise error

    monkeypatch.setattr(MajorityClassifier, "save_weights", fail)
    expected = ModelError if isinstance(error, OSError) else type(error)
    for place in (folder, tmp_path / "fresh"):
        with pytest.raises(expected):
            save_model(classifier(0.5), place)
    assert load_model(folder)("x") == {"b": 0.75, "a": 0.25}
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_failed_swap_keeps_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_model(classifier(), tmp_path / "m")
    replace = os.replace

    def fail(source: Any, target: Any) -> None:
        weights = Path(source) / "frequencies.json"
        if Path(target) == folder and json.loads(weights.read_text())[0] == 0.5:
            raise OSError("no permission")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr(unfinished, "_renameat2", lambda: None)  # with it nothing is moved away
    with pytest.raises(ModelError, match="no permission"):
        save_model(classifier(0.5), folder)
    assert load_model(folder)("x") == {"b": 0.75, "a": 0.25}
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_model_that_was_moved_away_is_put_back(tmp_path: Path) -> None:
    """As a kill leaves it where folders cannot be exchanged."""
    folder, room = save_model(classifier(0.5), tmp_path / "m"), tmp_path / f".finetext-{'0' * 32}"
    room.mkdir()
    folder.rename(room / "m.replaced")
    assert load_model(tmp_path / "m")("x") == {"a": 0.5, "b": 0.5}
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.skipif(os.name == "nt", reason="rights of files are POSIX")
@pytest.mark.parametrize("mask", [0o002, 0o027, 0o077])
def test_rights_follow_the_umask(tmp_path: Path, tfidf: TfidfClassifier, mask: int) -> None:
    before = os.umask(mask)
    try:
        folder = save_model(tfidf, tmp_path / "m")
        write_record(folder, {"title": "new"})
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777 & ~mask
    rights = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(rights.values()) == {0o666 & ~mask}, rights


def test_other_folders_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    for name in ("thesis", "file"):
        with pytest.raises(ModelError, match="not a finetext model; choose another folder"):
            save_model(classifier(), tmp_path / name)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
    with pytest.raises(ModelError, match="cannot be written"):
        save_model(classifier(), tmp_path / "file" / "model")


def test_other_folders_are_refused_as_models(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"has no finetext\.json"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"format_version": "one"}',
        '{"format_version": 1e999}',
        "\udcff",
    ],
)
def test_a_damaged_description_is_named(tmp_path: Path, text: str) -> None:
    folder = save_model(classifier(), tmp_path / "m")
    (folder / "finetext.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match=r"finetext\.json is damaged"):
        load_model(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("labels", 5), ("labels", ["a", "a"]), ("labels", None), ("decision", "high"),
        ("decision", {"thresholds": {}}), ("classifier", None), ("classifier", 5),
        ("decision", {"thresholds": [0.5]}), ("decision", {"least": "ab"}), ("labels", "ab"),
        ("provenance", "mine"), ("record", [1]), ("labels", ["a", "b", "c"]),
    ],
)  # fmt: skip
def test_a_description_with_a_wrong_value_is_damaged(tmp_path: Path, name: str, value: Any) -> None:
    folder = save_model(classifier(), tmp_path / "m")
    rewrite(folder, **{name: value})
    with pytest.raises(ModelError):
        load_model(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_description_is_read_or_refused_in_words(tmp_path: Path, data: st.DataObject) -> None:
    folder = save_model(classifier(), tmp_path / "m")
    described = json.loads((folder / "finetext.json").read_text())
    names = data.draw(st.lists(st.sampled_from(sorted(described)), min_size=1, max_size=2))
    rewrite(folder, **{name: data.draw(JSON) for name in names})
    with suppress(FinetextError):
        info(folder)
    with suppress(FinetextError):
        load_model(folder).predict_proba(["a text"])


def test_a_newer_format_is_refused_with_advice(tmp_path: Path) -> None:
    folder = save_model(classifier(), tmp_path / "m")
    rewrite(folder, format_version=FORMAT_VERSION + 1)
    with pytest.raises(ModelError, match="upgrade finetext"):
        load_model(folder)


def test_an_unknown_kind_of_classifier_is_refused_with_the_nearest(tmp_path: Path) -> None:
    folder = save_model(classifier(), tmp_path / "m")
    rewrite(folder, classifier="majorty")
    with pytest.raises(ModelError, match="did you mean 'majority'"):
        load_model(folder)


@pytest.mark.parametrize("damage", ["missing", "nonsense", "cut"])
@pytest.mark.parametrize("file", ["model.safetensors", "vocabulary.json"])
def test_damaged_weights_are_refused(
    tmp_path: Path, tfidf: TfidfClassifier, file: str, damage: str
) -> None:
    folder = save_model(tfidf, tmp_path / "m")
    path = folder / file
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"nonsense" if damage == "nonsense" else path.read_bytes()[:-20])
    with pytest.raises(ModelError, match="damaged"):
        load_model(folder)


def test_labels_must_match_the_weights(tmp_path: Path, tfidf: TfidfClassifier) -> None:
    folder = save_model(tfidf, tmp_path / "m")
    rewrite(folder, labels=["a", "b"])
    with pytest.raises(ModelError, match=r"damaged: model\.safetensors has 3 outputs for 2 labels"):
        load_model(folder)


def test_the_provenance_is_recorded(tmp_path: Path) -> None:
    folder = save_model(classifier(), tmp_path / "m", {"method": "mine", "seed": 3})
    provenance = json.loads((folder / "finetext.json").read_text())["provenance"]
    assert {"method": "mine", "seed": 3}.items() <= provenance.items()


def test_a_failed_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_text(tmp_path / "taken", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


TEXTS = ["the team won the match", "soup with bread"]


@pytest.fixture
def theirs(tiny_encoder: Path, tmp_path: Path) -> Path:
    """A folder as transformers saves a classifier of two labels."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = AutoModelForSequenceClassification.from_pretrained(
            tiny_encoder, id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1}
        )
    model.save_pretrained(tmp_path / "theirs")
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path / "theirs")
    return tmp_path / "theirs"


def configure(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def test_foreign_models_predict_as_in_transformers(theirs: Path) -> None:
    from transformers import pipeline

    loaded = finetext.load(theirs, device="cpu")
    assert loaded.scheme.names == ("no", "yes")
    expected = pipeline("text-classification", model=str(theirs), device="cpu", top_k=None)
    for text in TEXTS:
        said = {each["label"]: each["score"] for each in expected([text])[0]}
        assert loaded(text) == pytest.approx(said, abs=1e-5)


def test_multilabel_is_read_from_the_configuration(theirs: Path) -> None:
    configure(theirs, problem_type="multi_label_classification")
    loaded = finetext.load(theirs, device="cpu")
    assert loaded.scheme.multilabel
    assert not np.allclose(loaded.predict_proba(TEXTS).sum(axis=1), 1)


def test_predict_warns_about_foreign_models(theirs: Path, command: Callable[..., Any]) -> None:
    seen = command("predict", theirs, "a text", "--json")
    assert seen.status == 0
    seen = command("predict", theirs, "a text")
    assert "finetext did not write" in seen.err
    about = info(theirs)
    assert about.kind == "foreign"
    assert about.problem is None
    assert about.labels == ("no", "yes")
    seen = command("info", theirs)
    assert seen.status == 0
    assert "a text classifier of transformers" in seen.out


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"id2label": {"0": "score"}, "num_labels": 1}, "predicts a number"),
        ({"problem_type": "regression"}, "predicts a number"),
        ({"id2label": {"0": "a", "1": "a"}}, "not unique"),
        ({"id2label": {"0": "a", "2": "b"}}, "numbers"),
        ({"id2label": ["a", "b"]}, "are unusable"),
    ],
)
def test_unusable_labels_are_refused(theirs: Path, values: dict[str, Any], message: str) -> None:
    configure(theirs, **values)
    with pytest.raises(ModelError, match=message):
        finetext.load(theirs)


def test_only_safetensors_are_loaded(theirs: Path) -> None:
    import torch

    (theirs / "model.safetensors").rename(theirs / "model.other")
    with pytest.raises(ModelError, match="no weights in safetensors"):
        finetext.load(theirs)
    assert "no weights in safetensors" in str(info(theirs).problem)
    (theirs / "model.other").rename(theirs / "model.safetensors")
    torch.save({"w": torch.zeros(1)}, theirs / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"holds a pickle.*pytorch_model\.bin"):
        finetext.load(theirs)


@pytest.mark.parametrize("positive", [None, "a", "b"])
def test_a_model_remembers_its_positive_class(tmp_path: Path, positive: str | None) -> None:
    folder = classifier().with_positive(positive).save(tmp_path / "m")
    loaded = finetext.load(folder)
    assert loaded.scheme.positive == positive
    decided = loaded.with_decision(Decision(thresholds=(0.5, 0.25))).with_temperature(2.0)
    assert decided.scheme.positive == positive
    told = info(decided.save(tmp_path / "n"))
    assert told.described.get("positive") == positive
    assert finetext.load(tmp_path / "n").with_positive("a").scheme.positive == "a"


def test_a_model_with_an_impossible_positive_class_is_damaged(tmp_path: Path) -> None:
    folder = classifier().save(tmp_path / "m")
    rewrite(folder, positive="c")
    with pytest.raises(ModelError, match="'c' is none of the labels"):
        finetext.load(folder)


def test_models_and_report_hold_no_path_of_the_machine(
    encoder_run: Path, onnx_model: Path, static_model: Path, tiny_encoder: Path
) -> None:
    """A model names its encoder, and the hash of its weights, instead of a local folder."""
    shared = os.path.commonpath([encoder_run, tiny_encoder]).encode()
    assert len(Path(shared.decode()).parts) > 2
    models = [*(path.parent for path in encoder_run.rglob("finetext.json")), onnx_model]
    files = [path for model in (*models, static_model) for path in model.rglob("*")]
    read = [path for path in (*files, encoder_run / "report.html") if path.is_file()]
    assert not [path for path in read if shared in path.read_bytes()]
    provenance = read_description(encoder_run / "finetune" / "model")["provenance"]
    assert provenance["hyperparameters"]["encoder"] == tiny_encoder.name
    weights = hashlib.sha256((tiny_encoder / "model.safetensors").read_bytes()).hexdigest()
    assert provenance["encoder_sha256"] == weights


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("record", {"scores": {"macro_f1": 1.5}}),
        ("record", {"scores": {"macro_f1": {"value": {"a": 1}}}}),
        ("record", {"costs": {"energy": {"watt_hours": []}}}),
        ("provenance", {"hyperparameters": [[]]}),
    ],
)
def test_a_damaged_record_makes_no_card(tmp_path: Path, name: str, value: Any) -> None:
    folder = save_model(classifier(), tmp_path / "m")
    rewrite(folder, **{name: value})
    described = json.loads((folder / "finetext.json").read_text())
    with pytest.raises(ModelError, match=r"no model card .* damaged"):
        write_description(folder, described)
