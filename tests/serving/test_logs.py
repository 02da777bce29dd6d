"""The log as JSON: a line for every request, with its id, and never with its texts."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from io import StringIO
from typing import Any

import pytest
from serving_toys import Client

from finetext.serving.logs import FIELDS, LOG, REQUESTS, log_to_stderr

Make = Callable[..., Client]
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """A function that returns the lines of the JSON log."""
    root, written = logging.getLogger(), StringIO()
    before = root.handlers, root.level, LOG.level, REQUESTS.level
    root.handlers = []
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", written)
        log_to_stderr("json")
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.handlers = before[0]
    for logger, level in zip((root, LOG, REQUESTS), before[1:], strict=True):
        logger.setLevel(level)
    logging.captureWarnings(False)


def test_each_request_has_a_line(make_client: Make, logged: Lines) -> None:
    client = make_client()
    answer = client("POST", "/predict", {"inputs": "x"}, headers={"x-request-id": "order-66"})
    other = client("GET", "/not a secret place", headers={"x-request-id": "no\nid"})
    [first, second] = logged()
    assert datetime.fromisoformat(first["time"]).tzinfo is not None
    assert isinstance(first["process"], int)
    assert 0 <= first.pop("seconds") < 60
    told = {name: first[name] for name in ("level", "message", "method", "path", "status")}
    assert told == {
        "level": "info", "message": "request", "method": "POST", "path": "/predict", "status": 200,
    }  # fmt: skip
    assert first["request_id"] == answer.headers["x-request-id"] == "order-66"
    assert second["request_id"] == other.headers["x-request-id"] != "no\nid"
    assert (second["path"], second["status"]) == ("other", 404)


def test_a_fault_has_the_id_of_its_request_and_no_text(make_client: Make, logged: Lines) -> None:
    client = make_client()
    texts = ["a text that breaks it", "a text without a number"]
    for number, text in enumerate(texts):
        answer = client("POST", "/", {"inputs": text}, headers={"x-request-id": f"r{number}"})
        assert answer.status == 500
        assert answer.headers["x-request-id"] == f"r{number}"
    lines = logged()
    assert [(line["request_id"], line["level"]) for line in lines] == [
        ("r0", "error"), ("r0", "info"), ("r1", "error"), ("r1", "info"),
    ]  # fmt: skip
    assert "RuntimeError: /secret/place is broken" in lines[0]["traceback"]
    written = json.dumps(lines)
    assert not [text for text in texts if text in written]


def test_refusals_are_logged_with_their_status(make_client: Make, logged: Lines) -> None:
    client = make_client(token="s3cret")
    client("POST", "/predict", {"inputs": "x"})
    client("POST", "/predict", body=b"{", headers={"authorization": "Bearer s3cret"})
    assert [line["status"] for line in logged()] == [401, 400]
    assert "s3cret" not in json.dumps(logged())


def test_requests_at_the_same_time_keep_their_ids(make_client: Make, logged: Lines) -> None:
    asked = [
        ("POST", "/predict", {"inputs": str(number)}, {"headers": {"x-request-id": f"r{number}"}})
        for number in range(20)
    ]
    make_client().all(asked)
    assert sorted(line["request_id"] for line in logged()) == sorted(f"r{n}" for n in range(20))


def test_lines_cannot_be_forged(logged: Lines) -> None:
    message = "one\n{}\r%s\u2028\ud800"
    record = LOG.makeRecord(LOG.name, logging.WARNING, __file__, 1, message, ('"two"',), None)
    # Not by the logger: pytest-xdist cannot send what pytest would keep of a lone surrogate.
    logging.getLogger().handlers[0].handle(record)
    [line] = logged()
    assert line["message"].startswith('one\n{}\r"two"')


def test_what_libraries_add_to_a_record_is_no_field(logged: Lines) -> None:
    logging.getLogger("other").warning("said", extra={"fields": "x", FIELDS: "y"})
    [line] = logged()
    assert line.keys() == {"time", "level", "logger", "process", "message"}


def test_as_text_there_is_no_line_for_a_request() -> None:
    code = (
        "from finetext.serving.logs import FIELDS, LOG, REQUESTS, log_to_stderr; log_to_stderr();"
        "REQUESTS.info('request', extra={FIELDS: {}}); LOG.info('replaced: 2 workers')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("\n") == 1
    assert done.stderr.rstrip().endswith("INFO replaced: 2 workers")
