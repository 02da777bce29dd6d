"""Do two versions of finetext give the same scores, to the last digit?

    FINETEXT_DATA=../shared/data python benchmarks/same_scores.py --out before.txt
    FINETEXT_DATA=../shared/data python benchmarks/same_scores.py --against before.txt

Trains the default methods with seed 0 on three sets and prints every metric with its interval, as
`repr` writes it. `--against FILE` also prints the difference to an earlier output; the exit status
is 1 if there is one. Only the command line is used, so the script measures any version that
PYTHONPATH names:

| set | rows | command |
|---|---|---|
| bbc-news | 2,225 articles | `finetext train bbc-news` |
| emotion | the first 2,000 training tweets | `finetext train emotion.txt` |
| goemotions | the first 1,000 training comments | `finetext train goemotions.tsv`, random splits |

The output leaves out what depends on the clock: training time, rows per second, model size, and
which method is the cheapest. Four other things change digits without any change of code:

- Number format, attention and threads are chosen by measured speed if a training takes 100 steps or
  more. The choice counts only if it can be stored in the cache folder. Here the cache folder cannot
  be created, so each training takes the default, and nothing comes from an earlier run's cache.
  Lines with `trained with` show what was used.
- The default precision, `auto`, is bf16 on processors with AMX or AVX512-BF16 and fp32 elsewhere.
  `--precision fp32` makes the scores of different processors comparable.
- The number of threads is set with `--threads`, 2 by default.
- Processor and library versions are in the first lines, which `--against` does not compare.

`scores_747c6c8.txt` is of a version that trained on bbc-news with settings of its own.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Final

Values = dict[str, Any]

PACKAGES: Final = ("torch", "transformers", "tokenizers", "numpy", "scipy", "scikit-learn")
SETS: Final = ("bbc-news", "emotion", "goemotions")


def main() -> None:
    """Train on the sets that were asked for and print the scores."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the output to this file, too")
    parser.add_argument("--against", type=Path, help="an earlier output to compare with")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="auto", help="fp32 to compare across processors")
    given = parser.parse_args()
    lines = []
    for line in output(given.sets, given.threads, given.precision):
        print(line, flush=True)
        lines.append(line)
    if given.out is not None:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if given.against is not None:
        raise SystemExit(compared(given.against, lines, given.sets))


def output(sets: list[str], threads: int, precision: str) -> Iterator[str]:
    """Yield the lines on the machine, then those on each set."""
    python = f"Python {platform.python_version()}"
    yield f"# {processor()}, {threads} threads, precision {precision}, {python}"
    yield "# " + ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in sets:
            how = ["--precision", precision] if precision != "auto" else []
            run(["train", *arguments(name, place), *how, "--out", name, "--quiet"], place, threads)
            shown = json.loads(run(["show", name, "--json"], place, threads))
            yield from leaderboard(name, shown)
            for entry in shown["leaderboard"]:
                model = f"{name}/{entry['model']}"
                told = json.loads(run(["info", model, "--json"], place, threads))
                if used := found(told, "trained_with"):
                    used = json.dumps(used, sort_keys=True)
                    yield f"{name} {entry['method']} trained with {used}"


def arguments(name: str, place: Path) -> list[str]:
    """Return the arguments of `finetext train` for a set, once its file is written."""
    common = ["--seed", "0", "--device", "cpu"]
    if name == "bbc-news":
        return [name, *common]
    data = Path(os.environ["FINETEXT_DATA"]).resolve()
    if name == "emotion":
        first_lines(data / "emotion" / "train.txt", place / "emotion.txt", 2_000)
        return ["emotion.txt", *common]
    first_lines(data / "goemotions" / "train.tsv", place / "goemotions.tsv", 1_000)
    names = str(data / "goemotions" / "labels.txt")
    # One of the labels occurs once, so no stratified split is possible.
    random = ["--set", "split.strategy=random"]
    return ["goemotions.tsv", "--label-names", names, *random, *common]


def first_lines(source: Path, place: Path, rows: int) -> None:
    """Copy the first lines of a file."""
    with source.open(encoding="utf-8", newline="") as file:
        place.write_text("".join(islice(file, rows)), encoding="utf-8", newline="")


def run(words: list[str], place: Path, threads: int) -> str:
    """Run a command of finetext in a folder and return what it prints."""
    blocked = place / "no-cache"
    blocked.touch()
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(Path(path).resolve()) for path in paths if path),
        "FINETEXT_CACHE": str(blocked / "cache"),
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)),
    }
    command = [sys.executable, "-m", "finetext", *words]
    done = subprocess.run(
        command, cwd=place, env=environment, check=False, text=True, stdout=subprocess.PIPE
    )
    if done.returncode:
        raise SystemExit(f"finetext {' '.join(words)} ended with status {done.returncode}")
    return done.stdout


def leaderboard(name: str, shown: Values) -> Iterator[str]:
    """Yield a line per metric and comparison of a run, without what depends on the clock."""
    yield f"{name} best {shown['best']} by {shown['metric']}"
    for entry in shown["leaderboard"]:
        for split, scores in sorted(entry["metrics"].items()):
            for metric, score in sorted(scores.items()):
                yield f"{name} {entry['method']} {split} {metric} {interval(score)}"
    for method, compared_with_best in sorted(shown["comparisons"].items()):
        p_value = compared_with_best["p_value"]
        difference = interval(compared_with_best["difference"])
        yield f"{name} {method} less {shown['best']} {difference} p={p_value!r}"


def interval(score: Values) -> str:
    """Return a score, its interval and the number of rows."""
    return f"{score['value']!r} [{score['low']!r}, {score['high']!r}] n={score['n']}"


def found(values: Any, key: str) -> Any:
    """Return the first value under a key, at any depth; None if there is none."""
    if not isinstance(values, dict):
        return None
    if key in values:
        return values[key]
    inner = (found(value, key) for value in values.values())
    return next((value for value in inner if value is not None), None)


def compared(earlier: Path, lines: list[str], sets: list[str]) -> int:
    """Print the difference to an earlier output and return the exit status."""
    before = earlier.read_text(encoding="utf-8").splitlines()
    asked = [line for line in before if line.split(" ", 1)[0] in sets]
    now = [line for line in lines if not line.startswith("#")]
    differing = list(difflib.unified_diff(asked, now, str(earlier), "now", n=0, lineterm=""))
    print("\n".join(differing) or f"the same as in {earlier}")
    return bool(differing)


def processor() -> str:
    """Return the processor's name, and its instructions that decide on precision."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    there = [name for name in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if name in flags]
    return " ".join([(names or [platform.machine()])[0], *there])


if __name__ == "__main__":
    main()
