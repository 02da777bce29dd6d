"""The texts of a project with their encoder states, which come in while people label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final, final

import numpy as np

from finetext.core.arrays import Booleans, Floats, Integers
from finetext.studio.selection import REFERENCE, Reference
from finetext.studio.state_probe import Standard

FIRST: Final = 256
"""Texts that are read before the first choice; all of them if there are fewer."""


@dataclass(frozen=True)
class PoolText:
    """A text of a project: its number there, and whether it is of the random stream.

    `batch` is the number of the import that brought it.
    """

    id: int
    text: str
    is_random: bool
    batch: int = 0


@dataclass(frozen=True, eq=False)
class Known:
    """The first m texts of a pool, whose states are known; all arrays are read only.

    Attributes:
        ids: (m,) numbers of the texts.
        states: (m, d) float32.
        typicality: (m,) float32, see `Reference.typicality`.
        is_random: (m,) whether a text is of the random stream.
        reference: what texts are compared with.
        standard: mean and scale of the states.
    """

    ids: Integers
    states: Floats
    typicality: Floats
    is_random: Booleans
    reference: Reference
    standard: Standard

    def __len__(self) -> int:
        return len(self.ids)


@final
class Pool:
    """Texts in random order, and states of the first of them; safe for threads.

    It takes 4 bytes for each text and feature: 154 MB for 100,000 texts and MiniLM.
    """

    def __init__(self) -> None:
        """Begin without texts."""
        self._texts: list[PoolText] = []
        self._row: dict[int, int] = {}
        self._states: Floats = np.zeros((0, 0), dtype=np.float32)
        self._typicality: Floats = np.zeros(0, dtype=np.float32)
        self._done = 0
        self._reference: Reference | None = None
        self._standard: Standard | None = None
        self._judged_by = 0
        self._lock = Lock()

    def add(self, texts: Sequence[PoolText]) -> None:
        """Add texts, in random order, that are not there yet."""
        with self._lock:
            new = [of for of in texts if of.id not in self._row]
            self._row.update((of.id, len(self._texts) + at) for at, of in enumerate(new))
            self._texts += new

    @property
    def progress(self) -> tuple[int, int]:
        """How many texts have states, and how many there are."""
        return self._done, len(self._texts)

    def next_texts(self, most: int, characters: int) -> list[str]:
        """Return the next texts without states: at most so many, with at most so many characters.

        One text is returned however long it is, and texts of one import alone, so that a cache has
        the same parts whenever texts are added.
        """
        with self._lock:
            taken: list[str] = []
            ahead = self._texts[self._done : self._done + most]
            for of in ahead:
                characters -= len(of.text)
                if taken and (characters < 0 or of.batch != ahead[0].batch):
                    break
                taken.append(of.text)
            return taken

    def put(self, states: Floats) -> None:
        """Take the (m, d) states of the next m texts."""
        with self._lock:
            end = self._done + len(states)
            self._make_room(states.shape[1])
            self._states[self._done : end] = states
            self._compare(end)
            self._done = end

    def _make_room(self, width: int) -> None:
        if len(self._states) < len(self._texts):
            grown: Floats = np.zeros((len(self._texts), width), dtype=np.float32)
            grown[: self._done] = self._states[: self._done].reshape(-1, width)
            typicality: Floats = np.zeros(len(self._texts), dtype=np.float32)
            typicality[: self._done] = self._typicality[: self._done]
            self._states, self._typicality = grown, typicality

    def _compare(self, end: int) -> None:
        """Compute typicality; with a new reference for all texts, while the reference grows."""
        start = self._done
        if self._judged_by < REFERENCE:
            self._reference = Reference.of(self._states[:end])
            self._standard = Standard.of(self._states[:end])
            self._judged_by, start = end, 0
        assert self._reference is not None
        self._typicality[start:end] = self._reference.typicality(self._states[start:end])

    def known(self) -> Known | None:
        """Return the texts with states; None before there are enough of them."""
        with self._lock:
            done = self._done
            if self._reference is None or self._standard is None:
                return None
            if done < min(FIRST, len(self._texts)):
                return None
            some = self._texts[:done]
            return Known(
                np.array([of.id for of in some], dtype=np.int64),
                self._states[:done],
                self._typicality[:done],
                np.array([of.is_random for of in some], dtype=bool),
                self._reference,
                self._standard,
            )

    def is_random(self, texts: Sequence[int]) -> Booleans:
        """Return (m,) whether texts are of the random stream; false for unknown ones."""
        rows = [self._row.get(text) for text in texts]
        return np.array([row is not None and self._texts[row].is_random for row in rows], bool)

    def state(self, text: int) -> Floats | None:
        """Return the (d,) state of a text; None if it is not known yet."""
        row = self._row.get(text)
        return None if row is None or row >= self._done else self._states[row]
