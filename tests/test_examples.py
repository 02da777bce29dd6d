"""The scripts in `examples/` run as they are."""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import finetext

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPTS = sorted(EXAMPLES.rglob("*.py"))
TOKEN = "sixteen-letters!"

Environment = dict[str, str]


def loaded(name: str) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def installed(package: Path, site: Path) -> Path:
    """A folder of packages in which a package has its entry points, as pip leaves them."""
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    head = f"Metadata-Version: 2.4\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(head, encoding="utf-8")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for module in package.glob("*.py"):
        (site / module.name).write_text(module.read_text(encoding="utf-8"), encoding="utf-8")
    return site


def test_every_example_is_listed_and_tested() -> None:
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    tested = Path(__file__).read_text(encoding="utf-8")
    assert len(SCRIPTS) >= 4
    for script in SCRIPTS:
        assert f"({script.relative_to(EXAMPLES).as_posix()})" in listed
        assert f'"{script.stem}"' in tested


def test_train_and_predict(
    workplace: Path, reviews: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded("train_and_predict").main(str(reviews), "a fine and moving film")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("best: tfidf")
    assert [line.split()[0] for line in lines[1:3]] == ["majority", "tfidf"]
    assert lines[-1].startswith("a fine and moving film {'good': 0.")


@pytest.fixture
def package(tmp_path: Path) -> Environment:
    """The environment variables of a Python that has the package "keywords"."""
    site = installed(EXAMPLES / "keywords", tmp_path / "site")
    paths = [str(site), str(Path(finetext.__file__).parent.parent)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


@pytest.mark.slow
def test_a_method_of_a_package_is_known_to_every_command(
    workplace: Path, reviews: Path, package: Environment
) -> None:
    def run(*words: object) -> str:
        command = [sys.executable, "-m", "finetext", *map(str, words)]
        done = subprocess.run(command, env=package, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    given = ("--methods", "majority,keywords", "--set", "methods.keywords.words=20")
    assert "keywords" in run("train", reviews, *given, "--out", "run")
    assert "good" in run("predict", "run/keywords/model", "a fine and moving film")
    with reviews.open(encoding="utf-8") as file:
        Path("new.csv").write_text("".join([*file][:21]), encoding="utf-8")
    assert "accuracy" in run("evaluate", "run/keywords/model", "new.csv")


@pytest.mark.slow
def test_the_method_of_a_package_keeps_the_contract(package: Environment) -> None:
    contract = str(EXAMPLES.parent / "tests" / "contract" / "test_methods.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", contract]
    done = subprocess.run(
        [*command, "-k", "keywords"], env=package, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) >= 20


def test_client(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn")
    client = loaded("client")
    command = [sys.executable, "-m", "finetext", "serve", str(finished), "--port", "0", "--json"]
    environment = os.environ | {"FINETEXT_TOKEN": TOKEN}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            lines = iter(server.stdout.readline, "")
            address = next(line for line in lines if '"address"' in line).split('"')[3]
            rows = client.scores(address, ["a fine and moving film", "a dull film"], TOKEN)
            assert [max(row, key=row.get) for row in rows] == ["good", "bad"]
            assert all(abs(sum(row.values()) - 1) < 1e-4 for row in rows)
            with pytest.raises(RuntimeError, match="status 401"):
                client.scores(address, ["a fine film"], "another-token-of-20")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("FINETEXT_TOKEN", TOKEN)
                client.main(address, "a fine and moving film")
        finally:
            server.terminate()
    score, label, text = capsys.readouterr().out.splitlines()[-1].split("\t")
    assert (label, text) == ("good", "a fine and moving film")
    assert 0.5 < float(score) <= 1


def test_compare_predictions(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = finetext.open_predicted(finished).predictions
    table = tmp_path / "theirs.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", "probability:bad", "probability:good"])
        for row, truth in zip(ours.ids, ours.scheme.decode(ours.targets), strict=True):
            writer.writerow([row, truth, 0.6, 0.4])
    loaded("compare_predictions").main(str(table), str(finished))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{table}: accuracy 0.")
    assert lines[2].startswith(f"{finished}: accuracy ")
    assert lines[-1].startswith("difference in accuracy: -0.")
    assert lines[-1].endswith("at 5%")
