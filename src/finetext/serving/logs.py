"""The log on standard error: lines for people, or JSON with a line for every request.

finetext writes no text into it. What a library raises is logged whole, as a fault cannot be found
without it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Literal, final

LOG: Final = logging.getLogger("finetext.serving")
REQUESTS: Final = logging.getLogger("finetext.serving.requests")
"""One record for each request, which only the JSON log has."""
OF_REQUEST: Final[ContextVar[Mapping[str, Any]]] = ContextVar("finetext_request")
"""What every line about the request of this task has, such as its id."""
FIELDS: Final = "finetext_fields"
"""The attribute of a record with further fields of its line; libraries have other ones."""
Form = Literal["text", "json"]


@final
class _Indented(logging.Formatter):
    """Indents all but the first line of a record, so that none is taken for another record."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\r", "\n").replace("\n", "\n    ")


@final
class _Json(logging.Formatter):
    """Writes a record as an object of JSON in one line."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": time, "level": record.levelname.lower()}
        line |= {"logger": record.name, "process": record.process, "message": record.getMessage()}
        own = getattr(record, FIELDS, {})
        line |= {**OF_REQUEST.get({}), **(own if isinstance(own, Mapping) else {})}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_to_stderr(form: Form = "text") -> None:
    """Write the log to standard error, unless the program logs already.

    As text these are warnings, errors and what happens to workers; as JSON also every request.
    """
    handler = logging.StreamHandler()
    is_json = form == "json"
    handler.setFormatter(_Json() if is_json else _Indented("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    LOG.setLevel(logging.INFO)
    REQUESTS.setLevel(logging.INFO if is_json else logging.WARNING)
    if is_json:
        logging.captureWarnings(True)
