"""Traces for OpenTelemetry: of each request, of its wait in the queue, and of each batch.

A batch answers several requests and so belongs to no single trace: it has one of its own, and links
to the requests in it, which link back. The variables OTEL_... of the environment say whether spans
are kept and where they go; no span holds a text, nor what a model raised about it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, final

from finetext.core import __version__
from finetext.core.errors import MissingExtraError, RecipeError

if TYPE_CHECKING:
    from starlette.types import Scope

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTERS: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
"""Names of the exporters of OTLP among the entry points, by protocol."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNTRACED: Final = frozenset({"/ready", "/health", "/health/live", "/metrics"})
"""Paths that are asked every few seconds."""


@final
class Span:
    """A span, or nothing if there are no traces."""

    def __init__(self, span: Any = None) -> None:
        """Wrap a span of OpenTelemetry."""
        self._span = span

    @property
    def ids(self) -> Mapping[str, str]:
        """The id of the trace, for the log."""
        context = None if self._span is None else self._span.get_span_context()
        return {} if context is None else {"trace_id": f"{context.trace_id:032x}"}

    def answered(self, status: int) -> None:
        """Note the status of the answer."""
        if self._span is not None:
            self._span.set_attribute("http.response.status_code", status)
            if status >= 500:
                self.failed(str(status))

    def failed(self, why: str) -> None:
        """Note a fault by its type or status."""
        if self._span is not None:
            from opentelemetry.trace import StatusCode

            self._span.set_attribute("error.type", why)
            self._span.set_status(StatusCode.ERROR)


@final
class Wait:
    """The time that the texts of a request wait for the model."""

    def __init__(self, request: Any = None, span: Any = None) -> None:
        """Take the span of the request, and that of the wait."""
        self.request, self._span = request, span

    def end(self) -> None:
        """The first of the texts are in a batch, or nobody waits any more."""
        span, self._span = self._span, None
        if span is not None:
            span.end()


@final
class Tracer:
    """Makes spans, or none without a provider of OpenTelemetry."""

    def __init__(self, provider: Any = None) -> None:
        """Take the provider that samples and exports spans."""
        self._tracer = None if provider is None else provider.get_tracer("finetext", __version__)

    @contextmanager
    def request(self, scope: Scope, route: str, name: str) -> Iterator[Span]:
        """Have a span for a request to a route while the body runs, below that of the client."""
        if self._tracer is None or route in UNTRACED:
            yield Span()
            return
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        headers = {key.decode("latin-1"): of.decode("latin-1") for key, of in scope["headers"]}
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        about = {"http.request.method": method, "http.route": route, "finetext.request_id": name}
        with self._tracer.start_as_current_span(
            f"{method} {route}", extract(headers), SpanKind.SERVER, about,
            record_exception=False, set_status_on_exception=False,
        ) as span:  # fmt: skip
            yield Span(span)

    def waiting(self, texts: int) -> Wait:
        """Begin the span of texts that wait, below that of their request."""
        if self._tracer is None:
            return Wait()
        from opentelemetry.trace import get_current_span

        span = self._tracer.start_span("queue", attributes={"finetext.texts": texts})
        return Wait(get_current_span(), span)

    @contextmanager
    def batch(self, waits: Sequence[Wait], texts: int) -> Iterator[Span]:
        """Have a span for a batch while the body runs, linked with the requests in it."""
        for wait in waits:
            wait.end()
        requests = [
            wait.request for wait in waits
            if wait.request is not None and wait.request.get_span_context().trace_flags.sampled
        ]  # fmt: skip
        if self._tracer is None or not requests:
            yield Span()
            return
        from opentelemetry.context import Context
        from opentelemetry.trace import Link

        links = [Link(request.get_span_context()) for request in requests]
        span = self._tracer.start_span(
            "batch", Context(), attributes={"finetext.texts": texts}, links=links
        )
        for request in requests:
            request.add_link(span.get_span_context())
        try:
            yield Span(span)
        finally:
            span.end()


def tracer_from_environment() -> Tracer:
    """Return a tracer as the variables OTEL_... say: one that makes no spans by default.

    Raises:
        MissingExtraError: they name an endpoint or an exporter, and the SDK is not installed.
        RecipeError: they name an exporter that is not installed.
    """
    known = os.environ
    exporters = known.get("OTEL_TRACES_EXPORTER", "")
    if not exporters and any(known.get(name) for name in _ENDPOINTS):
        exporters = "otlp"
    is_off = known.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if is_off or exporters.strip().lower() in ("", "none"):
        return Tracer()
    for package in ("opentelemetry", "opentelemetry.sdk"):
        if find_spec(package) is None:
            raise MissingExtraError("tracing requests (OTEL_...)", "opentelemetry-sdk", "otel")
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    is_named = SERVICE_NAME in known.get("OTEL_RESOURCE_ATTRIBUTES", "")
    named = {} if is_named or "OTEL_SERVICE_NAME" in known else {SERVICE_NAME: "finetext"}
    provider = TracerProvider(resource=Resource.create(named))
    for name in exporters.split(","):
        provider.add_span_processor(BatchSpanProcessor(_exporter(name.strip())))
    return Tracer(provider)


def _exporter(name: str) -> Any:
    """Return an exporter by what the specification of OpenTelemetry calls it."""
    wanted, protocol = name, "http/protobuf"
    if name == "otlp":
        protocol = next(filter(None, map(os.environ.get, _PROTOCOLS)), protocol)
        wanted = _EXPORTERS.get(protocol, protocol)
    for found in entry_points(group="opentelemetry_traces_exporter", name=wanted):
        return found.load()()
    if wanted == "otlp_proto_http":
        package = "opentelemetry-exporter-otlp-proto-http"
        raise MissingExtraError("tracing requests (OTEL_...)", package, "otel")
    what = f"the protocol {protocol}" if name == "otlp" else f"OTEL_TRACES_EXPORTER={name}"
    raise RecipeError(
        f"{what}: no such exporter of OpenTelemetry is installed; install it, or use "
        "OTEL_TRACES_EXPORTER=otlp with OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
    )
