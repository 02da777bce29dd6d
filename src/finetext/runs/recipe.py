"""The schema of a run: the same for a TOML file, command-line options and Python arguments.

seed = 0
metric = "macro_f1"
margin = 0.02                 # so far behind the best, a cheaper method is as good

[data]
source = "reviews.csv"        # or [data.source] with train, validation and test
text = "review"

[split]
test = 0.2
keep_duplicates = true        # copies of a text may be in several splits

[decide]                      # how probabilities become labels, chosen on validation
abstain = "accuracy=0.95"

[methods.tfidf]

[methods.finetune]
epochs = 3

[methods.with-bert]           # a name of your choice, with the method it stands for
method = "finetune"
encoder = "bert"

[adapt]                       # first train an encoder on unlabeled text
corpus = "unlabeled.txt"
encoder = "minilm"

[methods.on-adapted]          # a method that uses the adapted encoder
method = "finetune"
encoder = "adapted"

Runs of `finetext distill` have a section [weak] as well, see `finetext.data.weak_labels`.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from annotated_types import Interval

from finetext.core import registry
from finetext.core.addresses import recorded
from finetext.core.budget import toml_values
from finetext.core.contracts import Method, encoder_of, hyperparameters
from finetext.core.environment import absolute
from finetext.core.errors import RecipeError, UnknownNameError
from finetext.core.paths import refuse_unportable
from finetext.core.settings import (
    LARGEST_SEED,
    Count,
    NotNegativeCount,
    Positive,
    ReadSettings,
    SplitSettings,
    made,
    refuse_unknown,
)
from finetext.data.weak_labels import WeakLabels
from finetext.encoders.catalogue import is_encoder_name
from finetext.evaluation.deciding import FALSE_ALARMS, Deciding
from finetext.storage.locks import RUN_FILES
from finetext.training.record import check_names

if TYPE_CHECKING:
    from finetext.pretraining.adapt import Adaptation


Minutes = Annotated[float, "use a number of minutes, such as 5 or 0.5"]
LEAST_MINUTES: Final = 0.02
MOST_MINUTES: Final = 7 * 24 * 60
MAJORITY: Final = "majority"
BASELINES: Final = (MAJORITY, "tfidf")
LADDER: Final = (
    MAJORITY, "tfidf", "zeroshot", "static", "probe", "fewshot", "finetune", "blend",
)  # fmt: skip
"""Of these a run fits those that suit its rows; see `finetext.runs.default_methods`."""
ADAPTED: Final = "adapted"
"""The name by which methods take the encoder that a run adapts, and its folder in the run."""
KNOBS: Final = ("track", "checkpoint_seconds", "checkpoint_steps", "keep_checkpoints", "jobs")
"""Settings that change no result, so that a run can be resumed with others."""
TOP: Final = (
    "seed", "seeds", "device", "metric", "margin", "minutes", "refit", "by_rows", *KNOBS,
)  # fmt: skip
"""Settings outside the sections."""
FORMERLY: Final[Mapping[str, Mapping[str, Any]]] = {
    "tfidf": {"by_ratios": False},
    "probe": {"truncation": "head"},
    "finetune": {"truncation": "head"},
}
"""What methods did in runs whose recipes do not say whether methods are fitted again."""
SECTIONS: Final = ("data", "split", "adapt", "decide", "weak", "methods")


def read_toml(path: str | Path) -> dict[str, Any]:
    """Return the values in a TOML file, with absolute paths of the files that lie beside it."""
    try:
        values = toml_values(Path(path).read_text(encoding="utf-8-sig"))
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
    if isinstance(source, dict):
        return {split: _found_beside(folder, of) for split, of in source.items()}
    if isinstance(source, list):
        return [_found_beside(folder, of) for of in source]
    if isinstance(source, str) and source and os.path.exists(folder / source):
        return str(folder / source)
    return source


@dataclass(frozen=True)
class Adapting:
    """The section `[adapt]`; without a corpus the encoder adapts to the texts of training rows."""

    settings: Adaptation
    corpus: str | tuple[str, ...] | None = None
    content_hash: str | None = None

    @property
    def encoder(self) -> str:
        """The encoder to start from."""
        return self.settings.encoder


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a run.

    Attributes:
        source: what to read: path, URL, `hub:NAME`, name of a sample, or paths by split name.
            None when the data are passed in Python.
        read: how to read it.
        split: how to divide it.
        methods: the methods by the names of their leaderboard entries and folders: letters,
            digits, `_`, `-` and `.`. The baselines come first, and are added if missing; methods
            that ask an endpoint come after those that compute, and those that combine others last.
        seed: seed of every random choice, from 0 to 2**32 - 1.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        metric: the metric that chooses on validation rows, "macro_f1" by default.
        content_hash: hash of the data of an earlier run, or None; a change is reported.
        track: trackers that log the training beside `log.jsonl`, such as "tensorboard"; none by
            default.
        checkpoint_seconds: seconds between two checkpoints of training, 60 by default.
        checkpoint_steps: steps between two checkpoints as well; None (the default) goes by the
            seconds alone.
        keep_checkpoints: how many of the best evaluated models of a training stay as model
            folders, `METHOD/checkpoints/step-500`; 0 by default. They come from the first seed.
        adapt: how to adapt an encoder to unlabeled text first, for the methods whose encoder is
            "adapted"; None (the default) adapts none.
        decide: how probabilities become labels; `read.out_of_scope` implies its `out_of_scope`.
        seeds: number of seeds to fit every method with, from `seed` upwards, 1 by default. The
            models come from the first, the others show how much scores vary.
        margin: how far behind the best a cheaper method may be and still count as good, in the
            metric. None (the default) for 0.02 if the metric is a proportion; other metrics, such
            as the log loss, have no usual margin, so that the best is recommended.
        refit: whether every method is fitted again on training and validation rows once these
            have chosen checkpoint, temperature and decision rule. "auto" (the default) does that
            where it costs little, without training in steps or with at most 3,000 training rows;
            not where a decision rule has a target, whose assurance is of the model that reached it.
        by_rows: whether those of the default methods that do not suit the rows are left out (see
            `finetext.runs.default_methods`); not in a list of your own, nor one that a run wrote.
        minutes: how long the run takes from the first row that is read to the report: methods are
            cut or left out to end in time. None (the default) takes the time that it needs.
        jobs: how many independent fits are made at once, each in a process with its share of the
            cores: folds, methods, further seeds, and points of a learning curve. 1 by default.
        weak: where the weak labels of training rows are from; None (the default) if there are none.
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
    keep_checkpoints: NotNegativeCount = 0
    adapt: Adapting | None = None
    decide: Deciding = field(default_factory=Deciding)
    seeds: Annotated[int, Interval(ge=1, le=100)] = 1
    margin: Positive | None = None
    refit: Literal["auto"] | bool = "auto"
    minutes: Minutes | None = None
    by_rows: bool = True
    jobs: Count = 1
    weak: WeakLabels | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= LARGEST_SEED:
            raise RecipeError(f"the seed is {self.seed}; it must lie from 0 to {LARGEST_SEED}")
        metric = registry.load("metrics", self.metric)
        if self.margin is not None and metric.proportion and self.margin >= 1:
            raise RecipeError(
                f"margin = {self.margin:g}: {metric.title} lies between 0 and 1, so a margin must "
                "be below 1, such as 0.02"
            )
        check_names(self.track)
        if self.read.out_of_scope is not None and self.decide.out_of_scope is None:
            decide = dataclasses.replace(self.decide, out_of_scope=FALSE_ALARMS)
            object.__setattr__(self, "decide", decide)
        if self.minutes is not None:
            self._check_minutes()
        methods = {name: self._checked(name, method) for name, method in self.methods.items()}
        every = ladder(BASELINES) | methods
        refuse_unportable("methods", every)
        in_order = sorted(every, key=lambda name: (every[name].combines, every[name].pays_per_text))
        object.__setattr__(self, "methods", {name: every[name] for name in in_order})

    def _check_minutes(self) -> None:
        """Refuse minutes that are no time for a run, or for what has no end that can be planned."""
        minutes = self.minutes
        if not isinstance(minutes, int | float) or not LEAST_MINUTES <= minutes <= MOST_MINUTES:
            raise RecipeError(
                f"minutes = {minutes!r}: give a number of minutes from {LEAST_MINUTES:g} (a bit "
                f"more than a second) to {MOST_MINUTES:,} (a week), such as 5"
            )
        if self.seeds > 1:
            raise RecipeError(
                f"with minutes each method is fitted once, and seeds = {self.seeds} asks for more; "
                "leave one of them out"
            )
        if self.adapt is not None:
            raise RecipeError(
                "with minutes a run adapts no encoder, which takes a time of its own; adapt it "
                "first (finetext adapt), and name its folder as the encoder"
            )

    def _checked(self, name: str, method: Method) -> Method:
        """Return a method with name, types and ranges checked, and "adapted" found as a folder."""
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise RecipeError(
                f"[methods.{name!r}]: the name of a method consists of letters, digits, '_', '-' "
                "and '.', and begins with neither '-' nor '.'"
            )
        if name.lower() in RUN_FILES:
            raise RecipeError(f"[methods.{name}]: a run has a file of this name; choose another")
        settings = hyperparameters(method)
        if encoder_of(method) == ADAPTED and self.adapt is None:
            if not os.path.isdir(ADAPTED):
                raise RecipeError(
                    f'[methods.{name}]: encoder = "{ADAPTED}" needs a section [adapt] in the '
                    f"recipe, or a folder {ADAPTED}; there is neither"
                )
            settings["encoder"] = absolute(ADAPTED)
        return made(f"[methods.{name}]", type(method), settings)

    @classmethod
    def from_file(cls, path: str | Path) -> Recipe:
        """Read a TOML file.

        Raises:
            RecipeError: the file is missing, is not TOML, or has an unknown or invalid setting.
        """
        return cls.from_values(read_toml(path))

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Recipe:
        """Build a recipe from nested mappings in the form of the TOML file.

        Raises:
            RecipeError: a setting is unknown or invalid; the message names it.
            UnknownNameError: there is no such method or metric.
        """
        top = {name: of for name, of in values.items() if name not in SECTIONS}
        refuse_unknown("the recipe", top, (*TOP, *SECTIONS))
        data = dict(_section(values, "data"))
        top |= {name: data.pop(name, None) for name in ("source", "content_hash")}
        # A run records the hash, and since methods are fitted again, whether they are.
        is_early = top["content_hash"] is not None and "refit" not in top
        methods = {}
        for name in (sections := _section(values, "methods")):
            settings = dict(_section(sections, name))
            if (kind := settings.pop("method", name)) not in registry.names("methods"):
                raise UnknownNameError("method", str(kind), registry.names("methods"))
            settings = {**(FORMERLY.get(kind, {}) if is_early else {}), **settings}
            methods[name] = made(f"[methods.{name}]", registry.load("methods", kind), settings)
        top = ({"refit": False} if is_early else {}) | top
        # Since splits keep copies together, a run records that setting.
        early = {} if top["content_hash"] is None else {"keep_duplicates": True}
        divided = {**early, **_section(values, "split")}
        top |= {
            "read": made("[data]", ReadSettings, data),
            "split": made("[split]", SplitSettings, divided),
            "decide": made("[decide]", Deciding, _section(values, "decide")),
            "methods": methods or ladder(LADDER),
        }
        top.setdefault("by_rows", not methods)
        if "adapt" in values:
            top["adapt"] = _adapting(_section(values, "adapt"))
        if "weak" in values:
            top["weak"] = made("[weak]", WeakLabels, _section(values, "weak"))
        return made("the recipe", cls, top)

    def to_toml(self) -> str:
        """Return the recipe as a TOML file.

        The file has all hyperparameters, so that later defaults change nothing; of the settings
        of reading and splitting it has those that are not at their default.
        """
        import tomli_w

        methods = {}
        for name, method in self.methods.items():
            kind = {} if name == type(method).name else {"method": type(method).name}
            methods[name] = kind | hyperparameters(method)
        values: dict[str, Any] = {
            **{name: getattr(self, name) for name in TOP if name not in (*KNOBS, "by_rows")},
            **({"by_rows": True} if self.by_rows else {}),
            **{name: of for name, of in _changed(self).items() if name in KNOBS},
            "data": {"source": recorded(self.source), "content_hash": self.content_hash}
            | _changed(self.read),
            # Always there: runs of earlier versions lack it, and kept duplicates.
            "split": _changed(self.split) | {"keep_duplicates": self.split.keep_duplicates},
            "decide": _changed(self.decide),
        }
        if self.adapt is not None:
            paths = {"corpus": recorded(self.adapt.corpus), "content_hash": self.adapt.content_hash}
            values["adapt"] = paths | hyperparameters(self.adapt.settings)
        if self.weak is not None:
            values["weak"] = dataclasses.asdict(self.weak)
        return tomli_w.dumps(_toml(values | {"methods": methods}))


def ladder(
    methods: Iterable[str | Method], known: Mapping[str, Method] | None = None
) -> dict[str, Method]:
    """Return methods by name; those of one kind are numbered: `finetune`, `finetune-2`, ..."""
    known, found = known or {}, dict[str, Method]()
    for given in [methods] if isinstance(methods, type) else methods:
        if isinstance(given, type):
            raise RecipeError(f"{given.__name__} is a class; give {given.__name__}()")
        name, method = (given, None) if isinstance(given, str) else (given.name, given)
        if method is None:
            if name not in (*known, *registry.names("methods")) and is_encoder_name(name):
                how = f"it is an encoder: take Finetune({name!r}), or --encoder {name}"
                raise UnknownNameError("method", name, (), how)
            method = known[name] if name in known else registry.load("methods", name)()
        number = 1
        while name in found and found[name] != method:
            number += 1
            name = f"{method.name}-{number}"
        found[name] = method
    return found


def _adapting(section: Mapping[str, Any]) -> Adapting:
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


def _changed(settings: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that are not at their default."""
    values = {f.name: (getattr(settings, f.name), f.default) for f in dataclasses.fields(settings)}
    return {name: value for name, (value, default) in values.items() if value != default}


def _toml(value: Any) -> Any:
    """Return nested mappings and sequences in the types of TOML, without None."""
    if isinstance(value, Mapping):
        return {str(k): _toml(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_toml(item) for item in value]
    return str(value) if isinstance(value, Path) else value
