"""`finetext map`: texts on a plane, as a classifier or an encoder represents them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from finetext.cli import options
from finetext.cli.options import Output, Reading, argument, option
from finetext.core.errors import DataError, RecipeError, RunError

if TYPE_CHECKING:
    from finetext.core.console import Screen
    from finetext.core.contracts import Classifier
    from finetext.core.types import Dataset, SplitName
    from finetext.diagnosis.text_map import TextMap
    from finetext.runs.run import Run

_WORDS: Final = {"validation": "validation", "train": "training"}
MapPart = Annotated[
    str | None, option("NAME", "validation (the default of a run) or train.", "--split")
]
_NO_FOLDERS: Final = (".pdf", ".jpg", ".jpeg", ".gif", ".webp", ".html", ".json")


def map_texts(
    model: Annotated[
        str, argument("MODEL", "Run folder or model folder; with --encoder also data alone.")
    ],
    data: Annotated[
        str | None, argument("DATA", "As for train; of a run its validation rows by default.")
    ] = None,
    text: options.Text = None,
    label: options.Label = None,
    id: options.RowId = None,
    header: options.Header = None,
    sheet: options.Sheet = None,
    settings: options.DataSettings = None,
    method: options.OneMethod = None,
    part: MapPart = None,
    encoder: Annotated[str | None, option("NAME", "Map the frozen states of an encoder.")] = None,
    out: Annotated[
        Path | None, option("PATH", "Folder of the map; or its picture alone (.png, .svg).")
    ] = None,
    force: options.Force = False,
    seed: options.Seed = None,
    device: options.Device = None,
    *,
    output: Output,
) -> None:
    """Draw texts on a plane, similar ones close together."""
    from finetext.cli import arguments
    from finetext.diagnosis.text_map import check_umap, text_map
    from finetext.report.text_map import left_out_sentence

    check_umap()
    screen, reading = output.screen(), Reading(text, label, id=id, header=header, sheet=sheet)
    is_picture = _is_picture(out, force)
    split = None if part is None else arguments.split_name(part, tuple(_WORDS))
    run = _run_to_map(model, data, encoder, split, method)
    of_run = run if data is None else None
    split = split or ("validation" if of_run else None)
    place = _place(out, of_run, split, force)
    classifier = _classifier(model, run, data, method, device)
    if of_run is not None:
        dataset = _rows_of_run(of_run, reading, settings, split or "validation", method)
    else:
        dataset = _rows_of_data(data or model, reading, settings, classifier, split)
    _announce(dataset, encoder, screen)
    with screen.watching():
        found = text_map(
            classifier or str(encoder), dataset, encoder if classifier else None, seed or 0,
            screen.progress, split=split, device=device or "auto",
        )  # fmt: skip
    found = found if run is None else replace(found, method=method or run.best)
    found = _by_unseen(found, of_run, method)
    if found.rows > len(found.ids):
        screen.say(f"on the map: {found.drawn}")
    if said := left_out_sentence(found):
        screen.say(said)
    written = _write_map(found, place, is_picture)
    told = found.to_json() | {"folder": None if is_picture else str(place)}
    output.show(told | {"files": [str(path) for path in written.values()]}, [
        f"{what} of {found.counted()}: {path}" for what, path in written.items()
    ])  # fmt: skip


def _by_unseen(found: TextMap, run: Run | None, method: str | None) -> TextMap:
    """Return a map of held-out rows of a run with the stored predictions: its model may know them.

    In a cross-validated run these are out-of-fold. Maps of data or of training rows stay as they
    are.
    """
    if run is None or found.split != "validation":
        return found
    unseen = found.with_predictions(run.predictions(method, "validation"))
    return replace(unseen, split=None) if run.folds else unseen


def _announce(dataset: Dataset, encoder: str | None, screen: Screen) -> None:
    """Say which texts are mapped, and warn if the encoder was trained on another language."""
    from finetext.diagnosis.languages import language_findings, languages_in

    screen.say(dataset.description)
    if encoder is not None:
        screen.findings(language_findings(languages_in(dataset.texts), [encoder]))


def _run_to_map(
    model: str,
    data: str | None,
    encoder: str | None,
    split: SplitName | None,
    method: str | None,
) -> Run | None:
    """Return the run in MODEL, if it is one; raise a RecipeError if MODEL and DATA do not fit."""
    from finetext.runs.run import Run, is_run

    run = Run.open(model) if is_run(Path(model)) else None
    if data is not None and split is not None:
        raise RecipeError(
            f"--split {split} chooses rows of a run, but {data} is mapped; leave out --split, or "
            f"{data}"
        )
    if run is None and data is None and (encoder is None or _is_model(model)):
        if model.startswith("hub:") or _is_model(model):
            raise RecipeError(f"{model} is not a run folder with validation rows; name DATA, too")
        raise RecipeError(
            f"there is no run or model folder {model}; to map data without a classifier, name an "
            "encoder, too: --encoder minilm"
        )
    if run is None and method is not None:
        raise RecipeError("--method chooses a method of a run folder; leave it out")
    return run


def _classifier(
    model: str, run: Run | None, data: str | None, method: str | None, device: str | None
) -> Classifier | None:
    """Return the classifier in MODEL; None if MODEL is data."""
    from finetext.runs.load import load

    if run is not None:
        return run.classifier(method, device or "auto", "torch")
    return None if data is None else load(model, device, engine="torch")


def _rows_of_run(
    run: Run,
    reading: Reading,
    settings: list[str] | None,
    split: SplitName,
    method: str | None,
) -> Dataset:
    """Return the rows of a split of a run; those of train are what the method learned from."""
    if reading.given() or settings:
        raise RecipeError(
            f"{run.folder} is a run folder, which says how its data are read; leave out the "
            "options of reading"
        )
    dataset = run.rows(method, split)
    kind = "out-of-fold" if run.folds and split == "validation" else _WORDS[split]
    said = f"{len(dataset):,} {kind} rows of {run.folder}"
    return replace(dataset, description=said)


def _rows_of_data(
    source: str,
    reading: Reading,
    settings: list[str] | None,
    classifier: Classifier | None,
    split: SplitName | None,
) -> Dataset:
    """Return the rows of data, or those of one of their ready-made splits."""
    from finetext.cli import arguments

    scheme = None if classifier is None else classifier.scheme
    dataset = arguments.read_with_or_without_labels(source, reading, settings, scheme)
    if split is None:
        return dataset
    splits = dataset.column("split") if "split" in dataset.table.column_names else []
    rows = [row for row, name in enumerate(splits) if name == split]
    if not rows:
        raise DataError(
            f"{source} has no ready-made {_WORDS[split]} rows for --split {split}; leave it out to "
            f"map all rows, or map those of a run: finetext map RUN --split {split}"
        )
    said = f"{dataset.description}; {len(rows):,} {_WORDS[split]} rows"
    return replace(dataset.select(rows), description=said)


def _is_picture(out: Path | None, force: bool) -> bool:
    """Return whether a place for a map is that of a picture; raise an error if it is neither."""
    from finetext.report.plots import FORMATS
    from finetext.storage.files import check_new

    if out is None or out.is_dir():
        return False
    if out.suffix.lower() in FORMATS:
        check_new(out, force)
        return True
    if out.suffix.lower() in _NO_FOLDERS or out.exists():
        raise RecipeError(f"--out {out}: name a folder, or a picture that ends in .png or .svg")
    return False


def _is_model(model: str) -> bool:
    """Return whether a path is that of a model folder or of a method of a run."""
    from finetext.models.files import DESCRIPTION
    from finetext.models.folder import is_foreign
    from finetext.models.hub import model_folder

    if model.startswith("hub:"):  # without DATA it can only be the data
        return False
    return (model_folder(model) / DESCRIPTION).is_file() or is_foreign(Path(model))


def _files(place: Path, split: SplitName | None) -> dict[str, Path]:
    """Return the files of a map by what they are; those of training rows are called map-train."""
    name = "map" if split in (None, "validation") else f"map-{split}"
    kinds = {"map": "html", "density": "png", "density as SVG": "svg", "numbers": "json"}
    return {what: place / f"{name}.{kind}" for what, kind in kinds.items()}


def _place(out: Path | None, run: Run | None, split: SplitName | None, force: bool) -> Path:
    """Return where the map is written; raise a DataError if a file there would be replaced."""
    from finetext.storage.files import check_new
    from finetext.storage.locks import check_writable

    if out is None and run is not None:
        return run.folder / "diagnosis"
    place = out or Path("map")
    if place.is_dir():
        for path in _files(place, split).values():
            check_new(path, force)
    else:
        check_writable(place)
    return place


def _write_map(found: TextMap, place: Path, is_picture: bool) -> dict[str, Path]:
    """Write a map to a folder, or its picture alone; return the paths by what they are."""
    from finetext.report.text_map import write_density, write_map_page
    from finetext.storage.files import write_json

    if is_picture:
        return {"density": write_density(found, place)}
    files = _files(place, found.split)
    try:
        place.mkdir(parents=True, exist_ok=True)
        write_json(files["numbers"], found.to_json())
    except OSError as error:
        raise RunError(f"cannot write to {place}: {error.strerror}; name another --out") from None
    write_map_page(found, files["map"])
    for what in ("density", "density as SVG"):
        write_density(found, files[what])
    return files
