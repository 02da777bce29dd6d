"""Static embeddings: a classifier on a table of token vectors, and its export from an encoder.

A text is the mean of the vectors of its tokens, scaled to length 1 (model2vec: Tulkens and van
Dongen 2024); tokenizers and NumPy suffice to predict.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.budget import native
from finetext.core.contracts import Classifier, FitContext, ProgressEvent, batches_of, silent
from finetext.core.decision import Decision
from finetext.core.errors import ModelError, RecipeError
from finetext.core.settings import Count
from finetext.core.types import Dataset, LabelScheme
from finetext.methods.linear import LinearHead, fit_head
from finetext.models.exporters import Exporter, Made, Original, check_exportable, tokenizer_of
from finetext.models.onnx import TOKENIZER, open_tokenizer
from finetext.storage.files import write_json
from finetext.storage.received import is_received_file, read_received_text
from finetext.training.tokens import encodable

VECTORS: Final = "model.safetensors"
HEAD: Final = "head.safetensors"
ABOUT: Final = "static.json"
COMPARISON: Final = "export.json"
_BATCH: Final = 256
SMOOTHING: Final = 1e-4


@dataclass(frozen=True, eq=False)
class StaticEmbeddings:
    """A vector for each token of a vocabulary, (v, d); the token for unknown words is ignored."""

    tokenizer: Any
    vectors: Floats
    unknown: int | None

    def states(self, texts: Sequence[str]) -> Floats:
        """(n, d) mean vector of each text, at length 1; zeros where no token is known."""
        states = np.zeros((len(texts), self.vectors.shape[1]))
        for part in batches_of(len(texts), _BATCH):
            batch = [encodable(text) for text in texts[part]]
            with native(TOKENIZER):
                rows = self.tokenizer.encode_batch(batch, add_special_tokens=False)
            for number, row in enumerate(rows, part.start):
                known = [token for token in row.ids if token != self.unknown]
                if known:
                    tokens, counts = np.unique(np.asarray(known), return_counts=True)
                    total = counts @ self.vectors[tokens].astype(np.float64)
                    states[number] = total / max(float(np.linalg.norm(total)), 1e-12)
        return states


@dataclass(frozen=True, eq=False)
class StaticClassifier(Classifier):
    """Logistic regression on static embeddings, standardized by `mean` and `scale`, both (d,)."""

    kind: ClassVar[str] = "static"
    scheme: LabelScheme
    decision: Decision
    embeddings: StaticEmbeddings
    head: LinearHead
    mean: Floats
    scale: Floats
    about: Mapping[str, Any] = field(default_factory=dict)
    compared: Mapping[str, Any] = field(default_factory=dict)

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.predict_proba`."""
        if not len(texts):
            return np.zeros((0, len(self.scheme)))
        states = (self.embeddings.states(texts) - self.mean) / self.scale
        return self.head.probabilities(states, self.scheme)

    def with_temperature(self, temperature: float) -> Self:
        """See `Classifier.with_temperature`."""
        return replace(self, head=self.head.with_temperature(temperature))

    def save_weights(self, folder: Path) -> None:
        """Write the head, and the vectors in the layout of model2vec."""
        from safetensors.numpy import save_file

        vectors = np.ascontiguousarray(self.embeddings.vectors)
        save_file({"embeddings": vectors}, folder / VECTORS)
        self.head.save(folder / HEAD, mean=self.mean, scale=self.scale)
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
        mean, scale = extra["mean"], extra["scale"]
        return cls(scheme, decision, embeddings, head, mean, scale, about, compared)

    def provenance(self) -> dict[str, Any]:
        """Return what it was made from, and the chosen C."""
        return {**self.about, "inverse_regularisation": self.head.inverse_regularisation}


@dataclass(frozen=True)
class StaticExporter(Exporter):
    """Vectors of 256 `dimensions` by default, and a logistic regression on their means."""

    name: ClassVar[str] = "static"
    dimensions: Count = 256

    @property
    def least_agreement(self) -> float:
        """0: the loss is reported, and may be worth it."""
        return 0.0

    def check(self, original: Original) -> None:
        """Raise a ModelError, or a RecipeError if there are no rows to fit a head on."""
        check_exportable(original.classifier, "static embeddings")
        if original.head_rows is None:
            raise RecipeError(
                "static embeddings get a new head, which is fitted on labeled rows: name a model "
                "in its run folder, or give a labeled table with --data"
            )

    def make(self, original: Original, work: Path) -> Made:
        """Distill, fit the head, choose temperature and decision rule; see `Exporter.make`."""
        from finetext.evaluation.calibration import calibrated

        assert original.head_rows is not None
        rows = original.head_rows()
        original.say("distilling the encoder")
        classifier: Any = original.classifier
        is_probe = classifier.kind == "probe"
        model = classifier.encoder.model if is_probe else classifier.model.base_model
        embeddings = distilled(model, tokenizer_of(classifier), self.dimensions, original.progress)
        original.say(f"fitting the head on {len(rows.train):,} rows")
        fitted = _fit(embeddings, rows.train, original)
        made, _ = calibrated(fitted, rows.validation, original.decide)
        return Made(made, rows.compared, rows.remark)


def _fit(embeddings: StaticEmbeddings, train: Dataset, original: Original) -> StaticClassifier:
    scheme = original.classifier.scheme
    context = FitContext(seed=original.seed, device="cpu", metric=original.metric)
    states = embeddings.states(train.texts)
    mean, scale = states.mean(axis=0), states.std(axis=0) + 1e-6
    head = fit_head((states - mean) / scale, train.targets, scheme, None, context, train.groups)
    about = {
        "made_from": original.name,
        "original": original.classifier.kind,
        "pieces": len(embeddings.vectors),
        "dimensions": embeddings.vectors.shape[1],
        "training_rows": len(train),
    }
    return StaticClassifier(scheme, Decision(), embeddings, head, mean, scale, about)


def distilled(
    model: Any,
    tokenizer: Any,
    dimensions: int,
    progress: Callable[[ProgressEvent], None] = silent,
) -> StaticEmbeddings:
    """Return a vector for every token in the vocabulary of an encoder.

    Each is the mean state of the token alone, projected on the first principal components and
    weighted: next to nothing for the most frequent token, 1 for the rarest.
    """
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    size = max(backend.get_vocab().values()) + 1
    special = set(tokenizer.all_special_ids)
    tokens = np.array([number for number in range(size) if number not in special])
    states = _states(model, tokenizer, tokens, progress)
    vectors = np.zeros((size, min(dimensions, *states.shape)))
    centered = states - states.mean(axis=0)
    _, directions = np.linalg.eigh(centered.T @ centered)
    components = centered @ directions[:, ::-1][:, : vectors.shape[1]]
    shares = 1 / np.arange(2, size + 2)
    weights = SMOOTHING / (SMOOTHING + shares / shares.sum())
    vectors[tokens] = components * weights[tokens, None]
    return StaticEmbeddings(backend, vectors.astype(np.float16), tokenizer.unk_token_id)


def _states(
    model: Any, tokenizer: Any, tokens: Integers, progress: Callable[[ProgressEvent], None]
) -> Floats:
    """(v, width) mean state of each token between the special tokens."""
    import torch

    before, after = _special_tokens_around(tokenizer)
    reader = copy.deepcopy(model).cpu().float().eval()
    found = []
    with torch.inference_mode():
        for part in batches_of(len(tokens), _BATCH):
            ids = torch.tensor([[*before, int(token), *after] for token in tokens[part]])
            states = reader(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            found.append(states.mean(1).numpy())
            progress(ProgressEvent("distilling", part.stop, len(tokens)))
    return np.nan_to_num(np.concatenate(found).astype(np.float64))


def _special_tokens_around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the special tokens before and after a text; raises a ModelError if some are inside."""
    bare = tokenizer("a text", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a text")["input_ids"]
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return list(whole[:start]), list(whole[start + len(bare) :])
    raise ModelError("its tokenizer puts special tokens inside a text, so no token can stand alone")
