"""What language models are asked in rows and streams, and that their loss is the usual one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, BertConfig, GPT2Config

from finetext.core.errors import ModelError
from finetext.encoders.load import load_tokenizer
from finetext.encoders.scratch import TokenizerKind, train_subword_tokenizer
from finetext.pretraining.objectives import (
    CausalTask,
    MaskedTask,
    Score,
    logits_at,
)
from finetext.pretraining.packing import BEGINS, CONTINUES, SPECIAL, PackedTexts, model_inputs, pack

TEXTS = ["the team won the match", "a late goal in the final game " * 6, "soup with bread"] * 3
MASK, VOCABULARY = 4, 1000


@pytest.fixture
def masked(tiny_encoder: Path) -> MaskedTask:
    tokenizer = load_tokenizer(str(tiny_encoder))
    texts, held_out = pack(tokenizer, TEXTS, 24), pack(tokenizer, TEXTS[:2], 24)
    return MaskedTask.of(tokenizer, texts, held_out, 0.15)


@pytest.fixture
def bert(tiny_encoder: Path) -> Any:
    torch.manual_seed(0)
    config = BertConfig.from_pretrained(
        tiny_encoder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    return AutoModelForMaskedLM.from_config(config)


@pytest.fixture
def gpt() -> Any:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=120, n_embd=32, n_layer=2, n_head=2, n_positions=64,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config)


def running_text(words: int) -> MaskedTask:
    """A task on one long row of words of one to three pieces, a special token every ten words."""
    generator = np.random.default_rng(0)
    kinds, ids = [], []
    for number in range(words):
        if number % 10 == 0:
            kinds.append(SPECIAL)
            ids.append(2)
        pieces = int(generator.integers(1, 4))
        kinds += [BEGINS] + [CONTINUES] * (pieces - 1)
        ids += generator.integers(5, VOCABULARY, pieces).tolist()
    chunks, rows = np.array([0, len(ids)]), np.array([0, 1])
    texts = PackedTexts(np.array(ids), np.array(kinds), chunks, rows, 0)
    return MaskedTask(texts, texts, MASK, np.arange(5, VOCABULARY))


def test_the_statistics_of_masking() -> None:
    task = running_text(40_000)
    torch.manual_seed(1)
    ids, asked, answers = task.questions(task.texts, np.arange(len(task.texts.ids)))
    ordinary = task.texts.words != SPECIAL
    assert asked[ordinary].mean() == pytest.approx(0.15, abs=0.005)
    assert not asked[~ordinary].any()
    assert (ids == task.texts.ids)[~asked].all()
    assert (answers == task.texts.ids)[asked].all()
    seen, right = ids[asked], answers[asked]
    assert (seen == MASK).mean() == pytest.approx(0.8, abs=0.02)
    assert (seen == right).mean() == pytest.approx(0.1, abs=0.02)
    at_random = seen[(seen != MASK) & (seen != right)]
    assert len(at_random) / len(seen) == pytest.approx(0.1, abs=0.02)
    assert at_random.min() >= 5
    assert len(np.unique(at_random)) > 0.5 * len(at_random)


def test_words_are_masked_as_a_whole() -> None:
    task = running_text(5_000)
    ids, asked, _ = task.questions(task.texts, np.arange(len(task.texts.ids)))
    kinds = task.texts.words
    goes_on = np.flatnonzero(kinds == CONTINUES)
    assert (asked[goes_on] == asked[goes_on - 1]).all()
    is_mask = ids == MASK
    assert (is_mask[goes_on] == is_mask[goes_on - 1]).all()


SCRIPTS = {
    "Chinese": range(0x4E00, 0x4E80), "Japanese": range(0x3041, 0x3096),
    "Thai": range(0x0E01, 0x0E2F), "Khmer": range(0x1780, 0x17B3),
}  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_the_share_holds_where_words_have_no_spaces(kind: TokenizerKind, script: str) -> None:
    generator = np.random.default_rng(0)
    texts = ["".join(map(chr, generator.choice(SCRIPTS[script], 40))) for _ in range(60)]
    tokenizer = train_subword_tokenizer(texts, kind, 400)
    packed = pack(tokenizer, texts, 128).alone()
    task = MaskedTask.of(tokenizer, packed, packed, 0.15)
    torch.manual_seed(0)
    shares = [
        len(task.batch([row])["answers"]) / task.weight(np.array([row]))
        for row in range(len(packed))
    ]
    assert np.mean(shares) == pytest.approx(0.15, abs=0.04)
    assert max(shares) < 0.8  # no text is hidden as a whole


@pytest.mark.parametrize("share", [0.0, 0.15, 0.6])
def test_something_is_always_asked(share: float) -> None:
    task = running_text(5)
    task = MaskedTask(task.texts, task.held_out, MASK, task.ordinary, share)
    for _ in range(20):
        assert task.questions(task.texts, np.arange(len(task.texts.ids)))[1].any()


def test_masks_are_drawn_anew_from_the_generator_that_is_kept(masked: MaskedTask) -> None:
    torch.manual_seed(3)
    one, two = masked.batch([0, 1]), masked.batch([0, 1])
    torch.manual_seed(3)
    again = masked.batch([0, 1])
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["input_ids"], two["input_ids"])


def test_the_masked_loss_is_that_of_transformers(masked: MaskedTask, bert: Any) -> None:
    """Also with several chunks a row, since masks and positions are those that are given."""
    batch = masked.batch(range(len(masked.lengths)))
    assert "segments" in batch
    labels = torch.full(batch["input_ids"].shape, -100)
    labels.view(-1)[batch["places"]] = batch["answers"]
    usual = bert(**model_inputs(bert, batch, False), labels=labels).loss
    ours = masked.loss(bert, batch)
    assert ours.item() == pytest.approx(usual.item(), rel=1e-6)
    gradients = [torch.autograd.grad(loss, list(bert.parameters())) for loss in (usual, ours)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
    assert not bert.base_model._forward_hooks


def test_the_head_is_given_the_asked_places_alone(masked: MaskedTask, bert: Any) -> None:
    batch = masked.batch([0, 1])
    seen = []
    bert.cls.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    assert logits_at(bert, batch, False).shape == (len(batch["answers"]), bert.config.vocab_size)
    assert seen == [(1, len(batch["answers"]), 32)]
    assert len(batch["answers"]) < batch["input_ids"].numel() / 3


def test_the_causal_loss_is_that_of_transformers(masked: MaskedTask, gpt: Any) -> None:
    task = CausalTask(masked.texts.alone(), masked.held_out.alone())
    rows = range(len(task.lengths))
    batch = task.batch(rows)
    assert "segments" not in batch
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    usual = gpt(**model_inputs(gpt, batch, True), labels=labels).loss
    assert task.loss(gpt, batch).item() == pytest.approx(usual.item(), rel=1e-5)
    assert task.weight(np.arange(len(rows))) == len(batch["answers"])


def test_packed_chunks_have_the_causal_loss_of_chunks_alone(masked: MaskedTask, gpt: Any) -> None:
    packed = CausalTask(masked.texts, masked.held_out)
    alone = CausalTask(masked.texts.alone(), masked.held_out.alone())
    losses = [
        task.loss(gpt, task.batch(range(len(task.lengths)))).item() for task in (packed, alone)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    found = [task.evaluate(gpt).score for task in (packed, alone)]
    assert found[0] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.parametrize("kind", ["masked", "causal"])
def test_parts_weigh_as_much_as_the_whole(masked: MaskedTask, kind: str) -> None:
    task = masked if kind == "masked" else CausalTask(masked.texts, masked.held_out)
    rows = np.arange(len(task.lengths))
    parts = [task.weight(rows[:1]), task.weight(rows[1:])]
    assert task.weight(rows) == sum(parts)
    special = (masked.texts.words == SPECIAL).sum()
    if kind == "masked":
        assert task.weight(rows) == len(masked.texts.ids) - special


def test_evaluation_asks_the_same_each_time_and_leaves_the_model_as_it_was(
    masked: MaskedTask, bert: Any
) -> None:
    bert.train()
    before = torch.get_rng_state()
    one, two = masked.evaluate(bert), masked.evaluate(bert)
    assert one == two
    assert torch.equal(before, torch.get_rng_state())
    assert bert.training
    loss = one.figures["validation loss"]
    assert one.score == -loss
    assert one.figures["perplexity"] == pytest.approx(math.exp(loss))
    assert 0 <= one.figures["validation accuracy"] <= 1


def test_the_score_of_what_is_known() -> None:
    score = Score()
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]))
    score.count(logits, torch.tensor([0, 2]))
    figures = score.evaluation().figures
    assert figures["validation loss"] == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert figures["validation accuracy"] == 0.5
    assert figures["perplexity"] == pytest.approx(8**0.5)


def test_a_loss_that_is_no_number_is_a_collapse() -> None:
    score = Score()
    score.count(torch.tensor([[float("nan"), 0.0]]), torch.tensor([0]))
    assert score.evaluation().collapse == "the validation loss is not a number"


def test_a_tokenizer_without_a_mask_is_refused(masked: MaskedTask, tiny_encoder: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_encoder))
    tokenizer.mask_token = None
    with pytest.raises(ModelError, match="no mask token"):
        MaskedTask.of(tokenizer, masked.texts, masked.held_out, 0.15)
