"""Language models go on with a text: our own and those of transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetext.core.errors import ModelError, RecipeError
from finetext.core.types import Dataset
from finetext.encoders.auto import register
from finetext.pretraining.generate import generate

PROMPT = "The bank raised its"


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory, topics: Dataset) -> Path:
    """The folder of an AWD-LSTM with random weights that are large enough to prefer some words."""
    import torch

    from finetext.encoders.awd_lstm import AwdLstmConfig, AwdLstmForCausalLM
    from finetext.encoders.word_tokenizer import train_word_tokenizer

    tokenizer = train_word_tokenizer([text.capitalize() for text in topics.texts])
    sizes = {"vocab_size": len(tokenizer), "embedding_size": 8, "inner_size": 12}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AwdLstmForCausalLM(AwdLstmConfig(**sizes))
        torch.nn.init.normal_(model.model.embedding.weight, std=3)
        model.lm_head.bias.data[:3] = 100  # what is never to be drawn would be drawn always
    folder = tmp_path_factory.mktemp("recurrent")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory, topics: Dataset) -> Path:
    """The folder of a randomly initialized GPT-2: two layers, 16 wide, 64 positions."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = sorted({f"\u0120{word}" for text in topics.texts for word in text.split()})
    signs = sorted(pre_tokenizers.ByteLevel.alphabet())
    numbers = {piece: n for n, piece in enumerate(["<end>", "<pad>", *signs, *words])}
    backend = Tokenizer(models.BPE(vocab=numbers, merges=[], unk_token=None))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<end>", pad_token="<pad>", model_max_length=64
    )
    config = GPT2Config(
        vocab_size=len(numbers), n_positions=64, n_embd=16, n_layer=2, n_head=2,
        bos_token_id=0, eos_token_id=0, pad_token_id=1,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config)
        torch.nn.init.normal_(model.transformer.wte.weight, std=0.5)
    folder = tmp_path_factory.mktemp("transformer")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(params=["recurrent", "transformer"])
def folder(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(request.param))


def test_so_many_words_are_added(folder: Path) -> None:
    (text,) = generate(folder, PROMPT, words=4, device="cpu")
    assert text.startswith(PROMPT)
    assert len(text.removeprefix(PROMPT).split()) <= 4
    assert len(text) > len(PROMPT)


def test_the_seed_decides_and_the_surroundings_do_not(folder: Path) -> None:
    import torch

    def written(seed: int, around: int) -> list[str]:
        torch.manual_seed(around)
        before = torch.get_rng_state()
        texts = generate(folder, PROMPT, words=6, temperature=1.0, seed=seed, device="cpu")
        assert torch.equal(torch.get_rng_state(), before)
        return texts

    assert written(1, 2) == written(1, 3)
    assert len({written(seed, 0)[0] for seed in range(5)}) > 1


def test_a_temperature_of_0_takes_the_likeliest(folder: Path) -> None:
    texts = {generate(folder, PROMPT, 5, 0, seed=seed, device="cpu")[0] for seed in range(3)}
    assert len(texts) == 1
    nearly = generate(folder, PROMPT, 5, 1e-4, device="cpu")
    assert set(nearly) == texts


def test_several_texts_differ(folder: Path) -> None:
    texts = generate(folder, PROMPT, 6, 1.5, n=4, device="cpu")
    assert len(texts) == 4
    assert len(set(texts)) > 1


def test_no_special_token_is_ever_written(folder: Path) -> None:
    for text in generate(folder, "A loan", 30, 2.0, n=3, device="cpu"):
        assert "xx" not in text
        assert "<pad>" not in text


def test_a_prompt_may_be_empty_or_end_in_a_space(folder: Path) -> None:
    assert generate(folder, "", 3, device="cpu")[0][:1].strip()
    (text,) = generate(folder, "The bank ", 3, device="cpu")
    assert text.startswith("The bank ")
    assert "  " not in text


def test_recurrent_words_follow_the_prompt_as_the_model_says(recurrent: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    register()
    model = AutoModelForCausalLM.from_pretrained(recurrent).eval()
    tokenizer = AutoTokenizer.from_pretrained(recurrent)
    ids = tokenizer(PROMPT)["input_ids"]
    start = len(ids)
    with torch.no_grad():
        for _ in range(20):  # the whole text is read again for each word: no state is carried
            logits = model(torch.tensor([ids])).logits[0, -1]
            logits[:3] = -torch.inf
            ids.append(int(logits.argmax()))
    wanted = tokenizer.decode(ids).split()
    (text,) = generate(recurrent, PROMPT, words=3, temperature=0, device="cpu")
    assert wanted[1 : 1 + len(text.split())] == text.split()
    assert len(ids) == start + 20


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """How many tokens a model reads, and a tokenizer makes text of, in each call."""
    from finetext.pretraining import generate as generating

    load, counts = generating._language_model, dict[str, list[int]](read=[], decoded=[])

    def loaded(folder: str) -> tuple[Any, Any]:
        model, tokenizer = load(folder)
        decode = tokenizer.decode

        def read(module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            counts["read"].append((given[0] if given else named["input_ids"]).shape[1])

        def decoded(row: list[int], **options: Any) -> str:
            counts["decoded"].append(len(row))
            return str(decode(row, **options))

        model.register_forward_pre_hook(read, with_kwargs=True)
        tokenizer.decode = decoded
        return model, tokenizer

    monkeypatch.setattr(generating, "_language_model", loaded)
    return counts


def test_no_token_is_read_twice(folder: Path, watched: dict[str, list[int]]) -> None:
    generate(folder, PROMPT, 10, 1.0, n=2, device="cpu")
    assert watched["read"][0] > 1
    assert set(watched["read"][1:]) == {1}


def test_a_long_text_is_made_of_its_tokens_a_few_times_only(
    recurrent: Path, watched: dict[str, list[int]]
) -> None:
    """After each token would be half of all tokens times their number."""
    (text,) = generate(recurrent, PROMPT, 300, 1.5, device="cpu")
    assert len(text.removeprefix(PROMPT).split()) == 300
    written = len(watched["read"])
    assert written < 4 * 300  # not all that may be drawn: it ends when there are enough
    assert sum(watched["decoded"]) < 12 * written


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_what_is_remembered_changes_no_word(
    folder: Path, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same draws from a model that reads the whole text again for each token."""
    import torch
    import transformers

    from finetext.pretraining import generate as generating

    def written() -> list[str]:
        return generate(folder, PROMPT, 12, temperature, seed=1, n=3, device="cpu")

    class Forgetful:
        """A recurrent model that is handed nothing on."""

        def __init__(self, model: Any) -> None:
            self.model, self.config = model, model.config

        def to(self, place: Any) -> Forgetful:
            return self

        def eval(self) -> Forgetful:
            self.model.eval()
            return self

        def __call__(self, ids: Any, state: Any = None) -> Any:
            self.ids = ids if state is None else torch.cat([self.ids, ids], dim=1)
            return self.model(self.ids)

    remembered, load = written(), generating._language_model

    def loaded(name: str) -> tuple[Any, Any]:
        model, tokenizer = load(name)
        return Forgetful(model) if model.config.model_type == "awd_lstm" else model, tokenizer

    config = transformers.GenerationConfig
    monkeypatch.setattr(generating, "_language_model", loaded)
    monkeypatch.setattr(
        transformers, "GenerationConfig", lambda **of: config(**of | {"use_cache": False})
    )
    assert written() == remembered


def test_rows_that_end_do_not_hold_up_the_others(
    transformer: Path, watched: dict[str, list[int]]
) -> None:
    """One text ends by itself, another goes on to the end of what the model can see."""
    texts = generate(transformer, PROMPT, 200, 1.5, seed=3, n=8, device="cpu")
    lengths = {len(text.split()) for text in texts}
    assert len(lengths) > 1
    assert max(lengths) < 64
    assert sum(watched["read"]) <= 64
    assert len(watched["decoded"]) <= 3 * len(texts) + 1


def test_a_masked_model_and_a_classifier_are_refused(
    tiny_encoder: Path, recurrent: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with pytest.raises(ModelError, match="predicts words that are masked"):
        generate(tiny_encoder, PROMPT)
    register()
    AutoModelForSequenceClassification.from_pretrained(recurrent).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(recurrent).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no language-model head"):
        generate(tmp_path, PROMPT)


@pytest.mark.parametrize(
    "setting",
    [{"words": 0}, {"words": 10**6}, {"n": 0}, {"temperature": -0.1}, {"temperature": 1e999}],
    ids=str,
)
def test_settings_out_of_range_are_refused(recurrent: Path, setting: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=f"{next(iter(setting))} = "):
        generate(recurrent, PROMPT, **setting)


def test_a_prompt_that_fills_the_context_is_refused(transformer: Path) -> None:
    with pytest.raises(RecipeError, match="the model sees 64"):
        generate(transformer, "x" * 64, device="cpu")
    (text,) = generate(transformer, "x" * 63, device="cpu")
    assert text.startswith("x" * 63)


def test_the_command_prints_the_text(command: Callable[..., Any], recurrent: Path) -> None:
    words = ("generate", recurrent, PROMPT, "--words", 4, "--seed", 3, "--device", "cpu")
    seen = command(*words)
    assert seen.status == 0
    assert seen.out == generate(recurrent, PROMPT, 4, seed=3, device="cpu")[0] + "\n"
    several = command(*words, "--count", 2, "--temperature", 1.5, "--json")
    found = json.loads(several.out)
    assert found["prompt"] == PROMPT
    assert len(found["texts"]) == 2
    assert command(*words, "-n", 2, "--temperature", 1.5, "--json").out == several.out
    assert "--count" in command(*words, "--count", 0, status=2).err
    assert command("generate", "none/such/folder", PROMPT).status == 2


def test_a_run_folder_stands_for_the_encoder_that_the_run_adapted(
    recurrent: Path, tmp_path: Path
) -> None:
    shutil.copytree(recurrent, tmp_path / "run" / "adapted")
    settings = {"words": 4, "temperature": 1.5, "n": 2, "device": "cpu"}
    assert generate(tmp_path / "run", PROMPT, **settings) == generate(recurrent, PROMPT, **settings)
    (tmp_path / "other").mkdir()
    with pytest.raises(ModelError, match=r"no config\.json"):
        generate(tmp_path / "other", PROMPT)


@pytest.mark.parametrize("text", ["", " ", "Ein Satz über Käse 🧀 ", "xxbos", "<end>"])
def test_each_text_begins_as_given(folder: Path, text: str) -> None:
    texts = generate(folder, text, 3, 1.5, n=2, device="cpu")
    assert len(texts) == 2
    assert all(len(found) > len(text) and found.startswith(text) for found in texts)
