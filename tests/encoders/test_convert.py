"""Published AWD-LSTM weights become an encoder folder; nothing in the files is run."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from finetext.core.errors import ModelError, RecipeError, TooLargeError
from finetext.encoders.awd_lstm import AwdLstmForCausalLM
from finetext.encoders.convert import Converted, convert, read_weights, read_words
from finetext.encoders.language_models import load_for_language_model
from finetext.encoders.load import load_tokenizer

WORDS = ["xxunk", "xxpad", "xxbos", "xxeos", "xxfld", "xxrep", "xxwrep", "xxup", "xxmaj"]
WORDS += ["the", "film", "is", "good", "xxfake", "xxfake", "xxfake"]
WIDTH, INNER, LAYERS = 4, 6, 3


def published(words: int = len(WORDS)) -> dict[str, Tensor]:
    """Weights under the names that fastai gives them, random and of another size."""
    torch.manual_seed(0)
    embedding = torch.randn(words, WIDTH)
    weights = {"0.encoder.weight": embedding, "0.encoder_dp.emb.weight": embedding}
    for number in range(LAYERS):
        inputs = INNER if number else WIDTH
        lstm = nn.LSTM(inputs, INNER if number < LAYERS - 1 else WIDTH)
        for name, weight in lstm.named_parameters():
            weights[f"0.rnns.{number}.module.{name}"] = weight.detach()
        raw = weights[f"0.rnns.{number}.module.weight_hh_l0"]
        weights[f"0.rnns.{number}.weight_hh_l0_raw"] = raw
        weights[f"0.rnns.{number}.module.weight_hh_l0"] = raw * 0  # what dropout left of it
    return weights | {"1.decoder.weight": embedding, "1.decoder.bias": torch.randn(words)}


def logits_of(weights: dict[str, Tensor], ids: list[int]) -> Tensor:
    """What the published model gives for a text, by the LSTM of torch."""
    values = weights["0.encoder.weight"][ids].unsqueeze(1)
    for number in range(LAYERS):
        inputs = weights[f"0.rnns.{number}.module.weight_ih_l0"]
        lstm = nn.LSTM(inputs.shape[1], inputs.shape[0] // 4)
        found = {name: weights[f"0.rnns.{number}.module.{name}"] for name in lstm.state_dict()}
        found["weight_hh_l0"] = weights[f"0.rnns.{number}.weight_hh_l0_raw"]
        lstm.load_state_dict(found)
        values = lstm(values)[0]
    return values.squeeze(1) @ weights["1.decoder.weight"].T + weights["1.decoder.bias"]


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    path = tmp_path / "itos.pkl"
    path.write_bytes(pickle.dumps(WORDS))
    return path


def language_model(folder: Path) -> Any:
    model, head_is_fresh = load_for_language_model(str(folder), load_tokenizer(str(folder)))
    assert not head_is_fresh
    return model.eval()


def saved(tmp_path: Path, value: Any) -> Path:
    path = tmp_path / "weights.pth"
    torch.save(value, path)
    return path


def test_the_folder_gives_the_logits_of_the_file(tmp_path: Path, vocabulary: Path) -> None:
    weights = published()
    out = tmp_path / "encoder"
    found = convert(str(saved(tmp_path, weights)), str(vocabulary), str(out))
    assert found == Converted(out, len(WORDS), WIDTH, INNER, LAYERS)
    config = language_model(out).config
    sizes = (config.vocab_size, config.embedding_size, config.inner_size, config.num_hidden_layers)
    assert sizes == (len(WORDS), WIDTH, INNER, LAYERS)
    assert (config.unk_token_id, config.pad_token_id, config.bos_token_id) == (0, 1, 2)
    tokenizer = load_tokenizer(str(out))
    model, head_is_fresh = load_for_language_model(str(out), tokenizer)
    assert not head_is_fresh
    found = tokenizer("The FILM is good", return_tensors="pt")
    ids = found["input_ids"][0].tolist()
    assert tokenizer.convert_ids_to_tokens(ids) == [
        "xxbos", "xxmaj", "the", "xxup", "film", "is", "good",
    ]  # fmt: skip
    with torch.no_grad():
        wanted = logits_of(weights, ids)
        torch.testing.assert_close(model.eval()(**found).logits[0], wanted)
    assert sorted(path.suffix for path in out.iterdir()) == [".json"] * 3 + [".safetensors"]


def older(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of the first generation, without a bias."""
    found = {
        name.replace(".weight_hh_l0_raw", ".module.weight_hh_l0_raw"): tensor
        for name, tensor in weights.items()
        if not name.endswith(".module.weight_hh_l0")
    }
    found["0.encoder_with_dropout.embed.weight"] = found.pop("0.encoder_dp.emb.weight")
    del found["1.decoder.bias"]
    return found


@pytest.mark.parametrize("change", [older, lambda weights: {"model": weights, "opt": {}}])
def test_other_generations_of_the_file_are_read(
    tmp_path: Path, vocabulary: Path, change: Callable[..., Any]
) -> None:
    weights = published()
    changed = change(weights)
    if "1.decoder.bias" not in changed.get("model", changed):
        weights["1.decoder.bias"] = torch.zeros(len(WORDS))
    model = language_model(
        convert(saved(tmp_path, changed), vocabulary, tmp_path / "encoder").folder
    )
    ids = [2, 9, 10]
    with torch.no_grad():
        torch.testing.assert_close(model(torch.tensor([ids])).logits[0], logits_of(weights, ids))


def test_special_words_that_are_missing_get_a_mean_embedding(tmp_path: Path) -> None:
    words = ["_unk_", "_pad_", "the", "t_up", "film"]
    vocabulary = tmp_path / "itos.json"
    vocabulary.write_text(json.dumps(words))
    weights = published(len(words))
    model = language_model(
        convert(saved(tmp_path, weights), vocabulary, tmp_path / "encoder").folder
    )
    tokenizer = load_tokenizer(str(tmp_path / "encoder"))
    assert tokenizer.convert_ids_to_tokens(range(6)) == [
        "xxunk", "xxpad", "the", "xxup", "film", "xxbos",
    ]  # fmt: skip
    torch.testing.assert_close(
        model.get_input_embeddings().weight[5], weights["0.encoder.weight"].mean(0)
    )


def test_words_are_read_from_three_formats_and_are_all_different(tmp_path: Path) -> None:
    pickled, listed, plain = (tmp_path / f"words.{ending}" for ending in ("pkl", "json", "txt"))
    pickled.write_bytes(pickle.dumps(WORDS))
    listed.write_text(json.dumps(WORDS))
    plain.write_text("\n".join(WORDS) + "\n")
    words = read_words(pickled)
    assert words == read_words(listed) == read_words(plain)
    assert words[:14] == WORDS[:14]
    assert len(set(words)) == len(WORDS)


class Harm:
    def __reduce__(self) -> Any:
        return os.mkdir, ("harmed",)


def test_code_in_a_pickle_is_refused(workplace: Path, tmp_path: Path, vocabulary: Path) -> None:
    bad_words = tmp_path / "bad.pkl"
    bad_words.write_bytes(pickle.dumps([Harm()]))
    with pytest.raises(ModelError, match=r"would run \w+\.mkdir"):
        read_words(bad_words)
    with pytest.raises(ModelError, match="could run code"):
        convert(saved(tmp_path, {"0.encoder.weight": Harm()}), vocabulary, tmp_path / "encoder")
    plain = tmp_path / "plain.pth"  # torch warns of such a one
    plain.write_bytes(pickle.dumps({"0.encoder.weight": Harm()}))
    with pytest.raises(ModelError, match="could run code"):
        convert(plain, vocabulary, tmp_path / "encoder")
    assert not (workplace / "harmed").exists()
    assert not (tmp_path / "encoder").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: [1, 2], "no weights by name"),
        (lambda weights: {"epoch": 3}, "holds no weights"),
        (lambda weights: {"bert.weight": torch.ones(2, 2)}, "it has bert.weight"),
        (lambda weights: published(9), "16 words and .* embeddings of 9"),
        (
            lambda weights: {n: of for n, of in weights.items() if "rnns.1" not in n},
            "lacks what finetext calls model.layers.1",
        ),
        (
            lambda weights: weights | {"0.rnns.2.module.bias_ih_l0": torch.ones(3)},
            r"model.layers.2.bias_ih is \(3,\), not \(16,\)",
        ),
    ],
)
def test_the_error_names_what_a_wrong_file_lacks(
    tmp_path: Path, vocabulary: Path, change: Callable[..., Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        convert(saved(tmp_path, change(published())), vocabulary, tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists()


def test_files_that_cannot_be_read_are_named(tmp_path: Path, vocabulary: Path) -> None:
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(b"not weights at all")
    with pytest.raises(ModelError, match=r"damaged\.pth is damaged"):
        convert(damaged, vocabulary, tmp_path / "encoder")
    with pytest.raises(ModelError, match=r"none\.pth cannot be read"):
        convert(tmp_path / "none.pth", vocabulary, tmp_path / "encoder")
    for name, content in (("a.pkl", b"\x80"), ("b.json", b"{"), ("c.json", b'{"a": 1}')):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ModelError, match=f"{name} is no list of words"):
            read_words(path)
    with pytest.raises(ModelError, match="cannot be read"):
        read_words(tmp_path / "none.txt")


@pytest.mark.parametrize(
    "option", [{"heads": 0}, {"positions": ""}, {"activation": "gelu"}, {"context": 0}]
)
def test_options_of_a_transformer_need_a_mapping(
    tmp_path: Path, vocabulary: Path, option: dict[str, Any]
) -> None:
    with pytest.raises(RecipeError, match="need a mapping of names"):
        convert(saved(tmp_path, published()), vocabulary, tmp_path / "encoder", **option)
    assert not (tmp_path / "encoder").exists()


def test_a_folder_that_is_not_empty_is_unchanged(tmp_path: Path, vocabulary: Path) -> None:
    with pytest.raises(ModelError, match="not empty"):
        convert(saved(tmp_path, published()), vocabulary, tmp_path)


def test_a_full_disk_is_reported_and_leaves_nothing(
    tmp_path: Path, vocabulary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, folder: Path) -> None:
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(AwdLstmForCausalLM, "save_pretrained", fail)
    with pytest.raises(ModelError, match=r"encoder cannot be written: .*No space left"):
        convert(saved(tmp_path, published()), vocabulary, tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists()


def test_the_command_writes_the_folder(
    command: Callable[..., Any], tmp_path: Path, vocabulary: Path
) -> None:
    weights = saved(tmp_path, published())
    seen = command("convert", weights, "--vocabulary", vocabulary, "--out", "wt103", "--json")
    assert (seen.status, seen.err) == (0, "")
    assert json.loads(seen.out)["words"] == len(WORDS)
    again = command("convert", weights, "--vocabulary", vocabulary, "--out", "wt103")
    assert again.status == 2
    assert "wt103 exists and is not empty" in again.err
    other = command("convert", weights, "--vocabulary", vocabulary, "--out", "other")
    assert (other.status, other.out) == (0, "other\n")
    assert "layers 3" in other.err
    named = ("--vocabulary", vocabulary, "--out", "third", "--activation", "relu")
    refused = command("convert", weights, *named, status=2)
    assert "need a mapping of names" in refused.err


def test_weights_and_words_that_would_take_all_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.writestr("archive/data.pkl", bytes(50_000_000))
    wide = torch.zeros(1).expand(10_000_000)
    torch.save({"0.encoder.weight": wide}, tmp_path / "x.pth")
    monkeypatch.setenv("FINETEXT_MOST_BYTES", "5MB")
    for name in ("w.pth", "x.pth"):
        with pytest.raises(TooLargeError, match=f"{name} takes more than 5.0 MB"):
            read_weights(tmp_path / name)
    # A place of 2 ** 31 among those to remember, for which the unpickler in C takes 34 GB.
    place = (2**31 - 1).to_bytes(4, "little")
    (tmp_path / "words.pkl").write_bytes(b"\x80\x02](X\x01\0\0\0ar" + place + b"e.")
    assert read_words(tmp_path / "words.pkl") == ["a"]
