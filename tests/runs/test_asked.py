"""Runs that ask a language model: the same rows, a sample where the budget ends, nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from llm_server import LlmServer, Reply, serving, text_of

import finetext
from finetext.core.errors import ModelError, RunError
from finetext.core.settings import ReadSettings, SplitSettings
from finetext.evaluation.deciding import Deciding
from finetext.methods.llm import Llm
from finetext.methods.teacher import Teacher
from finetext.report.leaderboard import asked_lines
from finetext.runs.run import Run

SILENT = finetext.Listener()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FINETEXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("finetext.runs.finish.diagnose", lambda *of: ())  # takes its time
    return tmp_path / "cache"


def knowing(request: dict[str, Any]) -> Reply:
    """A model that knows the answer."""
    label = "bad" if "dull" in text_of(request) else "good"
    return Reply(json.dumps({"label": label}))


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with serving(knowing) as found:
        yield found


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """200 short reviews, all different, a tenth of them with a wrong label."""
    path = tmp_path / "films.csv"
    rows = [
        f"{'a dull and empty' if n % 3 else 'a fine and moving'} film of {n * n} minutes,"
        f"{'bad' if (n % 3 > 0) != (n % 10 == 0) else 'good'}"
        for n in range(200)
    ]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


@pytest.fixture
def run(films: Path, server: LlmServer, tiny_encoder: Path, tmp_path: Path) -> Callable[..., Run]:
    """A function that trains tfidf and llm; its keywords are hyperparameters of llm."""

    def train(
        name: str = "run", split: SplitSettings | None = None, resume: bool = False, seeds: int = 1,
        say: Callable[[str], None] = lambda line: None, **more: Any,
    ) -> Run:  # fmt: skip
        how = {"url": server.url, "model": "toy", "similarity": str(tiny_encoder)} | more
        recipe = finetext.Recipe(
            source=str(films), methods={"tfidf": finetext.Tfidf(), "llm": Llm(**how)},
            split=split or SplitSettings(test=0.3, keep_duplicates=True), seeds=seeds,
        )  # fmt: skip
        listener = finetext.Listener(say=say)
        return finetext.train(recipe, out=tmp_path / name, resume=resume, listener=listener)

    return train


def test_it_stands_on_the_leaderboard_by_the_same_rows(
    run: Callable[..., Run], server: LlmServer
) -> None:
    found = run(sent_price=1.0, received_price=2.0)
    entry = found.entry("llm")
    assert entry.metrics["test"]["accuracy"].n == 60
    assert entry.metrics["test"]["accuracy"].value == pytest.approx(0.9, abs=0.05)
    assert found.predictions("llm").ids == found.predictions("tfidf").ids
    assert entry.asked is not None
    assert (entry.asked.texts, entry.asked.invalid) == (90, 0)
    assert len(server.requests) == 90
    assert entry.asked.cost == pytest.approx(90 * 110 / 1e6)
    assert "llm" in found.comparisons or found.best == "llm"
    [line] = asked_lines(found.leaderboard)
    assert f"90 texts with their examples went to {server.url} (model toy): 9,450 tokens" in line
    assert line in found.report.read_text()


def test_a_small_budget_scores_a_sample_and_says_so(
    run: Callable[..., Run], server: LlmServer
) -> None:
    found = run(most_tokens=7_000)
    entry = found.entry("llm")
    assert entry.asked is not None
    assert entry.asked.sent + entry.asked.received <= 7_000
    scored = entry.metrics["test"]["accuracy"].n
    assert 10 <= scored < 60
    assert entry.sampled["test"] == (scored, 60)
    ids, every = found.predictions("llm").ids, list(found.predictions("tfidf").ids)
    assert list(ids) == [row for row in every if row in ids]
    assert list(ids) != every[:scored]
    assert found.best == "tfidf"
    assert found.comparisons["llm"].n == scored
    assert f"is scored on {entry.sampled['validation'][0]} of 30 validation rows" in str(
        asked_lines(found.leaderboard)
    )
    assert f"{scored} of 60 test rows" in found.report.read_text()
    shown = found.texts("llm", "test")
    assert len(shown) == scored
    assert len(server.requests) == entry.asked.texts


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_budget_for_next_to_nothing_leaves_it_out(
    run: Callable[..., Run], tmp_path: Path, seeds: int
) -> None:
    found = run(most_tokens=1_500, seeds=seeds)
    assert [of.method for of in found.leaderboard] == ["majority", "tfidf"]
    [finding] = [of for of in found.findings if of.code == "budget"]
    assert finding.severity == "warning"
    assert "llm is left out: the budget of 1,500 tokens is enough for" in finding.message
    assert finding.message in found.report.read_text()
    assert found.best == "tfidf"
    assert Run.open(tmp_path / "run").findings == found.findings
    assert not (tmp_path / "run/llm").exists()


def test_a_budget_that_ends_in_the_folds_leaves_it_out(
    run: Callable[..., Run], server: LlmServer, few_folds: None
) -> None:
    server.script = lambda request: replace(knowing(request), usage=(2_000, 5))
    found = run(split=SplitSettings(cross_validate=True), most_tokens=60_000)
    [finding] = [of for of in found.findings if of.code == "budget"]
    assert "llm is left out: the budget of 60,000 tokens ended after" in finding.message
    assert found.best == "tfidf"
    assert server.requests


@pytest.mark.parametrize("minutes", [None, 2.0])
def test_a_budget_that_is_too_small_for_all_folds_is_not_spent(
    films: Path, server: LlmServer, tmp_path: Path, few_folds: None, minutes: float | None
) -> None:
    method = Llm(url=server.url, model="toy", examples=0, most_tokens=7_000)
    recipe = finetext.Recipe(
        source=str(films), methods={"tfidf": finetext.Tfidf(), "llm": method}, minutes=minutes,
        split=SplitSettings(cross_validate=True),
    )  # fmt: skip
    found = finetext.train(recipe, out=tmp_path / "run", listener=SILENT)
    [message] = [of.message for of in found.findings if of.message.startswith("llm is left out")]
    assert "an answer to each of 200 rows, for about" in message
    assert "the budget is 7,000 tokens" in message
    assert found.best == "tfidf"
    assert not server.requests


def test_a_run_warns_of_answers_without_a_label_and_of_texts_that_are_cut(
    run: Callable[..., Run], server: LlmServer
) -> None:
    server.script = lambda request: (
        Reply("no idea") if text_of(request).startswith("a fine") else knowing(request)
    )
    found = run(longest=30)
    warned = [of.message for of in found.findings if of.code == "answers"]
    invalid = sum(text.startswith("a fine") for text in server.texts)
    assert warned[0].startswith(f"{invalid} of 90 answers of toy were no label")
    assert "more than 30 characters" in warned[1]


def test_a_server_that_is_not_there_is_noticed_before_anything_is_trained(
    run: Callable[..., Run], tmp_path: Path
) -> None:
    with serving() as gone:
        pass
    with pytest.raises(ModelError, match=f"nothing answers at {gone.url}"):
        run(url=gone.url)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("budget", "texts"), [(None, 60), (9_000, 60), (6_500, 15)])
def test_texts_out_of_scope_have_their_share_of_the_budget(
    server: LlmServer, films: Path, tmp_path: Path, budget: int | None, texts: int
) -> None:
    with films.open("a") as file:
        file.writelines(f"a recipe of {n * n} spoons,oos\n" for n in range(texts))
    method = Llm(url=server.url, model="toy", examples=0, most_tokens=budget)
    recipe = finetext.Recipe(
        source=str(films), methods={"llm": method}, read=ReadSettings(out_of_scope="oos"),
        split=SplitSettings(test=0.3, keep_duplicates=True), decide=Deciding(out_of_scope=0.1),
    )  # fmt: skip
    found = finetext.train(recipe, out=tmp_path / "run", listener=SILENT)
    entry = found.entry("llm")
    assert entry.asked is not None
    assert entry.scope is not None
    assert entry.asked.texts == len(server.requests)
    assert budget is None or entry.asked.sent + entry.asked.received <= budget
    outside = sum("spoons" in text for text in server.texts)
    lost = [of.message for of in found.findings if of.code == "budget"]
    if texts < 60:
        assert outside < 10
        assert entry.scope.recall is None
        assert lost == [
            "llm: the budget has no room for texts out of scope, so their recall is unknown"
        ]
        return
    assert not lost
    assert entry.scope.recall is not None
    assert entry.scope.recall.n == outside == (60 if budget is None else outside)
    assert entry.asked.rows["out of scope"] == 60


def test_a_run_that_was_stopped_pays_for_nothing_twice(
    run: Callable[..., Run], server: LlmServer, tmp_path: Path
) -> None:
    def ending(request: dict[str, Any]) -> Reply:
        return knowing(request) if len(server.requests) < 50 else Reply("down", 401)

    server.script = ending
    with pytest.raises(RunError, match=r"llm failed: http.*refuses access"):
        run()
    before = server.texts[:49]
    server.script, server.requests[:] = knowing, []
    assert Run.open(tmp_path / "run").leaderboard[-1].method == "tfidf"
    found = run("again")
    assert found.entry("llm").asked.texts == 90  # type: ignore[union-attr]
    assert not set(before) & set(server.texts)


def test_a_server_that_went_away_is_resumed(
    run: Callable[..., Run], server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.methods.endpoint.ATTEMPTS", 1)
    server.script = lambda request: (
        knowing(request) if len(server.requests) < 50 else Reply("down", 503)
    )
    with pytest.raises(RunError, match="to resume: finetext train"):
        run()
    server.script, asked = knowing, len(server.requests)
    assert run(resume=True).entry("llm").metrics["test"]["accuracy"].n == 60
    assert len(server.requests) - asked <= 90 - 49


def test_further_seeds_cost_nothing(run: Callable[..., Run], server: LlmServer) -> None:
    found = run(seeds=2, most_tokens=7_000)
    one, other = found.entry("llm").seeds
    assert one.metrics == other.metrics
    assert len(server.requests) == found.entry("llm").asked.texts  # type: ignore[union-attr]


def test_a_cross_validated_run_asks_about_each_row_once(
    run: Callable[..., Run], server: LlmServer, few_folds: None
) -> None:
    said = list[str]()
    found = run(split=SplitSettings(cross_validate=True), say=said.append)
    assert [line for line in said if "texts are sent" in line] == [
        f"llm: texts are sent to {server.url} (model toy); budget: no limit"
    ]
    entry = found.entry("llm")
    assert entry.asked is not None
    assert entry.asked.texts == len(server.requests) == 200
    assert not entry.sampled
    assert entry.rows_per_second > 0
    assert found.report.is_file()


def test_a_dry_run_sends_nothing(
    server: LlmServer, films: Path, tiny_encoder: Path, command: Callable[..., Any]
) -> None:
    words = ("train", films, "--methods", "tfidf", "--llm", server.url, "--llm-model", "toy")
    words += ("--set", f"llm.similarity={tiny_encoder}", "--llm-budget", 9_000)
    shown = command(*words, "--dry-run").out
    assert f"asks toy at {server.url} about" in shown
    assert "(budget: 9,000 tokens)" in shown
    assert "nothing was sent" in shown
    assert not server.requests


def test_the_command_adds_it_to_the_methods(
    server: LlmServer, films: Path, tiny_encoder: Path, command: Callable[..., Any]
) -> None:
    words = ("train", films, "--methods", "tfidf", "--llm", server.url, "--llm-model", "toy")
    words += ("--set", f"llm.similarity={tiny_encoder}", "--llm-budget", 7_000, "--out", "run")
    seen = command(*words, "--test-size", "0.3", "--keep-duplicates", status=0)
    assert f"texts are sent to {server.url} (model toy); budget: 7,000 tokens" in seen.err
    assert "drawn at random: the budget of 7,000 tokens" in " ".join(seen.out.split())
    asked = len(server.requests)
    told = command("predict", "run/llm", "a dull film", status=0)
    assert told.out.startswith("prediction: bad")
    assert f"texts are sent to {server.url} (model toy)" in told.err
    assert len(server.requests) == asked + 1
    compared = command("compare", "run", status=0)
    assert "llm: a sample of the rows was predicted" in compared.err
    assert "test rows" in compared.out.splitlines()[0]


def test_without_a_model_nothing_begins(films: Path, command: Callable[..., Any]) -> None:
    seen = command("train", films, "--llm", "http://127.0.0.1:1/v1", status=2)
    assert "name the endpoint and the model" in seen.err
    seen = command("train", films, "--methods", "llm", status=2)
    assert "--llm http" in seen.err


@pytest.mark.parametrize("folds", [False, True])
def test_a_learning_curve_asks_once_for_all_sizes(
    server: LlmServer, films: Path, tmp_path: Path, few_folds: None, folds: bool
) -> None:
    said = list[str]()
    recipe = finetext.Recipe(
        source=str(films),
        methods={"tfidf": finetext.Tfidf(), "llm": Llm(url=server.url, model="toy", examples=0)},
        split=SplitSettings(keep_duplicates=True, cross_validate=folds),
    )
    settings = finetext.CurveSettings(sizes=(40, 60, 80), trainings=2)
    listener = finetext.Listener(say=said.append)
    out = tmp_path / "curve"
    curve = finetext.learning_curve(recipe, settings=settings, out=out, listener=listener)
    assert any("llm is asked once" in line for line in said)
    assert len(server.requests) == curve.measured_rows == (200 if folds else 30)
    scores = {score for point in curve.rung("llm").points for score in point.scores}
    assert len(scores) == 1
    assert [point.labels for point in curve.rung("llm").points] == [40, 60, 80]


def test_a_plan_asks_nothing_of_a_teacher_that_asks(
    server: LlmServer, films: Path, tmp_path: Path
) -> None:
    method = Llm(url=server.url, model="toy", examples=0)
    folder = method.classifier(["bad", "good"]).save(tmp_path / "model")
    found = finetext.plan(str(films), {"teacher": Teacher(str(folder))}, listener=SILENT)
    assert [of.seconds for of in found.methods if of.method == "teacher"] == [None]
    assert not server.requests


@pytest.mark.parametrize("tokens", [100, 1_500])
def test_a_run_in_minutes_leaves_it_out_where_the_budget_is_too_small(
    server: LlmServer, films: Path, tmp_path: Path, tokens: int
) -> None:
    method = Llm(url=server.url, model="toy", examples=0, most_tokens=tokens)
    recipe = finetext.Recipe(
        source=str(films), methods={"tfidf": finetext.Tfidf(), "llm": method}, minutes=1.0,
        split=SplitSettings(test=0.3, keep_duplicates=True),
    )  # fmt: skip
    found = finetext.train(recipe, out=tmp_path / "run", listener=SILENT)
    assert found.best == "tfidf"
    [message] = [of.message for of in found.findings if of.message.startswith("llm is left out")]
    assert f"the budget of {tokens:,} tokens is enough for" in message
    assert 105 * len(server.requests) <= tokens


def test_a_cross_validated_run_in_minutes_asks_what_its_folds_ask(
    films: Path, server: LlmServer, tiny_encoder: Path, tmp_path: Path, few_folds: None
) -> None:
    how = Llm(url=server.url, model="toy", similarity=str(tiny_encoder))
    recipe = finetext.Recipe(
        source=str(films), methods={"tfidf": finetext.Tfidf(), "llm": how}, minutes=2.0,
        split=SplitSettings(cross_validate=True),
    )  # fmt: skip
    said = list[str]()
    listener = finetext.Listener(say=said.append)
    found = finetext.train(recipe, out=tmp_path / "run", listener=listener)
    assert found.entry("llm").asked.texts == len(server.requests) == 200  # type: ignore[union-attr]


def test_a_run_in_minutes_asks_no_text_twice(
    films: Path, server: LlmServer, tiny_encoder: Path, tmp_path: Path
) -> None:
    how = Llm(url=server.url, model="toy", similarity=str(tiny_encoder))
    recipe = finetext.Recipe(
        source=str(films), methods={"tfidf": finetext.Tfidf(), "llm": how}, minutes=1.0,
        split=SplitSettings(test=0.3, keep_duplicates=True),
    )  # fmt: skip
    found = finetext.train(recipe, out=tmp_path / "run", listener=SILENT)
    assert found.entry("llm").asked.texts == 90  # type: ignore[union-attr]
    assert len(server.requests) == 90
