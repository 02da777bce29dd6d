"""Ray Data and Ray Serve on a local cluster of two CPUs: the same answers as one process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pyarrow
import pyarrow.compute
import pyarrow.parquet
import pytest

import finetext
import finetext.ray
from finetext.batch.predict_parts import predict_parts
from finetext.batch.ray_engine import crew_of
from finetext.core.contracts import FitContext
from finetext.core.errors import FinetextError, MissingExtraError, RecipeError
from finetext.core.types import Dataset

ROWS = 12_000
# Ray warns of what Ray itself calls.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")


def test_the_package_ray_is_not_taken_for_ours_and_imported_only_when_used() -> None:
    pytest.importorskip("ray")
    code = (
        "import sys, finetext.ray as ours\nfrom finetext.batch import predictor\n"
        "assert 'ray' not in sys.modules and 'torch' not in sys.modules\n"
        "import ray\nassert ray is not ours and callable(ray.init)\n"
        "assert ours.Deployment.name == 'finetext' and ours.Deployment is ours.Deployment"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


def test_a_deployment_without_ray_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"finetext\[ray\]"):
        finetext.ray.build_app({"model": "runs/reviews"})
    with pytest.raises(AttributeError, match="no attribute 'Predicter'"):
        finetext.ray.Predicter  # noqa: B018


@pytest.mark.parametrize(
    ("resources", "actors", "device", "crew"),
    [
        ({"CPU": 2.0}, None, None, (2, {"num_cpus": 1.0})),
        ({"CPU": 2.0}, 4, None, (4, {"num_cpus": 0.5})),
        ({"CPU": 2.0}, 3, None, (3, {"num_cpus": 0.6666})),
        ({"CPU": 64.0}, None, None, (10, {"num_cpus": 1.0})),
        ({"CPU": 16.0, "GPU": 2.0}, None, None, (2, {"num_cpus": 1.0, "num_gpus": 1.0})),
        ({"CPU": 16.0, "GPU": 2.0}, 4, "cuda", (4, {"num_cpus": 1.0, "num_gpus": 0.5})),
        ({"CPU": 16.0, "GPU": 2.0}, 3, None, (3, {"num_cpus": 1.0, "num_gpus": 0.5})),
        ({"CPU": 16.0, "GPU": 1.0}, 7, None, (7, {"num_cpus": 1.0, "num_gpus": 0.1428})),
        ({"CPU": 16.0, "GPU": 4.0}, 2, None, (2, {"num_cpus": 1.0, "num_gpus": 1.0})),
        ({"CPU": 4.0, "GPU": 2.0}, None, "cpu", (4, {"num_cpus": 1.0})),
        ({}, None, None, (1, {"num_cpus": 1.0})),
    ],
)
def test_actors_share_the_processors_of_the_cluster(
    resources: dict[str, float], actors: int | None, device: str | None, crew: Any
) -> None:
    assert crew_of(resources, actors, device, parts=10) == crew


def test_a_cluster_that_is_not_there_is_named_at_once(
    command: Any, finished: Path, reviews: Path
) -> None:
    pytest.importorskip("ray")
    port = _free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        words = ("predict", finished, reviews, "--out", "parts/", "--engine", "ray")
        seen = command(*words, status=2)
    assert f"no Ray cluster answers at RAY_ADDRESS=127.0.0.1:{port}" in seen.err
    assert not Path("parts").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--engine", "spark", "--out", "parts/"], "there is no engine named 'spark'"),
        (["--engine", "ray"], "--engine ray needs a folder; name it with --out FOLDER/"),
        (["--actors", "2", "--out", "parts/"], "--actors 2: it is for --engine ray"),
    ],
)
def test_options_of_engines(
    command: Any, finished: Path, reviews: Path, words: list[str], said: str
) -> None:
    assert said in command("predict", finished, reviews, *words, status=2).err


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A local cluster of two CPUs, whose processes end with the tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        ray = pytest.importorskip("ray", reason="ray is not installed")
        patch.delenv("OMP_NUM_THREADS", raising=False)
        patch.delenv("RAY_ADDRESS", raising=False)
        ray.init(
            num_cpus=2, object_store_memory=100 << 20, include_dashboard=False,
            log_to_driver=False, logging_level="ERROR",
        )  # fmt: skip
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield ray
        ray.shutdown()


@pytest.fixture(scope="module")
def model(topics: Dataset, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a small encoder, which computes with torch, in fp32 in every process."""
    method = finetext.Probe(encoder=str(tiny_encoder))
    fitted = method.fit(topics, topics.select(range(3)), FitContext(device="cpu"))
    return fitted.with_precision("fp32").save(tmp_path_factory.mktemp("models") / "topics")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four Parquet files, of which four parts are made."""
    words = ("team", "bank", "soup", "match", "rates", "bread", "loan")
    texts = [f"the {words[n % 7]} and the {words[n // 7 % 7]} {n}" for n in range(ROWS)]
    table = pyarrow.table({"id": list(map(str, range(ROWS))), "text": texts})
    folder = tmp_path_factory.mktemp("rows")
    for number in range(4):
        part = table.slice(number * ROWS // 4, ROWS // 4)
        pyarrow.parquet.write_table(part, folder / f"{number}.parquet")
    return folder


@pytest.fixture(scope="module")
def expected(model: Path, rows: Path) -> pyarrow.Table:
    """What one process predicts, in four parts."""
    out = rows.with_name("expected")
    predict_parts(model, rows, out)
    return pyarrow.parquet.read_table(out)


@pytest.mark.slow
def test_actors_predict_the_same_in_one_thread_each_though_one_is_killed(
    cluster: Any, model: Path, rows: Path, expected: pyarrow.Table, tmp_path: Path
) -> None:
    class Watched:
        """A predictor whose process is killed in its second batch, once."""

        def __init__(self, model: str, killed: str) -> None:
            self.predictor, self.killed, self.batches = finetext.ray.Predictor(model), killed, 0

        def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
            import torch

            done = self.predictor(batch)
            self.batches += 1
            if self.batches == 2 and not os.path.exists(self.killed):
                Path(self.killed).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            note = pyarrow.array([f"{os.getpid()} {torch.get_num_threads()}"] * len(done))
            return done.append_column("note", note)

    killed = tmp_path / "killed"
    found = cluster.data.read_parquet(str(rows)).repartition(4).map_batches(
        Watched, fn_constructor_kwargs={"model": str(model), "killed": str(killed)},
        compute=cluster.data.ActorPoolStrategy(min_size=1, max_size=2), num_cpus=0.5,
        batch_size=500, batch_format="pyarrow",
    )  # fmt: skip
    table = pyarrow.concat_tables(cluster.get(found.to_arrow_refs()))
    assert killed.exists()
    notes = {note.partition(" ")[::2] for note in table["note"].to_pylist()}
    assert {threads for _, threads in notes} == {"1"}
    order = pyarrow.compute.sort_indices(pyarrow.compute.cast(table["id"], "int64"))
    same = table.drop_columns("note").take(order)
    assert same.schema == expected.schema
    for name in same.column_names:
        values, wanted = same[name].to_pylist(), expected[name].to_pylist()
        is_number = name.startswith("probability")  # batches of 500 rows round otherwise
        assert values == (pytest.approx(wanted, abs=1e-6) if is_number else wanted)


@pytest.mark.slow
@pytest.mark.parametrize("actors", [2, 4])
def test_actors_write_the_same_parts_though_one_is_killed(
    cluster: Any, model: Path, rows: Path, expected: pyarrow.Table, tmp_path: Path, actors: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from finetext.batch import ray_engine

    class Mortal:
        """An actor that is killed once it has written half of its first part."""

        def __init__(self, plan: Any) -> None:
            self.actor, self.killed = ray_engine.PartActor(plan), tmp_path / "killed"

        def open(self, todo: Any) -> Any:
            return self.actor.open(todo)

        def write(self, piece: Any) -> Any:
            if not self.killed.exists():
                self.killed.touch()
                tables = self.actor._writer.tables
                self.actor._writer.tables = lambda piece: (
                    table if number == 0 else os.kill(os.getpid(), signal.SIGKILL)
                    for number, table in enumerate(tables(piece))
                )
            return self.actor.write(piece)

    said: list[str] = []
    listener = finetext.Listener(say=said.append)
    monkeypatch.setattr(ray_engine, "PartActor", Mortal)
    out = tmp_path / "out"
    done = predict_parts(model, rows, out, engine="ray", actors=actors, listener=listener)
    assert (done.rows, done.written, done.is_complete) == (ROWS, 4, True)
    assert pyarrow.parquet.read_table(out).equals(expected)
    assert any("an actor died at the part part-0000" in line for line in said)
    assert sorted(path.name[:-17] for path in out.glob("part-*")) == [
        f"part-000000{number}-000000000000" for number in range(4)
    ]


@pytest.mark.slow
def test_an_actor_that_always_dies_ends_it_and_an_error_arrives_in_words(
    cluster: Any, model: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetext.batch import ray_engine

    class Dying:
        def __init__(self, plan: Any) -> None:
            pass

        def open(self, todo: Any) -> Any:
            os.kill(os.getpid(), signal.SIGKILL)

    out = tmp_path / "out"
    with pytest.raises(RecipeError, match="cuda:7"):
        predict_parts(model, rows, out, engine="ray", precision=None, device="cuda:7")
    monkeypatch.setattr(ray_engine, "PartActor", Dying)
    with pytest.raises(FinetextError, match="3 actors of Ray died while it loaded the model"):
        predict_parts(model, rows, out, engine="ray")
    assert not out.exists()


@pytest.mark.slow
def test_a_killed_driver_loses_nothing(
    model: Path, rows: Path, expected: pyarrow.Table, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "finetext", "predict", model, rows, "--out", f"{out}/"]
    started = subprocess.Popen([*command, "--engine", "ray", "--actors", "1"])
    while not list(out.glob("*.parquet")) and started.poll() is None:
        time.sleep(0.02)
    started.kill()
    started.wait()
    there = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert there
    subprocess.run([*command, "--engine", "ray"], check=True, timeout=300)
    assert pyarrow.parquet.read_table(out).equals(expected)
    assert (out / "_SUCCESS").exists()
    assert there.items() <= {p.name: p.stat().st_mtime_ns for p in out.glob("*.parquet")}.items()


@pytest.mark.slow
def test_a_model_that_a_node_lacks_is_named_with_the_node(cluster: Any, rows: Path) -> None:
    data = cluster.data.read_parquet(str(rows)).limit(10)
    with pytest.raises(Exception, match=r"no model or run folder /not/here \(on the node"):
        data.map_batches(
            finetext.ray.Predictor, fn_constructor_kwargs={"model": "/not/here"},
            compute=cluster.data.ActorPoolStrategy(size=1), batch_format="pyarrow",
        ).materialize()  # fmt: skip


@pytest.mark.slow
def test_the_deployment_answers_as_the_server_does(cluster: Any, model: Path) -> None:
    from ray import serve
    from serving_toys import Client

    from finetext.serving.app import make_app
    from finetext.serving.model import ServedModel, about

    port = _free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    try:
        given = {"model": str(model), "settings": {"request_texts": 3}}
        serve.run(finetext.ray.build_app(given))
        settings = finetext.ServeSettings(request_texts=3)
        alone = make_app(
            ServedModel(finetext.load(model, engine="latency")),
            settings,
            None,
            about(model),
            is_local=True,
        )
        texts = ["the team won", "a loan from the bank"]
        many = ["x"] * 4
        for method, path, value in [
            ("GET", "/health", None), ("GET", "/health/live", None), ("GET", "/info", None),
            ("POST", "/predict", {"inputs": texts}), ("POST", "/", {"inputs": texts[0]}),
            ("POST", "/decide", {"inputs": texts}), ("POST", "/explain", {"inputs": texts[0]}),
            ("POST", "/predict", {"inputs": many}), ("POST", "/predict", {"texts": 1}),
            ("GET", "/openapi.json", None), ("GET", "/", None), ("GET", "/page/page.css", None),
            ("GET", "/nowhere", None), ("POST", "/info", {}),
        ]:  # fmt: skip
            answer = Client(alone)(method, path, value)
            found = _asked(f"http://127.0.0.1:{port}{path}", method, value)
            assert found[0] == answer.status, path
            assert found[1] == answer.body, path
        status = serve.status().applications["default"].deployments["finetext"]
        assert status.status.name == "HEALTHY"
    finally:
        serve.shutdown()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _asked(url: str, method: str, value: Any) -> tuple[int, bytes]:
    data = None if value is None else json.dumps(value).encode()
    request = Request(url, data, {"content-type": "application/json"}, method=method)
    try:
        with urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()
