"""GLiClass models that cannot be loaded, and what their loading reads and runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gliclass_models import save_gliclass

from finetext.core.errors import FinetextError, MissingExtraError, ModelError
from finetext.encoders.gliclass import is_gliclass, load_gliclass, logits_of, tokens_with_labels
from finetext.encoders.load import load_encoder, load_tokenizer, longest_input
from finetext.methods.finetune import Finetune
from finetext.methods.probe import Probe

pytest.importorskip("gliclass", reason="the extra gliclass is not installed")


@pytest.fixture(scope="module")
def saved(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_gliclass(tmp_path_factory.mktemp("gliclass") / "model", tiny_encoder)


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    """A copy of a model to change."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def change(model: Path, inner: dict[str, Any] | None = None, **values: Any) -> None:
    """Set keys of a configuration, and of that of the encoder in it."""
    place = model / "config.json"
    config = json.loads(place.read_text()) | values
    if inner is not None:
        config["encoder_config"] |= inner
    place.write_text(json.dumps(config))


def logits(model: Path) -> Any:
    loaded, tokenizer, context = load_gliclass(str(model))
    tokens = tokens_with_labels(loaded, tokenizer, ["bread", "match"], ["the team"], context)
    return logits_of(loaded, tokens, 2)


def test_a_model_is_recognized_and_loaded(model: Path, tiny_encoder: Path) -> None:
    assert is_gliclass(str(model))
    assert not is_gliclass(str(tiny_encoder))
    loaded, _, context = load_gliclass(str(model))
    assert (context, loaded.training) == (64, False)
    # Published models say the size of the vocabulary before the markers, or with unused rows.
    for rows in (90, 128):
        before = logits(model)
        change(model, {"vocab_size": rows, "_attn_implementation_autoset": False})
        np.testing.assert_array_equal(logits(model), before)


@pytest.mark.parametrize(
    ("change_to", "message"),
    [({"architecture_type": "bi-encoder"}, r"'bi-encoder'; of GLiClass .*'uni-encoder', such as"),
     ({"architecture_type": "decoder-kv"}, r"'decoder-kv'; of GLiClass models finetext runs"),
     ({"squeeze_layers": True}, r"squeeze_layers = True; .* with squeeze_layers = False"),
     ({"encoder_layer_id": 1}, r"encoder_layer_id = 1; "),
     ({"pooling_strategy": "pass"}, "cannot be loaded"),
     ({"scorer_type": "unheard-of"}, "cannot be loaded"),
     ({"scorer_type": "mlp"}, "damaged: it lacks the weights"),
     ({"class_token_index": 3}, "belong to different models"),
     ({"encoder_config": None}, r"config.json \(encoder_config\) is damaged: it is no JSON"),
     ({"encoder_config": {}}, r"\(encoder_config\) has no model_type"),
     ({"auto_map": {"AutoModel": "code.Model"}}, "auto_map .* names code to run"),
     ({"inner": {"auto_map": {"AutoConfig": "code.C"}}}, "auto_map .* names code to run"),
     ({"inner": {"model_type": "unheard-of"}}, "'unheard-of', which is no architecture"),
     ({"inner": {"model_type": "vit"}}, "'vit', which is no architecture of text"),
     ({"inner": {"model_type": "awd_lstm"}}, "'awd_lstm', which is no architecture of text"),
     ({"inner": {"model_type": "GLiClass"}}, "'GLiClass', which is no architecture"),
     ({"inner": {"num_hidden_layers": 10**6}}, "more than 1,000 layers"),
     ({"inner": {"hidden_size": 2**16}}, "they belong to different models")],
)  # fmt: skip
def test_a_model_that_cannot_be_run_is_refused(
    model: Path, change_to: dict[str, Any], message: str
) -> None:
    change(model, **change_to)
    with pytest.raises(ModelError, match=message):
        load_gliclass(str(model))


def test_nothing_is_read_beside_the_model_or_fetched(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoConfig

    read = AutoConfig.from_pretrained

    def watched(name: str, **options: Any) -> Any:
        assert options["trust_remote_code"] is False
        assert (Path(name) / "config.json").is_file()
        return read(name, **options)

    # The library looks for an adapter where a configuration says, and warns if it finds one.
    for folder in (tmp_path / "owner" / "name", tmp_path):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "adapter_config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    wanted = logits(model)
    monkeypatch.setattr(AutoConfig, "from_pretrained", watched)
    for name in ("owner/name", str(tmp_path / "owner" / "name"), "", None, 7):
        change(model, encoder_model_name=name)
        np.testing.assert_array_equal(logits(model), wanted)


def test_an_adapter_or_pickle_is_refused(model: Path) -> None:
    (model / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="holds an adapter"):
        load_gliclass(str(model))
    (model / "adapter_config.json").unlink()
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no weights in safetensors"):
        load_gliclass(str(model))


def test_a_tokenizer_without_the_markers_is_refused(model: Path, tiny_encoder: Path) -> None:
    load_tokenizer(str(tiny_encoder)).save_pretrained(model)
    with pytest.raises(ModelError, match="belong to different models; copy the tokenizer files"):
        load_gliclass(str(model))


@pytest.mark.parametrize(
    "use",
    [lambda name: Finetune(name).check(), lambda name: Probe(name).check(), load_tokenizer,
     lambda name: longest_input(name, None), lambda name: load_encoder(name, None)],
)  # fmt: skip
def test_it_is_refused_for_anything_else(model: Path, use: Callable[[str], Any]) -> None:
    with pytest.raises(ModelError, match=r"is a GLiClass model, .* another encoder here"):
        use(str(model))


def test_without_the_library_the_command_that_installs_it_is_given(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.encoders.gliclass.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'gliclass.* pip install "finetext\[gliclass\]"'):
        load_gliclass(str(model))
    assert issubclass(MissingExtraError, FinetextError)
