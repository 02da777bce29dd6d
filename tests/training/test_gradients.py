"""What one process sends another to compute gradients, and what comes back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForMaskedLM

from finetext.training.classification import ClassificationLoss
from finetext.training.gradients import (
    LostProcessError,
    flat_gradients,
    flat_values,
    together,
    use_gradients,
    with_tensors,
    without_values,
)
from finetext.training.precision import with_cheap_dropout

LOSS = ClassificationLoss(multilabel=False)


@pytest.fixture(scope="module")
def bert() -> BertForMaskedLM:
    """A model whose output shares its weights with the embedding."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 16}
    config = BertConfig(**sizes, num_hidden_layers=1, num_attention_heads=2)
    return BertForMaskedLM(config).eval()


def received(model: Any) -> Any:
    """The model as another process gets it."""
    sent, tensors = without_values(model, LOSS, "cpu")
    again, places = with_tensors(sent, torch.device("cpu"))
    with torch.no_grad():
        for place, tensor in zip(places, tensors, strict=True):
            place.copy_(tensor)
    return again


def test_a_model_arrives_with_all_weights_buffers_and_ties(bert: BertForMaskedLM) -> None:
    again = received(bert)
    ids = torch.tensor([[1, 2, 3, 4]])
    assert torch.equal(again(input_ids=ids).logits, bert(input_ids=ids).logits)
    assert again.get_input_embeddings().weight is again.get_output_embeddings().weight
    names = [name for name, _ in bert.named_parameters()]
    assert [name for name, _ in again.named_parameters()] == names
    first = next(again.parameters())
    assert first.data_ptr() != next(bert.parameters()).data_ptr()


def test_values_are_no_part_of_what_is_pickled(bert: BertForMaskedLM) -> None:
    larger = nn.Sequential(copy.deepcopy(bert), nn.Linear(1_000, 1_000))
    small, large = (len(without_values(of, LOSS, "cpu")[0].skeleton) for of in (bert, larger))
    assert large - small < 10_000


def test_cheap_dropout_arrives() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).train()
    with with_cheap_dropout(model):
        again = received(model).train()
    assert type(again[1]).__name__ == "CheapDropout"
    assert again[1].p == 0.5
    assert (again(torch.ones(50, 4)) == 0).any()


def test_number_formats_arrive() -> None:
    again = received(nn.Linear(3, 2).bfloat16())
    assert again.weight.dtype == torch.bfloat16


def test_gradients_are_summed_in_fp32_and_what_has_none_keeps_none() -> None:
    weights = [nn.Parameter(torch.ones(2, 2, dtype=torch.bfloat16)), nn.Parameter(torch.ones(3))]
    weights[0].grad = torch.full((2, 2), 0.5, dtype=torch.bfloat16)
    flat = flat_gradients(weights, torch.tensor(1.5), out_of_memory=False)
    assert flat.dtype == torch.float32
    assert flat.tolist() == [0.5] * 4 + [0.0] * 3 + [1.0, 0.0] + [1.5, 0.0]
    loss, out_of_memory = use_gradients(weights, 2 * flat)
    assert (float(loss), out_of_memory) == (3.0, False)
    assert weights[0].grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert weights[1].grad is None
    assert use_gradients(weights, flat + flat_gradients(weights, 0.0, out_of_memory=True))[1]


def test_a_gradient_that_only_another_process_has_counts() -> None:
    here, there = ([nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))] for _ in range(2))
    here[0].grad, there[1].grad = torch.ones(2), torch.zeros(3)
    flat = flat_gradients(here, 1.0, out_of_memory=False)
    loss, _ = use_gradients(here, flat + flat_gradients(there, 2.0, out_of_memory=False))
    assert float(loss) == 3.0
    assert [of.grad.tolist() for of in here if of.grad is not None] == [[1, 1], [0, 0, 0]]


def test_what_is_out_of_memory_is_no_lost_process() -> None:
    with pytest.raises(torch.OutOfMemoryError), together():
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(LostProcessError, match="ended"), together():
        raise RuntimeError("Connection closed by peer")


def test_values_keep_their_number_format() -> None:
    flat = flat_values([torch.ones(2, 2, dtype=torch.bfloat16), torch.zeros(1).bfloat16()])
    assert (flat.dtype, flat.tolist()) == (torch.bfloat16, [1, 1, 1, 1, 0])
