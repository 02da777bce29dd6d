"""How good is a classifier after how many seconds? finetext against its peers.

    python benchmarks/minutes.py --set-up-peers
    FINETEXT_DATA=../shared/data python benchmarks/minutes.py --sizes 100 500 --seeds 1

Contenders, which take turns on the same rows, each turn in a process of its own:
  trainer       transformers.Trainer with its defaults: fp32, batches of 16, 5e-5, 3 epochs
  trainer-best  Trainer at its best: batches grouped by length, fused AdamW, bf16 where the
                processor has it, batch size and learning rate chosen on a part of the rows
  setfit, model2vec, fasttext, tfidf+lr, frozen+lr
                as their documentation shows them; minutes_peers.py has their options
  finetext-METHOD
                `finetext.fit` with that method; a blend shows in what finetext chooses alone
  finetext      `finetext.train` as it chooses; with --minutes 5, finetext-5min as well
The encoder of all is MiniLM, from the same folder.

What counts as seconds: everything from the start of the process until the model could predict:
imports, reading the rows from a file, loading the encoder, tokenizing, distilling, choosing
options, training, validation and calibration. The prediction of the evaluation rows does not
count; "in all" has it. finetext starts with an empty cache in every turn. It is given the rows
its peers learn from, and takes its validation rows from them. `finetext` has a point after each
method of its ladder, the best so far by its validation rows, and one at the end with the report
written. Imports of every library are in the page cache before the first turn.

Rows (minutes_data.py): training rows are drawn anew for each seed, evaluation rows are fixed.
"--split validation" (the default, for development) evaluates on rows cut from the training part
of a set, "--split test" on its test part. Score: accuracy; macro F1 where a row can have several
labels. All answers go into FOLDER/minutes.jsonl, predictions into FOLDER/minutes/; the same
command resumes. Answers of finetext are kept by its version. Small cells come first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import common
import minutes_data
import minutes_finetext
import minutes_report
from common import Answer, Job, JobFailed, Ledger
from minutes_report import Cell
from record import commit

from finetext.core import registry
from finetext.core.wording import counted
from finetext.encoders.catalogue import resolve

HERE: Final = Path(__file__).parent
PEERS_FOLDER: Final = HERE.parent / ".peers"
PEERS: Final = (
    "trainer", "trainer-best", "setfit", "model2vec", "fasttext", "tfidf+lr", "frozen+lr",
)  # fmt: skip
SIZES: Final = (100, 500, 2_000, 8_000)
LEFT_OUT: Final = {("setfit", "bbc"), ("setfit", "imdb")}
"""250 steps of SetFit on such long texts are estimated at 40 minutes; if named, it runs."""


def main() -> None:
    """Measure what the ledger does not have, cell by cell, and report."""
    options = arguments()
    if options.set_up_peers:
        set_up_peers()
        return
    ledger = Ledger("minutes", options.ledgers)
    if not options.report:
        measure(options, ledger)
    minutes_report.report(options, ledger)


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    contenders = (*PEERS, *own_methods(), minutes_finetext.AS_IT_CHOOSES)
    sets = list(minutes_data.SETS)
    parser = common.parser(__doc__)
    parser.add_argument(
        "--set-up-peers", action="store_true", help="make .peers with the peers' libraries, and end"
    )
    parser.add_argument("--sets", nargs="+", default=sets, choices=sets, metavar="SET")
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), metavar="ROWS")
    parser.add_argument("--seeds", type=int, default=3, help="how many (3)")
    parser.add_argument(
        "--contenders",
        nargs="+",
        choices=contenders,
        metavar="NAME",
        help=f"({' '.join(contenders)})",
    )
    parser.add_argument(
        "--minutes", nargs="+", type=float, default=[], help="contenders: finetext so long"
    )
    parser.add_argument("--split", default="validation", choices=["validation", "test"])
    parser.add_argument(
        "--evaluated", type=int, default=minutes_data.MOST_EVALUATED, help="rows at most (2000)"
    )
    parser.add_argument(
        "--longest", type=float, default=3600, help="seconds after which a turn is ended (3600)"
    )
    parser.add_argument(
        "--version", help="name for this state of finetext in the ledger (its commit)"
    )
    parser.add_argument("--retry", action="store_true", help="repeat turns that failed")
    parser.add_argument("--report", action="store_true", help="only report what the ledger has")
    parser.add_argument(
        "--clock", default="seconds", choices=["seconds", "cpu"],
        help="of the report; cpu, the seconds of the processor, where other programs are busy",
    )  # fmt: skip
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="for the plots (below --ledgers)"
    )
    options = parser.parse_args()
    options.left_out = set() if options.contenders else LEFT_OUT
    options.contenders = options.contenders or list(contenders)
    options.contenders += [f"finetext-{number:g}min" for number in options.minutes]
    return options


def own_methods() -> list[str]:
    """The methods that learn on their own, by the names of their contenders; no blend, no LLM."""
    names = (name for name in registry.names("methods") if name != "majority")
    classes = {name: registry.load("methods", name) for name in names}
    others = [name for name, of in classes.items() if of.combines or of.pays_per_text]
    return [f"finetext-{name}" for name in classes if name not in others]


def cells(options: argparse.Namespace) -> Iterator[Cell]:
    """The cells in the order of what they tell for their cost: small ones, then further seeds."""
    pairs = [(size, seed) for size in range(len(options.sizes)) for seed in range(options.seeds)]
    for size, seed in sorted(pairs, key=lambda pair: (sum(pair), pair[0])):
        for name in options.sets:
            yield Cell(name, options.sizes[size], seed)


def measure(options: argparse.Namespace, ledger: Ledger) -> None:
    """Let all contenders take their turns in every cell."""
    warm = set[str]()
    version = options.version or commit()
    for cell in cells(options):
        rows = minutes_data.rows_of(*cell, options.split, options.evaluated)
        if rows is None:
            continue
        minutes_report.keep_truth(options, cell.name, rows)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.json"
            path.write_text(json.dumps(rows))
            majority(options, ledger, cell, rows)
            for name in options.contenders:
                if (name, cell.name) in options.left_out:
                    continue
                job = job_of(options, cell, name, version if name not in PEERS else None)

                def work(job: Job = job, path: Path = path, rows: Any = rows) -> Answer:
                    return turn(options, job, path, rows, warm)

                again = (lambda answer: "error" in answer) if options.retry else None
                ledger.get(job, work, again)


def job_of(options: argparse.Namespace, cell: Cell, name: str, version: str | None) -> Job:
    """What identifies a turn in the ledger; the version is that of finetext, for its own turns."""
    job = cell._asdict() | {
        "split": options.split, "evaluated": options.evaluated, "threads": options.threads,
        "contender": name,
    }  # fmt: skip
    return job | ({"version": version} if version else {})


def majority(options: argparse.Namespace, ledger: Ledger, cell: Cell, rows: dict[str, Any]) -> None:
    """Put the most frequent label for every row into the ledger: what there is before a model."""
    labels = [one for of in rows["labels"] for one in (of if rows["multilabel"] else [of])]
    [(label, _)] = Counter(labels).most_common(1)
    guess = [label] if rows["multilabel"] else label
    point = {"name": "majority", "seconds": 0.0, "cpu": 0.0}
    points = [point | {"predictions": [guess] * len(rows["truth"])}]
    job = job_of(options, cell, "majority", None)
    answer = {"points": points, "in_all": 0.0, "notes": {}}
    ledger.get(job, lambda: minutes_report.scored(options, job, rows, answer))


def turn(
    options: argparse.Namespace, job: Job, path: Path, rows: dict[str, Any], warm: set[str]
) -> Answer:
    """The answer of a contender, scored; its predictions are kept beside the ledger."""
    task = {
        "contender": job["contender"], "seed": job["seed"], "rows": str(path),
        "encoder": resolve("minilm").path, "cpu": options.device != "cuda",
    }  # fmt: skip
    is_peer = job["contender"] in PEERS
    side = "peers" if is_peer else "finetext"
    if side not in warm:
        warm.add(side)
        in_own_process(options, task | {"contender": "imports"}, is_peer)
    where = f"{job['name']}, {counted(job['size'], 'row')}, seed {job['seed']}, {job['contender']}"
    try:
        answer = in_own_process(options, task, is_peer)
    except JobFailed as failure:
        common.say(f"{where}: failed: {str(failure).strip().splitlines()[-1]}")
        return {"error": str(failure)[-1000:]}
    answer = minutes_report.scored(options, job, rows, answer)
    last = answer["points"][-1]
    common.say(
        f"{where}: accuracy {last['accuracy']:.3f}, macro F1 {last['macro_f1']:.3f} after "
        f"{last['seconds']:.1f} s, {answer['in_all']:.1f} s in all"
    )
    return answer


def in_own_process(options: argparse.Namespace, task: Job, is_peer: bool) -> Answer:
    """Start a contender with an empty cache; its clock starts with it."""
    script = "minutes_peers.py" if is_peer else "minutes_finetext.py"
    python = str(PEERS_FOLDER / "bin/python") if is_peer else sys.executable
    if is_peer and not Path(python).exists():
        raise SystemExit("the peers are not set up: python benchmarks/minutes.py --set-up-peers")
    with tempfile.TemporaryDirectory() as cache:
        more = {"FINETEXT_CACHE": f"{cache}/finetext", "HF_DATASETS_CACHE": f"{cache}/datasets"}
        if is_peer:
            more["PYTHONPATH"] = ""
        return common.answer_of(
            str(HERE / script), task | {"started": time.time()}, options.threads, python,
            options.longest, more,
        )  # fmt: skip


def set_up_peers() -> None:
    """Make `.peers`, with torch without CUDA where an index has it; PyPI is all it needs."""
    root = HERE.parent
    subprocess.run([sys.executable, "-m", "venv", str(PEERS_FOLDER)], check=True)
    install = [str(PEERS_FOLDER / "bin/python"), "-m", "pip", "install"]
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    without_cuda = ["--no-deps", "--require-hashes", "-r", str(root / "requirements-cpu.lock")]
    if subprocess.run([*install, *without_cuda], env=environment).returncode:
        common.say("no index has the CPU build of torch: PyPI's is taken")
    versions = ["-c", str(root / "constraints.txt"), "-r", str(HERE / "peers.txt")]
    subprocess.run([*install, *versions], env=environment, check=True)


if __name__ == "__main__":
    main()
