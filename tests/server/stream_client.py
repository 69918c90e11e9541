"""A client of WebSocket /v1/stream that can send arbitrary messages."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
from http_helpers import TIMEOUT
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


class StreamClient:
    """Sends `hello`, frames (n_mels, frames) and `end`, and reads the server's messages."""

    def __init__(self, connection):
        self.connection = connection

    def hello(self, **options):
        self.connection.send(json.dumps(options))

    def begin(self, **options):
        """Send the hello message and return the server's ready message."""
        self.hello(**options)
        ready = self.text()
        assert ready["type"] == "ready"
        return ready

    def send(self, mel, *sizes):
        """Send frames in messages whose sizes cycle through `sizes`, or in one message."""
        start, turn = 0, 0
        while start < mel.shape[1]:
            size = sizes[turn % len(sizes)] if sizes else mel.shape[1]
            self.connection.send(np.ascontiguousarray(mel[:, start : start + size].T, "<f4").tobytes())
            start, turn = start + size, turn + 1

    def end(self):
        self.connection.send('{"end": true}')

    def text(self):
        message = self.connection.recv(TIMEOUT)
        assert isinstance(message, str)
        return json.loads(message)

    def rest(self):
        """Return all audio up to the last message, and that message."""
        audio = bytearray()
        while isinstance(message := self.connection.recv(TIMEOUT), bytes):
            audio += message
        return bytes(audio), json.loads(message)

    def closed(self):
        """Return the code and the reason with which the server closes the connection."""
        with pytest.raises(ConnectionClosed) as closed:
            self.connection.recv(TIMEOUT)
        return closed.value.rcvd.code, closed.value.rcvd.reason

    def problem(self):
        """Return the problem that ends the connection, and how it is closed."""
        _, problem = self.rest()
        return problem, *self.closed()


@contextmanager
def dial(url, query="", **options):
    """Open a WebSocket of the server: `with dial(url) as client`."""
    with connect(f"{url.replace('http', 'ws', 1)}/v1/stream{query}", proxy=None, **options) as connection:
        yield StreamClient(connection)


def synthesize(client, mel, *sizes, **options):
    client.begin(**options)
    client.send(mel, *sizes)
    client.end()
    answer = client.rest()
    assert client.closed() == (1000, "")
    return answer
