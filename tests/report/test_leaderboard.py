"""The leaderboard, comparisons and encoder gains in the terminal, as tables and on the page."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from finetext.core.types import LabelScheme, Predictions, Score
from finetext.evaluation.compare import Comparison
from finetext.evaluation.leaderboard import Asked, EncoderGain, Kind, SeedScores
from finetext.evaluation.several import Several, compare_all
from finetext.report.leaderboard import (
    asked_lines,
    choice_lines,
    comparison_lines,
    comparison_table,
    gain_headline,
    gain_lines,
    gain_sentence,
    leaderboard_lines,
    learned_line,
    majority_line,
    recommended_line,
    seed_lines,
    show_leaderboard,
)
from finetext.report.next_step import Judged
from finetext.report.rendering import WIDTH
from finetext.report.report import ReportData, render
from finetext.report.verdict import verdict_on


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy", "log_loss"])
def test_lines_fit_100_columns_even_with_long_names(single: ReportData, metric: str) -> None:
    entries = [replace(e, method=e.method + "-of-a-long-name" * 5) for e in single.entries]
    lines = leaderboard_lines(entries, "x", "y", metric)
    assert max(map(len, lines)) <= 100
    assert sum("…" in line for line in lines) == 3


def test_long_names_that_differ_at_the_end_stay_distinct(single: ReportData) -> None:
    names = ["finetune", "finetune-unadapted", "finetune-unadapted-random"]
    entries = [replace(single.entries[-1], method=name) for name in names]
    lines = leaderboard_lines(entries, "x", "y", "macro_f1")
    shown = {line.split()[0] for line in lines if line.lstrip().startswith("finetun")}
    assert len(shown) == 3
    assert any(name.endswith("-random") for name in shown)


def test_best_and_recommended_are_marked(single: ReportData) -> None:
    lines = leaderboard_lines(single.entries, "finetune", "tfidf")
    marked = {line.split()[1]: line.split()[0] for line in lines if line.startswith(("*", "+"))}
    assert {"finetune": "*", "tfidf": "+"}.items() <= marked.items()
    both = leaderboard_lines(single.entries, "finetune", "finetune")
    assert any(line.startswith("*+  finetune") for line in both)


def test_the_mark_says_recommended_only_where_that_is_shown(single: ReportData) -> None:
    assert single.choice is not None
    within = f"(less than {single.choice.allowed:.2g} behind)"
    assert within in recommended_line(single.choice)
    assert "behind" not in recommended_line(None)
    unsure = replace(single.choice, learned=False)
    about = Judged("finetune", "finetune", Path("r"))
    verdict = verdict_on(single.entries, single.predictions, about, unsure)
    assert not verdict.is_recommended
    assert recommended_line(unsure, verdict.is_recommended).startswith("+ the method to take for")
    page = render(replace(single, choice=unsure))
    assert "for now the one to take of 3 methods" in page
    assert ">recommended<" not in page
    assert ">recommended<" in render(single)


def test_a_majority_that_is_not_the_constant_answer_is_explained(
    single: ReportData, several: ReportData
) -> None:
    about = Judged("finetune", "finetune", Path("r"))
    verdict = verdict_on(single.entries, single.predictions, about, None)
    majority, *rest = single.entries

    def explained(accuracy: float) -> str:
        score = {"accuracy": Score(accuracy, 0.0, 1.0, 200)}
        return majority_line([replace(majority, metrics={"test": score}), *rest], verdict)

    assert explained(verdict.always_right) == explained(verdict.always_right + 0.1) == ""
    assert explained(0.05) == (
        "majority learns its label in each fold, so its accuracy of 0.050 is not the "
        f"{verdict.always_right:.3f} of always giving the same answer."
    )
    assert majority_line(rest, verdict) == majority_line(single.entries, None) == ""
    of_sets = verdict_on(several.entries, several.predictions, about, None)
    score = {"subset_accuracy": Score(of_sets.always_right - 0.1, 0.0, 1.0, 200)}
    entries = [replace(several.entries[0], metrics={"test": score})]
    assert "decides on each label alone" in majority_line(entries, of_sets)


def test_a_line_says_which_models_learned_from_validation_rows(single: ReportData) -> None:
    rows = single.rows["train"], single.rows["validation"]
    entries = [replace(of, learned_from=sum(rows)) for of in single.entries]
    entries[-1] = replace(entries[-1], learned_from=rows[0], chosen_on=rows[1])
    assert learned_line(entries, 0, single.rows) == (
        "majority, tfidf learned from all 400 training and validation rows; their validation "
        "scores are of models that had not seen these rows."
    )
    assert learned_line(entries, 5, single.rows) == (
        "majority, tfidf: learned from all 400 rows; finetune: learned from 200 of 400 rows; 200 "
        "chose the checkpoint"
    )
    assert learned_line(single.entries, 0, single.rows) == ""


def test_scores_have_their_interval(single: ReportData, several: ReportData) -> None:
    score = single.entries[-1].metrics["test"]["macro_f1"]
    line = next(x for x in leaderboard_lines(single.entries, "a", "b") if "finetune" in x)
    assert f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]" in line
    assert "subset" in " ".join(leaderboard_lines(several.entries, "finetune", "tfidf")[:2])


def test_the_choice_is_put_in_words(single: ReportData) -> None:
    assert single.choice is not None
    lines = choice_lines(single.choice)
    assert lines[0] == ""
    assert "tfidf is worse than finetune" in lines[1]
    assert max(map(len, lines)) <= WIDTH
    text = " ".join(lines)
    assert "finetune is recommended." in text
    assert "with one seed: how much training varies is unknown" in text
    of_three = replace(single.choice, grounds=replace(single.choice.grounds, seeds=3))
    assert choice_lines(of_three)[-1] == "Methods are compared over rows and 3 seeds."
    assert choice_lines(None) == []


def test_several_seeds_have_an_interval_of_the_method(single: ReportData) -> None:
    scores = {"validation": {"macro_f1": 0.5}, "test": {"macro_f1": 0.5}}
    seeds = tuple(SeedScores(s, scores, 1.0) for s in range(3))
    entries = [replace(single.entries[-1], seeds=seeds)]
    assert seed_lines(single.entries, "macro_f1", {}) == []
    lines = seed_lines(entries, "macro_f1", {"finetune": Score(0.5, 0.4, 0.6, 200)})
    assert lines[0].startswith("macro F1 on test rows, mean over 3 seeds [95%: of the method")
    assert lines[1] == "  finetune  0.500 [0.400, 0.600]  ± 0.000"


def test_a_missing_metric_is_a_dash(single: ReportData) -> None:
    entry = replace(single.entries[0], metrics={"validation": {}, "test": {}})
    line = leaderboard_lines([entry], "majority", "majority")[2]
    assert line.split()[2:4] == ["-", "-"]


def test_where_few_rows_hardly_tell_the_best_is_called_a_guess(single: ReportData) -> None:
    usual = leaderboard_lines(single.entries, "finetune", "tfidf")
    assert usual[-1].startswith("* best on validation rows by macro F1")
    guess = leaderboard_lines(single.entries, "finetune", "tfidf", is_hedge=True)
    assert guess[-1] == "* best guess: so few rows hardly tell which method is best"
    assert guess[:-1] == usual[:-1]
    assert single.choice is not None
    page = render(replace(single, choice=replace(single.choice, is_hedge=True)))
    assert "best guess" in page
    assert "best on validation" not in page
    assert "best on validation" in render(single)


def test_a_terminal_shows_the_same_lines_with_the_best_in_bold(single: ReportData) -> None:
    console = Console(width=60, record=True, file=io.StringIO(), highlight=False)
    lines = leaderboard_lines(single.entries, "finetune", "tfidf")
    show_leaderboard(lines, console)
    assert console.export_text(clear=False).splitlines() == lines
    [bold] = re.findall(r"\x1b\[1m(.*?)\x1b\[0m", console.export_text(styles=True))
    assert bold.startswith("*  finetune")


def prediction_sets(n: int, groups: tuple[str, ...] | None = None) -> dict[str, Predictions]:
    random = np.random.default_rng(0)
    scheme, ids = LabelScheme(("a", "b")), tuple(map(str, range(n)))
    targets = np.arange(n) % 2
    good, poor = (np.where(random.random(n) < share, targets, 1 - targets) for share in (0.95, 0.5))
    return {
        name: Predictions(ids, targets, np.eye(2)[given] * 0.8 + 0.1, scheme, groups=groups)
        for name, given in {"good": good, "poor": poor}.items()
    }


@pytest.fixture(scope="module")
def compared() -> Several:
    return compare_all(prediction_sets(200), "accuracy")


def test_a_pair_has_a_verdict_and_numbers(compared: Several) -> None:
    text = "\n".join(comparison_lines(compared, "test"))
    [pair] = compared.pairs
    assert text.startswith("200 test rows\n")
    assert "good minus poor: good is better than poor" in text
    assert f"{pair.comparison.difference.value:+.3f}" in text
    assert f"right in good alone: {pair.only_a} rows; in poor alone: {pair.only_b}" in text
    assert "p: score interval of discordant rows (Tango)\n" in text
    assert "corrected: for" not in text


def test_lines_fit_80_columns_even_with_long_names(compared: Several) -> None:
    names = {"good": "runs-of-last-week/" * 8 + "one", "poor": "runs-of-last-week/" * 8 + "other"}
    named = replace(
        compared,
        scores={names[name]: score for name, score in compared.scores.items()},
        pairs=tuple(replace(p, a=names[p.a], b=names[p.b]) for p in compared.pairs) * 3,
    )
    lines = comparison_lines(named, "validation")
    broken = [line for line in lines if len(line) > WIDTH]
    assert all(" " not in line.strip() for line in broken)
    assert {line.split()[0][-5:] for line in lines if "…" in line} == {"k/one", "other"}
    assert any("corrected: for 3 comparisons" in line for line in lines)


def test_methods_with_unlike_repeats_are_said_to_have_them(compared: Several) -> None:
    alike = replace(compared, repeats=10, repeats_of={"good": 10, "poor": 10})
    lines = comparison_lines(alike, "cross-validated")
    assert lines[0] == "200 cross-validated rows, 10 repeats"
    assert not any(line.startswith("difference:") for line in lines)
    lines = comparison_lines(replace(alike, repeats=2, repeats_of={"good": 10, "poor": 2}), None)
    assert lines[0].endswith(", 10 repeats (poor 2)")
    assert any(line.startswith("difference: over the repeats that both have") for line in lines)


def test_groups_and_undefined_values_are_shown() -> None:
    found = compare_all(prediction_sets(20, ("one film",) * 20))
    lines = comparison_lines(found, "test")
    assert lines[0] == "20 test rows in 1 group"
    [row] = [{name: values[0] for name, values in comparison_table(found).items()}]
    assert (row["low"], row["smallest"], row["better"]) == (None,) * 3
    assert row["difference"] == pytest.approx(row["a_value"] - row["b_value"])


def test_lower_is_better_is_stated() -> None:
    assert comparison_lines(compare_all(prediction_sets(60), "log_loss"), "test")[0].endswith(
        "lower is better"
    )


def gain(
    difference: Score, p_value: float, kind: Kind = "adapted", metric: str = "macro_f1"
) -> EncoderGain:
    comparison = Comparison(metric, difference, p_value, "Student's t, jackknife over rows", 200)
    return EncoderGain("finetune", "tfidf", kind, comparison, 70.0, 60.0, 600.0)


@pytest.mark.parametrize(
    ("of", "sentence"),
    [
        (
            gain(Score(0.018, 0.009, 0.027, 200), 0.001),
            "finetune: adaptation is worth it: +1.8 points macro F1 [0.9, 2.7], for 10 min more",
        ),
        (
            gain(Score(-0.05, -0.08, -0.02, 200), 0.001, "pretrained"),
            "finetune: pretraining makes it worse: -5.0 points macro F1 [-8.0, -2.0], for 10 min "
            "more",
        ),
        (
            gain(Score(0.002, -0.01, 0.014, 200), 0.7),
            "finetune: no difference from tfidf could be shown: +0.2 points macro F1 [-1.0, 1.4], "
            "p = 0.700, for 10 min more",
        ),
        (
            gain(Score(-0.05, nan, nan, 200), 0.001, metric="log_loss"),
            "finetune: adaptation is worth it: -0.050 log loss, for 10 min more",
        ),
    ],
)
def test_the_sentence_has_outcome_difference_and_cost(of: EncoderGain, sentence: str) -> None:
    assert gain_sentence(of) == sentence
    assert gain_lines([of]) == ["", sentence]


def test_a_gain_of_what_is_no_better_than_the_majority_class_is_not_worth_it() -> None:
    better = gain(Score(0.108, 0.08, 0.13, 200), 0.001, "pretrained")
    guessing = replace(better, no_better_than="majority in balanced accuracy")
    assert gain_sentence(guessing) == (
        "finetune: pretraining shows a gain: +10.8 points macro F1 [8.0, 13.0], for 10 min more, "
        "but neither method is significantly better than majority in balanced accuracy"
    )
    assert gain_headline([guessing]) == (
        "Pretraining shows no gain over majority in balanced accuracy for finetune: "
        "+10.8 points macro F1 [8.0, 13.0]"
    )
    assert gain_headline([better, guessing]).startswith("1 of 2")


def test_less_time_is_stated() -> None:
    quick = replace(gain(Score(0.1, 0.05, 0.15, 200), 0.001), seconds_beside=700.0)
    assert gain_sentence(quick).endswith(", for 30 s less")


def test_without_encoders_there_is_no_section(single: ReportData) -> None:
    assert gain_lines([]) == []
    assert 'id="paid"' not in render(single)


def test_the_page_has_a_section_on_encoders(single: ReportData, several: ReportData) -> None:
    of = gain(single.comparisons["tfidf"].difference, 0.001)
    for data in (single, several):
        page = render(replace(data, paid=(of, replace(of, kind="pretrained"))))
        assert page.count('<a href="#paid">') == page.count('<section id="paid">') == 1
        assert f"<li>{gain_sentence(of)}.</li>" in page
        assert "adaptation" in page
        assert "pretraining" in page


def test_the_headline_counts_the_encoders_that_are_worth_it() -> None:
    better = gain(Score(0.018, 0.009, 0.027, 200), 0.001)
    unclear = gain(Score(0.002, -0.01, 0.014, 200), 0.7)
    assert gain_headline([better]) == (
        "Adaptation is worth it for finetune: +1.8 points macro F1 [0.9, 2.7]"
    )
    assert "shows no significant gain" in gain_headline([unclear])
    assert gain_headline([better, unclear]).startswith("1 of 2 adapted or pretrained encoders")


def test_what_was_sent_where_is_in_the_report(single: ReportData) -> None:
    entry = single.entries[-1]
    tested = max(of.n for of in entry.metrics["test"].values())
    rows = {"validation": 1, "test": 4 * tested}
    asked = Asked("http://host/v1", "<m>", 200, 1, 60_000, 2_000, 1.5, rows, "62,000 tokens")
    data = replace(single, entries=[*single.entries[:-1], replace(entry, asked=asked)])
    sent, sampled = asked_lines(data.entries)
    assert "200 texts with their examples went to http://host/v1 (model <m>)" in sent
    assert "62,000 tokens, 1.5 in your currency. 1,000 texts take 7.5 in your currency" in sent
    assert "1 of 200 answers was no label" in sent
    assert f"is scored on {tested:,} of {4 * tested:,} test rows, drawn at random" in sampled
    page = render(data)
    assert "(model &lt;m&gt;)" in page
    assert sampled in page
