"""From a fitted classifier to one whose probabilities and labels can be used."""

from __future__ import annotations

from dataclasses import replace

from finetext.core.contracts import Classifier, predict
from finetext.core.types import Dataset, Predictions
from finetext.evaluation.calibration import fit_temperature, with_temperature
from finetext.evaluation.deciding import Deciding, choose_decision


def calibrated(
    classifier: Classifier, validation: Dataset, wanted: Deciding | None = None
) -> tuple[Classifier, Predictions]:
    """The classifier with its temperature and its rule of decision, both from validation rows.

    Args:
        classifier: as it came out of training.
        validation: labelled rows that were not trained on.
        wanted: what the rule of decision is to achieve; by default the likeliest label is given,
            or each label from a probability that makes for a high F1 where there can be several.

    Returns:
        the classifier, and its predictions of the validation rows.

    Raises:
        RecipeError: what is wanted does not suit the labels.
    """
    predictions = predict(classifier, validation)
    temperature = fit_temperature(predictions)
    cooled = classifier.with_temperature(temperature)
    if cooled is not classifier:
        decision = replace(predictions.decision, temperature=temperature)
        predictions = replace(with_temperature(predictions, temperature), decision=decision)
    decision = choose_decision(predictions, wanted or Deciding())
    return cooled.with_decision(decision), replace(predictions, decision=decision)
