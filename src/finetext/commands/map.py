"""`finetext map`: the texts on a plane, as a classifier sees them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from finetext import arguments, options
from finetext.arguments import DataOptions
from finetext.console import Screen
from finetext.errors import RecipeError, RunError, UnlabelledError

if TYPE_CHECKING:
    from finetext.diagnosis.map import TextMap
    from finetext.types import Dataset, LabelScheme

FILES: Final = ("map.html", "map.svg", "map.png", "map.json")


def map_texts(
    model: options.MappedModel,
    data: options.MappedData = None,
    text: options.Text = None,
    label: options.Label = None,
    row_id: options.RowId = None,
    settings: options.DataSettings = None,
    method: options.OneMethod = None,
    encoder: options.MapEncoder = None,
    out: options.MapOut = None,
    seed: options.Seed = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Draw texts on a plane, with those close together that are alike."""
    from finetext.diagnosis.map import check_umap, part_of_run, text_map
    from finetext.runs.run import Run, is_run

    screen = Screen(quiet or as_json)
    check_umap()
    run = Run.open(model) if is_run(model) else None
    if run is None and method is not None:
        raise RecipeError("--method chooses a rung of a run folder; leave it out")
    if run is None:
        classifier = arguments.open_model(model, device)
    else:
        classifier = run.classifier(method, device or "auto")
    if data is not None:
        reading = DataOptions(text, label, id=row_id)
        dataset = _read(data, reading, settings, classifier.scheme)
        screen.say(dataset.description)
    elif run is None:
        raise RecipeError(f"{model} is no run with texts of its own; name DATA, too")
    else:
        dataset = part_of_run(run, method)
        screen.say(f"the {len(dataset):,} validation rows of {model}")
    folder = out or (Path("map") if run is None else model / "diagnosis")
    with screen.watching():
        found = text_map(classifier, dataset, encoder, seed or 0, screen.progress)
    if run is not None:
        found = replace(found, method=method or run.best)
    if found.rows > len(found.ids):
        screen.say(f"{len(found.ids):,} of {found.rows:,} texts are drawn, chosen at random")
    _write(found, folder)
    if as_json:
        screen.json(found.to_json() | {"folder": str(folder)})
    else:
        print(f"map: {folder / FILES[0]}")
        print(f"pictures: {folder / FILES[1]}, {folder / FILES[2]}")


def _read(
    data: str, reading: DataOptions, settings: list[str] | None, scheme: LabelScheme
) -> Dataset:
    """The data with their labels, or without where they have none."""
    known = {"classes": scheme.names, "multilabel": scheme.multilabel}
    try:
        return arguments.read_data(data, known | reading.given(), settings)
    except UnlabelledError:
        if reading.label is not None:
            raise
        return arguments.read_data(data, {"labelled": False} | reading.given(), settings)


def _write(found: TextMap, folder: Path) -> None:
    from finetext.artefact.folder import write_json
    from finetext.report.map_page import write_map_page
    from finetext.report.map_plots import write_density

    page, drawing, picture, numbers = (folder / name for name in FILES)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(numbers, found.to_json())
    except OSError as error:
        raise RunError(f"cannot write to {folder}: {error.strerror}; name another --out") from None
    write_map_page(found, page)
    for path in (drawing, picture):
        write_density(found, path)
