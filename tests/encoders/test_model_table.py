"""The table of encoders: what is in it, how it is filtered and shown."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import finetext
from finetext.core.errors import UnknownNameError
from finetext.core.types import Dataset
from finetext.encoders.catalogue import ENTRIES, PRESETS, TASKS, language_codes, on_this_machine
from finetext.encoders.model_table import ModelTable, models


def aliases(table: ModelTable) -> list[str]:
    return [entry.alias for entry in table]


def test_it_is_a_sequence_of_entries() -> None:
    table = finetext.models()
    assert isinstance(table, finetext.ModelTable)
    assert list(table) == list(ENTRIES)
    assert len(table) == len(ENTRIES)
    assert table[0] is ENTRIES[0]
    assert ENTRIES[3] in table
    assert table[1:3] == ModelTable(ENTRIES[1:3])
    with pytest.raises(AttributeError):
        table.entries = ()  # type: ignore[misc]


def test_the_function_is_there_whether_or_not_its_package_was_imported() -> None:
    import finetext.models.hub

    assert finetext.models("zero-shot") == models("zero-shot")
    assert finetext.models.__doc__ == models.__doc__


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_kept_in_any_spelling(task: str) -> None:
    table = models(task)
    assert aliases(table) == [entry.alias for entry in ENTRIES if task in entry.tasks]
    assert len(table) >= 2
    for same in (task.upper(), task.replace("-", "_"), task.replace("-", " ")):
        assert models(same) == table


def test_zero_shot_models_are_listed_and_most_can_be_fine_tuned() -> None:
    table = models("zero-shot-classification")
    assert {"bart-mnli", "xlm-roberta-xnli", "deberta-zeroshot"} <= set(aliases(table))
    only = table.filter(finetunable=False)
    assert aliases(only) == ["gliclass-base"]
    assert only[0].tasks == ("zero-shot",)
    rest = [entry for entry in table if entry not in only]
    assert list(table.filter("text-classification", finetunable=True)) == rest


def test_an_unknown_task_lists_those_that_exist() -> None:
    with pytest.raises(UnknownNameError, match=r"named .summarization.; there are: .*zero-shot"):
        models("summarization")


@pytest.mark.parametrize("language", ["German", "german", "de", "DE", "de-AT", "de_DE"])
def test_a_language_is_found_by_name_and_code(language: str) -> None:
    found = aliases(models(language=language))
    assert {"mbert", "xlm-roberta", "mdeberta-xnli", "multilingual-minilm"} <= set(found)
    assert "bert" not in found


def test_languages_differ_between_models() -> None:
    assert aliases(models(language="Yoruba")) == ["mbert", "distilmbert"]
    own = [entry for entry in ENTRIES if "en" not in entry.language_codes]
    assert len(models(language="English")) == len(ENTRIES) - len(own)
    assert {"gbert", "camembert"} <= {entry.alias for entry in own}
    several = models(language="multilingual")
    assert several == models(language="Greek")
    with pytest.raises(UnknownNameError, match="no language named 'Klingon'"):
        models(language="Klingon")
    known = set(language_codes().values())
    assert known == {code for entry in ENTRIES for code in entry.language_codes}


def test_filters_are_joined_and_can_be_applied_one_after_another() -> None:
    table = models("fill-mask", language="fr", on_this_machine=False)
    step_by_step = models(language="fr").filter(on_this_machine=False).filter("fill-mask")
    assert table == step_by_step
    assert aliases(models(finetunable=False)) == ["gliclass-base"]
    assert len(models(finetunable=True)) == len(ENTRIES) - 1
    here = models(on_this_machine=True)
    assert aliases(here) == [entry.alias for entry in ENTRIES if on_this_machine(entry)]


def test_presets_are_named_where_they_fit() -> None:
    for table in (models(), models("text-classification"), models(finetunable=True)):
        assert table.presets == PRESETS
        assert "random:tiny " in repr(table)
        assert "random:tiny," in table._repr_html_()
    for table in (models("zero-shot"), models(finetunable=False), models(on_this_machine=False)):
        assert "random:" not in repr(table) + table._repr_html_()


def test_the_text_is_aligned_and_fits_a_terminal() -> None:
    lines = repr(models()).splitlines()
    assert max(map(len, lines)) <= 85
    facts = [line for line in lines[: 1 + 3 * len(ENTRIES)] if not line.startswith(" ")]
    start = facts[0].index("languages")
    assert [line[start - 1] for line in facts] == [" "] * len(facts)
    assert [line.split()[0] for line in facts[1:]] == [entry.alias for entry in ENTRIES]
    for entry in ENTRIES:
        assert f"    {entry.description}" in lines
        assert any(line.startswith(f"    {entry.source} ({entry.licence})") for line in lines)
    zero_shot = models("zero-shot")
    assert str(zero_shot).count("also for zero-shot") == len(zero_shot) - 1
    assert str(zero_shot).count("only for zero-shot") == 1
    assert repr(models("fill-mask", finetunable=False)).startswith("no encoder in the list fits")


def test_html_has_a_cell_for_each_fact() -> None:
    tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            tags.append(tag)

    Tags().feed(models()._repr_html_())
    assert tags.count("tr") == 1 + len(ENTRIES)
    assert tags.count("td") == 10 * len(ENTRIES)
    assert "22.7 M" in models()._repr_html_()


def test_the_data_frame_has_typed_columns() -> None:
    frame = models().to_pandas()
    assert list(frame["name"]) == [entry.alias for entry in ENTRIES]
    assert frame["parameters"].dtype == float
    assert frame["finetunable"].dtype == bool
    assert list(models("fill-mask", finetunable=False).to_pandas().columns) == list(frame.columns)


@pytest.fixture(scope="module")
def bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BART like the published one but for its sizes, with a head for inference."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BartConfig, BartForSequenceClassification, PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    signs = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({of: n for n, of in enumerate([*special, *signs])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = ("bos_token", "pad_token", "eos_token", "unk_token")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=64, **dict(zip(names, special, strict=True))
    )
    sizes = {
        f"{part}_{of}": 2 for part in ("encoder", "decoder") for of in ("layers", "attention_heads")
    }
    config = BartConfig(
        vocab_size=len(tokenizer), d_model=16, max_position_embeddings=64, num_labels=3,
        encoder_ffn_dim=32, decoder_ffn_dim=32, **sizes,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("bart")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BartForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "method",
    [
        lambda encoder: finetext.Finetune(encoder=encoder, epochs=1, batch_size=8),
        lambda encoder: finetext.Probe(encoder=encoder),
    ],
    ids=["finetune", "probe"],
)
def test_an_encoder_with_a_decoder_learns_and_takes_any_text(
    bart: Path, topics: Dataset, tmp_path: Path, method: Callable[[str], Any]
) -> None:
    """BART wants just one end token per text, also where the text itself has one."""
    from finetext.core.contracts import FitContext

    fitted = method(str(bart)).fit(topics, topics, FitContext(device="cpu"))
    texts = ["the </s> team </s>", "the team won", "", "</s>"]
    found = fitted.predict_proba(texts)
    assert found.shape == (4, 3)
    fitted.save(tmp_path / "model")
    again = finetext.load(tmp_path / "model")
    assert again.predict_proba(texts).tolist() == found.tolist()
    alone = [again.predict_proba([text])[0].tolist() for text in texts]
    assert alone == [pytest.approx(row.tolist(), abs=1e-5) for row in found]
