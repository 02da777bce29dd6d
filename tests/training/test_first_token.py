"""What the head never reads is left out, and the result is the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from finetext.training.classification import HEADS_ON_THE_FIRST_TOKEN, only_first_token

SMALL = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 40, "pad_token_id": 1, "num_labels": 3,
}  # fmt: skip
OTHERS = {
    "DistilBert": {"vocab_size": 50, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24,
                   "num_labels": 3},
    "ModernBert": SMALL | {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2,
                           "sep_token_id": 3},
    "GPT2": {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2, "pad_token_id": 1,
             "bos_token_id": 0, "eos_token_id": 0, "num_labels": 3},
}  # fmt: skip


def build(kind: str, **options: Any) -> Any:
    config = getattr(transformers, f"{kind}Config")(**{**SMALL, **options})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()


def batch() -> dict[str, torch.Tensor]:
    """Three texts of 9, 4 and 1 tokens, padded on the right."""
    ids = torch.arange(2, 29).reshape(3, 9)
    mask = (torch.arange(9) < torch.tensor([[9], [4], [1]])).long()
    return {"input_ids": torch.where(mask == 1, ids, 1), "attention_mask": mask}


def logits_and_gradients(model: Any) -> dict[str, torch.Tensor]:
    model.zero_grad()
    logits = model(**batch()).logits
    (logits * torch.tensor([1.0, -2.0, 0.5])).square().sum().backward()
    found = {name: of.grad for name, of in model.named_parameters() if of.grad is not None}
    return {"logits": logits.detach()} | {name: of.clone() for name, of in found.items()}


def hooks(model: Any) -> int:
    return sum(len(module._forward_pre_hooks) for module in model.modules())


KINDS = sorted(name.removesuffix("ForSequenceClassification") for name in HEADS_ON_THE_FIRST_TOKEN)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_gradients_are_the_same(kind: str, attention: str) -> None:
    model = build(kind)
    model.set_attn_implementation(attention)
    expected = logits_and_gradients(model)
    with only_first_token(model):
        found = logits_and_gradients(model)
    assert found.keys() == expected.keys()
    for name, of in found.items():
        torch.testing.assert_close(of, expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_layer_sees_one_token(kind: str) -> None:
    model = build(kind)
    shapes: list[tuple[int, ...]] = []
    for layer in model.base_model.encoder.layer:
        layer.intermediate.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape)))
    with only_first_token(model), torch.no_grad():
        model(**batch())
    assert shapes == [(3, 9, 24), (3, 1, 24)]


@pytest.mark.parametrize("kind", KINDS)
def test_afterwards_the_model_is_as_it_was(kind: str) -> None:
    model = build(kind)
    expected = logits_and_gradients(model)
    with only_first_token(model):
        assert hooks(model) == 1
    assert hooks(model) == 0
    with pytest.raises(ValueError, match="of the body"), only_first_token(model):
        raise ValueError("an error of the body")
    assert hooks(model) == 0
    found = logits_and_gradients(model)
    assert all(torch.equal(of, expected[name]) for name, of in found.items())


@pytest.mark.parametrize("kind", OTHERS)
def test_other_models_are_left_alone(kind: str) -> None:
    config = getattr(transformers, f"{kind}Config")(**OTHERS[kind])
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config)
    with only_first_token(model):
        assert hooks(model) == 0
        assert model(**batch()).logits.shape == (3, 3)


def test_a_wrapped_model_works_too() -> None:
    class Wrapped(torch.nn.Module):
        def __init__(self, module: Any) -> None:
            super().__init__()
            self.module = module

    model = build("Bert")
    with only_first_token(Wrapped(model)):
        assert hooks(model) == 1
    assert hooks(model) == 0


def test_all_hidden_states_are_there_again_afterwards() -> None:
    model = build("Bert")
    with only_first_token(model), torch.no_grad():
        model(**batch())
    assert model.base_model(**batch()).last_hidden_state.shape == (3, 9, 16)
