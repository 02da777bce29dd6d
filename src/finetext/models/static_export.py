"""Export to static embeddings: vectors out of an encoder, and a new head."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.contracts import FitContext, ProgressEvent, batches_of, silent
from finetext.core.decision import Decision
from finetext.core.errors import ModelError, RecipeError
from finetext.core.settings import Count
from finetext.core.types import Dataset
from finetext.models.exporters import (
    Exporter,
    Made,
    Original,
    check_has_encoder,
    encoder_of,
    tokenizer_of,
)
from finetext.models.static import StaticClassifier, StaticEmbeddings

PIECES_AT_A_TIME: Final = 256
SMOOTHING: Final = 1e-4
_ANY_TEXT: Final = "a text"


def distilled(
    model: Any,
    tokenizer: Any,
    dimensions: int,
    progress: Callable[[ProgressEvent], None] = silent,
) -> StaticEmbeddings:
    """The vectors of all pieces of the vocabulary of an encoder.

    Args:
        model: the bare encoder.
        tokenizer: its fast tokenizer.
        dimensions: of the vectors; no more than the encoder is wide.
        progress: told how many pieces were read.

    Raises:
        ModelError: the tokenizer puts special tokens into a text, and not around it.
    """
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    size = max(backend.get_vocab().values()) + 1
    special = set(tokenizer.all_special_ids)
    pieces = np.array([number for number in range(size) if number not in special])
    states = _states(model, tokenizer, pieces, progress)
    vectors = np.zeros((size, min(dimensions, *states.shape)))
    vectors[pieces] = _reduced(states, vectors.shape[1]) * _weights(size)[pieces, None]
    return StaticEmbeddings(backend, vectors.astype(np.float16), tokenizer.unk_token_id)


def _states(
    model: Any, tokenizer: Any, pieces: Integers, progress: Callable[[ProgressEvent], None]
) -> Floats:
    """(v, width) mean states of each piece between the special tokens."""
    import torch

    before, after = _around(tokenizer)
    reader = copy.deepcopy(model).cpu().float().eval()
    found = []
    with torch.inference_mode():
        for part in batches_of(len(pieces), PIECES_AT_A_TIME):
            rows = [[*before, int(piece), *after] for piece in pieces[part]]
            ids = torch.tensor(rows)
            states = reader(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            found.append(states.mean(1).numpy())
            progress(ProgressEvent("distilling", part.stop, len(pieces)))
    return np.nan_to_num(np.concatenate(found).astype(np.float64))


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens before and after a text.

    Raises:
        ModelError: there are some inside of it.
    """
    bare = tokenizer(_ANY_TEXT, add_special_tokens=False)["input_ids"]
    whole = tokenizer(_ANY_TEXT)["input_ids"]
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return list(whole[:start]), list(whole[start + len(bare) :])
    raise ModelError("its tokenizer puts special tokens into a text, so no piece can stand alone")


def _reduced(states: Floats, dimensions: int) -> Floats:
    """(v, d) scores of the first principal components, those with the most variance first."""
    centred = states - states.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    return np.asarray(centred @ directions[:, ::-1][:, :dimensions])


def _weights(size: int) -> Floats:
    """(v,) of each piece: next to nothing for the most frequent, 1 for the rarest."""
    shares = 1 / np.arange(2, size + 2)
    return np.asarray(SMOOTHING / (SMOOTHING + shares / shares.sum()))


@dataclass(frozen=True)
class StaticExporter(Exporter):
    """Vectors distilled from the encoder, and a logistic regression on their means.

    See `finetext.models.static_export` for the vectors. The head learns from the training rows
    anew; temperature and rule of decision are chosen on validation rows, as those of any rung.

    Attributes:
        dimensions: of the vectors, 256 by default; no more than the encoder is wide.
    """

    name: ClassVar[str] = "static"
    dimensions: Count = 256

    @property
    def least_agreement(self) -> float:
        """None is asked for: what it costs is said, and may be worth it."""
        return 0.0

    def check(self, original: Original) -> None:
        """Refuse what has no encoder, and a model without rows to learn from.

        Raises:
            ModelError: the model cannot be distilled.
            RecipeError: there are no rows to learn from.
        """
        check_has_encoder(original.classifier, "static embeddings")
        tokenizer = tokenizer_of(original.classifier)
        if not tokenizer.is_fast:
            raise ModelError(
                f"its tokenizer ({type(tokenizer).__name__}) splits texts by rules written in "
                "Python, which static embeddings cannot have; export a model of another encoder"
            )
        if original.head_rows is None:
            raise RecipeError(
                "static embeddings get a head of their own, which learns from labelled rows: name "
                "a model in its run folder, or give a labelled table with --data"
            )

    def make(self, original: Original, work: Path) -> Made:
        """Distil, fit the head, choose temperature and decision; see `Exporter.make`.

        Raises:
            UnlabelledError: the data have no labels.
            RunError: the training rows of the run cannot be told.
        """
        from finetext.evaluation.calibration import calibrated

        assert original.head_rows is not None
        rows = original.head_rows()
        original.say("distilling the encoder")
        model, tokenizer = encoder_of(original.classifier), tokenizer_of(original.classifier)
        embeddings = distilled(model, tokenizer, self.dimensions, original.progress)
        original.say(f"fitting the head on {len(rows.train):,} rows")
        fitted = self._fitted(embeddings, rows.train, original)
        classifier, _ = calibrated(fitted, rows.validation, original.decide)
        return Made(classifier, rows.compared, rows.remark)

    def _fitted(
        self, embeddings: StaticEmbeddings, train: Dataset, original: Original
    ) -> StaticClassifier:
        from finetext.methods.linear import fit_head

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
