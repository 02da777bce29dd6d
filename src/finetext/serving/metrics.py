"""The metrics of the service: of this process, or of all workers together.

Where workers share a folder, named by PROMETHEUS_MULTIPROC_DIR, each keeps its numbers in files
there, and any of them answers with the sums. The numbers of a worker that has ended stay in the
sums of what is counted, so that no count falls, and leave those of what is so now.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final, final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SUM: Final = "livesum"
"""How the gauges of workers become one: the sum over those that have not ended."""


@final
class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        """Start at zero, or where the last worker with the same number ended."""
        self._registry = mine = CollectorRegistry()
        self._requests = Counter(
            "finetext_requests", "Requests by path and status; 499: the client hung up.",
            ["path", "status"], registry=mine,
        )  # fmt: skip
        self._seconds = Histogram(
            "finetext_request_seconds", "From the head of a request to the end of its answer.",
            ["path"], buckets=_SECONDS, registry=mine,
        )  # fmt: skip
        active, waiting = "Requests being answered.", "Texts that wait for the model."
        self.active = Gauge(
            "finetext_requests_active", active, registry=mine, multiprocess_mode=_SUM
        )
        self.queue = Gauge("finetext_queue_texts", waiting, registry=mine, multiprocess_mode=_SUM)
        self._texts = Counter("finetext_texts", "Texts that were predicted.", registry=mine)
        self.repeated = Counter(
            "finetext_texts_repeated", "Texts whose numbers were known already.", registry=mine
        )
        sent = "Texts that a cascade sent on to its expensive classifier."
        self._sent = Counter("finetext_texts_sent_on", sent, registry=mine)
        size, time = "Texts in a batch.", "Time of the model for a batch."
        self._batches = Histogram("finetext_batch_texts", size, buckets=_SIZES, registry=mine)
        self._model = Histogram("finetext_batch_seconds", time, buckets=_SECONDS, registry=mine)
        workers = Gauge(
            "finetext_workers", "Processes that answer.", registry=mine, multiprocess_mode=_SUM
        )
        workers.set(1)
        if FOLDER not in os.environ:
            ProcessCollector(registry=mine)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def predicted(self, texts: int, seconds: float) -> None:
        """Count a batch."""
        self._texts.inc(texts)
        self._batches.observe(texts)
        self._model.observe(seconds)

    def sent_on(self, texts: int) -> None:
        """Count texts of a batch that a cascade sent on to its expensive classifier."""
        self._sent.inc(texts)

    def exposed(self) -> bytes:
        """Return the metrics in the text format of Prometheus, summed over all workers."""
        if FOLDER not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def keep_by_number(number: int) -> None:
    """Keep the metrics of this worker in files named by its number instead of its process id.

    A worker that is started later continues the files of one that has ended, so that restarts do
    not fill the folder. No two workers may have the same number at the same time.
    """
    values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]


def forget_worker(number: int, folder: str) -> None:
    """Take the gauges of a worker that has ended out of the sums."""
    mark_process_dead(number, folder)  # type: ignore[no-untyped-call]


def free_number(taken: Iterable[int]) -> int:
    """Return the least number from 1 that no running worker has."""
    return min(set(range(1, len(used := set(taken)) + 2)) - used)
