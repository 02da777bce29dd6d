"""A tokenizer that is not the one of the weights is refused, with the reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from finetext.core.contracts import Classifier, FitContext
from finetext.core.errors import ModelError
from finetext.core.types import Dataset, LabelScheme
from finetext.encoders.load import load_encoder, load_for_classification, load_tokenizer
from finetext.encoders.scratch import train_subword_tokenizer
from finetext.encoders.vocabulary import RECORD, record_vocabulary
from finetext.encoders.word_tokenizer import WordTokenizer, train_word_tokenizer
from finetext.methods.finetune import Finetune
from finetext.methods.probe import Probe
from finetext.pretraining.pretrain import Pretraining, pretrain


@pytest.fixture
def tokenizer(tiny_encoder: Path) -> Any:
    return load_tokenizer(str(tiny_encoder))


@pytest.fixture
def recorded(tiny_encoder: Path, tokenizer: Any, tmp_path: Path) -> Path:
    """An encoder folder with the record of its vocabulary."""
    model = load_encoder(str(tiny_encoder), tokenizer)
    record_vocabulary(model, tokenizer)
    model.save_pretrained(tmp_path / "recorded")
    tokenizer.save_pretrained(tmp_path / "recorded")
    return tmp_path / "recorded"


def other_words(tokenizer: Any, *, more: int = 0) -> Any:
    """A tokenizer with the same special tokens, and the same number of tokens in another order."""
    from transformers import BertTokenizerFast

    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    tokens = tokens[:5] + tokens[:4:-1] + [f"new{number}" for number in range(more)]
    return BertTokenizerFast(vocab={token: number for number, token in enumerate(tokens)})


def loads(folder: Path) -> Any:
    return load_encoder(str(folder), load_tokenizer(str(folder)))


def test_replaced_tokenizer_files_are_noticed(recorded: Path, tokenizer: Any) -> None:
    loads(recorded)
    other_words(tokenizer).save_pretrained(recorded)
    with pytest.raises(ModelError, match="recorded: its tokenizer is not the one") as raised:
        loads(recorded)
    assert "copy the tokenizer files here that came with the weights" in str(raised.value)
    with pytest.raises(ModelError, match="is not the one"):
        load_for_classification(
            str(recorded), load_tokenizer(str(recorded)), LabelScheme(("a", "b")), 0.0
        )


def test_a_folder_without_a_record_stays_loadable(tiny_encoder: Path, tmp_path: Path) -> None:
    config = json.loads((tiny_encoder / "config.json").read_text())
    assert RECORD not in config
    loads(tiny_encoder)


def test_a_tokenizer_with_more_tokens_than_rows_is_refused(
    tiny_encoder: Path, tokenizer: Any, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "more"))
    other_words(tokenizer, more=9).save_pretrained(folder)
    rows = len(tokenizer)
    with pytest.raises(ModelError, match=rf"has {rows + 9} tokens and its embedding {rows} rows"):
        loads(folder)


def test_added_tokens_get_a_row_of_zeros_and_the_record_stays_true(
    recorded: Path, tokenizer: Any
) -> None:
    tokenizer.add_tokens(["<user>", "<link>"])
    tokenizer.save_pretrained(recorded)
    model = loads(recorded)
    rows = model.get_input_embeddings().weight
    assert len(rows) == len(tokenizer)
    assert not rows[-2:].any()
    assert rows[-3].any()


def test_many_rows_without_a_token_are_noted(
    tiny_encoder: Path, tokenizer: Any, tmp_path: Path
) -> None:
    from transformers import BertTokenizerFast

    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "fewer"))
    few = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])[:40]
    BertTokenizerFast(vocab=dict(few)).save_pretrained(folder)
    said: list[str] = []
    load_for_classification(
        str(folder), load_tokenizer(str(folder)), LabelScheme(("a", "b")), 0.0, say=said.append
    )
    assert said[0].endswith("only 40 tokens; make sure that they belong together")


def test_a_damaged_record_is_an_error(recorded: Path) -> None:
    config = json.loads((recorded / "config.json").read_text())
    (recorded / "config.json").write_text(json.dumps(config | {RECORD: {"tokens": "all"}}))
    with pytest.raises(ModelError, match=f"{RECORD} in config.json is damaged"):
        loads(recorded)


def test_a_folder_without_tokenizer_files_says_which_are_missing(recorded: Path) -> None:
    for path in recorded.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match=r"no tokenizer, such as tokenizer\.json or vocab\.txt"):
        load_tokenizer(str(recorded))
    with pytest.raises(ModelError, match=r"no tokenizer, such as tokenizer\.json or vocab\.txt"):
        Finetune(encoder=str(recorded)).check()


def test_another_word_list_for_an_awd_lstm_is_refused(topics: Dataset, tmp_path: Path) -> None:
    from finetext.encoders.awd_lstm import AwdLstmConfig, AwdLstmForCausalLM

    words = train_word_tokenizer(topics.texts, minimum_frequency=1)
    sizes = {"embedding_size": 4, "inner_size": 4, "num_hidden_layers": 1}
    AwdLstmForCausalLM(AwdLstmConfig(vocab_size=len(words), **sizes)).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    loads(tmp_path)
    for change in (lambda known: known[:-2], lambda known: [*known, "zebra"]):
        known = sorted(words.get_vocab(), key=words.get_vocab().get)
        WordTokenizer.of_words(change(known)).save_pretrained(tmp_path)
        with pytest.raises(ModelError, match="belong to different models"):
            loads(tmp_path)


@pytest.mark.parametrize(("kind", "other"), [("wordpiece", "bpe"), ("bpe", "wordpiece")])
def test_a_pretrained_encoder_refuses_a_tokenizer_of_another_algorithm(
    topics: Dataset, tmp_path: Path, kind: Any, other: Any
) -> None:
    texts = [f"{text} number {number}" for number, text in enumerate(topics.texts)]
    settings = Pretraining(
        layers=1, heads=2, width=16, feed_forward=24, context=24, pieces=300, epochs=1,
        batch_size=8, tokenizer=kind,
    )  # fmt: skip
    folder = pretrain(texts, tmp_path / "own", settings).folder
    loads(folder)
    train_subword_tokenizer(texts, other, 300).save_pretrained(folder)
    with pytest.raises(ModelError, match=r"not the one|different models"):
        loads(folder)


def test_model_folders_notice_it_too(
    tiny_encoder: Path, tokenizer: Any, topics: Dataset, tmp_path: Path
) -> None:
    for method, place in (
        (Finetune(encoder=str(tiny_encoder), epochs=1), "."),
        (Probe(encoder=str(tiny_encoder), inverse_regularisation=1.0), "encoder"),
    ):
        fitted = method.fit(topics, topics, FitContext(device="cpu"))
        folder = fitted.save(tmp_path / method.name)
        assert Classifier.load(folder, "cpu").predict_proba(["bread"]).shape == (1, 3)
        known = (folder / place / "tokenizer.json").stat().st_size
        other_words(tokenizer).save_pretrained(tmp_path / "replaced")
        text = (tmp_path / "replaced" / "tokenizer.json").read_text()
        text = json.dumps(json.loads(text)) if len(text) > known else text
        (folder / place / "tokenizer.json").write_text(text.ljust(known))
        (folder / "finetext.json").write_text(
            json.dumps({
                name: of
                for name, of in json.loads((folder / "finetext.json").read_text()).items()
                if name not in ("files", "sha256")
            })
        )  # fmt: skip
        with pytest.raises(ModelError, match="its tokenizer is not the one"):
            Classifier.load(folder, "cpu")


def test_numbers_of_tokens_beyond_the_embedding_are_refused(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "far"))
    described = json.loads((folder / "tokenizer.json").read_text())
    known = described["model"]["vocab"]
    known[max(known, key=known.get)] += 10_000
    (folder / "tokenizer.json").write_text(json.dumps(described))
    with pytest.raises(ModelError, match="belong to different models"):
        loads(folder)


def test_a_model_with_a_token_that_was_added_later_predicts(
    tiny_encoder: Path, topics: Dataset, tmp_path: Path
) -> None:
    fitted = Finetune(encoder=str(tiny_encoder), epochs=1).fit(
        topics, topics, FitContext(device="cpu")
    )
    folder = fitted.save(tmp_path / "m")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token": "<new>"}))
    described = json.loads((folder / "finetext.json").read_text())
    del described["files"]
    (folder / "finetext.json").write_text(json.dumps(described))
    texts = ["bread", "bread and soup", "<new>"]
    assert Classifier.load(folder, "cpu").predict_proba(texts).shape == (3, 3)
