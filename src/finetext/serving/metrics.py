"""What a server counts and times, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@final
class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self, waiting: Callable[[], float]) -> None:
        """Begin at zero.

        Args:
            waiting: gives the texts that wait for the model.
        """
        self.registry = CollectorRegistry()
        mine = self.registry
        self._requests = Counter(
            "finetext_requests", "Requests by path and status; 499: the client hung up.",
            ["path", "status"], registry=mine,
        )  # fmt: skip
        self._seconds = Histogram(
            "finetext_request_seconds", "From the head of a request to the end of its answer.",
            ["path"], buckets=_SECONDS, registry=mine,
        )  # fmt: skip
        self.active = Gauge("finetext_requests_active", "Requests being answered.", registry=mine)
        self._texts = Counter("finetext_texts", "Texts that were predicted.", registry=mine)
        self._batches = Histogram(
            "finetext_batch_texts", "Texts in a batch.", buckets=_SIZES, registry=mine
        )
        self._model = Histogram(
            "finetext_batch_seconds", "Time of the model for a batch.",
            buckets=_SECONDS, registry=mine,
        )  # fmt: skip
        queue = Gauge("finetext_queue_texts", "Texts that wait for the model.", registry=mine)
        queue.set_function(waiting)
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

    def text(self) -> bytes:
        """All of them in the text form of Prometheus."""
        return generate_latest(self.registry)
