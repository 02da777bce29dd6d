"""Sentences of the model card: what a model reads of a text, and how it decides."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from finetext.core import wording
from finetext.core.decision import Decision
from finetext.core.errors import ModelError
from finetext.core.types import Score
from finetext.data.weak_labels import WeakLabels
from finetext.evaluation.cascading import Certificate
from finetext.evaluation.leaderboard import TextsRead
from finetext.evaluation.out_of_scope import ScopeScores
from finetext.storage.codec import from_json
from finetext.training.truncation import HEAD_SHARE, HEAD_TAIL

LONGEST: Final = 200
"""Characters of a value in one line."""
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]#|<>&~$@^]|:(?=\S))")
"""Characters with a meaning inside a line; those at its start never occur there."""
_HIDDEN: Final = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS: Final = "\u200c\u200d"
"""Hidden but harmless: emoji and some scripts need them."""


def escaped(value: Any) -> str:
    """Return a value as Markdown that shows it, in one line of at most 200 characters."""
    text = " ".join(str(value).split())
    visible = (c for c in text if c in _JOINERS or unicodedata.category(c) not in _HIDDEN)
    line = " ".join("".join(visible).split())
    if len(line) > LONGEST:
        line = line[: LONGEST - 1] + "…"
    return _MARKDOWN.sub(r"\\\1", line)


def weak_labels_of(described: Mapping[str, Any]) -> WeakLabels | None:
    """Return where the weak labels that a model learned from are from; None if it had none."""
    weak = described.get("provenance", {}).get("weak_labels")
    return None if weak is None else from_json(WeakLabels, weak, "weak_labels", ModelError)


def reading_sentences(described: Mapping[str, Any]) -> list[str]:
    """Return sentences on what the model reads of a text; none for one without an encoder."""
    made, read = described.get("provenance", {}), described.get("record", {}).get("reading")
    said = []
    if (window := made.get("window")) is not None:
        said.append(f"Texts are read whole, in windows of up to {window:,} tokens.")
    elif (length := made.get("max_length")) is not None:
        longer = f"Of a text with more than {length:,} tokens it reads"
        both = f"{HEAD_SHARE:.0%} from the head, the rest from the tail"
        said.append(
            {
                "tail": f"{longer} the last {length:,}.",
                HEAD_TAIL: f"{longer} as many: {both}.",
            }.get(made.get("truncation"), f"Texts are truncated after {length:,} tokens.")
        )
        if read is not None:
            noun = "text" if described.get("record", {}).get("folds") else "test text"
            said.append(f"It {from_json(TextsRead, read, 'reading').words(noun)}.")
    return said


def cascade_sentences(described: Mapping[str, Any]) -> list[str]:
    """Return sentences on which classifier of a cascade decides a text, and what that costs.

    There are none for another model. Raises a ModelError if what is recorded is damaged.
    """
    made = described.get("provenance", {}).get("cascade")
    if made is None:
        return []
    record = described.get("record", {}).get("cascade", {})
    cheap, expensive = (escaped(made[of]["name"]) for of in ("cheap", "expensive"))
    rows = escaped(record.get("rows", "ones"))
    words = "whose probabilities are all at least {} away from the threshold of their label"
    limit = words if described["multilabel"] else "whose likeliest label has at least {}"
    said = [
        f"{cheap} decides the texts {limit.format(format(made['threshold'], '.3g'))}, and "
        f"{expensive} the others."
    ]
    if (known := made.get("certificate")) is None:
        return said + _before_the_export(described, expensive)
    of = from_json(Certificate, known, "certificate", ModelError)
    units = f" in {of.units:,} groups, which count the same each" if of.grouped else ""
    whose = " of the models that predicted them" if record.get("remark") else ""
    said.append(
        f"With {of.confidence:.0%} confidence that costs at most {100 * of.most_loss:g} points of "
        f"accuracy against {expensive} alone, on rows like the {rows}{units} that certified "
        f"it{whose}: of these it sent {of.sent.value:.1%} on and lost {points(of.loss)}."
    )
    tested = [record.get(name) for name in ("tested", "tested_sent")]
    if None not in tested:
        loss, sent = (from_json(Score, of, "cascade", ModelError) for of in tested)
        tests = wording.counted(loss.n, "test row")
        said.append(f"Of {tests} it sent {sent.value:.1%} on and lost {points(loss)}.")
    if remark := record.get("remark"):
        said.append(f"{escaped(wording.capitalize_first(str(remark)))}.")
    return said


def _before_the_export(described: Mapping[str, Any], expensive: str) -> list[str]:
    """Return sentences on the certificate that the original of an exported cascade had, if any."""
    if (known := described["provenance"].get("original_certificate")) is None:
        return []
    of = from_json(Certificate, known, "original_certificate", ModelError)
    said = [
        "It has no certificate. That of the original was given before the export: with "
        f"{of.confidence:.0%} confidence, at most {100 * of.most_loss:g} points of accuracy lost "
        f"against {expensive} alone."
    ]
    record = described.get("record", {})
    if remark := record.get("cascade", {}).get("remark"):
        said.append(f"{escaped(wording.capitalize_first(str(remark)))}.")
    compared = record.get("export", {})
    rows, share = (compared.get(name) for name in ("rows", "agreement"))
    if isinstance(rows, int) and isinstance(share, float):
        said.append(
            f"The export predicts the same as the original on {round(rows * share):,} of "
            f"{wording.counted(rows, 'row')}."
        )
    return said


def points(loss: Score) -> str:
    """Return a share as points with its interval: "0.30 points [-0.10, 0.70]"."""
    return f"{100 * loss.value:.2f} points [{100 * loss.low:.2f}, {100 * loss.high:.2f}]"


def decision_sentences(described: Mapping[str, Any]) -> list[str]:
    """Return sentences on how calibrated the probabilities are and how they become labels."""
    record, decision = described.get("record", {}), described.get("decision", {})
    temperature, decided = decision.get("temperature", 1.0), record.get("decided", {})
    folds, said = int(record.get("folds", 0)), list[str]()
    scored = wording.rows_of(wording.part_in_words("test", folds))
    chosen_on = "out-of-fold predictions" if folds else "validation rows"
    if (weak := weak_labels_of(described)) is not None and not weak.is_scored:
        chosen_on = "rows with weak labels"
    if temperature != 1:
        said.append(
            f"Temperature scaling: the logits were divided by {temperature:.3g}, chosen on "
            f"{chosen_on}. The weights include it."
        )
    error = record.get("scores", {}).get("calibration_error", {}).get("value")
    if words := record.get("calibration", {}).get("words"):
        said.append(f"The probabilities on {scored} are {escaped(words)}.")
    elif error is not None:
        said.append(
            f"The calibration error on {scored} is {100 * error:.1f} percentage points; on few "
            "rows part of that is chance."
        )
    said += _rule(decision, bool(described["multilabel"]))
    if decided.get("decided") is not None and decided.get("accuracy") is not None:
        said.append(
            f"On {scored} it decides {_shown(decided, 'decided')} and is right on "
            f"{_shown(decided, 'accuracy')} of these."
            + (" Each row was decided by a rule that was chosen without it." if folds else "")
        )
    if (scope := record.get("scope")) is not None:
        words = from_json(ScopeScores, scope, "scope").words
        said.append(f"Texts that belong to no class: on {scored}, {words}.")
    if decided.get("covered") is not None:
        said.append(
            f"On {scored} {_shown(decided, 'covered')} of the prediction sets contain the true "
            f"label; they have {decided['set_size']:.2f} labels on average."
        )
    return said


def _shown(decided: Mapping[str, Any], name: str) -> str:
    """Return a share with its interval; older records have none."""
    low, high = decided.get(f"{name}_interval", (None, None))
    interval = "" if low is None else f" ({low:.1%} to {high:.1%})"
    return f"{decided[name]:.1%}{interval}"


def _rule(decision: Mapping[str, Any], multilabel: bool) -> list[str]:
    aim = f" ({escaped(decision['aim'])})" if decision.get("aim") else ""
    if decision.get("costs"):
        said = [f"The label with the least expected cost is predicted{aim}."]
    elif limits := decision.get("thresholds"):
        rule = "The label with the highest ratio of probability to threshold ({}) is predicted"
        if multilabel:
            rule = "Each label is predicted from its own threshold, {}"
        rule = rule.format(f"between {min(limits):.3g} and {max(limits):.3g}")
        said = [f"{rule}{aim}; the thresholds are in `finetext.json`."]
    elif multilabel:
        said = ["Each label is predicted from a probability of 0.5."]
    else:
        said = ["The most probable label is predicted."]
    if least := decision.get("least"):
        ends = f" to {max(least):.3g}, by label" if max(least) > min(least) else ""
        limit = f"{min(least):.3g}{ends}{aim}"
        said.append(f"It abstains: a text gets no label if that is less probable than {limit}.")
    if (most := decision.get("in_scope_up_to")) is not None:
        said.append(
            f"A text with an uncertainty above {most:.3g}, the sum of sqrt(p (1 - p)) over its "
            "labels, belongs to no class and gets no label."
        )
    if decision.get("set_from") is not None and decision.get("coverage") is not None:
        limit, rows = decision["set_from"], "rows"
        if isinstance(limit, list | tuple):
            limit, rows = (
                f"its own, between {min(limit):.3g} and {max(limit):.3g}",
                "each label's rows",
            )
        else:
            limit = f"{limit:.3g}"
        said.append(
            f"Prediction sets hold every label from a probability of {limit}; they are meant to "
            f"contain the true label for {decision['coverage']:.0%} of {rows} like those of "
            "validation."
        )
    if assurance := Decision.from_json(decision).assurance:
        said.append(f"The target is {assurance}.")
    return said
