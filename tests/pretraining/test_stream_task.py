"""Language modeling in streams: windows, the carried state, and resuming."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from finetext.core.errors import DataError
from finetext.encoders.awd_lstm import AwdLstmConfig, AwdLstmForCausalLM
from finetext.pretraining.objectives import (
    StreamTask,
)

TEXTS = ["the team won the match", "a late goal in the final game " * 6, "soup with bread"] * 3
MASK, VOCABULARY = 4, 1000

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
