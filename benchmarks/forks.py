"""What `kills.py` kills: processes that are forks of one that has imported everything.

And what they work on: a few made-up rows, an encoder with random weights, and two small models.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import finetext

ROWS: Final = 120
ROWS_TO_PREDICT: Final = 600
Work = Callable[[], Any]


@dataclass
class Tally:
    """What happened in a part.

    Attributes:
        kills: processes that were killed at work.
        rounds: results that were reached and compared.
        lost: what was not as it should be, in words.
        seconds: how long it took.
    """

    kills: int = 0
    rounds: int = 0
    lost: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Scene:
    """The folder of all files, the kills wanted of a part, and the chance that decides on them."""

    folder: Path
    kills: int
    chance: random.Random


def forked(work: Work, log: Path) -> int:
    """Start work in a fork; return its process. What it prints, and its answer, go to `log`."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for stream in (1, 2):
            os.dup2(handle, stream)
        print(json.dumps(work()), flush=True)
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        os._exit(status)


def answer_of(work: Work) -> Any:
    """Do work in a fork, and return its answer; raises a RuntimeError with what it printed."""
    with tempfile.NamedTemporaryFile() as log:
        status = os.waitpid(forked(work, Path(log.name)), 0)[1]
        said = Path(log.name).read_text(errors="replace").strip()
        if status:
            raise RuntimeError(said[-3000:])
        return json.loads(said.splitlines()[-1])


def ended(process: int, seconds: float) -> int | None:
    """Wait for a process; return its status, or None after so many seconds."""
    until = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(0.001)


def kill(process: int, seconds: float, scene: Scene, tally: Tally, log: Path) -> bool:
    """Kill a process after so many seconds; return whether it was done before, without fault."""
    status = ended(process, seconds)
    if status is None:
        os.kill(process, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if status == -signal.SIGKILL:
        tally.kills += 1
    elif status:
        tally.lost.append(f"status {status}: {log.read_text(errors='replace')[-2000:]}")
        raise SystemExit(tally.lost[-1])
    return status == 0


def files(folder: Path) -> list[str]:
    """The names of all files and folders below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def prepare(place: Path) -> None:
    """Write rows to learn from and to predict, a toy encoder, and two models."""
    chance = random.Random(0)
    words = {"good": ["fine", "moving", "bright"], "bad": ["dull", "slow", "flat"]}
    every = ["film", "story", "cast", "end", "scene", *words["good"], *words["bad"]]
    with (place / "rows.csv").open("w") as file:
        file.write("text,label\n")
        for number in range(ROWS):
            label = chance.choice(["good", "bad"])
            text = [*chance.choices(every, k=6), *chance.choices(words[label], k=2), str(number)]
            file.write(f"{' '.join(text)},{label}\n")
    with (place / "in.csv").open("w") as file:
        file.write("nr,text\n")
        for number in range(ROWS_TO_PREDICT):
            text = "" if number % 100 == 7 else " ".join(chance.choices(every, k=8))
            file.write(f"{number},{text}\n")
    encoder(place / "encoder", every)
    rows = finetext.read(place / "rows.csv")
    for name, keep in (("one", 1.0), ("two", 0.1)):
        method = finetext.Tfidf(inverse_regularisation=keep)
        finetext.fit(rows.texts, rows.labels, method).save(place / name)


def encoder(folder: Path, words: list[str]) -> None:
    """Write a BERT with random weights, two layers and 32 wide."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = dict.fromkeys([*special, *map(str, range(10)), *words])
    tokenizer = BertTokenizerFast(vocab={piece: number for number, piece in enumerate(pieces)})
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
