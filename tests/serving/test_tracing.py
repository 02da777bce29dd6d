"""Spans in the in-memory exporter of OpenTelemetry, and what its variables do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from serving_toys import Client, Toy

from finetext.core.errors import MissingExtraError, RecipeError
from finetext.core.settings import ServeSettings
from finetext.serving.tracing import Tracer, tracer_from_environment

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
Traced = tuple[Client, Callable[[], dict[str, list[Any]]]]


@pytest.fixture
def sdk() -> Any:
    return pytest.importorskip("opentelemetry.sdk.trace", reason="the extra otel is not installed")


@pytest.fixture
def traced(sdk: Any, toy: Toy) -> Iterator[Traced]:
    """A client of an app whose spans are kept, and a function that returns them by name."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from finetext.serving.app import make_app
    from finetext.serving.model import ServedModel

    exporter, provider = InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = make_app(ServedModel(toy), ServeSettings(), tracer=Tracer(provider))

    def spans() -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for span in exporter.get_finished_spans():
            found.setdefault(span.name, []).append(span)
        return found

    yield Client(app), spans
    provider.shutdown()


def test_a_request_its_wait_and_its_batch(traced: Traced) -> None:
    client, spans = traced
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine"}
    assert client("POST", "/predict", {"inputs": ["one", "two"]}, headers=headers).status == 200
    [request], [queue], [batch] = (spans()[name] for name in ("POST /predict", "queue", "batch"))
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == PARENT
    assert request.kind.name == "SERVER"
    assert dict(request.attributes) == {
        "http.request.method": "POST", "http.route": "/predict", "finetext.request_id": "mine",
        "http.response.status_code": 200,
    }  # fmt: skip
    assert queue.parent.span_id == request.context.span_id
    assert queue.context.trace_id == request.context.trace_id
    assert request.start_time <= queue.start_time <= queue.end_time <= batch.end_time
    assert batch.parent is None
    assert [link.context.span_id for link in batch.links] == [request.context.span_id]
    assert [link.context.span_id for link in request.links] == [batch.context.span_id]
    assert batch.attributes["finetext.texts"] == 2


def test_a_batch_links_to_every_request_in_it(traced: Traced, toy: Toy) -> None:
    client, spans = traced
    client.all([("POST", "/predict", {"inputs": str(number)}, {}) for number in range(5)])
    batches, requests = spans()["batch"], spans()["POST /predict"]
    linked = [link.context.span_id for batch in batches for link in batch.links]
    assert sorted(linked) == sorted(request.context.span_id for request in requests)
    assert len(batches) == len(toy.batches) < 5
    assert len({request.context.trace_id for request in requests}) == 5


def test_no_span_holds_a_text_or_what_a_model_said_of_it(traced: Traced) -> None:
    client, spans = traced
    texts = ["a text that breaks it", "another secret"]
    client.all([("POST", "/predict", {"inputs": text}, {}) for text in texts])
    client("GET", "/a secret address")
    found = [span for of_name in spans().values() for span in of_name]
    written = json.dumps([json.loads(span.to_json()) for span in found])
    assert "secret" not in written
    assert "breaks" not in written
    assert {"GET other"} < {*spans()}
    [failed] = [s for s in spans()["POST /predict"] if s.status.status_code.name == "ERROR"]
    assert dict(failed.attributes)["error.type"] == "500"
    assert {s.attributes.get("error.type") for s in spans()["batch"]} >= {"RuntimeError"}


def test_what_the_client_does_not_sample_is_not_kept(traced: Traced) -> None:
    client, spans = traced
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
    assert client("POST", "/predict", {"inputs": "x"}, headers=headers).status == 200
    assert spans() == {}


def test_probes_and_scrapes_have_no_spans(traced: Traced) -> None:
    client, spans = traced
    for path in ("/ready", "/health", "/health/live", "/metrics"):
        assert client("GET", path).status == 200
    assert spans() == {}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_SERVICE_NAME": "a name alone"},
    ],
)
def test_without_an_endpoint_there_are_no_spans(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    """Also where OpenTelemetry is not installed."""
    set_only(monkeypatch, variables)
    monkeypatch.setattr("finetext.serving.tracing.find_spec", lambda name: None)
    with tracer_from_environment().batch([], 1) as span:
        assert span.ids == {}


def test_an_endpoint_without_the_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_only(monkeypatch, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    monkeypatch.setattr("finetext.serving.tracing.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "finetext\[otel\]"'):
        tracer_from_environment()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "carrier-pigeon"}, "OTEL_TRACES_EXPORTER=carrier-pigeon"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"},
            "the protocol smoke",
        ),
    ],
)
def test_an_unknown_exporter_is_refused(
    sdk: Any, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    set_only(monkeypatch, variables)
    with pytest.raises(RecipeError, match=message):
        tracer_from_environment()


def test_the_environment_chooses_exporter_service_and_sampler(
    sdk: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # the exporter takes what it is at its start
    made: list[Any] = []
    real = sdk.TracerProvider
    monkeypatch.setattr(sdk, "TracerProvider", lambda **of: made.append(real(**of)) or made[-1])
    for name, variables in (
        ("finetext", {}), ("tickets", {"OTEL_SERVICE_NAME": "tickets"}),
        ("tickets", {"OTEL_RESOURCE_ATTRIBUTES": "service.name=tickets"}),
    ):  # fmt: skip
        set_only(monkeypatch, {"OTEL_TRACES_EXPORTER": "console", **variables})
        tracer_from_environment()
        assert made[-1].resource.attributes["service.name"] == name
    set_only(monkeypatch, {"OTEL_TRACES_EXPORTER": "console", "OTEL_TRACES_SAMPLER": "always_off"})
    tracer_from_environment()
    assert "AlwaysOff" in made[-1].sampler.get_description()
    for provider in made:
        provider.shutdown()


def set_only(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Set variables of OpenTelemetry, and no others of its."""
    import os

    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
