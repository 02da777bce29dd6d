"""The arguments and options of the commands, with the help they show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from typer import Argument, Exit, Option

from finetext.core import __version__
from finetext.runs.recipe import LARGEST_SEED


def _show_version(asked: bool) -> None:
    if asked:
        print(f"finetext {__version__}")
        raise Exit


_SOURCE: Final = "File, folder, archive, URL, hub:NAME or sample."
Data = Annotated[str, Argument(metavar="DATA", help=_SOURCE)]
OptionalData = Annotated[str | None, Argument(metavar="DATA", help=_SOURCE)]
Model = Annotated[
    Path,
    Argument(
        metavar="MODEL",
        help="A model folder, a run folder, a rung in it, or hub:USER/NAME[@REVISION].",
    ),
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
Aim = Annotated[
    str | None, Option(metavar="AIM", help="Of the labels: f1, precision=0.95 or recall=0.9.")
]
Costs = Annotated[
    Path | None, Option(metavar="FILE", help="CSV of what mistakes cost; decides by them.")
]
Abstain = Annotated[
    str | None,
    Option(metavar="RULE", help="Give no label: accuracy=0.95, coverage=0.9, probability=0.7."),
]
Coverage = Annotated[
    float | None, Option(metavar="SHARE", help="Make prediction sets that hold the truth so often.")
]
Seeds = Annotated[
    int | None, Option(metavar="NUMBER", help="Train every rung so often; 1 by default.")
]
ModelOut = Annotated[
    Path, Option("--out", metavar="FOLDER", help="Folder of the model, new or a model's.")
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
LowestRate = Annotated[
    float, Option("--lowest", metavar="RATE", help="Learning rate to begin with.")
]
HighestRate = Annotated[
    float, Option("--highest", metavar="RATE", help="Learning rate to end with.")
]
RangeSteps = Annotated[int, Option("--steps", metavar="NUMBER", help="Steps of the test.")]
PictureOut = Annotated[
    Path | None, Option("--out", metavar="FILE", help="Draw the curve here, as .png or .svg.")
]
CurveMethods = Annotated[
    str | None,
    Option(
        "--methods", metavar="NAMES", help="Rungs, joined by commas; majority,tfidf by default."
    ),
]
ShareSizes = Annotated[
    str | None, Option("--sizes", metavar="ROWS", help="Sizes of the shares: 100,200,400,800.")
]
ShareSteps = Annotated[int, Option("--steps", metavar="NUMBER", help="Sizes without --sizes.")]
ShareSeeds = Annotated[int, Option("--seeds", metavar="NUMBER", help="Trainings with each size.")]
CurveMetric = Annotated[
    str | None, Option("--metric", metavar="NAME", help="What is measured; macro_f1 by default.")
]
CurveOut = Annotated[
    Path | None, Option("--out", metavar="FOLDER", help="Folder; runs/NAME-curve by default.")
]
ResumeCurve = Annotated[
    bool, Option("--resume", help="Go on with the curve that was stopped or killed.")
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
PredictedOut = Annotated[
    Path | None,
    Option("--out", metavar="FILE", help="Write .csv, .tsv, .jsonl (.gz of these) or .parquet."),
]
Top = Annotated[int | None, Option(metavar="NUMBER", help="Show so many of the likeliest labels.")]
EveryLabel = Annotated[bool, Option("--all", help="Show the probability of every label.")]
SetAside = Annotated[
    Path | None,
    Option(metavar="FILE", help="Put rows that cannot be predicted here, and go on."),
]
ResumePrediction = Annotated[
    bool, Option("--resume", help="Go on with the prediction that was stopped or killed.")
]
Results = Annotated[
    int | None, Option(metavar="NUMBER", min=1, help="Show so many predictions beside truths.")
]
OneMethod = Annotated[
    str | None, Option("--method", metavar="NAME", help="Whose predictions; the best by default.")
]
Corpus = Annotated[
    list[str],
    Argument(metavar="CORPUS", help="Unlabelled text: as DATA, labels ignored; or a run folder."),
]
EncoderOut = Annotated[
    Path, Option("--out", metavar="FOLDER", help="Folder of the encoder, new or empty.")
]
HeldOut = Annotated[
    str | None,
    Option("--validation", metavar="DATA", help="Held-out texts; chosen from CORPUS by default."),
]
Exclude = Annotated[
    list[str] | None,
    Option("--exclude", metavar="DATA", help="Leave out texts that occur in DATA; repeatable."),
]
WithTest = Annotated[bool, Option("--with-test", help="Take the test rows of CORPUS, too.")]
RowLength = Annotated[
    int | None,
    Option("--max-length", metavar="TOKENS", help="Tokens of a row; the context, or 512."),
]
CorpusEpochs = Annotated[
    int | None, Option("--epochs", metavar="NUMBER", help="Passes over CORPUS; 1 by default.")
]
BatchSize = Annotated[
    int | None, Option("--batch-size", metavar="ROWS", help="Rows a step; 16 by default.")
]
LearningRate = Annotated[
    float | None,
    Option("--learning-rate", metavar="RATE", help="The highest; by the width by default."),
]
LanguageSettings = Annotated[
    list[str] | None,
    Option("--set", metavar="KEY=VALUE", help="Any hyperparameter: adapt.masked_share=0.2"),
]
Preset = Annotated[
    str | None, Option(metavar="NAME", help="Sizes: tiny (the default), ..., awd-lstm.")
]
Architecture = Annotated[str | None, Option(metavar="NAME", help="bert, roberta, ..., modernbert.")]
Subwords = Annotated[
    str | None, Option("--tokenizer", metavar="NAME", help="wordpiece, bpe or unigram.")
]
Pieces = Annotated[int | None, Option(metavar="NUMBER", help="Most entries of the vocabulary.")]
OwnRowLength = Annotated[
    int | None, Option("--max-length", metavar="TOKENS", help="Tokens of a row; the context.")
]
OwnEpochs = Annotated[
    int | None, Option("--epochs", metavar="NUMBER", help="Passes over CORPUS; 10 by default.")
]
OwnBatchSize = Annotated[
    int | None, Option("--batch-size", metavar="ROWS", help="Rows a step; 32 by default.")
]
EvaluateEvery = Annotated[int | None, Option(metavar="STEPS", help="Steps between evaluations.")]
OwnSettings = Annotated[
    list[str] | None,
    Option("--set", metavar="KEY=VALUE", help="Any size or hyperparameter: pretrain.layers=4"),
]
ResumeEncoder = Annotated[
    bool, Option("--resume", help="Go on with what was stopped or killed in FOLDER.")
]
Compared = Annotated[
    list[str],
    Argument(metavar="SOURCE", help="Runs, rungs, tables of predictions; or one run."),
]
ComparedMetric = Annotated[
    str | None, Option("--metric", metavar="NAME", help="What is compared; that of the runs.")
]
ComparedMethod = Annotated[
    str | None, Option("--method", metavar="NAME", help="Which rung of each run; its best one.")
]
Part = Annotated[
    str, Option("--part", metavar="NAME", help="Which rows: test (the default) or validation.")
]
Against = Annotated[
    str | None, Option(metavar="NAME", help="Compare every other with this one only.")
]
FoldMethod = Annotated[
    str | None, Option("--method", metavar="NAME", help="What is trained in each fold; tfidf.")
]
Folds = Annotated[
    int | None, Option("--folds", metavar="NUMBER", help="How many times; 5 by default.")
]
ListOut = Annotated[
    Path | None,
    Option("--out", metavar="FILE", help="Write .csv, .tsv, .jsonl or .parquet here."),
]
Reviewed = Annotated[
    Path | None, Option("--apply", metavar="FILE", help="Correct DATA by this reviewed list.")
]
NewLabels = Annotated[
    list[str] | None,
    Option("--new-label", metavar="NAME", help="A label that the list may add; repeatable."),
]
Judged = Annotated[
    str, Argument(metavar="RUN", help="A run folder, RUN/METHOD, or a table of predictions.")
]
JudgedPart = Annotated[
    str, Option("--part", metavar="NAME", help="Which rows: validation or test.")
]
ErrorCount = Annotated[
    int, Option("--count", metavar="NUMBER", min=1, help="Rows of either kind, and confusions.")
]
ErrorsPage = Annotated[
    Path | None, Option("--page", metavar="FILE", help="Write a page to search, sort and filter.")
]
SliceKinds = Annotated[
    list[str] | None,
    Option("--by", metavar="KIND", help="length, cut, group, label, language, token or a column."),
]
SliceTokens = Annotated[
    list[str] | None,
    Option("--token", metavar="TEXT", help="Look for this word, sign or phrase; repeatable."),
]
SliceData = Annotated[
    str | None,
    Option("--data", metavar="DATA", help="Where columns for --by are; those of the run."),
]
SliceMetric = Annotated[
    str | None,
    Option("--metric", metavar="NAME", help="What is compared; accuracy or samples F1."),
]
ExplainedInput = Annotated[
    str | None,
    Argument(metavar="INPUT", help="A text, a file, or - for lines; of a run its validation rows."),
]
ExplainedLabel = Annotated[
    str | None, Option("--label", metavar="NAME", help="Explain this label, not the predicted one.")
]
ExplainWay = Annotated[
    str, Option("--way", metavar="NAME", help="auto, gradients, exact or occlusion.")
]
ClassSummary = Annotated[
    bool, Option("--classes", help="Show the words that matter for each label instead.")
]
ExplainPage = Annotated[
    Path | None, Option("--page", metavar="FILE", help="Write a page with highlighted words.")
]
MappedModel = Annotated[Path, Argument(metavar="MODEL", help="A run folder, or a model folder.")]
MappedData = Annotated[
    str | None,
    Argument(metavar="DATA", help="As for train; the validation rows of a run by default."),
]
MapEncoder = Annotated[
    str | None,
    Option("--encoder", metavar="NAME", help="Take the frozen states of this encoder instead."),
]
MapOut = Annotated[
    Path | None,
    Option("--out", metavar="FOLDER", help="Folder of the map; that of the run by default."),
]
PlottedText = Annotated[
    str, Argument(metavar="TEXT", help="The text, or - for all of standard input.")
]
BarsOut = Annotated[
    Path | None, Option("--out", metavar="FILE", help="Draw the bars here, too: .png or .svg.")
]
MostBars = Annotated[
    int, Option("--top", metavar="NUMBER", min=1, help="Show so many of the likeliest labels.")
]
HubName = Annotated[str, Argument(metavar="USER/NAME", help="Name of the model on the Hub.")]
Private = Annotated[bool, Option("--private", help="Only you may see it, if it is made now.")]
Branch = Annotated[
    str | None, Option("--revision", metavar="BRANCH", help="Branch to send it to; main.")
]
CommitMessage = Annotated[
    str | None, Option("--message", metavar="TEXT", help="What the commit says.")
]
Revision = Annotated[
    str | None, Option(metavar="NAME", help="Branch, tag or commit; main by default.")
]
PulledOut = Annotated[
    Path | None, Option("--out", metavar="FOLDER", help="Folder of the model; NAME by default.")
]
ExportedModel = Annotated[
    Path,
    Argument(metavar="MODEL", help="A run folder, RUN/METHOD, a model folder, hub:USER/NAME."),
]
ExportFormat = Annotated[str, Option(metavar="NAME", help="onnx (the default) or static.")]
Quantize = Annotated[
    str | None, Option(metavar="NAME", help="int8: an ONNX graph of a quarter of the size.")
]
Dimensions = Annotated[
    int | None, Option(metavar="NUMBER", help="Of static embeddings; 256 by default.")
]
ComparedData = Annotated[
    str | None,
    Option("--data", metavar="DATA", help="Rows to compare on; validation rows of the run."),
]
LeastAgreement = Annotated[
    float | None, Option(metavar="SHARE", help="Refuse below it; onnx 0.99, int8 0.97, static 0.")
]
ForceExport = Annotated[
    bool, Option("--force", help="Keep it anyhow, or without rows to compare on.")
]
ExportOut = Annotated[
    Path | None,
    Option("--out", metavar="FOLDER", help="By default onnx or static beside the model's."),
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
