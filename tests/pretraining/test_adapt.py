"""Adapting an encoder: its result, and that nothing is lost when it is stopped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from transformers import GPT2Config, GPT2LMHeadModel

import finetext
from finetext.core.contracts import Listener, ProgressEvent
from finetext.core.errors import FinetextError, RecipeError, RunError
from finetext.encoders.load import load_encoder, load_tokenizer
from finetext.pretraining import learning
from finetext.pretraining.adapt import Adaptation, adapt
from finetext.pretraining.folder import Workplace, read_origin, texts_in_corpus
from finetext.pretraining.learning import Adapted
from finetext.storage.locks import claimed

TEXTS = [
    f"{text} {word} {number}"
    for number in "abcd"
    for word in ("today", "once again")
    for text in ("the team won the match", "the bank raised its rates", "soup with bread and salt")
]


@pytest.fixture(scope="module")
def settings(tiny_encoder: Path) -> Adaptation:
    return Adaptation(
        encoder=str(tiny_encoder), epochs=6, batch_size=2, learning_rate=1e-2, max_length=32,
        evaluate_every=5, dropout_multiplier=1.0, precision="fp32",
    )  # fmt: skip


@pytest.fixture(scope="module")
def usual(settings: Adaptation, tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    """An encoder that was adapted in one go. Not to be changed."""
    return adapt(
        TEXTS, tmp_path_factory.mktemp("encoders") / "whole", settings, listener=Listener()
    )


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def stopping_at(rows: int) -> Listener:
    """Ctrl-C when so many rows were read."""

    def stop(event: ProgressEvent) -> None:
        if event.done >= rows:
            raise KeyboardInterrupt

    return Listener(progress=stop)


def test_adapted_encoder_predicts_better(settings: Adaptation, tmp_path: Path) -> None:
    said: list[str] = []
    out = tmp_path / "adapted"
    done = adapt([*TEXTS, " "], out, settings, seed=2, listener=Listener(say=said.append))
    assert names(out) == {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        *("origin.json", "corpus.npy", "log.jsonl", ".lock"),
    }
    origin = done.origin
    assert read_origin(out) == origin
    assert origin.kind == "adapted"
    assert origin.base == settings.encoder
    assert origin.head_is_fresh
    assert origin.after["loss"] < origin.before["loss"] - 0.3
    assert origin.after["perplexity"] < origin.before["perplexity"]
    assert origin.corpus["documents"] == 23
    assert origin.corpus["held_out"] == 1
    assert origin.corpus["excluded"] == {"blank": 1}
    assert origin.corpus["tokens"] > 100
    assert origin.settings["learning_rate"] == 1e-2
    assert origin.seed == 2
    assert texts_in_corpus(out, TEXTS) == 23
    assert "packed" in " ".join(said)
    assert sum("on held-out text: loss" in line for line in said) == 2
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert {"validation loss", "validation accuracy", "perplexity"} == set(
        next(line["evaluation"] for line in log if "evaluation" in line)
    )


def test_result_is_used_by_its_path(
    settings: Adaptation, usual: Adapted, tmp_path: Path, topics: finetext.Dataset
) -> None:
    out = usual.folder
    encoder = load_encoder(str(out), load_tokenizer(str(out)))
    assert not torch.equal(
        encoder.embeddings.word_embeddings.weight,
        load_encoder(
            settings.encoder, load_tokenizer(settings.encoder)
        ).embeddings.word_embeddings.weight,
    )
    for method in (finetext.Finetune, finetext.Probe):
        classifier = finetext.fit(
            topics.texts, topics.labels, method(encoder=str(out)), listener=Listener()
        )
        assert set(classifier("the team")) == {"sport", "money", "food"}
    again = replace(settings, encoder=str(out))
    second = adapt(TEXTS, tmp_path / "again", again, listener=Listener())
    assert not second.origin.head_is_fresh
    assert second.origin.before == usual.origin.after


@pytest.mark.parametrize("rows", [2, 7, 20, 31])
def test_stopped_training_resumes_to_the_same_result(
    settings: Adaptation, usual: Adapted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    whole, parts = usual.folder, tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt, match="to continue, run the same command with --resume"):
        adapt(TEXTS, parts, settings, listener=stopping_at(rows))
    assert {".lock", ".training"} <= names(parts) <= {".lock", ".training", "log.jsonl"}
    measured: list[Any] = []
    monkeypatch.setattr(Workplace, "remember", lambda *given: measured.append(given))
    resumed = adapt(TEXTS, parts, settings, resume=True, listener=Listener())
    assert weights(parts) == weights(whole)
    assert resumed.origin.before == usual.origin.before
    assert resumed.origin.after == usual.origin.after
    assert measured == []  # the figures before training are not measured again
    assert names(parts) == names(whole)


@pytest.mark.parametrize("name", ["save_language_model", "write_corpus_hashes", "write_origin"])
def test_encoder_killed_while_it_is_saved_is_none_and_resumes(
    settings: Adaptation, usual: Adapted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def killed(*given: Any) -> None:
        raise SystemExit(9)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(learning, name, killed)
        with pytest.raises(SystemExit):
            adapt(TEXTS, out, settings, listener=Listener())
    assert "config.json" not in names(out)
    with pytest.raises(FinetextError):
        load_tokenizer(str(out))
    adapt(TEXTS, out, settings, resume=True, listener=Listener())
    assert weights(out) == weights(usual.folder)


def test_finished_encoder_is_returned_as_it_is(settings: Adaptation, usual: Adapted) -> None:
    out, done = usual.folder, usual
    before = weights(out)
    (out / ".training").mkdir()
    said: list[str] = []
    again = adapt(TEXTS, out, settings, resume=True, listener=Listener(say=said.append))
    assert again == done
    assert said[-1] == f"the encoder in {out} is finished already"
    assert weights(out) == before
    assert not (out / ".training").exists()
    for texts, other, seed, message in (
        (TEXTS, {"epochs": 7}, 0, "epochs was"),
        (TEXTS, {"learning_rate": None}, 0, "learning_rate was"),
        (TEXTS[1:], {}, 0, "corpus changed"),
        (TEXTS, {}, 1, "seed was 0 and is 1"),
    ):
        with pytest.raises(RecipeError, match=message):
            adapt(texts, out, replace(settings, **other), seed=seed, resume=True)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="holds a finished encoder"):
        adapt(TEXTS, out, settings, listener=Listener())


def test_folder_with_other_files_is_refused(settings: Adaptation, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(RunError, match="not empty; choose another folder"):
            adapt(TEXTS, tmp_path, settings, resume=resume, listener=Listener())
    assert names(tmp_path) == {"mine.txt"}


def test_unfinished_encoder_is_not_overwritten_nor_resumed_with_other_settings(
    settings: Adaptation, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        adapt(TEXTS, out, settings, listener=stopping_at(5))
    with pytest.raises(RunError, match="unfinished encoder: resume it with --resume"):
        adapt(TEXTS, out, settings, listener=Listener())
    with pytest.raises(RecipeError, match="epochs was 6 and is 7"):
        adapt(TEXTS, out, replace(settings, epochs=7), resume=True, listener=Listener())
    with pytest.raises(RecipeError, match="corpus changed"):
        adapt(TEXTS[1:], out, settings, resume=True, listener=Listener())


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"asked": 1, "facts": {}}'])
def test_damaged_state_is_reported(settings: Adaptation, tmp_path: Path, content: str) -> None:
    out = tmp_path / "out"
    (out / ".training").mkdir(parents=True)
    (out / ".training" / "begun.json").write_text(content)
    with pytest.raises(RunError, match=r"begun\.json is damaged: .* start anew in another folder"):
        adapt(TEXTS, out, settings, resume=True, listener=Listener())


def test_folder_killed_before_its_state_was_written_resumes(
    settings: Adaptation, usual: Adapted, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / ".training").mkdir(parents=True)
    (out / ".training" / ".begun.json.x1").write_text("{")
    adapt(TEXTS, out, settings, resume=True, listener=Listener())
    assert weights(out) == weights(usual.folder)


def test_folder_of_another_process_is_refused(settings: Adaptation, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / ".training").mkdir(parents=True)
    with claimed(out), pytest.raises(RunError, match="another process is writing into"):
        adapt(TEXTS, out, settings, resume=True, listener=Listener())


def no_space(*arguments: Any, **options: Any) -> None:
    raise OSError(ENOSPC, "No space left on device")


def no_space_in_rust(*arguments: Any, **options: Any) -> None:
    raise SafetensorError("I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("finetext.pretraining.folder.Workplace.remember", no_space),
        ("finetext.pretraining.learning.write_corpus_hashes", no_space),
        ("finetext.pretraining.learning.save_language_model", no_space_in_rust),
    ],
)
def test_full_disk_can_be_resumed_from(
    settings: Adaptation, usual: Adapted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    place: str, error: Any,
) -> None:  # fmt: skip
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(place, error)
        with pytest.raises(RunError) as told:
            adapt(TEXTS, out, settings, listener=Listener())
    assert "No space left on device" in str(told.value)
    assert "Make room; to continue, run the same command with --resume" in str(told.value)
    assert not (out / ".training" / "result").exists()
    adapt(TEXTS, out, settings, resume=True, listener=Listener())
    assert weights(out) == weights(usual.folder)
    assert names(out) == names(usual.folder)


def test_invalid_settings_leave_nothing(settings: Adaptation, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    wrong = {"encoder": ["no-such"], "epochs": [0], "max_length": [5_000], "schedule": ["square"]}
    for name, values in (wrong | {"masked_share": [0.0, 1.0]}).items():
        for value in values:
            with pytest.raises(FinetextError):
                adapt(TEXTS, out, replace(settings, **{name: value}), listener=Listener())
    for seconds in (-1.0, 0.0, float("nan")):
        with pytest.raises(FinetextError, match="checkpoint_seconds"):
            adapt(TEXTS, out, settings, checkpoint_seconds=seconds, listener=Listener())
    for texts, message in ((["one"], "at least two"), (["\u200b", "\u200b\u200b"], "no word")):
        with pytest.raises(FinetextError, match=message):
            adapt(texts, out, settings, listener=Listener())
    assert not out.parent.exists()


def test_decoder_learns_the_next_token(
    settings: Adaptation, tiny_encoder: Path, tmp_path: Path
) -> None:
    base = tmp_path / "gpt"
    tokenizer = load_tokenizer(str(tiny_encoder))
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, n_positions=64,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(base)
    tokenizer.save_pretrained(base)
    done = adapt(TEXTS, tmp_path / "out", replace(settings, encoder=str(base)), listener=Listener())
    assert done.origin.after["loss"] < done.origin.before["loss"] - 0.5
    assert not done.origin.head_is_fresh


@pytest.fixture
def awd_lstm(tmp_path: Path) -> Path:
    from finetext.encoders.awd_lstm import AwdLstmConfig, AwdLstmForCausalLM
    from finetext.encoders.word_tokenizer import train_word_tokenizer

    tokenizer = train_word_tokenizer(TEXTS, minimum_frequency=1)
    torch.manual_seed(0)
    config = AwdLstmConfig(
        vocab_size=len(tokenizer), embedding_size=16, inner_size=24, num_hidden_layers=2, bptt=8
    )
    AwdLstmForCausalLM(config).save_pretrained(tmp_path / "awd")
    tokenizer.save_pretrained(tmp_path / "awd")
    return tmp_path / "awd"


def test_recurrent_model_learns_over_streams_and_resumes(awd_lstm: Path, tmp_path: Path) -> None:
    settings = Adaptation(str(awd_lstm), epochs=8, batch_size=2, learning_rate=2e-2)
    done = adapt(TEXTS, tmp_path / "whole", settings, listener=Listener())
    assert done.origin.after["loss"] < done.origin.before["loss"] - 0.2
    with pytest.raises(KeyboardInterrupt):
        adapt(TEXTS, tmp_path / "parts", settings, listener=stopping_at(25))
    adapt(TEXTS, tmp_path / "parts", settings, resume=True, listener=Listener())
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")


def test_recurrent_model_reads_running_text_in_order(
    awd_lstm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[bool] = []
    usual = learning.StreamTask

    def seen(*texts: Any, **more: Any) -> Any:
        given.append(more["shuffle"])
        return usual(*texts, **more)

    monkeypatch.setattr(learning, "StreamTask", seen)
    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join(f"{number} {text}" for number, text in enumerate(TEXTS)))
    settings = Adaptation(str(awd_lstm), batch_size=2)
    for number, corpus in enumerate((lines, TEXTS)):
        adapt(corpus, tmp_path / str(number), settings, listener=Listener())
    assert given == [False, True]
    origin = read_origin(tmp_path / "0")
    assert origin is not None
    assert origin.corpus["in_order"]


def test_the_command(
    command: Callable[..., Any], tiny_encoder: Path, reviews: Path, workplace: Path
) -> None:
    words = ("adapt", reviews, "--encoder", tiny_encoder, "--out", "mine", "--epochs", "2")
    more = ("--set", "adapt.masked_share=0.3", "--learning-rate", "0.01", "--max-length", "32")
    seen = command(*words, *more)
    assert seen.status == 0, seen.err
    assert "left out: 9 that occur in test rows (those of finetext train, seed 0)" in seen.err
    shown = ("loss", "accuracy", "perplexity", "seconds", "encoder: mine")
    assert all(name in seen.out for name in (*shown, "head had random weights"))
    origin = read_origin("mine")
    assert origin is not None
    assert origin.settings["masked_share"] == 0.3
    assert origin.settings["epochs"] == 2
    assert origin.corpus["excluded"] == {"test": 9}
    told = json.loads(command(*words, *more, "--resume", "--json").out)
    assert told["after"] == origin.after
    shutil.rmtree("mine")
    seen = command(*words, "--with-test", "--exclude", reviews)
    assert seen.status == 2
    assert "60 that occur in" in seen.err
    assert command(*words, "--with-test", "--json").status == 0
    assert read_origin("mine").corpus["with_test"]  # type: ignore[union-attr]
    seen = command("adapt", reviews, "--out", "other", "--set", "finetune.epochs=3")
    assert seen.status == 2
    assert "only adapt.NAME=VALUE and data.NAME=VALUE" in seen.err
