"""Token tables: cut, padded on the right side, empty texts kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import processors

from finetext.core.text_columns import join
from finetext.diagnosis.data_checks import count_tokens
from finetext.training import tokens
from finetext.training.optimizer import Optimizer
from finetext.training.tokens import (
    TokenTable,
    encoded_text,
    given_texts,
    tokenize,
    vocabulary_in_use,
)


class Letters:
    """A tokenizer that gives each letter its code point, and no special tokens."""

    pad_token_id = 0
    pad_token_type_id = 7

    def __init__(self, padding_side: str = "right", last_kind: int = 0) -> None:
        self.padding_side = padding_side
        self.last_kind = last_kind

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        return 0

    def __call__(self, texts: list[str], *, max_length: int, **options: Any) -> dict[str, Any]:
        ids = [[ord(letter) for letter in text.encode().decode()][:max_length] for text in texts]
        kinds = [[0] * (len(row) - 1) + [self.last_kind] * bool(row) for row in ids]
        return {"input_ids": ids, "token_type_ids": kinds}


def ids(table: TokenTable, rows: Sequence[int]) -> list[list[int]]:
    found: list[list[int]] = table.batch(rows)["input_ids"].tolist()
    return found


@pytest.mark.parametrize(
    ("side", "short", "mask"), [("right", [97, 0, 0], [1, 0, 0]), ("left", [0, 0, 97], [0, 0, 1])]
)
def test_padding_is_on_the_side_the_tokenizer_wants(
    side: str, short: list[int], mask: list[int]
) -> None:
    batch = tokenize(Letters(side), ["a", "abc"], 8).batch([0, 1])
    assert batch["input_ids"].tolist() == [short, [97, 98, 99]]
    assert batch["attention_mask"].tolist() == [mask, [1, 1, 1]]
    assert "token_type_ids" not in batch


def test_token_types_are_kept_and_padded_where_there_are_several() -> None:
    batch = tokenize(Letters("left", last_kind=2), ["a", "abc"], 8).batch([0, 1])
    assert batch["token_type_ids"].tolist() == [[7, 7, 2], [0, 0, 2]]


def test_an_empty_text_is_one_padding_token_that_is_attended_to() -> None:
    table = tokenize(Letters(), ["", "abc"], 8)
    assert table.lengths.tolist() == [1, 3]
    batch = table.batch([0, 1])
    assert batch["input_ids"].tolist() == [[0, 0, 0], [97, 98, 99]]
    assert batch["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]


def test_texts_are_truncated() -> None:
    assert ids(tokenize(Letters(), ["abcdefgh"], 3), [0]) == [[97, 98, 99]]


def test_a_lone_surrogate_becomes_a_question_mark() -> None:
    assert ids(tokenize(Letters(), ["a\ud800"], 3), [0]) == [[97, ord("?")]]


def test_no_texts_make_an_empty_table() -> None:
    table = tokenize(Letters(), [], 8)
    assert len(table) == 0
    assert table.lengths.tolist() == []


@given(
    st.lists(
        st.text(
            st.characters(min_codepoint=1, exclude_categories=["Cs"], exclude_characters="\x1f"),
            max_size=9,
        )
    )
)
def test_rows_keep_their_order_over_parts(texts: list[str]) -> None:
    most, tokens.TEXTS_AT_A_TIME = tokens.TEXTS_AT_A_TIME, 3
    try:
        table = tokenize(Letters(), texts, 6)
    finally:
        tokens.TEXTS_AT_A_TIME = most
    assert len(table) == len(texts)
    for row, text in enumerate(texts):
        assert ids(table, [row]) == [[ord(letter) for letter in text[:6]] or [0]]


def test_a_batch_is_as_wide_as_its_longest_row() -> None:
    table = tokenize(Letters(), ["a", "ab", "abcdef"], 8)
    assert table.batch(np.array([1, 0]))["input_ids"].shape == (2, 2)


@given(
    st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=9), min_size=1, max_size=9),
    st.sampled_from(["left", "right"]),
    st.booleans(),
    st.data(),
)
def test_a_batch_is_what_a_plain_loop_makes(
    texts: list[list[int]], side: str, with_kinds: bool, data: st.DataObject
) -> None:
    flat = np.array([token for text in texts for token in text], dtype=np.int32)
    kinds = (flat % 3).astype(np.int8)
    starts = np.cumsum([0, *map(len, texts)])
    table = TokenTable(flat, kinds if with_kinds else None, starts, (100, 5, side))
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1), min_size=1, max_size=12))
    longest = max(len(texts[row]) for row in rows)

    def padded(found: list[int], fill: int) -> list[int]:
        padding = [fill] * (longest - len(found))
        return padding + found if side == "left" else found + padding

    expected = {
        "input_ids": [padded(texts[row], 100) for row in rows],
        "attention_mask": [padded([1] * len(texts[row]), 0) for row in rows],
    }
    if with_kinds:
        expected["token_type_ids"] = [
            padded([token % 3 for token in texts[row]], 5) for row in rows
        ]
    batch = table.batch(rows)
    assert {name: of.tolist() for name, of in batch.items()} == expected
    assert {str(of.dtype) for of in batch.values()} == {"torch.int64"}


def test_a_real_tokenizer_adds_special_tokens_within_the_limit(tiny_encoder: Any) -> None:
    from finetext.encoders.load import load_tokenizer

    tokenizer = load_tokenizer(str(tiny_encoder))
    row = ids(tokenize(tokenizer, ["bread and salt " * 30], 10), [0])[0]
    assert len(row) == 10
    assert (row[0], row[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)


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
def test_trained_embeddings_are_written_back_and_the_rest_stays(
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


def test_the_embedding_is_restored_after_an_error(
    built: tuple[Any, TokenTable, TokenTable],
) -> None:
    model, *tables = built
    whole, before = model.get_input_embeddings(), logits(model, tables[0])
    with pytest.raises(ValueError, match="of the body"), vocabulary_in_use(model, tables):
        raise ValueError("an error of the body")
    assert model.get_input_embeddings() is whole
    assert torch.equal(logits(model, tables[0]), before)


def test_no_random_numbers_are_drawn_and_a_frozen_embedding_stays_frozen() -> None:
    model, *tables = build("Bert")
    model.get_input_embeddings().weight.requires_grad_(False)
    before = torch.get_rng_state()
    with vocabulary_in_use(model, tables):
        assert torch.equal(torch.get_rng_state(), before)
        assert not model.get_input_embeddings().weight.requires_grad


def test_special_ids_of_the_model_keep_their_numbers() -> None:
    model, *tables = build("Roberta")
    with vocabulary_in_use(model, tables) as renamed:
        assert [table.padding for table in renamed] == [(1, 0, "right")] * 2
        assert model.get_input_embeddings().padding_idx == 1


def test_a_shared_or_special_embedding_is_unchanged() -> None:
    model, *tables = build("Bert")
    model.classifier.decoder = torch.nn.Linear(16, SIZE)
    model.classifier.decoder.weight = model.get_input_embeddings().weight
    whole = model.get_input_embeddings()
    with vocabulary_in_use(model, tables) as same:
        assert model.get_input_embeddings() is whole
        assert same == tables

    model, *tables = build("Bert")
    special = type("Special", (torch.nn.Embedding,), {})(SIZE, 16)
    model.set_input_embeddings(special)
    with vocabulary_in_use(model, tables) as same:
        assert model.get_input_embeddings() is special
        assert same == tables


def test_a_fully_used_vocabulary_is_unchanged() -> None:
    model, table, _ = build("Bert")
    every = TokenTable(np.arange(SIZE, dtype=np.int32), None, np.array([0, SIZE]), table.padding)
    whole = model.get_input_embeddings()
    with vocabulary_in_use(model, [table, every]) as same:
        assert model.get_input_embeddings() is whole
        assert same == [table, every]


@pytest.fixture(scope="module")
def bert() -> Any:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "rain", "sun", "bread", "salt"]
    return transformers.BertTokenizerFast(vocab={word: n for n, word in enumerate(words)})


def test_two_texts_are_a_pair_with_separator_and_token_types(bert: Any) -> None:
    texts = [join(["rain", "sun bread"]), "salt", join(["sun bread", "rain"]), join(["", "salt"])]
    table = tokenize(bert, texts, 8)
    batch = table.batch(range(4))
    assert batch["input_ids"].tolist() == [
        [2, 5, 3, 6, 7, 3], [2, 8, 3, 0, 0, 0], [2, 6, 7, 3, 5, 3], [2, 3, 8, 3, 0, 0],
    ]  # fmt: skip
    assert batch["token_type_ids"].tolist() == [
        [0, 0, 0, 1, 1, 1], [0] * 6, [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0],
    ]  # fmt: skip
    backend = bert.backend_tokenizer
    assert given_texts(backend, texts) == given_texts(bert, texts)
    assert count_tokens(bert, texts).tolist() == table.lengths.tolist()


def test_a_long_pair_loses_the_end_of_its_longer_text(bert: Any) -> None:
    batch = tokenize(bert, [join(["rain", "sun " * 20])], 8).batch([0])
    assert batch["input_ids"].tolist() == [[2, 5, 3, 6, 6, 6, 6, 3]]


def test_three_texts_are_one_as_are_two_without_a_form_for_pairs(bert: Any) -> None:
    three = tokenize(bert, [join(["rain", "sun", "salt"])], 8).batch([0])
    assert three["input_ids"].tolist() == [[2, 5, 6, 8, 3]]
    causal = transformers.PreTrainedTokenizerFast(
        tokenizer_object=type(bert.backend_tokenizer).from_str(bert.backend_tokenizer.to_str())
    )
    causal.backend_tokenizer.post_processor = processors.Sequence([])
    assert given_texts(causal, [join(["rain", "sun"])]) == ["rain\n sun"]


def test_offsets_of_a_pair_are_those_in_the_joined_text(bert: Any) -> None:
    text = join(["rain sun", "bread"])
    encoded = encoded_text(bert, text, return_offsets_mapping=True)
    found = [text[start:end] for start, end in encoded["offset_mapping"]]
    assert found == ["", "rain", "sun", "", "bread", ""]
