"""The labels of a pool of unlabeled texts by a saved model, kept in the cache: they can be dear."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.batch.output import model_hash
from finetext.batch.predict_file import predict_file
from finetext.core import __version__
from finetext.core.contracts import Listener
from finetext.core.environment import cache_folder
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.text_columns import texts_in
from finetext.core.types import Dataset, Finding, LabelScheme
from finetext.core.wording import counted
from finetext.data.read import read
from finetext.data.weak_rows import PoolLabels
from finetext.methods.answer_totals import ANSWERS
from finetext.storage.files import write_text

FOLDER: Final = "weak-labels"
TEXT: Final = "text"


def read_pool(source: Any, settings: ReadSettings, scheme: LabelScheme, hears: Listener) -> Dataset:
    """Read unlabeled texts, the blank ones left out, for a model of a scheme.

    Labels among them are ignored, which is said.

    Raises a DataError if they cannot be read, or all are blank.
    """
    texts_alone = replace(
        settings, label=None, group=None, id=None, label_names=None, multilabel=None,
        label_delimiter=None, drop_unlabelled=False, classes=None, positive=None, missing=(),
        out_of_scope=None, labelled=False,
    )  # fmt: skip
    pool = read(source, settings=texts_alone.with_texts_of(scheme))
    hears.say(f"pool: {pool.description}")
    if pool.scheme is not None:
        hears.say("note: the pool has labels, which are ignored: the teacher alone labels it")
    filled = [row for row, text in enumerate(pool.texts) if text.strip()]
    if not filled:
        raise DataError("all texts of the pool are blank, so there is nothing to label")
    return pool.select(filled)


def labels_of(
    teacher: str, pool: Dataset, scheme: LabelScheme, device: str, hears: Listener
) -> PoolLabels:
    """Return the labels that a saved model gives a pool.

    They are written as they come and stay in the cache, so that neither a stopped command nor
    another one with the same model and texts asks the model twice.

    Raises:
        FinetextError: the model cannot be loaded, or the cache cannot be written.
        KeyboardInterrupt: it was stopped; the message says that the same command continues.
    """
    sha256 = model_hash(teacher)
    digest = hashlib.sha256(f"{__version__}\0{sha256}\0{device}".encode())
    for text in pool.texts:
        digest.update(b"\0" + text.encode("utf-8", "surrogatepass"))
    folder = cache_folder() / FOLDER / digest.hexdigest()
    given, out = folder / "texts.jsonl", folder / "labels.jsonl"
    if out.is_file():
        hears.say(f"the labels of {counted(len(pool), 'text')} by this teacher are in the cache")
    else:
        hears.say(f"the teacher labels {counted(len(pool), 'text')}")
        _write_texts(given, pool.texts, scheme)
        _predict(teacher, given, out, device, hears)
    found = _read_labels(out)
    if len(found) != len(pool):
        raise DataError(f"{out} is damaged: delete it, and run the command again")
    labels = [row["prediction"] for row in found]
    confidence = np.array([float(row["probability"]) for row in found])
    return PoolLabels(pool.ids, pool.texts, labels, confidence, sha256)


def _write_texts(path: Path, texts: Sequence[str], scheme: LabelScheme) -> None:
    """Write texts as JSON lines, in the text columns of a model, unless they are there."""
    if path.is_file():
        return
    names = scheme.text_columns
    rows = (dict(zip(names, texts_in(of), strict=True)) if names else {TEXT: of} for of in texts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "".join(f"{json.dumps(row)}\n" for row in rows))
    except OSError as error:
        raise DataError(f"the cache {path.parent} cannot be written: {error}") from None


def _predict(teacher: str, given: Path, out: Path, device: str, hears: Listener) -> None:
    """Predict a file of texts; what a stopped command wrote is continued."""

    def answers(finding: Finding) -> None:
        if finding.code == ANSWERS:  # others are about texts that the run looks at anyway
            hears.finding(finding)

    try:
        predict_file(
            teacher, given, out, every=False, columns=False, resume=True, device=device,
            listener=Listener(progress=hears.progress, finding=answers),
        )  # fmt: skip
    except KeyboardInterrupt:
        kept = "the labels so far are kept; the same command continues with the others"
        raise KeyboardInterrupt(f"stopped while the teacher labeled the pool: {kept}") from None


def _read_labels(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]
