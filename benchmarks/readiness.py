"""How soon a model is ready, what its first requests cost beside the tenth, and what streaming costs.

Everything happens in a process that has just begun, in the order in which it is printed.

    python -m benchmarks.readiness [--model NAME|DIR]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

START = time.perf_counter()


def seconds_of(task: Callable[[], object]) -> float:
    """Return how long a task takes."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def main() -> int:
    """Print the machine and a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readiness", description=__doc__)
    parser.add_argument("--model", default="reverse", metavar="NAME|DIR")
    args = parser.parse_args()
    from vocoder.commands.benchmark import noise_mel
    from vocoder.loading import load
    from vocoder.machine.timing import machine, markdown_table

    voice = load(args.model, guard="off")
    short, long = (noise_mel(voice.mel_config, seconds) for seconds in (1.0, 10.0))
    loaded = time.perf_counter() - START
    warm = seconds_of(lambda: voice.synthesize(short[:, :32], seed=0))
    requests = [seconds_of(lambda: voice.synthesize(short, seed=0)) for _ in range(10)]
    chunks = [seconds_of(lambda: next(voice.stream(short, seed=0))) for _ in range(10)]
    whole = [seconds_of(lambda: voice.synthesize(long, seed=0)) for _ in range(5)]
    streamed = [seconds_of(lambda: list(voice.stream(long, seed=0))) for _ in range(5)]
    session = voice.open_stream()
    ratio = statistics.median(streamed) / statistics.median(whole)
    rows = [
        ["imports and loading", f"{1e3 * loaded:.0f} ms"],
        ["a first word of 32 frames", f"{1e3 * warm:.0f} ms"],
        ["then 1 s of mel for the first time", f"{1e3 * requests[0]:.0f} ms"],
        ["1 s of mel, the tenth time", f"{1e3 * requests[9]:.0f} ms"],
        ["first chunk of a stream once its frames are there, median", f"{1e3 * statistics.median(chunks):.0f} ms"],
        ["frames after a chunk that it needs", str(session.lookahead)],
        ["10 s of mel at once, median", f"{1e3 * statistics.median(whole):.0f} ms"],
        ["10 s of mel as a stream of default chunks, median", f"{1e3 * statistics.median(streamed):.0f} ms"],
        ["ratio of these", f"{ratio:.2f}"],
    ]
    print(machine())
    title = f"{args.model}, {str(voice.dtype).removeprefix('torch.')}"
    print(f"\n{markdown_table([title, 'figure'], rows)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
