"""Raw connections, and requests, WebSocket handshakes and frames that no library would send."""

import socket
import struct
from contextlib import contextmanager
from http.client import HTTPResponse
from urllib.parse import urlsplit

from http_helpers import TIMEOUT

VALID = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade"}
VALID |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
TEXT, CONTINUATION, BINARY, CLOSE, PING = 1, 0, 2, 8, 9
FINAL = 0x80


def post(path, body=b"", length=None, **headers):
    """Return a request with a body, which may be incomplete."""
    all_headers = {"Host": "localhost", "Content-Length": len(body) if length is None else length, **headers}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in all_headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def handshake(path="/v1/stream", method="GET", **changes):
    headers = {**VALID, **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def frame(opcode, payload, final=True):
    """Return a frame as clients send it, with a mask of zeros."""
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


def read_until_closed(connection):
    """Return everything received until the server closes the connection."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def answer_of(connection):
    """Return the status and the body of a response on a connection that stays open."""
    answer = HTTPResponse(connection)
    answer.begin()
    return answer.status, answer.read()


def head_of(connection):
    """Return the status line and the headers of a response."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = connection.recv(1)
        assert part, f"closed after {head!r}"
        head += part
    return head
