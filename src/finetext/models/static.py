"""The export to static embeddings: vectors distilled from the encoder, and a head that is new."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from finetext.core.contracts import FitContext
from finetext.core.errors import ModelError, RecipeError
from finetext.core.settings import Count
from finetext.encoders.static_embeddings import NotDistillableError, distilled
from finetext.methods.static import fit_static
from finetext.models.exporters import Exporter, Made, Original, check_exportable, tokenizer_of


@dataclass(frozen=True)
class StaticExporter(Exporter):
    """Vectors of 256 `dimensions` by default, and a head on their means and on the tokens."""

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
        tokenizer = tokenizer_of(classifier)
        try:
            embeddings = distilled(model, tokenizer, self.dimensions, original.progress)
        except NotDistillableError as error:
            message = f"this model cannot be exported to static embeddings: {error}"
            raise ModelError(message) from None
        original.say(f"fitting the head on {len(rows.train):,} rows")
        context = FitContext(seed=original.seed, device="cpu", metric=original.metric)
        about = {
            "made_from": original.name,
            "original": original.classifier.kind,
            "pieces": len(embeddings.vectors),
            "training_rows": len(rows.train),
        }
        fitted = fit_static(embeddings, rows.train, context, about=about)
        made, _ = calibrated(fitted, rows.validation, original.decide)
        return Made(made, rows.compared, rows.remark)
