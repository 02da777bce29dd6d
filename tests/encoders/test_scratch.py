"""Encoders from scratch: tokenizers trained on texts, sizes, random weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.core.errors import DataError, FinetextError, ModelError, RecipeError, UnknownNameError
from finetext.core.types import Dataset, LabelScheme
from finetext.encoders.auto import context_of, loading
from finetext.encoders.catalogue import PRESETS, is_random, original, preset, preset_of, resolve
from finetext.encoders.load import (
    load_encoder,
    load_for_classification,
    load_tokenizer,
    longest_input,
)
from finetext.encoders.scratch import (
    SPECIAL,
    TokenizerKind,
    check_sizes,
    configuration,
    initialized,
    train_subword_tokenizer,
)


def weights(folder: str | Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(Path(folder) / "model.safetensors")


def test_presets_and_encoders_are_distinguished() -> None:
    assert is_random("random:tiny")
    assert not is_random("tiny")
    assert preset_of("random:tiny") == preset("tiny")
    assert preset_of("tiny") is None
    assert preset_of("random:minilm") is None
    found = [original(name) for name in ("random:tiny", "random:a/b", "tiny")]
    assert found == [None, "a/b", "tiny"]


def test_the_tokenizer_of_a_preset_is_trained_on_the_texts(topics: Dataset) -> None:
    with initialized("random:tiny", topics.texts, 0) as folder:
        tokenizer = load_tokenizer(folder)
        config = json.loads((Path(folder) / "config.json").read_text())
        assert config["hidden_size"] == 128
        assert config["vocab_size"] == len(tokenizer) < 25_000
        assert tokenizer.tokenize("the team") == ["the", "team"]
        assert longest_input(folder, None) == longest_input("random:tiny", None) == 128
        model = load_for_classification(folder, tokenizer, LabelScheme(("a", "b")), 0.0)
        assert type(model).__name__ == "BertForSequenceClassification"
    assert not Path(folder).exists()


def test_weights_follow_from_the_seed(topics: Dataset) -> None:
    import torch

    before = torch.get_rng_state()
    found = []
    for seed in (0, 0, 1):
        with initialized("random:tiny", topics.texts, seed) as folder:
            found.append(weights(folder))
    assert torch.equal(torch.get_rng_state(), before)
    matrices = [name for name, of in found[0].items() if of.ndim > 1]
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert not any(torch.equal(found[0][name], found[2][name]) for name in matrices)


def test_a_folder_provides_everything_but_weights(tiny_encoder: Path, tmp_path: Path) -> None:
    import torch

    learned = tmp_path / "learned"
    shutil.copytree(tiny_encoder, learned)
    from safetensors.torch import save_file

    mark = {name: torch.full_like(of, 7.0) for name, of in weights(learned).items()}
    save_file(mark, learned / "model.safetensors", {"format": "pt"})
    with initialized(f"random:{learned}", [], 0) as folder:
        fresh = weights(folder)
        assert set(fresh) == set(mark)
        assert all(fresh[name].shape == mark[name].shape for name in mark)
        assert not any((of == 7.0).any() for of in fresh.values())
        configs = [json.loads((Path(f) / "config.json").read_text()) for f in (folder, learned)]
        assert configs[0] == configs[1]
        tokenizer, other = load_tokenizer(folder), load_tokenizer(str(learned))
        assert tokenizer.backend_tokenizer.to_str() == other.backend_tokenizer.to_str()
        assert tokenizer.model_max_length == other.model_max_length
        load_encoder(folder, tokenizer)


def test_other_names_are_unchanged() -> None:
    with initialized("minilm", [], 0) as name:
        assert name == "minilm"


def test_an_awd_lstm_gets_a_word_tokenizer(topics: Dataset) -> None:
    with initialized("random:awd-lstm-small", topics.texts, 0) as folder:
        tokenizer = load_tokenizer(folder)
        assert tokenizer.tokenize("the team")[-2:] == ["the", "team"]
        assert longest_input(folder, None) == longest_input("random:awd-lstm-small", None)


def test_the_context_is_known_before_there_are_texts(tiny_encoder: Path) -> None:
    assert context_of("random:base") == 512
    assert context_of(f"random:{tiny_encoder}") == context_of(str(tiny_encoder)) == 64
    assert resolve("random:tiny").on_machine
    with pytest.raises(RecipeError, match="random:tiny takes from 4 to 128"):
        longest_input("random:tiny", 129)


@pytest.mark.parametrize("name", ["random:tinny", "random:", "random:no/such/folder"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises((UnknownNameError, ModelError)):
        resolve(name)


@pytest.mark.parametrize("name", ["random:tiny", "random:minilm"])
def test_random_weights_cannot_be_loaded(name: str) -> None:
    with pytest.raises(ModelError, match="random weights: only finetune can start"), loading(name):
        pass
    with pytest.raises(ModelError, match="random weights: only finetune can start"):
        load_tokenizer(name)


def test_probe_refuses_random_weights() -> None:
    from finetext.methods.probe import Probe

    with pytest.raises(FinetextError, match="probe: random:tiny has random weights"):
        Probe(encoder="random:tiny").check()


def test_tokens_are_counted_if_there_is_a_tokenizer(tiny_encoder: Path, topics: Dataset) -> None:
    from finetext.diagnosis.explore import explore

    assert explore(topics, "random:tiny").pieces is None
    counted = explore(topics, f"random:{tiny_encoder}").pieces
    assert counted is not None
    assert counted == explore(topics, str(tiny_encoder)).pieces


KINDS = get_args(TokenizerKind)
TEXTS = [
    "The team won the match, and the coach was happy.",
    "A late goal in the final game; the team's goal!",
    "The bank raised its rates: shares fell on the market.",
    "Soup with bread and salt, the cook baked a cake at the café.",
] * 3


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> TokenizerKind:
    name: TokenizerKind = request.param
    return name


@pytest.fixture(scope="module")
def tokenizer(kind: TokenizerKind) -> Any:
    return train_subword_tokenizer(TEXTS, kind, 320)


def test_a_text_lies_between_the_special_tokens(tokenizer: Any) -> None:
    assert tokenizer.is_fast
    assert tokenizer.convert_ids_to_tokens(range(5)) == list(SPECIAL)
    one, two = tokenizer("the team")["input_ids"], tokenizer("the team", "won")
    assert (one[0], one[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert two["input_ids"][: len(one)] == one
    assert two["input_ids"].count(tokenizer.sep_token_id) == 2
    assert two["token_type_ids"] == [0] * len(one) + [1] * (len(two["input_ids"]) - len(one))
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    assert tuple(getattr(tokenizer, name) for name in names) == SPECIAL


def test_decoding_gives_the_text_back(tokenizer: Any) -> None:
    ids = tokenizer("the team won the match")["input_ids"]
    assert len(ids) < len("the team won the match")
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the team won the match"


def test_tokens_inside_a_word_differ_from_those_of_the_next_word(tokenizer: Any) -> None:
    encoded = tokenizer("bakedxq team")
    words = [word for word in encoded.word_ids() if word is not None]
    assert words == sorted(words)
    assert set(words) == {0, 1}


def test_what_it_saves_auto_tokenizer_loads(tokenizer: Any, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=False)
    assert len(loaded) == len(tokenizer)
    for text in (*TEXTS, "Zürich, 東京 & the café\n  twice", ""):
        assert dict(loaded(text, "other")) == dict(tokenizer(text, "other"))
        ids = loaded(text)["input_ids"]
        assert loaded.decode(ids) == tokenizer.decode(ids)


def test_another_process_trains_the_same_one(kind: TokenizerKind, tokenizer: Any) -> None:
    code = (
        "import sys; from finetext.encoders.scratch import train_subword_tokenizer as train; "
        f"print(train({TEXTS!r}, {kind!r}, 320).backend_tokenizer.to_str(), end='')"
    )
    seen = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100,
        env={**os.environ, "PYTHONHASHSEED": "random"},
    )  # fmt: skip
    assert seen.stdout == tokenizer.backend_tokenizer.to_str()


def test_case_is_kept_if_asked_for(kind: TokenizerKind) -> None:
    cased = train_subword_tokenizer(TEXTS, kind, 320, lower_case=False)
    lower = train_subword_tokenizer(TEXTS, kind, 320)
    assert cased("The")["input_ids"] != cased("the")["input_ids"]
    assert lower("The")["input_ids"] == lower("the")["input_ids"]


def test_few_texts_give_fewer_tokens_and_a_message(kind: TokenizerKind) -> None:
    said: list[str] = []
    tokenizer = train_subword_tokenizer(TEXTS, kind, 5_000, say=said.append)
    assert len(tokenizer) < 5_000
    assert said == [f"the texts give {len(tokenizer):,} tokens, not the 5,000 that were requested"]


def test_an_exact_vocabulary_size_needs_no_message(kind: TokenizerKind) -> None:
    said: list[str] = []
    size = len(train_subword_tokenizer(TEXTS, kind, 5_000)) - 3
    if kind == "unigram":
        size = 60
    assert len(train_subword_tokenizer(TEXTS, kind, size, say=said.append)) == size
    assert said == []


def test_too_small_a_size_is_refused(kind: TokenizerKind) -> None:
    with pytest.raises(RecipeError, match="10 tokens are too few for the characters"):
        train_subword_tokenizer(TEXTS, kind, 10)


@pytest.mark.parametrize("texts", [[], ["", "  \n"]])
def test_texts_without_a_word_are_refused(texts: list[str], kind: TokenizerKind) -> None:
    with pytest.raises(DataError, match="no text"):
        train_subword_tokenizer(texts, kind, 300)


def test_more_characters_than_tokens_are_refused() -> None:
    texts = [chr(code) for code in range(0x4E00, 0x4E00 + 600)]
    with pytest.raises(RecipeError, match=r"500 tokens are too few .* ask for 607 or more"):
        train_subword_tokenizer(texts, "unigram", 500)
    assert len(train_subword_tokenizer(texts, "unigram", 607)) <= 607


def test_bytes_know_every_character() -> None:
    tokenizer = train_subword_tokenizer(TEXTS, "bpe", 300)
    text = "ein Ärgernis — 東京 🙂"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text.lower()


@settings(max_examples=25)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=8), st.sampled_from(KINDS))
def test_any_texts_give_a_tokenizer_that_reads_them(texts: list[str], kind: TokenizerKind) -> None:
    try:
        tokenizer = train_subword_tokenizer(texts, kind, 600)
    except DataError:
        assert not any(text and not text.isspace() for text in texts)
        return
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        assert max(ids) < len(tokenizer) <= 600


MILLIONS = {
    "tiny": 4.0, "mini": 11.0, "small": 28.2, "medium": 40.8, "base": 108.5,
    "awd-lstm-small": 11.1, "awd-lstm": 44.3,
}  # fmt: skip


class Vocabulary:
    """What a configuration asks of a tokenizer."""

    unk_token_id, pad_token_id, cls_token_id, sep_token_id, bos_token_id = 1, 0, 2, 3, 2

    def __init__(self, size: int) -> None:
        self.size = size
        self.model_max_length = 10**30
        self.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]

    def __len__(self) -> int:
        return self.size


def bare_model(sizes: Any, tokenizer: Any) -> Any:
    """A model that has no weights, only their shapes."""
    import torch
    from transformers import AutoModel

    with torch.device("meta"):
        return AutoModel.from_config(configuration(sizes, tokenizer))


@pytest.mark.parametrize("name", MILLIONS)
def test_presets_have_the_sizes_that_are_documented(name: str) -> None:
    sizes = preset(name)
    model = bare_model(sizes, Vocabulary(sizes.pieces))
    own = sum(p.numel() for name, p in model.named_parameters() if "pooler" not in name)
    assert own / 1e6 == pytest.approx(MILLIONS[name], abs=0.05)
    assert {sizes.name for sizes in PRESETS} == set(MILLIONS)


def test_the_tiny_preset_has_its_documented_size() -> None:
    tokenizer = Vocabulary(25_000)
    config = configuration(preset("tiny"), tokenizer)
    assert config.model_type == "bert"
    assert (config.num_hidden_layers, config.num_attention_heads) == (6, 8)
    assert (config.hidden_size, config.intermediate_size) == (128, 256)
    assert (config.max_position_embeddings, config.vocab_size) == (128, 25_000)
    assert tokenizer.model_max_length == 128


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "electra", "modernbert"])
def test_every_architecture_takes_the_sizes(name: Any) -> None:
    import torch
    from transformers import AutoModelForMaskedLM

    from finetext.encoders.auto import context_from

    sizes = replace(
        preset("tiny"), architecture=name, layers=2, heads=2, width=16, feed_forward=24, context=20
    )
    tokenizer: Any = Vocabulary(40)
    config = configuration(sizes, tokenizer)
    model = AutoModelForMaskedLM.from_config(config)
    assert model.config.model_type == name
    assert context_from(config, tokenizer.model_max_length) == 20
    assert model.get_input_embeddings().weight.shape == (40, 16)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert config.num_hidden_layers == 2
    assert any(24 in p.shape or 48 in p.shape for p in model.parameters())
    ids = torch.arange(20)[None] % 40
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if "token_type_ids" in tokenizer.model_input_names:
        given["token_type_ids"] = torch.zeros_like(ids)
    assert model(**given).logits.shape == (1, 20, 40)


def test_awd_lstm_takes_the_sizes() -> None:
    config = configuration(replace(preset("awd-lstm"), width=8, feed_forward=12), Vocabulary(40))
    assert (config.hidden_size, config.inner_size, config.num_hidden_layers) == (8, 12, 3)


@pytest.mark.parametrize(("architecture", "heads"), [("bert", 3), ("modernbert", 16)])
def test_a_width_that_heads_cannot_share_is_refused(architecture: Any, heads: int) -> None:
    with pytest.raises(RecipeError, match=f"width of 16 .* {heads} attention heads"):
        check_sizes(replace(preset("tiny"), architecture=architecture, width=16, heads=heads))


def test_a_transformer_without_heads_is_refused() -> None:
    with pytest.raises(RecipeError, match="bert needs attention heads, and the preset awd-lstm"):
        check_sizes(replace(preset("awd-lstm"), architecture="bert"))


def test_an_unknown_preset_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tiny'"):
        preset("tinny")
