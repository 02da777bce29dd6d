"""Execute the tutorials in docs/tutorials, store them with their outputs, and print what they took.

    FINETEXT_DATA=../shared/data python benchmarks/notebooks.py [01 03]

Each notebook runs in an empty folder with an empty cache and a kernel of its own, one after the
other. `data` in that folder is a link to FINETEXT_DATA, so that no path of this machine is in an
output. Lines are those of the code
cells without blank lines, comments and imports; statements are counted by Python's own parser.
"""

from __future__ import annotations

import argparse
import ast
import os
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

TUTORIALS = Path(__file__).parent.parent / "docs" / "tutorials"
DATA = "FINETEXT_DATA"
MIMES = ("text/plain", "text/html", "image/png")
PARAMETERS = "parameters"
MOST_PLAIN = 400
"""Characters of a plain text that only shows where HTML does not."""
LONGEST = 1800
"""Seconds that a cell may take on a busy machine."""


def code_of(notebook: Any) -> str:
    """Return the code of all cells."""
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def size_of(code: str) -> tuple[int, int]:
    """Return the lines and the statements of code, without imports, comments and blank lines."""
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.stmt)]
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    left_out = {n for of in imports for n in range(of.lineno, (of.end_lineno or 0) + 1)}
    lines = [
        line
        for number, line in enumerate(code.splitlines(), start=1)
        if number not in left_out and line.strip() and not line.lstrip().startswith("#")
    ]
    return len(lines), len(nodes) - len(imports)


def with_values(notebook: Any, values: dict[str, Any]) -> Any:
    """Return the notebook with other parameters: a cell after the one with this tag sets them."""
    place = next(
        number
        for number, cell in enumerate(notebook.cells)
        if PARAMETERS in cell.metadata.get("tags", [])
    )
    lines = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(lines))
    return notebook


def execute(notebook: Any, folder: Path, data: Path | None) -> float:
    """Execute a notebook in a folder, in place, and return the seconds from start to end."""
    if data is not None:
        (folder / "data").symlink_to(data.resolve())
    environment = {name: of for name, of in os.environ.items() if name != DATA}
    environment |= {
        "FINETEXT_CACHE": str(folder / "cache"),
        "XDG_STATE_HOME": str(folder / "state"),
        "COLUMNS": "100",
    }
    client = NotebookClient(
        notebook, timeout=LONGEST, kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )  # fmt: skip
    started = time.perf_counter()
    client.execute(env=environment)
    return time.perf_counter() - started


def clean(notebook: Any, folder: Path) -> None:
    """Drop what differs from machine to machine, and what no reader sees.

    Those are times of cells, the places of `folder` and of installed packages, bars that libraries
    write to standard error, and the end of a plain text beside which there is HTML.
    """
    places = (f"{folder}/", f"{sysconfig.get_path('purelib')}/")
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {"tags": tags} if (tags := cell.metadata.get("tags")) else {}
        if cell.cell_type == "code":
            cell.outputs = [_cleaned(of, places) for of in cell.outputs if not _is_bar(of)]


def _cleaned(output: Any, places: tuple[str, ...]) -> Any:
    output.pop("transient", None)
    if "text" in output:
        output.text = _without(output.text, places)
    if "data" in output:
        kept = {of: _without(output.data[of], places) for of in MIMES if of in output.data}
        if "text/html" in kept:
            kept["text/plain"] = kept.get("text/plain", "")[:MOST_PLAIN]
        output.data, output.metadata = kept, {}
    return output


def _is_bar(output: Any) -> bool:
    if output.get("name") != "stderr":
        return False
    return "it/s]" in output.text or not output.text.strip()


def _without(text: str, places: tuple[str, ...]) -> str:
    for place in places:
        text = text.replace(place, "")
    return text


def main() -> None:
    """Execute the tutorials that are asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("only", nargs="*", help="the beginnings of names, such as 01")
    options = parser.parse_args()
    data = Path(os.environ[DATA]) if DATA in os.environ else None
    print("| notebook | lines | statements | seconds | kB |\n|---|---|---|---|---|")
    for path in sorted(TUTORIALS.glob("*.ipynb")):
        if options.only and not path.name.startswith(tuple(options.only)):
            continue
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory(prefix="tutorial-") as folder:
            seconds = execute(notebook, Path(folder), data)
        clean(notebook, Path(folder))
        nbformat.write(notebook, path)
        lines, statements = size_of(code_of(notebook))
        kilobytes = path.stat().st_size / 1000
        print(f"| {path.stem} | {lines} | {statements} | {seconds:.0f} | {kilobytes:.0f} |")


if __name__ == "__main__":
    main()
