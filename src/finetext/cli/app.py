"""The command line: one thin function per command, each over a function of the library."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Final

import typer

from finetext.__main__ import STOPPED
from finetext.cli import options
from finetext.cli.cascade import cascade
from finetext.cli.compare import compare, precision_recall
from finetext.cli.data import agreement, explore, label_errors
from finetext.cli.distill import distill
from finetext.cli.doctor import doctor
from finetext.cli.encoders import adapt, convert, features, generate, models, pretrain, tokens
from finetext.cli.evaluate import confusion, errors, evaluate, slices
from finetext.cli.explain import explain
from finetext.cli.model import decide, export, info, pull, push, report, serve
from finetext.cli.monitor import monitor
from finetext.cli.predict import classify, plot, predict
from finetext.cli.studio import studio
from finetext.cli.text_map import map_texts
from finetext.cli.train import demo, find_lr, learning_curve, show, train
from finetext.core import __version__
from finetext.core.addresses import without_secrets
from finetext.core.budget import in_words, is_panic
from finetext.core.console import stopping, whole_output
from finetext.core.errors import FinetextError
from finetext.core.terminal import escaping_output

_BROKEN_PIPE: Final = 141
"""The status if standard output is closed early, as by `head`; shells expect it."""
_LONGEST: Final = 5_000
"""Characters of a message; names and texts of data in it may be longer."""
_OF_USERS: Final = (FinetextError, OSError)
"""What a user can mend; an OSError that got here is the system's, such as a full disk."""

_COMMANDS: Final[dict[str, Callable[..., None]]] = {
    "train reviews.csv --methods tfidf,finetune --seed 1": train,
    "demo": demo,
    "explore reviews.csv --tokens 3": explore,
    "agreement reviews.csv --out differ.csv": agreement,
    'tokens "What a film!"': tokens,
    "features reviews.csv --out features.npz --pooling first": features,
    "evaluate runs/reviews/finetune/model new.csv": evaluate,
    'predict runs/reviews "What a film!"': predict,
    'plot runs/reviews "What a film!"': plot,
    "classify news.csv --labels sports,politics,science": classify,
    "distill news-model unlabeled.csv --test labeled.csv": distill,
    "monitor runs/reviews new.csv --page drift.html": monitor,
    "models --json": models,
    "show runs/reviews --results 10": show,
    "compare runs/reviews --against tfidf": compare,
    "confusion runs/reviews --out matrix.png": confusion,
    "precision-recall runs/reviews --out curves.png": precision_recall,
    "errors runs/reviews --page errors.html": errors,
    "slices runs/reviews --token not": slices,
    "label-errors reviews.csv --out suspects.csv": label_errors,
    'explain runs/reviews "What a film!"': explain,
    "map runs/reviews --method tfidf": map_texts,
    "learning-curve reviews.csv --methods tfidf,probe": learning_curve,
    "decide runs/reviews --aim f1 --out balanced": decide,
    "cascade runs/reviews --max-loss 0.5 --out fast": cascade,
    "report runs/reviews": report,
    "export runs/reviews --quantize int8": export,
    "serve runs/reviews --port 8000": serve,
    "studio reviews.csv": studio,
    "find-lr reviews.csv --out curve.png": find_lr,
    "adapt reviews.csv --out adapted": adapt,
    "pretrain reviews.csv --out pretrained": pretrain,
    'generate gpt2 "The film was" --words 30': generate,
    "convert wt103.pth --vocabulary itos.pkl --out wt103": convert,
    "info runs/reviews --json": info,
    "push runs/reviews jane/reviews --private": push,
    "pull jane/reviews --out reviews": pull,
    "doctor --network": doctor,
}
"""The commands in the order of the help, by an example of each."""
_FUNCTIONS: Final[dict[str, Callable[..., None]]] = {}
DEPRECATED: Final = {"labels": ("label-errors", "0.3"), "curve": ("learning-curve", "0.3")}
"""Former names of commands to the names of today, and the version that drops the former name."""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for _example, _function in _COMMANDS.items():
    _name = _example.split()[0]
    _FUNCTIONS[_name] = options.as_command(_function)
    app.command(_name, epilog=f"Example: finetext {_example}")(_FUNCTIONS[_name])
for _name, (_now, _until) in DEPRECATED.items():
    _function = options.renamed(_FUNCTIONS[_now], _name, _now, _until)
    app.command(_name, hidden=True)(_function)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"finetext {__version__}")
        raise typer.Exit


_VERSION = typer.Option(
    "--version", is_eager=True, callback=_show_version, help="Show the version."
)


@app.callback()
def root(version: Annotated[bool, _VERSION] = False) -> None:
    """Turn a file of labeled text into a classifier that you can trust."""


def main(words: list[str] | None = None) -> None:
    """Run a command."""
    with escaping_output():
        _run(sys.argv[1:] if words is None else words)


def _run(words: list[str]) -> None:
    try:
        with stopping(STOPPED), whole_output():
            app(words, prog_name="finetext")
    except BrokenPipeError:
        raise SystemExit(_BROKEN_PIPE) from None
    except SystemExit as end:
        if end.code == STOPPED:
            print("finetext: stopped", file=sys.stderr)
        raise
    except BaseException as error:
        if "--debug" in words or not (isinstance(error, Exception) or is_panic(error)):
            raise
        error = in_words(error) or error
        message, is_bug = str(error), not isinstance(error, _OF_USERS)
        if isinstance(error, ImportError) and not (error.name or "").startswith("finetext"):
            message, is_bug = f"{error}: a package is broken; finetext doctor says which", False
        if is_bug:
            first_line = f"{type(error).__name__}: {error}".split("\n")[0]
            message = (
                f"{first_line} -- this is a bug in finetext: please report it with the output of "
                "the same command with --debug"
            )
        print(f"finetext: {_cut(without_secrets(message))}", file=sys.stderr)
        raise SystemExit(1 if is_bug else 2) from None


def _cut(message: str) -> str:
    """Return a message without its middle if it is long; advice is at its end."""
    half = _LONGEST // 2
    return message if len(message) <= _LONGEST else f"{message[:half]} … {message[-half:]}"
