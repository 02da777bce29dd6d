"""Which score best tells texts that belong to no class?

    FINETEXT_DATA=../shared/data python benchmarks/out_of_scope.py
    FINETEXT_DATA=../shared/data python benchmarks/out_of_scope.py --split validation

Classes drawn by the seed are held out: no row of them is learned from, and all are out of scope.
The threshold of a score is the highest by which at most `--false-alarms` of the validation rows are
refused, of which a new one counts as one; all are in scope. Scores were compared on rows of
`--split validation`; test rows (the default) were never looked at for that.

- probability: of the likeliest label, calibrated; entropy of all; generalized entropy, which the
  decision rule has: the sum of sqrt(p (1 - p)) (Liu et al., GEN, CVPR 2023).
- energy: log of the summed exponentials of the logits (Liu et al., Energy-based out-of-distribution
  detection, NeurIPS 2020).
- class mean: cosine of the state and the nearest mean of a class; Mahalanobis: distance to it under
  the covariance of all classes (Lee et al., NeurIPS 2018); neighbor: cosine of the tenth training
  text (Sun et al., Out-of-distribution detection with deep nearest neighbors, ICML 2022). Each with
  states of the encoder as it is, and of the fine-tuned one.
- probability and neighbor, entropy and neighbor: the sum of the two ranks among validation rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import common
import minutes_data
import numpy as np
from common import Answer, Job, Ledger
from record import commit
from sklearn.metrics import roc_auc_score

import finetext
from finetext.core.contracts import FitContext, Member
from finetext.core.decision import uncertainty
from finetext.core.shared_texts import SharedTexts
from finetext.encoders.states import FrozenEncoder
from finetext.evaluation.calibration import calibrated

HELD_OUT: Final = {"banking77": 19, "emotion": 1, "bbc": 1}
"""Classes that are held out of each set."""
METHODS: Final = ("tfidf", "probe", "finetune", "blend")
LONG: Final = ("bbc",)
"""Sets of texts so long that fine-tuning is left out."""
NEIGHBOR: Final = 10
OTHER_SETS: Final = ("films", "sms")
OTHERS: Final = 300
"""Texts of each of these sets that are judged with `--split "other sets"`."""


def main() -> None:
    """Fit and score every set and seed, and print the tables."""
    if common.served(work):
        return
    parser = common.parser(__doc__)
    parser.add_argument("--sets", nargs="+", default=list(HELD_OUT), choices=list(HELD_OUT))
    parser.add_argument("--seeds", type=int, default=3, help="draws of classes and rows (3)")
    parser.add_argument("--split", default="test", choices=("validation", "test", "other sets"))
    parser.add_argument("--rows", type=int, default=2_000, help="training rows (2000)")
    parser.add_argument("--validation", type=int, default=500, help="validation rows (500)")
    parser.add_argument("--false-alarms", type=float, default=0.05, help="stated rate (0.05)")
    parser.add_argument("--version", default=commit(), help="of finetext in the ledger")
    options = parser.parse_args()
    ledger, tables = Ledger("out_of_scope", options.ledgers), []
    for name in options.sets:
        found: dict[tuple[str, str], list[Answer]] = {}
        for seed in range(options.seeds):
            job: Job = {"set": name, "seed": seed, "rows": options.rows}
            job |= {"validation": options.validation, "false_alarms": options.false_alarms}
            job |= {"version": options.version, "threads": options.threads}
            answer = ledger.get(job, lambda job=job: common.alone(__file__, job, options.threads))
            common.say(f"{name}, seed {seed}: held out {', '.join(answer['held_out'])}")
            for line in answer[options.split]:
                found.setdefault((line["method"], line["score"]), []).append(line)
        lines = [row(method, score, of) for (method, score), of in found.items()]
        titles = ["method", "score", "accuracy in scope", "of those accepted", "false alarms",
                  "recall out of scope", "at the stated rate", "AUROC"]  # fmt: skip
        title = f"{name}, {HELD_OUT[name]} of its classes held out"
        tables += [[f"### {title}"], common.table(titles, lines)]
    what = (
        f"MiniLM; {options.rows:,} training rows and {options.validation} validation rows of the "
        f"classes in scope; {options.split} rows; {options.seeds} draws of classes and rows; "
        f"threshold for {options.false_alarms:.0%} of false alarms. Accuracy counts a refused row "
        "in scope as wrong; mean and standard deviation over draws."
    )
    common.finish(options, "Texts that belong to no class", what, tables)


def row(method: str, score: str, answers: list[Answer]) -> list[str]:
    """The row of a method and a score."""
    keys = ("accuracy", "accepted", "false_alarms", "recall", "recall_as_stated", "auroc")
    return [method, score, *(common.mean_and_spread([of[key] for of in answers]) for key in keys)]


def work(job: Job) -> Answer:
    """Fit the methods on the classes in scope, and judge all scores on both parts."""
    cut, random = minutes_data.cut_of(job["set"]), np.random.default_rng(job["seed"])
    held_out = set(random.permutation(cut.names)[: HELD_OUT[job["set"]]].tolist())
    order = random.permutation(len(cut.pool))
    known = [cut.pool[place] for place in order if cut.pool[place].labels[0] not in held_out]
    train, validation = _read(known[: job["rows"]]), known[job["rows"] :][: job["validation"]]
    assert train.scheme is not None
    kept = replace(_read(validation), scheme=train.scheme)
    fitted = _fitted(train, kept, job)
    spaces = _spaces(fitted, train)
    _, expected = _scores(fitted, spaces, kept.texts)
    _add_combined(expected, expected)
    answer: Answer = {"held_out": sorted(held_out)}
    for part, rows in _parts(cut, held_out).items():
        is_out = np.array([one.labels[0] not in train.scheme.names for one in rows])
        truth = np.array([one.labels[0] for one in rows], dtype=object)
        given, scores = _scores(fitted, spaces, [one.text for one in rows])
        _add_combined(scores, expected)
        lines = []
        for (method, score), values in scores.items():
            judged, refused = _judged(values, expected[method, score], is_out, job["false_alarms"])
            for name in [method] if method else fitted:
                said = np.array(train.scheme.names, dtype=object)[given[name]]
                is_right, accepted = (said == truth)[~is_out], ~refused[~is_out]
                right = {
                    "accuracy": float((is_right & accepted).mean()),
                    "accepted": float(is_right[accepted].mean()),
                }
                lines.append({"method": name, "score": score, **judged, **right})
        answer[part] = sorted(lines, key=lambda line: METHODS.index(line["method"]))
    return answer


def _parts(cut: minutes_data.Cut, held_out: set[str]) -> dict[str, list[minutes_data.Row]]:
    """The rows that are judged, by `--split`."""
    inside = [one for one in cut.developing if one.labels[0] not in held_out]
    others = [minutes_data.cut_of(name).developing[:OTHERS] for name in OTHER_SETS]
    strange = [row._replace(labels=("another set",)) for part in others for row in part]
    return {"validation": cut.developing, "test": cut.test, "other sets": inside + strange}


def _read(rows: Sequence[minutes_data.Row]) -> finetext.Dataset:
    return finetext.read(([row.text for row in rows], [row.labels[0] for row in rows]))


def _fitted(train: finetext.Dataset, kept: finetext.Dataset, job: Job) -> dict[str, Any]:
    """The calibrated classifiers by method; the blend is of all others."""
    methods: dict[str, Any] = {"tfidf": finetext.Tfidf(), "probe": finetext.Probe()}
    if job["set"] not in LONG:
        methods["finetune"] = finetext.Finetune()
    cut = minutes_data.cut_of(job["set"])
    texts = [row.text for part in _parts(cut, set()).values() for row in part]
    shared = SharedTexts((*train.texts, *kept.texts, *texts))  # whose states are computed once
    context = FitContext(seed=job["seed"], device="cpu", metric="accuracy", shared=shared)
    fitted, members = dict[str, Any](), dict[str, Member]()
    for name, method in methods.items():
        fitted[name], predictions = calibrated(method.fit(train, kept, context), kept)
        members[name] = Member(fitted[name], predictions, name != "tfidf")
    blend = finetext.Blend(always=True).fit(train, kept, replace(context, members=members))
    fitted["blend"] = calibrated(blend, kept)[0]
    return fitted


class Space(NamedTuple):
    """States of an encoder, those of the training rows with their classes, and a whitening."""

    encoder: FrozenEncoder
    known: Any
    targets: Any
    whitening: Any

    @classmethod
    def of(cls, encoder: FrozenEncoder, train: finetext.Dataset) -> Space:
        """Return the space; a thousandth of the variance is added to the covariance."""
        known, targets = encoder.states(train.texts), train.targets
        centered = known - _means(known, targets)[targets]
        covariance = np.cov(centered.T) + 1e-3 * centered.var() * np.eye(known.shape[1])
        return cls(encoder, known, targets, np.linalg.cholesky(np.linalg.inv(covariance)))

    def scores(self, texts: Sequence[str], name: str) -> dict[str, Any]:
        """Return the scores of texts by name."""
        states, means = self.encoder.states(texts), _means(self.known, self.targets)
        white, centers = states @ self.whitening, means @ self.whitening
        squares = (white**2).sum(1)[:, None] - 2 * white @ centers.T + (centers**2).sum(1)
        near = np.sort(_unit(states) @ _unit(self.known).T, axis=1)[:, -NEIGHBOR]
        return {
            f"class mean, {name}": (_unit(states) @ _unit(means).T).max(axis=1),
            f"Mahalanobis, {name}": -squares.min(axis=1),
            f"neighbor, {name}": near,
        }


def _means(states: Any, targets: Any) -> Any:
    return np.stack([states[targets == column].mean(axis=0) for column in np.unique(targets)])


def _spaces(fitted: Mapping[str, Any], train: finetext.Dataset) -> dict[str, Space]:
    """The states of each method that has its own; those of "" serve any method."""
    spaces = {"": Space.of(fitted["probe"].encoder, train)}
    if "finetune" in fitted:
        of = fitted["finetune"]
        tuned = FrozenEncoder(of.model.base_model, of.tokenizer, of.max_length, of.model.device)
        spaces["finetune"] = Space.of(tuned, train)
    return spaces


def _scores(
    fitted: Mapping[str, Any], spaces: Mapping[str, Space], texts: Sequence[str]
) -> tuple[dict[str, Any], dict[tuple[str, str], Any]]:
    """The columns that each method gives, and scores by method ("" for any) and name.

    They are higher in scope.
    """
    given, scores = dict[str, Any](), dict[tuple[str, str], Any]()
    for name, classifier in fitted.items():
        likely = np.maximum(classifier.predict_proba(texts), 1e-12)
        given[name], scores[name, "probability"] = likely.argmax(axis=1), likely.max(axis=1)
        scores[name, "entropy"] = (likely * np.log(likely)).sum(axis=1)
        scores[name, "generalized entropy"] = -uncertainty(likely)
        if name != "blend":  # its logits are sums of log-probabilities
            scores[name, "energy"] = np.logaddexp.reduce(_raw_logits(classifier, texts), axis=1)
    for name, space in spaces.items():
        of = "fine-tuned" if name else "encoder"
        scores |= {(name, score): it for score, it in space.scores(texts, of).items()}
    return given, scores


def _raw_logits(classifier: Any, texts: Sequence[str]) -> Any:
    """Return the logits as the head gives them; those of `Classifier.logits` are normalized."""
    if classifier.kind == "transformer":
        return classifier.logits(texts)
    if classifier.kind == "probe":
        states = (classifier.encoder.states(texts) - classifier.mean) / classifier.scale
        return classifier.head.logits(states)
    return classifier.head.logits(classifier.vectorizer.transform(texts))


def _unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _add_combined(
    scores: dict[tuple[str, str], Any], expected: Mapping[tuple[str, str], Any]
) -> None:
    """Add the sum of the ranks of a score and nearest neighbor, by method."""
    neighbor = ("", "neighbor, encoder")
    for method, score in list(scores):
        if score in ("probability", "entropy"):
            scores[method, f"{score} and neighbor"] = sum(
                np.searchsorted(np.sort(expected[key]), scores[key]) / len(expected[key])
                + 1e-6 * scores[key]  # below all of validation
                for key in ((method, score), neighbor)
            )


def _judged(values: Any, expected: Any, is_out: Any, allowed: float) -> tuple[Answer, Any]:
    """False alarms and recall at the threshold of validation rows, and the area under the curve."""
    rank = int(allowed * (len(expected) + 1) + 1e-9)
    threshold = np.sort(expected)[rank - 1] if rank else -np.inf
    refused = values < threshold
    judged = {
        "false_alarms": float(refused[~is_out].mean()),
        "recall": float(refused[is_out].mean()),
        "recall_as_stated": float((values < np.quantile(values[~is_out], allowed))[is_out].mean()),
        "auroc": float(roc_auc_score(~is_out, values)),
    }
    return judged, refused


if __name__ == "__main__":
    main()
