from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetext.core.contracts import Listener, ProgressEvent
from finetext.core.errors import FinetextError, RecipeError, RunError, UnknownNameError
from finetext.encoders.catalogue import preset
from finetext.encoders.load import load_encoder, load_tokenizer
from finetext.encoders.scratch import initialized
from finetext.pretraining import pretrain as module
from finetext.pretraining.folder import read_origin
from finetext.pretraining.pretrain import Pretraining, checked, pretrain, usual_rate

SMALL = Pretraining(
    layers=1, heads=2, width=16, feed_forward=24, context=24, pieces=120, epochs=2, batch_size=4
)
TEXTS = [
    f"the {who} {what} number {number}"
    for number in range(10)
    for who, what in (("team", "won the match"), ("bank", "raised its rates"), ("cook", "baked"))
]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder that was grown from the texts."""
    folder = tmp_path_factory.mktemp("grown") / "own"
    pretrain(TEXTS, folder, replace(SMALL, epochs=20, evaluate_every=10), listener=Listener())
    return folder


def evaluations(folder: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line["evaluation"] for line in lines if "evaluation" in line]


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_result_is_an_encoder_folder(own: Path) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model = AutoModelForMaskedLM.from_pretrained(own)
    tokenizer = AutoTokenizer.from_pretrained(own, trust_remote_code=False)
    assert model.config.num_hidden_layers == 1
    assert model.config.vocab_size == len(tokenizer) <= 120
    assert model.config.hidden_dropout_prob == 0.1
    assert tokenizer.model_max_length == 24
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    load_encoder(str(own), load_tokenizer(str(own)))
    assert not [path for path in own.iterdir() if path.name.startswith(".t")]


def test_origin_has_the_figures(own: Path) -> None:
    origin = read_origin(own)
    assert origin is not None
    assert (origin.kind, origin.base, origin.head_is_fresh) == ("pretrained", "", False)
    assert origin.after["perplexity"] < 0.7 * origin.before["perplexity"]
    assert origin.chosen["learning_rate"] == usual_rate(SMALL.sizes) == 1e-3
    assert origin.chosen["max_length"] == 24
    assert origin.corpus["documents"] + origin.corpus["held_out"] == len(TEXTS)


def test_best_evaluation_is_kept(own: Path) -> None:
    origin = read_origin(own)
    assert origin is not None
    losses = [found["validation loss"] for found in evaluations(own)]
    assert len(losses) == 8
    assert origin.after["loss"] == pytest.approx(min(losses), abs=1e-6)


def test_finetune_starts_from_it_or_from_random_weights(own: Path) -> None:
    from finetext.methods.finetune import Finetune

    with initialized(f"random:{own}", [], 0) as twin:
        texts = ["the team won the match"]
        assert load_tokenizer(twin)(texts).input_ids == load_tokenizer(str(own))(texts).input_ids
    for encoder in (str(own), f"random:{own}"):
        Finetune(encoder=encoder, max_length=24).check()


def test_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        pretrain(TEXTS, tmp_path / name, SMALL, seed=seed, listener=Listener())
    assert weights(tmp_path / "one") == weights(tmp_path / "two")
    assert weights(tmp_path / "one") != weights(tmp_path / "three")


@pytest.mark.parametrize(
    "settings",
    [SMALL, replace(SMALL, preset="awd-lstm-small", heads=None, pieces=None)],
    ids=["bert", "awd-lstm"],
)
def test_stopped_training_resumes_to_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Pretraining
) -> None:
    pretrain(TEXTS, tmp_path / "whole", settings, listener=Listener())
    events = []

    def stop(event: ProgressEvent) -> None:
        if event.stage.startswith("pretrain"):
            events.append(event)
        if len(events) == 3:
            raise KeyboardInterrupt

    place = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt, match="to continue, run the same command with --resume"):
        pretrain(TEXTS, place, settings, listener=Listener(progress=stop))
    assert not (place / "config.json").exists()
    with pytest.raises(RunError, match="unfinished encoder"):
        pretrain(TEXTS, place, settings, listener=Listener())
    monkeypatch.setattr(module, "train_tokenizer", None)
    pretrain(TEXTS, place, settings, resume=True, listener=Listener())
    assert weights(place) == weights(tmp_path / "whole")
    said: list[str] = []
    pretrain(TEXTS, place, settings, resume=True, listener=Listener(said.append))
    assert said[-1] == f"the encoder in {place} is finished already"


def test_full_disk_for_the_tokenizer_can_be_resumed_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*arguments: Any, **options: Any) -> None:
        raise Exception("No space left on device (os error 28)")  # as `tokenizers` does

    place = tmp_path / "own"
    with monkeypatch.context() as patched:
        patched.setattr("finetext.storage.files.finish_folder", no_space)
        with pytest.raises(RunError, match=r"full: No space left .*\nMake room; .* with --resume"):
            pretrain(TEXTS, place, SMALL, listener=Listener())
    pretrain(TEXTS, place, SMALL, resume=True, listener=Listener())
    assert (place / "config.json").is_file()


@pytest.mark.parametrize(
    ("architecture", "tokenizer"),
    [
        ("roberta", "bpe"),
        ("distilbert", "wordpiece"),
        ("electra", "unigram"),
        ("modernbert", "bpe"),
    ],
)
def test_architectures_and_tokenizers_go_together(
    tmp_path: Path, architecture: Any, tokenizer: Any
) -> None:
    settings = replace(SMALL, architecture=architecture, tokenizer=tokenizer, pieces=300, epochs=1)
    grown = pretrain(TEXTS, tmp_path / "own", settings, listener=Listener())
    config = json.loads((grown.folder / "config.json").read_text())
    assert config["model_type"] == architecture
    load_encoder(str(grown.folder), load_tokenizer(str(grown.folder)))


def test_awd_lstm_learns_the_next_word(tmp_path: Path) -> None:
    settings = Pretraining(preset="awd-lstm-small", width=16, feed_forward=24, epochs=2)
    grown = pretrain(TEXTS, tmp_path / "own", settings, listener=Listener())
    assert grown.origin.after["loss"] < grown.origin.before["loss"]
    config = json.loads((grown.folder / "config.json").read_text())
    assert config["architectures"] == ["AwdLstmForCausalLM"]
    assert config["weight_dropout"] == 0.2
    assert load_tokenizer(str(grown.folder)).tokenize("The team")[-2:] == ["the", "team"]


@pytest.mark.parametrize("multiplier", [None, 0.5])
def test_dropout_is_multiplied_for_training_only(multiplier: float | None) -> None:
    from transformers import AutoModelForMaskedLM, BertConfig

    config = BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=8,
    )  # fmt: skip
    model = module._with_dropout(config, AutoModelForMaskedLM, multiplier or 0.0, 0)
    shares = {part.p for part in model.modules() if type(part).__name__ == "Dropout"}
    assert shares == {0.1 * (multiplier or 0.0)}
    assert model.config.hidden_dropout_prob == 0.1


def test_without_dropout_an_awd_lstm_has_none() -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from finetext.encoders.auto import register
    from finetext.encoders.awd_lstm import AwdLstmConfig

    register()
    config = AwdLstmConfig(vocab_size=9, embedding_size=4, inner_size=5)
    model = module._with_dropout(config, AutoModelForCausalLM, 0.0, 0)
    tokens = torch.arange(9).unsqueeze(0)
    assert torch.equal(model.train()(tokens).logits, model.eval()(tokens).logits)
    assert model.config.output_dropout == 0.1


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_gets_the_scalars(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    settings = replace(SMALL, epochs=1)
    pretrain(TEXTS, tmp_path / "own", settings, track=("tensorboard",), listener=Listener())
    assert len(list((tmp_path / "own").rglob("events.out.tfevents*"))) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Pretraining(preset="tinny"), "did you mean 'tiny'"),
        (Pretraining(heads=7), "width of 128 cannot be divided into 7"),
        (Pretraining(preset="awd-lstm", tokenizer="bpe"), "AWD-LSTM reads whole words"),
        (Pretraining(preset="awd-lstm", heads=4), "AWD-LSTM has no attention"),
        (Pretraining(max_length=500), "max_length is 500, but the context 128"),
        (Pretraining(layers=0), "layers = 0"),
        (replace(SMALL, pieces=10), "10 tokens are too few"),
        (Pretraining(masked_share=0), "masked_share = 0: .*greater than 0"),
        (Pretraining(masked_share=-0.1), "masked_share = -0.1: .*greater than 0"),
        (Pretraining(masked_share=1.0), "masked_share = 1.0: .*less than 1"),
    ],
)
def test_invalid_settings_leave_nothing(
    tmp_path: Path, settings: Pretraining, message: str
) -> None:
    place = tmp_path / "own"
    with pytest.raises((RecipeError, UnknownNameError), match=message):
        pretrain(TEXTS, place, settings, listener=Listener())
    assert not place.exists() or not [p for p in place.iterdir() if p.name != ".lock"]


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        (Pretraining(), 6),
        (Pretraining(tokenizer="unigram"), 6),
        (Pretraining(tokenizer="bpe"), 261),
        (Pretraining(preset="awd-lstm-small"), 8),
    ],
)
def test_too_small_vocabulary_is_refused_at_once(settings: Pretraining, least: int) -> None:
    with pytest.raises(RecipeError, match=f"pieces = {least - 1}: ask for {least} or more"):
        pretrain("no-such-corpus.txt", "own", replace(settings, pieces=least - 1))
    assert checked(replace(settings, pieces=least)).pieces == least


def test_corpus_of_blank_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FinetextError):
        pretrain(["", " "], tmp_path / "own", SMALL, listener=Listener())


def test_sizes_are_those_of_the_preset_unless_given() -> None:
    assert Pretraining().sizes == preset("tiny")
    assert Pretraining(preset="base", layers=4).sizes == replace(preset("base"), layers=4)
    assert usual_rate(preset("base")) == pytest.approx(2.5e-4)
    assert usual_rate(preset("awd-lstm")) == 3e-3


def test_the_command_shows_before_and_after(command: Callable[..., Any], reviews: Path) -> None:
    sizes = [f"--set=pretrain.{name}={of}" for name, of in (("layers", 1), ("width", 16))]
    words = ["pretrain", reviews, "--out", "own", "--epochs", 1, "--pieces", 150, *sizes]
    seen = command(*words, "--set", "pretrain.heads=2")
    assert seen.status == 0, seen.err
    assert "perplexity" in seen.out
    assert "encoder: own" in seen.out
    assert "not finished" not in seen.err
    again = command(*words, "--set", "pretrain.heads=2")
    assert again.status == 2
    assert "finished encoder" in again.err
    shown = command(*words, "--set", "pretrain.heads=2", "--resume", "--json")
    values = json.loads(shown.out)
    assert (values["kind"], values["settings"]["layers"]) == ("pretrained", 1)


def test_the_command_refuses_other_sections(command: Callable[..., Any], reviews: Path) -> None:
    seen = command("pretrain", reviews, "--out", "own", "--set", "adapt.epochs=1")
    assert seen.status == 2
    assert "pretrain.NAME=VALUE" in seen.err
