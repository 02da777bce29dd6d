"""Exports of blends and cascades: members with an encoder become graphs, the others stay."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext.core.contracts import Classifier, FitContext
from finetext.core.decision import AS_LIKELY, Decision
from finetext.core.errors import DataError, ModelError
from finetext.core.types import Dataset, Score
from finetext.evaluation.cascading import Certificate
from finetext.methods.blend import BlendClassifier, Part
from finetext.methods.cascade import CascadeClassifier, Stage, routing_of
from finetext.models.engines import engine_of
from finetext.models.exporters import Made, Original, RowsApart
from finetext.models.files import sealed
from finetext.models.folder import save_model
from finetext.models.member_export import made_of_members, originals_of
from finetext.models.onnx_export import OnnxExporter
from finetext.models.upload import staged
from finetext.report.models import model_lines

pytest.importorskip("onnxscript")
Rows = tuple[list[str], list[str]]
HEAVY = ("torch", "transformers", "accelerate", "onnx", "onnxscript", "sentence_transformers")
RULE = Decision(thresholds=(0.3, 0.35, 0.4))
WEIGHTS = {"tfidf": 0.4, "probe": 0.5, "finetune": 0.3}


@pytest.fixture(scope="module")
def members(encoder_run: Path) -> dict[str, Classifier]:
    return {
        name: finetext.load(encoder_run / name / "model", "cpu", engine="torch") for name in WEIGHTS
    }


@pytest.fixture(scope="module")
def blend(members: dict[str, Classifier]) -> BlendClassifier:
    parts = (Part(name, WEIGHTS[name], of) for name, of in members.items())
    return BlendClassifier(members["tfidf"].scheme, RULE, tuple(parts))


@pytest.fixture(scope="module")
def cascade(members: dict[str, Classifier], topic_rows: Rows) -> CascadeClassifier:
    """One that sends about half of the texts on, with a certificate."""
    levels = np.unique(members["tfidf"].predict_proba(topic_rows[0]).max(axis=1))
    threshold = float(levels[len(levels) // 2 - 1 : len(levels) // 2 + 1].mean())
    share, loss = Score(0.5, 0.4, 0.6, 1_000), Score(0.001, -0.002, 0.004, 1_000)
    certificate = Certificate(threshold, 0.005, 0.95, 1, 0.01, share, loss, 1_000)
    stages = Stage("tfidf", members["tfidf"]), Stage("finetune", members["finetune"])
    return CascadeClassifier(stages[0].classifier.scheme, RULE, *stages, threshold, None,
                             certificate)  # fmt: skip


def exported_from(model: Classifier, rows: Rows, folder: Path) -> Path:
    """Return the folder of the export of a saved model."""
    return finetext.export(model.save(folder / "model"), "onnx", data=rows).folder


@pytest.fixture(scope="module")
def blended(
    blend: BlendClassifier, topic_rows: Rows, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The export of the blend. Not to be changed."""
    return exported_from(blend, topic_rows, tmp_path_factory.mktemp("blend"))


@pytest.fixture(scope="module")
def cascaded(
    cascade: CascadeClassifier, topic_rows: Rows, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The export of the cascade. Not to be changed."""
    return exported_from(cascade, topic_rows, tmp_path_factory.mktemp("cascade"))


@pytest.mark.slow
def test_a_blend_predicts_as_before_with_graphs_for_encoders(
    blend: BlendClassifier, blended: Path, topic_rows: Rows
) -> None:
    texts = [*topic_rows[0], "", "bread and salt " * 200]
    found = finetext.load(blended)
    assert isinstance(found, BlendClassifier)
    kinds = {part.name: (part.classifier.kind, part.weight) for part in found.parts}
    assert kinds == {"tfidf": ("tfidf", 0.4), "probe": ("onnx", 0.5), "finetune": ("onnx", 0.3)}
    assert (found.decision, found.scheme) == (RULE, blend.scheme)
    wanted = blend.with_precision("fp32").predict_proba(texts)
    np.testing.assert_allclose(found.predict_proba(texts), wanted, atol=1e-4)
    assert found.predict(texts) == blend.predict(texts)
    assert engine_of(found) == "ONNX Runtime"
    np.testing.assert_allclose(
        found.with_temperature(2.0).predict_proba(texts),
        blend.with_precision("fp32").with_temperature(2.0).predict_proba(texts), atol=1e-4,
    )  # fmt: skip


def test_a_cascade_sends_on_the_same_texts_to_a_graph(
    cascade: CascadeClassifier, cascaded: Path, topic_rows: Rows
) -> None:
    found = finetext.load(cascaded)
    assert isinstance(found, CascadeClassifier)
    assert [of.classifier.kind for of in found.stages] == ["tfidf", "onnx"]
    assert (found.threshold, found.cuts, found.decision) == (cascade.threshold, None, RULE)
    routings = [routing_of(of) for of in (cascade, found)]
    wanted = cascade.with_precision("fp32").predict_proba(topic_rows[0])
    given = found.predict_proba(topic_rows[0])
    was, now = (routing() for routing in routings)
    assert was is not None
    assert now is not None
    assert 0 < now.sent == was.sent < now.texts
    unsure = cascade.cheap.classifier.predict_proba(topic_rows[0]).max(axis=1) < cascade.threshold
    np.testing.assert_array_equal(given[~unsure], wanted[~unsure])
    np.testing.assert_allclose(given[unsure], wanted[unsure], atol=1e-4)


def test_the_certificate_is_that_of_the_original(
    cascaded: Path, cascade: CascadeClassifier
) -> None:
    found = finetext.load(cascaded)
    assert isinstance(found, CascadeClassifier)
    assert found.certificate is None
    assert found.original_certificate == cascade.certificate
    said = (
        "It has no certificate. That of the original was given before the export: with 95% "
        "confidence, at most 0.5 points of accuracy lost against finetune alone. The export "
        "predicts the same as the original on 63 of 63 rows."
    )
    card = " ".join((cascaded / "README.md").read_text(encoding="utf-8").split())
    assert said in card
    assert "costs at most" not in card
    about = finetext.info(cascaded)
    assert about.problem is None
    assert any(said in line for line in model_lines(about))
    assert about.described["provenance"]["cascade"]["certificate"] is None
    compared = json.loads((cascaded / "export.json").read_text(encoding="utf-8"))
    assert "was given before the export, which has none" in compared["remark"]


def test_what_is_said_of_the_certificate_of_the_original_is_kept(
    cascade: CascadeClassifier, topic_rows: Rows, tmp_path: Path
) -> None:
    record = {"cascade": {"remark": "the models learned from these rows", "times": 9.0}}
    model = save_model(cascade, tmp_path / "model", {}, record)
    folder = finetext.export(model, data=topic_rows).folder
    described = json.loads((folder / "finetext.json").read_text(encoding="utf-8"))
    assert described["record"]["cascade"] == {"remark": "the models learned from these rows"}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "against finetune alone. The models learned from these rows. The export" in card


def test_the_folder_says_what_it_was_made_from_and_how_it_compares(blended: Path) -> None:
    described = json.loads((blended / "finetext.json").read_text(encoding="utf-8"))
    assert described["classifier"] == "blend"
    made = described["provenance"]
    assert made["made_from"] == "model"
    assert made["members"]["probe"]["made_from"] == "model/probe"
    assert made["members"]["probe"]["original"] == "probe"
    compared = json.loads((blended / "export.json").read_text(encoding="utf-8"))
    assert compared == described["record"]["export"]
    assert (compared["agreement"], compared["rows"]) == (1.0, 63)
    assert compared["largest_difference"] < 1e-4
    assert compared["bytes"]["exported"] > 0
    card = (blended / "README.md").read_text(encoding="utf-8")
    assert "finetune (0.30), an encoder with a head as an ONNX graph, which needs no torch" in card
    assert "It was exported from model and predicts the same labels on 100.00%" in card
    assert finetext.info(blended).problem is None


@pytest.mark.parametrize("which", ["blended", "cascaded"])
def test_commands_take_it_without_torch(
    which: str, request: pytest.FixtureRequest, tmp_path: Path, topic_rows: Rows,
    without: Callable[[tuple[str, ...], str, Path], str],
) -> None:  # fmt: skip
    folder = request.getfixturevalue(which)
    lines = [f"{text},{label}" for text, label in zip(*topic_rows, strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *lines]))
    program = f"""
import json
import finetext
from finetext.cli.app import main
folder = {str(folder)!r}
for engine in ("torch", "throughput"):
    print(json.dumps(finetext.load(folder, engine=engine).predict_proba(["bread", ""]).tolist()))
for words in (["predict", folder, "fresh bread"], ["predict", folder, "rows.csv"],
              ["evaluate", folder, "rows.csv"], ["explain", folder, "fresh bread"],
              ["monitor", folder, "rows.csv", "--reference", "rows.csv"]):
    try:
        main(words)
    except SystemExit as end:
        assert not end.code, (words, end.code)
"""
    said = without(HEAVY, program, tmp_path).splitlines()
    wanted = finetext.load(folder).predict_proba(["bread", ""])
    for line in said[:2]:
        np.testing.assert_allclose(json.loads(line), wanted, atol=1e-6)
    assert "prediction: " in said[2]


def test_a_server_answers_without_a_certificate(cascaded: Path) -> None:
    testing = pytest.importorskip("fastapi.testclient")
    from finetext.core.settings import ServeSettings
    from finetext.serving.app import make_app
    from finetext.serving.model import ServedModel, about

    classifier = finetext.load(cascaded)
    app = make_app(ServedModel(classifier), ServeSettings(), about=about(cascaded))
    with testing.TestClient(app) as client:
        [decided] = client.post("/decide", json={"inputs": ["fresh bread"]}).json()
        told = client.get("/info").json()
    assert decided["prediction"] == classifier.predict(["fresh bread"])[0]
    assert told["engine"] == "ONNX Runtime"
    assert told["provenance"]["cascade"]["certificate"] is None
    assert told["provenance"]["original_certificate"]["most_loss"] == 0.005


@pytest.mark.slow
def test_only_an_older_export_is_replaced_and_none_is_exported_again(
    cascade: CascadeClassifier, cascaded: Path, blended: Path, topic_rows: Rows, tmp_path: Path
) -> None:
    model, force = cascade.save(tmp_path / "model"), finetext.ExportTerms(force=True)
    for older in (cascaded, blended):
        place = shutil.copytree(older, tmp_path / "onnx")
        with pytest.raises(DataError, match="exists"):
            finetext.export(model, data=topic_rows)
        assert finetext.export(model, data=topic_rows, terms=force).folder == place
        shutil.rmtree(place)
        again = finetext.load(older).save(place)  # without its record
        with pytest.raises(ModelError, match=r"itself an export \((blend|cascade)\)"):
            finetext.export(again, folder=tmp_path / "other", terms=force)
        assert finetext.export(model, data=topic_rows, terms=force).folder == place
        shutil.rmtree(place)
    with pytest.raises(ModelError, match="something other than an export"):
        finetext.export(model, folder=model, data=topic_rows, terms=force)


def test_what_is_sent_to_the_hub_is_whole(blended: Path) -> None:
    with staged(blended, "owner/name") as (folder, left_out):
        assert not [name for name in left_out if name != "reference.safetensors"]
        assert (folder / "members" / "probe" / "model.onnx").is_file()
        assert (folder / "export.json").is_file()
        finetext.load(folder)


def test_what_has_no_encoder_is_refused(
    topics: Dataset, tiny_encoder: Path, members: dict[str, Classifier], cascade: CascadeClassifier
) -> None:
    context = FitContext(device="cpu")
    static: Classifier = finetext.Static(encoder=str(tiny_encoder), inverse_regularisation=1.0).fit(
        topics, topics, context
    )
    parts = Part("tfidf", 0.5, members["tfidf"]), Part("static", 0.5, static)
    light = BlendClassifier(static.scheme, AS_LIKELY, parts)
    said = r"no member of this blend \(tfidf, static\) can be exported.*without torch as it is"
    with pytest.raises(ModelError, match=said):
        OnnxExporter().check(Original(light))
    for name, of in (("static", static), ("light", light)):
        other = replace(cascade, expensive=Stage(name, of))
        with pytest.raises(ModelError, match=r"copy (the folder of this one|its model folder)"):
            OnnxExporter().check(Original(other))


def test_a_member_that_cannot_be_exported_is_named(
    blend: BlendClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned: Any = blend.parts[2].classifier
    monkeypatch.setattr(type(tuned.tokenizer), "is_fast", False)
    with pytest.raises(ModelError, match=r"m/(probe|finetune): this model cannot be exported"):
        OnnxExporter().check(Original(blend, "m"))


def divided(rows: Dataset) -> RowsApart:
    """The same rows for all uses."""
    return RowsApart(rows.texts, rows.texts, rows)


def marked(original: Original, work: Path) -> Made:
    """Return the likeliest label for all texts in place of an export; its folder must be empty."""
    assert work.is_dir()
    assert not list(work.iterdir())
    assert original.classifier.decision == AS_LIKELY
    rows = original.apart()
    return Made(original.classifier.with_temperature(2.0), rows and rows.compare, original.name)


def test_members_are_made_apart_by_their_own_rule(
    blend: BlendClassifier, cascade: CascadeClassifier, topics: Dataset, tmp_path: Path
) -> None:
    said = list[str]()
    original = Original(blend, "run/blend", say=said.append, apart=lambda: divided(topics))
    made = made_of_members(original, tmp_path, marked)
    assert isinstance(made.classifier, BlendClassifier)
    assert made.rows is topics
    assert made.remark == "for probe, run/blend/probe; for finetune, run/blend/finetune"
    assert said == ["exporting probe", "exporting finetune"]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["finetune", "probe"]
    parts = made.classifier.parts
    assert [part.classifier is old.classifier for part, old in zip(parts, blend.parts, strict=True)
            ] == [True, False, False]  # fmt: skip
    cheap = replace(cascade, cheap=Stage("probe", blend.parts[1].classifier))
    made = made_of_members(Original(cheap, "fast"), tmp_path / "finetune", marked)
    assert isinstance(made.classifier, CascadeClassifier)
    assert made.classifier.cheap is cheap.cheap
    assert "probe, which stays as it is, may need torch to predict" in made.remark


def test_what_is_computed_again_is_of_the_rows_sent_on(
    cascade: CascadeClassifier, topics: Dataset, tmp_path: Path
) -> None:
    sent = cascade.sent_on(cascade.cheap.classifier.predict_proba(topics.texts))
    assert 0 < len(sent) < len(topics)
    original = Original(cascade, "fast", apart=lambda: divided(topics))
    for threshold, number in ((cascade.threshold, len(sent)), (0.0, 0)):
        of = replace(original, classifier=replace(cascade, threshold=threshold))
        place = tmp_path / f"{number}"
        place.mkdir()
        made = OnnxExporter(quantize="int8").make(of, place)
        assert made.rows is topics
        again = f"of {number} rows are close calls" if number else "(at most 0.5 points"
        assert again in made.remark
        assert ("for finetune and the rows sent on to it, " in made.remark) == bool(number)


def test_the_expensive_classifier_of_a_cascade_may_be_a_blend(
    blend: BlendClassifier, cascade: CascadeClassifier, topic_rows: Rows, tmp_path: Path
) -> None:
    both = replace(cascade, expensive=Stage("blend", blend))
    names = [of.name for of in originals_of(Original(both, "fast"))]
    assert names == ["fast/blend/probe", "fast/blend/finetune"]
    found = finetext.load(exported_from(both, topic_rows, tmp_path))
    assert isinstance(found, CascadeClassifier)
    wanted = both.with_precision("fp32").predict_proba(topic_rows[0])
    np.testing.assert_allclose(found.predict_proba(topic_rows[0]), wanted, atol=1e-4)
    assert engine_of(found) == "ONNX Runtime"


@pytest.mark.slow
def test_a_real_encoder_in_8_bits_states_what_it_computes_again(
    topics: Dataset, topic_rows: Rows, tmp_path: Path
) -> None:
    context = FitContext(device="cpu")
    probe: Classifier = finetext.Probe(max_length=32).fit(topics, topics.select([]), context)
    tfidf = finetext.Tfidf(inverse_regularisation=1.0).fit(topics, topics, context)
    parts = Part("tfidf", 0.5, tfidf), Part("probe", 0.5, probe)
    blend = BlendClassifier(probe.scheme, AS_LIKELY, parts)
    settings = {"quantize": "int8"}
    found = finetext.export(blend, "onnx", tmp_path / "m", data=topic_rows, settings=settings)
    assert found.compared is not None
    assert found.compared.rows == 21  # a third of them
    assert found.compared.agreement >= 0.99
    assert found.compared.remark.startswith("for probe, ")
    assert "of 21 rows are close calls, which float32 computes again" in found.compared.remark
    assert found.compared.remark in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    near, wanted = (of.predict_proba(topic_rows[0]) for of in (found.classifier, blend))
    assert 0 < np.abs(near - wanted).max() < 0.05


@pytest.mark.parametrize(
    ("which", "change", "said"),
    [
        ("blended", {"made_from": ["x"]}, r"made_from is \['x'\], no name"),
        ("cascaded", {"made_from": 3}, "made_from is 3, no name"),
        ("cascaded", {"original_certificate": {"threshold": 1}}, "the original_certificate in"),
    ],
)
def test_damaged_and_hostile_folders_are_refused(
    which: str, change: dict[str, Any], said: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = shutil.copytree(request.getfixturevalue(which), tmp_path / "m")
    path = folder / ("blend.json" if which == "blended" else "cascade.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    described = json.loads((folder / "finetext.json").read_text())
    described["files"][path.name]["size"] = path.stat().st_size
    (folder / "finetext.json").write_text(json.dumps(sealed(described)))
    with pytest.raises(ModelError, match=said):
        finetext.load(folder)
