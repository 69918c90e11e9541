"""Connections byte by byte, and handshakes and frames of WebSockets that no library would send."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

TIMEOUT = 60.0
RIGHT = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
TEXT, CONTINUATION, BINARY, CLOSE, PING = 1, 0, 2, 8, 9
FINAL = 0x80


def handshake(path: str = "/v1/stream", method: str = "GET", **changes: str | None) -> bytes:
    headers = {**RIGHT, **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def frame(opcode: int, payload: bytes, final: bool = True) -> bytes:
    """A frame as clients send it, with a mask of zeros."""
    size = struct.pack("!B", 0x80 | len(payload)) if len(payload) < 126 else struct.pack("!BH", 0xFE, len(payload))
    return bytes([opcode | (FINAL if final else 0)]) + size + bytes(4) + payload


@contextmanager
def connected(url: str, sent: bytes = b"", window: int | None = None) -> Iterator[socket.socket]:
    address = urlsplit(url)
    with socket.socket() as connection:
        connection.settimeout(TIMEOUT)
        if window is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        connection.connect((address.hostname, address.port))
        connection.sendall(sent)
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def head_of(connection: socket.socket) -> bytes:
    """Status line and headers of an answer."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = connection.recv(1)
        assert part, f"closed after {head!r}"
        head += part
    return head
