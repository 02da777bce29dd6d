"""One worker of `finetext serve --workers`: a process that answers on the socket of its parent.

    python -m finetext.serving.worker SOCKET NUMBER

The first line of standard input says what to serve: a `Task` as JSON. Standard output gets one
line: that it is ready, or why it is not. When standard input ends, as it does when the parent dies,
the worker answers what it has accepted and ends.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from threading import Thread
from typing import TYPE_CHECKING, Any

from finetext.core.errors import FinetextError, ModelError

if TYPE_CHECKING:
    from finetext.serving.workers import Task


def main() -> None:
    """Serve until standard input ends."""
    from finetext.core.terminal import escape_output
    from finetext.serving.workers import Task
    from finetext.storage.codec import from_json

    told = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # of libraries that print
    escape_output()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    handle, number = map(int, sys.argv[1:])

    def tell(**values: Any) -> None:
        print(json.dumps(values), file=told, flush=True)

    try:
        task = from_json(Task, json.loads(sys.stdin.readline()), "the task", ModelError)
        Thread(target=_end_with_parent, name="finetext-parent", daemon=True).start()
        work(task, number, socket.socket(fileno=handle), tell)
    except FinetextError as error:
        tell(error=str(error))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(0) from None


def work(task: Task, number: int, listening: socket.socket, tell: Callable[..., None]) -> None:
    """Load the model and answer until the parent says stop."""
    from finetext.models.engines import engine_of
    from finetext.runs.load import load_for
    from finetext.serving.logs import LOG, log_to_stderr
    from finetext.serving.metrics import keep_by_number
    from finetext.serving.model import about
    from finetext.serving.server import answer

    log_to_stderr(task.settings.log_format)
    keep_by_number(number)
    say = lambda line: LOG.info("%s", line)  # noqa: E731
    classifier = load_for("latency", task.model, task.device, task.precision, say)

    def ready(address: str) -> None:
        columns = classifier.scheme.text_columns
        tell(address=address, columns=columns, engine=engine_of(classifier))

    answer(listening, classifier, about(task.model), task.token, task.settings, ready)


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
