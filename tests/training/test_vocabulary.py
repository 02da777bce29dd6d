"""Training with the tokens that occur alone changes nothing but the work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from finetext.training.optimizer import Optimizer
from finetext.training.tokens import TokenTable, vocabulary_in_use

SIZE = 90
SMALL = {
    "vocab_size": SIZE, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 40,
}  # fmt: skip
GPT = {"vocab_size": SIZE, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40}
CONFIGS: dict[str, tuple[str, dict[str, Any], tuple[int, int, str]]] = {
    "Bert": ("Bert", SMALL, (0, 0, "right")),
    "Roberta": (
        "Roberta",
        SMALL | {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1},
        (1, 0, "right"),
    ),
    "DistilBert": (
        "DistilBert",
        {"vocab_size": SIZE, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 16},
        (0, 0, "right"),
    ),
    "XLNet": (
        "XLNet",
        {"vocab_size": SIZE, "d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 16,
         "pad_token_id": 5, "bos_token_id": 1, "eos_token_id": 2},
        (5, 3, "left"),
    ),
    "DebertaV2": (
        "DebertaV2",
        SMALL | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"],
                 "position_biased_input": False, "type_vocab_size": 0},
        (0, 0, "right"),
    ),
    "ModernBert": (
        "ModernBert",
        SMALL | {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2,
                 "eos_token_id": 3, "local_attention": 16},
        (0, 0, "right"),
    ),
    "GPT2 padded left": (
        "GPT2", GPT | {"pad_token_id": 0, "eos_token_id": 0, "bos_token_id": 0}, (0, 0, "left"),
    ),
    "GPT2 padded right": (
        "GPT2", GPT | {"pad_token_id": 3, "eos_token_id": 2, "bos_token_id": 2}, (3, 0, "right"),
    ),
}  # fmt: skip


def build(name: str) -> tuple[Any, TokenTable, TokenTable]:
    """A random model and two tables of texts with few of its tokens."""
    kind, options, padding = CONFIGS[name]
    config = getattr(transformers, f"{kind}Config")(**options, num_labels=3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()
    generator = np.random.default_rng(0)
    tokens = np.array([10, 11, 17, 40, 41, 60, SIZE - 1])
    tables = []
    for some in (tokens[:-1], tokens):
        ids = generator.choice(some, 40).astype(np.int32)
        tables.append(TokenTable(ids, None, np.array([0, 9, 12, 20, 33, 40]), padding))
    return model, tables[0], tables[1]


def logits(model: Any, table: TokenTable) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(**table.batch(range(len(table)))).logits
    return found


@pytest.fixture(params=CONFIGS)
def built(request: pytest.FixtureRequest) -> tuple[Any, TokenTable, TokenTable]:
    return build(request.param)


def test_the_model_gives_the_same(built: tuple[Any, TokenTable, TokenTable]) -> None:
    model, *tables = built
    before = [logits(model, table) for table in tables]
    whole = model.get_input_embeddings()
    with vocabulary_in_use(model, tables) as renamed:
        assert model.get_input_embeddings().num_embeddings < 20
        for table, expected in zip(renamed, before, strict=True):
            torch.testing.assert_close(logits(model, table), expected, rtol=0, atol=1e-6)
    assert model.get_input_embeddings() is whole
    for table, expected in zip(tables, before, strict=True):
        torch.testing.assert_close(logits(model, table), expected, rtol=0, atol=0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_was_learnt_is_put_back_and_the_rest_stays(
    precision: str, built: tuple[Any, TokenTable, TokenTable]
) -> None:
    model, *tables = built
    before = model.get_input_embeddings().weight.detach().clone()
    names = [name for name, _ in model.named_parameters()]
    with vocabulary_in_use(model, tables) as (train, validation):
        assert [name for name, _ in model.named_parameters()] == names
        optimizer = Optimizer(model, 1e-2, 0.01, precision)
        for _ in range(2):
            model(**train.batch(range(len(train)))).logits.square().mean().backward()
            optimizer.step(1.0)
        optimizer.release()
        inside = logits(model, validation)
    torch.testing.assert_close(logits(model, tables[1]), inside, rtol=0, atol=1e-6)
    after = model.get_input_embeddings().weight.detach()
    assert after.dtype == torch.float32
    changed = (after != before).any(dim=1).numpy()
    assert changed[np.unique(tables[0].ids)].all()
    used = np.unique(np.concatenate([table.ids for table in tables]))
    assert not np.delete(changed, np.concatenate([np.arange(6), used])).any()
    assert model.get_input_embeddings().weight.requires_grad


def test_it_is_put_back_after_an_error(built: tuple[Any, TokenTable, TokenTable]) -> None:
    model, *tables = built
    whole, before = model.get_input_embeddings(), logits(model, tables[0])
    with pytest.raises(ValueError, match="of the body"), vocabulary_in_use(model, tables):
        raise ValueError("an error of the body")
    assert model.get_input_embeddings() is whole
    assert torch.equal(logits(model, tables[0]), before)


def test_random_numbers_are_left_alone() -> None:
    model, *tables = build("Bert")
    before = torch.get_rng_state()
    with vocabulary_in_use(model, tables):
        assert torch.equal(torch.get_rng_state(), before)


def test_a_frozen_embedding_stays_frozen() -> None:
    model, *tables = build("Bert")
    model.get_input_embeddings().weight.requires_grad_(False)
    with vocabulary_in_use(model, tables):
        assert not model.get_input_embeddings().weight.requires_grad


def test_padding_keeps_its_number_where_the_model_looks_for_it() -> None:
    model, *tables = build("Roberta")
    with vocabulary_in_use(model, tables) as renamed:
        assert [table.padding for table in renamed] == [(1, 0, "right")] * 2
        assert model.get_input_embeddings().padding_idx == 1


def test_an_embedding_that_is_shared_or_special_is_left_alone() -> None:
    model, *tables = build("Bert")
    model.classifier.decoder = torch.nn.Linear(16, SIZE)
    model.classifier.decoder.weight = model.get_input_embeddings().weight
    whole = model.get_input_embeddings()
    with vocabulary_in_use(model, tables) as same:
        assert model.get_input_embeddings() is whole
        assert same == tables

    class Special(torch.nn.Embedding):
        pass

    model, *tables = build("Bert")
    special = Special(SIZE, 16)
    model.set_input_embeddings(special)
    with vocabulary_in_use(model, tables) as same:
        assert model.get_input_embeddings() is special
        assert same == tables


def test_a_vocabulary_that_is_used_up_is_left_alone() -> None:
    model, table, _ = build("Bert")
    every = TokenTable(np.arange(SIZE, dtype=np.int32), None, np.array([0, SIZE]), table.padding)
    whole = model.get_input_embeddings()
    with vocabulary_in_use(model, [table, every]) as same:
        assert model.get_input_embeddings() is whole
        assert same == [table, every]
