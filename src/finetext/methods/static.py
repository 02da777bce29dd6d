"""Static embeddings: logistic regression on mean token vectors and on the tokens themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import numpy.typing as npt

from finetext.core.arrays import Floats, Integers, probabilities_of
from finetext.core.contracts import Classifier, FitContext, Method, batches_of
from finetext.core.decision import Decision
from finetext.core.errors import ModelError, RecipeError
from finetext.core.settings import Count, Positive
from finetext.core.types import Dataset, LabelScheme
from finetext.encoders.catalogue import is_alias, is_random, resolve
from finetext.encoders.load import load_encoder, load_tokenizer
from finetext.encoders.static_embeddings import (
    NotDistillableError,
    StaticEmbeddings,
    check_distillable,
    from_inputs,
)
from finetext.methods.joint_head import TokenRows, fit_joint_head
from finetext.methods.linear import LinearHead
from finetext.storage.files import write_json
from finetext.storage.received import is_received_file, read_received_text
from finetext.training.tokens import TOKENIZER, open_tokenizer

VECTORS: Final = "model.safetensors"
HEAD: Final = "head.safetensors"
TOKENS: Final = "tokens.safetensors"
ABOUT: Final = "static.json"
COMPARISON: Final = "export.json"
_TEXTS: Final = 2_000


@dataclass(frozen=True)
class Static(Method):
    """Fit a logistic regression on mean token vectors of an encoder and on TF-IDF of its tokens.

    So it knows words that no training row has by their vectors, and learns the others one by one.
    The encoder reads no text: its input embeddings are reduced to principal components once. Where
    cross-validation says so, tokens weigh the more the better they tell labels apart.

    Attributes:
        encoder: alias, Hub name or folder of the encoder, "minilm" by default.
        dimensions: length of a token vector, at most the width of the encoder; 128 by default.
        inverse_regularisation: C of the logistic regression; None (the default) chooses among
            1, 16 and 256 by cross-validation on the training rows.
    """

    name: ClassVar[str] = "static"
    needs_validation: ClassVar[bool] = False
    encoder: str = "minilm"
    dimensions: Count = 128
    inverse_regularisation: Positive | None = None

    def check(self, scheme: LabelScheme | None = None) -> None:
        """Refuse an unknown encoder, random weights, or a tokenizer that no table can use."""
        if is_random(self.encoder):
            raise RecipeError(
                f"static: {self.encoder} has random weights, which say nothing of a word. "
                "Leave static out: --methods finetune"
            )
        is_folder = Path(resolve(self.encoder).path).is_dir()
        if is_folder and not is_alias(self.encoder):
            with self._named():
                check_distillable(load_tokenizer(self.encoder))

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> StaticClassifier:
        """Take the vectors of the encoder and fit a head; see `Method.fit`."""
        return fit_static(self.embeddings(context), train, context, self.inverse_regularisation)

    def embeddings(self, context: FitContext) -> StaticEmbeddings:
        """Return the static embeddings of the encoder; in a cross-validation made only once."""

        def make() -> StaticEmbeddings:
            tokenizer = load_tokenizer(self.encoder)
            model = load_encoder(self.encoder, tokenizer)
            with self._named():
                return from_inputs(model, tokenizer, self.dimensions, context.cache)

        key = ("static", self.encoder, self.dimensions)
        return make() if context.shared is None else context.shared.once(key, make)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say in an error which encoder it is about, and what to do."""
        try:
            yield
        except NotDistillableError as error:
            raise ModelError(
                f"static: {self.encoder} has no token vectors to use: {error}. Name another "
                "encoder, or leave static out with --methods"
            ) from None


@dataclass(frozen=True, eq=False)
class TokenWeights:
    """What single tokens add to the logits: the TF-IDF of `tokens`, at length 1, times `weights`.

    `tokens` (v,) ascend, `frequencies` (v,) are inverse document frequencies, `weights` (v, k).
    """

    tokens: Integers
    frequencies: Floats
    weights: npt.NDArray[np.floating[Any]]

    def features(self, counts: Any) -> Any:
        """Return (n, v) sparse features for the counts of all tokens, with sublinear frequency."""
        from scipy.sparse import csr_array, diags_array

        places = np.searchsorted(self.tokens, counts.indices)
        places[places == len(self.tokens)] = 0
        is_known = np.zeros(len(places), dtype=bool)
        if len(self.tokens):
            is_known = self.tokens[places] == counts.indices
        columns = places[is_known]
        starts = np.concatenate([[0], np.cumsum(is_known)])[counts.indptr]
        values = (1 + np.log(counts.data[is_known])) * self.frequencies[columns]
        found = csr_array((values, columns, starts), shape=(len(starts) - 1, len(self.tokens)))
        lengths = np.sqrt(np.asarray(found.power(2).sum(axis=1)).ravel())
        return (diags_array(1 / np.maximum(lengths, 1e-12)) @ found).tocsr()

    def logits(self, counts: Any) -> Floats:
        """Return what the tokens add, (n, k)."""
        return np.asarray(self.features(counts) @ self.weights)

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(of) for name, of in vars(self).items()}, path)

    @classmethod
    def load(cls, path: Path, labels: int, size: int) -> TokenWeights:
        """Read what `save` wrote; a ValueError if it does not fit labels and vocabulary."""
        from safetensors.numpy import load_file

        found = cls(**load_file(path))
        tokens = found.tokens
        is_sorted = tokens.ndim == 1 and bool((np.diff(tokens) > 0).all())
        if not is_sorted or (len(tokens) and not 0 <= tokens[0] <= tokens[-1] < size):
            raise ValueError(f"{path.name}: its tokens are not those of the vocabulary")
        wanted = {"frequencies": (len(tokens),), "weights": (len(tokens), labels)}
        for name, shape in wanted.items():
            array = getattr(found, name)
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"{path.name}: {name} is not {shape} numbers")
        return found


@dataclass(frozen=True, eq=False)
class StaticClassifier(Classifier):
    """A fitted `Static`, or an export: a linear head on mean token vectors and on tokens.

    The vectors of texts are standardized by `mean` and `scale`, both (d,); older exports have no
    `tokens`.
    """

    kind: ClassVar[str] = "static"
    scheme: LabelScheme
    decision: Decision
    embeddings: StaticEmbeddings
    head: LinearHead
    mean: Floats
    scale: Floats
    tokens: TokenWeights | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    compared: Mapping[str, Any] = field(default_factory=dict)

    def logits(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.logits`."""
        logits = np.zeros((len(texts), len(self.scheme)))
        for part in batches_of(len(texts), _TEXTS):
            counts = self.embeddings.counts(texts[part])
            states = (self.embeddings.means(counts) - self.mean) / self.scale
            logits[part] = self.head.logits(states)
            if self.tokens is not None:
                logits[part] += self.tokens.logits(counts)
        return logits

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.predict_proba`."""
        return probabilities_of(self.logits(texts), self.scheme.multilabel)

    def with_temperature(self, temperature: float) -> Self:
        """See `Classifier.with_temperature`."""
        tokens = self.tokens
        if tokens is not None:
            tokens = replace(tokens, weights=tokens.weights / temperature)
        return replace(self, head=self.head.with_temperature(temperature), tokens=tokens)

    def save_weights(self, folder: Path) -> None:
        """Write the head, and the vectors in the layout of model2vec."""
        from safetensors.numpy import save_file

        vectors = np.ascontiguousarray(self.embeddings.vectors)
        save_file({"embeddings": vectors}, folder / VECTORS)
        self.head.save(folder / HEAD, mean=self.mean, scale=self.scale)
        if self.tokens is not None:
            self.tokens.save(folder / TOKENS)
        self.embeddings.tokenizer.save(str(folder / TOKENIZER))
        config = {
            "model_type": "model2vec",
            "architectures": ["StaticModel"],
            "hidden_dim": vectors.shape[1],
            "normalize": True,
            "max_length": None,
            "embedding_dtype": str(vectors.dtype),
        }
        about = {**self.about, "unknown": self.embeddings.unknown}
        for name, values in (("config.json", config), (ABOUT, about), (COMPARISON, self.compared)):
            if values:
                write_json(folder / name, values)

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> Self:
        """Read what `save_weights` wrote; raises OSError, ValueError or KeyError."""
        from safetensors.numpy import load_file

        head, extra = LinearHead.load(folder / HEAD, scheme)
        vectors = load_file(folder / VECTORS)["embeddings"]
        about = json.loads(read_received_text(folder, ABOUT))
        has_compared = is_received_file(folder, COMPARISON)
        compared = json.loads(read_received_text(folder, COMPARISON)) if has_compared else {}
        tokenizer = open_tokenizer(folder / TOKENIZER)
        embeddings = StaticEmbeddings(tokenizer, vectors, about.pop("unknown"))
        if vectors.ndim != 2 or len(vectors) <= max(tokenizer.get_vocab().values(), default=-1):
            raise ValueError(f"{VECTORS} has fewer vectors than {TOKENIZER} has tokens")
        if head.weights.shape[1] != vectors.shape[1]:
            raise ValueError(f"{HEAD} does not fit {VECTORS}")
        tokens = None
        if is_received_file(folder, TOKENS):
            tokens = TokenWeights.load(folder / TOKENS, len(scheme), len(vectors))
        mean, scale = extra["mean"], extra["scale"]
        return cls(scheme, decision, embeddings, head, mean, scale, tokens, about, compared)

    def provenance(self) -> dict[str, Any]:
        """Return what it was made from, and the chosen C."""
        return {**self.about, "inverse_regularisation": self.head.inverse_regularisation}


def fit_static(
    embeddings: StaticEmbeddings,
    train: Dataset,
    context: FitContext,
    inverse_regularisation: float | None = None,
    about: Mapping[str, Any] | None = None,
) -> StaticClassifier:
    """Fit token weights and a head on rows; a C of None is chosen by folds."""
    assert train.scheme is not None
    counts = embeddings.counts(train.texts)
    known, texts_with = np.unique(counts.indices, return_counts=True)
    # Smoothed as in scikit-learn.
    frequencies = np.log((1 + len(train)) / (1 + texts_with)) + 1
    tokens = TokenWeights(known.astype(np.int64), frequencies, np.zeros((len(known), 0)))
    vectors = embeddings.vectors[known].astype(np.float32)
    own = counts[:, known].astype(np.float32)
    rows = TokenRows(own, tokens.features(counts), vectors)
    found = fit_joint_head(rows, train, inverse_regularisation, context)
    strength = found.choice.inverse_regularisation
    head = LinearHead(found.of_vectors.T, found.bias, strength)
    weighted = embeddings.vectors.copy()
    weighted[known] = vectors * found.token_weights[:, None]
    described = {
        **(about or {}),
        "dimensions": vectors.shape[1],
        "token_power": found.choice.power,
        "vector_scale": found.choice.scale,
    }
    return StaticClassifier(
        train.scheme, Decision(), replace(embeddings, vectors=weighted), head,
        found.mean, found.deviation,
        replace(tokens, weights=found.of_features.astype(np.float32)), described,
    )  # fmt: skip
