"""The verdict in plain words: its numbers, when it says usable, and that its commands run."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_run import made_up

from finetext import LabelScheme, Predictions, Run
from finetext.core.decision import Decision
from finetext.core.types import Score
from finetext.evaluation.compare import compare
from finetext.evaluation.estimates import Estimate
from finetext.evaluation.intervals import evaluate
from finetext.evaluation.leaderboard import LeaderboardEntry
from finetext.evaluation.usability import HALF
from finetext.report.next_step import Judged
from finetext.report.report import ReportData, render
from finetext.report.verdict import Verdict, as_counts, class_in_words, verdict_on
from finetext.report.verdict_chart import verdict_chart

NAMES = ("sport", "culture", "politics")


def predicted(
    truth: Any, given: Any, scheme: LabelScheme | None = None, **more: Any
) -> Predictions:
    """Predictions of certain labels."""
    scheme = scheme or LabelScheme(NAMES)
    likely = np.eye(len(scheme))[np.array(given)] * 0.9 + 0.1 / len(scheme)
    ids = tuple(map(str, range(len(truth))))
    return Predictions(ids, np.array(truth), likely, scheme, **more)


def judged(
    of: Predictions, place: Path = Path("runs/news"), best: str = "tfidf", train: int = 500
) -> Verdict:
    """The verdict on predictions by tfidf, whose leaderboard is that of these rows."""
    scores = evaluate(of, resamples=200)
    entry = LeaderboardEntry("tfidf", {"test": scores}, 1.0, 1.0, 1, "tfidf/model")
    about = Judged("tfidf", best, place, {"train": train})
    return verdict_on([entry], {"tfidf": of}, about, None)


def rows(counts: dict[tuple[str, str], int], scheme: LabelScheme | None = None) -> Predictions:
    """Predictions by truth and given label with their number of rows."""
    names = (scheme or LabelScheme(NAMES)).names
    pairs = [pair for pair, n in counts.items() for _ in range(n)]
    truth, given = ([names.index(pair[end]) for pair in pairs] for end in (0, 1))
    return predicted(truth, given, scheme)


def test_a_method_that_is_less_often_right_than_a_constant_is_not_usable() -> None:
    of = rows({
        ("sport", "sport"): 50, ("sport", "culture"): 15, ("culture", "culture"): 13,
        ("culture", "sport"): 22,
    })  # fmt: skip
    verdict = judged(of)
    assert verdict.status == "not usable yet"
    score = evaluate(of, resamples=200)["accuracy"]
    ends = f"[{round(100 * score.low)}, {round(100 * score.high)}]"
    assert verdict.words() == [
        f"Right on 63 of 100 new texts {ends}; always answering “sport” is right on 65: "
        "not usable yet."
    ]
    assert verdict.next.command == (
        "finetext learning-curve --recipe runs/news/recipe.toml --methods tfidf"
    )
    assert judged(of, train=12).next == verdict.next
    assert judged(of, train=11).next.command == "finetext errors runs/news"
    assert judged(of, train=1000).next.command == "finetext label-errors runs/news"


def test_usable_classes_the_weak_one_and_what_to_read() -> None:
    of = rows({
        ("sport", "sport"): 60, ("politics", "politics"): 60, ("culture", "culture"): 7,
        ("culture", "sport"): 11,
    })  # fmt: skip
    verdict = judged(of)
    assert verdict.status == "usable"
    [words] = verdict.words()
    assert "Usable for “sport”, “politics”; weak on “culture” (right on 39 of 100 of its" in words
    assert words.endswith("18 texts).")
    assert verdict.weakest is not None
    assert verdict.weakest.name == "culture"
    assert verdict.next.command == "finetext errors runs/news"
    assert verdict.lines()[-1] == "  finetext errors runs/news"


def test_a_class_that_is_given_too_often_is_weak() -> None:
    of = rows({
        ("sport", "sport"): 200, ("sport", "culture"): 30, ("politics", "politics"): 200,
        ("culture", "culture"): 20,
    })  # fmt: skip
    assert "weak on “culture” (of 100 texts given it, 40 have it [" in judged(of).words()[0]


def test_few_rows_are_not_scaled_to_a_hundred() -> None:
    few = rows({("sport", "sport"): 4, ("culture", "culture"): 3, ("politics", "sport"): 2})
    [words] = judged(few).words()
    assert words.startswith(
        "Right on 7 of 9 texts; from so few, the truth may be anywhere between "
    )
    assert "always answering “sport” is right on 4 of the 9" in words
    alone = judged(rows({("sport", "sport"): 1}))
    assert "1 of 1 text; which says nothing of new texts" in alone.words()[0]
    assert alone.status == "not usable yet"


def test_a_lead_that_rounding_hides_is_told_of_a_thousand() -> None:
    ham = LabelScheme(("ham", "spam"))
    of = rows({("ham", "ham"): 9900, ("spam", "spam"): 28, ("spam", "ham"): 12}, ham)
    [words] = judged(of).words()
    assert words.startswith("Right on 999 of 1,000 new texts [99")
    assert "always answering “ham” is right on 996." in words


def test_a_named_class_is_told_and_may_be_worth_false_alarms() -> None:
    fraud = LabelScheme(("no", "fraud"), positive="fraud")
    of = rows(
        {("no", "no"): 940, ("no", "fraud"): 10, ("fraud", "fraud"): 40, ("fraud", "no"): 10}, fraud
    )
    first, second = judged(of).words()
    assert "weak" not in first
    assert second.startswith("It finds 80 of 100 “fraud” texts [")
    assert "of 100 texts that it calls “fraud”, 80 are [" in second
    equal = rows(
        {("no", "no"): 910, ("no", "fraud"): 40, ("fraud", "fraud"): 40, ("fraud", "no"): 10}, fraud
    )
    verdict = judged(equal)
    assert verdict.status == "better than guessing"
    assert "Not shown to be right more often, but it does recognize “fraud”." in verdict.words()[0]
    none = rows({("no", "no"): 90, ("fraud", "no"): 10}, fraud)
    assert "it gives that label to no text" in judged(none).words()[1]


def test_a_method_that_abstains_is_judged_on_what_it_decides() -> None:
    truth = [0, 1, 2] * 40
    given = [(label + 1) % 3 if row % 4 == 0 else label for row, label in enumerate(truth)]
    of = predicted(truth, given)
    likely = of.probabilities.copy()
    likely[::4] = 1 / 3  # all wrong ones are unsure
    sure = Predictions(of.ids, of.targets, likely, of.scheme, Decision(least=(0.5, 0.5, 0.5)))
    verdict = judged(sure)
    assert verdict.words()[0].startswith("Decides 75 of 100 new texts [")
    assert "On those it is right on 100 of 100 new texts [" in verdict.words()[0]
    assert verdict.right.n == 90
    assert verdict.topic == "How often it is right on the 75 of 100 texts that it decides"
    chart = verdict_chart(verdict)
    assert chart["bars"][0].name == "texts it decides"
    assert chart["caption"].startswith(
        "Of 100 texts that tfidf decides (75 of 100 [66, 82]), and of 100 such texts of each "
        "class, how many it is right on, with the 95% interval."
    )
    nothing = Predictions(of.ids, of.targets, likely, of.scheme, Decision(least=(1.0, 1.0, 1.0)))
    verdict = judged(nothing)
    assert verdict.words() == ["It decides none of these texts: not usable yet."]
    assert (verdict.share, verdict.guess) == (("none of these texts is decided", ""), "")
    assert verdict_chart(verdict) == {"bars": [], "caption": ""}
    assert verdict.weakest is None


def test_a_method_that_decides_no_text_has_a_report(single: ReportData) -> None:
    name, of = single.recommended, single.predictions[single.recommended]
    never = replace(of, decision=Decision(least=(1.0,) * len(of.scheme)))
    assert never.abstained.all()
    page = render(replace(single, predictions={**single.predictions, name: never}))
    first = page[: page.index("<nav")]
    assert "It decides none of these texts: not usable yet." in first
    assert "<b>None of these texts is decided</b></dd>" in first
    assert "<figure" not in first


def test_a_mean_over_repeats_is_called_all_only_if_it_is_all() -> None:
    assert as_counts(Score(0.975, 0.7, 1.0, 8)) == "more than 7 of 8"
    assert as_counts(Score(0.01, 0.0, 0.3, 8)) == "fewer than 1 of 8"
    assert as_counts(Score(1.0, 0.7, 1.0, 8)) == "8 of 8"


def test_a_method_that_is_weak_on_all_classes_is_said_to_be() -> None:
    of = rows({(one, two): 300 + 150 * (one == two) for one in NAMES for two in NAMES})
    verdict = judged(of)
    assert "weak on all 3 classes, most on “" in verdict.words()[0]


def test_too_few_texts_are_named_only_where_nothing_is_known() -> None:
    of = rows({
        ("sport", "sport"): 60, ("politics", "politics"): 60, ("culture", "sport"): 6,
    })  # fmt: skip
    verdict = judged(of)
    [words] = verdict.words()
    assert "weak on “culture” (right on 0 of 6 of its texts)." in words
    assert verdict.weakest is not None
    assert verdict.weakest.name == "culture"
    few = rows({("sport", "sport"): 60, ("culture", "culture"): 3, ("culture", "sport"): 1})
    unknown = judged(few).classes[1]
    assert class_in_words(unknown) == "right on 3 of 4 of its texts, which are too few to tell"


def test_several_labels_are_right_together() -> None:
    data = made_up(LabelScheme(("joy", "anger", "fear"), multilabel=True))
    of = data.predictions["finetune"]
    verdict = verdict_on(
        data.entries, {"finetune": of}, Judged("finetune", "finetune", Path("r")), None
    )
    [words] = verdict.words()
    share = data.entries[-1].metrics["test"]["subset_accuracy"].value
    assert words.startswith(f"All labels right on {round(100 * share)} of 100 new texts [")
    assert "always answering “" in words
    assert verdict.right.value == share


def test_errors_of_a_cross_validated_run_are_those_of_all_rows(single: ReportData) -> None:
    assert single.choice is not None
    crossed = replace(single.choice.grounds, part="cross-validation")
    weak = rows({("sport", "sport"): 60, ("politics", "politics"): 60, ("culture", "sport"): 12})
    score = {"test": evaluate(weak, resamples=20)}
    entry = LeaderboardEntry("tfidf", score, 1.0, 1.0, 1, "tfidf/model")
    choice = replace(single.choice, grounds=crossed)
    verdict = verdict_on([entry], {"tfidf": weak}, Judged("tfidf", "probe", Path("r")), choice)
    assert verdict.next.command == "finetext errors r --method tfidf"


def test_the_status_is_that_of_the_lead_whatever_the_choice_shows(single: ReportData) -> None:
    assert single.choice is not None
    about = Judged("finetune", "finetune", Path("r"))
    facts = (single.entries, single.predictions, about)
    clear = verdict_on(*facts, single.choice)
    assert (clear.status, clear.doubt) == ("usable", "")
    unsure = verdict_on(*facts, replace(single.choice, learned=False))
    assert unsure.status == "usable"
    assert unsure.words() == [
        *clear.words(),
        "But the 200 validation rows do not show that any method is better than majority in "
        "macro F1.",
    ]


def test_a_cross_validated_lead_is_that_of_all_folds(single: ReportData) -> None:
    """Rows of one repeat are clear, but all repeats are not."""
    assert single.choice is not None
    facts = (single.entries, single.predictions, Judged("finetune", "finetune", Path("r")))
    of_folds = {"finetune": Estimate(0.2, 0.15, 9, 200)}
    verdict = verdict_on(*facts, replace(single.choice, over_constant=of_folds))
    assert verdict.lead == of_folds["finetune"]
    assert verdict.words()[0].endswith(": not shown to be better, so not usable yet.")


@given(st.data())
@settings(max_examples=60)
def test_the_numbers_are_those_of_the_scores_and_usable_is_shown(data: st.DataObject) -> None:
    n, k = data.draw(st.integers(2, 90)), data.draw(st.integers(2, 3))
    cells = st.lists(st.integers(0, k - 1), min_size=n, max_size=n)
    truth = data.draw(cells)
    luck = data.draw(st.sampled_from([0.0, 0.5, 0.9, 1.0]))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    guesses = np.where(random.random(n) < luck, truth, random.integers(k, size=n))
    scheme = LabelScheme(NAMES[:k], positive=data.draw(st.sampled_from([None, NAMES[0]]))
                         if k == 2 else None)  # fmt: skip
    groups = data.draw(st.sampled_from([None, tuple(str(row // 3) for row in range(n))]))
    of = predicted(truth, guesses, scheme, groups=groups)
    verdict = judged(of)
    right = int((np.array(truth) == guesses).sum())
    words = verdict.words()[0]
    said = re.match(r"Right on (?:more than |fewer than )?(\d+) of (\d+|1,000) ", words)
    assert said
    among = int(said[2].replace(",", ""))
    assert abs(int(said[1]) / among - right / n) <= 1 / among
    most = np.bincount(truth).max() / n
    assert verdict.always_right == most
    column = NAMES.index(verdict.always[0])
    constant = predicted(truth, [column] * n, scheme, groups=groups)
    low = compare(of, constant).difference.low
    if not low > 0:
        assert verdict.status != "usable"
        assert "sable for" not in " ".join(verdict.words())
    for each in verdict.classes:
        if each.status == "usable":
            assert min(each.found.low, each.correct.low) > HALF
    assert Verdict.from_json(verdict.to_json()).words() == verdict.words()


@pytest.mark.parametrize("best", ["tfidf", "probe"])
def test_every_command_that_is_printed_runs(
    run: Run, best: str, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any]
) -> None:
    """On a toy run in a folder whose name needs quotes: each next step, as its line says."""
    monkeypatch.chdir(run.folder.parents[1])
    place = run.folder.relative_to(run.folder.parents[1])
    usable = {("sport", "sport"): 60, ("culture", "culture"): 60, ("politics", "politics"): 60}
    kinds = [
        usable,
        usable | {("politics", "politics"): 5, ("politics", "sport"): 20},
        {("sport", "sport"): 20, ("culture", "sport"): 10},
    ]
    seen = set()
    for kind, train in (*((kind, 500) for kind in kinds), (kinds[2], 1000)):
        program, *words = shlex.split(judged(rows(kind), place, best, train).next.command)
        assert program == "finetext"
        seen.add(words[0])
        if words[0] == "predict":  # the recommended method, where that is not the best
            assert Path(words[1]) == (place if best == "tfidf" else place / "tfidf")
        command(*words, status=0)
    assert seen == {"predict", "errors", "learning-curve", "label-errors"}


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    return Run.open(shutil.copytree(finished, tmp_path / "runs" / "my films"))


def test_a_run_tells_its_verdict(run: Run) -> None:
    verdict = run.summary()
    score = run.entry().metrics["test"]["accuracy"]
    assert (verdict.method, verdict.right) == ("tfidf", score)
    assert repr(verdict).splitlines()[-1] == f"  {verdict.next.command}"
    assert run._repr_html_().startswith("<p>Right on ")
