"""The worker's log: a line an event on stderr, as text for people or JSON for programs."""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, datetime
from typing import Any, Literal

from forthwith.cli.printable import lines, one_line

LogFormat = Literal["text", "json"]
LEVELS = ("debug", "info", "warning", "error", "critical")

# The extras of a record may hold a job with its arguments, which no log line shows. Only these are
# taken.
_EXTRAS = (
    *("action", "job_id", "task", "task_name", "queue", "attempt", "outcome", "duration_s"),
    *("worker_id", "worker_name", "exception_type"),
)


def configure_logging(level: str, log_format: LogFormat) -> None:
    """Send all records of `level` (one of LEVELS) and above to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    if level == "info":
        # That tasks are registered is no news to whoever starts a worker.
        logging.getLogger("procrastinate.blueprints").setLevel(logging.WARNING)


class TextFormatter(logging.Formatter):
    """Time in UTC, level, logger and message; only a traceback takes further lines."""

    converter = staticmethod(time.gmtime)
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the first line, with whatever is unsafe in it escaped."""
        return one_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return the traceback, each of its lines made safe."""
        return "\n".join(lines(super().formatException(ei)))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, known extras, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON in ASCII."""
        document: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        document |= {key: getattr(record, key) for key in _EXTRAS if hasattr(record, key)}
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, default=str)
