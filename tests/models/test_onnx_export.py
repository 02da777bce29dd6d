"""An ONNX export predicts as its original, without torch and transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext.core.contracts import Classifier
from finetext.core.decision import Decision
from finetext.core.errors import ModelError
from finetext.core.text_columns import SEPARATOR
from finetext.core.types import LabelScheme
from finetext.evaluation.calibration import tempered
from finetext.methods.transformer import TransformerClassifier
from finetext.models.folder import load_model
from finetext.models.onnx import ABOUT, OnnxClassifier

ODD_TEXTS = (
    "", " \n\t ", "bread and salt " * 500, "x" * 3_000, "😀👩‍👩‍👧", "\x00\x07 bread \x1b",
    "שלום עולם مرحبا", "面包和盐", "bread \ud83c and salt", "[PAD] [CLS] [MASK] </s>",
)  # fmt: skip
Without = Callable[[tuple[str, ...], str, Path], str]
HEAVY = ("torch", "transformers", "accelerate", "onnx", "onnxscript", "sentence_transformers")


@pytest.fixture(scope="module")
def texts(topic_rows: tuple[list[str], list[str]]) -> list[str]:
    return [*topic_rows[0], *ODD_TEXTS, "bread " * 50]


@pytest.fixture(scope="module")
def original(encoder_run: Path) -> Classifier:
    return finetext.load(encoder_run / "finetune" / "model", device="cpu", engine="torch")


@pytest.fixture(scope="module")
def exported(onnx_model: Path) -> Classifier:
    return finetext.load(onnx_model)


def test_labels_and_probabilities_are_those_of_the_original(
    original: Classifier, exported: Classifier, texts: list[str]
) -> None:
    wanted = original.with_precision("fp32").predict_proba(texts)
    np.testing.assert_allclose(exported.predict_proba(texts), wanted, atol=1e-4)
    assert exported.predict(texts) == original.predict(texts)
    assert exported.scheme == original.scheme
    assert exported.decision == original.decision
    assert np.ptp(wanted[:, 0]) > 0.05


def test_predictions_do_not_depend_on_the_batch(exported: Classifier, texts: list[str]) -> None:
    alone = np.concatenate([exported.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(exported.predict_proba(texts), alone, atol=1e-5)
    assert exported.predict_proba([]).shape == (0, 3)
    assert exported.logits([]).shape == (0, 3)


def test_the_decision_rule_applies(exported: Classifier, texts: list[str]) -> None:
    assert set(exported.with_decision(Decision(least=(2.0,) * 3)).predict(texts)) == {None}


def test_the_temperature_divides_the_logits_and_is_saved(
    exported: Classifier,
    texts: list[str],
    tmp_path: Path,
    snippet_of: Callable[[Path], str],
    without: Without,
) -> None:
    wanted = tempered(exported.predict_proba(texts), False, 2.5)
    cooled = exported.with_temperature(2.5)
    np.testing.assert_allclose(cooled.predict_proba(texts), wanted, atol=1e-6)
    folder = cooled.save(tmp_path / "cooled")
    np.testing.assert_allclose(finetext.load(folder).predict_proba(texts), wanted, atol=1e-6)
    program = snippet_of(folder) + "\nprint(json.dumps(predict_proba(['soup']).tolist()))\n"
    said = json.loads(without((*HEAVY, "finetext"), program, folder).splitlines()[-1])
    np.testing.assert_allclose(said, cooled.predict_proba(["soup"]), atol=1e-6)


def test_the_folder_describes_the_export(onnx_model: Path, exported: Classifier) -> None:
    described = json.loads((onnx_model / "finetext.json").read_text(encoding="utf-8"))
    assert described["classifier"] == "onnx"
    assert described["provenance"]["made_from"] == "run/finetune"
    assert described["provenance"]["max_length"] == 64
    config = json.loads((onnx_model / "config.json").read_text(encoding="utf-8"))
    assert list(config["id2label"].values()) == list(exported.scheme.names)
    compared = json.loads((onnx_model / "export.json").read_text(encoding="utf-8"))
    assert compared["agreement"] == 1
    assert compared["largest_difference"] < 1e-4
    assert compared["where"] == "validation rows of the run"
    assert set(compared["scores"]) == {"accuracy", "macro_f1"}
    assert compared["differences"]["accuracy"]["difference"]["value"] == 0
    for name in ("bytes", "rows_per_second", "milliseconds"):
        assert all(compared[name][of] > 0 for of in ("original", "exported"))
    assert {path.name for path in onnx_model.iterdir()} == {
        "README.md", "config.json", "export.json", "finetext.json", "model.onnx", "onnx.json",
        "reference.safetensors", "tokenizer.json",
    }  # fmt: skip


def test_the_graph_holds_no_paths_of_the_exporting_machine(onnx_model: Path) -> None:
    import onnx

    written = (onnx_model / "model.onnx").read_bytes()
    packages = (finetext, np, onnx)
    for package in packages:
        assert str(Path(str(package.__file__)).parent.parent).encode() not in written
    for local in (b"site-packages", b"stack_trace", str(Path.home()).encode(), b".py"):
        assert local not in written
    graph = onnx.load(str(onnx_model / "model.onnx"))
    assert not graph.metadata_props
    assert not any(node.doc_string or node.metadata_props for node in graph.graph.node)


def test_finetext_predicts_with_it_without_torch(
    onnx_model: Path, original: Classifier, tmp_path: Path, without: Without
) -> None:
    (tmp_path / "rows.csv").write_text("text,label\nfresh bread,food\nthe match,sport\n")
    program = f"""
import json
from finetext.cli.app import main
from finetext.core.contracts import Classifier
folder = {str(onnx_model)!r}
print(json.dumps(Classifier.load(folder).predict_proba(["fresh bread", ""]).tolist()))
for words in (["predict", folder, "fresh bread"], ["predict", folder, "rows.csv"],
              ["evaluate", folder, "rows.csv"], ["explain", folder, "fresh bread"]):
    try:
        main(words)
    except SystemExit as end:
        assert not end.code, (words, end.code)
"""
    lines = without(HEAVY, program, tmp_path).splitlines()
    wanted = original.with_precision("fp32").predict_proba(["fresh bread", ""])
    np.testing.assert_allclose(json.loads(lines[0]), wanted, atol=1e-4)
    assert "prediction: " in lines[1]
    assert any("by occlusion" in line for line in lines)


def test_the_program_in_the_card_needs_onnxruntime_tokenizers_and_numpy_only(
    onnx_model: Path, original: Classifier, snippet_of: Callable[[Path], str], without: Without
) -> None:
    texts = ["fresh bread", "a late goal " * 60, ""]
    assert len(snippet_of(onnx_model).splitlines()) <= 30
    program = snippet_of(onnx_model) + f"\nprint(json.dumps(predict_proba({texts!r}).tolist()))\n"
    others = ("finetext", "scipy", "sklearn", "pandas", "datasets", "safetensors")
    lines = without((*HEAVY, *others), program, onnx_model).splitlines()
    assert set(original.scheme.names) <= set(lines[0].replace("'", " ").replace(":", " ").split())
    wanted = original.with_precision("fp32").predict_proba(texts)
    np.testing.assert_allclose(json.loads(lines[-1]), wanted, atol=1e-4)


@pytest.mark.parametrize("file", ["model.onnx", "tokenizer.json", "onnx.json"])
def test_a_damaged_file_is_named(onnx_model: Path, tmp_path: Path, file: str) -> None:
    folder = shutil.copytree(onnx_model, tmp_path / "m")
    size = (folder / file).stat().st_size
    (folder / file).write_bytes(b"\x00" * size)
    with pytest.raises(ModelError, match="damaged"):
        finetext.load(folder)


def test_a_device_that_onnxruntime_lacks_is_refused(onnx_model: Path) -> None:
    with pytest.raises(ModelError, match="use auto or cpu"):
        load_model(onnx_model, "mps")


def test_the_graph_of_a_probe_includes_pooling_and_head(
    encoder_run: Path, tmp_path: Path, texts: list[str]
) -> None:
    found = finetext.export(encoder_run / "probe", "onnx", tmp_path / "probe")
    wanted = finetext.load(encoder_run / "probe" / "model").with_precision("fp32")
    np.testing.assert_allclose(
        found.classifier.predict_proba(texts), wanted.predict_proba(texts), atol=1e-4
    )
    assert found.compared is not None
    assert found.compared.agreement == 1


def test_quantizing_a_large_graph_removes_the_float32_weights(
    onnx_model: Path, original: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetext.models.exporters import Original
    from finetext.models.onnx_export import Exportable, OnnxExporter

    def write_graph(self: Exportable, folder: Path) -> None:
        graph = onnx.load(str(onnx_model / "model.onnx"))
        onnx.save(
            graph, str(folder / "model.onnx"), save_as_external_data=True,
            location="model.onnx.data", size_threshold=0,
        )  # fmt: skip
        assert (folder / "model.onnx.data").is_file()

    onnx = pytest.importorskip("onnx")
    monkeypatch.setattr(Exportable, "write_graph", write_graph)
    made = OnnxExporter(quantize="int8").make(Original(original), tmp_path)
    assert made.classifier.predict(["fresh bread"]) == original.predict(["fresh bread"])
    assert {path.name for path in tmp_path.iterdir()} == {
        "model.onnx", "exact.model.onnx", "tokenizer.json", "config.json", "onnx.json",
    }  # fmt: skip


TEXT = "the team won a match and bank raised its rates soup with bread salt cook baked cake"
WORDS = TEXT.split()
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def word_tokenizer(special: tuple[str, ...], **names: str) -> Any:
    """Words in small letters; <s> and </s> around them where both are special tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {piece: number for number, piece in enumerate((*special, *WORDS))}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token=special[0]))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    if "<s>" in special:
        inner.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[(t, vocabulary[t]) for t in ("<s>", "</s>")]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, model_input_names=["input_ids", "attention_mask"], **names
    )


def roberta() -> tuple[Any, Any]:
    from transformers import RobertaConfig

    tokenizer = word_tokenizer(SPECIAL, pad_token="<pad>", eos_token="</s>", bos_token="<s>")
    return tokenizer, RobertaConfig(
        vocab_size=len(tokenizer), intermediate_size=64, max_position_embeddings=42,
        pad_token_id=1, type_vocab_size=1, **SMALL,
    )  # fmt: skip


def distilbert() -> tuple[Any, Any]:
    from transformers import DistilBertConfig

    tokenizer = word_tokenizer(SPECIAL, pad_token="<pad>", eos_token="</s>", bos_token="<s>")
    return tokenizer, DistilBertConfig(
        vocab_size=len(tokenizer), dim=32, n_layers=1, n_heads=2, hidden_dim=64,
        max_position_embeddings=40, pad_token_id=1,
    )  # fmt: skip


def gpt2() -> tuple[Any, Any]:
    """Reads left to right, pads with its end of text, and has no special tokens around a text."""
    from transformers import GPT2Config

    tokenizer = word_tokenizer(("<end>",), pad_token="<end>", eos_token="<end>")
    return tokenizer, GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, n_positions=40,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip


def xlnet() -> tuple[Any, Any]:
    """Pads on the left."""
    from transformers import XLNetConfig

    tokenizer = word_tokenizer(SPECIAL, pad_token="<pad>", eos_token="</s>", bos_token="<s>")
    tokenizer.padding_side = "left"
    return tokenizer, XLNetConfig(
        vocab_size=len(tokenizer), d_model=32, n_layer=1, n_head=2, d_inner=64, pad_token_id=1,
        bos_token_id=0, eos_token_id=2,
    )  # fmt: skip


@pytest.mark.parametrize("build", [roberta, distilbert, gpt2, xlnet])
def test_labels_and_probabilities_are_those_of_torch(
    build: Callable[[], tuple[Any, Any]], tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript")
    import torch
    from transformers import AutoModelForSequenceClassification

    from finetext.models.onnx_export import Exportable

    tokenizer, config = build()
    config.num_labels, config.pad_token_id = 3, tokenizer.pad_token_id
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config).eval()
        with torch.no_grad():
            for weight in model.parameters():
                if weight.dim() > 1:  # large ones, so that texts differ
                    weight.normal_(std=0.4)
    scheme = LabelScheme(("a", "b", "c"))
    original = TransformerClassifier(scheme, Decision(), model, tokenizer, 40, "fp32")
    exportable = Exportable.of(original)
    exportable.describe(tmp_path, scheme)
    exportable.write_graph(tmp_path)
    (tmp_path / ABOUT).write_text("{}")
    exported = OnnxClassifier.load_weights(tmp_path, scheme, Decision(), "cpu")
    texts = [" ".join(WORDS[start : start + n]) for start in range(6) for n in (1, 4, 10)]
    texts += ["", "nothing known", " ".join(WORDS * 5)]
    wanted = original.predict_proba(texts)
    assert np.ptp(wanted[:, 0]) > 0.01
    np.testing.assert_allclose(exported.predict_proba(texts), wanted, atol=1e-4)
    alone = np.concatenate([exported.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(alone, wanted, atol=1e-4)
    assert exported.predict(texts) == original.predict(texts)
    assert (exportable.empty_as == "<end>") == (build is gpt2)


@pytest.fixture(scope="module")
def recurrent(topic_rows: tuple[list[str], list[str]]) -> Classifier:
    """An AWD-LSTM with random weights, whose markers are words of its vocabulary."""
    import torch

    from finetext.encoders.awd_lstm import AwdLstmConfig, AwdLstmForSequenceClassification
    from finetext.encoders.word_tokenizer import train_word_tokenizer

    tokenizer = train_word_tokenizer([*topic_rows[0], "NOOO xxbos !!!"] * 3)
    config = AwdLstmConfig(
        vocab_size=len(tokenizer), embedding_size=16, inner_size=24, num_hidden_layers=3,
        num_labels=3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AwdLstmForSequenceClassification(config).eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.normal_(std=0.4)
    scheme = LabelScheme(("a", "b", "c"))
    return TransformerClassifier(scheme, Decision(), model, tokenizer, 40, "fp32")


@pytest.mark.slow
def test_an_awd_lstm_predicts_as_torch_does_without_it(
    recurrent: Classifier, texts: list[str], tmp_path: Path, without: Without
) -> None:
    texts = [*texts, "xxbos xxunkish NOOO, the Match!!!! &amp; xxmaj", f"bread{SEPARATOR}a match"]
    terms = finetext.ExportTerms(force=True)
    folder = finetext.export(recurrent, "onnx", tmp_path / "onnx", terms=terms).folder
    wanted = recurrent.logits(texts)
    assert np.ptp(wanted[:, 0]) > 0.1
    exported = finetext.load(folder)
    np.testing.assert_allclose(exported.logits(texts), wanted, atol=1e-4)
    alone = np.concatenate([exported.logits([text]) for text in texts])
    np.testing.assert_allclose(alone, wanted, atol=1e-4)
    program = (
        "import json\nfrom finetext.core.contracts import Classifier\n"
        f"print(json.dumps(Classifier.load({str(folder)!r}).logits(['NOOO, bread!!!']).tolist()))"
    )
    said = json.loads(without(HEAVY, program, tmp_path).splitlines()[-1])
    np.testing.assert_allclose(said, recurrent.logits(["NOOO, bread!!!"]), atol=1e-4)
    assert "rules by which its tokenizer divides" in (folder / "README.md").read_text()
    from finetext.models.exporters import Original
    from finetext.models.onnx_export import OnnxExporter

    with pytest.raises(ModelError, match="no int8 form"):
        OnnxExporter(quantize="int8").check(Original(recurrent))


@pytest.mark.parametrize("vocabulary", [10**4, 2**32 - 1, None])
def test_a_tokenizer_that_does_not_fit_the_graph_is_an_error_of_the_model(
    onnx_model: Path, tmp_path: Path, vocabulary: int | None
) -> None:
    folder = shutil.copytree(onnx_model, tmp_path / "m")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    known = tokenizer["model"]["vocab"]
    known = {} if vocabulary is None else dict.fromkeys(known, vocabulary)
    tokenizer["model"]["vocab"] = known
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    described = json.loads((folder / "finetext.json").read_text())
    del described["files"]
    (folder / "finetext.json").write_text(json.dumps(described))
    loaded = finetext.load(folder)
    with pytest.raises(ModelError, match=r"(tokenizer\.json|model\.onnx) fails"):
        loaded.predict_proba(["bread"])
