"""What a model folder keeps of held-out rows, with which `finetext monitor` compares new ones.

Numbers, no texts: probabilities and true labels of up to 1,000 rows, hashed words and characters,
and of models with an encoder its states, rounded to a byte each. Somebody with the model can guess
from states and hashes what a text may have been about.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self, final

import numpy as np
import numpy.typing as npt

from finetext.core.arrays import Floats, Integers
from finetext.core.decision import Decision
from finetext.core.errors import ModelError
from finetext.core.types import LabelScheme, Predictions
from finetext.core.wording import CROSSED
from finetext.data.hashed_texts import BUCKETS, WIDTH, Codes, hashed, texts_with
from finetext.models.files import KEPT_ROWS as FILE
from finetext.models.folder import record_of, write_record
from finetext.storage.files import replaced_file
from finetext.storage.received import is_received_file, read_received

MOST_ROWS: Final = 1_000
MOST_VALUES: Final = 1_000_000
"""Most probabilities that are kept: fewer rows of more than 1,000 labels."""
MOST_LETTERS: Final = 300_000
"""Letters of the texts whose states are kept, so that long ones take seconds, too."""
SAME: Final = 0.01
"""Largest difference of a probability with which an export may be compared with the same rows."""
PARTS: Final = ("test", CROSSED, "reference")
"""What the rows can be; the last are of `--reference DATA`."""
_LARGEST: Final = 64 << 20
_STEPS: Final = 32  # of a standard deviation; states up to four of them can be told apart
_FARTHEST: Final = 127


@final
@dataclass(frozen=True, eq=False)
class States:
    """The states of the first s reference rows as (s, d) bytes.

    Attributes:
        mean: (d,), as is `scale`, of the states before they were rounded.
    """

    codes: Codes
    mean: Floats
    scale: Floats

    @classmethod
    def of(cls, states: Floats) -> Self:
        """Round (s, d) states to bytes."""
        scale = states.std(axis=0)
        made = cls(np.zeros((0, 0), np.int8), states.mean(axis=0), np.where(scale > 0, scale, 1.0))
        return replace(made, codes=made.rounded(states))

    def rounded(self, states: Floats) -> Codes:
        """Return other states rounded in the same way."""
        steps = np.round((states - self.mean) / self.scale * _STEPS)
        return np.clip(steps, -_FARTHEST, _FARTHEST).astype(np.int8)


@final
@dataclass(frozen=True, eq=False)
class Reference:
    """Held-out rows of a model, m of them, each of another text.

    Attributes:
        predictions: of the rows, with numbers as ids and groups.
        hashes: (m, 256) hashed words and characters.
        documents: (16384,) how many of the texts, one of each group, have a word of each bucket.
        places: (m,) the place of each among the `rows` that were drawn before copies were removed.
        part: the rows in words, one of `PARTS`.
        states: those of the first rows; None for a model without states of its own.
        label_columns: the columns of the labels that the model learned from; empty if unknown.
    """

    predictions: Predictions
    hashes: Codes
    documents: Integers
    places: Integers
    rows: int
    part: str
    states: States | None = None
    label_columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.predictions)

    @property
    def is_crossed(self) -> bool:
        """Whether the predictions are those of models of fewer rows than the one that is kept.

        New rows get other confidence and labels then, without any drift.
        """
        return self.part == CROSSED

    @property
    def units(self) -> Sequence[str]:
        """The group of each row, or without groups its number: rows of one unit count as one."""
        return self.predictions.groups or self.predictions.ids

    @classmethod
    def of(cls, predictions: Predictions, texts: Sequence[str], part: str) -> Self:
        """Return what is kept of rows with these texts, without states."""
        order, places = _order(predictions, texts)
        kept, of = [texts[row] for row in order[places]], numbered(predictions, texts)
        counted = (
            kept if of.groups is None else list(dict(zip(of.groups, kept, strict=True)).values())
        )
        return cls(of, hashed(kept), texts_with(counted), places, len(order), part)

    def save(self, folder: Path) -> None:
        """Write it into a model folder, which predicts the same without it; raises an OSError."""
        from safetensors.numpy import save_file

        of = self.predictions
        multilabel = of.scheme.multilabel
        arrays: dict[str, npt.NDArray[Any]] = {
            "probabilities": of.probabilities.astype(np.float16),
            "targets": of.targets.astype(np.uint8 if multilabel else np.int32),
            "hashes": self.hashes,
            "documents": self.documents.astype(np.int32),
            "places": self.places.astype(np.int32),
        }
        if of.groups is not None:
            arrays["groups"] = np.array(of.groups, dtype=np.int32)
        if self.states is not None:
            arrays["states"] = self.states.codes
            arrays["mean"] = self.states.mean.astype(np.float32)
            arrays["scale"] = self.states.scale.astype(np.float32)
        said = {"part": self.part, "labels": list(of.scheme.names), "rows": self.rows}
        said |= {"label_columns": list(self.label_columns)}
        about = {"finetext": json.dumps(said)}
        ordered = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        with replaced_file(folder / FILE) as beside:
            save_file(ordered, beside, about)

    @classmethod
    def read(cls, folder: Path, scheme: LabelScheme, decision: Decision) -> Self | None:
        """Return what a model folder keeps; None if nothing. Raises a ModelError if damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        if not is_received_file(folder, FILE):
            return None
        try:
            content = read_received(folder, FILE, _LARGEST)
            arrays = load(content)
            size = int.from_bytes(content[:8], "little")
            about = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["finetext"])
            if about["labels"] != list(scheme.names):
                raise ValueError("it is of other labels")
            if about["part"] not in PARTS:
                raise ValueError("its rows are of no part that is known")
            drawn = about["part"], int(about["rows"])
            columns = tuple(map(str, about.get("label_columns", ())))
            made = cls._of_arrays(arrays, scheme, decision, drawn)
            return replace(made, label_columns=columns)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ModelError(
                f"{folder / FILE} is damaged: {error}; name rows to compare with: --reference DATA"
            ) from None

    @classmethod
    def _of_arrays(
        cls, arrays: dict[str, Any], scheme: LabelScheme, decision: Decision, drawn: tuple[str, int]
    ) -> Self:
        likely, targets = arrays["probabilities"].astype(np.float64), arrays["targets"]
        rows, labels = len(likely), len(scheme)
        shapes = {
            "probabilities": (rows, labels),
            "targets": (rows, labels) if scheme.multilabel else (rows,),
            "hashes": (rows, WIDTH),
            "documents": (BUCKETS,),
            "places": (rows,),
        }
        if "groups" in arrays:
            shapes["groups"] = (rows,)
        for name, wanted in shapes.items():
            if arrays[name].shape != wanted:
                raise ValueError(f"{name} has the shape {arrays[name].shape}, not {wanted}")
        if not np.isfinite(likely).all() or not (targets >= 0).all() or (targets >= labels).any():
            raise ValueError("its probabilities or labels are none")
        if not all(arrays[name].dtype.kind in "iu" for name in shapes if name != "probabilities"):
            raise ValueError("its labels, groups or counts are no whole numbers")
        places = arrays["places"].astype(np.int64)
        if (np.diff(places) <= 0).any() or not ((places >= 0) & (places < drawn[1])).all():
            raise ValueError("its places are none")
        groups = tuple(map(str, arrays["groups"].tolist())) if "groups" in arrays else None
        ids = tuple(map(str, range(rows)))
        of = Predictions(ids, targets.astype(np.int64), likely, scheme, decision, groups)
        documents, states = arrays["documents"].astype(np.int64), _states_in(arrays, rows)
        return cls(of, arrays["hashes"], documents, places, drawn[1], drawn[0], states)


def _states_in(arrays: dict[str, Any], rows: int) -> States | None:
    """Return the states that a file holds; raise a ValueError if they are none."""
    if "states" not in arrays:
        return None
    codes, (mean, scale) = arrays["states"], (arrays[name] for name in ("mean", "scale"))
    if codes.ndim != 2 or len(codes) > rows or not mean.shape == scale.shape == codes.shape[1:]:
        raise ValueError("its states have another shape")
    if codes.dtype != np.int8 or not mean.dtype.kind == scale.dtype.kind == "f":
        raise ValueError("its states are of another type")
    if not (np.isfinite(mean) & np.isfinite(scale) & (scale > 0)).all():
        raise ValueError("its states have no finite mean and scale")
    return States(codes, mean.astype(np.float64), scale.astype(np.float64))


def drawn(predictions: Predictions, texts: Sequence[str]) -> Integers:
    """Return the rows that are kept: as many as may be, at random, and of each text the first."""
    order, places = _order(predictions, texts)
    return order[places]


def _order(predictions: Predictions, texts: Sequence[str]) -> tuple[Integers, Integers]:
    """Return the rows that are drawn, and the places among them at which a text first occurs."""
    most = max(1, min(MOST_ROWS, MOST_VALUES // max(1, len(predictions.scheme))))
    order, first = np.random.default_rng(0).permutation(len(texts))[:most], dict[str, int]()
    for place, row in enumerate(order):
        first.setdefault(texts[row], place)
    return order, np.array(list(first.values()), dtype=np.int64)


def numbered(predictions: Predictions, texts: Sequence[str]) -> Predictions:
    """Return the predictions that are kept, with numbers instead of ids and groups."""
    of = predictions.select(drawn(predictions, texts))
    ids, groups = tuple(map(str, range(len(of)))), of.groups
    if groups is not None:
        groups = tuple(map(str, np.unique(groups, return_inverse=True)[1].tolist()))
    return replace(of, ids=ids, groups=groups, decision=predictions.decision.shipped)


def lasting_names(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return names of columns; none if they are numbers, which count those of one table."""
    return () if any(map(str.isdecimal, columns)) else columns


def letters_kept(texts: Sequence[str]) -> int:
    """Return of how many texts, from the first, states are kept."""
    ends = np.cumsum([len(text) for text in texts])
    return int(np.searchsorted(ends, MOST_LETTERS, side="right"))


def carry(source: Path, target: Path, scheme: LabelScheme, with_states: bool = True) -> None:
    """Copy what one model folder keeps to another model with the same probabilities."""
    found = Reference.read(source, scheme, Decision())
    if found is not None:
        (found if with_states else replace(found, states=None)).save(target)
        write_record(target, {**record_of(target), "keeps_rows": True})
