"""Hidden states of a frozen encoder as features, for scikit-learn and other libraries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from finetext.core.arrays import Integers
from finetext.core.budget import within_memory
from finetext.core.console import blaming, heard
from finetext.core.contracts import FitContext, Listener, ProgressEvent
from finetext.core.environment import cache_folder
from finetext.core.errors import DataError
from finetext.core.settings import Precision
from finetext.core.text_columns import texts_of
from finetext.core.types import Dataset, Finding, SplitName, Splits
from finetext.core.wording import counted
from finetext.data.read import read as read_data
from finetext.encoders.catalogue import DEFAULT_ENCODER
from finetext.encoders.states import FrozenEncoder, Pooling
from finetext.storage.files import output_file
from finetext.training.precision import check_precision, choose_device
from finetext.training.tokens import TokenTable, given_texts

SUFFIX: Final = ".npz"
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False, repr=False)
class FeatureMatrix:
    """Features and labels of n rows, as scikit-learn takes them.

    Attributes:
        X: (n, features) float32.
        y: the labels as numbers, (n,) positions in `label_names`, or (n, k) of 0 and 1 if a text
            can have several; None for unlabeled text.
        label_names: the k labels, in the order of the numbers; empty for unlabeled text.
        ids: n row ids.
        split: for each row "train", "validation" or "test"; None if the data are not split.
        encoder: alias, Hub name or folder.
        pooling: how the hidden states of a text became one vector; a number is that of a layer.
        max_length: tokens to which texts were truncated; None if they were read whole.
    """

    X: Matrix
    y: Integers | None
    label_names: tuple[str, ...]
    ids: tuple[str, ...]
    split: tuple[SplitName, ...] | None
    encoder: str
    pooling: Pooling | int
    max_length: int | None

    def __len__(self) -> int:
        return len(self.X)

    def __repr__(self) -> str:
        return f"<FeatureMatrix: {self.summary()}>"

    def summary(self) -> str:
        """Return sizes, labels, encoder and pooling in one line."""
        rows = f"{counted(len(self), 'row')} x {self.X.shape[1]:,} features"
        labels = "no labels" if self.y is None else counted(len(self.label_names), "label")
        return f"{rows}, {labels}; encoder {self.encoder}, pooling {self.pooling}"

    def part(self, split: SplitName) -> tuple[Matrix, Integers | None]:
        """Return X and y of the rows of one split.

        Raises:
            DataError: the data are not split, or have no rows in it.
        """
        if self.split is None:
            raise DataError(
                "the rows are not split; pass the splits: feature_matrix(finetext.split(data))"
            )
        rows = np.array(self.split) == split
        if not rows.any():
            there = ", ".join(dict.fromkeys(self.split))
            raise DataError(f"there are no rows in the split {split!r}; there are: {there}")
        return self.X[rows], None if self.y is None else self.y[rows]

    def save(self, path: str | Path) -> None:
        """Write the attributes as arrays to an .npz file, for `np.load` without pickle.

        `y` is left out for unlabeled text, `split` if the data are not split, `max_length` if texts
        were read whole. A file that is there
        is replaced once the new one is complete.

        Raises:
            DataError: the suffix is another one, or the file cannot be written.
        """
        path = Path(path)
        if path.suffix != SUFFIX:
            raise DataError(f"{path}: features are written as {SUFFIX}; name such a file")
        arrays: dict[str, Any] = {n: of for n, of in vars(self).items() if of is not None}
        for name in {"label_names", "ids", "split"} & set(arrays):
            arrays[name] = np.array(arrays[name], np.str_)  # never objects, which need pickle
        with blaming(str(path)), output_file(path) as beside, beside.open("wb") as file:
            np.savez(file, **arrays)


@within_memory
def features(
    texts: Sequence[str] | Dataset,
    encoder: str = DEFAULT_ENCODER,
    pooling: Pooling | int = "mean",
    *,
    max_length: int | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    cache: bool | str | Path = True,
    listener: Listener | None = None,
) -> Matrix:
    """Return the hidden states of a frozen encoder, one vector for each text.

    `Probe` does the same with mean pooling and a logistic regression on top. Devlin et al. 2019
    ("BERT", section 5.3) compare such features with fine-tuning.

    Args:
        texts: n texts, or a data set, whose texts are taken.
        encoder: alias (`finetext models`), Hub name or folder; "minilm" by default.
        pooling: what becomes of the hidden states of the tokens of a text, padding left out.
            Of the last layer "mean" (the default) is their average, "max" the maximum of each
            feature, and "first" the state of the token that sums the text up: the first one,
            such as [CLS], but the last one in a left-to-right model, whose first token sees
            nothing of the text. "concat" is "first", "max" and "mean" side by side. A number is
            that of a layer whose states are averaged: 0 is the embeddings, 1 the first layer, -1
            the last one (the same as "mean").
        max_length: tokens to truncate texts to, special ones included; the listener gets a warning
            if there are longer ones. By default texts are read whole, in windows of 256 tokens:
            what the pooling makes of each is averaged, weighted by tokens ("max": the maximum).
        device: "auto" (the default), "cpu", "cuda", "cuda:1" or "mps".
        precision: "fp32", "bf16", "fp16" (on a GPU; on a CPU only with `device="cpu"`), or "auto"
            (the default): bf16 where the hardware is fast at it.
        cache: True (the default) keeps the features in the cache folder, where a second call with
            the same texts finds them; a path is another folder; False keeps nothing.
        listener: receives progress and warnings; by default they are shown on a terminal and in a
            notebook.

    Returns:
        (n, hidden size), (n, 3 * hidden size) for "concat"; float32, in the order of the texts.

    Raises:
        DataError: the texts are no list of strings.
        RecipeError: the pooling, the length, the device or the precision is not possible.
        ModelError: the encoder cannot be loaded, has random weights, or has no such layers.
    """
    given = texts.texts if isinstance(texts, Dataset) else texts_of(texts)
    where = choose_device(device, formats := check_precision(precision))
    frozen = FrozenEncoder.load(encoder, where, max_length, None, formats, pooling)
    with heard(listener) as hears:

        def progress(event: ProgressEvent) -> None:
            hears.progress(replace(event, stage="features: encoder states"))

        context = FitContext(cache=_folder(cache), progress=progress)
        read = frozen.read(given or [""], context)
        for finding in _truncated(given, read.table, frozen, encoder):
            hears.finding(finding)
        return cast(Matrix, frozen.pooled(read, context)[: len(given)])


@within_memory
def feature_matrix(
    data: Any,
    encoder: str = DEFAULT_ENCODER,
    pooling: Pooling | int = "mean",
    *,
    max_length: int | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    cache: bool | str | Path = True,
    listener: Listener | None = None,
) -> FeatureMatrix:
    """Return features and labels as scikit-learn takes them.

        matrix = finetext.feature_matrix("emotion")
        X_train, y_train = matrix.part("train")

    Args:
        data: splits, a data set, or anything else that `finetext.read` takes, such as a path. Rows
            of ready-made splits and of `Splits` can be taken apart with `part`.
        encoder: see `features`, as for all that follow.
        pooling: see `features`.
        max_length: see `features`.
        device: see `features`.
        precision: see `features`.
        cache: see `features`.
        listener: see `features`.

    Returns:
        the rows in the order of the data; training rows first, test rows last for `Splits`.

    Raises:
        DataError: the data cannot be read, or not as labeled text; for unlabeled text pass a data
            set: `finetext.read(path, settings=ReadSettings(labelled=False))`.
        FinetextError: as `features`.
    """
    parts = [of for _, of in data.items()] if isinstance(data, Splits) else [read_data(data)]
    split: list[SplitName] | None = None
    if isinstance(data, Splits):
        split = [name for name, part in data.items() for _ in range(len(part))]
    elif "split" in parts[0].table.column_names:
        split = parts[0].column("split")
    scheme = parts[0].scheme
    matrix = features(
        [text for part in parts for text in part.texts], encoder, pooling, max_length=max_length,
        device=device, precision=precision, cache=cache, listener=listener,
    )  # fmt: skip
    return FeatureMatrix(
        X=matrix,
        y=None if scheme is None else np.concatenate([part.targets for part in parts]),
        label_names=() if scheme is None else scheme.names,
        ids=tuple(id_ for part in parts for id_ in part.ids),
        split=None if split is None else tuple(split),
        encoder=encoder,
        pooling=pooling,
        max_length=max_length,
    )


def _folder(cache: bool | str | Path) -> Path | None:
    if isinstance(cache, bool):
        return cache_folder() if cache else None
    return Path(cache)


def _truncated(
    texts: Sequence[str], table: TokenTable, frozen: FrozenEncoder, encoder: str
) -> list[Finding]:
    """A warning if some texts have more tokens than are read."""
    if frozen.in_windows:
        return []
    rows = np.flatnonzero(table.lengths >= frozen.max_length).tolist() if texts else []
    full = given_texts(frozen.tokenizer, [texts[row] for row in rows])
    if not full:
        return []
    whole = frozen.tokenizer(full, truncation=False, verbose=False)["input_ids"]
    count = sum(len(ids) > frozen.max_length for ids in whole)
    if not count:
        return []
    message = (
        f"Longer than the {frozen.max_length:,} tokens that {encoder} reads: "
        f"{count:,} of {counted(len(texts), 'text')}. The features are those of the beginning; for "
        "the rest raise max_length or leave it out."
    )
    return [Finding("warning", "cut-texts", message)]
