"""A head is kept for the same labels, in the order of the new ones; otherwise it is a new one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.utils import logging

from finetext.core.contracts import FitContext
from finetext.core.types import Dataset, Finding, LabelScheme
from finetext.encoders.heads import Standardized
from finetext.encoders.load import load_for_classification, load_tokenizer
from finetext.methods.finetune import Finetune

SCHEME = LabelScheme(("bad", "fair", "good"))
TURNED = LabelScheme(("good", "bad", "fair"))


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder: Path) -> Any:
    return load_tokenizer(str(tiny_encoder))


def loaded(
    folder: Path,
    tokenizer: Any,
    scheme: LabelScheme = SCHEME,
    head: Any = "standard",
    seed: int = 0,
) -> tuple[Any, list[str]]:
    """A model, and what was said of its head."""
    said: list[str] = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = load_for_classification(str(folder), tokenizer, scheme, 0.0, head, said.append)
    return model.eval(), said


@pytest.fixture
def folder(tiny_encoder: Path, tokenizer: Any, tmp_path: Path) -> Path:
    """A model folder of transformers with a head for the labels of `SCHEME`."""
    model, said = loaded(tiny_encoder, tokenizer)
    assert not said
    return saved(model, tokenizer, tmp_path / "tuned")


def saved(model: Any, tokenizer: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def changed(folder: Path, **values: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


def logits(model: Any, tokenizer: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(
            **tokenizer(["a late goal", "bread"], padding=True, return_tensors="pt")
        ).logits


@pytest.mark.parametrize("head", ["standard", "concat"])
def test_the_same_labels_keep_the_head_in_their_order(
    tiny_encoder: Path, tokenizer: Any, tmp_path: Path, head: str
) -> None:
    before, _ = loaded(tiny_encoder, tokenizer, head=head)
    folder = saved(before, tokenizer, tmp_path / "tuned")
    same, said = loaded(folder, tokenizer, SCHEME, head, seed=1)
    assert said == [f"{folder} has a classification head for the same labels, which is kept"]
    wanted = logits(before, tokenizer)
    torch.testing.assert_close(logits(same, tokenizer), wanted)
    turned, said = loaded(folder, tokenizer, TURNED, head, seed=1)
    assert "is kept" in said[0]
    torch.testing.assert_close(logits(turned, tokenizer), wanted[:, [2, 0, 1]])
    assert turned.config.id2label == {0: "good", 1: "bad", 2: "fair"}


@pytest.mark.parametrize(
    ("change", "scheme", "reason"),
    [
        ({}, LabelScheme(("x", "y", "z")), "its labels are bad, fair, good, and these are x, y, z"),
        ({}, LabelScheme(("bad", "good")), "and these are bad, good"),
        ({}, LabelScheme(SCHEME.names, multilabel=True), "gives a text one label, and these"),
        ({"id2label": None}, SCHEME, "its labels, LABEL_0, LABEL_1, have no"),
        ({"id2label": {n: f"LABEL_{n}" for n in range(3)}}, SCHEME, "LABEL_2, have no names"),
        (
            {"id2label": {0: "0", 1: "1"}},
            LabelScheme(("0", "1")),
            "its labels, 0, 1, have no names",
        ),
        ({"id2label": {0: "-1", 1: "1"}}, LabelScheme(("-1", "1")), "-1, 1, have no names"),
        ({"problem_type": "regression"}, SCHEME, "it predicts a number"),
        ({"architectures": ["BertForTokenClassification"]}, SCHEME, "does not classify whole"),
    ],
)
def test_another_task_starts_with_the_head_that_a_bare_encoder_would_get(
    folder: Path,
    tiny_encoder: Path,
    tokenizer: Any,
    change: dict[str, Any],
    scheme: LabelScheme,
    reason: str,
) -> None:
    if change == {"id2label": None}:
        change = {"id2label": {0: "LABEL_0", 1: "LABEL_1"}}
    model, said = loaded(changed(folder, **change), tokenizer, scheme, seed=5)
    assert len(said) == 1
    assert said[0].startswith(f"the head of {folder} is not used, training starts with a new one")
    assert reason in said[0]
    bare, said = loaded(tiny_encoder, tokenizer, scheme, seed=5)
    assert not said
    for name, weight in bare.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name


def test_a_new_head_is_drawn_in_silence(
    folder: Path, tokenizer: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.set_verbosity_warning()
    logging.enable_progress_bar()
    capfd.readouterr()
    loaded(folder, tokenizer, LabelScheme(("no", "yes")))
    assert capfd.readouterr() == ("", "")


def test_a_head_of_several_layers_is_new_as_a_whole(
    tiny_encoder: Path, tokenizer: Any, tmp_path: Path
) -> None:
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(
        vocab_size=len(tokenizer), dim=32, n_layers=1, n_heads=2, hidden_dim=64, num_labels=2,
        id2label={0: "no", 1: "yes"}, problem_type="single_label_classification",
    )  # fmt: skip
    folder = saved(DistilBertForSequenceClassification(config), tokenizer, tmp_path / "tuned")
    before = DistilBertForSequenceClassification.from_pretrained(folder, trust_remote_code=False)
    model, said = loaded(folder, tokenizer)  # three labels: only the last layer has another shape
    assert "its labels are no, yes" in said[0]
    assert not torch.equal(model.pre_classifier.weight, before.pre_classifier.weight)
    assert torch.equal(model.distilbert.embeddings.word_embeddings.weight,
                       before.distilbert.embeddings.word_embeddings.weight)  # fmt: skip
    kept, said = loaded(folder, tokenizer, LabelScheme(("no", "yes")))
    assert "is kept" in said[0]
    assert torch.equal(kept.pre_classifier.weight, before.pre_classifier.weight)


def test_the_head_of_a_language_model_stays_part_of_what_was_pretrained(
    tokenizer: Any, tmp_path: Path
) -> None:
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    config = ModernBertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, pad_token_id=0, cls_token_id=2, sep_token_id=3, bos_token_id=2,
        eos_token_id=3,
    )  # fmt: skip
    language = ModernBertForMaskedLM(config)
    model, said = loaded(saved(language, tokenizer, tmp_path / "masked"), tokenizer)
    assert not said
    assert torch.equal(model.head.dense.weight, language.head.dense.weight)


def test_concat_pooling_on_a_folder_with_another_head_says_that_it_is_new(
    folder: Path, tokenizer: Any
) -> None:
    model, said = loaded(folder, tokenizer, head="concat")
    assert type(model).__name__ == "ConcatPooledForSequenceClassification"
    assert said == [
        f"the head of {folder} is not used, training starts with a new one: "
        'head = "concat" needs a new one'
    ]


def test_training_says_it_and_the_model_remembers(
    folder: Path, topics: Dataset, tmp_path: Path
) -> None:
    said: list[str] = []
    found: list[Finding] = []
    context = FitContext(device="cpu", say=said.append, find=found.append)
    fitted = Finetune(encoder=str(folder), epochs=1).fit(topics, topics, context)
    assert said[0].startswith(f"finetune: the head of {folder} is not used")
    assert fitted.provenance()["trained_with"]["notes"] == [said[0].removeprefix("finetune: ")]
    own = fitted.save(tmp_path / "own")
    again = Finetune(encoder=str(own), epochs=1, learning_rate=1e-9)
    kept = again.fit(topics, topics, replace(context, seed=1))
    line = f"finetune: {own} has a classification head for the same labels, which is kept"
    assert line in said
    assert Finding("note", "encoder-folder", line) in found
    wanted, found = (of.predict_proba(["soup with bread"]) for of in (fitted, kept))
    assert abs(wanted - found).max() < 1e-4


def test_a_kept_head_of_an_awd_lstm_keeps_its_statistics(
    topics: Dataset, make_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    context = FitContext(device="cpu")
    words = Finetune(encoder="random:awd-lstm-small", epochs=1, batch_size=27, max_length=12)
    first = words.fit(topics, topics, context)
    folder = str(first.save(tmp_path / "words"))
    some = topics.select([0, 3, 6, 1, 4, 7])
    kept = replace(words, encoder=folder).fit(some, some, context)
    others = make_dataset(some.texts, ["x", "y", "z"] * 2)
    fresh = replace(words, encoder=folder).fit(others, others, context)
    means = [
        next(of for of in model.modules() if isinstance(of, Standardized)).mean
        for model in (first.model, kept.model, fresh.model)
    ]
    assert torch.equal(means[0], means[1])
    assert not torch.equal(means[0], means[2])
    assert fresh.provenance()["trained_with"]["notes"][0].startswith("the head of")
