"""`finetext map`: the texts on a plane, as a classifier sees them."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from finetext.cli import arguments, options
from finetext.cli.arguments import DataOptions
from finetext.core.console import Screen, blaming
from finetext.core.errors import DataError, RecipeError, RunError, UnlabelledError

if TYPE_CHECKING:
    from finetext.core.types import Dataset, LabelScheme
    from finetext.diagnosis.text_map import TextMap


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
    from finetext.diagnosis.text_map import check_umap, text_map
    from finetext.runs.run import Run, is_run, load

    screen = Screen(quiet or as_json)
    check_umap()
    run = Run.open(model) if is_run(model) else None
    if run is None and method is not None:
        raise RecipeError("--method chooses a rung of a run folder; leave it out")
    classifier = load(model, device) if run is None else run.classifier(method, device or "auto")
    if data is not None:
        reading = DataOptions(text, label, id=row_id)
        dataset = _read(data, reading, settings, classifier.scheme)
        screen.say(dataset.description)
    elif run is None:
        raise RecipeError(f"{model} is no run with texts of its own; name DATA, too")
    else:
        dataset = run.rows(method)
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
    from finetext.report.text_map import write_density, write_map_page
    from finetext.storage.files import write_json

    page, drawing, picture, numbers = (folder / name for name in FILES)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(numbers, found.to_json())
    except OSError as error:
        raise RunError(f"cannot write to {folder}: {error.strerror}; name another --out") from None
    write_map_page(found, page)
    for path in (drawing, picture):
        write_density(found, path)


def plot(
    model: options.Model,
    source: options.PlottedText,
    out: options.BarsOut = None,
    most: options.MostBars = 20,
    precision: options.Precision = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show how probable each label of a text is, as bars."""
    from finetext.report.pictures import Bars, bar_lines, check_picture, write_bars
    from finetext.runs.run import load

    if out is not None:
        arguments.check_place(out)
        check_picture(out)
    text = _text(source)
    screen = Screen(quiet or as_json)
    classifier = load(model, device, precision=precision, say=screen.say)
    bars = Bars.of(classifier, text)
    if as_json:
        screen.json(bars.to_json() | {"picture": None if out is None else str(out)})
    else:
        is_plain = not (sys.stdout.encoding or "").lower().startswith("utf")
        with blaming("standard output", sys.stdout):
            for line in bar_lines(bars, most, screen.out.width, is_plain):
                screen.out.print(line, soft_wrap=True)
    if out is not None:
        write_bars(bars, out, most)
        screen.say(f"picture: {out}")


def _text(source: str) -> str:
    """The text: what is given, or all of standard input.

    Raises:
        DataError: it is the name of a file, there or not, or standard input is closed.
    """
    from finetext.batch.inputs import exists, is_text, one_text
    from finetext.data.sources import decode

    if source == "-":
        if sys.stdin is None:
            raise DataError("standard input is closed; give the text")
        return decode(sys.stdin.buffer.read(), "standard input")[0].strip()
    if is_text(source):
        return one_text(source)
    if os.path.isfile(source):
        raise DataError(
            f"{source} is a file, and this shows one text; for what is in a file: "
            f"finetext plot MODEL - < {source}"
        )
    what = "a folder" if exists(source) else "an address"
    raise DataError(f"{source} is {what}, and this shows one text")
