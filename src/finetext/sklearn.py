"""The scikit-learn estimator: `from finetext.sklearn import TextClassifier`."""

from finetext.runs.estimator import TextClassifier

__all__ = ["TextClassifier"]
