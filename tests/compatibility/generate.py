"""Record what finetext does at commit 747c6c8, as fixtures for the tests beside this file.

    git worktree add --detach /tmp/747c6c8 747c6c8
    PYTHONPATH=/tmp/747c6c8/src python tests/compatibility/generate.py

Writes archives of run folders, model folders and interrupted work into `747c6c8/`, with
`expected.json` (what `golden.py` observes of finished work, and of the same work when nothing
interrupted it) and `machine.json`. Only that commit can record: later ones must read what it wrote.
Everything is made in one folder with a neutral name, since recorded files hold absolute paths.
Takes about two minutes.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import time
import zipfile
from collections.abc import Callable
from functools import partial, partialmethod
from pathlib import Path
from string import ascii_lowercase
from typing import Any, Final

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["FINETEXT_CACHE"] = "/dev/null/cache"

import golden
from golden import PLACE, command

HERE: Final = Path(PLACE)
PHRASES: Final = {
    "sport": ["the team won the match", "a late goal in the final game", "the coach and her team"],
    "money": ["the bank raised its rates", "shares fell on the market", "a loan from the bank"],
    "food": ["soup with bread and salt", "the cook baked a cake", "a recipe for fresh bread"],
}
WORDS: Final = ("today", "once", "again", "at", "last", "as", "ever", "for", "all", "to", "see")
QUICK: Final = ("--set", "tfidf.inverse_regularisation=1.0", "--set", "tfidf.longest_ngram=1")
ADAPT: Final = (
    "--encoder", HERE / "encoder", "--epochs", 6, "--batch-size", 4, "--learning-rate", "0.01",
    "--max-length", 24, "--precision", "fp32", "--device", "cpu",
    "--set", "adapt.dropout_multiplier=1.0",
)  # fmt: skip
PRETRAIN: Final = (
    "--preset", "awd-lstm-small", "--device", "cpu",
    "--set", "pretrain.width=12", "--set", "pretrain.feed_forward=16",
    "--set", "pretrain.layers=2", "--epochs", 6, "--batch-size", 4, "--precision", "fp32",
)  # fmt: skip
CURVE: Final = (
    "--device",
    "cpu",
    "--methods",
    "tfidf",
    *QUICK,
    "--sizes",
    "12,24,48,80",
    "--seeds",
    2,
)
LARGE_ROWS: Final = 2_600
"""Rows of the unfinished prediction; 2,000 of them are done."""


def main() -> None:
    """Record everything."""
    HERE.mkdir()
    golden.FOLDER.mkdir(exist_ok=True)
    write_tables()
    write_encoder(HERE / "encoder")
    expected = {**finished(), **interrupted()}
    write_json("expected", expected)
    write_json("machine", golden.machine())
    shutil.rmtree(HERE)


def write_json(name: str, values: Any) -> None:
    """Write a JSON file of the fixtures."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    (golden.FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def write_tables() -> None:
    """Write the data files."""
    chance = random.Random(0)
    for name, rows in (("topics", 120), ("new", 30)):
        lines = ["id,text,label,author,tags"]
        for number in range(rows):
            label = chance.choice(list(PHRASES))
            said = label if chance.random() < 0.8 else chance.choice(list(PHRASES))
            other = chance.choice(list(PHRASES))
            text = " ".join([chance.choice(PHRASES[said]), *chance.choices(WORDS, k=2)])
            more = f" {chance.choice(PHRASES[other])}" if chance.random() < 0.5 else ""
            tags = ";".join(sorted({said, other})) if more else said
            lines.append(f"{name}{number},{text}{more},{label},author {number // 4},{tags}")
        (HERE / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    phrases = [phrase for of in PHRASES.values() for phrase in of]
    corpus = {f"{chance.choice(phrases)} {' '.join(chance.choices(WORDS, k=3))}" for _ in range(60)}
    (HERE / "corpus.csv").write_text("\n".join(["text", *sorted(corpus)]) + "\n", encoding="utf-8")
    large = [f"{chance.choice(phrases)} {chance.choice(WORDS)}" for _ in range(LARGE_ROWS)]
    (HERE / "large.csv").write_text("\n".join(["text", *large]) + "\n", encoding="utf-8")
    os.utime(HERE / "large.csv", ns=(golden.CHANGED_AT, golden.CHANGED_AT))


def write_encoder(folder: Path) -> None:
    """Write a BERT with random weights: two layers, 16 wide, 32 positions."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = sorted({word for of in PHRASES.values() for text in of for word in text.split()})
    pieces = [*special, *ascii_lowercase, *(f"##{letter}" for letter in ascii_lowercase), *words]
    tokenizer = BertTokenizerFast(vocab={p: i for i, p in enumerate(dict.fromkeys(pieces))})
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=32, initializer_range=0.3,
        )
    )  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def archive(name: str, *entries: str) -> None:
    """Pack files and folders of the place into an archive; pages that a command can write again,
    and locks, are left out."""
    with zipfile.ZipFile(golden.FOLDER / f"{name}.zip", "w", zipfile.ZIP_DEFLATED, True, 9) as file:
        for entry in entries:
            path = HERE / entry
            for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if each.is_file() and each.name not in ("report.html", ".lock"):
                    file.write(each, each.relative_to(HERE))


def done(*words: object) -> None:
    """Run a command that must succeed."""
    told = command(*words)
    assert told.status == 0, told


def finetune(encoder: str = "encoder", **more: Any) -> Any:
    """Return the fine-tuning of the fixtures."""
    import finetext

    how = {"epochs": 8, "batch_size": 8, "learning_rate": 5e-3, "max_length": 24, **more}
    return finetext.Finetune(encoder=str(HERE / encoder), precision="fp32", **how)


def methods() -> list[Any]:
    """Return the methods of the finished run."""
    import finetext

    tfidf = finetext.Tfidf(inverse_regularisation=1.0, longest_ngram=1)
    probe = finetext.Probe(
        encoder=str(HERE / "encoder"), inverse_regularisation=1.0, precision="fp32"
    )
    return [tfidf, probe, finetune()]


def finished() -> dict[str, Any]:
    """Make and pack finished work, and return what is observed of it."""
    import torch

    import finetext
    from finetext import Listener, ReadSettings

    run = HERE / "run"
    topics = str(HERE / "topics.csv")
    recipe = finetext.Recipe(
        source=topics, read=ReadSettings(label="label"), device="cpu", methods=named(methods())
    )
    finetext.train(recipe, out=run, listener=Listener())
    for verb in ("errors", "slices"):
        done(verb, run)
    done("explain", run, "--classes")
    tags = ReadSettings(label="tags", group="author", multilabel=True, label_delimiter=";")
    several = finetext.Recipe(
        source=topics, read=tags, device="cpu", methods=named([methods()[0], finetune(epochs=3)])
    )
    finetext.train(several, out=HERE / "several", listener=Listener())
    exports = ("export", run / "finetune", "--force", "--format")
    save = partial(without_traces, real=torch.onnx.ONNXProgram.save)
    torch.onnx.ONNXProgram.save = partialmethod(save)
    done(*exports, "onnx", "--out", HERE / "onnx")
    done(*exports, "static", "--dimensions", 8, "--out", HERE / "static")
    rules = ("--aim", "f1", "--abstain", "coverage=0.7", "--coverage", "0.9")
    done("decide", run / "finetune", *rules, "--out", HERE / "decided")
    done("pretrain", HERE / "corpus.csv", *PRETRAIN, "--out", HERE / "words")
    with_words = finetext.Recipe(
        source=topics, read=ReadSettings(label="label"), device="cpu",
        methods=named([finetune("words", epochs=8, max_length=None)]),
    )  # fmt: skip
    grown = finetext.train(with_words, out=HERE / "with-words", listener=Listener())
    shutil.copytree(grown.folder / "finetune" / "model", HERE / "awd-lstm")
    archive("run", "topics.csv", "new.csv", "encoder", "run")
    archive("several", "several")
    archive("exports", "onnx", "static", "decided", "new.csv")
    archive("awd-lstm", "awd-lstm")
    return observed()


def without_traces(program: Any, *given: Any, real: Callable[..., None]) -> None:
    """Save an ONNX program without the traces that name source files of this machine."""
    for graph in [program.model.graph, *program.model.functions.values()]:
        for node in graph:
            node.metadata_props.clear()
    real(program, *given)


def named(of: list[Any]) -> dict[str, Any]:
    """Return methods by their names, the baseline first."""
    import finetext

    return {"majority": finetext.Majority()} | {method.name: method for method in of}


def observed() -> dict[str, Any]:
    """Return the observations of finished work, each on a fresh copy as the tests make them."""
    found = {}
    for name, (kind, observe) in golden.OBSERVED.items():
        place = HERE / "copy"
        golden.unpacked(kind, place)
        with golden.working_in(place):
            found[name] = json.loads(json.dumps(observe(place)))
        shutil.rmtree(place)
    return found


# Interrupted work


def killed(work: Callable[[], None]) -> None:
    """Do work in a process of its own, which must kill itself."""
    process = multiprocessing.get_context("spawn").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL, process.exitcode


def dying_after(times: int, stage: str, pause: float = 0.0) -> Any:
    """Return a listener that kills this process when it has heard this often of a stage.

    A pause in seconds each time makes checkpoints, which may take a fiftieth of the time, due.
    """
    from finetext import Listener

    heard = 0

    def count(event: Any) -> None:
        nonlocal heard
        heard += event.stage.startswith(stage)
        time.sleep(pause)
        if heard >= times:
            os.kill(os.getpid(), signal.SIGKILL)

    return Listener(progress=count)


def interrupted() -> dict[str, Any]:
    """Make, pack and finish interrupted work, and return what is observed of its whole twin."""
    expected: dict[str, Any] = {}
    train(HERE / "whole", None)
    killed(kill_train)
    archive("unfinished-run", "topics.csv", "encoder", "unfinished")
    expected["resumed: train"] = golden.trained(HERE / "whole")
    for verb, how in (("adapt", ADAPT), ("pretrain", PRETRAIN)):
        done(verb, HERE / "corpus.csv", *how, "--out", HERE / f"{verb}-whole")
        killed(kill_adapt if verb == "adapt" else kill_pretrain)
        archive(f"unfinished-{verb}", "corpus.csv", "encoder", verb)
        expected[f"resumed: {verb}"] = golden.grown(HERE / f"{verb}-whole")
        expected[f"words: {verb}"] = [str(word) for word in how]
    done("curve", HERE / "topics.csv", "--label", "label", *CURVE, "--out", HERE / "curve-whole")
    killed(kill_curve)
    archive("unfinished-curve", "topics.csv", "curve")
    expected["resumed: curve"] = golden.curve(HERE / "curve-whole")
    expected["words: curve"] = ["--label", "label", *map(str, CURVE)]
    shutil.copytree(HERE / "run" / "tfidf" / "model", HERE / "model")
    predict = ("predict", HERE / "model", HERE / "large.csv", "--top", 1)
    done(*predict, "--out", HERE / "whole.csv")
    killed(kill_predict)
    archive("unfinished-predict", "large.csv", "model", ".out.csv.part", ".out.csv.part.json")
    rows = (HERE / "whole.csv").read_text(encoding="utf-8").splitlines()
    expected["last rows: predict"] = rows[-100:]
    expected["resumed: predict"] = golden.file_hash(HERE / "whole.csv")
    return expected


def train(out: Path, listener: Any) -> None:
    """Train the run that is to be interrupted."""
    import finetext

    recipe = finetext.Recipe(
        source=str(HERE / "topics.csv"), read=finetext.ReadSettings(label="label"), device="cpu",
        methods=named([methods()[0], finetune(dropout_multiplier=1.0, evaluate_every=7)]),
        checkpoint_seconds=1e-6, checkpoint_steps=2, seed=5,
    )  # fmt: skip
    finetext.train(recipe, out=out, listener=listener or finetext.Listener())


def kill_train() -> None:
    """Train, and die in the middle of fine-tuning."""
    train(HERE / "unfinished", dying_after(30, "finetune"))


def kill_adapt() -> None:
    """Adapt, and die in the middle."""
    import finetext

    settings = finetext.Adaptation(
        encoder=str(HERE / "encoder"), epochs=6, batch_size=4, learning_rate=0.01, max_length=24,
        precision="fp32", dropout_multiplier=1.0,
    )  # fmt: skip
    how = {"checkpoint_seconds": 1e-6, "device": "cpu", "listener": dying_after(20, "adapt", 0.3)}
    finetext.adapt(HERE / "corpus.csv", HERE / "adapt", settings, **how)


def kill_pretrain() -> None:
    """Pretrain, and die in the middle."""
    import finetext

    settings = finetext.Pretraining(
        preset="awd-lstm-small", width=12, feed_forward=16, layers=2, epochs=6, batch_size=4,
        precision="fp32",
    )  # fmt: skip
    how = {"checkpoint_seconds": 1e-6, "device": "cpu", "listener": dying_after(7, "pretrain", 0.3)}
    finetext.pretrain(HERE / "corpus.csv", HERE / "pretrain", settings, **how)


def kill_curve() -> None:
    """Make a learning curve, and die when nine of 16 trainings are done."""
    import finetext

    heard = 0

    def count(line: str) -> None:
        nonlocal heard
        heard += " of 16" in line
        if heard == 9:
            os.kill(os.getpid(), signal.SIGKILL)

    tfidf = finetext.Tfidf(inverse_regularisation=1.0, longest_ngram=1)
    finetext.learning_curve(
        HERE / "topics.csv", tfidf, out=HERE / "curve",
        read=finetext.ReadSettings(label="label"),
        settings=finetext.CurveSettings(sizes=(12, 24, 48, 80), trainings=2),
        listener=finetext.Listener(say=count),
    )  # fmt: skip


def kill_predict() -> None:
    """Predict a file, and die before the second piece of 2,000 rows; no clock is waited for."""
    from finetext.prediction import output, tables

    output.EVERY = 0.0  # type: ignore[misc]
    real, pieces = tables.predict_table, 0

    def counted(*given: Any) -> Any:
        nonlocal pieces
        pieces += 1
        if pieces == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given)

    tables.predict_table = counted
    command("predict", HERE / "model", HERE / "large.csv", "--top", 1, "--out", HERE / "out.csv")


if __name__ == "__main__":
    main()
