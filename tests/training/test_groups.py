"""Layer groups of real architectures: embeddings, each layer, head."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch import nn

from finetext.training.optimizer import layer_groups

SIZES = {
    "bert": {"num_hidden_layers": 3, "hidden_size": 8, "num_attention_heads": 2},
    "roberta": {"num_hidden_layers": 3, "hidden_size": 8, "num_attention_heads": 2},
    "electra": {"num_hidden_layers": 3, "hidden_size": 8, "num_attention_heads": 2},
    "deberta-v2": {"num_hidden_layers": 3, "hidden_size": 8, "num_attention_heads": 2},
    "modernbert": {"num_hidden_layers": 3, "hidden_size": 8, "num_attention_heads": 2},
    "distilbert": {"n_layers": 3, "dim": 8, "n_heads": 2, "hidden_dim": 16},
    "gpt2": {"n_layer": 3, "n_embd": 8, "n_head": 2},
    "xlnet": {"n_layer": 3, "d_model": 8, "n_head": 2, "d_inner": 16},
}


def classifier(kind: str) -> Any:
    tokens = {"vocab_size": 20, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    special = {"cls_token_id": 1, "sep_token_id": 2} if kind == "modernbert" else {}
    config = transformers.AutoConfig.for_model(kind, **tokens, **special, **SIZES[kind])
    return transformers.AutoModelForSequenceClassification.from_config(config)


@pytest.mark.parametrize("kind", SIZES)
def test_embeddings_come_first_and_the_head_last(kind: str) -> None:
    model = classifier(kind)
    groups = layer_groups(model)
    names = [name for group in groups for name in group]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    assert len(names) == len(set(names))
    assert len(groups) == 5
    token_embedding = model.get_input_embeddings().weight
    first = {id(weight) for name, weight in model.named_parameters() if name in groups[0]}
    assert id(token_embedding) in first
    inside = {name for name, _ in model.base_model.named_parameters()}
    prefix = f"{model.base_model_prefix}."
    heads = [name for name in names if name.removeprefix(prefix) not in inside]
    assert heads
    assert set(heads) <= set(groups[-1])
    assert all(f".{number}." in name for number in range(3) for name in groups[number + 1])


def test_a_tied_output_layer_takes_the_embeddings_into_the_head() -> None:
    config = transformers.GPT2Config(vocab_size=20, n_layer=2, n_embd=8, n_head=2)
    groups = layer_groups(transformers.GPT2LMHeadModel(config))
    assert "transformer.wte.weight" in groups[-1]
    assert groups[0] == ["transformer.wpe.weight"]


def test_a_model_without_a_list_of_layers_is_one_group() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    assert layer_groups(model) == [["0.weight", "0.bias", "1.weight", "1.bias"]]


def test_the_bare_encoder_has_groups_too() -> None:
    model = classifier("bert").base_model
    groups = layer_groups(model)
    assert len(groups) == 5
    assert groups[-1] == ["pooler.dense.weight", "pooler.dense.bias"]


def test_frozen_groups_get_no_gradients_and_do_not_move() -> None:
    from finetext.training.optimizer import Optimizer

    model = classifier("bert")
    groups = layer_groups(model)
    before = {name: of.detach().clone() for name, of in model.named_parameters()}
    optimizer = Optimizer(model, 0.0, 0.1, groups=groups)
    optimizer.freeze_below(3)
    optimizer.set_pace([0.1] * 5, 0.9)
    ids = torch.randint(0, 20, (2, 6))
    model(input_ids=ids).logits.square().sum().backward()
    optimizer.step(1.0)
    moved = {name for name, of in model.named_parameters() if not torch.equal(of, before[name])}
    assert moved <= set(groups[3]) | set(groups[4])
    assert moved & set(groups[3])
    optimizer.release()
    assert all(of.requires_grad for of in model.parameters())


def test_each_group_moves_at_its_rate() -> None:
    from finetext.training.optimizer import Optimizer

    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    before = [of.detach().clone() for of in model.parameters()]
    optimizer = Optimizer(model, 0.0, 0.0, groups=[["0.weight"], ["1.weight"]])
    optimizer.set_pace([0.01, 0.1], 0.9)
    for of in model.parameters():
        of.grad = torch.ones_like(of)
    optimizer.step(1e9)
    moved = [
        (b - of.detach()).mean().item() for b, of in zip(before, model.parameters(), strict=True)
    ]
    assert moved == pytest.approx([0.01, 0.1], rel=1e-3)
