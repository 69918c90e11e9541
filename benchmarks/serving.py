"""Compares the server's throughput with a plain FastAPI with Vocos, alone and next to a process that uses a core.

    python -m benchmarks.serving [pace] [soak] [--interface http|stream|v2] [--clients 1 4 16]
    python -m benchmarks.serving soak --minutes 30

Each client sends the next mel when it has the answer to the last. Both servers run all the time and take turns, so that
whatever else the machine does falls on both; the plain one needs the extra `peers`. `soak` offers a little more than
the server can do, and checks each answer.
"""

import argparse
import asyncio
import time
from collections import defaultdict
from contextlib import nullcontext

import numpy as np

from benchmarks.serving_load import Case, Load, closed_loop, offer, poisson
from benchmarks.serving_program import Program, neighbour, plain_server, serving
from benchmarks.serving_strangers import strangers
from benchmarks.speech import speech_mel
from vocoder.loading import DEFAULT_MODEL, load
from vocoder.timing import machine, markdown_table

CASES = 40
TOLERANCE = 1e-5
OVERLOAD = 1.2

Measured = tuple[float, float, float, float]
"""seconds of audio per second, median and 99th percentile of latency, CPU seconds per second of audio"""


def main() -> int:
    """Run the requested parts, and print the machine and a table for each."""
    options = _options()
    lengths = np.random.default_rng(0).permutation(np.linspace(options.shortest, options.longest, CASES))
    synthesizer = load(options.model, guard="off")
    mels = [speech_mel(synthesizer.mel_config, float(length), seed) for seed, length in enumerate(lengths)]
    print(f"{machine()}\n{CASES} mels of {options.shortest:g} to {options.longest:g} s", flush=True)
    if "pace" in options.parts:
        _pace([Case(mel, seed) for seed, mel in enumerate(mels)], options)
    if "soak" in options.parts:
        _soak([Case(mel, seed, synthesizer.synthesize(mel, seed=seed)) for seed, mel in enumerate(mels)], options)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parts = ("pace", "soak")
    parser.add_argument("parts", nargs="*", metavar="PART", help="pace (the default), soak")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|DIR")
    parser.add_argument("--interface", choices=("http", "stream", "v2"), default="http", help="interface to test")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--shortest", type=float, default=1.0, help="seconds of the shortest mel")
    parser.add_argument("--longest", type=float, default=5.0, help="seconds of the longest mel")
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of each load in seconds")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds of each load for both servers")
    parser.add_argument("--minutes", type=float, default=30.0, help="duration of the soak test in minutes")
    options = parser.parse_args()
    options.parts = options.parts or ["pace"]
    if set(options.parts) - set(parts):
        parser.error(f"the parts are {', '.join(parts)}")
    return options


def _pace(cases: list[Case], options: argparse.Namespace) -> None:
    """Print both servers' results under the same load, and the ratio of this one's figures."""
    with serving(options.model) as own, plain_server() as plain:
        for beside in (False, True):
            with neighbour() if beside else nullcontext():
                rows = _compared(own, plain, cases, options)
            header = ["clients", "audio s/s", "plain", "ratio", "p50 ms", "plain", "p99 ms", "plain"]
            header += ["CPU ms per audio s", "plain"]
            title = "beside a process that keeps a core busy" if beside else "alone"
            print(f"\n{options.interface}, {title}\n\n{markdown_table(header, rows)}", flush=True)


def _compared(own: Program, plain: Program, cases: list[Case], options: argparse.Namespace) -> list[list[str]]:
    found: dict[tuple[int, str], list[Measured]] = defaultdict(list)
    for _ in range(options.rounds):
        for clients in options.clients:
            for name, program, interface in (("own", own, options.interface), ("plain", plain, "plain")):
                before = program.processor_seconds()
                load = asyncio.run(closed_loop(program.url, cases, clients, options.seconds, interface))
                cost = (program.processor_seconds() - before) / sum(answer.seconds for answer in load.answered)
                found[clients, name].append((load.audio_per_second, load.latency(50), load.latency(99), cost))
    rows = []
    for clients in options.clients:
        mine, theirs = (np.median(found[clients, name], axis=0) for name in ("own", "plain"))
        figures = [f"{1000 * value:.0f}" for place in (1, 2, 3) for value in (mine[place], theirs[place])]
        rows.append([str(clients), f"{mine[0]:.0f}", f"{theirs[0]:.0f}", f"{mine[0] / theirs[0]:.2f}", *figures])
    return rows


def _soak(cases: list[Case], options: argparse.Namespace) -> None:
    """Print a line per part of a long load slightly above the server's capacity, next to clients that hold on."""
    with serving(options.model, max_wait=2.0) as program:
        full = asyncio.run(closed_loop(program.url, cases, 4, options.seconds, "http"))
        rate = OVERLOAD * len(full.answers) / options.seconds
        began, part = time.monotonic(), 0
        header = ("minutes", "audio s/s", "p50", "p99", "answered", "503", "lost", "largest error", "memory")
        print("| " + " | ".join(header) + " |\n|" + " --- |" * len(header))
        while (minutes := (time.monotonic() - began) / 60.0) < options.minutes:
            part += 1
            times = poisson(rate, 40.0, part)
            with strangers(program.url, cases[0].mel):
                load = asyncio.run(offer(program.url, cases, times, 40.0))
            print(f"| {minutes:.1f} | " + " | ".join(_line(load, program)) + " |", flush=True)


def _line(load: Load, program: Program) -> list[str]:
    wrong = "" if load.largest_error <= TOLERANCE else " WRONG"
    return [
        f"{load.audio_per_second:.0f}",
        f"{1000 * load.latency(50):.0f} ms",
        f"{1000 * load.latency(99):.0f} ms",
        str(len(load.answered)),
        str(len(load.refused)),
        ", ".join(f"{count} with {status}" for status, count in load.lost.items()) or "0",
        f"{load.largest_error:.0e}{wrong}",
        f"{program.megabytes():.0f} MB",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
