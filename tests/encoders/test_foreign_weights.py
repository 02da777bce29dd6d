"""Arrays of another program become an encoder that gives the states of that program."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from haiku_layout import Arrays, logits, random_arrays, states, write_tokenizer
from safetensors.numpy import save_file

import finetext
from finetext.core.errors import FinetextError, ModelError, RecipeError
from finetext.core.types import Dataset
from finetext.encoders.convert import Converted, convert
from finetext.encoders.features import features
from finetext.encoders.language_models import load_for_language_model
from finetext.encoders.load import load_encoder, load_tokenizer

TEXTS = [
    "a team",
    "soup with bread and salt for the coach and her team",
    "shares fell on the market today",
]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory, topics: Dataset) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json", topics.texts)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return saved(tmp_path, random_arrays())


def saved(folder: Path, arrays: Any) -> Path:
    path = folder / "weights.npz"
    np.savez(path, **arrays)
    return path


def batch_of(folder: Path) -> tuple[Any, Any]:
    """The texts as a padded batch, and the tokenizer of a folder."""
    tokenizer = load_tokenizer(str(folder))
    return tokenizer(TEXTS, padding=True, return_tensors="pt"), tokenizer


def states_in(folder: Path) -> Any:
    """(b, t, width) states of the last layer for the texts."""
    batch, tokenizer = batch_of(folder)
    with torch.inference_mode():
        return load_encoder(str(folder), tokenizer)(**batch).last_hidden_state.numpy()


@pytest.mark.parametrize("positions", ["sinusoidal", "none"])
def test_the_encoder_of_the_course_gives_its_states_and_logits(
    tmp_path: Path, vocabulary: Path, positions: Any
) -> None:
    arrays = random_arrays(layers=6, width=128, feed_forward=256, tokens=25_000)
    out = tmp_path / "encoder"
    found = convert(
        saved(tmp_path, arrays), vocabulary, out, "haiku", heads=8, positions=positions, context=128
    )
    tokens = len(load_tokenizer(str(out)))
    assert found == Converted(
        out, tokens, 128, 256, 6, 8, positions, "relu", 128, "masked", (), found.note
    )
    assert "25,000 rows" in str(found.note)
    batch, tokenizer = batch_of(out)
    ids, mask = (batch[name].numpy() for name in ("input_ids", "attention_mask"))
    assert sorted(mask.sum(1)) != [mask.shape[1]] * 3
    wanted = states(arrays, ids, mask, 8, positions == "sinusoidal")
    is_token = mask == 1
    np.testing.assert_allclose(states_in(out)[is_token], wanted[is_token], atol=1e-4)
    model, head_is_new = load_for_language_model(str(out), tokenizer)
    assert not head_is_new
    with torch.inference_mode():
        given = model.eval()(**batch).logits.numpy()
    np.testing.assert_allclose(given[is_token], logits(arrays, wanted)[is_token], atol=1e-4)


def test_truncation_and_padding_of_the_file_are_dropped(
    tmp_path: Path, vocabulary: Path, weights: Path
) -> None:
    assert json.loads(vocabulary.read_text())["padding"]["strategy"] == {"Fixed": 32}
    convert(weights, vocabulary, tmp_path / "out", "haiku", heads=4, positions="none")
    written = json.loads((tmp_path / "out" / "tokenizer.json").read_text())
    assert (written["padding"], written["truncation"]) == (None, None)
    tokenizer = load_tokenizer(str(tmp_path / "out"))
    lengths = [len(ids) for ids in tokenizer(TEXTS)["input_ids"]]
    assert len(set(lengths)) > 1
    assert max(lengths) > 8


def other_layout(arrays: Arrays) -> tuple[Arrays, dict[str, Any]]:
    """The same weights with names from 1 and linear layers as torch has them, and the mapping."""
    names = {
        "embedding.weight": "tokens",
        "head.dense": "transform",
        "head.norm": "transform_norm",
        "output": "out",
    }
    parts = {
        "attention.query": "multihead_attention/~/linear",
        "attention.key": "multihead_attention/~/linear_1",
        "attention.value": "multihead_attention/~/linear_2",
        "attention.output": "multihead_attention/~/linear_3",
        "feed_forward.up": "positionwise_feed_forward/~/linear",
        "feed_forward.down": "positionwise_feed_forward/~/linear_1",
        "attention_norm": "layer_norm",
        "feed_forward_norm": "layer_norm_1",
    }
    renamed: Arrays = {}
    mapping: dict[str, Any] = {"embedding.weight": names["embedding.weight"]}
    for name, array in arrays.items():
        module, _, parameter = name.rpartition("/")
        kind = "bias" if parameter in ("b", "offset") else "weight"
        array = array.T.copy() if parameter == "w" else array
        tops = {"linear": "head.dense", "layer_norm": "head.norm", "linear_1": "output"}
        if module.startswith("embeddings"):
            renamed["tokens"] = array
        elif module in tops:
            renamed[f"{names[tops[module]]}.{kind}"] = array
            mapping[f"{tops[module]}.{kind}"] = f"{names[tops[module]]}.{kind}"
        else:
            prefix, _, rest = module.removeprefix("transformer_encoder/~/").partition("/~/")
            number = int(prefix.removeprefix("encoder_block").removeprefix("_") or 0)
            ours = next(part for part, theirs in parts.items() if theirs == rest)
            renamed[f"block{number + 1}.{ours}.{kind}"] = array
            mapping[f"layers.{{n}}.{ours}.{kind}"] = f"block{{n+1}}.{ours}.{kind}"
    assert len(renamed) == len(arrays)
    return renamed, mapping


def test_other_names_and_files_give_the_same_encoder(
    tmp_path: Path, vocabulary: Path, weights: Path
) -> None:
    arrays = random_arrays()
    options: Any = {"heads": 4, "positions": "sinusoidal"}
    first = convert(weights, vocabulary, tmp_path / "first", "haiku", **options)
    renamed, mapping = other_layout(arrays)
    save_file(arrays, tmp_path / "haiku.safetensors")
    save_file(renamed, tmp_path / "renamed.safetensors")
    (tmp_path / "mapping.json").write_text(json.dumps(mapping))
    quoted = [f"{json.dumps(name)} = {json.dumps(array)}" for name, array in mapping.items()]
    (tmp_path / "mapping.toml").write_text("\n".join(["transpose = false", *quoted]))
    wanted = (first.folder / "model.safetensors").read_bytes()
    for number, (file, names) in enumerate(
        [
            (tmp_path / "haiku.safetensors", "haiku"),
            (tmp_path / "renamed.safetensors", mapping),
            (tmp_path / "renamed.safetensors", tmp_path / "mapping.json"),
            (saved(tmp_path, renamed), str(tmp_path / "mapping.toml")),
        ]
    ):
        found = convert(file, vocabulary, tmp_path / str(number), names, **options)
        assert (found.folder / "model.safetensors").read_bytes() == wanted
        assert (found.folder / "config.json").read_text() == (
            first.folder / "config.json"
        ).read_text()


def test_learned_positions_are_a_table(tmp_path: Path, vocabulary: Path) -> None:
    arrays, mapping = other_layout(random_arrays())
    path = saved(tmp_path, {**arrays, "where": np.array(1.0)})
    names = {**mapping, "positions.weight": "where"}
    with pytest.raises(ModelError, match=r"positions\.weight is a table, but has the shape \(\)"):
        convert(path, vocabulary, tmp_path / "out", names, heads=4, positions="learned")


def test_half_precision_and_learned_positions(tmp_path: Path, vocabulary: Path) -> None:
    arrays, mapping = other_layout(random_arrays())
    table = np.random.default_rng(1).normal(size=(40, 16))
    halves = {name: array.astype(np.float16) for name, array in arrays.items()} | {"where": table}
    path = saved(tmp_path, halves)
    options: Any = {"heads": 4, "mapping": mapping | {"positions.weight": "where"}}
    learned = convert(path, vocabulary, tmp_path / "learned", **options, positions="learned")
    assert (learned.context, learned.left_out) == (40, ())
    plain = convert(path, vocabulary, tmp_path / "plain", **options, positions="none")
    assert plain.left_out == ("where",)
    batch, tokenizer = batch_of(learned.folder)
    encoder = load_encoder(str(learned.folder), tokenizer)
    embedded = encoder.embedding.weight.detach().numpy()
    np.testing.assert_allclose(embedded, halves["tokens"].astype(np.float32))
    np.testing.assert_allclose(encoder.positions.weight.detach().numpy(), table, rtol=1e-6)
    with torch.inference_mode():
        first = encoder(**batch, output_hidden_states=True).hidden_states[0].numpy()
    ids = batch["input_ids"].numpy()
    np.testing.assert_allclose(first, embedded[ids] * 4 + table[: ids.shape[1]], atol=1e-5)


def test_without_its_scale_the_embedding_is_added_as_it_is(
    tmp_path: Path, vocabulary: Path
) -> None:
    arrays, mapping = other_layout(random_arrays())
    scaled = convert(
        saved(tmp_path, arrays), vocabulary, tmp_path / "scaled", mapping, heads=4, positions="none"
    )
    plain = convert(
        saved(tmp_path, arrays | {"tokens": arrays["tokens"] * 4}),
        vocabulary, tmp_path / "plain", mapping | {"scale_embedding": False},
        heads=4, positions="none",
    )  # fmt: skip
    np.testing.assert_allclose(states_in(scaled.folder), states_in(plain.folder), atol=1e-5)


def classifier(arrays: Arrays) -> Arrays:
    """The same with the outputs of a classifier in place of those for tokens."""
    return arrays | {
        "linear_1/w": np.zeros((16, 2), np.float32),
        "linear_1/b": np.zeros(2, np.float32),
    }


def bare(arrays: Arrays) -> Arrays:
    return {name: array for name, array in arrays.items() if "/~/" in name}


@pytest.mark.parametrize(
    ("change", "left_out"),
    [
        (classifier, ("layer_norm/offset", "layer_norm/scale", "linear/b", "linear/w",
                      "linear_1/b", "linear_1/w")),
        (bare, ()),
    ],
)  # fmt: skip
def test_without_a_language_model_head_the_encoder_is_bare(
    tmp_path: Path, vocabulary: Path, weights: Path, change: Any, left_out: tuple[str, ...]
) -> None:
    options: Any = {"mapping": "haiku", "heads": 4, "positions": "none"}
    whole = convert(weights, vocabulary, tmp_path / "whole", **options)
    found = convert(
        saved(tmp_path, change(random_arrays())), vocabulary, tmp_path / "bare", **options
    )
    assert (found.objective, found.left_out) == (None, left_out)
    np.testing.assert_allclose(states_in(found.folder), states_in(whole.folder), atol=1e-6)
    tokenizer = load_tokenizer(str(found.folder))
    model, head_is_new = load_for_language_model(str(found.folder), tokenizer)
    assert head_is_new
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_the_encoder_is_tuned_adapted_exported_and_read(
    workplace: Path, vocabulary: Path, topics: Dataset
) -> None:
    arrays = random_arrays()
    convert(saved(workplace, arrays), vocabulary, "encoder", "haiku", heads=4, positions="none")
    assert features(topics.texts[:3], "encoder").shape == (3, 16)
    words, random = " ".join(topics.texts).split(), np.random.default_rng(0)
    lines = (" ".join(words[of] for of in random.integers(len(words), size=6)) for _ in range(90))
    Path("corpus.txt").write_text("\n".join(lines))
    settings = finetext.Adaptation(
        "encoder", epochs=6, learning_rate=3e-3, max_length=16, batch_size=4
    )
    adapted = finetext.adapt("corpus.txt", "adapted", settings)
    assert adapted.origin.after["perplexity"] < adapted.origin.before["perplexity"]
    for encoder, head in (("encoder", "standard"), ("adapted", "concat")):
        method: Any = finetext.Finetune(encoder, epochs=2, learning_rate=1e-3, head=head)
        tuned = finetext.fit(topics.texts, [row["label"] for row in topics], method)
        wanted = tuned.predict_proba(TEXTS)
        folder = tuned.save(f"{encoder}-model")
        np.testing.assert_array_equal(finetext.load(folder).predict_proba(TEXTS), wanted)
        exported = finetext.export(folder, folder=f"{encoder}-onnx", data=topics.texts).folder
        np.testing.assert_allclose(finetext.load(exported).predict_proba(TEXTS), wanted, atol=1e-5)


def renamed(before: str, after: str) -> Callable[[Any], Any]:
    return lambda arrays: {name.replace(before, after): of for name, of in arrays.items()}


def replaced(name: str, change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda arrays: arrays | {name: change(arrays[name])}


UP = "transformer_encoder/~/encoder_block_1/~/positionwise_feed_forward/~/linear/w"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: {"params": np.array({"a": 1})}, "params holds Python objects"),
        (lambda arrays: {"params": np.array(["a"])}, "params holds <U1, not numbers"),
        (renamed("encoder_block", "layer"), "has no layer as the mapping names them; it has emb"),
        (renamed("encoder_block/~/layer_norm_1", "x"), r"lacks .*layer_norm_1/scale \(layers.0"),
        (renamed("embed/embeddings", "embed/e"), r"lacks .* \(embedding.weight\); it has"),
        (replaced(UP, lambda array: array.T), r"_1/.*linear/w has the shape \(16, 24\), and lay"),
        (replaced(UP, lambda array: array * np.nan), "linear/w has values that are not finite"),
        (replaced(UP, lambda array: array + np.full(1, 1e300)), "values that are not finite"),
        (replaced("embeddings/~/embed/embeddings", np.ravel), r"are tables, .* \(1280,\)"),
        (replaced("embeddings/~/embed/embeddings", lambda a: a[:20]), "up to the id .* 20 embed"),
    ],
)  # fmt: skip
def test_the_error_names_what_is_wrong_with_the_arrays(
    tmp_path: Path, vocabulary: Path, change: Callable[..., Any], message: str
) -> None:
    path = saved(tmp_path, change(random_arrays()))
    with pytest.raises(ModelError, match=message):
        convert(path, vocabulary, tmp_path / "out", "haiku", heads=4, positions="none")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("state.pkl", b"\x80", "a .pkl file is a pickle, which can run any code .* numpy.savez"),
        ("pytorch_model.bin", b"\x80", "a .bin file is a pickle"),
        ("weights.h5", b"\x80", "from .npz and .safetensors files only"),
        ("weights.npz", b"\x80\x04K\x01.", "weights.npz is damaged"),
        ("weights.safetensors", b"no header", "weights.safetensors is damaged"),
        ("weights.npz", None, "there is no such file"),
        ("weights.safetensors", None, "there is no such file"),
    ],
)
def test_files_of_other_kinds_are_refused(
    tmp_path: Path, vocabulary: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        convert(tmp_path / name, vocabulary, tmp_path / "out", "haiku", heads=4, positions="none")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("[MASK]", "<mask>"), r"lacks the special tokens \[MASK\]"),
        (lambda text: "[1, 2]", "is no tokenizer of the library tokenizers"),
    ],
)
def test_the_error_names_what_is_wrong_with_the_tokenizer(
    tmp_path: Path, vocabulary: Path, weights: Path, change: Callable[[str], str], message: str
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(change(vocabulary.read_text()))
    options: Any = {"mapping": "haiku", "heads": 4, "positions": "none"}
    with pytest.raises(ModelError, match=message):
        convert(weights, path, tmp_path / "out", **options)
    with pytest.raises(ModelError, match=r"none\.json cannot be read"):
        convert(weights, tmp_path / "none.json", tmp_path / "out", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mapping": None}, "need a mapping of names"),
        ({"heads": None}, "does not say how many attention heads"),
        ({"positions": None}, "does not say how many attention heads"),
        ({"heads": 3}, "the width of .*, 16, cannot be divided by it"),
        ({"heads": 0}, "heads = 0"),
        ({"positions": "rotary"}, "positions = 'rotary'"),
        ({"activation": "swish"}, "activation = 'swish'"),
        ({"context": 2}, "context = 2"),
        ({"positions": "learned"}, "no array for positions.weight"),
    ],
)
def test_the_error_names_what_is_wrong_with_the_options(
    tmp_path: Path, vocabulary: Path, weights: Path, options: dict[str, Any], message: str
) -> None:
    given: Any = {"mapping": "haiku", "heads": 4, "positions": "none"} | options
    with pytest.raises(RecipeError, match=message):
        convert(weights, vocabulary, tmp_path / "out", **given)


def test_a_mapping_that_uses_an_array_twice_is_an_error(tmp_path: Path, vocabulary: Path) -> None:
    arrays, mapping = other_layout(random_arrays())
    path = saved(tmp_path, arrays)
    options: Any = {"heads": 4, "positions": "none"}
    same = mapping | {"layers.{n}.attention.key.bias": mapping["layers.{n}.attention.query.bias"]}
    with pytest.raises(FinetextError, match=r"uses block1.attention.query.bias for .*query.bias, "):
        convert(path, vocabulary, tmp_path / "out", same, **options)
    fixed = {name: array.replace("{n+1}", "1") for name, array in mapping.items()}
    with pytest.raises(FinetextError, match=r"for layers.0.*, layers.1.* and \d+ more; name anoth"):
        convert(path, vocabulary, tmp_path / "out", fixed, **options)


def test_the_command_says_what_was_made_and_left_out(
    command: Callable[..., Any], tmp_path: Path, vocabulary: Path
) -> None:
    path = saved(tmp_path, random_arrays() | {"step": np.array(3)})
    words = ("convert", path, "--vocabulary", vocabulary, "--mapping", "haiku", "--heads", 4)
    seen = command(*words, "--positions", "none", "--out", "encoder", status=0)
    assert seen.out == "encoder\n"
    assert "layers 2, heads 4, positions none, activation relu, context 512" in seen.err
    assert "left out, without a use: step" in seen.err
    seen = command(*words, "--positions", "none", "--out", "other", "--json", status=0)
    assert json.loads(seen.out)["left_out"] == ["step"]
    seen = command(*words, "--positions", "none", "--out", "other", status=2)
    assert "other exists and is not empty" in seen.err
    seen = command(*words, "--out", "third", status=2)
    assert "give heads (a number) and positions" in seen.err
    assert not Path("third").exists()
