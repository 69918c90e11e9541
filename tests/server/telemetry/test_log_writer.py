"""A log that nobody reads holds nothing up: lines are dropped and counted."""

import logging
import os
import time

import pytest

from server.telemetry.logs import LogWriter


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


def test_lines_come_in_order(pipe):
    writer = LogWriter(pipe[1])
    logger = logger_of(writer)
    for number in range(100):
        logger.warning("line %d \udcff", number)
    writer.flush()
    assert os.read(pipe[0], 65536).decode().splitlines() == [f"line {number} \\udcff" for number in range(100)]
    assert writer.dropped == 0


def test_nobody_reads(pipe):
    writer = LogWriter(pipe[1], most=10)
    logger = logger_of(writer)
    for _ in range(1000):
        logger.warning("x" * 999)
    assert 900 < writer.dropped < 1000
    began = time.monotonic()
    writer.flush()
    assert time.monotonic() - began < 30.0
    dropped = writer.dropped
    while b"the end" not in os.read(pipe[0], 65536):  # somebody reads again
        logger.warning("the end")
        time.sleep(0.001)
    assert writer.dropped >= dropped


def test_a_line_that_cannot_be_made_is_counted(pipe):
    writer = LogWriter(pipe[1])
    logger_of(writer).warning("%d", "no number")
    assert writer.dropped == 1


def test_a_file_that_cannot_be_written_is_counted(pipe):
    reading, writing = os.pipe()
    os.close(reading)
    writer = LogWriter(writing)
    logger_of(writer).warning("a line")
    writer.flush()
    assert writer.dropped == 1
    os.close(writing)
