"""Texts on a plane: those that a classifier sees as alike lie close together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.diagnosis.states import States, states_of
from finetext.errors import DataError, MissingExtraError
from finetext.methods.base import Classifier, ProgressEvent, silent
from finetext.types import Dataset, Floats, LabelScheme

if TYPE_CHECKING:
    from finetext.runs.run import Run
    from finetext.types import SplitName

MOST_TEXTS: Final = 5_000
FEWEST_TEXTS: Final = 5
LONGEST_TEXT: Final = 200
"""Characters of each text that are kept."""
NEIGHBOURS: Final = 15
NO_LABEL: Final = "no label"
BETWEEN_LABELS: Final = " + "


@dataclass(frozen=True)
class TextMap:
    """Texts with a place on a plane.

    Attributes:
        source: which states were laid out, for people.
        method: the rung, or the kind of the classifier.
        ids: the n rows.
        texts: the first 200 characters of each text.
        truths: its true label, several joined by " + ", "no label" for none; no truths at all if
            they are not known.
        predictions: the label that it gets, likewise.
        x: its place from the left.
        y: its place from below.
        rows: how many texts these were chosen from.
    """

    source: str
    method: str
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    truths: tuple[str, ...]
    predictions: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    rows: int = 0

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TextMap:
        """The inverse of `to_json`."""
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list | tuple) else value
            for name, value in values.items()
        }
        return cls(**given)


def text_map(
    classifier: Classifier,
    dataset: Dataset,
    encoder: str | None = None,
    seed: int = 0,
    progress: Callable[[ProgressEvent], None] = silent,
) -> TextMap:
    """Lay texts out by what a classifier sees of them (UMAP; McInnes, Healy and Melville 2018).

    Args:
        classifier: any rung.
        dataset: texts, with or without labels; of more than 5,000 as many are drawn.
        encoder: see `states_of`.
        seed: seed of the choice of rows and of the layout, 0 by default.
        progress: told what is being done.

    Returns:
        the places, the same for the same seed on the same machine.

    Raises:
        DataError: there are fewer than 5 texts, or a label that the classifier does not know.
        MissingExtraError: umap-learn is not installed.
    """
    check_umap()
    if len(dataset) < FEWEST_TEXTS:
        raise DataError(f"a map needs {FEWEST_TEXTS} texts; there are {len(dataset):,}")
    rows = len(dataset)
    if rows > MOST_TEXTS:
        drawn = np.random.default_rng(seed).choice(rows, MOST_TEXTS, replace=False)
        dataset = dataset.select(np.sort(drawn))
    scheme, texts = classifier.scheme, dataset.texts
    given = classifier.decision.labels(classifier.predict_proba(texts), scheme.multilabel)
    truths: Sequence[Any] = ()
    if dataset.scheme is not None:
        scheme.encode(dataset.labels)
        truths = dataset.labels
    states = states_of(classifier, texts, encoder, progress)
    progress(ProgressEvent("map: layout", 0, 0))
    places = layout(states, seed)
    return TextMap(
        source=states.source,
        method=classifier.kind,
        ids=tuple(dataset.ids),
        texts=tuple(text[:LONGEST_TEXT] for text in texts),
        truths=tuple(_named(label, scheme) for label in truths),
        predictions=tuple(_named(label, scheme) for label in scheme.decode(given)),
        x=tuple(places[:, 0].tolist()),
        y=tuple(places[:, 1].tolist()),
        rows=rows,
    )


def part_of_run(run: Run, method: str | None = None, part: SplitName = "validation") -> Dataset:
    """Texts and true labels of the validation or test rows of a run, as a data set.

    Raises:
        UnknownNameError: the run has no such rung.
        RunError: the file of predictions is missing or damaged.
    """
    import datasets

    predictions = run.predictions(method, part)
    columns = {
        "id": list(predictions.ids),
        "text": run.texts(method, part),
        "label": predictions.scheme.decode(predictions.targets),
    }
    return Dataset(datasets.Dataset.from_dict(columns), predictions.scheme)


def _named(label: Any, scheme: LabelScheme) -> str:
    return (BETWEEN_LABELS.join(label) or NO_LABEL) if scheme.multilabel else str(label)


def check_umap() -> None:
    """Raise a `MissingExtraError` if umap-learn is not installed."""
    from importlib.util import find_spec

    if find_spec("umap") is None:
        raise MissingExtraError("a map of texts", "umap-learn", "map")


def layout(states: States, seed: int) -> Floats:
    """(n, 2) places of n states, their longer side across and from 0 to 1.

    Neighbours are found exactly: for so few states that is a moment, while the search that
    approximates it is compiled for half a minute first.
    """
    from sklearn.neighbors import NearestNeighbors

    count = min(NEIGHBOURS, states.vectors.shape[0] - 1)
    metric = "cosine" if states.cosine else "euclidean"
    search = NearestNeighbors(n_neighbors=count, metric=metric, algorithm="brute")
    distances, neighbours = search.fit(states.vectors).kneighbors(states.vectors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP

        found = UMAP(
            n_neighbors=count,
            metric=metric,
            precomputed_knn=(neighbours, distances.astype(np.float32)),
            random_state=seed,
            n_jobs=1,
        ).fit_transform(states.vectors)
    places = np.nan_to_num(np.asarray(found, dtype=np.float64))
    places -= places.min(axis=0)
    size = places.max(axis=0)
    places = places[:, ::-1] if size[1] > size[0] else places
    return np.asarray(np.round(places / max(float(size.max()), 1e-9), 4))
