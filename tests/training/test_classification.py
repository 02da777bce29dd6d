"""Losses, class weights and the choice of the best weights."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from finetext.core.types import Dataset, LabelScheme, Predictions
from finetext.training.classification import (
    HEADS_ON_THE_FIRST_TOKEN,
    ClassificationTask,
    balanced_weights,
    collapse_of,
    cross_entropy,
    only_first_token,
    predict_logits,
    standard_error,
)
from finetext.training.tokens import TokenTable

ONE = LabelScheme(("a", "b", "c"))
SEVERAL = LabelScheme(("a", "b", "c"), multilabel=True)
CANNOT = "[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory"
LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-3.0, 4.0, 0.0]])


class Lookup(nn.Module):
    """Gives each text the row of logits that its first token says."""

    device = torch.device("cpu")
    config = SimpleNamespace(num_labels=3)

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits.clone())

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return SimpleNamespace(logits=self.logits[input_ids[:, 0]])


def table(rows: int) -> TokenTable:
    """Texts of different lengths; the first token of each is its row number."""
    ids = [[row] + [9] * (row % 4) for row in range(rows)]
    starts = np.cumsum([0, *map(len, ids)])
    return TokenTable(np.array([i for row in ids for i in row]), None, starts, (9, 0, "right"))


def task(scheme: LabelScheme, targets: Any, validation: Dataset, **options: Any) -> Any:
    return ClassificationTask(
        table(len(targets)), np.array(targets), scheme, table(len(validation)), validation,
        "accuracy" if not scheme.multilabel else "micro_f1", **options,
    )  # fmt: skip


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, [1.0, 3.0, 0.5]])
def test_the_loss_of_one_label_is_cross_entropy(
    topics: Dataset, smoothing: float, weights: list[float] | None
) -> None:
    made = task(ONE, [0, 2, 1], topics, label_smoothing=smoothing,
                class_weights=None if weights is None else np.array(weights))  # fmt: skip
    expected = nn.CrossEntropyLoss(
        weight=None if weights is None else torch.tensor(weights), label_smoothing=smoothing
    )(LOGITS, torch.tensor([0, 2, 1]))
    loss = made.loss(Lookup(LOGITS), made.batch([0, 1, 2]))
    torch.testing.assert_close(loss.detach(), expected)
    loss.backward()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, [1.0, 3.0, 0.5]])
def test_the_loss_of_several_labels_is_binary_cross_entropy(
    topics: Dataset, smoothing: float, weights: list[float] | None
) -> None:
    targets = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1]])
    made = task(SEVERAL, targets, topics, label_smoothing=smoothing,
                class_weights=None if weights is None else np.array(weights))  # fmt: skip
    towards_a_half = torch.tensor(targets, dtype=torch.float32) * (1 - smoothing) + smoothing / 2
    expected = nn.BCEWithLogitsLoss(pos_weight=None if weights is None else torch.tensor(weights))(
        LOGITS, towards_a_half
    )
    loss = made.loss(Lookup(LOGITS), made.batch([0, 1, 2]))
    torch.testing.assert_close(loss.detach(), expected)


def test_the_losses_of_parts_add_up_to_that_of_the_batch(topics: Dataset) -> None:
    targets = np.array([0, 0, 0, 0, 0, 0, 1, 2])
    weights = np.array([0.4, 2.7, 2.7])
    balanced = task(topics.scheme, targets, topics, class_weights=weights, label_smoothing=0.1)
    model, rows = Lookup(torch.randn(8, 3, generator=torch.manual_seed(0))), np.arange(8)
    whole = balanced.loss(model, balanced.batch(rows)).item()
    parts = [
        balanced.loss(model, balanced.batch(part)).item() * balanced.weight(part)
        for part in np.array_split(rows, 3)
    ]
    assert sum(parts) / balanced.weight(rows) == pytest.approx(whole)


def test_logits_come_in_the_order_of_the_rows() -> None:
    logits = torch.arange(60.0).reshape(20, 3)
    model = Lookup(logits).train()
    np.testing.assert_array_equal(predict_logits(model, table(20)), logits.numpy())
    assert model.training


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no"), RuntimeError(CANNOT)])
def test_prediction_uses_smaller_batches_when_memory_runs_out(error: Exception) -> None:
    class Small(Lookup):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
            if len(input_ids) > 3:
                raise error
            return super().forward(input_ids, attention_mask)

    logits = torch.arange(60.0).reshape(20, 3)
    heard: list[int] = []
    found = predict_logits(Small(logits), table(20), heard.append)
    np.testing.assert_array_equal(found, logits.numpy())
    assert sum(heard) == 20
    assert max(heard) <= 3


def test_another_error_in_prediction_is_not_swallowed() -> None:
    class Broken(Lookup):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        predict_logits(Broken(LOGITS), table(3))


def outcome(probabilities: Any, targets: Any) -> Predictions:
    ids = tuple(map(str, range(len(targets))))
    return Predictions(ids, np.array(targets), np.array(probabilities), ONE)


def test_constant_predictions_without_knowledge_are_a_collapse() -> None:
    targets = [0, 1, 2, 0, 1, 2]
    flat = [[0.34, 0.33, 0.33]] * 6
    assert collapse_of(outcome(flat, targets)) == "all 6 validation rows are predicted as 'a'"
    assert collapse_of(outcome([[np.nan] * 3] * 6, targets))
    assert collapse_of(outcome(np.eye(3)[targets] * 0.5 + 1 / 6, targets)) == ""
    assert collapse_of(outcome(flat, [0] * 6)) == ""


def test_preferring_the_right_class_is_no_collapse() -> None:
    targets = np.repeat([0, 1], [90, 10])
    leaning = np.where(targets[:, None] == 1, [[0.6, 0.4, 0.0]], [[0.97, 0.03, 0.0]])
    assert collapse_of(outcome(leaning, targets)) == ""


def test_the_evaluation_is_the_chosen_metric_on_validation(topics: Dataset) -> None:
    assert topics.scheme is not None
    logits = torch.full((len(topics), 3), -5.0)
    right = np.arange(len(topics)) % 3 > 0
    columns = np.where(right, topics.targets, (topics.targets + 1) % 3)
    logits[torch.arange(len(topics)), torch.from_numpy(columns)] = 5.0
    found = task(topics.scheme, [0, 1, 2], topics).evaluate(Lookup(logits))
    assert found.score == pytest.approx(right.mean())
    loss = nn.CrossEntropyLoss()(logits, torch.from_numpy(topics.targets)).item()
    assert found.figures == {
        "validation accuracy": found.score,
        "validation loss": pytest.approx(loss),
    }
    assert found.collapse == ""


@pytest.mark.parametrize("scheme", [ONE, SEVERAL])
def test_the_validation_loss_has_neither_class_weights_nor_smoothing(
    scheme: LabelScheme, topics: Dataset, mixed_topics: Dataset
) -> None:
    rows = mixed_topics if scheme.multilabel else topics
    logits = torch.randn(len(rows), 3, generator=torch.manual_seed(0))
    targets = rows.targets[:3]
    changed = task(scheme, targets, rows, class_weights=np.array([1, 9, 3.0]), label_smoothing=0.2)
    plain = task(scheme, rows.targets, rows)
    expected = plain.loss(Lookup(logits), plain.batch(range(len(rows)))).item()
    assert changed.evaluate(Lookup(logits)).figures["validation loss"] == pytest.approx(expected)


def test_the_validation_loss_of_logits_that_are_not_finite_is_not_a_number() -> None:
    for logits in ([[np.inf, 0.0]], [[np.nan, 0.0]]):
        assert np.isnan(cross_entropy(np.array(logits), np.array([0]), multilabel=False))


def test_with_several_labels_thresholds_are_chosen_before_measuring(mixed_topics: Dataset) -> None:
    assert mixed_topics.scheme is not None
    logits = torch.from_numpy(mixed_topics.targets).float() - 4.0
    made = task(mixed_topics.scheme, [[0, 0, 1]], mixed_topics)
    assert made.evaluate(Lookup(logits)).score == pytest.approx(1.0)


def test_balanced_weights_agree_with_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    targets = np.repeat([0, 1, 2], [2, 5, 13])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=targets)
    weights = balanced_weights(targets, ONE)
    np.testing.assert_allclose(weights, expected)
    assert weights[targets].mean() == pytest.approx(1.0)


def test_balanced_weights_stay_finite_for_absent_and_rare_labels() -> None:
    assert np.isfinite(balanced_weights(np.array([0, 0, 1]), ONE)).all()
    targets = np.zeros((1_000, 3), dtype=int)
    targets[:250, 0] = 1
    targets[:900, 1] = 1
    assert balanced_weights(targets, SEVERAL).tolist() == [3.0, 1.0, 100.0]


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
def test_the_model_is_restored_afterwards(kind: str) -> None:
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
def test_other_models_are_unchanged(kind: str) -> None:
    config = getattr(transformers, f"{kind}Config")(**OTHERS[kind])
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config)
    with only_first_token(model):
        assert hooks(model) == 0
        assert model(**batch()).logits.shape == (3, 3)


def test_a_wrapped_model_works_too_and_all_hidden_states_are_back() -> None:
    model = build("Bert")
    with only_first_token(SimpleNamespace(module=model)), torch.no_grad():
        assert hooks(model) == 1
        model(**batch())
    assert hooks(model) == 0
    assert model.base_model(**batch()).last_hidden_state.shape == (3, 9, 16)


def test_a_share_has_an_error_and_other_scores_have_none() -> None:
    assert standard_error(0.5, 100) == pytest.approx(0.05)
    assert 0 < (standard_error(1.0, 6) or 0) < (standard_error(1.0, 3) or 0)
    assert [standard_error(score, 9) for score in (-0.3, 1.2, float("nan"), -math.inf)] == [
        None
    ] * 4
