"""Export to static embeddings: vectors out of an encoder, and a new head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from finetext.artefact.static import StaticClassifier, StaticEmbeddings
from finetext.decisions import Decision
from finetext.errors import ModelError, RecipeError, UnlabelledError
from finetext.exporting.exporter import Exporter, Made
from finetext.exporting.onnx import encoder_of, refuse_without_encoder, tokenizer_of
from finetext.methods.base import FitContext
from finetext.methods.ranges import Count
from finetext.types import Dataset

if TYPE_CHECKING:
    from finetext.exporting.origin import Origin


@dataclass(frozen=True)
class StaticExporter(Exporter):
    """Vectors distilled from the encoder, and a logistic regression on their means.

    See `finetext.exporting.distilling` for the vectors. The head learns from the training rows
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

    def check(self, origin: Origin) -> None:
        """Refuse what has no encoder, and a model without rows to learn from.

        Raises:
            ModelError: the model cannot be distilled.
            RecipeError: there are no rows to learn from.
        """
        refuse_without_encoder(origin.classifier, "static embeddings")
        tokenizer = tokenizer_of(origin.classifier)
        if not tokenizer.is_fast:
            raise ModelError(
                f"its tokenizer ({type(tokenizer).__name__}) splits texts by rules written in "
                "Python, which static embeddings cannot have; export a model of another encoder"
            )
        if origin.run is None and origin.data is None:
            raise RecipeError(
                "static embeddings get a head of their own, which learns from labelled rows: name "
                "a model in its run folder, or give a labelled table with --data"
            )

    def make(self, origin: Origin, work: Path) -> Made:
        """Distil, fit the head, choose temperature and decision; see `Exporter.make`.

        Raises:
            UnlabelledError: the data have no labels.
            RunError: the training rows of the run cannot be told.
        """
        from finetext.exporting.distilling import distilled
        from finetext.methods.calibrate import calibrated

        train, validation, rows, remark = _rows(origin)
        origin.say("distilling the encoder")
        model, tokenizer = encoder_of(origin.classifier), tokenizer_of(origin.classifier)
        embeddings = distilled(model, tokenizer, self.dimensions, origin.progress)
        origin.say(f"fitting the head on {len(train):,} rows")
        fitted = self._fitted(embeddings, train, origin)
        classifier, _ = calibrated(fitted, validation, origin.recipe.decide)
        return Made(classifier, rows, remark)

    def _fitted(
        self, embeddings: StaticEmbeddings, train: Dataset, origin: Origin
    ) -> StaticClassifier:
        from finetext.methods.linear import fit_head

        scheme = origin.classifier.scheme
        context = FitContext(seed=origin.seed, device="cpu", metric=origin.metric)
        states = embeddings.states(train.texts)
        mean, scale = states.mean(axis=0), states.std(axis=0) + 1e-6
        head = fit_head((states - mean) / scale, train.targets, scheme, None, context, train.groups)
        about = {
            "made_from": origin.name,
            "original": origin.classifier.kind,
            "pieces": len(embeddings.vectors),
            "dimensions": embeddings.vectors.shape[1],
            "training_rows": len(train),
        }
        return StaticClassifier(scheme, Decision(), embeddings, head, mean, scale, about)


def _rows(origin: Origin) -> tuple[Dataset, Dataset, Dataset | None, str]:
    """Training rows, validation rows, those to compare on, and what is to be known of these."""
    from finetext.data.split import split

    if origin.run is not None:
        validation = origin.validation_rows()
        remark = "temperature and rule of decision of both were chosen on these rows"
        return origin.training_rows(), validation, None, "" if origin.data else remark
    given = origin.rows
    if given is None or given.scheme is None:
        raise UnlabelledError(
            "the head of static embeddings learns from labels, and the data have none; name their "
            "column with --label"
        )
    splits = split(given, seed=origin.seed)
    remark = (
        "these were held out of the data, the head learnt from others; if the original was trained "
        "on all of them, it is favoured here"
    )
    return splits.train, splits.validation, splits.validation, remark
