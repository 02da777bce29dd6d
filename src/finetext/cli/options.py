"""The options that several commands share, and bundles of those that go together."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_type_hints

from typer import Argument, Option

from finetext.cli.completion import offer
from finetext.core.console import printing_interrupts
from finetext.core.errors import DataError, RecipeError
from finetext.core.paths import expanded
from finetext.core.settings import LARGEST_SEED

if TYPE_CHECKING:
    from finetext.core.console import Screen

    Columns = Mapping[str, Sequence[Any]]


def argument(metavar: str, help: str) -> Any:
    """Return a positional argument."""
    return Argument(metavar=metavar, help=help)


def option(metavar: str, help: str, *names: str, **more: Any) -> Any:
    """Return an option with a value, by default named after its parameter."""
    return Option(*names, metavar=metavar, help=help, **more)


def flag(name: str, help: str, *names: str) -> Any:
    """Return an option without a value."""
    return Option(name, *names, help=help)


_SOURCE: Final = "File, folder, archive, URL, hub:NAME or sample."
Data = Annotated[str, argument("DATA", _SOURCE)]
OptionalData = Annotated[str | None, argument("DATA", _SOURCE)]
Model = Annotated[
    Path, argument("MODEL", "Run folder, RUN/METHOD, model folder or hub:USER/NAME[@REV].")
]
RunFolder = Annotated[Path, argument("RUN", "A run folder.")]
Text = Annotated[str | None, option("COLUMN", "Column of the texts, or several: title,body.")]
Label = Annotated[str | None, option("COLUMN", "Column of the labels, or several of 0 and 1.")]
RowId = Annotated[str | None, option("COLUMN", "Column of unique row ids.")]
Header = Annotated[
    bool | None, flag("--header/--no-header", "Whether the first row names the columns.")
]
Sheet = Annotated[str | None, option("NAME", "Sheet of an Excel file.")]
DataSettings = Annotated[
    list[str] | None, option("KEY=VALUE", "Any option of reading: data.encoding=latin-1", "--set")
]
Methods = Annotated[str | None, option("NAMES", "Methods, joined by commas; default: by rows.")]
Part = Annotated[
    str, option("NAME", "Rows: validation, test; all if cross-validated.", "--split", "--part")
]
OneMethod = Annotated[str | None, option("NAME", "Method of the run; the best by default.")]
Encoder = Annotated[str | None, option("NAME", "Alias, Hub name or folder (finetext models).")]
Epochs = Annotated[int | None, option("NUMBER", "Epochs of finetune.")]
Precision = Annotated[str | None, option("NAME", "auto (the default), fp32, bf16, fp16 (GPU).")]
ModelPrecision = Annotated[
    str | None, option("NAME", "auto, fp32, bf16 or fp16 (GPU); else that of the model.")
]
Track = Annotated[str | None, option("NAMES", "Trackers, joined by commas: tensorboard, ...")]
CheckpointSeconds = Annotated[
    float | None, option("SECONDS", "Time between checkpoints; 60 by default.")
]
HiddenCheckpointSeconds = Annotated[
    float | None, option("SECONDS", "Time between checkpoints; 60 by default.", hidden=True)
]
HiddenTrack = Annotated[
    str | None, option("NAMES", "Trackers, joined by commas: tensorboard, ...", hidden=True)
]
Jobs = Annotated[int | None, option("NUMBER", "Fits at once, on a share of the cores each.", min=1)]
RunOut = Annotated[Path | None, option("FOLDER", "Run folder; runs/NAME by default.")]
Resume = Annotated[bool, flag("--resume", "Resume the run that was stopped or killed.")]
Force = Annotated[bool, flag("--force", "Replace files that exist.")]
Locale = Annotated[
    str | None, option("NAME", "CSV for spreadsheets in a language: de, en, fr, ...")
]
KeepFormulas = Annotated[
    bool, flag("--keep-formulas", "Put no ' before cells that a spreadsheet runs.")
]
Seed = Annotated[
    int | None,
    option("NUMBER", "Random seed; 0 by default.", min=0, max=LARGEST_SEED),
]
OutOfScopeLabel = Annotated[str | None, option("NAME", "Label of texts of no class.")]
HiddenOutOfScopeLabel = Annotated[
    str | None, option("NAME", "Label of texts of no class.", hidden=True)
]
Llm = Annotated[str | None, option("URL", "Ask an LLM, too, with --llm-model, --llm-budget.")]
LlmModel = Annotated[str | None, option("NAME", "Model at the address of --llm.", hidden=True)]
LlmBudget = Annotated[
    int | None, option("TOKENS", "Most tokens of all its texts.", hidden=True, min=1)
]
Positive = Annotated[str | None, option("LABEL", "Positive class of two; yes, or the second.")]
Margin = Annotated[float | None, option("NUMBER", "So far behind still is as good; 0.02.")]
HiddenMargin = Annotated[
    float | None, option("NUMBER", "So far behind still is as good; 0.02.", hidden=True)
]
Device = Annotated[str | None, option("NAME", "auto, cpu, cuda, cuda:NUMBER or mps.")]


@dataclass(frozen=True)
class Reading:
    """How to read labeled data; see `finetext.core.settings.ReadSettings`."""

    text: Text = None
    label: Label = None
    group: Annotated[str | None, option("COLUMN", "Groups that splits keep whole.")] = None
    id: RowId = None
    header: Header = None
    sheet: Sheet = None
    label_names: Annotated[str | None, option("FILE", "File with the names of label ids.")] = None
    drop_unlabelled: Annotated[bool, flag("--drop-unlabelled", "Drop unlabeled rows.")] = False

    def given(self) -> dict[str, Any]:
        """Return the settings that were given."""
        values = {field.name: getattr(self, field.name) for field in fields(Reading)}
        if self.label is not None and "," in self.label:
            values["label"] = tuple(name.strip() for name in self.label.split(","))
        values["drop_unlabelled"] = self.drop_unlabelled or None
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Training(Reading):
    """What to train on, from a recipe or from options."""

    validation: Annotated[str | None, option("DATA", "Ready-made validation rows, as DATA.")] = None
    test: Annotated[str | None, option("DATA", "Ready-made test rows, as DATA.")] = None
    encoder: Encoder = None
    max_length: Annotated[
        int | None, option("TOKENS", "Truncate texts; by default as the method does.")
    ] = None
    settings: Annotated[
        list[str] | None, option("KEY=VALUE", "Any key of a recipe: split.strategy=random", "--set")
    ] = None
    recipe: Annotated[Path | None, option("FILE", "Start from this recipe (TOML).")] = None
    seed: Seed = None
    device: Device = None


@dataclass(frozen=True)
class SplitTraining(Training):
    """The same, with the sizes of the splits: shares or counts of rows."""

    train_size: Annotated[str | None, option("SIZE", "Training rows: share or count.")] = None
    validation_size: Annotated[str | None, option("SIZE", "Validation rows; default 0.15.")] = None
    test_size: Annotated[str | None, option("SIZE", "Test rows; default 0.15.")] = None
    keep_duplicates: Annotated[
        bool, flag("--keep-duplicates", "Let copies of a text be in several splits.")
    ] = False
    positive: Positive = None


@dataclass(frozen=True)
class RunTraining(SplitTraining):
    """The same, for a run, which can do without test rows."""

    cross_validate: Annotated[
        bool, flag("--cross-validate", "Score on all rows (--no-cross-validate: never).")
    ] = False
    llm: Llm = None
    llm_model: LlmModel = None
    llm_budget: LlmBudget = None
    # In one option with the other it would be so wide that the help of all would wrap.
    no_cross_validate: Annotated[
        bool, Option("--no-cross-validate", hidden=True, help="Hold out test rows.")
    ] = False
    out_of_scope: Annotated[
        bool, flag("--out-of-scope", "Recognize texts of no class (--out-of-scope-label).")
    ] = False
    # In the help it would be so wide that that of others would wrap.
    out_of_scope_label: HiddenOutOfScopeLabel = None

    @property
    def of_llm(self) -> dict[str, Any]:
        """The hyperparameters of the method `llm` that were given."""
        return of_llm(self.llm, self.llm_model, self.llm_budget)

    @property
    def is_cross_validated(self) -> bool | None:
        """Whether it was asked for; None if nothing was."""
        if self.cross_validate and self.no_cross_validate:
            raise RecipeError("--cross-validate and --no-cross-validate exclude each other")
        return self.cross_validate or (False if self.no_cross_validate else None)


@dataclass(frozen=True)
class TableOut:
    """The table that a command writes."""

    out: Annotated[
        Path | None, option("FILE", "Write .csv, .tsv, .jsonl, .parquet or .xlsx here.")
    ] = None
    locale: Locale = None
    keep_formulas: KeepFormulas = False
    force: Force = False

    def check(self, *inputs: Any) -> None:
        """Raise a DataError, before any work, if the table cannot be written; see `check_table`."""
        from finetext.data.write import check_table

        if self.out is not None:
            check_table(
                self.out, self.force, inputs, locale=self.locale, keep_formulas=self.keep_formulas
            )
        elif self.locale is not None:
            raise DataError(f"--locale {self.locale} needs an output file; name it with --out")

    def write(self, table: Columns, screen: Screen, **sheets: Columns) -> None:
        """Write the table, if a file is named, or to Excel the sheets; show what did not fit."""
        from finetext.data.write import form_of, write_sheets, write_table

        if self.out is None:
            return
        if sheets and form_of(self.out) == ".xlsx":
            screen.findings(write_sheets(self.out, sheets))
        else:
            screen.findings(write_table(self.out, table, self.locale, self.keep_formulas))


@dataclass(frozen=True)
class PictureOut(TableOut):
    """The picture or the table that a command writes."""

    out: Annotated[
        Path | None, option("FILE", "Write a picture (.png, .svg) or a table (.csv, .xlsx, ...).")
    ] = None

    @property
    def written(self) -> dict[str, Path | None]:
        """Return the file by what it is."""
        from finetext.report.plots import FORMATS

        is_picture = self.out is not None and self.out.suffix.lower() in FORMATS
        return {"picture" if is_picture else "table": self.out}

    def check(self, *inputs: Any) -> None:
        """See `TableOut.check`."""
        from finetext.data.write import SUFFIXES, form_of
        from finetext.report.plots import FORMATS
        from finetext.storage.files import check_new

        if self.out is None or form_of(self.out) in SUFFIXES:
            super().check(*inputs)
        elif self.out.suffix.lower() not in FORMATS:
            endings = f"{', '.join(FORMATS)} for a picture, {', '.join(SUFFIXES)} for a table"
            raise DataError(f"{self.out}: the suffix must be one of {endings}")
        elif self.locale is not None:
            raise DataError(f"--locale {self.locale} is for .csv, which {self.out} is not")
        else:
            check_new(self.out, self.force, inputs)

    def save(self, found: Any, screen: Screen) -> None:
        """Draw or write what has a picture and columns, if a file is named."""
        if "picture" in self.written:
            found.plot(self.out)
        elif self.out is not None:
            self.write(found.columns(), screen)


@dataclass(frozen=True)
class Output:
    """What a command prints."""

    quiet: Annotated[bool, flag("--quiet", "Show the result only.", "-q")] = False
    as_json: Annotated[bool, flag("--json", "Print the result as JSON.")] = False
    debug: Annotated[bool, flag("--debug", "Show the traceback of an error.")] = False

    def screen(self, source: object = None) -> Screen:
        """Return where to write; with JSON it takes no messages.

        Commands in findings name the `source` if it is one file or name, else DATA.
        """
        from finetext.core.console import Screen

        named = source if isinstance(source, str) else "DATA"
        return Screen(self.quiet or self.as_json, named)

    def show(self, values: Any, lines: Iterable[str], **written: Path | None) -> None:
        """Print a result, as JSON values or as lines; say which files were written."""
        if self.as_json:
            self.screen().json(values)
        else:
            print("\n".join(lines))
        for what, path in written.items():
            if path is not None:
                self.screen().say(f"{what}: {path}")


def of_llm(url: str | None, model: str | None, budget: int | None) -> dict[str, Any]:
    """Return the hyperparameters of the method `llm` that were given."""
    named = {"url": url, "model": model, "most_tokens": budget}
    return {name: of for name, of in named.items() if of is not None}


def given(bundle: Any) -> dict[str, Any]:
    """Return the options of a bundle that were given, by name."""
    return {name: value for name, value in asdict(bundle).items() if value is not None}


def as_command(function: Callable[..., None]) -> Callable[..., None]:
    """Return the function for typer, with an option for each field of the bundles it takes."""
    parameters: list[inspect.Parameter] = []
    bundles: dict[str, type[Any]] = {}
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        if isinstance(bundle := parameter.annotation, type) and is_dataclass(bundle):
            bundles[name] = bundle
            hints = get_type_hints(bundle, include_extras=True)
            parameters += [
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=inspect.Parameter.empty if field.default is MISSING else field.default,
                    annotation=hints[field.name],
                )
                for field in fields(bundle)
            ]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(function)
    def run(**values: Any) -> None:
        # Neither the shells of Windows nor bash in --out=~/runs replace "~".
        values = {name: expanded(of) if isinstance(of, Path) else of for name, of in values.items()}
        for name, bundle in bundles.items():
            own = [field.name for field in fields(bundle)]
            values[name] = bundle(**{field: values.pop(field) for field in own})
        with printing_interrupts():
            function(**values)

    for one in parameters:
        offer(one.name, one.annotation)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def renamed(
    command: Callable[..., None], former: str, name: str, until: str
) -> Callable[..., None]:
    """Return a command under its former name, which warns on standard error."""

    @wraps(command)
    def run(**values: Any) -> None:
        print(
            f"finetext: `{former}` is now `{name}`; the former name works until version {until}",
            file=sys.stderr,
        )
        command(**values)

    return run
