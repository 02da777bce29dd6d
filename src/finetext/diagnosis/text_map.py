"""Texts on a plane: those that a classifier sees as alike lie close together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.contracts import Classifier, FitContext, ProgressEvent, silent
from finetext.core.errors import DataError, MissingExtraError
from finetext.core.types import Dataset, LabelScheme
from finetext.encoders.load import load_encoder, load_tokenizer, longest_input
from finetext.encoders.states import FrozenEncoder
from finetext.methods.finetune import TransformerClassifier
from finetext.methods.probe import ProbeClassifier
from finetext.methods.tfidf import TfidfClassifier
from finetext.training.batches import in_parts, positions_a_batch, prediction_batches
from finetext.training.precision import choose_device
from finetext.training.tokens import TokenTable, tokenize

OTHERWISE = "minilm"
"""Whose frozen states are taken where a classifier has none."""


@dataclass(frozen=True, eq=False)
class States:
    """A vector for each text.

    Attributes:
        vectors: (n, d), dense or sparse.
        source: what they are, for people.
        cosine: whether texts are alike by the angle between their vectors, not by distance.
    """

    vectors: Any
    source: str
    cosine: bool = False


def states_of(
    classifier: Classifier,
    texts: Sequence[str],
    encoder: str | None = None,
    progress: Callable[[ProgressEvent], None] = silent,
) -> States:
    """The states of texts.

    Of a transformer the input of the layer that gives its logits; of a probe the states of its
    frozen encoder; of TF-IDF its features; of anything else the frozen states of `minilm`.

    Args:
        classifier: any rung.
        texts: n texts.
        encoder: alias, Hub name or folder of an encoder whose frozen states are taken instead.
        progress: told how many texts are done, where that takes long.

    Raises:
        ModelError: the encoder cannot be loaded.
    """
    if encoder is None and isinstance(classifier, TransformerClassifier):
        table = tokenize(classifier.tokenizer, texts, classifier.max_length)
        vectors = _inputs_of_last_layer(classifier.model, table, progress)
        return States(vectors, "fine-tuned states")
    context = FitContext(progress=progress)
    if encoder is None and isinstance(classifier, ProbeClassifier):
        found = classifier.encoder.states(texts, context)
        return States((found - classifier.mean) / classifier.scale, "frozen states of its encoder")
    if encoder is None and isinstance(classifier, TfidfClassifier):
        return States(classifier.vectorizer.transform(texts), "TF-IDF vectors", cosine=True)
    name = encoder or OTHERWISE
    tokenizer, device = load_tokenizer(name), choose_device("auto")
    model = load_encoder(name, tokenizer).to(device)
    frozen = FrozenEncoder(model, tokenizer, longest_input(name, None), device)
    return States(frozen.states(texts, context), f"frozen states of {name}", cosine=True)


def _inputs_of_last_layer(
    model: Any, table: TokenTable, progress: Callable[[ProgressEvent], None]
) -> Floats:
    """(n, d) what the last layer of n texts reads; the logits where there is no such layer."""
    import torch

    layers = [
        layer
        for layer in model.modules()
        if isinstance(layer, torch.nn.Linear) and layer.out_features == model.config.num_labels
    ]
    read: list[tuple[Any, Any]] = []
    hook = None
    if layers:
        hook = layers[-1].register_forward_hook(
            lambda layer, given, output: read.append((given[0], output))
        )
    found: dict[int, Any] = {}

    def forward(rows: Integers) -> None:
        read.clear()
        batch = {name: part.to(model.device) for name, part in table.batch(rows).items()}
        logits = model.eval()(**batch).logits
        states = _read_for(logits, *read[-1]) if read else logits
        found.update(zip(rows.tolist(), states.float().cpu().numpy(), strict=True))
        progress(ProgressEvent("map: states", len(found), len(table)))

    try:
        with torch.inference_mode():
            for rows in prediction_batches(table.lengths, positions_a_batch(model.device)):
                in_parts(forward, rows)
    finally:
        if hook is not None:
            hook.remove()
    return np.array([found[row] for row in range(len(table))], dtype=np.float64)


def _read_for(logits: Any, states: Any, outputs: Any) -> Any:
    """(n, d) of what a layer read, (n, d) or (n, length, d), that which became the logits."""
    import torch

    if states.ndim == 2:
        return states
    place = (outputs - logits[:, None]).abs().sum(dim=2).argmin(dim=1)
    return states[torch.arange(len(states), device=states.device), place]


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
