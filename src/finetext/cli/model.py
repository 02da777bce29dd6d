"""Commands on a trained model: `decide`, `report`, `export`, `serve`, `info`, `push`, `pull`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from finetext.cli import options
from finetext.cli.options import Output, Reading, argument, flag, option
from finetext.core.errors import DataError, ModelError, RecipeError, RunError

if TYPE_CHECKING:
    from finetext.core.contracts import Classifier
    from finetext.core.types import Predictions

_MEASURED: Final = frozenset(
    {"scores", "validation_scores", "baselines", "decided", "calibration", "slices", "scope"}
)
"""What is recorded of a model that depends on its decision rule."""
HubName = Annotated[str, argument("USER/NAME", "Name of the model on the Hub.")]


def decide(
    run: options.RunFolder,
    out: Annotated[Path, option("FOLDER", "Folder of the model, new or a model's.")],
    method: options.OneMethod = None,
    aim: Annotated[str | None, option("AIM", "f1, precision=0.95 or recall=0.9.")] = None,
    costs: Annotated[Path | None, option("FILE", "CSV of the cost of each error.")] = None,
    abstain: Annotated[
        str | None, option("RULE", "Abstain: accuracy=0.95, coverage=0.9 or probability=0.7.")
    ] = None,
    coverage: Annotated[
        str | None, option("SHARE", "Coverage of prediction sets; class=SHARE of each label.")
    ] = None,
    out_of_scope: Annotated[bool, flag("--out-of-scope", "Recognize texts of no class.")] = False,
    false_alarms: Annotated[
        float | None, option("SHARE", "Of texts in scope with --out-of-scope; 0.05.")
    ] = None,
    positive: options.Positive = None,
    force: Annotated[bool, flag("--force", "Replace a model folder.")] = False,
    *,
    output: Output,
) -> None:
    """Choose a decision rule for a model of RUN."""
    from finetext.core.decision import CrossFitted
    from finetext.core.wording import rows_of
    from finetext.evaluation.deciding import FALSE_ALARMS, Deciding, decided_by
    from finetext.models.folder import check_model_place
    from finetext.report.probabilities import decided_json, decided_lines, threshold_lines
    from finetext.runs.load import load
    from finetext.runs.predicted import predicted_in
    from finetext.runs.run import Run

    if out_of_scope and false_alarms is None:
        false_alarms = FALSE_ALARMS
    wanted = Deciding(aim, costs, abstain, coverage, false_alarms)
    predicted = predicted_in(run, method, "validation", positive)
    if predicted.run is None or predicted.method is None:
        raise DataError(f"{run} is not a run folder or a method in one, so it holds no model")
    model = predicted.run / predicted.method / "model"
    place = out.resolve()
    if place == model.resolve() or (place.name == "model" and Run.is_at(place.parent.parent)):
        raise DataError(f"{out} is the model of a run; write the new one to another folder")
    check_model_place(out, force)
    decided = decided_by(predicted.predictions, wanted)
    is_crossed, decision = isinstance(decided.decision, CrossFitted), decided.decision.shipped
    classifier = load(model, "cpu", engine="torch").with_decision(decision).with_positive(positive)
    _save_decided(classifier, model, out)
    lines = [f"{predicted.name}: {decision.aim or 'the likeliest label'}"]
    of_rows = [*decided_lines(decided), *threshold_lines(decided)]
    if decision.in_scope_up_to is not None:
        of_rows.append(_scope(predicted.run, predicted.method, decided, classifier))
    if of_rows:
        where = f"{rows_of(predicted.part)} that it was chosen on:"
        if is_crossed:
            where = "cross-validated rows, each decided by a rule that was chosen without its fold:"
        lines.append(f"on the {len(decided):,} {where}")
        lines += [f"  {line}" for line in of_rows]
    told = {"model": str(out), "decision": decision.to_json()} | decided_json(decided)
    output.show(told, [*lines, f"model: {out}"])


def _save_decided(classifier: Classifier, model: Path, out: Path) -> None:
    """Write a model with another decision rule, and what holds of the first one all the same."""
    from finetext.models.folder import provenance, record_of, save_model
    from finetext.models.reference import carry

    known = {name: of for name, of in record_of(model).items() if name not in _MEASURED}
    save_model(classifier, out, provenance(model), known)
    carry(model, out, classifier.scheme)


def _scope(run: Path, method: str, decided: Predictions, classifier: Classifier) -> str:
    """Say what a new rule makes of texts of no class, those that the data of the run mark included.

    An endpoint is not asked about them again, and data that are gone cannot be read again.
    """
    from finetext.evaluation.out_of_scope import scope_scores
    from finetext.runs.run import Run
    from finetext.runs.stored_splits import stored_splits

    entry = Run.open(run).entry(method)
    likely, unknown = None, "is unknown without marked texts"
    if entry.scope is not None and entry.scope.recall is not None:
        unknown = "was not measured again"
        if entry.asked is None:
            try:
                outside = stored_splits(run).train.out_of_scope
            except RunError as error:
                outside, unknown = None, f"{unknown}: {error}"
            likely = None if outside is None else classifier.predict_proba(outside.texts)
    scope = scope_scores(decided, likely)
    assert scope is not None
    return scope.said(unknown)


def report(run: options.RunFolder, positive: options.Positive = None, *, output: Output) -> None:
    """Rewrite the report of RUN with everything found since."""
    from finetext.core.types import Finding
    from finetext.runs.reporting import report as write
    from finetext.storage.codec import to_json

    screen, damaged = output.screen(), list[Finding]()
    page = write(run, damaged.append, positive)
    screen.findings(damaged)
    told = {"report": str(page), "findings": list(map(to_json, damaged))}
    output.show(told, [f"report: {page}"])


def export(
    model: options.Model,
    format: Annotated[str, option("NAME", "onnx (the default) or static.")] = "onnx",
    quantize: Annotated[
        str | None, option("NAME", "int8: ONNX in 8 bits, close calls in float32.")
    ] = None,
    dimensions: Annotated[int | None, option("NUMBER", "Vector size; default 256.")] = None,
    data: Annotated[str | None, option("DATA", "Rows to compare on; the validation rows.")] = None,
    text: options.Text = None,
    label: options.Label = None,
    id: options.RowId = None,
    header: options.Header = None,
    sheet: options.Sheet = None,
    settings: options.DataSettings = None,
    least_agreement: Annotated[
        float | None, option("SHARE", "Least label agreement; 0.99 for ONNX.")
    ] = None,
    force: Annotated[
        bool, flag("--force", "Write anyway: without rows, or over an export.")
    ] = False,
    out: Annotated[Path | None, option("FOLDER", "onnx or static beside MODEL by default.")] = None,
    seed: options.Seed = None,
    *,
    output: Output,
) -> None:
    """Convert MODEL to ONNX or static embeddings."""
    from finetext.cli import arguments
    from finetext.report.models import comparison_lines
    from finetext.runs.export import ExportTerms
    from finetext.runs.export import export as exported

    asked = {"quantize": quantize, "dimensions": dimensions}
    reading = arguments.read_settings(
        Reading(text, label, id=id, header=header, sheet=sheet).given(), settings
    )
    screen = output.screen()
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
            listener=screen.listener,
        )
    comparison = found.compared
    compared = None if comparison is None else comparison.to_json()
    lines = [] if comparison is None else comparison_lines(comparison)
    told = {"folder": str(found.folder), "format": format, "compared": compared}
    output.show(told, [*lines, f"export: {found.folder}"])


@dataclass(frozen=True)
class Limits:
    """The settings of the server that have options of their own."""

    workers: Annotated[
        int | None, option("NUMBER", "Processes that answer, each with the model.", "--workers")
    ] = None
    log_format: Annotated[
        str | None, option("NAME", "text (the default), or json with each request.", "--log-format")
    ] = None

    batch_texts: Annotated[
        int | None, option("TEXTS", "Largest batch; 64 texts by default.", "--max-batch")
    ] = None
    batch_milliseconds: Annotated[
        float | None, option("MILLISECONDS", "Longest wait for a batch; default 5.", "--max-wait")
    ] = None
    queue_texts: Annotated[
        int | None, option("TEXTS", "Longest queue; default 1024.", "--max-queue")
    ] = None
    request_texts: Annotated[
        int | None, option("TEXTS", "Most texts per request; default 256.", "--max-texts")
    ] = None
    text_characters: Annotated[
        int | None, option("NUMBER", "Longest text; default 50000.", "--max-characters")
    ] = None
    request_seconds: Annotated[
        float | None, option("SECONDS", "Longest time to answer; default 30.", "--timeout")
    ] = None


def serve(
    model: options.Model,
    *,
    host: Annotated[str, option("ADDRESS", "Address; by default this machine only.")] = "127.0.0.1",
    port: Annotated[int, option("NUMBER", "0 takes a free one.", min=0, max=65535)] = 8000,
    token_file: Annotated[
        Path | None, option("FILE", "File with the token of clients; or $FINETEXT_TOKEN.")
    ] = None,
    limits: Limits,
    settings: Annotated[
        list[str] | None, option("KEY=VALUE", "Any other limit: serve.stop_seconds=60", "--set")
    ] = None,
    precision: options.ModelPrecision = None,
    device: options.Device = None,
    output: Output,
) -> None:
    """Serve the predictions of MODEL over HTTP until Ctrl-C."""
    from finetext.cli import arguments
    from finetext.core.settings import ServeSettings, made
    from finetext.models.engines import engine_of
    from finetext.runs.load import load_for
    from finetext.serving import server

    server.check_installed()
    from finetext.serving.logs import LOG, log_to_stderr
    from finetext.serving.model import about
    from finetext.serving.workers import Task, supervise

    sections = arguments.assigned(settings)
    if others := sections.keys() - {"serve"}:
        raise RecipeError(f"--set {min(others)}: only serve.NAME=VALUE can be set here")
    made_limits = made("serve", ServeSettings, options.given(limits) | sections.get("serve", {}))
    token = server.find_token(token_file)
    screen = output.screen()
    is_json = made_limits.log_format == "json"
    say = (lambda line: LOG.info("%s", line)) if is_json else screen.say

    def ready(address: str, columns: Sequence[str], engine: str) -> None:
        told = {"address": address, "has_token": token is not None, "engine": engine}
        by = f", engine: {engine}" if engine else ""
        output.show(told, [f"{model} is at {address}{by}"])
        say(f"ready at {address}{by}" if is_json else _how_to_ask(address, bool(token), columns))
        sys.stdout.flush()

    log_to_stderr(made_limits.log_format)
    with server.bound(host, port) as listening:
        if token is None and server.is_open_to_others(listening):
            LOG.warning(
                "anyone who reaches %s can use this model: there is no token; see --token-file",
                host,
            )
        if made_limits.workers:
            task = Task(str(model), made_limits, token, device, precision)
            supervise(listening, task, ready)
        else:
            classifier = load_for("latency", model, device, precision, say)
            columns = classifier.scheme.text_columns
            tell = partial(ready, columns=columns, engine=engine_of(classifier))
            server.answer(listening, classifier, about(model), token, made_limits, tell)
    say("stopped; accepted requests were answered, or refused if they took too long")


def _how_to_ask(address: str, has_token: bool, columns: Sequence[str]) -> str:
    inputs = dict.fromkeys(columns, "...") if columns else "What a film!"
    body = shlex.quote(json.dumps({"inputs": inputs}, ensure_ascii=False))
    header = " -H 'Content-Type: application/json'"
    if has_token:
        header += ' -H "Authorization: Bearer $FINETEXT_TOKEN"'
    return (
        f"in a browser: {address}/\n"
        f"to ask: curl {address}/predict{header} -d {body}\n"
        "Ctrl-C stops it"
    )


def info(model: options.Model, *, output: Output) -> None:
    """Show origin and scores of MODEL, and check its files."""
    from finetext.models.info import info as look
    from finetext.report.models import file_lines, model_lines, score_lines
    from finetext.runs.checkpoints import checkpoint_lines, checkpoints_in

    about = look(model)
    kept = checkpoints_in(about.folder.parent) if about.folder.name == "model" else ()
    parts = (
        model_lines(about),
        score_lines(about),
        file_lines(about),
        checkpoint_lines("checkpoint", kept),
    )
    text = "\n\n".join("\n".join(lines) for part in parts if (lines := list(part)))
    output.show(about.to_json() | {"checkpoints": [of.to_json() for of in kept]}, [text])
    if about.problem is not None:
        raise ModelError(about.problem)


def push(
    model: options.Model,
    repository: HubName,
    private: Annotated[bool, flag("--private", "Make a new repository private.")] = False,
    revision: Annotated[str | None, option("BRANCH", "Branch to push to; main by default.")] = None,
    message: Annotated[str | None, option("TEXT", "Message of the commit.")] = None,
    *,
    output: Output,
) -> None:
    """Upload MODEL to the Hugging Face Hub."""
    from finetext.core.wording import counted
    from finetext.models.hub import model_folder
    from finetext.models.upload import push as send

    screen = output.screen()
    sent = send(
        model_folder(model), repository, private=private, revision=revision, message=message,
        say=screen.say,
    )  # fmt: skip
    if sent.left_out:
        screen.say(f"left out, as no hash in finetext.json covers it: {', '.join(sent.left_out)}")
    if sent.removed:
        screen.say(f"removed there, as this model has none: {', '.join(sent.removed)}")
    if sent.card == "kept":
        screen.say(
            "README.md on the Hub was not written by finetext, or changed since, so it is kept; "
            "remove it there and push again for a new one"
        )
    screen.say(f"{counted(len(sent.files), 'file')} of {model}, commit {sent.commit[:12]}")
    output.show(asdict(sent), [sent.url])


def pull(
    repository: HubName,
    out: Annotated[Path | None, option("FOLDER", "Folder of the model; NAME by default.")] = None,
    revision: Annotated[str | None, option("NAME", "Branch, tag or commit; default main.")] = None,
    force: Annotated[bool, flag("--force", "Replace a model folder.")] = False,
    *,
    output: Output,
) -> None:
    """Download a model from the Hugging Face Hub."""
    from finetext.models.folder import FOREIGN
    from finetext.models.hub import pull as get
    from finetext.models.info import info as look

    screen = output.screen()
    folder = get(repository, out, revision, force)
    about = look(folder)
    if about.kind == "foreign":
        screen.say(FOREIGN)
    lines = [f"model: {folder}", f"to use it: finetext predict {folder} TEXT"]
    output.show(about.to_json(), lines)
