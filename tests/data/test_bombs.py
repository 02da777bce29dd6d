"""Files made to fill memory: refused within the budget of reading, measured in a child process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bombs import BOMBS, HARMLESS, LARGE, dictionary, packed, parquet

BUDGET = 64_000_000
MORE = 150_000_000
"""What Python, parsers and the file itself may take beside the budget."""
READ = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import datasets, openpyxl, pyarrow.compute, pyarrow.parquet
import finetext.data.stream as stream
from finetext.core.errors import FinetextError
from finetext.core.settings import ReadSettings
from finetext.data.read import read
from finetext.data.rows import Wanted

settings = ReadSettings(labelled=False, most_bytes=int(sys.argv[1]))

def run(path, way):
    if way == "read":
        return len(read(path, settings=settings))
    return sum(map(len, stream.open_stream(path, settings, Wanted(columns=True)).batches))

def measured(path, way):
    end, begin = os.pipe()
    child = os.fork()
    if not child:
        try:
            said = run(path, way) if path else 0
        except FinetextError as error:
            said = str(error)
        except BaseException as error:
            said = f"bug: {error!r}"
        os.write(begin, json.dumps(said).encode()[:60_000])
        os._exit(0)
    os.close(begin)
    with os.fdopen(end) as pipe:
        said = pipe.read()
    _, status, used = os.wait4(child, 0)
    return json.loads(said or '"bug: killed"'), used.ru_maxrss * 1024

_, base = measured("", "read")
found = {path: measured(path, way) for path, way in json.loads(sys.argv[2])}
print(json.dumps({path: (said, peak - base) for path, (said, peak) in found.items()}))
"""


def measure(files: dict[str, bytes], way: str, folder: Path) -> dict[str, Any]:
    """What reading each file said, and by how many bytes memory grew."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    asked = [(str(folder / name), way) for name in files]
    words = [sys.executable, "-c", READ, str(BUDGET), json.dumps(asked)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=600)
    return {Path(path).name: found for path, found in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    files = {name: make() for name, (make, _) in BOMBS.items()}
    files |= {name: make() for name, make in HARMLESS.items()}
    assert max(map(len, files.values())) < 6_000_000
    return measure(files, "read", tmp_path_factory.mktemp("bombs"))


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_within_the_budget(name: str, found: dict[str, Any]) -> None:
    said, grown = found[name]
    assert isinstance(said, str), said
    assert not said.startswith("bug")
    assert any(part in said for part in BOMBS[name][1].split("|")), said
    assert grown < BUDGET + MORE, f"{grown:,}"


@pytest.mark.slow
@pytest.mark.parametrize("name", HARMLESS)
def test_what_a_file_says_of_its_size_costs_nothing(name: str, found: dict[str, Any]) -> None:
    said, grown = found[name]
    assert isinstance(said, int), said
    assert grown < BUDGET + MORE


STREAMED = {
    "line.csv.gz": lambda: packed(b"text\n", b"a" * LARGE),
    "dictionary.parquet": lambda: parquet(dictionary),
    "list.parquet": BOMBS["list.parquet"][0],
}
"""What `predict` reads some rows at a time."""


@pytest.mark.slow
def test_streams_stay_within_the_budget_too(tmp_path: Path) -> None:
    found = measure({name: make() for name, make in STREAMED.items()}, "stream", tmp_path)
    assert "most_bytes" in found["line.csv.gz"][0]
    assert "most_bytes" in found["list.parquet"][0]
    assert found["dictionary.parquet"][0] == 200_000  # 100 GB of texts, but few at a time
    assert all(grown < BUDGET + MORE for _, grown in found.values())
