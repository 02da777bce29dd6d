"""`finetext export`: a trained classifier in another form."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from finetext.cli import arguments, options
from finetext.cli.arguments import DataOptions
from finetext.core.console import Screen, told_how_to_go_on
from finetext.core.errors import ModelError
from finetext.core.types import Finding
from finetext.core.wording import counted

if TYPE_CHECKING:
    from finetext.models.info import About


def info(
    model: options.Model,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Say what MODEL is and how good, and check its files."""
    from finetext.models.info import info as look

    screen = Screen(quiet=as_json)
    about = look(model)
    if as_json:
        screen.json(about.to_json())
    else:
        _show(about, screen)
    if about.problem is not None:
        raise ModelError(about.problem)


def _show(about: About, screen: Screen) -> None:
    """What it is, then its scores, then its files."""
    from finetext.report.models import file_lines, model_lines, score_lines

    for line in model_lines(about):
        print(line)
    if scores := score_lines(about):
        print()
        print("\n".join(scores))
    print()
    print("\n".join(file_lines(about)))


def pull(
    repository: options.HubName,
    out: options.PulledOut = None,
    revision: options.Revision = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Get a model of the Hugging Face Hub into a folder."""
    from finetext.models.folder import FOREIGN
    from finetext.models.hub import pull as get
    from finetext.models.info import info

    screen = Screen(quiet or as_json)
    folder = get(repository, out, revision)
    about = info(folder)
    if about.kind == "foreign":
        screen.say(FOREIGN)
    if as_json:
        screen.json(about.to_json())
        return
    print(f"model: {folder}")
    print(f"to use it: finetext predict {folder} TEXT")


def push(
    model: options.Model,
    repository: options.HubName,
    private: options.Private = False,
    revision: options.Branch = None,
    message: options.CommitMessage = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Send MODEL to the Hugging Face Hub."""
    from finetext.models.hub import model_folder
    from finetext.models.upload import push as send

    screen = Screen(quiet or as_json)
    with told_how_to_go_on():
        sent = send(
            model_folder(model),
            repository,
            private=private,
            revision=revision,
            message=message,
            say=screen.say,
        )
    if sent.left_out:
        screen.say(f"left out, as it does not belong to the model: {', '.join(sent.left_out)}")
    if sent.removed:
        screen.say(f"removed there, as this model has none: {', '.join(sent.removed)}")
    if sent.card == "kept":
        screen.say(
            "README.md on the Hub was not written by finetext, or changed since: it stays; remove "
            "it there and push again for a new one"
        )
    if as_json:
        screen.json(asdict(sent))
        return
    screen.say(f"{counted(len(sent.files), 'file')} of {model}, commit {sent.commit[:12]}")
    print(sent.url)


def export(
    model: options.ExportedModel,
    format: options.ExportFormat = "onnx",
    quantize: options.Quantize = None,
    dimensions: options.Dimensions = None,
    data: options.ComparedData = None,
    text: options.Text = None,
    label: options.Label = None,
    row_id: options.RowId = None,
    settings: options.DataSettings = None,
    least_agreement: options.LeastAgreement = None,
    force: options.ForceExport = False,
    out: options.ExportOut = None,
    seed: options.Seed = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Bring MODEL into another form, and compare the two."""
    from finetext.core.contracts import Listener
    from finetext.report.models import comparison_lines
    from finetext.runs.export import ExportTerms
    from finetext.runs.export import export as exported

    asked: dict[str, Any] = {"quantize": quantize, "dimensions": dimensions}
    reading = arguments.read_settings(DataOptions(text, label, id=row_id).given(), settings)
    screen = Screen(quiet or as_json)
    with screen.watching():
        found = exported(
            model,
            format,
            out,
            data=data,
            read=reading,
            settings={name: of for name, of in asked.items() if of is not None},
            terms=ExportTerms(least_agreement, force),
            seed=seed,
            listener=Listener(screen.say, screen.progress, screen.finding),
        )
    comparison = found.compared
    if as_json:
        told = {"folder": str(found.folder), "format": format}
        screen.json(told | {"compared": None if comparison is None else comparison.to_json()})
        return
    if comparison is not None:
        for line in comparison_lines(comparison):
            print(line)
    print(f"export: {found.folder}")


def report(
    run: options.RunFolder, as_json: options.Json = False, debug: options.Debug = False
) -> None:
    """Write the report of RUN anew, with all that was found out since."""
    from finetext.runs.reporting import report as write
    from finetext.storage.codec import finding_to_json

    screen, damaged = Screen(as_json), list[Finding]()
    page = write(run, damaged.append)
    for finding in damaged:
        screen.finding(finding)
    if as_json:
        screen.json({"report": str(page), "findings": list(map(finding_to_json, damaged))})
    else:
        print(f"report: {page}")
