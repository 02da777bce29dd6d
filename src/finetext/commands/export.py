"""`finetext export`: a trained classifier in another form."""

from __future__ import annotations

from typing import Any

from finetext import arguments, options
from finetext.arguments import DataOptions
from finetext.console import Screen


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
    from finetext.exporting.export import ExportTerms
    from finetext.exporting.export import export as exported
    from finetext.exporting.words import comparison_lines
    from finetext.pipeline import Listener

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
