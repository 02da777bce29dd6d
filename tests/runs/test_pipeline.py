"""`finetext.train`: from a source to a run folder."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext import Finding, Majority, Recipe, Run, Tfidf
from finetext.core.console import heard
from finetext.core.contracts import Listener, ProgressEvent
from finetext.core.errors import DataError, FinetextError, RecipeError, RunError
from finetext.core.settings import ReadSettings, SplitSettings
from finetext.methods.probe import Probe
from finetext.methods.tfidf import TfidfClassifier
from finetext.runs.pipeline import train
from finetext.runs.resolve import _with_absolute_paths, check_data, recipe_for

QUICK = Tfidf(inverse_regularisation=1.0)


def metrics(run: Run) -> list[Any]:
    return [(entry.method, entry.metrics) for entry in run.leaderboard]


def rows(path: Path) -> list[dict[str, str]]:
    names, *lines = (line.split(",") for line in path.read_text().splitlines())
    return [dict(zip(names, line, strict=True)) for line in lines]


def test_files_of_a_run_folder(finished: Path) -> None:
    found = {str(p.relative_to(finished)) for p in finished.rglob("*") if p.is_file()}
    files = {f"{m}/{f}" for m in ("majority", "tfidf") for f in ("predictions.parquet",)}
    models = {f"{m}/model/finetext.json" for m in ("majority", "tfidf")}
    top = {"recipe.toml", "data.json", "splits.parquet", "environment.json", "leaderboard.json"}
    assert files | models | top | {"verdict.json", "report.html"} <= found
    assert not [name for name in found if name.endswith(".part") or "/." in name]
    data = json.loads((finished / "data.json").read_text())
    assert data["rows"] == {"train": 42, "validation": 9, "test": 9}
    assert sum(data["labels_by_split"]["test"].values()) == 9
    assert data["labels"] == ["bad", "good"]
    assert [(of["column"], of["role"]) for of in data["columns"]][:2] == [
        ("text", "text"), ("label", "label")
    ]  # fmt: skip
    assert data["columns"][1]["reason"] in (finished / "report.html").read_text("utf-8")
    entries = json.loads((finished / "leaderboard.json").read_text())
    keys = {"method", "metrics", "seconds_to_train", "rows_per_second", "bytes", "model", "seeds"}
    assert set(entries[0]) == keys | {"learned_from", "chosen_on", "reading", "asked", "scope"}
    assert {of["method"]: of["learned_from"] for of in entries} == {"majority": 42, "tfidf": 42}
    assert set(entries[0]["metrics"]) == {"validation", "test"}
    assert {"value", "low", "high"} <= set(entries[0]["metrics"]["test"]["macro_f1"])
    assert (finished / entries[0]["model"]).is_dir()


def test_sources_with_the_same_rows_give_the_same_scores(reviews: Path, tmp_path: Path) -> None:
    import pandas

    texts, labels = zip(*((row["text"], row["label"]) for row in rows(reviews)), strict=True)
    sources = {
        "frame": pandas.read_csv(reviews),
        "lists": (list(texts), list(labels)),
        "data set": finetext.read(reviews),
        "recipe": Recipe(source=str(reviews)),
    }
    expected = metrics(train(reviews, QUICK, out=tmp_path / "file"))
    for name, source in sources.items():
        found = metrics(train(source, QUICK, out=tmp_path / name))
        assert repr(found) == repr(expected), name  # an unknown end of an interval is nan


def test_truncated_texts_are_reported(
    reviews: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = {
        "probe": finetext.Probe(encoder=str(tiny_encoder), max_length=6),
        "finetune": finetext.Finetune(encoder=str(tiny_encoder), max_length=6),
    }
    recipe = Recipe(source=str(reviews), methods=methods)
    splits = finetext.split(finetext.read(reviews))
    findings, (words, *pieces) = check_data(recipe, splits, Listener())
    assert words.unit == "words"
    assert [each.context for each in pieces] == [6]
    (cut,) = (finding for finding in findings if finding.code == "cut-texts")
    assert cut.severity == "warning"
    assert "60 texts (100.0%)" in cut.message
    assert pieces[0].spreads["good"].cut == 1


def test_no_tokenizer_is_loaded_without_an_encoder(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import sys, finetext\n"
        "from finetext import Recipe, Tfidf\n"
        "recipe = Recipe(source=sys.argv[1], device='cpu')\n"
        "finetext.train(recipe, Tfidf(inverse_regularisation=1.0), out=sys.argv[2])\n"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    given = [sys.executable, "-c", program, str(reviews), str(tmp_path / "run")]
    assert subprocess.run(given, capture_output=True, text=True).stdout == "set()\n"


def test_data_passed_in_python_are_kept(tmp_path: Path) -> None:
    texts = [f"number {n} of a {'fine' if n % 3 else 'dull'} kind" for n in range(60)]
    labels = [["1", "0"] if n % 3 else (["2"] if n % 2 else []) for n in range(60)]
    first = train((texts, labels), {"mine": QUICK}, out=tmp_path / "first", seed=3)
    heard: list[Finding] = []
    second = train(
        Recipe.from_file(first.folder / "recipe.toml"),
        out=tmp_path / "second",
        listener=Listener(finding=heard.append),
    )
    assert metrics(second) == metrics(first)
    assert [entry.method for entry in first.leaderboard] == ["majority", "tfidf", "mine"]
    assert "data-changed" not in {finding.code for finding in heard}
    splits = [(run.folder / "splits.parquet").read_bytes() for run in (first, second)]
    assert splits[0] == splits[1]


def test_listener_receives_messages_and_findings(reviews: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    findings: list[Finding] = []
    events: list[ProgressEvent] = []
    train(
        reviews, [QUICK], out=tmp_path / "run",
        listener=Listener(lines.append, events.append, findings.append),
    )  # fmt: skip
    assert "60 rows, 2 labels" in lines[0]
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["column", "role"], ["text", "text"], ["label", "label"], ["movie", "metadata"]
    ]  # fmt: skip
    assert lines[5] == "splits: train 42, validation 9, test 9 rows, 2 labels"
    assert "giveaway-tokens" in {finding.code for finding in findings}


def test_splits_depend_on_the_seed(reviews: Path, tmp_path: Path) -> None:
    runs = [
        train(reviews, Majority(), out=tmp_path / name, seed=seed)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    a, b, c = ((run.folder / "splits.parquet").read_bytes() for run in runs)
    assert a == b
    assert a != c


def test_errors_leave_no_files(workplace: Path, reviews: Path) -> None:
    alike = [row | {"label": "good"} for row in rows(reviews)]
    texts = [f"number {n} of a {'fine' if n % 3 else 'dull'} kind" for n in range(60)]
    several = (texts, [["1", "0"] if n % 3 else ["2"] for n in range(60)])
    wrong: list[tuple[Any, Any, str]] = [
        (alike, None, "one class only"),
        (reviews, "tfdif", "did you mean 'tfidf'"),
        (reviews, [finetext.Probe(encoder="minlim")], "did you mean 'minilm'"),
        (Recipe(source=str(reviews), device="tpu"), None, "'tpu' is not a device"),
        (Recipe(source=str(reviews), metric="samples_f1"), None, "samples_f1"),
        (Recipe(), None, "names no data"),
        (workplace / "nothere.csv", None, "nothere.csv"),
        ([], None, "rows|data|texts"),
        (several, [finetext.Finetune(resample="over")], "resample needs one label per text"),
    ]
    for source, methods, said in wrong:
        with pytest.raises(FinetextError, match=said):
            train(source, methods)
    assert list(workplace.iterdir()) == []


@dataclass(frozen=True)
class Spy(Tfidf):
    """Remembers what it was given."""

    name = "spy"

    def fit(self, train: Any, validation: Any, context: Any) -> TfidfClassifier:
        """Keep a list of the rows by part."""
        assert not set(train.ids) & set(validation.ids)
        seen = {"train": train.ids, "validation": validation.ids, "seed": context.seed}
        (context.log.parent / "seen.json").write_text(json.dumps(seen))
        return super().fit(train, validation, context)


def test_methods_get_no_test_rows(reviews: Path, tmp_path: Path) -> None:
    import pyarrow.parquet

    recipe = Recipe(source=str(reviews), methods={"spy": Spy()}, seed=9, refit=False)
    run = train(recipe, out=tmp_path / "run")
    seen = json.loads((run.folder / "spy" / "seen.json").read_text())
    table = pyarrow.parquet.read_table(run.folder / "splits.parquet").to_pylist()
    for part in ("train", "validation"):
        assert seen[part] == [row["id"] for row in table if row["split"] == part]
    assert seen["seed"] == 9


def test_findings_that_are_errors_stop_the_run(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worst = [Finding("error", "a", "first wrong"), Finding("error", "b", "second wrong")]
    monkeypatch.setattr("finetext.runs.resolve.check_material", lambda material: worst)
    with pytest.raises(DataError, match="first wrong\nsecond wrong"):
        train(reviews, Majority(), out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True)
class Broken(Tfidf):
    """Fails, or is stopped."""

    name = "broken"
    stopped: bool = False

    def fit(self, train: Any, validation: Any, context: Any) -> TfidfClassifier:
        """Never succeed."""
        context.log.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": null}\n')
        raise KeyboardInterrupt if self.stopped else DataError("broken: the loss is nan")


def test_finished_methods_are_kept_after_a_failure(reviews: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    methods = {"majority": Majority(), "tfidf": QUICK, "ill": Broken(), "late": QUICK}
    with pytest.raises(
        RunError,
        match=r"^ill failed: the loss is nan\n.*majority, tfidf.*run\n.*new run in another folder$",
    ):
        train(reviews, methods, out=place)
    run = Run.open(place)
    assert [entry.method for entry in run.leaderboard] == ["majority", "tfidf"]
    assert run.unfinished == ("ill", "late")
    assert [finding.code for finding in run.findings] == ["failed"]
    report = run.report.read_text()
    assert "ill failed: the loss is nan" in report
    assert '<section id="training">' in report


def test_finished_methods_are_kept_after_a_stop(reviews: Path, tmp_path: Path) -> None:
    methods, lines = {"tfidf": QUICK, "slow": Broken(stopped=True)}, list[str]()
    with pytest.raises(KeyboardInterrupt, match=r"^slow was stopped\n(.|\n)*--resume --out .*run$"):
        train(reviews, methods, out=tmp_path / "run", listener=Listener(lines.append))
    run = Run.open(tmp_path / "run")
    assert [entry.method for entry in run.leaderboard] == ["majority", "tfidf"]
    assert not run.report.exists()
    assert lines[-1].startswith("stopping; writing what is finished")


def test_a_second_stop_ends_at_once(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("finetext.runs.finish.choose_among", stop)
    with pytest.raises(KeyboardInterrupt, match=r"^slow was stopped\nto resume: "):
        train(reviews, {"slow": Broken(stopped=True)}, out=tmp_path / "run")
    assert not Run.is_at(tmp_path / "run")


@pytest.mark.parametrize("name", ["enc", "minilm"])
def test_encoder_folders_become_absolute(
    workplace: Path, tiny_encoder: Path, reviews: Path, name: str
) -> None:
    Path(name).symlink_to(tiny_encoder)
    recipe = _with_absolute_paths(Recipe(source=str(reviews), methods={"probe": Probe(name)}))
    known = {"enc": str(workplace / "enc"), "minilm": "minilm"}
    assert recipe.methods["probe"] == Probe(known[name])
    assert recipe.methods["tfidf"] == Tfidf()


def test_settings_of_reading_and_splitting(reviews: Path, tmp_path: Path) -> None:
    run = train(
        reviews, Majority(), read=ReadSettings(group="movie"), split=SplitSettings(test=15),
        out=tmp_path / "run",
    )  # fmt: skip
    recipe = Recipe.from_file(run.folder / "recipe.toml")
    assert (recipe.read.group, recipe.split.test) == ("movie", 15)
    assert run.predictions("majority").groups is not None


def test_run_on_data_passed_in_python_can_be_moved(tmp_path: Path) -> None:
    texts = [f"number {n} of a {'fine' if n % 2 else 'dull'} kind" for n in range(40)]
    run = train((texts, [str(n % 2) for n in range(40)]), Majority(), out=tmp_path / "here")
    assert json.loads((run.folder / "data.json").read_text())["source"] == "data.parquet"
    moved = run.folder.rename(tmp_path / "there")
    again = train(Recipe.from_file(moved / "recipe.toml"), Majority(), out=tmp_path / "again")
    assert repr(metrics(again)[0]) == repr(metrics(run)[0])  # with nan among the scores


def test_methods_of_the_sample_are_those_of_any_data() -> None:
    assert recipe_for("bbc-news", ["finetune"]).methods["finetune"] == finetext.Finetune()


def test_provenance_and_scores(finished: Path) -> None:
    described = json.loads((finished / "tfidf" / "model" / "finetext.json").read_text())
    provenance = described["provenance"]
    assert provenance["method"] == "tfidf"
    assert provenance["hyperparameters"]["inverse_regularisation"] == 1.0
    assert provenance["seed"] == 0
    data = json.loads((finished / "data.json").read_text())
    assert provenance["content_hash"] == data["content_hash"]
    scores = json.loads((finished / "tfidf" / "scores.json").read_text())
    assert [of["name"] for of in scores["labels"]] == ["bad", "good"]
    assert sum(map(sum, scores["confusion"])) == 9


def test_messages_are_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, is_told in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        with heard(None) as listener:
            listener.say("something worth reading")
        assert ("worth reading" in stream.getvalue()) == is_told


@pytest.mark.parametrize(
    ("positive", "labels", "name", "in_memory"),
    [
        ("ham", ["ham", "spam"], "ham", False),
        (np.int64(0), [0, 1], "0", False),
        (False, [False, True], "False", True),
    ],
)
def test_the_positive_class_goes_everywhere(
    tmp_path: Path, positive: Any, labels: list[Any], name: str, in_memory: bool
) -> None:
    import pandas

    words = ["a fine and moving film", "the team lost its final match"]
    rows = [(f"{words[n % 2]} number {n}", labels[n % 2]) for n in range(60)]
    source: Any = pandas.DataFrame(rows, columns=["text", "label"])
    if not in_memory:
        source.to_csv(tmp_path / "mails.csv", index=False)
        source = tmp_path / "mails.csv"
    read = ReadSettings(positive=positive)
    silent = Listener()
    run = train(source, QUICK, read=read, out=tmp_path / "run", listener=silent)
    again = train(
        Recipe.from_file(run.folder / "recipe.toml"), out=tmp_path / "again", listener=silent
    )
    for each in (run, again, Run.open(run.folder)):
        assert each.scheme.positive == name
        assert each.classifier().scheme.positive == name
        assert each.predictions("majority", "validation").scheme.positive == name
        assert each.precision_recall(split="validation").positive == name
        assert each.rows().scheme.positive == name
        assert json.loads((each.folder / "data.json").read_text())["positive"] == name
        assert f"is “{name}”." in each.report.read_text()
        card = (each.folder / "tfidf" / "model" / "README.md").read_text()
        assert f"ROC AUC and average precision are about, is {name}." in card
    assert repr(metrics(run)) == repr(metrics(again))  # undefined ones are nan


def test_a_run_is_not_resumed_with_another_positive_class(tmp_path: Path, reviews: Path) -> None:
    place: dict[str, Any] = {"out": tmp_path / "run", "listener": Listener()}
    for positive in (None, "bad"):
        place["out"] = tmp_path / f"run-{positive}"
        run = train(reviews, QUICK, read=ReadSettings(positive=positive), **place)
        again = train(reviews, QUICK, read=ReadSettings(positive=positive), resume=True, **place)
        assert again.scheme.positive == run.scheme.positive == positive
        was = "not set" if positive is None else positive
        with pytest.raises(RecipeError, match=f"positive class was {was} and is good. Give the"):
            train(reviews, QUICK, read=ReadSettings(positive="good"), resume=True, **place)


def test_a_finished_run_says_which_options_changed_nothing(reviews: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    recipe = Recipe(str(reviews), methods={"tfidf": QUICK}, keep_checkpoints=1)
    train(recipe, out=tmp_path / "run", listener=Listener())
    for given, said in (
        ({}, ""),
        ({"keep_checkpoints": 0}, ""),  # the default, which nobody asked for
        ({"checkpoint_steps": 7, "keep_checkpoints": 3},
         ", so checkpoint_steps, keep_checkpoints changed nothing"),
    ):  # fmt: skip
        asked = replace(recipe, **given)
        train(asked, out=tmp_path / "run", resume=True, listener=Listener(lines.append))
        assert lines[-1] == f"the run in {tmp_path / 'run'} is finished already{said}"
