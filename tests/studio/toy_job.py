"""A training run that only pretends: it waits, fails or is done, as its first method says."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from finetext.core.contracts import ProgressEvent
from finetext.core.errors import DataError
from finetext.storage.files import write_json
from finetext.studio.job_process import REQUEST, RESULT, Reporter, _told


def main() -> None:
    """Do as the request says."""
    folder = Path(sys.argv[1])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    what = json.loads((folder / REQUEST).read_text())["methods"][0]
    reporter = Reporter(folder)

    def work() -> dict[str, Any]:
        reporter.progress(ProgressEvent("toy: half of it", 1, 2))
        reporter.say("it has begun")
        if what == "wait":
            time.sleep(600)
        if what == "fail":
            raise DataError("the data are odd; mend them")
        if what == "bug":
            raise ZeroDivisionError("division by zero")
        return {"state": "done", "message": ""}

    write_json(folder / RESULT, _told(work, reporter) | {"time": time.time()})


if __name__ == "__main__":
    main()
