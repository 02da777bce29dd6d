"""Configurations that name code, kernels or files elsewhere are refused by the name of the key."""

from __future__ import annotations

from typing import Any

import pytest

from finetext.core.errors import ModelError
from finetext.encoders.config_keys import check_config, check_tokenizer_config

BERT: dict[str, Any] = {"model_type": "bert"}
REFUSED: dict[str, Any] = {
    "auto_map": {"AutoConfig": "own.OwnConfig"},
    "trust_remote_code": True,
    "code_revision": "main",
    "custom_pipelines": {"mine": {"impl": "own.Pipeline"}},
    "custom_generate": "jane/own",
    "attn_implementation": "jane/kernel:attention",
    "_attn_implementation": "../kernel",
    "_attn_implementation_internal": "kernels-community/flash-attn",
    "experts_implementation": "jane/kernel",
    "_experts_implementation_internal": {"": "jane/kernel"},
    "use_kernels": True,
    "kernel_config": {"RMSNorm": "jane/kernel:RMSNorm"},
    "norm_kernel": "jane/kernel",
    "quantization_config": {"quant_method": "own"},
    "transformers_weights": "../model.safetensors",
    "configuration_files": ["../../config.4.0.0.json"],
    "backbone": "hf-hub:jane/own",
    "distributed_config": {"tp_size": 2},
    "_attn_implementation_autoset": "own/kernel",
    "sub_configs": {"text_config": "own"},
    "__class__": "own",
    "dtype": "load",
    "torch_dtype": "ops",
    "tokenizer_class": "own.Tokenizer",
    "num_hidden_layers": 10**9,
    "encoder_layers": 10**9,
    "r_layers": 10**9,
    "num_layers": 1e9,
    "inner_group_num": 10**9,
    "max_depth": 10**9,
    "num_self_attends_per_block": 10**9,
    "attention_types": [[["global", "local"], 10**9]],
    "num_labels": 10**9,
}


@pytest.mark.parametrize("key", REFUSED)
def test_keys_are_refused_by_name_at_any_depth(key: str) -> None:
    config = {key: REFUSED[key]}
    for whole in (BERT | config, BERT | {"text_config": {"inner": [config]}}):
        with pytest.raises(ModelError, match=rf"m: config\.json has {key} = "):
            check_config("m", "config.json", whole, True)


@pytest.mark.parametrize(
    "kind", ["own", "timm_wrapper", "rag", "vit", ["bert"], 1, {}, "../bert", "bert/../own"]
)
def test_only_architectures_of_text_models_are_allowed(kind: Any) -> None:
    with pytest.raises(ModelError, match="model_type"):
        check_config("m", "config.json", {"model_type": kind}, True)


@pytest.mark.parametrize("kind", ["own", "timm_wrapper", ["bert"]])
def test_nested_architectures_are_those_of_transformers(kind: Any) -> None:
    with pytest.raises(ModelError, match="model_type"):
        check_config("m", "config.json", BERT | {"vision_config": {"model_type": kind}}, True)


@pytest.mark.parametrize("config", [None, [], "bert", {}, {"model_type": None}])
def test_a_configuration_needs_an_architecture(config: Any) -> None:
    with pytest.raises(ModelError, match=r"m: config\.json"):
        check_config("m", "config.json", config, True)


def test_deep_nesting_is_refused() -> None:
    config: dict[str, Any] = {}
    for _ in range(100):
        config = {"a": [config]}
    with pytest.raises(ModelError, match="nested more than"):
        check_config("m", "config.json", BERT | config, True)


def test_what_published_configurations_say_is_allowed() -> None:
    check_config("m", "config.json", {
        "model_type": "roberta", "_name_or_path": "/home/jane/roberta", "num_hidden_layers": 24,
        "attn_implementation": "sdpa", "_attn_implementation_internal": None, "auto_map": {},
        "_attn_implementation_autoset": False,
        "torch_dtype": "bfloat16", "conv_kernel_size": 3, "conv_kernel": [10, 3],
        "use_mamba_kernels": 1, "quantization_config": None, "tokenizer_class": "BertTokenizer",
        "id2label": {"0": "auto_map", "1": "kernel"},
        "label2id": {"auto_map": 0, "use_kernels": 1}, "task_specific_params": None,
    }, True)  # fmt: skip


def test_all_model_types_of_the_catalogue_and_of_finetext_are_allowed() -> None:
    kinds = (
        "bert", "roberta", "xlm-roberta", "distilbert", "electra", "deberta-v2", "modernbert",
        "mpnet", "albert", "camembert", "xlnet", "gpt2", "llama", "qwen2", "t5", "bart", "fnet",
        "finetext-transformer", "finetext-concat-pooled", "awd_lstm", "nomic_bert", "funnel",
    )  # fmt: skip
    for kind in kinds:
        if kind != "nomic_bert":
            check_config("m", "config.json", {"model_type": kind}, True)


def test_paths_in_the_configuration_of_a_tokenizer_are_dropped() -> None:
    kept = {"tokenizer_class": "BertTokenizer", "unk_token": "/", "model_max_length": 1e30,
            "chat_template": "/{{ x }}"}  # fmt: skip
    paths = {
        "vocab_file": "/etc/passwd", "tokenizer_file": "../tokenizer.json",
        "special_tokens_map_file": "/root/x", "name_or_path": "jane/own", "gguf_file": "x.gguf",
        "source_spm": "x", "vocab": "x", "anything": "~/x", "other": "a/../../b",
    }  # fmt: skip
    assert check_tokenizer_config("m", "tokenizer_config.json", kept | paths) == kept


def test_special_tokens_are_all_that_their_file_sets() -> None:
    values = {"unk_token": "[UNK]", "extra_special_tokens": ["a"], "vocab_file": "/x", "other": 1}
    found = check_tokenizer_config("m", "special_tokens_map.json", values, True)
    assert found == {"unk_token": "[UNK]", "extra_special_tokens": ["a"]}


@pytest.mark.parametrize(
    "config",
    [
        {"auto_map": {"AutoTokenizer": ["own.Own", None]}},
        {"tokenizer_class": "AutoTokenizer"},
        {"tokenizer_class": "RagTokenizer"},
        {"tokenizer_class": "Trainer"},
        {"init_inputs": ["/etc/passwd"]},
        {"fast_tokenizer_files": ["../tokenizer.4.0.0.json"]},
        {"mecab_kwargs": {"mecab_option": "-r /etc/passwd"}},
        {"sudachi_kwargs": {"sudachi_config_path": "x"}},
        {"sp_model_kwargs": {"model_file": "/etc/passwd"}},
    ],
)
def test_options_of_tokenizers_that_load_files_are_refused(config: dict[str, Any]) -> None:
    key = next(iter(config))
    with pytest.raises(ModelError, match=rf"m: tokenizer_config\.json has {key}"):
        check_tokenizer_config("m", "tokenizer_config.json", config)


def test_harmless_options_of_tokenizers_are_kept() -> None:
    config = {
        "mecab_kwargs": {"mecab_dic": "unidic_lite"}, "jumanpp_kwargs": None,
        "sp_model_kwargs": {"enable_sampling": True, "alpha": 0.1},
    }  # fmt: skip
    assert check_tokenizer_config("m", "tokenizer_config.json", config) == config
