"""Decay on matrices only, masters in fp32, groups of layers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from finetext.training.optimizer import STEPS_TO_DOUBLE, LossScale, Optimizer, layer_groups


def test_biases_and_normalization_do_not_decay_and_frozen_weights_are_excluded() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[3].weight.requires_grad_(False)
    decaying, plain = Optimizer(model, 1e-3, 0.1).adamw.param_groups
    assert (decaying["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    assert {id(p) for p in decaying["params"]} == {id(model[0].weight), id(model[1].weight)}
    expected = {id(p) for p in (model[1].bias, model[2].weight, model[2].bias, model[3].bias)}
    assert {id(p) for p in plain["params"]} == expected
    assert decaying["lr"] == plain["lr"] == 1e-3


def test_decay_is_decoupled_from_the_gradient() -> None:
    model = nn.Linear(2, 1)
    before = model.weight.detach().clone(), model.bias.detach().clone()
    optimizer = Optimizer(model, 0.1, 0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(1.0)
    torch.testing.assert_close(model.weight.detach(), before[0] * (1 - 0.1 * 0.5))
    torch.testing.assert_close(model.bias.detach(), before[1])


def pushed(model: nn.Module, optimizer: Optimizer, steps: int, first: int = 0) -> None:
    """Make steps with gradients that the numbers of the steps determine."""
    for step in range(first, first + steps):
        generator = torch.Generator().manual_seed(step)
        for parameter in model.parameters():
            gradient = torch.randn(parameter.shape, generator=generator)
            parameter.grad = gradient.to(parameter.dtype)
        optimizer.step(1.0)


def layer() -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(5, 3)


def test_updates_too_small_for_bf16_are_not_lost() -> None:
    model, plain = layer(), layer().to(torch.bfloat16)
    before = model.weight.detach().clone()
    optimizer = Optimizer(model, 1e-4, 0.0, "bf16")
    assert model.weight.dtype == torch.bfloat16
    assert optimizer.weights["weight"].dtype == torch.float32
    adamw = torch.optim.AdamW(plain.parameters(), lr=1e-4 * float(before.abs().min()))
    for group in optimizer.adamw.param_groups:
        group["lr"] = 1e-4 * float(before.abs().min())
    start = plain.weight.detach().clone()
    for _ in range(100):
        for one in (model, plain):
            for parameter in one.parameters():
                parameter.grad = torch.ones_like(parameter)
        optimizer.step(1e9)
        adamw.step()
    assert torch.equal(plain.weight, start)
    optimizer.release()
    assert model.weight.dtype == torch.float32
    moved = before - model.weight.detach()
    assert moved.min() > 0.009 * before.abs().min()


def test_release_gives_back_the_weights_that_were_updated() -> None:
    model = layer()
    optimizer = Optimizer(model, 0.1, 0.01, "bf16")
    pushed(model, optimizer, 5)
    masters = {name: of.clone() for name, of in optimizer.weights.items()}
    rounded = model.weight.detach().float()
    torch.testing.assert_close(rounded, masters["weight"], rtol=1e-2, atol=1e-2)
    assert not torch.equal(rounded, masters["weight"])
    optimizer.release()
    assert all(torch.equal(of, masters[name]) for name, of in model.named_parameters())
    assert all(of.grad is None and of.requires_grad for of in model.parameters())


def test_an_overflow_halves_the_loss_scale_and_steady_steps_double_it() -> None:
    scale = LossScale()
    assert scale.factor == 2**12
    assert not scale.accepts(math.inf)
    assert not scale.accepts(math.nan)
    assert scale.factor == 2**10
    assert all(scale.accepts(1.0) for _ in range(STEPS_TO_DOUBLE - 1))
    assert scale.factor == 2**10
    kept = scale.state()
    assert scale.accepts(0.0)
    assert scale.factor == 2**11
    resumed = LossScale()
    resumed.load_state(kept)
    assert resumed.accepts(1.0)
    assert resumed.factor == 2**11


def test_at_a_loss_scale_of_1_an_overflow_is_a_failure_of_the_training() -> None:
    scale = LossScale()
    assert [scale.accepts(math.inf) for _ in range(13)] == [False] * 12 + [True]
    assert scale.factor == 1


def test_small_gradients_are_not_lost_in_fp16() -> None:
    gradients = {}
    for precision in ("fp32", "fp16"):
        model = layer()
        optimizer = Optimizer(model, 0.0, 0.0, precision)
        inputs = torch.full((1, 5), 1e-2, dtype=model.weight.dtype)
        loss = model(inputs).float().sum() * 1e-6
        optimizer.scaled(loss).backward()
        gradients[precision] = float(optimizer.step(1.0))
        assert not optimizer.skipped
    assert 1e-8 < 2**-24  # the gradient of a weight, and the smallest number in fp16
    assert gradients["fp16"] == pytest.approx(gradients["fp32"], rel=1e-3)


def test_gradients_are_unscaled_before_they_are_clipped() -> None:
    model = layer()
    optimizer = Optimizer(model, 0.1, 0.0, "fp16")
    optimizer.scaled(model(torch.ones(1, 5, dtype=torch.float16)).float().sum()).backward()
    seen = []
    optimizer.adamw.register_step_pre_hook(
        lambda adamw, *_: seen.extend(of.grad.clone() for of in adamw.param_groups[0]["params"])
    )
    assert float(optimizer.step(2.0)) == pytest.approx(18**0.5, rel=1e-3)
    [gradient] = seen
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(gradient, torch.full((3, 5), 2 / 18**0.5))


def test_a_step_that_overflows_changes_nothing_but_the_loss_scale() -> None:
    model = layer()
    optimizer = Optimizer(model, 0.1, 0.0, "fp16")
    assert optimizer.has_only_skipped
    before = {name: of.clone() for name, of in optimizer.state().items()}
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, torch.inf)
    assert float(optimizer.step(1.0)) == 0
    assert optimizer.skipped
    assert optimizer.has_only_skipped
    after = optimizer.state()
    assert after.keys() == before.keys()
    changed = {name for name, of in after.items() if not torch.equal(of, before[name])}
    assert changed == {"loss_scale"}
    assert all(parameter.grad is None for parameter in model.parameters())
    pushed(model, optimizer, 1)
    assert not optimizer.skipped
    assert not optimizer.has_only_skipped


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_optimizer_resumes_bit_identically(precision: str) -> None:
    whole, begun, resumed = layer(), layer(), nn.Linear(5, 3)
    optimizer = Optimizer(whole, 0.1, 0.01, precision)
    pushed(whole, optimizer, 7)
    optimizer.release()
    optimizer = Optimizer(begun, 0.1, 0.01, precision)
    pushed(begun, optimizer, 3)
    state = {name: tensor.clone() for name, tensor in optimizer.state().items()}
    pushed(begun, optimizer, 1, first=99)
    optimizer = Optimizer(resumed, 0.1, 0.01, precision)
    optimizer.load_state(state)
    pushed(resumed, optimizer, 4, first=3)
    optimizer.release()
    assert torch.equal(resumed.weight, whole.weight)
    assert torch.equal(resumed.bias, whole.bias)


def test_loading_weights_drops_the_moments() -> None:
    model, fresh = layer(), layer()
    optimizer = Optimizer(model, 0.1, 0.0)
    first = {name: of.clone() for name, of in optimizer.weights.items()}
    pushed(model, optimizer, 3)
    optimizer.load_weights(first)
    assert torch.equal(model.weight, fresh.weight)
    pushed(model, optimizer, 2)
    pushed(fresh, Optimizer(fresh, 0.1, 0.0), 2)
    assert torch.equal(model.weight, fresh.weight)


def test_the_norm_is_that_before_clipping() -> None:
    model = layer()
    optimizer = Optimizer(model, 0.1, 0.0)
    model.weight.grad, model.bias.grad = torch.full((3, 5), 2.0), torch.full((3,), 2.0)
    assert float(optimizer.step(1e-3)) == pytest.approx(2.0 * 18**0.5)


SIZES = {
    **{
        name: {"num_hidden_layers": 3, "hidden_size": 8, "num_attention_heads": 2}
        for name in ("bert", "roberta", "electra", "deberta-v2", "modernbert")
    },
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
    *layers, above = layer_groups(model)
    assert len(layers) == 4
    assert above == ["pooler.dense.weight", "pooler.dense.bias"]


def test_frozen_groups_get_no_gradients_and_do_not_move() -> None:
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


def test_each_group_has_its_learning_rate() -> None:
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
