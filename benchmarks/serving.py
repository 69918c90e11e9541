"""What the server makes of load: batching on and off, latency, refusals, memory; every answer is checked.

    python -m benchmarks.serving [device] [saturation] [steady] [overload] [--shortest 0.5] [--longest 10]
    python -m benchmarks.serving soak --minutes 30

Requests arrive at random and independently of each other (Poisson), with mels of speech of lengths spread evenly, from
this process to a server in another on the same machine. `steady` and `overload` need the capacity that `saturation`
finds, or --capacity.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.serving_load import Case, Load, offer, poisson
from benchmarks.serving_program import Program, serving
from benchmarks.speech import speech_mel
from server.engine.calibration import Costs, calibrate
from vocoder.loading import DEFAULT_MODEL, load
from vocoder.machine.timing import machine, markdown_table
from vocoder.mel.range import mel_range
from vocoder.sampling import Utterance
from vocoder.synthesis.synthesizer import Synthesizer

CASES = 40
TOLERANCE = 1e-5
SATURATION, STEADY, OVERLOAD = 1.5, 0.7, 3.0
SATURATION_WAIT = 5.0  # seconds of work that may wait: enough to choose from


@dataclass(frozen=True)
class Bench:
    """What all parts share: the model's name, what is asked of it, and how long each alone takes."""

    model: str
    dtype: str
    cases: Sequence[Case]
    service: Sequence[float]
    sample_rate: int
    seconds: float

    @property
    def median_service(self) -> float:
        """Median seconds that one of the requests takes alone, without a server."""
        return statistics.median(self.service)

    def server(self, **settings: object) -> AbstractContextManager[Program]:
        """Start a server of the model, on settings of the defaults but for these."""
        return serving(self.model, dtype=self.dtype, **settings)

    def offer(self, program: Program, rate: float, seed: int = 1) -> Load:
        """Send `rate` requests per second, and wait for all answers."""
        times = poisson(rate, self.seconds, seed)
        return asyncio.run(offer(program.url, self.cases, times, self.seconds, self.sample_rate))

    def waiting_line(self, rate: float, seed: int = 1) -> float:
        """Return the 99th percentile of latency, were requests served alone, in turn and at no cost but their own."""
        free, latencies = 0.0, []
        for number, due in enumerate(poisson(rate, self.seconds, seed)):
            free = max(free, due) + self.service[number % len(self.service)]
            latencies.append(free - due)
        return float(np.percentile(latencies, 99))


def main() -> int:
    """Run the parts asked for, and print the machine and a table for each."""
    options = _options()
    synthesizer = load(options.model, dtype=getattr(torch, options.dtype), guard="off")
    bench = _prepare(synthesizer, options)
    print(machine())
    print(
        f"\n{len(bench.cases)} mels of {options.shortest:g} to {options.longest:g} s, {options.dtype}; the median "
        f"takes {1000 * bench.median_service:.0f} ms alone\n"
    )
    if "device" in options.parts:
        _print("the device", _device(synthesizer, bench))
    capacity = options.capacity
    if "saturation" in options.parts or (not capacity and set(options.parts) - {"device"}):
        capacity = _saturation(bench, capacity or 1.0 / statistics.mean(bench.service))
    wait = options.max_wait or bench.median_service
    if "steady" in options.parts:
        _print(f"at {STEADY:.0%} of {capacity:.2f} requests per second", _loads(bench, STEADY * capacity, (30.0, wait)))
    if "overload" in options.parts:
        _print(f"at {OVERLOAD:.0%} of {capacity:.2f} requests per second", _loads(bench, OVERLOAD * capacity, (wait,)))
    if "soak" in options.parts:
        _soak(bench, capacity, 60.0 * options.minutes)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parts = ("device", "saturation", "steady", "overload", "soak")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)} (default: all but soak)")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|DIR")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the stacks")
    parser.add_argument("--shortest", type=float, default=0.5, help="seconds of the shortest mel")
    parser.add_argument("--longest", type=float, default=10.0, help="seconds of the longest mel")
    parser.add_argument("--seconds", type=float, default=40.0, help="how long each load lasts")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long the soak lasts")
    parser.add_argument("--capacity", type=float, default=0.0, help="requests per second at saturation, where known")
    parser.add_argument("--max-wait", type=float, default=0.0, help="VOCODER_MAX_WAIT; the median service if left out")
    options = parser.parse_args()
    options.parts = options.parts or list(parts[:-1])
    if set(options.parts) - set(parts):
        parser.error(f"the parts are {', '.join(parts)}")
    return options


def _prepare(synthesizer: Synthesizer, options: argparse.Namespace) -> Bench:
    """Speak every mel alone: for its time, and for the audio that the server must return."""
    lengths = np.random.default_rng(0).permutation(np.linspace(options.shortest, options.longest, CASES))
    mels = [speech_mel(synthesizer.mel_config, float(length), seed) for seed, length in enumerate(lengths)]
    cases, service = [], []
    synthesizer.synthesize(mels[0], seed=0)
    for seed, mel in enumerate(mels):
        started = time.perf_counter()
        x = synthesizer.synthesize(mel, seed=seed)
        service.append(time.perf_counter() - started)
        cases.append(Case(mel, seed, x))
    return Bench(options.model, options.dtype, cases, service, synthesizer.sample_rate, options.seconds)


def _device(synthesizer: Synthesizer, bench: Bench) -> list[list[str]]:
    """Return what the device itself gains from longer runs, without a server."""
    costs = _costs(synthesizer)
    rate = synthesizer.mel_config.sample_rate / synthesizer.mel_config.hop_length
    rows = [["frames of a run", "x real time as one mel", "x real time as several"]]
    for point in costs.points:
        frames = point.frames / rate
        rows.append([str(point.frames), f"{frames / point.alone:.1f}", f"{frames / point.together:.1f}"])
    utterances = [Utterance(case.mel, seed=case.seed) for case in bench.cases]
    alone, audio = sum(bench.service), sum(len(case.x) for case in bench.cases) / bench.sample_rate
    for limit in [point.frames for point in costs.points[-2:]]:
        runs = _runs(utterances, limit)
        together = sum(_timed(lambda run=run: synthesizer.synthesize_many(run)) for run in runs)  # type: ignore[misc]
        several = f"{audio / together:.1f}, gain {alone / together:.2f}"
        rows.append([f"all mels, in runs of at most {limit}", f"{audio / alone:.1f}", several])
    return rows


def _costs(synthesizer: Synthesizer) -> Costs:
    calibration = calibrate(synthesizer, mel_range(synthesizer.mel_config).silence, math.inf, 20.0)
    while True:
        try:
            next(calibration)
        except StopIteration as end:
            costs: Costs = end.value
            return costs


def _runs(utterances: Sequence[Utterance], limit: int) -> list[list[Utterance]]:
    """Return the utterances in runs of at most so many frames, or of one."""
    runs: list[list[Utterance]] = []
    room = 0
    for utterance in utterances:
        frames = utterance.mel.shape[1]
        if frames > room:
            runs.append([])
            room = limit
        runs[-1].append(utterance)
        room -= frames
    return runs


def _timed(task: Callable[[], object]) -> float:
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


def _saturation(bench: Bench, guess: float) -> float:
    """Print what the server does when more waits than it can do; return its requests per second with batching."""
    rows, capacity = [["batching", *_HEADER]], 0.0
    for batching in (True, False):
        with bench.server(batching=batching, max_wait=SATURATION_WAIT) as program:
            before, result = program.megabytes(), bench.offer(program, SATURATION * guess)
            capacity = max(capacity, result.throughput(bench.seconds / 4)[0]) if batching else capacity
            rows.append(["on" if batching else "off", *_row(bench, program, result, before)])
    _print("at saturation", rows)
    return capacity


def _loads(bench: Bench, rate: float, waits: Sequence[float]) -> list[list[str]]:
    rows = [["VOCODER_MAX_WAIT", *_HEADER]]
    for wait in waits:
        with bench.server(max_wait=wait) as program:
            before = program.megabytes()
            rows.append([f"{wait:.2f} s", *_row(bench, program, bench.offer(program, rate), before)])
    if rate * statistics.mean(bench.service) < 1.0:
        line = bench.waiting_line(rate)
        print(
            f"a queue without any cost but theirs: p99 {1000 * line:.0f} ms, {line / bench.median_service:.1f} medians"
        )
    return rows


_HEADER = (
    "x real time",
    "requests per second",
    "mels per run",
    "padding",
    "p50",
    "p99",
    "p99 in medians",
    "spoken",
    "503",
    "lost",
    "largest error",
    "memory",
)


def _row(bench: Bench, program: Program, load: Load, before: float) -> list[str]:
    counters = program.counters()
    frames, padding = (counters.get(f"vocoder_run_frames_total:{kind}", 0.0) for kind in ("mel", "padding"))
    requests, audio = load.throughput(bench.seconds / 4)
    p50, p99 = load.latency(50), load.latency(99)
    wrong = "" if load.largest_error <= TOLERANCE else " WRONG"
    return [
        f"{audio:.1f}",
        f"{requests:.2f}",
        f"{counters['vocoder_batch_items_sum'] / max(counters['vocoder_batch_items_count'], 1):.2f}",
        f"{padding / max(frames + padding, 1):.1%}",
        f"{1000 * p50:.0f} ms",
        f"{1000 * p99:.0f} ms",
        f"{p99 / bench.median_service:.1f}",
        str(len(load.spoken)),
        str(len(load.refused)),
        ", ".join(f"{count} with {status}" for status, count in load.lost.items()) or "0",
        f"{load.largest_error:.0e}{wrong}",
        f"{before:.0f} to {program.megabytes():.0f} MB",
    ]


def _soak(bench: Bench, capacity: float, seconds: float) -> None:
    """Print a line for each part of a long load a little above what the server can do."""
    with bench.server(max_wait=2.0) as program:
        ends, part = time.monotonic() + seconds, 0
        print("| " + " | ".join(("minutes", *_HEADER)) + " |\n|" + " --- |" * (len(_HEADER) + 1))
        while time.monotonic() < ends:
            part, before = part + 1, program.megabytes()
            row = _row(bench, program, bench.offer(program, 1.2 * capacity, seed=part), before)
            print(f"| {(seconds - ends + time.monotonic()) / 60:.1f} | " + " | ".join(row) + " |", flush=True)


def _print(title: str, rows: list[list[str]]) -> None:
    print(f"\n{title}\n\n{markdown_table(rows[0], rows[1:])}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
