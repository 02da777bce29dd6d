"""The scikit-learn estimator, for pipelines, searches and cross-validation.

from finetext.sklearn import TextClassifier
from sklearn.model_selection import GridSearchCV

search = GridSearchCV(TextClassifier("finetune", epochs=2), {"learning_rate": [5e-5, 1e-4]})
search.fit(texts, labels)

"""

from finetext.runs.estimator import TextClassifier

__all__ = ["TextClassifier"]
