from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from finetext.core.errors import FinetextError, ModelError, RecipeError, UnknownNameError
from finetext.core.types import Dataset, LabelScheme
from finetext.encoders.auto import context_of, loading
from finetext.encoders.catalogue import is_random, original, preset, preset_of, resolve
from finetext.encoders.load import (
    load_encoder,
    load_for_classification,
    load_tokenizer,
    longest_input,
)
from finetext.encoders.scratch import initialized


def weights(folder: str | Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(Path(folder) / "model.safetensors")


def test_names_are_told_apart() -> None:
    assert is_random("random:tiny")
    assert not is_random("tiny")
    assert preset_of("random:tiny") == preset("tiny")
    assert preset_of("tiny") is None
    assert preset_of("random:minilm") is None
    assert [original(name) for name in ("random:tiny", "random:a/b", "tiny")] == [
        None,
        "a/b",
        "tiny",
    ]


def test_a_preset_learns_its_tokenizer_from_the_texts(topics: Dataset) -> None:
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


def test_a_folder_gives_all_but_its_weights(tiny_encoder: Path, tmp_path: Path) -> None:
    import torch

    learnt = tmp_path / "learnt"
    shutil.copytree(tiny_encoder, learnt)
    from safetensors.torch import save_file

    mark = {name: torch.full_like(of, 7.0) for name, of in weights(learnt).items()}
    save_file(mark, learnt / "model.safetensors", {"format": "pt"})
    with initialized(f"random:{learnt}", [], 0) as folder:
        fresh = weights(folder)
        assert set(fresh) == set(mark)
        assert all(fresh[name].shape == mark[name].shape for name in mark)
        assert not any((of == 7.0).any() for of in fresh.values())
        configs = [json.loads((Path(f) / "config.json").read_text()) for f in (folder, learnt)]
        assert configs[0] == configs[1]
        tokenizer, other = load_tokenizer(folder), load_tokenizer(str(learnt))
        assert tokenizer.backend_tokenizer.to_str() == other.backend_tokenizer.to_str()
        assert tokenizer.model_max_length == other.model_max_length
        load_encoder(folder, tokenizer)


def test_any_other_name_stays_as_it_is() -> None:
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
def test_there_is_nothing_to_load(name: str) -> None:
    with pytest.raises(ModelError, match="random weights: only finetune can start"), loading(name):
        pass
    with pytest.raises(ModelError, match="random weights: only finetune can start"):
        load_tokenizer(name)


def test_probe_refuses_random_weights() -> None:
    from finetext.methods.probe import Probe

    with pytest.raises(FinetextError, match="probe: random:tiny has random weights"):
        Probe(encoder="random:tiny").check()


def test_pieces_are_counted_where_there_is_a_tokenizer(tiny_encoder: Path, topics: Dataset) -> None:
    from finetext.diagnosis.explore import explore

    assert explore(topics, "random:tiny").pieces is None
    counted = explore(topics, f"random:{tiny_encoder}").pieces
    assert counted is not None
    assert counted == explore(topics, str(tiny_encoder)).pieces
