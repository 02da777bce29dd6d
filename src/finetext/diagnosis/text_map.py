"""Texts on a plane, where those that a classifier represents alike lie close together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.contracts import Classifier, FitContext, ProgressEvent, silent
from finetext.core.errors import DataError, MissingExtraError
from finetext.core.registry import load
from finetext.core.types import Dataset, LabelScheme
from finetext.encoders.load import load_encoder, load_tokenizer, longest_input
from finetext.encoders.states import FrozenEncoder
from finetext.methods.finetune import TransformerClassifier
from finetext.methods.probe import ProbeClassifier
from finetext.methods.tfidf import TfidfClassifier
from finetext.storage.codec import Jsonable
from finetext.training.batches import in_parts, positions_a_batch, prediction_batches
from finetext.training.precision import choose_device
from finetext.training.tokens import TokenTable, tokenize

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEFAULT_ENCODER: Final = "minilm"
"""Its frozen states are used for classifiers without states."""
MOST_TEXTS: Final = 5_000
FEWEST_TEXTS: Final = 5
LONGEST_TEXT: Final = 200
NEIGHBORS: Final = 15
NO_LABEL: Final = "no label"
BETWEEN_LABELS: Final = " + "


@dataclass(frozen=True)
class TextMap(Jsonable):
    """The n texts of a map with their places from the left and from below, 0 to 1.

    Attributes:
        source: which states were laid out.
        texts: the first 200 characters of each text.
        truths: true labels, several joined by " + ", "no label" for none; empty if unknown.
        rows: how many texts these were drawn from.
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

    def plot_density(self, out: str | Path | None = None) -> Figure:
        """Draw a panel for each label, darker where there are more of its texts.

        With `out` the figure is also written as .png or .svg; raises a DataError if it cannot be.
        """
        figure: Figure = load("views", "density")(self, out)
        return figure


def text_map(
    classifier: Classifier,
    dataset: Dataset,
    encoder: str | None = None,
    seed: int = 0,
    progress: Callable[[ProgressEvent], None] = silent,
) -> TextMap:
    """Lay texts out by a classifier's states (UMAP; McInnes, Healy and Melville 2018).

    Of more than 5,000 texts, with or without labels, as many are drawn at random. The places are
    the same for the same seed on the same machine. For `encoder` see `states_of`.

    Raises:
        DataError: there are fewer than 5 texts, or a label that the classifier does not know.
        MissingExtraError: umap-learn is not installed.
    """
    check_umap()
    rows = len(dataset)
    if rows < FEWEST_TEXTS:
        raise DataError(f"a map needs {FEWEST_TEXTS} texts; there are {rows:,}")
    if rows > MOST_TEXTS:
        drawn = np.random.default_rng(seed).choice(rows, MOST_TEXTS, replace=False)
        dataset = dataset.select(np.sort(drawn))
    scheme, texts = classifier.scheme, dataset.texts
    given = classifier.decision.labels(classifier.predict_proba(texts), scheme.multilabel)
    truths: Sequence[Any] = () if dataset.scheme is None else dataset.labels
    scheme.encode(truths)
    states = states_of(classifier, texts, encoder, progress)
    progress(ProgressEvent("map: layout", 0, 0))
    places = layout(states, seed)
    return TextMap(
        source=states.source,
        method=classifier.kind,
        ids=tuple(dataset.ids),
        texts=tuple(text[:LONGEST_TEXT] for text in texts),
        truths=_names(truths, scheme),
        predictions=_names(scheme.decode(given), scheme),
        x=tuple(places[:, 0].tolist()),
        y=tuple(places[:, 1].tolist()),
        rows=rows,
    )


def _names(labels: Sequence[Any], scheme: LabelScheme) -> tuple[str, ...]:
    if not scheme.multilabel:
        return tuple(map(str, labels))
    return tuple(BETWEEN_LABELS.join(several) or NO_LABEL for several in labels)


def check_umap() -> None:
    """Raise a `MissingExtraError` if umap-learn is not installed."""
    from importlib.util import find_spec

    if find_spec("umap") is None:
        raise MissingExtraError("a map of texts", "umap-learn", "map")


@dataclass(frozen=True, eq=False)
class States:
    """An (n, d) matrix, dense or sparse, of n texts, what it is, and whether to use the cosine."""

    vectors: Any
    source: str
    cosine: bool = False


def states_of(
    classifier: Classifier,
    texts: Sequence[str],
    encoder: str | None = None,
    progress: Callable[[ProgressEvent], None] = silent,
) -> States:
    """Return the states of texts.

    Of a transformer these are the inputs of the layer that returns its logits, of a probe the
    frozen states, of TF-IDF its features; of any other classifier, or with an `encoder` (alias, Hub
    name or folder), the frozen states of that or of `minilm`.
    """
    context = FitContext(progress=progress)
    match classifier if encoder is None else None:
        case TransformerClassifier() as tuned:
            table = tokenize(tuned.tokenizer, texts, tuned.max_length)
            vectors = _inputs_of_last_layer(tuned.model, table, progress)
            return States(vectors, "fine-tuned states")
        case ProbeClassifier() as probe:
            found = probe.encoder.states(texts, context)
            return States((found - probe.mean) / probe.scale, "frozen states of its encoder")
        case TfidfClassifier() as tfidf:
            return States(tfidf.vectorizer.transform(texts), "TF-IDF vectors", cosine=True)
    name = encoder or DEFAULT_ENCODER
    tokenizer, device = load_tokenizer(name), choose_device("auto")
    model = load_encoder(name, tokenizer).to(device)
    frozen = FrozenEncoder(model, tokenizer, longest_input(name, None), device)
    return States(frozen.states(texts, context), f"frozen states of {name}", cosine=True)


def _inputs_of_last_layer(
    model: Any, table: TokenTable, progress: Callable[[ProgressEvent], None]
) -> Floats:
    """Return the (n, d) inputs of the last layer; the logits if no layer returns them."""
    import torch

    layers = [
        layer
        for layer in model.modules()
        if isinstance(layer, torch.nn.Linear) and layer.out_features == model.config.num_labels
    ]
    read: list[tuple[Any, Any]] = []
    found: dict[int, Any] = {}

    def forward(rows: Integers) -> None:
        read.clear()
        batch = {name: part.to(model.device) for name, part in table.batch(rows).items()}
        logits = model.eval()(**batch).logits
        states, outputs = read[-1] if read else (logits, logits)
        if states.ndim == 3:  # of all tokens: take the one whose output became the logits
            place = (outputs - logits[:, None]).abs().sum(dim=2).argmin(dim=1)
            states = states[torch.arange(len(states), device=states.device), place]
        found.update(zip(rows.tolist(), states.float().cpu().numpy(), strict=True))
        progress(ProgressEvent("map: states", len(found), len(table)))

    with torch.inference_mode(), ExitStack() as stack:
        for layer in layers[-1:]:
            hook = layer.register_forward_hook(lambda _, given, out: read.append((given[0], out)))
            stack.enter_context(hook)
        for rows in prediction_batches(table.lengths, positions_a_batch(model.device)):
            in_parts(forward, rows)
    return np.array([found[row] for row in range(len(table))], dtype=np.float64)


def layout(states: States, seed: int) -> Floats:
    """Return (n, 2) places of n states, with the longer side horizontal and from 0 to 1."""
    from sklearn.neighbors import NearestNeighbors

    # Neighbors are found exactly; the approximate search compiles for half a minute first.
    count = min(NEIGHBORS, states.vectors.shape[0] - 1)
    metric = "cosine" if states.cosine else "euclidean"
    search = NearestNeighbors(n_neighbors=count, metric=metric, algorithm="brute")
    distances, neighbors = search.fit(states.vectors).kneighbors(states.vectors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP

        known = (neighbors, distances.astype(np.float32))
        umap = UMAP(count, metric=metric, precomputed_knn=known, random_state=seed, n_jobs=1)
        places = np.nan_to_num(np.asarray(umap.fit_transform(states.vectors), dtype=np.float64))
    places -= places.min(axis=0)
    size = places.max(axis=0)
    places = places[:, ::-1] if size[1] > size[0] else places
    return np.asarray(np.round(places / max(float(size.max()), 1e-9), 4))
