"""`finetext curve` and `finetext.learning_curve`: from data to a folder, also after a kill."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext import CurveSettings, Listener, Recipe, SplitSettings, Tfidf
from finetext.core.errors import DataError, RecipeError, RunError
from finetext.diagnosis.curve import Curve
from finetext.evaluation.deciding import Deciding
from finetext.runs.cross_validation import FoldPlan
from finetext.runs.recipe import ladder
from finetext.storage.codec import from_json
from finetext.storage.locks import CURVE_LOG, claimed

Command = Callable[..., Any]
QUICK = ("--set", "tfidf.inverse_regularisation=1.0", "--set", "tfidf.longest_ngram=1")
SETTINGS = CurveSettings(sizes=(8, 16, 32), trainings=2)
METHOD = Tfidf(longest_ngram=1, inverse_regularisation=1.0)


@pytest.fixture
def noisy(workplace: Path) -> Path:
    """A CSV file of 200 texts whose label is said by one of their words, or by chance."""
    import numpy as np

    random = np.random.default_rng(0)
    rows = []
    for number in range(200):
        label = ("good", "bad")[number % 2]
        told = label if random.random() < 0.8 else ("bad", "good")[number % 2]
        words = " ".join(f"w{word}" for word in random.integers(60, size=6))
        rows.append(f"a {told}{random.integers(8)} film {words},{label},film {number // 5}")
    path = workplace / "noisy.csv"
    path.write_text("\n".join(["text,label,movie", *rows]) + "\n")
    return path


def timeless(curve: Curve) -> Curve:
    """The curve without what depends on the clock."""
    measured = [
        replace(of, points=tuple(replace(point, seconds=0.0) for point in of.points))
        for of in curve.rungs
    ]
    return replace(
        curve,
        rungs=tuple(measured),
        choices=tuple(replace(choice, recommended="?") for choice in curve.choices),
    )


def lines(folder: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / CURVE_LOG).read_text().splitlines()]


def learn(noisy: Path, **how: Any) -> Curve:
    how = {"settings": SETTINGS, "listener": Listener()} | how
    return finetext.learning_curve(noisy, METHOD, **how)


def test_the_command_prints_a_table_and_sentences(command: Command, noisy: Path) -> None:
    seen = command("learning-curve", noisy, *QUICK, "--steps", 4, "--seeds", 2, status=0)
    shown = seen.out.splitlines()
    assert shown[0].split() == ["labels", "majority", "tfidf"]
    assert [line.split()[0] for line in shown[1:5]] == ["25", "44", "79", "140"]
    assert "no test row was used." in seen.out
    assert seen.out.endswith("picture: runs/noisy-curve/curve.svg\n")
    assert "30 validation rows to measure on; 30 test rows stay unused" in seen.err
    assert "tfidf on 140 rows, seed 1: macro F1" in seen.err
    assert "(16 of 16)" in seen.err
    assert "to go)" in seen.err
    folder = Path("runs") / "noisy-curve"
    written = {"curve.csv", "curve.json", "curve.png", "curve.svg", CURVE_LOG}
    assert written <= {path.name for path in folder.iterdir()}
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "tfidf" in (folder / "curve.svg").read_text()
    rows = list(csv.DictReader((folder / "curve.csv").read_text().splitlines()))
    measured = [row["labels"] for row in rows if row["kind"] == "measured"]
    assert measured == ["25", "44", "79", "140"] * 2


FOLDED = SplitSettings(cross_validate=True)


def test_few_rows_are_all_measured_by_models_that_did_not_see_them(
    noisy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, real = list[list[str]](), Tfidf.fit

    def watched(self: Any, train: Any, *rest: Any) -> Any:
        seen.append(train.ids)
        return real(self, train, *rest)

    monkeypatch.setattr(Tfidf, "fit", watched)
    found = learn(noisy, split=FOLDED)
    assert (found.part, found.measured_rows, found.training_rows) == ("cross-validated", 200, 160)
    plan = FoldPlan.of(finetext.read(noisy), FOLDED, 0)
    ids = np.array(plan.dataset.ids)
    folds = [set(ids[held]) for repeat in plan.held[:2] for held in repeat]
    for rows, held in zip(seen, folds * 3, strict=True):
        assert not held & set(rows)
    assert [len(rows) for rows in seen] == [8] * 10 + [16] * 10 + [32] * 10
    assert set(seen[0]) < set(seen[10]) < set(seen[20])
    for point in found.rung("tfidf").points:
        assert 0 <= point.score.low <= point.score.value <= point.score.high <= 1
    log = lines("runs/noisy-curve")
    assert log[0]["folds"] == 5
    assert len(log[1]["folds"]) == 5


def test_a_cross_validated_curve_is_resumed_and_an_earlier_one_stays_on_validation_rows(
    command: Command, noisy: Path
) -> None:
    finished = learn(noisy, split=FOLDED, out="c")
    kept = lines("c")
    Path("c", CURVE_LOG).write_text("".join(json.dumps(line) + "\n" for line in kept[:5]))
    assert timeless(learn(noisy, split=FOLDED, out="c", resume=True)) == timeless(finished)
    split = SplitSettings(cross_validate=False)
    held_out = learn(noisy, split=split, out="v")
    again = learn(noisy, split=split, out="v", resume=True, settings=replace(SETTINGS, trainings=3))
    assert (held_out.part, again.part) == ("validation", "validation")


def test_a_method_that_trains_step_by_step_is_not_cross_validated_at_every_size(
    noisy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tfidf, "trains_in_steps", True)
    said = list[str]()
    found = learn(noisy, split=FOLDED, listener=Listener(say=said.append))
    assert found.part == "validation"
    assert any("tfidf would take too long to cross-validate at every size" in of for of in said)


def test_json_is_alone_and_the_file_says_the_same(command: Command, noisy: Path) -> None:
    seen = command(
        "learning-curve", noisy, *QUICK, "--sizes", "20,40", "--seeds", 1, "--out", "c", "--json"
    )
    assert seen.err == ""
    told = json.loads(seen.out)
    assert told.pop("folder") == "c"
    assert told == json.loads(Path("c/curve.json").read_text())
    curve = from_json(Curve, told, "it")
    assert curve.sizes == (20, 40)
    assert curve.best.outlook == "too few"
    assert [of.method for of in curve.rungs] == ["majority", "tfidf"]


def test_all_methods_learn_from_the_same_shares_and_no_test_row(
    noisy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetext.methods.majority import Majority

    seen: dict[str, list[list[str]]] = {"majority": [], "tfidf": []}
    for kind in (Majority, Tfidf):
        real = kind.fit

        def watched(self: Any, train: Any, *rest: Any, real: Any = real) -> Any:
            seen[self.name].append(train.ids)
            return real(self, train, *rest)

        monkeypatch.setattr(kind, "fit", watched)
    learn(noisy)
    splits = finetext.split(finetext.read(noisy), seed=0)
    assert seen["majority"] == seen["tfidf"]
    assert [len(ids) for ids in seen["tfidf"]] == [8, 8, 16, 16, 32, 32]
    first, second = (set(ids) for ids in seen["tfidf"][:2])
    assert first != second
    assert first < set(seen["tfidf"][2]) < set(seen["tfidf"][4]) < set(splits.train.ids)


def test_groups_stay_whole(command: Command, noisy: Path) -> None:
    words = ("--group", "movie", *QUICK, "--sizes", "20,40,80", "--seeds", 2, "--json")
    seen = command("learning-curve", noisy, *words, status=0)
    curve = from_json(Curve, json.loads(seen.out), "it")
    assert all(point.rows % 5 == 0 for of in curve.rungs for point in of.points)
    assert curve.rungs[0].points[0].score.n == 6


def test_a_method_that_trains_step_by_step(
    command: Command, noisy: Path, tiny_encoder: Path
) -> None:
    seen = command(
        "learning-curve", noisy, "--methods", "finetune", "--encoder", tiny_encoder,
        "--max-length", 16, "--epochs", 1, "--sizes", "8,24", "--seeds", 1, "--device",
        "cpu", "--json", status=0,
    )  # fmt: skip
    curve = from_json(Curve, json.loads(seen.out), "it")
    assert [of.method for of in curve.rungs] == ["majority", "tfidf", "finetune"]
    assert curve.rung("finetune").points[-1].seconds > 0


def test_several_labels(command: Command, workplace: Path) -> None:
    words = ("sun and warmth,sun", "rain and cold,rain", 'sun and rain,"sun,rain"')
    rows = [f"day {n} with {words[n % 3]}" for n in range(90)]
    Path("days.csv").write_text("\n".join(["text,tags", *rows]) + "\n")
    seen = command("learning-curve", "days.csv", *QUICK, "--sizes", "10,30,60", "--json", status=0)
    assert from_json(Curve, json.loads(seen.out), "it").best.points[-1].score.value > 0.9


def test_stopped_curve_resumes_to_the_same_result(
    command: Command, noisy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learn(noisy, out="whole")
    real, done = Tfidf.fit, []

    def stopped(self: Any, *given: Any) -> Any:
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(1)
        return real(self, *given)

    words = ("learning-curve", noisy, *QUICK, "--sizes", "8,16,32", "--seeds", 2)
    with monkeypatch.context() as patch:
        patch.setattr(Tfidf, "fit", stopped)
        seen = command(*words, status=130)
    assert "tfidf on 32 rows, seed 0 was stopped. 9 of 12 trainings are kept in" in seen.err
    assert "runs/noisy-curve; to continue, run the same command with --resume" in seen.err
    text = Path("runs/noisy-curve", CURVE_LOG).read_text()
    Path("runs/noisy-curve", CURVE_LOG).write_text(text[: len(text) - 30])
    seen = command(*words, "--resume", status=0)
    assert "resuming the learning curve in runs/noisy-curve" in seen.err
    assert "8 of 12 trainings were done before" in seen.err
    resumed = from_json(Curve, json.loads(Path("runs/noisy-curve/curve.json").read_text()), "it")
    assert timeless(resumed) == timeless(whole)
    assert not Path("runs/noisy-curve-2").exists()


def test_more_sizes_methods_and_trainings_take_what_was_done(noisy: Path) -> None:
    learn(noisy, out="c")
    before = lines("c")
    learn(noisy, out="c", resume=True, settings=CurveSettings(sizes=(8, 16, 32, 64), trainings=3))
    after = lines("c")
    assert after[: len(before)] == before
    assert len(after) == 1 + 4 * 3 * 2


def test_newest_curve_with_the_same_settings_is_resumed(noisy: Path) -> None:
    said: list[str] = []
    for seed in (0, 1):
        learn(noisy, seed=seed)
    learn(noisy, seed=0, resume=True, listener=Listener(say=said.append))
    assert "resuming the learning curve in runs/noisy-curve" in said
    assert "12 of 12 trainings were done before" in said
    said.clear()
    learn(noisy, seed=2, resume=True, listener=Listener(say=said.append))
    assert any("a new one is started" in line for line in said)
    assert Path("runs/noisy-curve-3/curve.json").is_file()


def test_the_data_are_checked_as_training_checks_them(command: Command, reviews: Path) -> None:
    quick = ("--methods", "tfidf", *QUICK)
    seen = command("learning-curve", reviews, *quick, "--sizes", "10,20", "--seeds", 1)
    trained = command("train", reviews, *quick)
    said = [
        [line for line in of.err.splitlines() if line.startswith("warning: ")]
        for of in (seen, trained)
    ]
    assert said[0] == said[1]
    assert any("nearly decides a class" in line for line in said[0])


def test_a_run_folder_is_no_data_but_its_recipe_has_some(
    command: Command, workplace: Path, finished: Path
) -> None:
    for verb in ("learning-curve", "train"):
        seen = command(verb, finished, status=2)
        assert f"{finished} is a run folder, not data" in seen.err
        assert list(workplace.iterdir()) == []
    (advice,) = re.findall(r"--recipe \S+", seen.err)
    seen = command("learning-curve", *advice.split(), "--sizes", "10,20", "--seeds", 1, status=0)
    assert seen.out.splitlines()[0].split() == ["labels", "majority", "tfidf"]


def test_costs_that_changed_are_another_curve(noisy: Path) -> None:
    costs = Path("costs.csv")
    costs.write_text(",good,bad\ngood,0,1\nbad,5,0\n")
    recipe = Recipe(
        source=str(noisy), methods=ladder([METHOD]), decide=Deciding(costs=costs.absolute())
    )
    how = {"settings": SETTINGS, "out": "c", "resume": True, "listener": Listener()}
    finetext.learning_curve(recipe, **how)
    costs.write_text(",good,bad\ngood,0,1\nbad,50,0\n")
    with pytest.raises(RunError, match=r"has other settings: costs changed"):
        finetext.learning_curve(recipe, **how)


def test_a_folder_that_is_taken_is_refused(command: Command, noisy: Path) -> None:
    learn(noisy, out="c")
    with pytest.raises(RunError, match="already holds a learning curve: resume it with --resume"):
        learn(noisy, out="c")
    with pytest.raises(RunError, match="has other settings: metric was"):
        finetext.learning_curve(
            Recipe(source=str(noisy), methods=ladder([METHOD]), metric="accuracy"),
            settings=SETTINGS, out="c", resume=True, listener=Listener(),
        )  # fmt: skip
    Path("other").mkdir()
    Path("other/notes.txt").write_text("mine")
    with pytest.raises(RunError, match="other already exists and is not empty"):
        learn(noisy, out="other", resume=True)


def test_a_training_that_fails_says_what_is_kept(
    noisy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> None:
        raise DataError("the loss is nan")

    monkeypatch.setattr(Tfidf, "fit", fail)
    with pytest.raises(
        RunError, match=r"tfidf on 8 rows, seed 0 failed: the loss is nan\. 1 of 12"
    ):
        learn(noisy, out="c")
    assert len(lines("c")) == 2


def test_data_handed_over_in_python(topics: Any, workplace: Path) -> None:
    data = (topics.texts * 3, topics.labels * 3)
    curve = finetext.learning_curve(
        data, METHOD, settings=CurveSettings(trainings=1), listener=Listener()
    )
    assert curve.sizes[-1] == curve.training_rows
    assert Path("runs/run-curve/curve.json").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sizes", "20,many"], "'many' is not a number of rows"),
        (["--sizes", "20,9000"], "9,000 rows is asked for, but there are 140 training rows"),
        (["--sizes", "2,20"], "a share of 2 rows is too small"),
        (["--sizes", "20"], "needs at least 2 different sizes"),
        (["--seeds", "0"], "the learning curve: trainings = 0"),
        (["--metric", "sharpness"], "no metric named 'sharpness'"),
        (["--methods", "tfdif"], "did you mean 'tfidf'"),
        (["--out", "noisy.csv"], "noisy.csv is a file"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    command: Command, noisy: Path, words: list[str], message: str
) -> None:
    seen = command("learning-curve", noisy, "--quiet", *words, status=2)
    assert message in seen.err
    assert len(seen.err.splitlines()) == 1
    assert not Path("runs").exists()


def test_a_method_on_an_encoder_that_a_run_makes_is_refused() -> None:
    values = {
        "data": {"source": "x.csv"}, "adapt": {"corpus": "x.txt"},
        "methods": {"mine": {"method": "probe", "encoder": "adapted"}},
    }  # fmt: skip
    with pytest.raises(
        RecipeError, match=r"mine uses the encoder .adapted., which only a run makes"
    ):
        finetext.learning_curve(Recipe.from_values(values), listener=Listener())


def test_curve_of_another_process_is_refused(noisy: Path) -> None:
    learn(noisy, out="c")
    with claimed(Path("c")), pytest.raises(RunError, match="another process is writing into c"):
        learn(noisy, out="c", resume=True)


def test_folder_killed_before_the_first_line_is_used_again(noisy: Path) -> None:
    Path("c").mkdir()
    for name in (".lock", ".fits.jsonl.x1"):
        Path("c", name).write_text("")
    learn(noisy, out="c", resume=True)
    assert Path("c/curve.json").is_file()
