"""Connections byte by byte, and requests, handshakes and frames of WebSockets that no library would send."""

import socket
import struct
from contextlib import contextmanager
from http.client import HTTPResponse
from urllib.parse import urlsplit

from answers import TIMEOUT

RIGHT = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade"}
RIGHT |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
TEXT, CONTINUATION, BINARY, CLOSE, PING = 1, 0, 2, 8, 9
FINAL = 0x80


def post(path, body=b"", length=None, **headers):
    """A request with a body, or so much of it as there is."""
    told = {"Host": "localhost", "Content-Length": len(body) if length is None else length, **headers}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def handshake(path="/v1/stream", method="GET", **changes):
    headers = {**RIGHT, **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def frame(opcode, payload, final=True):
    """A frame as clients send it, with a mask of zeros."""
    size = struct.pack("!B", 0x80 | len(payload)) if len(payload) < 126 else struct.pack("!BH", 0xFE, len(payload))
    return bytes([opcode | (FINAL if final else 0)]) + size + bytes(4) + payload


@contextmanager
def connected(url, sent=b"", window=None):
    address = urlsplit(url)
    with socket.socket() as connection:
        connection.settimeout(TIMEOUT)
        if window is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        connection.connect((address.hostname, address.port))
        connection.sendall(sent)
        yield connection


def until_closed(connection):
    """All that comes until the server closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def answer_of(connection):
    """Status and body of one answer, on a connection that stays open."""
    answer = HTTPResponse(connection)
    answer.begin()
    return answer.status, answer.read()


def head_of(connection):
    """Status line and headers of an answer."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = connection.recv(1)
        assert part, f"closed after {head!r}"
        head += part
    return head
