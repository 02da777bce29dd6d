"""The schema of a run: the same for a TOML file, command-line options and Python arguments.

seed = 0
metric = "macro_f1"

[data]
source = "reviews.csv"        # or [data.source] with train, validation and test
text = "review"

[split]
test = 0.2

[decide]                      # how probabilities become labels, chosen on validation
abstain = "accuracy=0.95"

[methods.tfidf]

[methods.finetune]
epochs = 3

[methods.with-bert]           # any other name says which method it is
method = "finetune"
encoder = "bert"

[adapt]                       # before the rungs, train an encoder on unlabelled text
corpus = "unlabelled.txt"
encoder = "minilm"

[methods.on-adapted]          # a rung that takes what comes out
method = "finetune"
encoder = "adapted"
"""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from annotated_types import Interval

from finetext.core import registry
from finetext.core.contracts import Method, encoder_of, hyperparameters
from finetext.core.environment import absolute
from finetext.core.errors import RecipeError, UnknownNameError
from finetext.core.settings import (
    Count,
    Positive,
    ReadSettings,
    SplitSettings,
    _refuse_unknown,
    made,
)
from finetext.evaluation.deciding import Deciding
from finetext.storage.locks import RUN_FILES
from finetext.training.record import check_names

if TYPE_CHECKING:
    from finetext.pretraining.adapt import Adaptation


def read_toml(path: str | Path) -> dict[str, Any]:
    """The values in a TOML file; a source that lies beside it is made an absolute path.

    Raises:
        RecipeError: it is missing, or is not TOML.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"there is no recipe {path}") from None
    except (OSError, ValueError) as error:
        raise RecipeError(f"the recipe {path} cannot be read: {error}") from None
    for section, name in (("data", "source"), ("adapt", "corpus"), ("decide", "costs")):
        table = values.get(section)
        if isinstance(table, dict) and name in table:
            table[name] = _found_beside(Path(path).absolute().parent, table[name])
    return values


def _found_beside(folder: Path, source: Any) -> Any:
    """A source, or several, with the absolute path of what lies in the folder."""
    if isinstance(source, dict):
        return {split: _found_beside(folder, of) for split, of in source.items()}
    if isinstance(source, list):
        return [_found_beside(folder, of) for of in source]
    if isinstance(source, str) and source and os.path.exists(folder / source):
        return str(folder / source)
    return source


BASELINES: Final = ("majority", "tfidf")
LADDER: Final = ("majority", "tfidf", "probe", "finetune")
LARGEST_SEED: Final = 2**32 - 1
ADAPTED: Final = "adapted"
"""The encoder that a run adapts itself, as rungs name it, and its folder in the run folder."""
KNOBS: Final = ("track", "checkpoint_seconds", "checkpoint_steps")
"""The settings that change no result; a run can be gone on with under others."""
TOP: Final = ("seed", "seeds", "device", "metric", *KNOBS)
"""The settings that are in no section."""
SECTIONS: Final = ("data", "split", "adapt", "decide", "methods")


@dataclass(frozen=True)
class Adapting:
    """The section `[adapt]`: what a run does before its rungs.

    Attributes:
        settings: the encoder to start from, and the hyperparameters.
        corpus: file, folder or data set of unlabelled text, or several; None (the default) takes
            the texts of the training rows.
        content_hash: hash of the corpus that a former run read, or None; another content is
            reported.
    """

    settings: Adaptation
    corpus: str | tuple[str, ...] | None = None
    content_hash: str | None = None

    @property
    def encoder(self) -> str:
        """The encoder to start from."""
        return self.settings.encoder

    def to_values(self) -> dict[str, Any]:
        """The section as it is written, all hyperparameters in it."""
        paths = {"corpus": self.corpus, "content_hash": self.content_hash}
        return paths | hyperparameters(self.settings)


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a run.

    Attributes:
        source: what to read: path, URL, `hub:NAME`, name of a sample, or paths by split name.
            None when the data are handed over in Python.
        read: how to read it.
        split: how to divide it.
        methods: the rungs by the name they have in the leaderboard and of their folder: letters,
            digits, `_`, `-` and `.`. The baselines come first, and are added where they are
            missing.
        seed: seed of every random choice, from 0 to 2**32 - 1.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        metric: the metric that chooses on validation rows, "macro_f1" by default.
        content_hash: hash of the data that a former run read, or None; another content is
            reported.
        track: trackers that get the scalars of training beside `log.jsonl`, such as
            "tensorboard"; none by default.
        checkpoint_seconds: seconds between two states that training keeps for `resume`, 60 by
            default.
        checkpoint_steps: steps between two of them as well; None (the default) goes by the
            seconds alone.
        adapt: how to adapt an encoder to unlabelled text first, for the rungs whose encoder is
            "adapted"; None (the default) does not.
        decide: how probabilities are to become labels.
        seeds: how often every rung is trained, from `seed` upwards, 1 by default; the first makes
            the models, the others show how far scores vary.
    """

    source: str | Mapping[str, str] | None = None
    read: ReadSettings = field(default_factory=ReadSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    methods: Mapping[str, Method] = field(default_factory=lambda: ladder(LADDER))
    seed: int = 0
    device: str = "auto"
    metric: str = "macro_f1"
    content_hash: str | None = None
    track: tuple[str, ...] = ()
    checkpoint_seconds: Positive = 60.0
    checkpoint_steps: Count | None = None
    adapt: Adapting | None = None
    decide: Deciding = field(default_factory=Deciding)
    seeds: Annotated[int, Interval(ge=1, le=100)] = 1

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= LARGEST_SEED:
            raise RecipeError(f"the seed is {self.seed}; it must lie from 0 to {LARGEST_SEED}")
        registry.load("metrics", self.metric)
        check_names(self.track)
        methods = dict(self.methods)
        for name, method in self.methods.items():
            _check_name(name)
            if encoder_of(method) == ADAPTED and self.adapt is None:
                methods[name] = _with_folder(name, method)
        checked = {name: _validated(name, method) for name, method in methods.items()}
        object.__setattr__(self, "methods", ladder(BASELINES) | checked)

    @classmethod
    def from_file(cls, path: str | Path) -> Recipe:
        """Read a TOML file.

        Raises:
            RecipeError: it is missing, is not TOML, or has a setting that does not exist or fit.
        """
        return cls.from_values(read_toml(path))

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Recipe:
        """Build a recipe from nested mappings in the form of the TOML file.

        Raises:
            RecipeError: a setting does not exist or does not fit; the message names it.
            UnknownNameError: there is no such method or metric.
        """
        data = dict(_section(values, "data"))
        source = data.pop("source", None)
        content_hash = data.pop("content_hash", None)
        top = {k: v for k, v in values.items() if k not in SECTIONS}
        _refuse_unknown("the recipe", top, (*TOP, *SECTIONS))
        methods = {
            name: _method(name, _section(_section(values, "methods"), name))
            for name in _section(values, "methods")
        }
        return made(
            "the recipe",
            cls,
            top
            | {
                "source": source,
                "read": made("[data]", ReadSettings, data),
                "split": made("[split]", SplitSettings, _section(values, "split")),
                "decide": made("[decide]", Deciding, _section(values, "decide")),
                "methods": methods or ladder(LADDER),
                "content_hash": content_hash,
            }
            | ({"adapt": _adapting(_section(values, "adapt"))} if "adapt" in values else {}),
        )

    def to_toml(self) -> str:
        """The recipe as a TOML file.

        All hyperparameters are in it, so that later defaults change nothing; of the settings of
        reading and splitting only those that are not at their default.
        """
        import tomli_w

        data = {"source": self.source, "content_hash": self.content_hash} | _set(self.read)
        methods = {}
        for name, method in self.methods.items():
            kind = {} if name == type(method).name else {"method": type(method).name}
            methods[name] = kind | hyperparameters(method)
        values = {
            "seed": self.seed,
            "seeds": self.seeds,
            "device": self.device,
            "metric": self.metric,
            **{name: of for name, of in _set(self).items() if name in KNOBS},
            "data": data,
            "split": _set(self.split),
            "decide": _set(self.decide),
            **({} if self.adapt is None else {"adapt": self.adapt.to_values()}),
            "methods": methods,
        }
        return tomli_w.dumps(_without_none(values))


def ladder(
    methods: Iterable[str | Method], known: Mapping[str, Method] | None = None
) -> dict[str, Method]:
    """Methods by name: as they are given, or those that a name stands for.

    Methods of one kind with different hyperparameters are numbered: `finetune`, `finetune-2`, ...

    Args:
        methods: methods, and names of methods.
        known: what a name stands for; for any other it is the method of that name with its
            default hyperparameters.

    Raises:
        UnknownNameError: there is no method of that name.
    """
    known, found = known or {}, dict[str, Method]()
    for given in methods:
        if not isinstance(given, str):
            name, method = given.name, given
        else:
            name = given
            method = known[name] if name in known else registry.load("methods", name)()
        number = 1
        while name in found and found[name] != method:
            number += 1
            name = f"{method.name}-{number}"
        found[name] = method
    return found


def _check_name(name: str) -> None:
    """Refuse a name that cannot be that of a folder in the run folder."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise RecipeError(
            f"[methods.{name!r}]: a rung is named with letters, digits, '_', '-' and '.' only, "
            "and neither '-' nor '.' comes first"
        )
    if name.lower() in RUN_FILES:
        raise RecipeError(f"[methods.{name}]: a rung cannot have the name of a file of the run")


def _with_folder(name: str, method: Method) -> Method:
    """A rung that takes the encoder "adapted" with the folder of this name, as no run makes one.

    Raises:
        RecipeError: there is no such folder.
    """
    if not os.path.isdir(ADAPTED):
        raise RecipeError(
            f'[methods.{name}]: encoder = "{ADAPTED}" is what the section [adapt] makes, and the '
            "recipe has none; nor is there a folder of this name"
        )
    return dataclasses.replace(method, encoder=absolute(ADAPTED))  # type: ignore[type-var]


def _method(name: str, values: Mapping[str, Any]) -> Method:
    settings = dict(values)
    kind = settings.pop("method", name)
    if kind not in registry.names("methods"):
        raise UnknownNameError("method", str(kind), registry.names("methods"))
    method: Method = made(f"[methods.{name}]", registry.load("methods", kind), settings)
    return method


def _validated(name: str, method: Method) -> Method:
    """The method again, with the types and ranges of its hyperparameters checked."""
    return made(f"[methods.{name}]", type(method), hyperparameters(method))


def _adapting(section: Mapping[str, Any]) -> Adapting:
    """The section `[adapt]`, checked."""
    from finetext.pretraining.adapt import Adaptation

    own = {name: of for name, of in section.items() if name in ("corpus", "content_hash")}
    corpus = own.get("corpus")
    paths = corpus if isinstance(corpus, list) else ["." if corpus is None else corpus]
    if not paths or not all(isinstance(path, str) and path for path in paths):
        raise RecipeError(f"[adapt]: corpus = {corpus!r} must be a path or a list of paths")
    if isinstance(corpus, list):
        own["corpus"] = tuple(corpus)
    rest = {name: of for name, of in section.items() if name not in own}
    return Adapting(made("[adapt]", Adaptation, rest), **own)


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = values.get(name, {})
    if not isinstance(section, Mapping):
        raise RecipeError(f"{name} in the recipe must be a table, not {section!r}")
    return section


def _set(settings: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not at their default."""
    values = {f.name: (getattr(settings, f.name), f.default) for f in dataclasses.fields(settings)}
    return {name: value for name, (value, default) in values.items() if value != default}


def _without_none(value: Any) -> Any:
    """Nested mappings and sequences in the types that TOML knows, None left out."""
    if isinstance(value, Mapping):
        return {str(k): _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return str(value) if isinstance(value, Path) else value
