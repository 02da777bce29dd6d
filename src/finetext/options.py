"""The arguments and options of the commands, with the help they show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from typer import Argument, Exit, Option

from finetext import __version__
from finetext.recipe import LARGEST_SEED


def _show_version(asked: bool) -> None:
    if asked:
        print(f"finetext {__version__}")
        raise Exit


_SOURCE: Final = "File, folder, archive, URL, hub:NAME or sample."
Data = Annotated[str, Argument(metavar="DATA", help=_SOURCE)]
OptionalData = Annotated[str | None, Argument(metavar="DATA", help=_SOURCE)]
Model = Annotated[
    Path, Argument(metavar="MODEL", help="A model folder, or a run folder for its best model.")
]
Input = Annotated[str, Argument(metavar="INPUT", help="A text, a file, or - for lines.")]
RunFolder = Annotated[Path, Argument(metavar="RUN", help="A run folder.")]

Validation = Annotated[
    str | None, Option(metavar="DATA", help="Ready-made validation rows, as DATA.")
]
Test = Annotated[str | None, Option(metavar="DATA", help="Ready-made test rows, as DATA.")]
Text = Annotated[
    str | None, Option(metavar="COLUMN", help="Column of the texts; found by default.")
]
Label = Annotated[
    str | None,
    Option(metavar="COLUMN", help="Column of the labels, or several of 0 and 1."),
]
Group = Annotated[
    str | None, Option(metavar="COLUMN", help="Column of groups never to be split up.")
]
RowId = Annotated[str | None, Option("--id", metavar="COLUMN", help="Column of unique row names.")]
LabelNames = Annotated[str | None, Option(metavar="FILE", help="File with the names of label ids.")]
DropUnlabelled = Annotated[
    bool, Option("--drop-unlabelled", help="Leave rows without a label out.")
]
DataSettings = Annotated[
    list[str] | None,
    Option("--set", metavar="KEY=VALUE", help="Any setting of reading: data.encoding=latin-1"),
]
Settings = Annotated[
    list[str] | None,
    Option("--set", metavar="KEY=VALUE", help="Any setting of a recipe: split.strategy=random"),
]

Methods = Annotated[
    str | None,
    Option(metavar="NAMES", help="Rungs, joined by commas; all by default."),
]
Encoder = Annotated[
    str | None, Option(metavar="NAME", help="Alias, Hub name or folder (finetext models).")
]
MaxLength = Annotated[
    int | None, Option(metavar="TOKENS", help="Where texts are cut; the context by default.")
]
Epochs = Annotated[int | None, Option(metavar="NUMBER", help="Passes of finetune over train.")]
TrainSize = Annotated[str | None, Option(metavar="SIZE", help="Rows of train: share or count.")]
ValidationSize = Annotated[
    str | None, Option(metavar="SIZE", help="Rows of validation; 0.15 by default.")
]
TestSize = Annotated[str | None, Option(metavar="SIZE", help="Rows of test; 0.15 by default.")]
Metric = Annotated[
    str | None, Option(metavar="NAME", help="Chooses on validation; macro_f1 by default.")
]
RecipeFile = Annotated[
    Path | None, Option("--recipe", metavar="FILE", help="Start from this recipe (TOML).")
]
RunOut = Annotated[
    Path | None, Option("--out", metavar="FOLDER", help="Run folder; runs/NAME by default.")
]
Precision = Annotated[
    str | None, Option(metavar="NAME", help="auto, fp32 or bf16; auto by default.")
]
Resume = Annotated[bool, Option("--resume", help="Go on with the run that was stopped or killed.")]
Track = Annotated[
    str | None, Option(metavar="NAMES", help="Trackers, joined by commas: tensorboard, ...")
]
CheckpointSeconds = Annotated[
    float | None,
    Option(metavar="SECONDS", help="Time between states to resume; 60 by default."),
]

ExploredEncoder = Annotated[
    str, Option("--encoder", metavar="NAME", help="Whose tokens are counted.")
]
Tokens = Annotated[
    int | None, Option(metavar="ROW", help="Show how this row is tokenised, from 1.")
]
Batch = Annotated[bool, Option("--batch", help="Show a batch of eight rows as in training.")]
Page = Annotated[Path | None, Option("--html", metavar="FILE", help="Write a page with plots.")]
TableOut = Annotated[
    Path | None,
    Option("--out", metavar="FILE", help="Write .csv, .tsv, .jsonl or .parquet here."),
]
Results = Annotated[
    int | None, Option(metavar="NUMBER", min=1, help="Show so many predictions beside truths.")
]
OneMethod = Annotated[
    str | None, Option("--method", metavar="NAME", help="Whose predictions; the best by default.")
]

Seed = Annotated[
    int | None,
    Option(
        metavar="NUMBER", min=0, max=LARGEST_SEED, help="Seed of every random choice; 0 by default."
    ),
]
Device = Annotated[str | None, Option(metavar="NAME", help="auto, cpu, cuda, cuda:NUMBER or mps.")]
Version = Annotated[
    bool,
    Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit."),
]
Quiet = Annotated[bool, Option("--quiet", "-q", help="Show the result only.")]
Json = Annotated[bool, Option("--json", help="Print the result as JSON.")]
Debug = Annotated[bool, Option("--debug", help="Show the traceback of an error.")]
