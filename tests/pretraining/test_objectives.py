"""What language models are asked in rows and streams, and that their loss is the usual one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, BertConfig, GPT2Config

from finetext.core.errors import DataError, ModelError
from finetext.encoders.awd_lstm import AwdLstmConfig, AwdLstmForCausalLM
from finetext.encoders.load import load_tokenizer
from finetext.encoders.scratch import TokenizerKind, train_subword_tokenizer
from finetext.pretraining.objectives import (
    CausalTask,
    MaskedTask,
    Score,
    StreamTask,
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


LENGTHS = [30, 50, 7, 90, 41, 200, 13, 77]


def documents() -> list[np.ndarray[Any, Any]]:
    """Texts of numbers that say where they are: 100 times the text plus the place, mod 97."""
    return [(100 * number + np.arange(length)) % 97 for number, length in enumerate(LENGTHS)]


def stream_task(streams: int = 4, epochs: int = 2, bptt: int = 10) -> StreamTask:
    texts = documents()
    return StreamTask(texts, texts[:3], streams=streams, epochs=epochs, bptt=bptt, seed=5)


@pytest.fixture
def awd() -> AwdLstmForCausalLM:
    torch.manual_seed(0)
    config = AwdLstmConfig(
        vocab_size=97, embedding_size=12, inner_size=16, num_hidden_layers=2,
        embedding_dropout=0.0, input_dropout=0.0, weight_dropout=0.0, hidden_dropout=0.0,
        output_dropout=0.0, activation_regularisation=0.0, temporal_activation_regularisation=0.0,
    )  # fmt: skip
    return AwdLstmForCausalLM(config)


def through(task: StreamTask, model: Any, steps: Any) -> list[float]:
    return [task.loss(model, task.batch(rows)).item() for rows in steps]


def read_epoch(task: StreamTask, epoch: int) -> tuple[Any, Any]:
    """What an epoch shows and asks, (streams, length) each."""
    batches = [task.batch(rows) for rows in task.batches(4, 5, epoch)]
    return tuple(
        torch.cat([of[name] for of in batches], dim=1) for name in ("input_ids", "answers")
    )


def test_an_epoch_shows_all_documents_in_an_order_of_its_own() -> None:
    task = stream_task(streams=1)
    shown = []
    for epoch in range(2):
        inputs, answers = read_epoch(task, epoch)
        assert torch.equal(inputs[:, 1:], answers[:, :-1])
        text = torch.cat([inputs[0], answers[0, -1:]]).tolist()
        assert sorted(text) == sorted(np.concatenate(documents()).tolist())
        order = np.random.default_rng([5, epoch]).permutation(len(LENGTHS))
        assert text == np.concatenate([documents()[row] for row in order]).tolist()
        shown.append(text)
    assert shown[0] != shown[1]


def test_running_text_keeps_its_order_in_every_epoch() -> None:
    texts = documents()
    task = StreamTask(texts, texts[:3], streams=1, epochs=2, bptt=10, shuffle=False, seed=5)
    for epoch in range(2):
        inputs, answers = read_epoch(task, epoch)
        text = torch.cat([inputs[0], answers[0, -1:]]).tolist()
        assert text == np.concatenate(texts).tolist()


def test_streams_are_contiguous_and_lose_only_the_rest() -> None:
    task = stream_task()
    assert task.streams == 4
    inputs, answers = read_epoch(task, 0)
    order = np.random.default_rng([5, 0]).permutation(len(LENGTHS))
    text = np.concatenate([documents()[row] for row in order])
    length = sum(LENGTHS) // 4
    assert inputs.shape == (4, length - 1)
    assert inputs.numpy().tolist() == text[: 4 * length].reshape(4, -1)[:, :-1].tolist()
    assert answers.numpy().tolist() == text[: 4 * length].reshape(4, -1)[:, 1:].tolist()


def test_windows_vary_about_the_mean_and_with_the_epoch() -> None:
    texts = [np.arange(200_000) % 97]
    task = StreamTask(texts, texts, streams=2, epochs=2, bptt=70)
    epochs = [[int(task.lengths[rows[0]]) for rows in task.batches(2, 0, e)] for e in range(2)]
    assert epochs[0] != epochs[1]
    sizes = np.array(epochs[0][:-1])
    assert sizes.mean() == pytest.approx(70 * 0.975, abs=1.5)
    assert sizes[sizes > 52].std() == pytest.approx(5, abs=0.7)
    assert (sizes < 52).mean() == pytest.approx(0.05, abs=0.025)
    assert sum(epochs[0]) == 100_000 - 1


def test_rows_are_numbered_by_window_and_stream() -> None:
    task = stream_task()
    steps = [rows for epoch in range(2) for rows in task.batches(4, 5, epoch)]
    assert np.concatenate(steps).tolist() == list(range(len(task.lengths)))
    for rows in steps:
        assert len(rows) == 4
        assert len(set(task.lengths[rows])) == 1
        assert task.batch(rows)["input_ids"].shape == (4, task.lengths[rows[0]])
    part = task.batch(steps[3][1:3])
    assert torch.equal(part["input_ids"], task.batch(steps[3])["input_ids"][1:3])


def test_short_texts_make_fewer_streams() -> None:
    assert stream_task(streams=64).streams == sum(LENGTHS) // 100
    assert stream_task(streams=64, bptt=70).streams == 1


def test_the_state_is_carried_and_put_to_zero_with_an_epoch(awd: Any) -> None:
    task = stream_task()
    first, second = (task.batches(4, 5, epoch) for epoch in range(2))
    told: list[Any] = []
    awd.model.register_forward_pre_hook(lambda module, inputs: told.append(inputs[2]))
    task.load_state({})
    left = []
    for rows in (*first, second[0], second[1]):
        batch = task.batch(rows)
        with torch.no_grad():
            entered = None if not told else told[-1]
            task.loss(awd, batch)
            count = len(told)
            left.append(awd(input_ids=batch["input_ids"], state=told[-1]).state)
            del told[count:], entered
    assert told[0] is None
    for number in range(1, len(first)):
        for layer, before in zip(told[number], left[number - 1], strict=True):
            torch.testing.assert_close(layer[0], before[0])
            torch.testing.assert_close(layer[1], before[1])
    assert all(part.eq(0).all() for layer in told[len(first)] for part in layer)
    assert not told[len(first) + 1][0][0].eq(0).all()


def test_the_loss_of_windows_is_that_of_the_text_in_one_go(awd: Any) -> None:
    task = stream_task()
    steps = task.batches(4, 5, 0)
    weighed = sum(
        loss * int(task.lengths[rows[0]])
        for loss, rows in zip(through(task, awd, steps), steps, strict=True)
    )
    inputs, answers = read_epoch(task, 0)
    whole = torch.nn.functional.cross_entropy(
        awd(input_ids=inputs).logits.flatten(0, 1), answers.flatten()
    )
    assert weighed / inputs.shape[1] == pytest.approx(whole.item(), rel=1e-5)


def test_no_gradient_flows_into_the_window_before(awd: Any) -> None:
    task = stream_task()
    steps = task.batches(4, 5, 0)
    task.loss(awd, task.batch(steps[0]))
    task.loss(awd, task.batch(steps[1])).backward()
    assert all(not of.requires_grad for of in task.state().values())


def test_parts_of_a_batch_change_nothing_nor_does_what_was_read_before(
    awd: Any,
) -> None:
    task = stream_task()
    steps = task.batches(4, 5, 0)
    usual = through(task, awd, steps[:4])
    other = stream_task()
    for number, rows in enumerate(steps[:4]):
        kept = other.state()
        other.loss(awd, other.batch(rows[:2]))
        other.load_state(kept)
        halves = through(other, awd, [rows[:2], rows[2:]])
        assert sum(halves) / 2 == pytest.approx(usual[number], rel=1e-6)


def test_a_window_out_of_turn_begins_anew(awd: Any) -> None:
    task = stream_task()
    steps = task.batches(4, 5, 0)
    through(task, awd, steps[:5])
    late = through(task, awd, [steps[2]])
    assert late == through(stream_task(), awd, [steps[2]])


def test_a_resumed_training_goes_on_to_the_last_bit(awd: Any) -> None:
    task = stream_task()
    steps = task.batches(4, 5, 0)
    through(task, awd, steps[:3])
    kept = {name: of.clone() for name, of in task.state().items()}
    rest = through(task, awd, steps[3:])
    resumed = stream_task()
    resumed.load_state(kept)
    assert through(resumed, awd, steps[3:]) == rest
    resumed.load_state({})
    assert resumed.state() == {}
    assert through(resumed, awd, steps[3:]) != rest


def test_the_state_that_was_given_is_not_changed_in_place(awd: Any) -> None:
    task = stream_task()
    steps = task.batches(4, 5, 0)
    through(task, awd, steps[:2])
    given = task.state()
    copies = {name: of.clone() for name, of in given.items()}
    through(task, awd, steps[2:4])
    assert all(torch.equal(given[name], copies[name]) for name in given)


def test_the_regularisers_are_added_in_training_alone(awd: Any) -> None:
    task = stream_task()
    rows = task.batches(4, 5, 0)[0]
    batch = task.batch(rows)
    plain, score = task.loss(awd, batch), task.evaluate(awd).score
    outputs = awd(input_ids=batch["input_ids"]).outputs_raw
    awd.config.activation_regularisation = 2.0
    awd.config.temporal_activation_regularisation = 0.5
    found = task.loss(awd, batch)
    change = (outputs[:, 1:] - outputs[:, :-1]).square().mean()
    expected = plain + 2 * outputs.square().mean() + 0.5 * change
    torch.testing.assert_close(found, expected)
    assert task.evaluate(awd).score == score


def test_evaluation_is_the_loss_of_the_text_in_one_go(awd: Any) -> None:
    task = stream_task()
    text = torch.from_numpy(np.concatenate(documents()[:3]))[None]
    whole = torch.nn.functional.cross_entropy(awd(input_ids=text[:, :-1]).logits[0], text[0, 1:])
    assert task.evaluate(awd).figures["validation loss"] == pytest.approx(whole.item(), rel=1e-5)


def test_a_text_of_one_word_is_refused() -> None:
    with pytest.raises(DataError, match="too few words"):
        StreamTask([np.array([3])], documents(), streams=2, epochs=1)
