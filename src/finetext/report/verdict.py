"""The verdict on a run in plain words: how often it is right, for what it is usable, what is next.

It is for people who know nothing of metrics. When a method is usable says `evaluation.usability`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from finetext.core.display import html_text
from finetext.core.types import Predictions, Score
from finetext.core.wording import capitalize_first, counted, learned_in_words
from finetext.evaluation.choice import Choice
from finetext.evaluation.compare import compare, is_right
from finetext.evaluation.estimates import DiscordantRows, Estimate
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.evaluation.leaderboard import LeaderboardEntry
from finetext.evaluation.proportions import proportion_over
from finetext.evaluation.usability import (
    FEWEST,
    ClassStatus,
    ClassVerdict,
    Status,
    class_verdict,
    constant,
    decided_rows,
    most_frequent,
    status_of,
)
from finetext.report.next_step import Judged, Learning, NextStep, next_step
from finetext.storage.codec import Jsonable

WIDE: Final = 0.3
"""Width of the 95% interval from which a share is not scaled to 100 new texts."""
MOST_NAMES: Final = 4
MOST_EXPLAINED: Final = 2


@dataclass(frozen=True, repr=False)
class Verdict(Jsonable):
    """What a layperson needs to know of a run.

    Attributes:
        method: the recommended method, which the verdict is about.
        right: share of texts with the right label, or with exactly the right labels; of a method
            that abstains, of the texts that it decides.
        decided: share of texts that a method that abstains decides; None if it decides all.
        always: the labels that are most often right without reading: one, or several or none in
            multi-label data.
        always_right: share of the same texts that these are right on.
        lead: the method minus that, with its error.
        classes: the classes, in the order of the labels.
        positive: the positive class of two, if it was named.
        next: what to do next.
        doubt: what the choice of the method does not show, in a sentence.
        learned: how many texts the model of a cross-validated run learned from, in a sentence.
    """

    method: str
    status: Status
    multilabel: bool
    right: Score
    decided: Score | None
    always: tuple[str, ...]
    always_right: float
    lead: Estimate | DiscordantRows
    classes: tuple[ClassVerdict, ...]
    positive: str | None
    next: NextStep
    doubt: str = ""
    learned: str = ""

    @property
    def is_better(self) -> bool:
        """Whether the method is shown to be better than guessing."""
        return self.status != "not usable yet"

    @property
    def is_recommended(self) -> bool:
        """Whether its method is recommended, rather than taken until one is known to be better."""
        return self.is_better and not self.doubt

    @property
    def weakest(self) -> ClassVerdict | None:
        """The weak class with the lowest share; else that with the fewest of its texts found.

        Where none is weak, classes of fewer than ten texts count only if all are so small. None
        if no class has any texts.
        """
        if weak := [of for of in self.classes if of.status == "weak"]:
            return min(weak, key=_least)
        there = [of for of in self.classes if of.found.n]
        there = [of for of in there if of.found.n >= FEWEST] or there
        return min(there, key=lambda of: (of.found.value, -of.found.n), default=None)

    @property
    def share(self) -> tuple[str, str]:
        """Return how often it is right, as "63 of 100 new texts" or "7 of 9 texts", and the rest.

        The rest is the interval, or what so few texts leave open.
        """
        right = self.right
        if not right.n:
            return "none of these texts is decided", ""
        if math.isnan(right.low):
            known = f"{as_counts(right)} text{'' if right.n == 1 else 's'}"
            return known, "which says nothing of new texts"
        low, high = right.low, right.high
        if high - low > WIDE:
            known = f"{as_counts(right)} text{'' if right.n == 1 else 's'}"
            few = "from so few, the truth may be anywhere between "
            return known, f"{few}{whole_number(low)} and {whole_number(high)} of 100 new ones"
        each = self._scale
        return f"{whole_number(right.value, each)} of {each:,} new texts", whole_ends(right, each)

    @property
    def _scale(self) -> int:
        """Texts to scale to: 100, or 1,000 where a lead that is shown would be rounded away."""
        alike = whole_number(self.right.value) == whole_number(self.always_right)
        return 1000 if alike and self.is_better else 100

    @property
    def guess(self) -> str:
        """What always giving the most frequent label comes to, in the same scale."""
        if not self.right.n:
            return ""
        names = " and ".join(f"“{name}”" for name in self.always)
        always = f"always answering {names}" if names else "always giving no label"
        share, n = self.share[0], self.right.n
        if "new" not in share:
            return f"{always} is right on {round(self.always_right * n)} of the {n:,}"
        return f"{always} is right on {whole_number(self.always_right, self._scale)}"

    @property
    def topic(self) -> str:
        """What `share` is about: of a method that abstains, the texts that it decides."""
        topic = "How often it is right"
        if self.decided is None or not self.right.n:
            return topic
        return f"{topic} on the {whole_number(self.decided.value)} of 100 texts that it decides"

    def words(self) -> list[str]:
        """Return the verdict in sentences, the first of which says whether it is usable."""
        begin = "All labels right on" if self.multilabel else "Right on"
        if self.decided is not None:
            if not self.right.n:
                return ["It decides none of these texts: not usable yet."]
            decides = f"Decides {whole_number(self.decided.value)} of 100 new texts"
            begin = f"{decides} {whole_ends(self.decided)}".rstrip() + ". On those it is right on"
        share, rest = self.share
        said = f"{begin} {share}{' ' if rest.startswith('[') else '; '}{rest}; {self.guess}"
        if not self.is_better:
            unsure = "not shown to be better, so " if self.lead.value > 0 else ""
            lines = [f"{said}: {unsure}not usable yet."]
        else:
            lines = [f"{said}. {self._usable()}"]
            if not self.lead.interval()[0] > 0:
                unsure = (
                    f"Not shown to be right more often, but it does recognize “{self.positive}”"
                )
                lines = [f"{said}. {unsure}."]
        if self.is_better and self.doubt:
            lines.append(self.doubt)
        return [*lines, *self._of_positive(), *filter(None, [self.learned])]

    def _usable(self) -> str:
        by: dict[ClassStatus, list[ClassVerdict]] = {"usable": [], "weak": [], "unknown": []}
        for of in self.classes:
            by[of.status].append(of)
        good, weak, unknown = by["usable"], by["weak"], by["unknown"]
        noun = "labels" if self.multilabel else "classes"
        if self.status == "better than guessing":
            parts = ["better than guessing"]
        elif len(good) == len(self.classes):
            parts = [f"usable for {'both' if len(good) == 2 else f'all {len(good)}'} {noun}"]
        else:
            parts = [f"usable for {_names(good)}"]
        if weak:
            weak = sorted(weak, key=lambda of: _least(of))
            explained = ", ".join(
                f"“{of.name}” ({class_in_words(of)})" for of in weak[:MOST_EXPLAINED]
            )
            more = len(weak) - MOST_EXPLAINED
            if more > 0 and len(weak) == len(self.classes):
                parts.append(f"weak on all {len(weak)} {noun}, most on {explained}")
            else:
                parts.append(f"weak on {explained}{f' and {more} more' if more > 0 else ''}")
        if unknown:
            which = f"about {_names(unknown)}"
            if len(unknown) == len(self.classes):
                which = f"for which {noun} it is usable"
            parts.append(f"too few texts to tell {which}")
        return f"{capitalize_first('; '.join(parts))}."

    def _of_positive(self) -> list[str]:
        """Return how many of the positive class are found, if it was named."""
        for of in self.classes:
            if of.name == self.positive and of.found.n:
                number = whole_number(of.found.value)
                found = f"{number} of 100 “{of.name}” texts {whole_ends(of.found)}"
                if not of.correct.n:
                    return [f"It finds {found}: it gives that label to no text."]
                given = (
                    f"of 100 texts that it calls “{of.name}”, {whole_number(of.correct.value)} are"
                )
                return [f"It finds {found}; {given} {whole_ends(of.correct)}."]
        return []

    def lines(self) -> list[str]:
        """Return the verdict for a terminal, with the next step in a line of its own."""
        from finetext.report.rendering import wrapped

        why = f"Next: {self.next.why}:"
        said = [part for line in self.words() for part in wrapped(line)]
        return [*said, *wrapped(why), f"  {self.next.command}"]

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        lines = [*map(html_text, self.words()), html_text(f"Next: {self.next.why}:")]
        lines.append(f"<code>{html_text(self.next.command)}</code>")
        return "".join(f"<p>{line}</p>" for line in lines)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, with the sentences as "words"."""
        weakest = self.weakest
        status = {of.name: of.status for of in self.classes}
        more = {"words": self.words(), "class_status": status}
        return super().to_json() | more | {"weakest": weakest and weakest.name}


def verdict_on(
    entries: Sequence[LeaderboardEntry],
    predictions: Mapping[str, Predictions],
    judged: Judged,
    choice: Choice | None,
    folds: FoldPredictions | None = None,
) -> Verdict:
    """Return the verdict on a method by its test or cross-validated predictions.

    Accuracy has the interval of the leaderboard; shares of classes, and of the texts that a method
    decides, that of `evaluation.proportions`. Those of a cross-validated method are means over all
    repeats, with the decision rule of each fold; the lead of one that decides all texts is that of
    all folds.

    Args:
        entries: the leaderboard, whose "majority" says which label is the most frequent.
        predictions: method to predictions of the same rows.
        judged: the method that the verdict is about, and its run.
        choice: the choice of the method; None if unknown.
        folds: the predictions of all folds of the method; None if it is not cross-validated.
    """
    method = judged.method
    whole = predictions[method]
    multilabel = whole.scheme.multilabel
    [entry] = (each for each in entries if each.method == method)
    metric = "subset_accuracy" if multilabel else "accuracy"
    kept, decided = decided_rows(whole, folds)
    right = entry.metrics["test"].get(metric) if decided is None else None
    if right is None:
        right = proportion_over([is_right(of) for of in kept], [of.groups for of in kept])
    of = kept[0]
    always = most_frequent(of, predictions.get("majority"))
    lead: Estimate = Estimate(0.0, math.nan, 0.0, 0)
    if len(of):
        found = compare(of, constant(of, always), metric).estimate
        assert found is not None
        lead = found
    if choice is not None and decided is None:
        lead = choice.over_constant.get(method, lead)
    classes = tuple(class_verdict(kept, column) for column in range(len(of.scheme)))
    status = status_of(lead, classes, whole.scheme)
    names = tuple(of.scheme.names[column] for column in np.flatnonzero(always))
    said = Verdict(
        method, status, multilabel, right, decided, names,
        proportion_over([is_right(constant(of, always)) for of in kept], [None] * len(kept)).value,
        lead, classes, whole.scheme.positive, NextStep("", ""), _doubt(choice),
    )  # fmt: skip
    is_crossed = choice is not None and choice.grounds.part == "cross-validation"
    rows = outside = len(whole) if is_crossed else judged.rows.get("train", 0)
    if folds is not None:
        outside -= max(len(fold) for repeat in folds.repeats for fold in repeat)
    if is_crossed and entry.learned_from is not None:
        words = learned_in_words(entry.learned_from, entry.chosen_on, "text")
        said = replace(said, learned=f"The model {words}.")
    weak = [each for each in classes if each.status == "weak"] if said.is_better else []
    weakest = min(weak, key=_least).name if weak else None
    learned = Learning(rows, outside, len(of.scheme))
    return replace(said, next=next_step(judged, entry, status, weakest, learned))


def _doubt(choice: Choice | None) -> str:
    """Return that the choice does not show that anything is learned; "" if it does."""
    if choice is None or choice.learned:
        return ""
    of = choice.grounds
    return (
        f"But the {of.words()} do not show that any method is better than {of.baseline} "
        f"{of.metric_words}."
    )


def class_in_words(of: ClassVerdict) -> str:
    """Return what is weak about a class, else how many of its texts are found."""
    if of.is_weak_by_precision:
        given = f"{whole_ends(of.correct)}, {counted(of.correct.n, 'text')}"
        return f"of 100 texts given it, {whole_number(of.correct.value)} have it {given}"
    if not of.found.n:
        return "no texts"
    if of.found.n < FEWEST:
        few = ", which are too few to tell" if of.status == "unknown" else ""
        return f"right on {as_counts(of.found)} of its texts{few}"
    share = f"{whole_number(of.found.value)} of 100 of its texts {whole_ends(of.found)}"
    return f"right on {share}, {counted(of.found.n, 'text')}"


def _least(of: ClassVerdict) -> float:
    return min((each.value for each in (of.found, of.correct) if each.n), default=math.inf)


def _names(classes: Sequence[ClassVerdict]) -> str:
    names = [f"“{of.name}”" for of in classes[:MOST_NAMES]]
    more = len(classes) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def whole_number(share: float, of: int = 100) -> str:
    """Return a share as a whole number of 100 texts; all and none only if it is all or none."""
    number = round(of * share)
    if number == of and share < 1:
        return f"more than {of - 1}"
    return "fewer than 1" if number == 0 and share > 0 else str(number)


def as_counts(share: Score) -> str:
    """Return a share as "7 of 9"; all and none only if it is all or none, over all repeats."""
    return f"{whole_number(share.value, share.n)} of {share.n:,}"


def whole_ends(score: Score, of: int = 100) -> str:
    """Return the 95% interval in whole numbers of 100 texts; nothing if undefined."""
    if math.isnan(score.low):
        return ""
    return f"[{round(of * score.low)}, {round(of * score.high)}]"
