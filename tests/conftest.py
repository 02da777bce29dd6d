"""Fixtures shared by all tests."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import settings

from finetext.core.types import Dataset, LabelScheme

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# The models of the tests are so small that threads only wait for each other. Read when torch loads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Started in the background of a script, a process ignores Ctrl-C, and so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test depends on time: on a busy machine one example can take a second.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

TOPICS = {
    "sport": ["the team won the match", "a late goal in the final game", "the coach and her team"],
    "money": ["the bank raised its rates", "shares fell on the market", "a loan from the bank"],
    "food": ["soup with bread and salt", "the cook baked a cake", "a recipe for fresh bread"],
}

TELLING = {"good": ["fine", "moving", "warm", "clever"], "bad": ["dull", "empty", "cold", "flat"]}
PLAIN = [f"word{number}" for number in range(40)]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets, from the environment variable FINETEXT_DATA."""
    folder = os.environ.get("FINETEXT_DATA")
    if not folder:
        pytest.skip("FINETEXT_DATA is not set: real data sets are not at hand")
    path = Path(folder).resolve()
    assert path.is_dir(), f"FINETEXT_DATA={folder} is not a folder"
    return path


@pytest.fixture(scope="session", autouse=True)
def fp32() -> Iterator[None]:
    """Predict in fp32 on every processor: in bf16 most comparisons need other tolerances."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finetext.training.precision._processor_has_bf16", lambda: False)
        yield


@pytest.fixture(scope="session", autouse=True)
def from_an_index() -> Iterator[None]:
    """Let messages name the commands of pip for a release, however finetext was installed here."""
    from finetext.core.installation import Installation

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finetext.core.installation.installation", Installation)
        yield


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Count accesses to test sets in a folder of the tests, not in that of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def without_syncing() -> Iterator[None]:
    """Leave files to the cache of the system, which outlives a killed process: a third of a run."""

    def checked(handle: int) -> None:
        os.fstat(handle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", checked)
        yield


@pytest.fixture(scope="session", autouse=True)
def without_layout() -> Iterator[Callable[..., str]]:
    """Draw the figures of pages, but do not lay them out: that takes longer than to train a toy."""
    from finetext.report import plots

    real = plots._laid_out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "_laid_out", lambda figure: '<svg viewBox="0 0 1 1"></svg>')
        yield real


@pytest.fixture(scope="module")
def laid_out(without_layout: Callable[..., str]) -> Iterator[None]:
    """Lay out the figures of pages, as for users."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finetext.report.plots._laid_out", without_layout)
        yield


@pytest.fixture(scope="session", autouse=True)
def with_test_rows() -> Iterator[None]:
    """Hold out test rows however few there are: cross-validation takes up to fifty fits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finetext.runs.cross_validation.AUTOMATIC", False)
        yield


@pytest.fixture
def few_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cross-validate in two folds: twice, and once what trains step by step."""
    for name, value in (("FOLDS", 2), ("REPEATS", 2), ("REPEATS_IN_STEPS", 1)):
        monkeypatch.setattr(f"finetext.runs.cross_validation.{name}", value)


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """A function that lets no more rows fit, and gives a list of the sizes tried from then on."""

    def limit(most: int) -> list[int]:
        tried: list[int] = []

        def fits(model: Any, task: Any, settings: Any, rows: Any) -> bool:
            tried.append(len(rows))
            return len(rows) <= most

        monkeypatch.setattr("finetext.training.batch_size._fits", fits)
        return tried

    return limit


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Dataset]:
    """A function that makes a data set of texts, labels and optionally label names."""

    def make(
        texts: Sequence[str], labels: Sequence[Any], names: Sequence[str] | None = None
    ) -> Dataset:
        import datasets

        several = not isinstance(labels[0], str)
        found = {name for label in labels for name in (label if several else [label])}
        columns = {
            "id": [f"row{i}" for i in range(len(texts))],
            "text": list(texts),
            "label": [list(label) if several else label for label in labels],
        }
        scheme = LabelScheme(tuple(names or sorted(found)), multilabel=several)
        return Dataset(datasets.Dataset.from_dict(columns), scheme)

    return make


@pytest.fixture(scope="session")
def topics(make_dataset: Callable[..., Dataset]) -> Dataset:
    """27 short texts on three topics, each with one label."""
    rows = [
        (f"{text} {word}", topic)
        for word in ("today", "once again", "")
        for topic, texts in TOPICS.items()
        for text in texts
    ]
    return make_dataset([text for text, _ in rows], [topic for _, topic in rows])


@pytest.fixture(scope="session")
def mixed_topics(make_dataset: Callable[..., Dataset], topics: Dataset) -> Dataset:
    """27 texts with none, one or two of three topics each."""
    pairs = zip(topics, reversed(list(topics)), strict=True)
    rows = [
        ("nothing at all", [])
        if number % 9 == 0
        else (f"{one['text']}, {two['text']}", sorted({one["label"], two["label"]}))
        for number, (one, two) in enumerate(pairs)
    ]
    return make_dataset([text for text, _ in rows], [names for _, names in rows])


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory, topics: Dataset) -> Path:
    """The folder of a randomly initialized BERT: two layers, 32 wide, 64 positions."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    # Not trained: a trained vocabulary is another one in each process.
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = sorted({word for text in topics.texts for word in text.split()})
    pieces = [*special, *ascii_lowercase, *(f"##{letter}" for letter in ascii_lowercase), *words]
    tokenizer = BertTokenizerFast(vocab={p: i for i, p in enumerate(dict.fromkeys(pieces))})
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(config)
    folder = tmp_path_factory.mktemp("tiny-encoder")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tuned(tiny_encoder: Path, topics: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of that encoder, fine-tuned on the topics. Not to be changed."""
    from finetext.core.contracts import FitContext
    from finetext.methods.finetune import Finetune

    context = FitContext(device="cpu")
    fitted = Finetune(encoder=str(tiny_encoder), epochs=1).fit(topics, topics, context)
    return fitted.save(tmp_path_factory.mktemp("tuned") / "model")


@pytest.fixture(scope="session")
def killed_at() -> Callable[[int, Callable[[], None]], bool]:
    """A function that does work in a fork that is killed at its n-th stop.

    It stops before and after each system call. Returns whether the work was done before that.
    """
    trace: Any = None
    if not hasattr(os, "fork"):
        pytest.skip("processes cannot be forked here")
    if sys.platform.startswith("linux"):
        trace = ctypes.CDLL(None, use_errno=True).ptrace
        trace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)

    def killed_at(number: int, work: Callable[[], None]) -> bool:
        if not (child := os.fork()):
            try:
                if trace(0, 0, None, None) == 0:  # PTRACE_TRACEME
                    os.kill(os.getpid(), signal.SIGSTOP)
                work()
                os._exit(0)
            finally:
                os._exit(1)
        for _ in range(number + 1):
            if not os.WIFSTOPPED(status := os.waitpid(child, 0)[1]):
                assert status == 0
                return True
            trace(24, child, None, None)  # PTRACE_SYSCALL: go on to the next stop
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False

    if trace is None or killed_at(1, lambda: None):
        pytest.skip("processes cannot be traced here")
    return killed_at


class Outcome(NamedTuple):
    """What a command did: exit status and what it wrote to the two streams."""

    status: int
    out: str
    err: str


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a cache of its own."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("FINETEXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return work


@pytest.fixture
def command(workplace: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """A function that runs a command of the command line, in this process and an empty folder.

    A status that is given must be the one it ends with; with 2, a message must be all it prints.
    """
    from finetext.cli.app import main

    def run(*words: object, status: int | None = None) -> Outcome:
        capsys.readouterr()
        ended = 0
        try:
            main([str(word) for word in words])
        except SystemExit as end:
            ended = int(end.code or 0)
        seen = capsys.readouterr()
        assert status in (None, ended), seen.err
        assert status != 2 or (seen.out == "" and "Traceback" not in seen.err)
        return Outcome(ended, seen.out, seen.err)

    return run


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV file of 60 short reviews of 12 films: text, label (good, bad), movie."""
    words = {"good": "a fine and moving film", "bad": "a dull and empty film"}
    path = tmp_path_factory.mktemp("data") / "reviews.csv"
    rows = [
        f"{words[label]} number {number},{label},film {number // 5}"
        for number, label in enumerate(["good", "bad", "good"] * 20)
    ]
    path.write_text("\n".join(["text,label,movie", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def finished_once(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of majority and tfidf on the reviews. Not to be changed.

    They learned from training rows alone.
    """
    import finetext

    folder, tfidf = tmp_path_factory.mktemp("runs") / "finished", finetext.Tfidf
    methods = {"tfidf": tfidf(inverse_regularisation=1.0)}
    finetext.train(finetext.Recipe(source=str(reviews), methods=methods, refit=False), out=folder)
    return folder


@pytest.fixture
def finished(finished_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of that folder for each test, as commands write into it."""
    return shutil.copytree(finished_once, tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture(scope="session")
def draw_reviews() -> Callable[..., list[tuple[str, str]]]:
    """A function that draws texts with labels, good or bad, of which a share is hard to tell."""

    def draw(rows: int, seed: int, *, good: float = 0.5, hard: float = 0.3) -> list[Any]:
        random, drawn = np.random.default_rng(seed), []
        for _ in range(rows):
            label = "good" if random.random() < good else "bad"
            told = label if random.random() > hard else random.choice(["good", "bad"])
            words = [*random.choice(PLAIN, 6), *random.choice(TELLING[str(told)], 2)]
            drawn.append((" ".join(random.permutation(words)), label))
        return drawn

    return draw


@pytest.fixture(scope="session")
def watched_run(
    draw_reviews: Callable[..., list[Any]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a run whose models keep about 150 test rows. Not to be changed."""
    import finetext

    folder = tmp_path_factory.mktemp("watched")
    rows = draw_reviews(450, seed=1)
    lines = ["text,label", *(f"{text},{label}" for text, label in rows)]
    (folder / "reviews.csv").write_text("\n".join(lines) + "\n")
    methods = {
        "tfidf": finetext.Tfidf(longest_ngram=1, inverse_regularisation=1.0, by_ratios=False)
    }
    sizes = finetext.SplitSettings(validation=100, test=150)
    recipe = finetext.Recipe(source=str(folder / "reviews.csv"), methods=methods, split=sizes)
    finetext.train(recipe, out=folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed: pages are not opened in a browser")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()
