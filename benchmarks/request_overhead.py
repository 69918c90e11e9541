"""Measures a request's overhead over the model: from first byte sent to first byte back, idle, over a real socket.

    python -m benchmarks.request_overhead [--model NAME|DIR] [--seconds S] [--requests N]

The server says in `Server-Timing` how long each part took; what is left of the time that the client saw is the
socket, HTTP itself, and the way between threads.
"""

import argparse
import http.client
import io
import time
from urllib.parse import urlsplit

import numpy as np

from benchmarks.serving_program import serving
from benchmarks.speech import speech_mel
from vocoder.loading import DEFAULT_MODEL, load
from vocoder.timing import machine, markdown_table


def main() -> int:
    """Print the machine and a table of medians in milliseconds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.request_overhead", description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|DIR")
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds of speech per request (%(default)s)")
    parser.add_argument("--requests", type=int, default=200)
    args = parser.parse_args()
    print(machine(), flush=True)
    body = io.BytesIO()
    np.save(body, speech_mel(load(args.model, guard="off").mel_config, args.seconds, seed=0))
    with serving(args.model) as program:
        connection = http.client.HTTPConnection(urlsplit(program.url).netloc)
        found = [asked(connection, body.getvalue()) for _ in range(args.requests + 20)][20:]
    print(f"\n{report(found, args.seconds)}")
    return 0


def asked(connection: http.client.HTTPConnection, body: bytes) -> dict[str, float]:
    """Return milliseconds of the whole request, and of the stages that the server reports."""
    started = time.perf_counter()
    connection.request("POST", "/synthesize?seed=1", body, {"Content-Type": "application/x-npy"})
    response = connection.getresponse()
    seen = 1e3 * (time.perf_counter() - started)
    assert response.status == 200, response.read()
    response.read()
    parts = (part.split(";dur=") for part in (response.headers["Server-Timing"] or "").split(","))
    return {"measured by the client": seen} | {name.strip(): float(milliseconds) for name, milliseconds in parts}


def report(found: list[dict[str, float]], seconds: float) -> str:
    """Return the table: each stage, and the overhead over the model."""
    rows = {name: [request[name] for request in found] for name in found[0]}
    rows["beside the model"] = [request["measured by the client"] - request["infer"] for request in found]
    cells = [[name, *(f"{each:.2f}" for each in np.quantile(v, (0.5, 0.1, 0.9)))] for name, v in rows.items()]
    return markdown_table([f"{len(found)} requests of {seconds:g} s, ms", "median", "10 %", "90 %"], cells)


if __name__ == "__main__":
    raise SystemExit(main())
