"""Clients that hold on to a server next to a regular load: idle connections, and streams that nobody reads."""

import io
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

OWN_ADDRESS = "127.0.0.2"
"""address other than the load's, so that each has its own share"""
SECONDS = 10.0


@contextmanager
def strangers(url: str, mel: NDArray[np.float32], streams: int = 60, idle: int = 40) -> Iterator[None]:
    """Open connections to a server on this machine and keep them open.

    Raises:
        ValueError: the server is elsewhere.
    """
    address = urlsplit(url)
    if address.hostname != "127.0.0.1":
        raise ValueError(f"strangers need a server on 127.0.0.1, not {url}")
    body = io.BytesIO()
    np.save(body, mel)
    head = (
        f"POST /v1/synthesize?stream=1&format=pcm_f32 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {body.tell()}\r\n"
    )
    with ExitStack() as stack:
        for number in range(streams + idle):
            place = (address.hostname, address.port or 80)
            connection = stack.enter_context(socket.create_connection(place, SECONDS, (OWN_ADDRESS, 0)))
            if number < streams:
                with suppress(OSError):  # refused, as most are
                    connection.sendall(head.encode() + b"\r\n" + body.getvalue())
        yield
