"""One model through every door: are labels and probabilities the same, and how fast is each?

    FINETEXT_DATA=../shared/data python benchmarks/doors.py

  Python           predict_proba of the loaded classifier; one text: clf(text)
  command line     finetext predict MODEL FILE --all, starting and loading included
  pipeline         pipeline("text-classification", top_k=None) of transformers, batches of 32
  ONNX, int8       as Python, with the two exports
  server           POST /predict, 64 texts a request; one text: a request over an open connection
  InferenceClient  text_classification of huggingface_hub, a text a request, against that server
  page             the page of that server in Chromium: a CSV is given to it and the one with
                   predictions downloaded; one text: typed, until the bars are there

Timed: all up to the probabilities of all texts. Not timed, but for the command line: imports,
loading the model, starting the server and the browser, and a first prediction of 32 texts. One
text: median over calls with one short text. Every turn of a door is a process of its own, with a
server of its own where it has one; doors take turns. The model is MiniLM, fine-tuned with its
defaults on `--learn` rows, or the one of --model; texts are held-out rows, never test rows of
the data set.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import io
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import common
import numpy as np
import serve_clients
from common import Answer, Job

import finetext
from finetext.core.contracts import FitContext

SHORT: Final = "i feel strangely happy about this film"
TEXTS_A_REQUEST: Final = 64
CHOOSING: Final = 300
REFERENCE: Final = "Python"
PREFIX: Final = "probability:"


class Found(NamedTuple):
    """The label of each text, and (n, k) probabilities in the order of the model's labels."""

    labels: list[str]
    probabilities: Any


class Door(NamedTuple):
    """A way to the model: for many texts, and for one."""

    many: Callable[[Sequence[str]], Found]
    one: Callable[[str], Any]


def main() -> None:
    """Make the model and its exports, go through all doors by turns, and print the table."""
    if common.served(work):
        return
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        job = {
            "data": options.data, "learn": options.learn, "rows": options.rows,
            "calls": options.calls, "slow_calls": options.slow_calls, "folder": scratch,
            "model": options.model, "threads": options.threads,
        }  # fmt: skip
        exports = common.alone(__file__, job | {"door": "prepare"}, options.threads)
        turns: list[dict[str, Answer]] = []
        for number in range(options.rounds):
            turns.append({})
            for name in dict.fromkeys((REFERENCE, *options.doors)):
                answer = common.alone(__file__, job | {"door": name}, options.threads)
                answer["probabilities"] = np.load(Path(scratch) / "probabilities.npy")
                turns[-1][name] = answer
                common.say(f"turn {number + 1}, {name}: {answer['rate']:.1f} rows/s")
    rows = len(turns[0][REFERENCE]["labels"])
    made = f"MiniLM on {options.learn:,} rows" if options.model is None else options.model
    what = (
        f"{options.data}, {made}: {rows:,} held-out texts, {options.rounds} turns; figures "
        f"as median [least, greatest]; one text: median of {options.calls} calls "
        f"({options.slow_calls} of the command line and the page). "
        f"{common.threads_in_words(options.threads)}"
    )
    tables = [results(turns), comparison(exports)]
    common.finish(options, "One model through every door", what, tables)


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = common.parser(__doc__)
    parser.add_argument("--model", help="a folder of a fine-tuned transformer")
    parser.add_argument("--data", default="films", choices=list(common.SOURCES))
    parser.add_argument("--learn", type=int, default=1_000, help="rows to train on (1000)")
    parser.add_argument("--rows", type=int, default=2_000, help="texts to predict (2000)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each door (3)")
    parser.add_argument("--calls", type=int, default=200, help="with one short text (200)")
    parser.add_argument("--slow-calls", type=int, default=10, help="of command line and page (10)")
    parser.add_argument("--doors", nargs="+", default=list(DOORS), choices=list(DOORS))
    return parser.parse_args()


def results(turns: list[dict[str, Answer]]) -> list[str]:
    """The table of the doors."""
    titles = ["door", "rows/s", f"times {REFERENCE}", "one text, ms"]
    titles += [f"labels as {REFERENCE}", "largest difference", "accuracy [95%]"]
    rows = []
    for name in turns[0]:
        answers = [turn[name] for turn in turns]
        pairs = [(turn[name], turn[REFERENCE]) for turn in turns]
        same = [np.mean(np.array(a["labels"]) == np.array(b["labels"])) for a, b in pairs]
        apart = [np.abs(a["probabilities"] - b["probabilities"]).max() for a, b in pairs]
        rows.append(
            [
                name,
                common.spread([answer["rate"] for answer in answers]),
                common.spread([a["rate"] / b["rate"] for a, b in pairs], 2),
                common.spread([answer["one_text_ms"] for answer in answers]),
                f"{min(same):.2%}",
                f"{max(apart):.1e}",
                accuracy(answers[0]),
            ]
        )
    return common.table(titles, rows)


def accuracy(answer: Answer) -> str:
    """Accuracy with its interval (Wilson 1927)."""
    from scipy.stats import binomtest

    right, n = answer["right"], len(answer["labels"])
    low, high = binomtest(right, n).proportion_ci(method="wilson")
    return f"{right / n:.4f} [{low:.3f}, {high:.3f}]"


def comparison(exports: Answer) -> list[str]:
    """What the exports said of themselves."""
    rows = [[name, f"{of['agreement']:.2%}", f"{of['bytes'] / 1e6:.1f}", f"{of['seconds']:.0f}"]
            for name, of in exports.items()]  # fmt: skip
    return common.table(
        ["export", "agreement, as the command says", "MB", "seconds to export"], rows
    )


def work(job: Job) -> Answer:
    """Make what the doors lead to, or go through one of them."""
    if job["door"] == "prepare":
        return prepare(job)
    held_out = rows_of(job).held_out
    texts = list(held_out.texts)
    calls = job["slow_calls" if job["door"] in SLOW else "calls"]
    with DOORS[job["door"]](job) as door:
        door.many(texts[:32])
        started = time.perf_counter()
        found = door.many(texts)
        seconds = time.perf_counter() - started
        times = [timed(door.one) for _ in range(calls)]
    np.save(Path(job["folder"]) / "probabilities.npy", found.probabilities)
    truth = [held_out.scheme.names[code] for code in held_out.targets]
    return {
        "rate": len(texts) / seconds,
        "one_text_ms": 1000 * median(times),
        "labels": found.labels,
        "right": int(np.sum(np.array(found.labels) == np.array(truth))),
    }


def timed(one: Callable[[str], Any]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    one(SHORT)
    return time.perf_counter() - started


def rows_of(job: Job) -> common.Rows:
    """The rows to learn from, to choose on, and to predict."""
    return common.rows_of(job["data"], job["learn"], CHOOSING, job["rows"])


def model_of(job: Job, name: str = "model") -> str:
    """The folder of the model, or of one of its exports."""
    return job["model"] if job["model"] and name == "model" else f"{job['folder']}/{name}"


def prepare(job: Job) -> Answer:
    """Train the model unless there is one, and export it twice."""
    rows = rows_of(job)
    if job["model"] is None:
        context = FitContext(device="cpu", metric="accuracy", say=common.say)
        finetext.Finetune().fit(rows.train, rows.validation, context).save(Path(model_of(job)))
    answer = {}
    for name, settings in (("ONNX", {}), ("int8", {"quantize": "int8"})):
        started = time.perf_counter()
        made = finetext.export(
            model_of(job), folder=model_of(job, name), data=rows.validation, settings=settings,
            terms=finetext.ExportTerms(least_agreement=0),
        )  # fmt: skip
        assert made.compared is not None
        answer[name] = {
            "agreement": made.compared.agreement,
            "bytes": sum(path.stat().st_size for path in made.folder.rglob("*") if path.is_file()),
            "seconds": time.perf_counter() - started,
        }
    return answer


def in_columns(answers: Sequence[Sequence[dict[str, Any]]], names: Sequence[str]) -> Found:
    """Lists of {"label", "score"}, best first, as labels and columns."""
    scores = [{of["label"]: of["score"] for of in answer} for answer in answers]
    matrix = np.array([[row[name] for name in names] for row in scores])
    return Found([answer[0]["label"] for answer in answers], matrix)


def in_file(text: str, names: Sequence[str]) -> Found:
    """A CSV with predictions as labels and columns."""
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    matrix = np.array([[float(row[f"{PREFIX}{name}"]) for name in names] for row in rows])
    return Found([row["prediction"] for row in rows], matrix)


def as_file(texts: Sequence[str]) -> str:
    """Texts as a CSV of one column."""
    file = io.StringIO(newline="")
    csv.writer(file).writerows([["text"], *([text] for text in texts)])
    return file.getvalue()


@contextmanager
def classifier(job: Job, name: str = "model") -> Iterator[Door]:
    """The model, or an export, in Python."""
    loaded = finetext.load(model_of(job, name), device="cpu")

    def many(texts: Sequence[str]) -> Found:
        likely = loaded.predict_proba(texts)
        return Found([loaded.scheme.names[code] for code in likely.argmax(axis=1)], likely)

    yield Door(many, loaded)


@contextmanager
def command_line(job: Job) -> Iterator[Door]:
    """`finetext predict`, a process for every call."""
    names = rows_of(job).train.scheme.names
    given, made = (Path(job["folder"]) / name for name in ("texts.csv", "predicted.csv"))
    command = [sys.executable, "-m", "finetext", "predict", model_of(job), "--device", "cpu"]

    def call(*words: str) -> None:
        subprocess.run([*command, *words], check=True, capture_output=True)

    def many(texts: Sequence[str]) -> Found:
        given.write_text(as_file(texts), encoding="utf-8", newline="")
        made.unlink(missing_ok=True)
        call(str(given), "--all", "--out", str(made))
        return in_file(made.read_text(encoding="utf-8"), names)

    yield Door(many, call)


@contextmanager
def pipeline(job: Job) -> Iterator[Door]:
    """The pipeline of transformers."""
    from transformers import pipeline

    pipe = pipeline("text-classification", model=model_of(job), top_k=None, device="cpu")
    names = rows_of(job).train.scheme.names

    def many(texts: Sequence[str]) -> Found:
        return in_columns(pipe(list(texts), truncation=True, batch_size=32), names)

    yield Door(many, lambda text: pipe(text, truncation=True))


@contextmanager
def server(job: Job) -> Iterator[Door]:
    """The server, asked in batches."""
    names = rows_of(job).train.scheme.names
    with serve_clients.server(model_of(job), job["threads"], "--port", 0, "--device", "cpu") as at:
        connection = http.client.HTTPConnection(at.host, at.port)

        def ask(given: str | list[str]) -> Any:
            body = json.dumps({"inputs": given, "parameters": {"top_k": len(names)}})
            connection.request("POST", "/predict", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise SystemExit(f"the server answers {answer.status}: {answer.read()!r}")
            return json.load(answer)

        def many(texts: Sequence[str]) -> Found:
            starts = range(0, len(texts), TEXTS_A_REQUEST)
            parts = [ask(list(texts[start : start + TEXTS_A_REQUEST])) for start in starts]
            return in_columns([row for part in parts for row in part], names)

        yield Door(many, ask)


@contextmanager
def inference_client(job: Job) -> Iterator[Door]:
    """The client of Hugging Face."""
    from huggingface_hub import InferenceClient, constants

    constants.HF_HUB_OFFLINE = False  # the server is on this machine
    names = rows_of(job).train.scheme.names
    with serve_clients.server(model_of(job), job["threads"], "--port", 0, "--device", "cpu") as at:
        client = InferenceClient(f"http://{at.host}:{at.port}")

        def many(texts: Sequence[str]) -> Found:
            found = [client.text_classification(text, top_k=len(names)) for text in texts]
            return in_columns([[dict(of) for of in answer] for answer in found], names)

        yield Door(many, client.text_classification)


@contextmanager
def page(job: Job) -> Iterator[Door]:
    """The page of the server, in Chromium."""
    from playwright.sync_api import sync_playwright

    names = rows_of(job).train.scheme.names
    with (
        serve_clients.server(model_of(job), job["threads"], "--port", 0, "--device", "cpu") as at,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        opened = browser.new_page()
        opened.set_default_timeout(600_000)

        def many(texts: Sequence[str]) -> Found:
            opened.goto(f"http://{at.host}:{at.port}/")
            opened.get_by_role("tab", name="Table").click()
            body = as_file(texts).encode()
            file = {"name": "texts.csv", "mimeType": "text/csv", "buffer": body}
            opened.locator("#file").set_input_files(file)
            opened.get_by_role("button", name=f"Predict {len(texts):,} rows").click()
            button = opened.get_by_role("button", name="Download", exact=True)
            button.wait_for()
            with opened.expect_download() as waiting:
                button.click()
            return in_file(Path(waiting.value.path()).read_text(encoding="utf-8-sig"), names)

        def one(text: str) -> None:
            opened.goto(f"http://{at.host}:{at.port}/")
            opened.get_by_label("Your text").fill(text)
            opened.get_by_role("button", name="Classify").click()
            opened.locator("#text-result").wait_for()

        yield Door(many, one)
        browser.close()


DOORS: Final[dict[str, Callable[[Job], Any]]] = {
    REFERENCE: classifier,
    "command line": command_line,
    "pipeline": pipeline,
    "ONNX": lambda job: classifier(job, "ONNX"),
    "int8": lambda job: classifier(job, "int8"),
    "server": server,
    "InferenceClient": inference_client,
    "page": page,
}
SLOW: Final = ("command line", "page")


if __name__ == "__main__":
    main()
