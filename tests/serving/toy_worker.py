"""A program that speaks to the parent as a worker does, and does what its model says.

The model is a file: "good", "wrong", "dies" (before it is ready), "babbles", "slow" (until there is
a file FREE), "crashes" (soon after it is ready), or "stuck" (does not stop, nor does its child).
What happens is written, a line each, into EVENTS beside it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Work until standard input ends."""
    number = sys.argv[2]
    task = json.loads(sys.stdin.readline())
    model = Path(task["model"])
    behavior = model.read_text()

    def note(event: str) -> None:
        with (model.parent / "events").open("a") as file:
            file.write(f"{event} {number}\n")

    note(f"{behavior} starts with {os.environ['OMP_NUM_THREADS']} threads as")
    if behavior == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if behavior == "wrong":
        print(json.dumps({"error": "the model is damaged"}), flush=True)
        raise SystemExit(1)
    if behavior == "babbles":
        print('{"address": "http', flush=True)
    while behavior == "slow" and not (model.parent / "free").exists():
        time.sleep(0.01)
    if behavior == "stuck":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        note(f"stuck has {child.pid} as child of")
    print(json.dumps({"address": "http://toy", "columns": ["title"], "engine": ""}), flush=True)
    if behavior == "crashes":
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
    if behavior == "stuck":
        time.sleep(60)
    note(f"{behavior} stops as")


if __name__ == "__main__":
    main()
