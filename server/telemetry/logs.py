"""Logs: one line per request, as JSON or text, without anything from a client's body or query."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from server.telemetry.log_writer import LogWriter

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""the request that a log record belongs to"""

# What logging itself, and uvicorn for coloured terminals, put into every record.
KNOWN = frozenset({*RESERVED_ATTRS, "taskName", "color_message"})


def logging_config(log_format: str, level: str) -> dict[str, Any]:
    """Return the configuration for `logging.config.dictConfig`; the format auto is text on a terminal, else json."""
    if log_format == "auto":
        log_format = "text" if sys.stderr.isatty() else "json"
    json_format = {
        "()": JsonFormatter,
        "fmt": ["levelname", "name", "message"],
        "rename_fields": {"levelname": "level", "name": "logger"},
        "timestamp": "time",
        "reserved_attrs": sorted(KNOWN),
    }
    text_format = {"()": TextFormatter, "fmt": "%(asctime)s %(levelname)s %(name)s: %(message)s"}
    loggers = {name: {"level": level.upper()} for name in ("server", "vocoder", "uvicorn", "uvicorn.error")}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": json_format, "text": text_format},
        "filters": {"request_id": {"()": RequestIdFilter}},
        "handlers": {"stderr": {"()": LogWriter, "formatter": log_format, "filters": ["request_id"]}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        # uvicorn's records about a WebSocket repeat its address with the query.
        "loggers": {**loggers, "server.websocket": {"level": "WARNING"}},
    }


class RequestIdFilter(logging.Filter):
    """Adds the request id to records."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        request_id = REQUEST_ID.get()
        if request_id is not None and not hasattr(record, "request_id"):
            record.request_id = request_id
        return True


class TextFormatter(logging.Formatter):
    """Writes the message, then the record's own fields as name=value."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the line, without a traceback."""
        fields = {name: value for name, value in vars(record).items() if name not in KNOWN}
        return " ".join([super().formatMessage(record), *(f"{name}={value}" for name, value in fields.items())])
