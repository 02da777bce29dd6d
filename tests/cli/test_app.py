"""The command line as a whole: help, usage errors, bad input, bugs, and the manual."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

import finetext
from finetext.cli import app as cli
from finetext.core.errors import DataError
from finetext.runs.recipe import LADDER

Command = Callable[..., Any]
EVERY: dict[str, Any] = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
COMMANDS = {name: command for name, command in EVERY.items() if not command.hidden}
MANUAL = (Path(__file__).parents[2] / "docs/reference/command-line.md").read_text(encoding="utf-8")
ROWS = [
    (f"a {word} film, seen {number} times", label)
    for number in range(30)
    for word, label in (("fine", "good"), ("dull", "bad"))
]
TRAIN = {
    "train nothere.csv": "there is no file, folder or sample",
    "train bbc-nwes": "did you mean 'bbc-news'",
    "train {}/empty.csv": "empty.csv is empty",
    "train {}/header.csv": r"no rows but a header (text, label)",
    "train {}/one-class.csv": "one class only, 'good'",
    "train {}/rare.csv": "the class 'odd' has 1 row",
    "train {}/gaps.csv": "(line 62)",
    "train {}/ids.csv": "identifiers, not texts",
    "train {}/numbers.csv": "numbers, not texts",
    "train {}/no-classes.csv": "60 different values in 60 rows",
    "train {}/ragged.csv": "line 62",
    "train {}/same-ids.csv --id id": "ids must be unique",
    "train {}/broken.zip": "is a broken archive",
    "train {}/broken.csv.gz": "is broken",
    "train {}/traversal.zip": "leads out of the archive",
    "train {}/binary.csv": "is not a text file",
    "train {}/empty": "no files that can be read",
    "train {}/folder": "is not a text file",
    "train": "name the data to train on",
    "train --test {}/ok.csv": "name the data to train on",
    "train {}/ok.csv --test nothere.csv": "there is no file",
    "train {}/ok.csv --text txet": "did you mean 'text'?; the columns are: text, label",
    "train {}/ok.csv --label film": "no column 'film'; there are: text, label",
    "train {}/ok.csv --group film": "no column 'film'",
    "train {}/ok.csv --id film": "no column 'film'",
    "train {}/ok.csv --label-names nothere.txt": "no file of label names",
    "train {}/ok.csv --methods tfdif": "did you mean 'tfidf'",
    "train {}/ok.csv --methods ,": "names no method",
    "train {}/ok.csv --methods probe --encoder minlim": "did you mean 'minilm'",
    "train {}/ok.csv --methods finetune --encoder {}/empty": "config.json",
    "train {}/ok.csv --methods tfidf --epochs 3": "--epochs applies to none of the methods: tfidf",
    "train {}/ok.csv --methods probe --encoder {tiny} --max-length 999": "from 4 to 64 tokens",
    "train {}/ok.csv --methods finetune --encoder {tiny} --max-length 999": "from 4 to 64 tokens",
    "train {}/ok.csv --metric macrof1": "did you mean 'macro_f1'",
    "train {}/ok.csv --metric samples_f1": "the metric 'samples_f1'",
    "train {}/ok.csv --train-size 2.5": "the size of train is 2.5",
    "train {}/ok.csv --train-size 0.8 --test-size 0.5": "add up to more than the 60 rows",
    "train {}/ok.csv --test-size many": "neither a share such as 0.2 nor a count",
    "train {}/ok.csv --test-size 1000": "1,000 rows are requested",
    "train {}/ok.csv --test-size nan": "the size of test is nan",
    "train {}/ok.csv --device tpu": "'tpu' is not a device",
    "train {}/ok.csv --device cuda:99": "not on this machine",
    "train {}/ok.csv --out {}/folder": "not empty",
    "train {}/ok.csv --out {}/ok.csv": "is a file",
    "train {}/ok.csv --out {}/ok.csv/run": "is a file",
    "train {}/ok.csv --jobs 2 --minutes 1": "leave one of them out",
    "train {}/ok.csv --jobs 2 --device cuda:99": "not on this machine",
    "train {}/ok.csv --set x": "as finetune.epochs=3 or pretrain.layers=4",
    "train {}/ok.csv --set split.tets=1": "did you mean 'test'",
    "train {}/ok.csv --set split.strategy=fancy": "strategy = 'fancy'",
    "train {}/ok.csv --set data.encoding=utf-99": "no encoding named 'utf-99'",
    "train {}/ok.csv --set mine.x=1": "no section in this run named 'mine'",
    "train --recipe nothere.toml": "there is no recipe",
    "train --recipe {}/no.toml": "cannot be read",
    "train --recipe {}/setting.toml": "[split] has no setting 'tets'; did you mean 'test'",
    "train --recipe {}/top.toml": "did you mean 'seed'",
    "train --recipe {}/type.toml": "epochs = 'many'",
    "train --recipe {}/section.toml": "methods in the recipe must be a table",
    "train --recipe {}/method.toml": "did you mean 'tfidf'",
    "train --recipe {}/source.toml": "source = 3",
    "train --recipe {}/nameless.toml": "name the data to train on",
}
OTHERS = {
    "explore nothere.csv": "there is no file",
    "explore {}/ok.csv --encoder {tiny} --tokens 61": "the rows 1 to 60",
    "explore {}/ok.csv --encoder minlim": "did you mean 'minilm'",
    "explore {}/ok.csv --html no/page.html": "there is no folder no",
    "explore {}/ok.csv --set split.test=1": "only data.NAME=VALUE",
    "evaluate nothere {}/ok.csv": "there is no model or run folder nothere",
    "evaluate {run} nothere.csv": "there is no file",
    "evaluate {run} {}/other-labels.csv": "'neutral' is not one of: bad, good",
    "evaluate {run} {}/gaps.csv": "the label is missing in 1 of 61 rows",
    "evaluate {run} {}/ok.csv --device tpu": "'tpu' is not a device",
    "predict nothere text": "there is no model or run folder nothere",
    "predict {}/ok.csv text": "there is no model or run folder",
    "predict {}/folder text": "is not a finetext model",
    "predict {}/damaged text": "is damaged",
    "predict {}/damaged-run text": "damaged-run is damaged: ",
    "predict {}/half text": "is damaged",
    "predict {run} missing.csv": "there is no file missing.csv",
    "predict {run} {}/empty.csv": "is empty",
    "predict {run} {}/binary.csv": "is not a text file",
    "predict {run} {}/ok.csv --text txet": "did you mean 'text'",
    "predict {run} {}/ok.csv --out out.xls": "must be one of .csv, .tsv, .jsonl, .parquet, .xlsx",
    "predict {run} {}/ok.csv --out no/out.csv": "there is no folder no",
    "show nothere": "not the folder of a finished run",
    "show {}/folder": "not the folder of a finished run",
    "show {}/damaged-run": "damaged-run is damaged: ",
    "show {run} --results 2 --method tfdif": "did you mean 'tfidf'",
}


def section(command: str) -> str:
    """What the manual says of a command."""
    found = re.search(rf"^## {command}\n(.*?)(?=^## |\Z)", MANUAL, flags=re.DOTALL | re.MULTILINE)
    assert found, f"docs/reference/command-line.md has no section on {command}"
    return found[1]


def test_the_commands_are_the_documented_ones() -> None:
    assert set(COMMANDS) == {
        *("train", "demo", "explore", "agreement", "evaluate", "predict", "plot"),
        *("classify", "distill", "monitor", "models", "show", "studio"),
        *("tokens", "features", "find-lr", "adapt", "pretrain", "generate", "convert"),
        *("info", "push", "pull", "doctor", "serve", "export", "cascade", "report", "decide"),
        *("compare", "confusion", "precision-recall", "errors", "slices", "label-errors"),
        *("explain", "map", "learning-curve"),
    }
    assert re.findall(r"^## ([\w-]+)", MANUAL, flags=re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help_and_a_line_in_the_manual(name: str) -> None:
    table = re.findall(r"^\| `(--[^|]*)` \|", section(name), flags=re.MULTILINE)
    documented = {option.split()[0].strip("`,") for option in table}
    there = set()
    for parameter in COMMANDS[name].params:
        assert parameter.help, f"{name}: {parameter.name} has no help"
        if parameter.param_type_name == "option":
            there.add(parameter.opts[0])
    assert documented == there
    assert f"finetext {name}" in section(name)


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_screen_and_shows_an_example(
    command: Command, monkeypatch: pytest.MonkeyPatch, name: str, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    seen = command(name, "--help", status=0)
    assert len(seen.out.splitlines()) <= 48
    assert max(map(len, seen.out.splitlines())) <= columns
    assert f"Example: finetext {name}" in seen.out


@pytest.mark.parametrize(
    ("former", "name"), [("labels", "label-errors"), ("curve", "learning-curve")]
)
def test_former_names_are_hidden_and_do_the_same(
    command: Command, reviews: Path, former: str, name: str
) -> None:
    assert f"\n  {former} " not in command("--help").out
    words = (reviews, "--out", "new.txt") if former == "labels" else (reviews, "--sizes", "many")
    seen, wanted = command(former, *words), command(name, *words)
    warning, _, more = seen.err.partition("\n")
    assert warning.startswith(f"finetext: `{former}` is now `{name}`; the former name works until")
    assert (seen.status, seen.out, more) == (wanted.status, wanted.out, wanted.err)
    assert [one.opts for one in EVERY[former].params] == [one.opts for one in EVERY[name].params]


def test_a_former_name_is_gone_in_the_version_that_was_said() -> None:
    number = tuple(map(int, finetext.__version__.split(".")[:2]))
    for former, (name, until) in cli.DEPRECATED.items():
        assert name in EVERY
        assert number < tuple(map(int, until.split("."))), f"remove {former} from DEPRECATED"


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys\nsys.argv = ['finetext', 'train', '--help']\n"
        "try:\n    from finetext.__main__ import main; main()\n"
        "except SystemExit:\n    print(*sys.modules, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {line.partition(".")[0] for line in done.stdout.splitlines()}
    assert "typer" in loaded
    assert not loaded & {"numpy", "pandas", "pyarrow", "torch", "transformers"}


def test_help_lists_every_command_in_full(command: Command) -> None:
    seen = command("--help")
    assert all(f"\n  {name} " in seen.out for name in COMMANDS)
    assert "..." not in seen.out.split("Commands:")[1]


def test_the_version(command: Command) -> None:
    assert command("--version") == (0, f"finetext {finetext.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian", "x"], "Did you mean 'train', 'pretrain'?"),
        (["train", "--epocs", "3"], "--epochs"),
        (["train", "x.csv", "more"], "(more)"),
        (["train", "x.csv", "--epochs", "many"], "'--epochs'"),
        (["train", "x.csv", "--seed", "-1"], "'--seed'"),
        (["predict", "runs/x"], "INPUT"),
        (["show", "runs/x", "--results", "0"], "'--results'"),
        (["--nope"], "--nope"),
    ],
)
def test_a_wrong_command_is_one_message(command: Command, words: list[str], said: str) -> None:
    seen = command(*words, status=2)
    assert said in seen.err
    assert seen.err.count("Error: ") == 1
    assert "Traceback" not in seen.err


def test_without_a_command_help_is_shown(command: Command) -> None:
    seen = command(status=2)
    assert "Commands:" in seen.out + seen.err


def test_models_are_listed_for_people_and_machines(command: Command) -> None:
    listed = command("models").out
    assert "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0)" in listed
    assert "random:tiny" in listed
    first = json.loads(command("models", "--json").out)[0]
    assert first["alias"] == "minilm"
    facts = {"description", "parameters", "context", "languages", "tasks", "finetunable"}
    assert facts | {"on_this_machine"} <= set(first)


def test_models_are_listed_for_a_task_and_a_language(command: Command) -> None:
    found = json.loads(command("models", "--task", "zero-shot", "--language", "de", "--json").out)
    assert [entry["alias"] for entry in found] == [
        "multilingual-minilm",
        "mdeberta-xnli",
        "xlm-roberta-xnli",
    ]
    assert (
        json.loads(command("models", "--finetunable", "--here", "--json").out)[0]
        == (json.loads(command("models", "--json").out)[0])
    )
    wrong = command("models", "--task", "translation", status=2)
    assert wrong.err == (
        "finetext: there is no task named 'translation'; there are: text-classification, "
        "feature-extraction, fill-mask, text-generation, zero-shot\n"
    )
    assert "did you mean 'German'" in command("models", "--language", "Germn", status=2).err


def broken(error: BaseException) -> Callable[..., None]:
    def fail(*args: object, **settings: object) -> None:
        raise error

    return fail


def test_a_fault_of_ours_asks_for_a_report(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "finetext.encoders.model_table.ModelTable.to_json", broken(ZeroDivisionError("a\nb"))
    )
    seen = command("models", "--json", status=1)
    assert len(seen.err.splitlines()) == 1
    assert "ZeroDivisionError: a" in seen.err
    assert "--debug" in seen.err
    with pytest.raises(ZeroDivisionError):
        command("models", "--json", "--debug")


def test_a_broken_package_is_told(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ImportError("DLL load failed", name="torch")
    monkeypatch.setattr("finetext.encoders.model_table.ModelTable.to_json", broken(error))
    assert "DLL load failed: a package is broken; fine" in command("models", "--json", status=2).err


def test_a_mistake_shows_its_traceback_with_debug_only(command: Command) -> None:
    assert command("explore", "nothere.csv", status=2).err.startswith("finetext: there is no file")
    with pytest.raises(DataError, match="nothere"):
        command("explore", "nothere.csv", "--debug")


def test_ctrl_c_stops_with_one_word(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "finetext.encoders.model_table.ModelTable.to_json", broken(KeyboardInterrupt())
    )
    assert command("models", "--json") == (130, "", "finetext: stopped\n")


def test_the_demo_is_train_on_the_sample(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = []

    def record(recipe: Any, what: Any, into: Any, *rest: Any) -> None:
        recipes.append((recipe, into.out))
        raise DataError("enough")

    monkeypatch.setattr("finetext.runs.pipeline.train_recipe", record)
    command("demo", "--seed", "3")
    command("train", "bbc-news", "--minutes", "4.75", "--seed", "3")
    assert len(recipes) == 2
    assert recipes[0] == recipes[1]
    assert recipes[0][0].source == "bbc-news"
    assert list(recipes[0][0].methods) == list(LADDER)
    assert all(method == type(method)() for method in recipes[0][0].methods.values())


def test_the_program_is_installed_and_can_be_run_as_a_module() -> None:
    for program in (["finetext"], [sys.executable, "-m", "finetext"]):
        path = Path(sys.executable).parent / program[0]
        words = [str(path) if path.exists() else program[0], *program[1:], "show", "nothere"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("finetext: nothere is not the folder of a finished run")


def table(rows: list[tuple[Any, Any]]) -> str:
    return "text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory, finished_once: Path) -> Path:
    """A folder full of what goes wrong."""
    folder = tmp_path_factory.mktemp("bad")
    files = {
        "ok.csv": table(ROWS),
        "empty.csv": "",
        "header.csv": "text,label\n",
        "one-class.csv": table([(text, "good") for text, _ in ROWS]),
        "rare.csv": table([*ROWS, ("an odd one out", "odd")]),
        "gaps.csv": table([*ROWS, ("no label here", "")]),
        "ids.csv": table([(f"A{n:04}", label) for n, (_, label) in enumerate(ROWS)]),
        "numbers.csv": table([(n * 1.5, label) for n, (_, label) in enumerate(ROWS)]),
        "no-classes.csv": table([(text, f"label {n}") for n, (text, _) in enumerate(ROWS)]),
        "ragged.csv": table(ROWS) + "one,two,three\n",
        "same-ids.csv": "id,text,label\n" + "1,a fine film,good\n1,a dull film,bad\n" * 20,
        "other-labels.csv": table([("a fine film", "good"), ("a film", "neutral")] * 3),
        "no.toml": "this is [ not toml",
        "setting.toml": "[split]\ntets = 0.2\n",
        "top.toml": "sede = 1\n",
        "type.toml": '[methods.finetune]\nepochs = "many"\n',
        "section.toml": 'methods = ["tfidf"]\n',
        "method.toml": '[methods.mine]\nmethod = "tfdif"\n',
        "source.toml": "[data]\nsource = 3\n",
        "nameless.toml": "seed = 1\n",
        "folder/odd.bin": "\0\1" * 100,
        "damaged/finetext.json": "{",
        "damaged-run/leaderboard.json": "[{}]",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    for name in ("type", "section", "method", "setting", "top"):
        recipe = folder / f"{name}.toml"
        recipe.write_text(recipe.read_text() + f'[data]\nsource = "{folder}/ok.csv"\n')
    (folder / "empty").mkdir()
    (folder / "broken.zip").write_bytes(b"PK\3\4 and no more")
    (folder / "broken.csv.gz").write_bytes(gzip.compress(table(ROWS).encode())[:40])
    (folder / "binary.csv").write_bytes(bytes(range(256)) * 20)
    with zipfile.ZipFile(folder / "traversal.zip", "w") as archive:
        archive.writestr("good/1.txt", "a fine film")
        archive.writestr("../../bad/2.txt", "a dull film")
    shutil.copytree(finished_once / "tfidf" / "model", folder / "half")
    (folder / "half" / "model.safetensors").write_bytes(b"")
    return folder


@pytest.mark.parametrize(("line", "said"), [*TRAIN.items(), *OTHERS.items()])
def test_bad_input(
    command: Command, material: Path, finished: Path, tiny_encoder: Path, line: str, said: str
) -> None:
    places = {"{}": material, "{run}": finished, "{tiny}": tiny_encoder}
    for name, place in places.items():
        line = line.replace(name, str(place))
    if line.startswith("train") and "method" not in line and "--recipe" not in line:
        line += " --methods majority"
    seen = command(*line.split(), status=2)
    assert said in seen.err
    assert sum(text.startswith("finetext: ") for text in seen.err.splitlines()) == 1
    assert "Traceback" not in seen.err
    assert list(Path.cwd().iterdir()) == []
