"""A model that learns while people label: it reads texts, and says what to label next.

One thread computes the encoder states of all texts, once. Another one fits a linear probe on them
whenever labels have changed, which takes a fraction of a second, and ranks the texts.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Lock, Thread, get_native_id
from time import perf_counter
from typing import Any, Final, Literal, Protocol, final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.errors import FinetextError
from finetext.core.types import LabelScheme
from finetext.encoders.catalogue import DEFAULT_ENCODER
from finetext.storage.cache import kept
from finetext.studio.outlook import Outlook, coverage_of, outlook_of
from finetext.studio.pool import Known, Pool, PoolText
from finetext.studio.selection import (
    labels_before_probe,
    margins_of,
    typical_and_diverse,
    uncertain_and_diverse,
)
from finetext.studio.state_probe import Labeled, StateProbe, can_learn

KIND: Final = "studio-states"
"""Folder of the cache that keeps the states of texts, by the texts themselves."""
RANKED: Final = 60
"""Texts that are ranked at a time: more than several people label until the next ranking."""
_MOST_TEXTS, _MOST_CHARACTERS = 256, 100_000  # read at a time, so that stopping takes a second
_REST: Final = 3.0
"""Times as long as a ranking took that nothing is ranked after it, so that requests come first."""
_SHORTEST_REST: Final = 0.1
_NICENESS: Final = 10
"""How much later than requests the system lets the threads compute, where it can (Linux)."""
_GROWTH: Final = 1.5
"""Growth of the texts with states that makes a new ranking worthwhile without new labels."""
Why = Literal["diverse", "uncertain", "in order"]


class LabelSource(Protocol):
    """Where a learner gets texts and labels from."""

    def texts(self) -> Sequence[PoolText]:
        """Return all texts in random order."""

    def scheme(self) -> LabelScheme:
        """Return the labels that can be given."""

    def decided(self) -> Mapping[int, tuple[str, ...]]:
        """Return the decided labels of texts by their numbers."""

    def undecided_random(self) -> int:
        """Return how many labeled texts of the random stream have no decided label."""


@dataclass(frozen=True)
class Suggestion:
    """Labels that a model would give, and the probability of the least likely one of them."""

    labels: tuple[str, ...]
    probability: float
    source: str = "model"


@dataclass(frozen=True)
class Ranking:
    """Texts to label next, best first, why, and the probe that ranked them, if there is one."""

    texts: tuple[int, ...] = ()
    why: Why = "in order"
    probe: StateProbe | None = field(default=None, repr=False)


@final
class Learner:
    """Ranks the texts of a project in the background; every method is quick and thread-safe.

    If the encoder cannot be loaded, `problem` says why and texts come in random order.
    """

    def __init__(
        self,
        source: LabelSource,
        cache: Path | None = None,
        encoder: str = DEFAULT_ENCODER,
        read: Callable[[Sequence[str]], Floats] | None = None,
    ) -> None:
        """Take texts and labels from `source`, and keep encoder states in the folder `cache`.

        `read` computes (n, d) states of n texts instead of the encoder.
        """
        self.ranking = Ranking()
        self.problem: str | None = None
        self._source, self._pool = source, Pool()
        self._read = read or (lambda texts: self._encoded(texts, encoder))
        self._kept_in, self._encoder_name = cache, encoder
        self._changed, self._has_new_texts = Condition(), True
        self._is_stale, self._stops = True, False
        self._ranked_of = 0
        self._outlook: Outlook | None = None
        self._judging = Lock()
        self._threads = [Thread(target=of, daemon=True) for of in (self._encode, self._rank)]
        self._encoder: Callable[[Sequence[str]], Floats] | None = None

    def start(self) -> None:
        """Begin to read and to rank."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both threads, within about a second."""
        with self._changed:
            self._stops = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def notify(self, texts: bool = False) -> None:
        """Tell that labels, or texts too, have changed."""
        with self._changed:
            self._is_stale, self._outlook = True, None
            self._has_new_texts = self._has_new_texts or texts
            self._changed.notify_all()

    @property
    def encoding(self) -> tuple[int, int]:
        """How many texts are read, and how many there are."""
        return self._pool.progress

    def suggestion(self, text: int) -> Suggestion | None:
        """Return what the probe would say of a text; None before there is a probe."""
        probe, state = self.ranking.probe, self._pool.state(text)
        if probe is None or state is None:
            return None
        likely = probe.probabilities(state[None])[0]
        names = probe.scheme.names
        if not probe.scheme.multilabel:
            best = int(likely.argmax())
            return Suggestion((names[best],), float(likely[best]))
        given = np.flatnonzero(likely >= 0.5)
        sure = float(np.maximum(likely, 1 - likely).min())
        return Suggestion(tuple(names[column] for column in given), sure)

    def outlook(self) -> Outlook:
        """Return what the labels so far are worth; computed once after each change."""
        with self._judging:
            found = self._outlook
            if found is None:
                known, scheme = self._pool.known(), self._source.scheme()
                decided = self._source.decided()
                left = self._pool.progress[1] - len(decided)
                usable = usable_labels(decided, scheme)
                is_random = self._pool.is_random(list(usable))
                coverage = coverage_of(targets_of(usable.values(), scheme), is_random, scheme)
                labeled = labeled_of(known, scheme, decided)
                standard = None if known is None else known.standard
                undecided = self._source.undecided_random()
                found = outlook_of(labeled, standard, coverage, left, undecided)
                self._outlook = found
            return found

    def _encode(self) -> None:
        """Read all texts, and wait for more."""
        _give_way()
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._stops or self._has_work())
                    if self._stops:
                        return
                    is_new, self._has_new_texts = self._has_new_texts, False
                if is_new:
                    self._pool.add(self._source.texts())
                if some := self._pool.next_texts(_MOST_TEXTS, _MOST_CHARACTERS):
                    self._pool.put(self._states(some))
                self._tell_growth()
        except (FinetextError, OSError, ImportError, MemoryError) as error:
            self.problem = str(error) or "there is too little memory"

    def _has_work(self) -> bool:
        done, total = self._pool.progress
        return self._has_new_texts or done < total

    def _tell_growth(self) -> None:
        done, total = self._pool.progress
        if done >= _GROWTH * self._ranked_of or done == total:
            with self._changed:
                self._is_stale, self._outlook = True, None
                self._changed.notify_all()

    def _rank(self) -> None:
        """Rank the texts whenever something has changed."""
        _give_way()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stops or self._is_stale)
                if self._stops:
                    return
                self._is_stale = False
            began = perf_counter()
            if (known := self._pool.known()) is not None:
                self.ranking = ranking_of(known, self._source.scheme(), self._source.decided())
                self._ranked_of = len(known)
            rest = max(_SHORTEST_REST, _REST * (perf_counter() - began))
            with self._changed:
                self._changed.wait_for(lambda: self._stops, rest)

    def _states(self, texts: Sequence[str]) -> Floats:
        """Return the states of texts, from the cache without loading the encoder."""
        digest = hashlib.sha256(self._encoder_name.encode())
        for text in texts:
            digest.update(b"\0" + text.encode("utf-8", "replace"))

        def compute() -> dict[str, Any]:
            return {"states": np.asarray(self._read(texts), dtype=np.float32)}

        return kept(self._kept_in, KIND, digest.hexdigest(), compute)["states"]

    def _encoded(self, texts: Sequence[str], encoder: str) -> Floats:
        """Compute the states of texts."""
        if self._encoder is None:
            from finetext.encoders.states import FrozenEncoder
            from finetext.training.precision import choose_device

            frozen = FrozenEncoder.load(encoder, choose_device("auto"))
            self._encoder = lambda texts: frozen.pooled(frozen.read(texts))
        return self._encoder(texts)


def _give_way() -> None:
    """Let this thread, and those that it starts, compute after others."""
    with suppress(OSError, AttributeError):  # other systems than Linux know processes alone
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, get_native_id(), _NICENESS)


def usable_labels(
    decided: Mapping[int, tuple[str, ...]], scheme: LabelScheme
) -> dict[int, tuple[str, ...]]:
    """Return the decided labels that are all in the scheme."""
    return {
        text: labels
        for text, labels in decided.items()
        if all(name in scheme.index for name in labels) and (labels or scheme.multilabel)
    }


def targets_of(labels: Iterable[tuple[str, ...]], scheme: LabelScheme) -> Integers:
    """Return encoded labels, (m,) or (m, k)."""
    names: Any = list(labels) if scheme.multilabel else [of[0] for of in labels]
    return scheme.encode(names)


def labeled_of(
    known: Known | None, scheme: LabelScheme, decided: Mapping[int, tuple[str, ...]]
) -> Labeled:
    """Return the texts with a decided label of the scheme whose states are known."""
    usable = usable_labels(decided, scheme)
    if known is None:
        none: Any = np.zeros(0, dtype=bool)
        return Labeled(np.zeros((0, 1)), scheme.encode([]), none, scheme)
    rows = np.flatnonzero(np.isin(known.ids, np.fromiter(usable, dtype=np.int64)))
    targets = targets_of((usable[int(text)] for text in known.ids[rows]), scheme)
    return Labeled(known.states[rows], targets, known.is_random[rows], scheme)


def ranking_of(
    known: Known, scheme: LabelScheme, decided: Mapping[int, tuple[str, ...]]
) -> Ranking:
    """Return the texts to label next, none of them decided or of the random stream."""
    labeled = labeled_of(known, scheme, decided)
    chosen = labeled.select(~labeled.is_random)
    has_label = np.isin(known.ids, np.fromiter(decided, dtype=np.int64))
    if len(chosen) < labels_before_probe(len(scheme)) or not can_learn(chosen):
        rows = np.flatnonzero(~known.is_random)
        directions = known.reference.directions(known.states[rows])
        picked = typical_and_diverse(
            directions, known.typicality[rows], has_label[rows], RANKED // 2, seed=0
        )
        return Ranking(tuple(known.ids[rows[picked]].tolist()), "diverse")
    probe = StateProbe.fit(chosen, known.standard)
    margins = margins_of(probe.probabilities(known.states), scheme.multilabel)
    best = uncertain_and_diverse(
        known.states,
        known.reference,
        known.typicality,
        margins,
        ~has_label & ~known.is_random,
        RANKED,
    )
    return Ranking(tuple(known.ids[best].tolist()), "uncertain", probe)
