"""A classifier on static embeddings: a table of vectors, their mean, and a logistic regression.

A text is the mean of the vectors of its pieces, brought to length 1 (model2vec: Tulkens and van
Dongen 2024). Order and context are lost; what is left predicts with tokenizers and NumPy alone, far
faster than the encoder that the vectors were taken from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.contracts import Classifier
from finetext.core.decision import Decision
from finetext.core.types import LabelScheme
from finetext.methods.linear import LinearHead
from finetext.training.tokens import encodable

VECTORS: Final = "model.safetensors"
HEAD: Final = "head.safetensors"
TOKENIZER: Final = "tokenizer.json"
ABOUT: Final = "static.json"
COMPARISON: Final = "export.json"
TEXTS_AT_A_TIME: Final = 256


@dataclass(frozen=True, eq=False)
class StaticEmbeddings:
    """A vector for each piece of a vocabulary.

    Attributes:
        tokenizer: a `tokenizers.Tokenizer` that neither cuts nor pads.
        vectors: (v, d) of its v pieces.
        unknown: number of the piece that stands for unknown words, which is left out; None if there
            is none.
    """

    tokenizer: Any
    vectors: Floats
    unknown: int | None

    def states(self, texts: Sequence[str]) -> Floats:
        """(n, d) means of the vectors of each text at length 1; zeros where no piece is known."""
        states = np.zeros((len(texts), self.vectors.shape[1]))
        for start in range(0, len(texts), TEXTS_AT_A_TIME):
            part = [encodable(text) for text in texts[start : start + TEXTS_AT_A_TIME]]
            rows = self.tokenizer.encode_batch(part, add_special_tokens=False)
            for number, row in enumerate(rows, start):
                states[number] = self._mean([i for i in row.ids if i != self.unknown])
        return states

    def _mean(self, ids: Sequence[int]) -> Floats:
        """(d,) of one text; few numbers are handled at a time, however long it is."""
        if not ids:
            return np.zeros(self.vectors.shape[1])
        pieces, counts = np.unique(np.asarray(ids), return_counts=True)
        total = counts @ self.vectors[pieces].astype(np.float64)
        return np.asarray(total / max(float(np.linalg.norm(total)), 1e-12))


@dataclass(frozen=True, eq=False)
class StaticClassifier(Classifier):
    """Static embeddings with logistic regression on top.

    Attributes:
        scheme: names of the k columns.
        decision: see `Classifier`.
        embeddings: the vectors.
        head: the logistic regression.
        mean: (d,) mean of the training states.
        scale: (d,) standard deviation of the training states.
        about: what it was made from.
        compared: how it compares with that; nothing if that is not known.
    """

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
        """Write the vectors in the layout of model2vec, which can load them, and the head."""
        from safetensors.numpy import save_file

        vectors = np.ascontiguousarray(self.embeddings.vectors)
        save_file({"embeddings": vectors}, folder / VECTORS)
        self.head.save(folder / HEAD, mean=self.mean, scale=self.scale)
        _write(
            folder / "config.json",
            {
                "model_type": "model2vec",
                "architectures": ["StaticModel"],
                "hidden_dim": vectors.shape[1],
                "normalize": True,
                "max_length": None,
                "embedding_dtype": str(vectors.dtype),
            },
        )
        self.embeddings.tokenizer.save(str(folder / TOKENIZER))
        _write(folder / ABOUT, {**self.about, "unknown": self.embeddings.unknown})
        if self.compared:
            _write(folder / COMPARISON, self.compared)

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> Self:
        """Read what `save_weights` wrote.

        Raises:
            OSError, ValueError, KeyError: a file is missing or damaged.
        """
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        head, extra = LinearHead.load(folder / HEAD, scheme)
        vectors = load_file(folder / VECTORS)["embeddings"]
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        try:
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        except Exception as error:  # what it raises has no class of its own
            raise ValueError(f"{TOKENIZER}: {error}") from None
        embeddings = StaticEmbeddings(tokenizer, vectors, about.pop("unknown"))
        if len(vectors) < tokenizer.get_vocab_size():
            raise ValueError(f"{VECTORS} has not as many vectors as {TOKENIZER} has pieces")
        if head.weights.shape[1] != vectors.shape[1]:
            raise ValueError(f"{HEAD} does not fit {VECTORS}")
        there = (folder / COMPARISON).is_file()
        compared = json.loads((folder / COMPARISON).read_text(encoding="utf-8")) if there else {}
        return cls(
            scheme, decision, embeddings, head, extra["mean"], extra["scale"], about, compared
        )

    def provenance(self) -> dict[str, Any]:
        """What it was made from, and the chosen C."""
        return {**self.about, "inverse_regularisation": self.head.inverse_regularisation}


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
