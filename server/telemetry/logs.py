"""Logging: one line per request, as JSON or text, without anything from a client's body or query.

A thread writes the lines, so that no request waits for the reader of standard error.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from contextvars import ContextVar
from logging.handlers import QueueHandler
from queue import Queue
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

STANDARD_OUTPUT, STANDARD_ERROR = 1, 2
MOST_LINES = 4096  # waiting to be written
PATIENCE = 1.0  # seconds an exiting process waits for its last lines
REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""the request that a log record belongs to"""

# Attributes that logging itself, and uvicorn for coloured terminals, put into every record.
KNOWN = frozenset({*RESERVED_ATTRS, "taskName", "color_message"})


def logging_config(log_format: str, level: str) -> dict[str, Any]:
    """Return the configuration for `logging.config.dictConfig`; auto means text on a terminal, otherwise json."""
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
        "handlers": {"stderr": {"()": LogWriter, "formatter": log_format, "filters": [add_request_id]}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        # uvicorn's records about a WebSocket contain its URL with the query.
        "loggers": {**loggers, "server.websocket": {"level": "WARNING"}},
    }


def add_request_id(record: logging.LogRecord) -> bool:
    """Add the request id to a record. This is a logging filter that drops nothing."""
    request_id = REQUEST_ID.get()
    if request_id is not None and not hasattr(record, "request_id"):
        record.request_id = request_id
    return True


class TextFormatter(logging.Formatter):
    """Writes the message followed by the record's extra fields as name=value."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the line, without a traceback."""
        fields = {name: value for name, value in vars(record).items() if name not in KNOWN}
        return " ".join([super().formatMessage(record), *(f"{name}={value}" for name, value in fields.items())])


class LogWriter(QueueHandler):
    """Writes records to standard error. While nobody reads it, `most` lines wait and further ones are dropped.

    A pipe holds only 64 KiB. A server that waited for its reader would stop answering, and could not be stopped.
    """

    def __init__(self, descriptor: int | None = None, most: int = MOST_LINES) -> None:
        self.lines = Queue[bytes](most)
        super().__init__(self.lines)
        self.dropped = 0  # records that were not written
        # A duplicate, because audio decoding redirects standard error for a moment.
        self._descriptor = os.dup(STANDARD_ERROR) if descriptor is None else descriptor
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def prepare(self, record: logging.LogRecord) -> bytes:
        """Return a record as a line."""
        return f"{self.format(record)}\n".encode(errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Count a record that could not be formatted or queued."""
        self.dropped += 1

    def flush(self) -> None:
        """Wait until everything is written, but at most a second."""
        with self.lines.all_tasks_done:
            self.lines.all_tasks_done.wait_for(lambda: not self.lines.unfinished_tasks, PATIENCE)

    def _write(self) -> None:
        while True:
            if not _write_all(self._descriptor, self.lines.get()):
                self.dropped += 1
            self.lines.task_done()


def dropped_lines() -> int:
    """Return how many lines of the log were dropped."""
    return sum(handler.dropped for handler in logging.getLogger().handlers if isinstance(handler, LogWriter))


def say(text: str, descriptor: int = STANDARD_ERROR) -> None:
    """Write a line to standard error or output, but give up after a second, or at once if nobody can read it."""
    line = f"{text}\n".encode(errors="backslashreplace")
    writing = threading.Thread(target=_write_all, args=(descriptor, line), daemon=True)
    writing.start()
    writing.join(PATIENCE)


def _write_all(descriptor: int, data: bytes) -> bool:
    """Write all data, however long it takes; return whether that succeeded."""
    with contextlib.suppress(OSError):
        while data:
            try:
                data = data[os.write(descriptor, data) :]
            except BlockingIOError:  # another process made it non-blocking, as some terminals do
                time.sleep(0.01)
        return True
    return False
