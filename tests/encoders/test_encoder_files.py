"""What transformers gets to see of an encoder: no pickle, no code, nothing outside its folder."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetext.core.errors import ModelError
from finetext.encoders.auto import context_of, loading
from finetext.encoders.load import load_encoder, load_tokenizer


@pytest.fixture
def encoder(tiny_encoder: Path, tmp_path: Path) -> Path:
    """An encoder folder of its own for each test."""
    return shutil.copytree(tiny_encoder, tmp_path / "encoder")


def change(path: Path, **values: Any) -> None:
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(known | values))


def load(folder: Path) -> Any:
    return load_encoder(str(folder), load_tokenizer(str(folder)))


class Runs:
    """A pickle that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_only_files_that_can_be_read_safely_are_seen(encoder: Path) -> None:
    for name in (
        "pytorch_model.bin", "own.py", "modeling_own.py", "vocab.pkl", "flax_model.msgpack",
        "preprocessor_config.json", "model.gguf", ".metadata", "additional_chat_templates/x.jinja",
        "pytorch_model.bin.index.json", "1_Pooling/config.json",
    ):  # fmt: skip
        (encoder / name).parent.mkdir(exist_ok=True)
        (encoder / name).write_bytes(pickle.dumps(Runs(encoder / "ran")))
    with loading(str(encoder), with_weights=True) as path:
        assert {file.name for file in Path(path).iterdir()} == {
            "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
        }  # fmt: skip
    with loading(str(encoder)) as path:
        assert not list(Path(path).glob("*.safetensors"))
    load(encoder)
    assert not (encoder / "ran").exists()


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "tf_model.h5", "weights.pkl", "model.gguf"]
)
def test_weights_that_can_hold_code_are_refused_by_name(encoder: Path, name: str) -> None:
    (encoder / "model.safetensors").unlink()
    (encoder / name).write_bytes(pickle.dumps(Runs(encoder / "ran")))
    with pytest.raises(ModelError, match=rf"{name}: other formats can hold code.*finetext convert"):
        load(encoder)
    assert not (encoder / "ran").exists()


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
)
def test_a_link_out_of_the_folder_is_refused(encoder: Path, tmp_path: Path, name: str) -> None:
    (encoder / name).rename(tmp_path / "elsewhere")
    (encoder / name).symlink_to("../elsewhere")
    with pytest.raises(ModelError, match=rf"{name} is a link that leads out of the folder"):
        load(encoder)


def test_links_inside_the_folder_and_of_the_folder_are_followed(
    encoder: Path, tmp_path: Path
) -> None:
    (encoder / "model.safetensors").rename(encoder / "first.safetensors")
    (encoder / "model.safetensors").symlink_to("first.safetensors")
    (tmp_path / "mine").symlink_to(encoder)
    load(tmp_path / "mine")


def test_the_cache_of_the_hub_is_read(encoder: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models--jane--tiny"
    snapshot = repository / "snapshots" / ("a" * 40)
    (repository / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, file in enumerate(encoder.iterdir()):
        digest = f"{number:064x}"
        file.rename(repository / "blobs" / digest)
        (snapshot / file.name).symlink_to(f"../../blobs/{digest}")
    load(snapshot)


HARM: dict[str, tuple[Callable[[Path], Any], str]] = {
    "code of a configuration": (
        lambda f: change(f / "config.json", auto_map={"AutoModel": "own.Own"}), "auto_map"),
    "code of a tokenizer": (
        lambda f: change(f / "tokenizer_config.json", auto_map={"AutoTokenizer": ["o.O", None]}),
        "auto_map"),
    "a kernel": (lambda f: change(f / "config.json", _attn_implementation="a/b"), "_attn_impl"),
    "a generation": (lambda f: change(f / "generation_config.json", custom_generate="a/b"),
                     "generation_config.json has custom_generate"),
    "quantization": (lambda f: change(f / "config.json", quantization_config={"quant_method": "x"}),
                     "quantization_config"),
    "an adapter": (lambda f: change(f / "adapter_config.json", base_model_name_or_path="a/b"),
                   "holds an adapter"),
    "modules": (lambda f: (f / "modules.json").write_text('[{"type": "own.Module"}]'),
                r"modules\.json names the code 'own\.Module'"),
    "an index": (
        lambda f: change(f / "model.safetensors.index.json", weight_map={"a": "../x.safetensors"}),
        r"index\.json names '\.\./x\.safetensors'"),
    "an index of a pickle": (
        lambda f: change(f / "model.safetensors.index.json", weight_map={"a": "pytorch_model.bin"}),
        r"names 'pytorch_model\.bin'"),
    "deep JSON": (lambda f: (f / "config.json").write_text("[" * 99_999), "config.json is damaged"),
    "a huge header": (lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 7 + b"\x00" * 9),
                      "cannot be loaded"),
    "a header beyond the file": (
        lambda f: (f / "model.safetensors").write_bytes((1 << 60).to_bytes(8, "little") + b"{}"),
        "cannot be loaded"),
    "many positions": (lambda f: change(f / "config.json", max_position_embeddings=10**11),
                       "its configuration needs .* GiB"),
    "a wide model": (lambda f: change(f / "config.json", hidden_size=10**6), "needs .* GiB"),
    "wrong types": (lambda f: change(f / "config.json", hidden_size={}), "cannot be loaded"),
    "a method": (lambda f: change(f / "config.json", get_text_config="x"), "cannot be loaded"),
    "a vocabulary": (lambda f: (f / "tokenizer.json").write_text('{"model": {"type": "BPE"}}'),
                     "cannot be loaded"),
}  # fmt: skip


@pytest.mark.parametrize("case", HARM)
def test_harmful_folders_are_refused_with_a_reason(encoder: Path, case: str) -> None:
    harm, reason = HARM[case]
    harm(encoder)
    with pytest.raises(ModelError, match=reason) as caught:
        load(encoder)
    assert "\n" not in str(caught.value)
    assert "/finetext-" not in str(caught.value)  # the private folder


def test_modules_of_sentence_transformers_are_fine(encoder: Path) -> None:
    kinds = ("sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling")
    (encoder / "modules.json").write_text(json.dumps([{"type": kind} for kind in kinds]))
    load(encoder)


def test_paths_of_tokenizers_are_not_read(encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    paths = {"vocab_file": str(tmp_path / "secret.txt"), "tokenizer_file": "/missing"}
    change(encoder / "tokenizer_config.json", **paths)
    change(encoder / "special_tokens_map.json", **paths)
    tokenizer = load_tokenizer(str(encoder))
    assert "secret" not in tokenizer.get_vocab()


def test_chat_templates_are_kept_but_never_rendered(encoder: Path) -> None:
    template = "{{ [].__class__.__base__.__subclasses__() }}"
    (encoder / "chat_template.jinja").write_text(template)
    assert load_tokenizer(str(encoder)).chat_template == template


def test_a_private_folder_is_named_nowhere(encoder: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(encoder))
    model = load_encoder(str(encoder), tokenizer)
    model.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    saved = [file.read_bytes() for file in (tmp_path / "saved").iterdir()]
    assert not any(b"finetext-" in content for content in saved)
    assert context_of(str(tmp_path / "saved")) == 64


def test_slow_tokenizers_can_be_copied_after_loading(encoder: Path) -> None:
    config = {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "basic"}
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (encoder / name).unlink()
    (encoder / "tokenizer_config.json").write_text(json.dumps(config))
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]
    (encoder / "vocab.txt").write_text("\n".join(pieces))
    tokenizer = copy.deepcopy(load_tokenizer(str(encoder)))
    assert tokenizer.tokenize("a b") == ["a", "b"]


def test_a_damaged_sentencepiece_model_is_named_as_damage(encoder: Path) -> None:
    pytest.importorskip("sentencepiece")
    (encoder / "tokenizer.json").unlink()
    (encoder / "spiece.model").write_bytes(bytes(range(256)) * 10)
    change(encoder / "tokenizer_config.json", tokenizer_class="T5Tokenizer")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_tokenizer(str(encoder))
