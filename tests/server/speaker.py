"""A client of WebSocket /v1/stream that sends what it likes."""

import json

import numpy as np
import pytest
from answers import TIMEOUT
from websockets.exceptions import ConnectionClosed


class Speaker:
    """A client: `hello`, `send` frames (n_mels, frames), `end`, and what comes back."""

    def __init__(self, connection):
        self.connection = connection

    def hello(self, **options):
        self.connection.send(json.dumps(options))

    def begin(self, **options):
        """Say hello, and return what the server is ready for."""
        self.hello(**options)
        ready = self.text()
        assert ready["type"] == "ready"
        return ready

    def send(self, mel, *sizes):
        """Send frames in messages of these sizes, again and again; in one if none is given."""
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
        """All audio up to the last message, and that message."""
        audio = bytearray()
        while isinstance(message := self.connection.recv(TIMEOUT), bytes):
            audio += message
        return bytes(audio), json.loads(message)

    def closed(self):
        """How the server closes the connection."""
        with pytest.raises(ConnectionClosed) as closed:
            self.connection.recv(TIMEOUT)
        return closed.value.rcvd.code, closed.value.rcvd.reason

    def refusal(self):
        """The problem that ends the connection, and how it is closed."""
        _, problem = self.rest()
        return problem, *self.closed()


def speak(speaker, mel, *sizes, **options):
    speaker.begin(**options)
    speaker.send(mel, *sizes)
    speaker.end()
    answer = speaker.rest()
    assert speaker.closed() == (1000, "")
    return answer
