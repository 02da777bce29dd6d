"""`finetext.distill`: a run on the labels of a saved model, scored on rows that people labeled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

import finetext
from finetext.batch.distill import Distilled
from finetext.core.contracts import FitContext, Listener
from finetext.core.errors import DataError, FinetextError, RecipeError
from finetext.core.settings import ReadSettings
from finetext.core.types import Dataset
from finetext.data.rows import LABEL_STATUS
from finetext.methods.tfidf import Tfidf
from finetext.models.card import weak_labels_of

WORDS = {"food": "bread soup cake salt", "money": "bank loan shares rates",
         "sport": "match goal team coach"}  # fmt: skip
QUICK = Tfidf(inverse_regularisation=1.0)
COPY = "the team won the match with a late goal in the final minute of the game"


def texts(count: int, start: int = 0) -> list[tuple[str, str]]:
    """So many texts of each label, all different, with their labels."""
    return [
        (f"{words.split()[number % 4]} and {words.split()[(number // 4) % 4]} no {number}", label)
        for number in range(start, start + count)
        for label, words in WORDS.items()
    ]


@pytest.fixture
def teacher(topics: Dataset, workplace: Path) -> Path:
    return QUICK.fit(topics, topics.select([]), FitContext()).save(workplace / "teacher")


@pytest.fixture
def pool(workplace: Path) -> Path:
    path = workplace / "pool.csv"
    rows = [text for text, _ in texts(20)] + [COPY, COPY.replace("late", "second")]
    path.write_text("\n".join(["text", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def people(workplace: Path) -> Path:
    path = workplace / "people.csv"
    rows = [f"{text},{label}" for text, label in [*texts(15, 100), (COPY, "sport")]]
    path.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    return path


def distilled(teacher: Path, pool: Any, **options: Any) -> Distilled:
    options = {"methods": [QUICK], "listener": Listener(), "keep": 1.0} | options
    return finetext.distill(teacher, pool, **options)


def test_people_score_what_the_teacher_taught(teacher: Path, pool: Path, people: Path) -> None:
    done = distilled(teacher, pool, test=people)
    assert done.run is not None
    assert done.folder == Path("runs") / "pool-distilled"
    table = pyarrow.parquet.read_table(done.folder / "data.parquet").to_pandas()
    assert set(table[table.split == "train"][LABEL_STATUS]) == {"weak"}
    assert set(table[table.split != "train"][LABEL_STATUS]) == {"human"}
    assert dict(table.split.value_counts()) == {"train": 60, "test": 31, "validation": 15}
    assert COPY not in set(table[table.split == "train"].text)
    splits = pyarrow.parquet.read_table(done.folder / "splits.parquet").to_pandas()
    assert splits[LABEL_STATUS].tolist() == table[LABEL_STATUS].tolist()
    assert splits.split.tolist() == table.split.tolist()
    entries = {entry.method: entry for entry in done.run.leaderboard}
    assert list(entries) == ["majority", "tfidf", "teacher"]
    assert entries["teacher"].learned_from is None
    assert entries["tfidf"].metrics["test"]["accuracy"].n == 31
    assert set(done.run.comparisons) == {"majority", "teacher"}
    assert done.run.best == "tfidf"
    assert done.classifier()("fresh bread")["food"] > 0.5
    again = finetext.load(teacher)
    scored = done.run.predictions("teacher")
    assert (scored.probabilities == again.predict_proba(done.run.texts("teacher"))).all()


def test_weak_labels_are_marked_everywhere(teacher: Path, pool: Path, people: Path) -> None:
    done = distilled(teacher, pool, test=people, keep=0.5)
    assert done.weak.keep == 0.5
    assert done.weak.rows == 30
    assert done.weak.texts == 62
    said = "30 of 62 texts of pool.csv are training rows with weak labels, which the model teacher"
    report = (done.folder / "report.html").read_text(encoding="utf-8")
    assert said in report
    assert "its teacher in macro F1 on the same test rows" in report
    model = done.folder / "tfidf" / "model"
    described = json.loads((model / "finetext.json").read_text(encoding="utf-8"))
    assert weak_labels_of(described) == done.weak
    card = (model / "README.md").read_text(encoding="utf-8")
    assert f"Weak labels: {said} (tfidf)" in card
    assert "| metric | this model | majority | teacher |" in card
    taught = json.loads((done.folder / "teacher" / "model" / "finetext.json").read_text())
    assert weak_labels_of(taught) is None
    assert finetext.Recipe.from_file(done.folder / "recipe.toml").weak == done.weak
    data = json.loads((done.folder / "data.json").read_text(encoding="utf-8"))
    assert said in data["description"]
    assert "weak-labels" in [finding["code"] for finding in data["findings"]]


def test_a_run_is_resumed_and_repeated_from_its_recipe(
    teacher: Path, pool: Path, people: Path, workplace: Path
) -> None:
    done = distilled(teacher, pool, test=people)
    scores = (done.folder / "leaderboard.json").read_text(encoding="utf-8")
    (done.folder / "leaderboard.json").unlink()
    (done.folder / "tfidf" / "entry.json").unlink()
    again = distilled(teacher, pool, test=people, out=done.folder, resume=True)
    assert again.run is not None

    def tested(text: str) -> list[Any]:
        return [(entry["method"], entry["metrics"]) for entry in json.loads(text)]

    assert tested((done.folder / "leaderboard.json").read_text()) == tested(scores)
    with pytest.raises(FinetextError, match=r"weak\.keep"):
        distilled(teacher, pool, test=people, keep=0.5, out=done.folder, resume=True)
    recipe = finetext.Recipe.from_file(done.folder / "recipe.toml")
    run = finetext.train(recipe, out=workplace / "again", listener=Listener())
    assert tested((run.folder / "leaderboard.json").read_text()) == tested(scores)
    marks = pyarrow.parquet.read_table(run.folder / "splits.parquet").column(LABEL_STATUS)
    assert marks.to_pylist().count("weak") == 60


def test_the_teacher_is_neither_chosen_nor_combined(
    teacher: Path, pool: Path, people: Path
) -> None:
    done = distilled(teacher, pool, test=people, methods=["tfidf", "static", "blend"])
    assert done.run is not None
    assert "teacher" not in {done.run.best, done.run.recommended}
    assert done.run.choice is not None
    assert "teacher" not in [of.method for of in done.run.choice.candidates]
    blend = done.folder / "blend" / "model" / "finetext.json"
    if blend.exists():
        members = json.loads(blend.read_text(encoding="utf-8"))["provenance"]["members"]
        assert "teacher" not in members


def test_other_rows_can_be_named_for_each_part(
    teacher: Path, pool: Path, people: Path, workplace: Path
) -> None:
    parts = workplace / "parts.csv"
    rows = [
        f"{text},{label},{part}"
        for part, start in (("train", 200), ("validation", 300), ("test", 400))
        for text, label in texts(5, start)
    ]
    parts.write_text("\n".join(["text,label,split", *rows]) + "\n", encoding="utf-8")
    done = distilled(teacher, pool, test=people, validation=parts, train=parts)
    assert done.run is not None
    rows_of = json.loads((done.folder / "data.json").read_text(encoding="utf-8"))["rows"]
    assert rows_of == {"train": 62 + 15 - 2, "validation": 15, "test": 46}


def test_rows_of_no_class_show_how_many_are_recognized(
    teacher: Path, pool: Path, people: Path
) -> None:
    outside = [f"a comet and a volcano no {number},oos" for number in range(9)]
    inside = people.with_name("inside.csv")
    inside.write_text(people.read_text())
    people.write_text("\n".join([people.read_text(), *outside]))
    read = ReadSettings(out_of_scope="oos")
    done = distilled(teacher, pool, test=people, validation=people, read=read)
    assert done.run is not None
    scope = done.run.entry("tfidf").scope
    assert scope is not None
    assert scope.recall is not None
    assert (scope.recall.n, scope.allowed) == (18, 0.05)
    table = pyarrow.parquet.read_table(done.folder / "data.parquet").to_pandas()
    assert (table.label == "out of scope").sum() == 18
    done = distilled(teacher, pool, test=people, validation=inside, read=read, out="another")
    assert done.run is not None
    scope = done.run.entry("tfidf").scope
    assert scope is not None
    assert scope.recall is not None
    assert scope.recall.n == 9


def test_without_people_there_is_a_model_and_no_score(
    teacher: Path, pool: Path, workplace: Path
) -> None:
    said: list[str] = []
    done = distilled(teacher, pool, out=workplace / "student", listener=Listener(say=said.append))
    assert done.run is None
    assert done.folder == workplace / "student"
    assert "fitting tfidf; no human-labeled rows were given, so nothing says how good it is" in said
    assert done.classifier()("fresh bread")["food"] > 0.5
    card = (done.folder / "README.md").read_text(encoding="utf-8")
    assert "No scores were recorded with this model" in card
    assert "its probabilities are those of agreement with that model" in card
    assert not done.weak.is_scored


def test_a_teacher_is_not_scored_on_what_it_learned(
    people: Path, pool: Path, workplace: Path
) -> None:
    run = finetext.train(people, QUICK, out=workplace / "run", listener=Listener())
    done = distilled(run.folder, pool, test=people)
    data = json.loads((done.folder / "data.json").read_text(encoding="utf-8"))
    (found,) = [of for of in data["findings"] if of["code"] == "trained-on"]
    assert "test rows are training rows of the teacher" in found["message"]
    assert done.weak.teacher == "run"
    assert done.weak.known > 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [({"keep": 0.0}, RecipeError, "keep = 0: it must be a share"),
     ({"keep": 1.5}, RecipeError, r"keep = 1\.5"),
     ({"least": 2.0}, RecipeError, "least = 2: it must be a probability"),
     ({"least": 1.0}, DataError, "fewer than two labels have rows to learn from"),
     ({"test": None}, RecipeError, "name its folder with --out"),
     ({"test": None, "validation": "people.csv"}, RecipeError, "only test rows can score it"),
     ({"test": None, "out": "o", "methods": ["probe", "static"]}, RecipeError, "name one with"),
     ({"test": None, "out": "o", "methods": ["probe", "finetune"]}, RecipeError, "name one with"),
     ({"test": None, "out": "o", "methods": [QUICK, "probe"]}, RecipeError, "name one with"),
     ({"test": None, "out": "o", "minutes": 5}, RecipeError, "--minutes needs --test"),
     ({"test": None, "out": "o", "resume": True}, RecipeError, "--resume needs --test"),
     ({"test": "odd.csv"}, DataError, "1 label that the teacher does not know: 'travel'"),
     ({"test": "few.csv"}, DataError, "too few for validation and test rows"),
     ({"test": "pool.csv"}, DataError, "label"),
     ({"test": "same.csv"}, DataError, r"62 of 62 texts were left out, as they are rows that peop"),
     ({"test": "nothere.csv"}, DataError, "there is no file"),
     ({"methods": ["tfdif"]}, FinetextError, "tfidf")],
)  # fmt: skip
def test_what_cannot_be_distilled_is_said_and_nothing_is_written(
    teacher: Path, pool: Path, people: Path, options: dict[str, Any],
    error: type[FinetextError], message: str,
) -> None:  # fmt: skip
    Path("odd.csv").write_text("text,label\na train,travel\na cake,food\na loan,money\n")
    Path("few.csv").write_text("text,label\na match,sport\na cake,food\n")
    same = [f"{text},food\n" for text in pool.read_text().splitlines()[1:]]
    Path("same.csv").write_text("text,label\n" + "".join(same))
    before = set(Path().iterdir())
    with pytest.raises(error, match=message):
        distilled(teacher, pool, **{"test": people, **options})
    assert set(Path().iterdir()) == before


def test_a_teacher_is_called_by_its_run_and_method(
    people: Path, pool: Path, workplace: Path
) -> None:
    run = finetext.train(people, QUICK, out=workplace / "reviews", listener=Listener())
    done = distilled(run.folder / "tfidf", pool, out=workplace / "student")
    assert done.weak.teacher == "reviews/tfidf"
    with pytest.raises(RecipeError, match=r"give teacher\.save\(FOLDER\)"):
        finetext.distill(done.classifier(), pool)  # type: ignore[arg-type]


def test_a_teacher_of_several_labels_a_text_is_refused(
    mixed_topics: Dataset, pool: Path, people: Path, workplace: Path
) -> None:
    several = QUICK.fit(mixed_topics, mixed_topics.select([]), FitContext())
    folder = several.save(workplace / "several")
    with pytest.raises(RecipeError, match="distill needs a teacher that gives each text one"):
        distilled(folder, pool, test=people)


def test_labels_without_confident_texts_are_said(teacher: Path, people: Path) -> None:
    rows = [text for text, label in texts(20) if label != "money"]
    found = distilled(teacher, [*rows, "bank cake goal"], test=people, least=0.45)
    data = json.loads((found.folder / "data.json").read_text(encoding="utf-8"))
    codes = [finding["code"] for finding in data["findings"]]
    assert (found.weak.given["money"], found.weak.kept["money"]) == (1, 0)
    assert {"no-confident-text", "missing-classes"} <= set(codes)
    assert found.weak.pool == "pool"
    assert data["labels"] == ["food", "money", "sport"]
