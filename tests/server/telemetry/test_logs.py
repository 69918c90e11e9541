import io
import json
import logging.config
import os
import time

import pytest
from http_helpers import npy

from server.telemetry.logs import REQUEST_ID, LogWriter, logging_config

pytestmark = pytest.mark.usefixtures("own_logging")

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def configured(log_format, level="info"):
    stream = io.StringIO()
    config = logging_config(log_format, level)
    config["handlers"]["stderr"] |= {"()": logging.StreamHandler, "stream": stream}
    logging.config.dictConfig(config)
    return stream


async def test_a_request_is_one_line_of_json_without_its_content(start, new_mel):
    async with start() as client:
        stream = configured("json")
        headers = {"X-Request-Id": "find-me", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "User-Agent": "secret"}
        await client.post("/synthesize?seed=123456", content=npy(new_mel(frames=9)), headers=headers)
        await client.get("/livez")
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert entry.pop("time").endswith("+00:00")
    assert 0.0 < entry.pop("seconds") < 60.0
    timings = {name: entry.pop(f"{name}_seconds") for name in ("read", "decode", "queue", "infer", "encode")}
    assert min(timings.values()) >= 0.0
    assert entry == {
        "level": "INFO", "logger": "server.telemetry.requests", "message": "answered", "request_id": "find-me",
        "trace_id": TRACE, "method": "POST", "route": "/synthesize", "status": 200, "model": "fake", "frames": 9,
    }  # fmt: skip


async def test_failed_requests_log_the_problem(start):
    async with start() as client:
        stream = configured("json")
        await client.post("/synthesize", content=b"secret", headers={"traceparent": "nonsense"})
        await client.request("BREW", "/secret")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["status"], first["problem"], first["route"]) == (400, "malformed-body", "/synthesize")
    assert (second["status"], second["method"], second["route"]) == (404, "other", "unmatched")
    assert "secret" not in stream.getvalue()
    assert "trace_id" not in first


async def test_the_text_format_has_one_line_per_request(start):
    async with start() as client:
        stream = configured("text")
        await client.get("/models")
    (line,) = stream.getvalue().splitlines()
    assert " INFO server.telemetry.requests: answered " in line
    assert {"method=GET", "route=/models", "status=200"} <= set(line.split())


def test_tracebacks_include_the_request_id(caplog):
    stream = configured("json", "debug")
    REQUEST_ID.set("find-me")
    try:
        raise KeyError("broken")
    except KeyError:
        logging.getLogger("server.somewhere").exception("it failed", extra={"color_message": "\x1b[31m"})
    REQUEST_ID.set(None)
    logging.getLogger("server.elsewhere").debug("no request")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["message"], first["request_id"]) == ("it failed", "find-me")
    assert "KeyError: 'broken'" in first["exc_info"]
    assert first.keys() == {"time", "level", "logger", "message", "request_id", "exc_info"}
    assert "request_id" not in second


def test_log_levels_and_automatic_formats(monkeypatch):
    stream = configured("text", "error")
    logging.getLogger("server.x").warning("too low")
    logging.getLogger("elsewhere").warning("others may warn")
    logging.getLogger("server.x").error("high enough")
    assert [line.partition(": ")[2] for line in stream.getvalue().splitlines()] == ["others may warn", "high enough"]
    for terminal, expected in ((True, "text"), (False, "json")):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal)
        assert logging_config("auto", "info")["handlers"]["stderr"]["formatter"] == expected


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def logger_of(writer):
    logger = logging.Logger("test")
    logger.addHandler(writer)
    return logger


def test_lines_are_written_in_order(pipe):
    logger = logger_of(writer := LogWriter(pipe[1]))
    for number in range(100):
        logger.warning("line %d \udcff", number)
    writer.flush()
    assert os.read(pipe[0], 65536).decode().splitlines() == [f"line {number} \\udcff" for number in range(100)]
    assert writer.dropped == 0


def test_lines_are_dropped_if_the_pipe_is_not_read(pipe):
    logger = logger_of(writer := LogWriter(pipe[1], most=10))
    for _ in range(1000):
        logger.warning("x" * 999)
    assert 900 < writer.dropped < 1000
    start = time.monotonic()
    writer.flush()
    assert time.monotonic() - start < 30.0
    dropped = writer.dropped
    while b"the end" not in os.read(pipe[0], 65536):  # the pipe is read again
        logger.warning("the end")
        time.sleep(0.001)
    assert writer.dropped >= dropped


def test_lines_that_cannot_be_formatted_or_written_are_counted(pipe):
    logger_of(writer := LogWriter(pipe[1])).warning("%d", "no number")
    assert writer.dropped == 1
    reading, writing = os.pipe()
    os.close(reading)
    logger_of(writer := LogWriter(writing)).warning("a line")
    writer.flush()
    assert writer.dropped == 1
    os.close(writing)
