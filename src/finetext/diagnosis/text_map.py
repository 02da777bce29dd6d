"""Texts on a plane, where those that a classifier represents alike lie close together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.budget import within_memory
from finetext.core.contracts import Classifier, FitContext, ProgressEvent, silent
from finetext.core.errors import DataError, MissingExtraError, RecipeError
from finetext.core.registry import load
from finetext.core.types import SPLIT_NAMES, Dataset, LabelScheme, Predictions, SplitName
from finetext.core.wording import counted
from finetext.data.read import read
from finetext.encoders.catalogue import DEFAULT_ENCODER
from finetext.encoders.states import FrozenEncoder
from finetext.methods.blend import BlendClassifier
from finetext.methods.cascade import CascadeClassifier
from finetext.methods.probe import ProbeClassifier
from finetext.methods.static import StaticClassifier
from finetext.methods.tfidf import TfidfClassifier
from finetext.methods.transformer import TransformerClassifier
from finetext.methods.zeroshot import ZeroShotClassifier
from finetext.storage.codec import Jsonable
from finetext.training.batches import in_parts, positions_a_batch, prediction_batches
from finetext.training.precision import choose_device
from finetext.training.tokens import TokenTable, tokenize

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_TEXTS: Final = 5_000
FEWEST_TEXTS: Final = 5
LONGEST_TEXT: Final = 200
NEIGHBORS: Final = 15
NO_LABEL: Final = "no label"
BETWEEN_LABELS: Final = " + "
_DENSE: Final = (
    TransformerClassifier, ProbeClassifier, ZeroShotClassifier, StaticClassifier,
)  # fmt: skip
_OF_SPLIT: Final = {"train": "training ", "validation": "validation ", "test": "test ", None: ""}


@dataclass(frozen=True)
class TextMap(Jsonable):
    """The n texts of a map with their places from the left and from below, 0 to 1.

    Attributes:
        source: which states were laid out.
        method: the method that predicted; None without a classifier.
        texts: the first 200 characters of each text.
        truths: true labels, several joined by " + ", "no label" for none; empty if unknown.
        predictions: predicted labels, likewise; empty without a classifier.
        rows: how many texts these were drawn from.
        split: the split of a run or of ready-made splits; None for other rows. Files of earlier
            versions do not say it, and are of validation rows.
        seed: seed of the choice of texts and of their places; None in files of earlier versions.
        multilabel: whether a text can have several labels.
    """

    source: str
    method: str | None
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    truths: tuple[str, ...]
    predictions: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    rows: int = 0
    split: SplitName | None = "validation"
    seed: int | None = None
    multilabel: bool = True

    def counted(self, number: int | None = None) -> str:
        """Return a number of texts with their split: "5,000 training texts"; all by default."""
        many = len(self.ids) if number is None else number
        return counted(many, f"{_OF_SPLIT[self.split]}text")

    def with_predictions(self, predictions: Predictions) -> TextMap:
        """Return the map with other predictions of its texts, such as out-of-fold ones."""
        place = {name: row for row, name in enumerate(predictions.ids)}
        given = predictions.decisions[[place[name] for name in self.ids]]
        return replace(self, predictions=_names(given, predictions.scheme))

    @property
    def drawn(self) -> str:
        """How many of the texts are on the map, and how they were chosen."""
        if self.rows <= len(self.ids):
            return self.counted()
        seed = "" if self.seed is None else f" (seed {self.seed})"
        return f"{len(self.ids):,} of {self.counted(self.rows)}, drawn at random{seed}"

    def separate(self, labels: str) -> list[str]:
        """Return each label out of one of `truths` or `predictions`."""
        return labels.split(BETWEEN_LABELS) if self.multilabel else [labels]

    def plot_density(self, out: str | Path | None = None) -> Figure:
        """Draw a panel for each label, darker where there are more of its texts.

        The 30 most frequent labels have one; the picture names the others. Without true labels the
        predicted ones count, without either there is one panel. With `out` the figure is also
        written as .png or .svg; raises a DataError if it cannot be.
        """
        figure: Figure = load("views", "density")(self, out)
        return figure


@within_memory
def text_map(
    model: Classifier | str | Path,
    data: Any,
    encoder: str | None = None,
    seed: int = 0,
    progress: Callable[[ProgressEvent], None] = silent,
    *,
    split: SplitName | None = None,
    device: str = "auto",
) -> TextMap:
    """Lay texts out by their states (UMAP; McInnes, Healy and Melville 2018).

        finetext.text_map("minilm", splits.train, split="train").plot_density("maps.png")

    Of more than 5,000 texts, with or without labels, as many are drawn at random. The places are
    the same for the same seed on the same machine.

    Args:
        model: a classifier, whose predictions are on the map, too; or an encoder (alias, Hub name
            or folder), whose frozen states are laid out without any classifier.
        data: a data set, or whatever else `finetext.read` takes.
        encoder: for a classifier, lay the frozen states of this encoder out; see `states_of`.
        seed: seed of the choice of texts and of their places, 0 by default.
        progress: called while the states are computed.
        split: the split that the texts are of, for headlines and captions; None for none.
        device: where an encoder runs: "auto" (the default), "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        DataError: there are fewer than 5 texts, or a label that the classifier does not know.
        RecipeError: an encoder is given twice, or there is no such split or device.
        ModelError: the encoder cannot be loaded.
        MissingExtraError: umap-learn is not installed.
    """
    check_umap()
    classifier = model if isinstance(model, Classifier) else None
    if classifier is None and encoder is not None:
        raise RecipeError(f"{model} and {encoder} are two encoders; give one, or a classifier")
    if split not in _OF_SPLIT:
        raise RecipeError(f"split is {split!r}; it must be {', '.join(SPLIT_NAMES)} or None")
    dataset = _drawn(whole := read(data), seed)
    scheme, texts = (classifier or dataset).scheme, dataset.texts
    truths = () if scheme is None or dataset.scheme is None else scheme.encode(dataset.labels)
    given = () if classifier is None else _predicted(classifier, texts)
    states = states_of(classifier or str(model), texts, encoder, progress, device)
    progress(ProgressEvent("map: layout", 0, 0))
    x, y = layout(states, seed).T.tolist()
    return TextMap(
        source=states.source,
        method=None if classifier is None else classifier.kind,
        ids=tuple(dataset.ids),
        texts=tuple(text[:LONGEST_TEXT] for text in texts),
        truths=_names(truths, scheme),
        predictions=_names(given, scheme),
        x=tuple(x),
        y=tuple(y),
        rows=len(whole),
        split=split,
        seed=seed,
        multilabel=scheme is not None and scheme.multilabel,
    )


def _drawn(dataset: Dataset, seed: int) -> Dataset:
    """Return all rows, or as many as a map can have, in their order."""
    if len(dataset) < FEWEST_TEXTS:
        raise DataError(f"a map needs {FEWEST_TEXTS} texts; there are {len(dataset):,}")
    if len(dataset) <= MOST_TEXTS:
        return dataset
    chosen = np.random.default_rng(seed).choice(len(dataset), MOST_TEXTS, replace=False)
    return dataset.select(np.sort(chosen))


def _predicted(classifier: Classifier, texts: Sequence[str]) -> Integers:
    """Return the encoded labels that a classifier gives, as if it never abstained."""
    probabilities = classifier.predict_proba(texts)
    return classifier.decision.labels(probabilities, classifier.scheme.multilabel)


def _names(columns: Any, scheme: LabelScheme | None) -> tuple[str, ...]:
    """Return encoded labels as text, those of a text joined."""
    if scheme is None or not len(columns):
        return ()
    labels = scheme.decode(columns)
    if not scheme.multilabel:
        return tuple(labels)
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


def with_states(model: Classifier) -> Classifier | None:
    """Return a classifier that has dense states, of a blend its member with the most weight.

    Of a cascade it is that of its expensive classifier. None if there is none, as without an
    encoder.
    """
    if isinstance(model, CascadeClassifier):
        model = model.expensive.classifier
    parts = model.parts if isinstance(model, BlendClassifier) else ()
    members = [part.classifier for part in sorted(parts, key=lambda part: -part.weight)]
    originals = (of.original for of in members or [model])
    return next((of for of in originals if isinstance(of, _DENSE)), None)


def states_of(
    model: Classifier | str,
    texts: Sequence[str],
    encoder: str | None = None,
    progress: Callable[[ProgressEvent], None] = silent,
    device: str = "auto",
) -> States:
    """Return the states of texts.

    Of a transformer these are the inputs of the layer that returns its logits, of a probe the
    frozen states, of `static` the mean token vectors, of TF-IDF its features, of a blend those of
    its member with the most weight, of a cascade those of its expensive classifier. Of an encoder
    (alias, Hub name or folder), also of one given beside a classifier, they are the frozen states;
    of any other classifier those of `minilm` are.
    """

    def shown(event: ProgressEvent) -> None:
        progress(replace(event, stage="map: states"))

    context = FitContext(progress=shown)
    if isinstance(model, CascadeClassifier):
        model = model.expensive.classifier
    if isinstance(model, BlendClassifier):
        model = max(model.parts, key=lambda part: part.weight).classifier
    if isinstance(model, Classifier) and encoder is None:
        model = model.original
    match model if encoder is None else None:
        case TransformerClassifier() as tuned:
            table = tokenize(tuned.tokenizer, texts, tuned.max_length)
            vectors = _inputs_of_last_layer(tuned.model, table, progress)
            return States(vectors, "fine-tuned states")
        case ProbeClassifier() as probe:
            found = probe.encoder.states(texts, context)
            return States((found - probe.mean) / probe.scale, "frozen states of its encoder")
        case ZeroShotClassifier() as zeroshot:
            found = zeroshot.encoder.states(texts, context)
            return States(found, "frozen states of its encoder", cosine=True)
        case StaticClassifier() as static:
            found = static.embeddings.states(texts)
            return States((found - static.mean) / static.scale, "mean token vectors")
        case TfidfClassifier() as tfidf:
            return States(tfidf.vectorizer.transform(texts), "TF-IDF vectors", cosine=True)
    name = encoder or (model if isinstance(model, str) else DEFAULT_ENCODER)
    frozen = FrozenEncoder.load(name, choose_device(device))
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
