"""GLiClass models that cannot be loaded, and what their loading reads and runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gliclass_models import MARKERS, save_gliclass
from hypothesis import given
from hypothesis import strategies as st

from finetext.core.errors import MissingExtraError, ModelError
from finetext.encoders.gliclass import (
    is_gliclass,
    label_tokens,
    load_gliclass,
    logits_of,
    tokens_with_labels,
)
from finetext.encoders.load import load_encoder, load_tokenizer, longest_input
from finetext.methods.finetune import Finetune
from finetext.methods.probe import Probe
from finetext.methods.zeroshot import ZeroShot

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


def test_it_is_found_in_the_cache_of_the_hub_by_its_alias(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--knowledgator--gliclass-base-v3.0"
    shutil.copytree(saved, place / "snapshots" / "abc")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("abc")
    _, _, context = load_gliclass("gliclass-base")
    assert context == 64


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
    model: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.encoders.gliclass.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'gliclass.* pip install "finetext\[gliclass\]"'):
        load_gliclass(str(model))
    with pytest.raises(MissingExtraError, match="gliclass"):
        ZeroShot(str(model)).check()
    ZeroShot(str(tiny_encoder)).check()


def fast_tokenizer(kind: str) -> Any:
    """A tokenizer of one of the algorithms of published encoders, with markers and ends."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    if kind == "bytes":
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        made = Tokenizer(models.BPE({of: i for i, of in enumerate(["[UNK]", *alphabet])}, []))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
    else:
        pieces = [("[UNK]", 0.0), *((of, -2.0) for of in "▁abcde."), ("▁a", -1.0), ("bc", -1.5)]
        made = Tokenizer(models.Unigram(pieces, 0, False))
        made.normalizer = normalizers.NFKC()
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=kind)
    made.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", *MARKERS])
    ends = [(of, made.token_to_id(of)) for of in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, ends)
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]")


def shell(tokenizer: Any, prompt_first: bool) -> Any:
    """What tokenization reads of a model: its configuration."""
    label, separator, _ = tokenizer.convert_tokens_to_ids(list(MARKERS))
    config = SimpleNamespace(
        class_token_index=label, text_token_index=separator, prompt_first=prompt_first,
        max_labels_alloc="dynamic",
    )  # fmt: skip
    return SimpleNamespace(config=config)


@pytest.mark.parametrize("prompt_first", [False, True])
@pytest.mark.parametrize("kind", ["bytes", "always", "first", "never"])
@given(
    st.lists(st.text("abcde. ", max_size=9), min_size=1, max_size=4),
    st.lists(st.text("abcde. <>\u0338", max_size=20), min_size=1, max_size=3),
)
def test_tokens_are_those_of_the_text_and_labels_in_one_string(
    kind: str, prompt_first: bool, labels: list[str], texts: list[str]
) -> None:
    tokenizer = fast_tokenizer(kind)
    table = tokens_with_labels(shell(tokenizer, prompt_first), tokenizer, labels, texts, 10_000)
    prompt = "".join(f"<<LABEL>>{label}" for label in labels) + "<<SEP>>"
    for row, text in enumerate(texts):
        whole = f"{prompt}{text}" if prompt_first else f"{text}{prompt}"
        found = table.ids[table.starts[row] : table.starts[row + 1]]
        assert found.tolist() == tokenizer(whole)["input_ids"]


@pytest.mark.parametrize("prompt_first", [False, True])
@given(st.lists(st.lists(st.sampled_from([*MARKERS, "a", "bc ", "<<", ">>", "label"])).map("".join),
                min_size=1, max_size=4),
       st.integers(40, 60))  # fmt: skip
def test_whatever_texts_hold_markers_stand_before_labels_and_once_after(
    prompt_first: bool, texts: list[str], context: int
) -> None:
    tokenizer = fast_tokenizer("bytes")
    model, labels = shell(tokenizer, prompt_first), ["a<<SEP>>", "<<LABEL>>bc"]
    table = tokens_with_labels(model, tokenizer, labels, texts, context)
    prompt = label_tokens(model, tokenizer, labels)
    for row in range(len(texts)):
        ids = table.ids[table.starts[row] : table.starts[row + 1]].tolist()
        assert len(ids) <= context
        start = 1 if prompt_first else len(ids) - 1 - len(prompt)
        assert ids[start : start + len(prompt)] == prompt
        rest = ids[:start] + ids[start + len(prompt) :]
        assert not set(rest) & set(tokenizer.convert_tokens_to_ids(list(MARKERS)))
    assert [tokenizer.decode([of]) for of in prompt] == [
        MARKERS[0],
        "a",
        MARKERS[0],
        "b",
        "c",
        MARKERS[1],
    ]
