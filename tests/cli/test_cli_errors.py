"""Bad input of every kind: exit status 2, one clear message, nothing on standard output or disk."""

from __future__ import annotations

import gzip
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
ROWS = [
    (f"a {word} film, seen {number} times", label)
    for number in range(30)
    for word, label in (("fine", "good"), ("dull", "bad"))
]


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
    with zipfile.ZipFile(folder / "climbing.zip", "w") as archive:
        archive.writestr("good/1.txt", "a fine film")
        archive.writestr("../../bad/2.txt", "a dull film")
    shutil.copytree(finished_once / "tfidf" / "model", folder / "half")
    (folder / "half" / "model.safetensors").write_bytes(b"")
    return folder


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
    "train {}/climbing.zip": "leads out of the archive",
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
    "train {}/ok.csv --set x": "write SECTION.NAME=VALUE",
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
    "predict {run} {}/ok.csv --out out.xlsx": "must be one of .csv, .tsv, .jsonl, .parquet",
    "predict {run} {}/ok.csv --out no/out.csv": "there is no folder no",
    "show nothere": "not the folder of a finished run",
    "show {}/folder": "not the folder of a finished run",
    "show {}/damaged-run": "damaged-run is damaged: ",
    "show {run} --results 2 --method tfdif": "did you mean 'tfidf'",
}


@pytest.mark.parametrize(("line", "said"), [*TRAIN.items(), *OTHERS.items()])
def test_bad_input(
    command: Command, material: Path, finished: Path, tiny_encoder: Path, line: str, said: str
) -> None:
    places = {"{}": material, "{run}": finished, "{tiny}": tiny_encoder}
    for name, place in places.items():
        line = line.replace(name, str(place))
    if line.startswith("train") and "method" not in line and "--recipe" not in line:
        line += " --methods majority"
    seen = command(*line.split())
    assert seen.status == 2
    assert seen.out == ""
    assert said in seen.err
    assert sum(text.startswith("finetext: ") for text in seen.err.splitlines()) == 1
    assert "Traceback" not in seen.err
    assert list(Path.cwd().iterdir()) == []
