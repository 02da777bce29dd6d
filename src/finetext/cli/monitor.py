"""`finetext monitor`: whether a model still meets the texts and the accuracy it was tested with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from finetext.cli import options
from finetext.cli.options import Output, Reading, argument, option
from finetext.core.errors import RecipeError

if TYPE_CHECKING:
    from finetext.core.types import Finding
    from finetext.diagnosis.monitoring import Monitoring

FAILED: Final = 3
"""The status if something that --fail-on names is shown."""
_FAILURES: Final = ("drift", "worse")


def monitor(
    model: options.Model,
    data: Annotated[str, argument("NEW_DATA", "New rows, with labels or without.")],
    reference: Annotated[
        str | None, option("DATA", "Labeled rows that MODEL did not learn from.")
    ] = None,
    text: options.Text = None,
    label: Annotated[
        str | None, option("COLUMN", "True labels, or several of 0 and 1; else by name.")
    ] = None,
    group: Annotated[str | None, option("COLUMN", "Groups whose rows count as one.")] = None,
    id: options.RowId = None,
    header: options.Header = None,
    sheet: options.Sheet = None,
    settings: options.DataSettings = None,
    time: Annotated[str | None, option("COLUMN", "Order the rows by numbers or dates.")] = None,
    tolerance: Annotated[
        float, option("SHARE", "Accept such a drop of accuracy: 0.02; default 0.")
    ] = 0.0,
    page: Annotated[Path | None, option("FILE", "Write a page.")] = None,
    prometheus: Annotated[
        Path | None, option("FILE", "Write gauges (.prom), replaced each time.")
    ] = None,
    fail_on: Annotated[
        str | None, option("NAMES", "drift, worse or drift,worse: exit status 3 then.")
    ] = None,
    force: options.Force = False,
    seed: options.Seed = None,
    device: options.Device = None,
    *,
    output: Output,
) -> None:
    """Compare NEW_DATA with the test rows of MODEL."""
    from finetext.batch.monitor import monitor as compare
    from finetext.cli import arguments
    from finetext.report.monitoring import gauges, monitoring_lines, write_monitoring_page

    failing = _failing(fail_on)
    if prometheus is not None:
        _check_gauges(prometheus)
    if page is not None:
        _check_page(page, force, data)
    screen = output.screen(data)
    given = Reading(text, label, group, id=id, header=header, sheet=sheet).given()
    with screen.watching():
        found = compare(
            model, data, reference=reference, read=arguments.data_settings(given, settings),
            time=time, tolerance=tolerance, seed=seed or 0, device=device or "auto",
            listener=screen.listener,
        )  # fmt: skip
        if "worse" in failing and found.worse is None:
            screen.listener.finding(_untested())
    if page is not None:
        write_monitoring_page(found, page)
    if prometheus is not None:
        _write_gauges(prometheus, gauges(found))
    told = {"page": page and str(page), "prometheus": prometheus and str(prometheus)}
    output.show(found.to_json() | told, monitoring_lines(found), page=page, gauges=prometheus)
    if failing & _shown(found):
        raise SystemExit(FAILED)


def _failing(names: str | None) -> set[str]:
    from finetext.cli import arguments

    given = arguments.names(names)
    if given is not None and (not given or set(given) - set(_FAILURES)):
        known = " or ".join(_FAILURES)
        raise RecipeError(f"--fail-on {names}: write {known}, or both with a comma")
    return set(given or ())


def _untested() -> Finding:
    from finetext.core.types import Finding

    message = "--fail-on worse: without labels of new rows that can be compared, nothing is"
    return Finding("warning", "worse-untested", f"{message} ever shown to be worse")


def _shown(found: Monitoring) -> set[str]:
    shown = {"drift": bool(found.drifted), "worse": found.is_worse}
    return {name for name, is_shown in shown.items() if is_shown}


def _check_page(page: Path, force: bool, data: str) -> None:
    from finetext.storage.files import check_new

    check_new(page, force, [data])


def _check_gauges(path: Path) -> None:
    from finetext.report.monitoring import GAUGES

    if path.suffix != GAUGES:
        raise RecipeError(f"--prometheus {path}: the textfile collector reads only files that end "
                          f"in {GAUGES}; name it so")  # fmt: skip
    if not path.parent.is_dir():
        raise RecipeError(f"--prometheus {path}: there is no folder {path.parent}; make it first")


def _write_gauges(path: Path, text: str) -> None:
    from finetext.core.errors import RunError
    from finetext.storage.files import write_text

    try:
        write_text(path, text)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}; choose another place") from None
