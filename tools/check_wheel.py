"""Build the sdist and the wheel, install the wheel into an empty environment, and use it there.

    python tools/check_wheel.py                 # builds into dist/
    python tools/check_wheel.py --built         # takes what is in dist/
    python tools/check_wheel.py --sbom FILE     # also lists what was installed, as CycloneDX

The Python that runs it needs the tools of `requirements-tools.lock`; the empty environment gets
finetext with the extra `offline` alone, in the versions of `constraints.txt`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from zipfile import ZipFile

ROOT: Final = Path(__file__).parent.parent
DIST: Final = ROOT / "dist"
MISSING: Final = {
    "map runs/news --method tfidf": "map",
    "serve runs/news": "serve",
    "export runs/news/probe": "export",
    "explore table.xlsx": "excel",
    "classify lines.csv --labels a,b --llm http://127.0.0.1:9/v1 --llm-model toy": "llm",
    "train bbc-news --methods majority --out runs/tracked --track tensorboard": "tensorboard",
    "predict runs/news 'lines*.csv' --out parts/ --engine ray": "ray",
}
"""A command that needs more than is installed, to the extra that it has to name."""


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how many seconds a step took."""
    start = time.perf_counter()
    yield
    print(f"{time.perf_counter() - start:6.1f} s  {what}", flush=True)


def run(*words: str | Path, folder: Path = ROOT, status: int = 0) -> str:
    """Return what a command printed; end with all of it if its status is another."""
    unset = ("PYTHONPATH", "PIP_CONSTRAINT")
    environment = {name: of for name, of in os.environ.items() if name not in unset}
    environment |= {"HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1"}
    done = subprocess.run(
        [*map(str, words)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode != status:
        shown = " ".join(map(str, words))
        sys.exit(f"{shown}: status {done.returncode} instead of {status}\n{done.stdout}")
    return done.stdout


def build() -> None:
    """Build sdist and wheel, the wheel from the sdist; nothing else may be in `dist/`."""
    for old in DIST.glob("finetext-*"):
        old.unlink()
    run(sys.executable, "-m", "build", "--outdir", DIST)


def check_files() -> Path:
    """Return the wheel, once twine takes it and it has each file of the package and no other."""
    [wheel], [sdist] = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    source = ROOT / "src"
    files = {path for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    expected = {path.relative_to(source).as_posix() for path in files}
    with ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    if packed != expected:
        sys.exit(f"{wheel.name} differs from src/: {sorted(packed ^ expected)}")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """Return the folder of commands of a new environment with the wheel."""
    venv.create(folder, with_pip=True)
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = (commands / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check")
    run(*pip, "-c", ROOT / "constraints.txt", f"finetext[offline] @ {wheel.resolve().as_uri()}")
    run(commands / "python", "-m", "pip", "check")
    return commands


def check_help(commands: Path, folder: Path) -> int:
    """Ask each command for its help; return how many there are."""
    asked = "import typer\nfrom finetext.cli.app import app\n"
    asked += "print(*typer.main.get_command(app).commands)"
    names = run(commands / "python", "-c", asked, folder=folder).split()
    for name in names:
        text = run(commands / "finetext", name, "--help", folder=folder)
        if "Usage: finetext" not in text:
            sys.exit(f"finetext {name} --help prints no usage:\n{text}")
    return len(names)


def check_training(commands: Path, folder: Path) -> None:
    """Train a baseline, TF-IDF and a probe of the encoder on part of the sample, and predict."""
    finetext = commands / "finetext"
    sizes = ("--train-size", "200", "--validation-size", "100", "--test-size", "200")
    words = ("train", "bbc-news", "--methods", "majority,tfidf,probe", "--max-length", "64")
    run(finetext, *words, *sizes, "--out", "runs/news", folder=folder)
    told = run(finetext, "show", "runs/news", "--json", "--quiet", folder=folder)
    rows = json.loads(told)["leaderboard"]
    board = {row["method"]: row["metrics"]["test"]["macro_f1"]["value"] for row in rows}
    if not board["majority"] < 0.3 < 0.8 < board["tfidf"]:
        sys.exit(f"the scores are not those of the sample: {board}")
    text = "The striker scored twice in the second half of the match."
    if "sport" not in run(finetext, "predict", "runs/news", text, folder=folder):
        sys.exit("a text on sport is predicted otherwise")
    (folder / "lines.csv").write_text(f"text\n{text}\n", encoding="utf-8")
    run(finetext, "predict", "runs/news", "lines.csv", "--out", "out.csv", folder=folder)
    if "sport" not in (folder / "out.csv").read_text(encoding="utf-8"):
        sys.exit("the table of predictions lacks them")


def check_missing(commands: Path, folder: Path) -> None:
    """Check that what needs another extra says which one, without a traceback."""
    (folder / "table.xlsx").write_bytes(b"PK\x03\x04")
    for line, extra in MISSING.items():
        words = [word.strip("'") for word in line.split()]
        text = run(commands / "finetext", *words, folder=folder, status=2)
        if f"[{extra}]" not in text or "Traceback" in text:
            sys.exit(f"finetext {line} does not name the extra {extra}:\n{text}")


def main() -> None:
    """Do what the options say, with the seconds of each step."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--built", action="store_true", help="take sdist and wheel from dist/")
    options.add_argument("--sbom", type=Path, metavar="FILE", help="write what was installed")
    given = options.parse_args()
    if not given.built:
        with timed("built"):
            build()
        with timed("checked the files"):
            wheel = check_files()
    else:
        [wheel] = DIST.glob("*.whl")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with timed("installed into an empty environment"):
            commands = install(wheel, folder / "environment")
        with timed("asked for help"):
            print(f"{check_help(commands, folder)} commands")
        with timed("trained and predicted"):
            check_training(commands, folder)
        with timed("asked for what is not installed"):
            check_missing(commands, folder)
        if given.sbom is not None:
            described = ("--pyproject", ROOT / "pyproject.toml", "--output-reproducible")
            with timed("listed the packages"):
                run(
                    *(sys.executable, "-m", "cyclonedx_py", "environment", *described),
                    *("--output-file", given.sbom.resolve(), commands / "python"),
                )


if __name__ == "__main__":
    main()
