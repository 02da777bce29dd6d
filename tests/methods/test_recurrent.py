"""Fine-tuning and probing an AWD-LSTM."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finetext.core.contracts import Checkpoints, Classifier, FitContext, ProgressEvent
from finetext.core.types import Dataset
from finetext.methods.finetune import Finetune
from finetext.methods.probe import Probe
from finetext.methods.transformer import TransformerClassifier

CPU = FitContext(device="cpu")


@pytest.fixture(scope="module")
def recurrent_encoder(tmp_path_factory: pytest.TempPathFactory, topics: Dataset) -> Path:
    """The folder of an AWD-LSTM with random weights; gradients flow back over four words."""
    import torch

    from finetext.encoders.awd_lstm import AwdLstmConfig, AwdLstmForCausalLM
    from finetext.encoders.word_tokenizer import train_word_tokenizer

    tokenizer = train_word_tokenizer(topics.texts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AwdLstmForCausalLM(
            AwdLstmConfig(
                vocab_size=len(tokenizer), embedding_size=16, inner_size=24, num_hidden_layers=2,
                bptt=4,
            )
        )  # fmt: skip
        torch.nn.init.normal_(model.model.embedding.weight)  # apart, as those that were learnt
    folder = tmp_path_factory.mktemp("recurrent-encoder")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def method(recurrent_encoder: Path) -> Finetune:
    return Finetune(encoder=str(recurrent_encoder), epochs=25, batch_size=9, learning_rate=1e-2)


@pytest.fixture(scope="module")
def fitted(method: Finetune, topics: Dataset) -> TransformerClassifier:
    return method.fit(topics, topics, CPU)


def test_it_learns_the_training_rows(fitted: TransformerClassifier, topics: Dataset) -> None:
    decisions = fitted.predict_proba(topics.texts).argmax(axis=1)
    assert (decisions == topics.targets).mean() > 0.9
    assert fitted.max_length == 1440


def test_the_pipeline_of_transformers_gives_the_same(
    fitted: TransformerClassifier, topics: Dataset, tmp_path: Path
) -> None:
    from transformers import pipeline

    from finetext.encoders.auto import register

    register()
    folder = fitted.save(tmp_path / "model")
    again = Classifier.load(folder, device="cpu")
    np.testing.assert_allclose(
        again.predict_proba(topics.texts), fitted.predict_proba(topics.texts), atol=1e-6
    )
    ask = pipeline("text-classification", model=str(folder), top_k=None, device="cpu")
    said = ask(topics.texts, truncation=True, batch_size=8)
    for text, of_text in zip(topics.texts, said, strict=True):
        found = {of["label"]: of["score"] for of in of_text}
        assert found == pytest.approx(fitted(text), abs=1e-5)


def test_the_head_reads_what_is_standardised_by_the_training_texts(
    method: Finetune, fitted: TransformerClassifier, topics: Dataset
) -> None:
    import torch

    with method.begun(topics, CPU) as classifier:
        layer, read = classifier.model.head[0], []
        layer.register_forward_hook(lambda *of: read.append(of[-1]))
        classifier.logits(topics.texts)
    values = torch.cat(read)
    assert len(values) == len(topics)
    torch.testing.assert_close(values.mean(dim=0), torch.zeros(48), atol=1e-4, rtol=0)
    differs = layer.deviation != 1  # the maximum may be that of the same first token in all texts
    assert differs.sum() > 40
    torch.testing.assert_close(values.std(dim=0), differs.float(), atol=1e-3, rtol=0)
    trained = fitted.model.head[0]
    torch.testing.assert_close(trained.mean, layer.mean)
    torch.testing.assert_close(trained.deviation, layer.deviation)


def test_a_stopped_training_goes_on_with_what_was_measured_at_its_beginning(
    method: Finetune, topics: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from finetext.encoders.heads import Standardized

    few = replace(method, epochs=2)
    context = replace(CPU, checkpoints=Checkpoints(tmp_path / "checkpoint"))
    expected = few.fit(topics, topics, CPU).model.state_dict()
    heard: list[ProgressEvent] = []

    def listen(event: ProgressEvent) -> None:
        heard.append(event)
        if len(heard) == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        few.fit(topics, topics, replace(context, progress=listen))
    exactly = Standardized.measure

    def measured_on_other_threads(layer: Standardized, values: torch.Tensor) -> None:
        exactly(layer, values * (1 + 1e-6))

    monkeypatch.setattr(Standardized, "measure", measured_on_other_threads)
    found = few.fit(topics, topics, context).model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_dropouts_are_used_and_kept(method: Finetune, topics: Dataset) -> None:
    few = replace(method, epochs=2)
    plain = few.fit(topics, topics, CPU)
    dropped = replace(few, dropout_multiplier=1.0).fit(topics, topics, CPU)
    assert not np.allclose(
        plain.predict_proba(topics.texts), dropped.predict_proba(topics.texts), atol=1e-4
    )
    assert plain.model.config.classifier_weight_dropout == 0.5
    assert plain.model.config.input_dropout == 0.25


def test_several_labels_and_gradual_unfreezing(method: Finetune, mixed_topics: Dataset) -> None:
    staged = replace(
        method, epochs=None, unfreeze="gradual", discriminative=2.6, schedule="one-cycle",
        learning_rate=1e-3,
    )  # fmt: skip
    fitted = staged.fit(mixed_topics, mixed_topics, CPU)
    probabilities = fitted.predict_proba(mixed_topics.texts)
    assert probabilities.shape == (len(mixed_topics), 3)
    assert np.isfinite(probabilities).all()


def test_it_can_be_probed(recurrent_encoder: Path, topics: Dataset) -> None:
    fitted = Probe(encoder=str(recurrent_encoder)).fit(topics, topics, CPU)
    decisions = fitted.predict_proba(topics.texts).argmax(axis=1)
    assert (decisions == topics.targets).mean() > 0.8
