"""Kills finetext (SIGKILL) at random moments, and looks whether anything is lost.

nice -n 10 env OMP_NUM_THREADS=1 python benchmarks/kills.py

training     TF-IDF and a toy encoder are trained, killed and resumed until the run is finished. It
must have the figures, the predictions, the weights and the files of a run that never was
killed.
prediction   a file is predicted into CSV, JSON lines, compressed or not, and Parquet, with a file
of rejected rows. It is killed and resumed until the table is there, which must be that of an
undisturbed prediction, byte by byte: each row once, in order.
replacement  two models are saved in turn over the same folder. After each kill it must load, have
the hashes that it states, and predict as one of the two. Every other time the system is
said not to be able to exchange folders, so that the old one must be put back.
serving      a server is killed while it starts or answers, and started again at the same port;
clients ask until they are answered. No answer may be wrong, and each start left alone must
answer.

Every process is a fork of one that has imported everything and done nothing, so that a trial costs
less than a second.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import random
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, Final

import common
from forks import Scene, Tally, Work, answer_of, ended, files, forked, kill, prepare

import finetext
from finetext.data.near_duplicates import near_duplicates
from finetext.diagnosis.languages import languages_of

SHARES: Final = {"training": 0.3, "prediction": 0.25, "replacement": 0.25, "serving": 0.2}
OUTPUTS: Final = ("out.csv", "out.jsonl", "out.csv.gz", "out.parquet")
EARLY: Final = 0.6  # of a whole run: what is resumed begins later
LONGEST_WAIT: Final = 120.0
TEXTS: Final = ("a fine film", "a dull, slow film", "never again", "")
PRELOADED: Final = (
    *("accelerate", "datasets", "jinja2", "pandas", "pyarrow.parquet", "tokenizers", "fastapi"),
    *("matplotlib.backends.backend_svg", "matplotlib.figure", "safetensors.torch", "scipy.stats"),
    *("sklearn.feature_extraction.text", "sklearn.linear_model", "sklearn.model_selection"),
    *("torch", "transformers", "transformers.models.bert.modeling_bert", "uvicorn"),
    *("finetext.runs.pipeline", "finetext.methods.probe", "finetext.training.loop"),
    *("finetext.batch.predict_file", "finetext.serving.app", "finetext.serving.protocol"),
)


def main() -> None:
    """Kill in all four parts, and print the table; status 1 if anything was lost."""
    options = arguments()
    for name in PRELOADED:
        import_module(name)
    languages_of(["a fine film"])  # keep tables that each process would make anew
    near_duplicates(["a fine film"])
    parts: dict[str, Callable[[Scene, Tally], None]] = {
        "training": training, "prediction": prediction, "replacement": replacement,
        "serving": serving,
    }  # fmt: skip
    tallies = {name: Tally() for name in options.parts}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        os.environ["FINETEXT_CACHE"], os.environ["XDG_STATE_HOME"] = f"{place}/c", f"{place}/s"
        answer_of(lambda: prepare(place))
        for name, tally in tallies.items():
            began = time.monotonic()
            chance = random.Random(f"{options.seed} {name}")
            parts[name](Scene(place, round(options.kills * SHARES[name]), chance), tally)
            tally.seconds = time.monotonic() - began
            common.say(f"{name}: {tally.kills} kills, {len(tally.lost)} losses")
    rows = [
        [name, str(of.kills), str(of.rounds), str(len(of.lost)), f"{of.seconds:.0f}"]
        for name, of in tallies.items()
    ]
    rows.append(["all", *(str(sum(int(row[n]) for row in rows)) for n in range(1, 5))])
    titles = ["part", "kills", "results compared", "lost", "seconds"]
    common.finish(options, "Kills", f"Seed {options.seed}.", [common.table(titles, rows)])
    if lost := [words for of in tallies.values() for words in of.lost]:
        raise SystemExit("\n".join(lost[:20]))


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = common.parser(__doc__)
    parser.add_argument("--kills", type=int, default=1_000, help="in all (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (0)")
    parser.add_argument("--parts", nargs="+", default=list(SHARES), choices=list(SHARES))
    return parser.parse_args()


def training(scene: Scene, tally: Tally) -> None:
    """Kill runs; compare each with one that was not killed."""
    place, log = scene.folder, scene.folder / "log"

    def run(folder: Path) -> Work:
        return lambda: train(place, folder)

    answer_of(run(place / "warm"))
    began = time.monotonic()
    answer_of(run(place / "whole"))
    seconds = time.monotonic() - began
    expected = answer_of(lambda: results(place / "whole"))
    for number in count():
        folder, is_done = place / f"run-{number}", False
        while not is_done:
            wait = scene.chance.uniform(0, EARLY * seconds)
            wait = wait if tally.kills < scene.kills else LONGEST_WAIT
            is_done = kill(forked(run(folder), log), wait, scene, tally, log)
        found = answer_of(lambda folder=folder: results(folder))
        tally.rounds += 1
        for name in sorted({*expected, *found}):
            if expected.get(name) != found.get(name):
                tally.lost.append(f"training {number}: {name} differs")
        if tally.kills >= scene.kills:
            return


def train(place: Path, folder: Path) -> None:
    """Train, or resume; figures and label errors, most of the time, are left out."""
    from finetext.report import curves, plots
    from finetext.runs import reporting

    reporting.MOST_ROWS = 0  # type: ignore[misc]
    for module in (plots, curves):
        module.svg = lambda *given: ""  # type: ignore[attr-defined]
    finetune = finetext.Finetune(
        encoder=str(place / "encoder"), epochs=2, batch_size=8, max_length=16, evaluate_every=9,
        dropout_multiplier=1.0,
    )  # fmt: skip
    recipe = finetext.Recipe(
        source=str(place / "rows.csv"),
        split=finetext.SplitSettings(cross_validate=False),
        methods={"tfidf": finetext.Tfidf(inverse_regularisation=1.0), "finetune": finetune},
        device="cpu",
        checkpoint_seconds=0.02,
        checkpoint_steps=2,
        keep_checkpoints=2,
    )
    finetext.train(recipe, out=folder, resume=True, listener=finetext.Listener())


def results(folder: Path) -> dict[str, str]:
    """What must be the same however often a run was killed, by name, as hashes."""
    run = finetext.Run.open(folder)
    found: dict[str, Any] = {"best": run.best, "unfinished": run.unfinished, "names": files(folder)}
    for entry in run.leaderboard:
        found[entry.method] = entry.metrics
        folders = [folder / entry.model, *(of.folder for of in run.checkpoints(entry.method))]
        for path in (path for model in folders for path in model.iterdir()):
            if path.name not in ("finetext.json", "README.md"):  # they tell seconds
                found[str(path.relative_to(folder))] = path.read_bytes()
        for split in ("validation", "test"):
            predictions = run.predictions(entry.method, split)
            found[f"{entry.method} on {split}"] = predictions.probabilities.tobytes()
    for name in ("splits.parquet", "recipe.toml", "data.json"):
        found[name] = (folder / name).read_bytes()
    return {name: hashlib.sha256(repr(of).encode()).hexdigest() for name, of in found.items()}


def prediction(scene: Scene, tally: Tally) -> None:
    """Kill predictions of a file; compare each table with one of an undisturbed prediction."""
    place, log = scene.folder, scene.folder / "log"

    def work(folder: Path, name: str) -> Work:
        return lambda: predict(place, folder, name)

    expected, seconds = {}, {}
    for name in OUTPUTS:
        folder = place / "undisturbed" / name
        folder.mkdir(parents=True)
        began = time.monotonic()
        answer_of(work(folder, name))
        seconds[name] = time.monotonic() - began
        expected[name] = contents(folder)
    for number in count():
        name, folder, is_done = OUTPUTS[number % len(OUTPUTS)], place / f"table-{number}", False
        folder.mkdir()
        tries = 0
        while not is_done:
            tries += 1
            is_killed = tally.kills < scene.kills and (tries < 9 or name != "out.parquet")
            wait = scene.chance.uniform(0, EARLY * seconds[name]) if is_killed else LONGEST_WAIT
            is_done = kill(forked(work(folder, name), log), wait, scene, tally, log)
        tally.rounds += 1
        if contents(folder) != expected[name]:
            tally.lost.append(f"prediction {number}: {name} differs; files: {files(folder)}")
        if tally.kills >= scene.kills:
            return


def contents(folder: Path) -> dict[str, bytes]:
    """What is in the files of a folder; nothing in its folders."""
    return {of.name: of.read_bytes() if of.is_file() else b"" for of in folder.iterdir()}


def predict(place: Path, folder: Path, name: str) -> None:
    """Predict a file, or resume; everything is done and kept a few rows at a time."""
    from finetext.batch import output
    from finetext.data import stream

    output.EVERY, stream.BYTES, stream.ROWS = 0.0, 3_000, 50  # type: ignore[misc]
    done = folder / name
    finetext.predict_file(
        place / "one", place / "in.csv", done, rejected=folder / "rejected.csv", batch_size=30,
        resume=name != "out.parquet", force=name == "out.parquet" or done.exists(), device="cpu",
        listener=finetext.Listener(),
    )  # fmt: skip


def replacement(scene: Scene, tally: Tally) -> None:
    """Kill a process that saves models over each other; look at the folder after each kill."""
    shelf, log = scene.folder / "shelf", scene.folder / "log"
    shelf.mkdir()
    expected = [answer_of(lambda of=of: predicted(scene.folder / of)) for of in ("one", "two")]
    answer_of(lambda: save(scene.folder, shelf / "model", 1))
    while tally.kills < scene.kills:
        work = partial(save, scene.folder, shelf / "model", 10**6, tally.kills % 2 == 0)
        kill(forked(work, log), scene.chance.uniform(0, 0.15), scene, tally, log)
        try:
            if answer_of(lambda: predicted(shelf / "model")) not in expected:
                tally.lost.append("replacement: the folder is neither model")
        except RuntimeError as error:
            tally.lost.append(f"replacement: {error}")
        tally.rounds += 1
    answer_of(lambda: save(scene.folder, shelf / "model", 1))
    if os.listdir(shelf) != ["model"]:
        tally.lost.append(f"replacement: {os.listdir(shelf)} is there")


def save(place: Path, folder: Path, times: int, has_exchange: bool = True) -> None:
    """Save two models in turn over a folder."""
    from finetext.storage import unfinished

    if not has_exchange:
        unfinished._renameat2 = lambda: None
    models = [finetext.load(place / name, "cpu") for name in ("one", "two")]
    for number in range(times):
        models[number % 2].save(folder)


def predicted(folder: Path) -> list[list[float]]:
    """What the model in a folder predicts, if its files have the hashes that it states."""
    from finetext.models.files import checked
    from finetext.models.folder import read_description

    found = finetext.load(folder, "cpu").predict_proba(list(TEXTS)).tolist()
    if (state := checked(folder, read_description(folder))).extra or not state.is_sound:
        raise RuntimeError(f"{state}")
    return list(found)


def serving(scene: Scene, tally: Tally) -> None:
    """Kill servers while clients ask until they are answered."""
    place, log = scene.folder, scene.folder / "log"
    expected = answer_of(lambda: predicted(place / "one"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def start() -> int:
        return forked(lambda: serve(place / "one", port), log)

    with client(place, port, expected) as answered:
        began, process = time.monotonic(), start()
        wait_for(answered, 1)
        starting = time.monotonic() - began
        while tally.kills < scene.kills:
            if scene.chance.random() < 0.5:
                wait_for(answered, answered() + 1)
                tally.rounds += 1
            kill(process, scene.chance.uniform(0, starting), scene, tally, log)
            process = start()
        wait_for(answered, answered() + 1)
        os.kill(process, signal.SIGTERM)
        if (status := ended(process, LONGEST_WAIT)) not in (0, -signal.SIGTERM):
            tally.lost.append(f"serving: SIGTERM ended it with {status}: {log.read_text()[-2000:]}")
    tally.lost += [f"serving: {line}" for line in (place / "wrong").read_text().splitlines()]


def serve(folder: Path, port: int) -> None:
    """Serve a model."""
    finetext.serve(folder, port=port, ready=lambda url: None)


@contextmanager
def client(place: Path, port: int, expected: list[list[float]]) -> Iterator[Callable[[], int]]:
    """Ask in a process of its own; yield a function that tells how many answers were right."""
    right, wrong = place / "right", place / "wrong"
    for path in (right, wrong):
        path.write_text("")
    process = forked(lambda: ask(port, expected, right, wrong), place / "client")
    try:
        yield lambda: right.stat().st_size
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def ask(port: int, expected: list[list[float]], right: Path, wrong: Path) -> None:
    """Ask again and again; write a byte for each right answer, and a line for each other."""
    body = json.dumps({"inputs": list(TEXTS)})
    names = finetext.load(right.parent / "one", "cpu").scheme.names
    with right.open("ab", buffering=0) as good, wrong.open("a", buffering=1) as bad:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_WAIT)
            with suppress(OSError, http.client.HTTPException):
                connection.request("POST", "/", body, {"content-type": "application/json"})
                answer = connection.getresponse()
                said = answer.read()
                told = [{of["label"]: of["score"] for of in row} for row in json.loads(said)]
                rows = [[row[name] for name in names] for row in told]
                if answer.status == 200 and rows == expected:
                    good.write(b".")
                else:
                    bad.write(f"{answer.status} {said[:300]!r}\n")
            connection.close()
            time.sleep(0.005)


def wait_for(answered: Callable[[], int], number: int) -> None:
    """Wait for so many right answers; raises a RuntimeError if that takes too long."""
    until = time.monotonic() + LONGEST_WAIT
    while answered() < number:
        if time.monotonic() > until:
            raise RuntimeError("the server does not answer")
        time.sleep(0.002)


if __name__ == "__main__":
    main()
