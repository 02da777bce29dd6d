"""A mapping says which array of a file is which parameter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetext.core.errors import RecipeError
from finetext.encoders.name_mapping import PRESETS, array_of, parameters, read_mapping


@pytest.mark.parametrize(
    ("array", "names"),
    [
        ("layer.{n}.w", ["layer.0.w", "layer.1.w", "layer.2.w"]),
        ("layer{n+1}/w", ["layer1/w", "layer2/w", "layer3/w"]),
        ("block{_n}/w", ["block/w", "block_1/w", "block_2/w"]),
        ("layer_norm{_2n}/scale", ["layer_norm/scale", "layer_norm_2/scale", "layer_norm_4/scale"]),
        ("linear{_2n+1}/w", ["linear_1/w", "linear_3/w", "linear_5/w"]),
        ("embedding", ["embedding"] * 3),
    ],
)
def test_the_number_of_the_layer_is_put_in_place(array: str, names: list[str]) -> None:
    assert [array_of(array, number) for number in range(3)] == names


def test_the_preset_names_an_array_for_every_parameter_but_learned_positions() -> None:
    found = read_mapping("haiku")
    assert set(parameters()) - set(found.names) == {"positions.weight"}
    assert len(set(found.names.values())) == len(found.names)
    assert found.transpose
    assert (found.scale_embedding, found.norm_epsilon) == (True, 1e-5)


def test_a_mapping_needs_no_names_for_the_head() -> None:
    names = {name: of for name, of in PRESETS["haiku"].items() if not name.startswith("head.")}
    assert "head.norm.bias" not in read_mapping(names).names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers.{n}.attention.querry.weight": "x"}, r"did you mean 'layers.{n}.attention.query"),
        ({"transposed": True}, "did you mean 'transpose'"),
        ({"embedding.weight": 3}, "embedding.weight is 3; give the name of an array"),
        ({"transpose": "sometimes"}, "mapping: transpose = 'sometimes'"),
        ({"norm_epsilon": 0}, "mapping: norm_epsilon = 0"),
    ],
)
def test_the_error_names_what_is_wrong_with_a_dictionary(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        read_mapping(PRESETS["haiku"] | change)


def test_the_error_names_the_parameters_without_an_array() -> None:
    with pytest.raises(RecipeError, match=r"no array is named for embedding.weight, .* 14 more"):
        read_mapping({"transpose": True})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("haik", None, "there is no mapping .*haik'; use haiku, or a file that ends in"),
        ("none.json", None, "none.json cannot be read"),
        ("bad.json", "{", "bad.json is no JSON: "),
        ("bad.toml", "a = ", "bad.toml is no TOML: "),
        ("list.json", "[1]", "list.json is no mapping"),
        ("nested.toml", "[layers]\nw = 1", "nested.toml: there is no parameter 'layers'"),
    ],
)
def test_the_error_names_what_is_wrong_with_a_file(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(RecipeError, match=message):
        read_mapping(tmp_path / name)


def test_a_mapping_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(RecipeError, match="is no JSON"):
        read_mapping(path)
