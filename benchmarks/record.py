"""Append the leaderboard of a run to RESULTS.md, with the command, the date and the machine.

python benchmarks/record.py runs/emotion --title "Emotion tweets" \
    --command "finetext train emotion" --metrics accuracy,macro_f1 --note "one thread"
"""

from __future__ import annotations

import argparse
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import finetext
from finetext.core.types import Score

RESULTS = Path(__file__).parent / "RESULTS.md"


def main() -> None:
    """Read the run and append a section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--title", required=True)
    parser.add_argument("--command", required=True)
    parser.add_argument("--metrics", required=True, help="names joined by commas")
    parser.add_argument("--note", default="")
    arguments = parser.parse_args()
    run = finetext.Run.open(arguments.run)
    lines = [
        f"## {arguments.title}",
        "",
        f"    {arguments.command}",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {machine()}. {arguments.note}".strip(),
        "",
        *leaderboard(run, arguments.metrics.split(",")),
        "",
        *comparisons(run),
        "",
    ]
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def leaderboard(run: finetext.Run, metrics: list[str]) -> list[str]:
    """A Markdown table of validation and test scores."""
    titles = [f"{name} {split}" for name in metrics for split in ("validation", "test")]
    lines = [f"| method | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for entry in run.leaderboard:
        scores = [
            cell(entry.metrics[split][name]) for name in metrics for split in ("validation", "test")
        ]
        lines.append(f"| {entry.method} | {' | '.join(scores)} |")
    return lines


def comparisons(run: finetext.Run) -> list[str]:
    """The paired difference of every method to the best one on test rows, as the run found it."""
    lines = [f"Best on validation by {run.metric}: {run.best}."]
    for method, found in run.comparisons.items():
        lines.append(
            f"{method} less {run.best} on test: {found.metric} {cell(found.difference)}, "
            f"p {found.p_value:.2g} ({found.test})."
        )
    return lines


def cell(score: Score) -> str:
    """A value with its 95% interval."""
    return f"{score.value:.4f} [{score.low:.4f}, {score.high:.4f}]"


def commit() -> str:
    """The commit of the code, with a mark if the working tree differs."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=8"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def machine() -> str:
    """Processor and cores."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.startswith("model name"):
            return f"{line.split(':')[1].strip()}, {os.cpu_count()} cores"
    return f"{os.cpu_count()} cores"


if __name__ == "__main__":
    main()
