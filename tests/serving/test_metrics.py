"""What is counted, by one process and by several that share a folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_toys import Client, Toy

pytest.importorskip("prometheus_client")

from finetext.methods.cascade import CascadeClassifier, Stage
from finetext.serving.metrics import FOLDER, Metrics, forget_worker, free_number

Make = Callable[..., Client]

WORKER = """
import sys
from finetext.serving.metrics import Metrics, keep_by_number

keep_by_number(int(sys.argv[1]))
metrics = Metrics()
for _ in range(int(sys.argv[2])):
    metrics.answered("/predict", 200, 0.2)
    metrics.predicted(3, 0.1)
metrics.queue.set(float(sys.argv[3]))
sys.stdout.buffer.write(metrics.exposed())
"""


def numbers(text: bytes) -> dict[str, float]:
    """The samples of the text format by name and labels."""
    lines = [line for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def families(text: bytes) -> dict[str, str]:
    """The types of the metrics by name; only one process says when it began to count."""
    found = dict(re.findall(r"^# TYPE (finetext_\S+) (\S+)$", text.decode(), re.M))
    return {name: of for name, of in found.items() if not name.endswith("_created")}


def worker(folder: Path, number: int, requests: int, queue: int) -> dict[str, float]:
    """What a worker exposes that has counted requests and then ends."""
    command = [sys.executable, "-c", WORKER, *map(str, (number, requests, queue))]
    environment = os.environ | {FOLDER: str(folder)}
    return numbers(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)


def test_workers_expose_their_sums(tmp_path: Path) -> None:
    first = worker(tmp_path, 1, 5, 4)
    both = worker(tmp_path, 2, 7, 6)
    name = 'finetext_requests_total{path="/predict",status="200"}'
    assert (first[name], both[name]) == (5, 12)
    assert (first["finetext_texts_total"], both["finetext_texts_total"]) == (15, 36)
    assert both['finetext_request_seconds_bucket{le="0.25",path="/predict"}'] == 12
    assert both["finetext_batch_seconds_sum"] == pytest.approx(1.2)
    assert (first["finetext_queue_texts"], both["finetext_queue_texts"]) == (4, 10)
    assert (first["finetext_workers"], both["finetext_workers"]) == (1, 2)
    assert not [name for name in both if name.startswith("process_")]


def test_no_count_falls_when_a_worker_ends_and_its_number_is_used_again(tmp_path: Path) -> None:
    worker(tmp_path, 1, 5, 4)
    worker(tmp_path, 2, 7, 6)
    forget_worker(1, str(tmp_path))
    names = sorted(tmp_path.iterdir())
    third = worker(tmp_path, 1, 1, 1)
    assert third["finetext_texts_total"] == 39
    assert (third["finetext_queue_texts"], third["finetext_workers"]) == (7, 2)
    assert len([*tmp_path.iterdir()]) == len(names) + 1  # the gauges of the new one


def test_one_process_and_workers_expose_the_same_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    metrics = Metrics()
    metrics.answered("/predict", 200, 0.2)
    alone = metrics.exposed()
    command = [sys.executable, "-c", WORKER, "1", "1", "0"]
    environment = os.environ | {FOLDER: str(tmp_path)}
    shared = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
    assert families(alone) == families(shared)
    assert "process_resident_memory_bytes" in numbers(alone)
    assert numbers(alone)["finetext_workers"] == 1


@given(st.sets(st.integers(1, 30)))
def test_a_free_number_is_the_least_that_is_not_taken(taken: set[int]) -> None:
    number = free_number(taken)
    assert number not in taken
    assert set(range(1, number)) <= taken


def test_texts_that_a_cascade_sends_on_are_counted(make_client: Make, toy: Toy) -> None:
    stages = Stage("cheap", toy), Stage("expensive", Toy())
    surest = toy.predict_proba(["a", "bbb", "cc"]).max(axis=1)
    cascade = CascadeClassifier(toy.scheme, toy.decision, *stages, float(surest.max()))
    client = make_client(cascade)
    client("POST", "/predict", {"inputs": ["a", "bbb", "cc"]})
    found = numbers(client("GET", "/metrics").body)
    assert found["finetext_texts_total"] == 3
    assert found["finetext_texts_sent_on_total"] == int((surest < surest.max()).sum()) > 0
