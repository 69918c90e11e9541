"""Simulates how lanes scale on more cores than this machine has, with discrete events and measured times.

    python -m benchmarks.serving_scaling [--model NAME|DIR] [--seconds 3] [--cores 1 2 4 8 16]

A request is prepared on a worker, waits for a lane, runs in that lane's process, and is encoded on a worker; whatever
computes needs a core. The workers share the interpreter of the server's own process, which only one thread can have.
"""

import argparse
import heapq
import io
import itertools
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.speech import speech_mel
from server.audio.formats import FORMATS
from vocoder.loading import DEFAULT_MODEL, load
from vocoder.timing import BUSY, alternate, machine, markdown_table

WORKERS = 2
LASTS = 60.0  # simulated seconds


class Resource:
    """A number of units, given out first come, first served."""

    def __init__(self, count: int) -> None:
        self.free = count
        self.waiting: deque[Process] = deque()


Step = float | tuple[str, Resource]
"""seconds to wait, or a resource to `take` or `give`"""
Process = Generator[Step, None, None]


@dataclass(frozen=True)
class Times:
    """Seconds of one request: prepared, run on a core, encoded; and of its audio."""

    prepare: float
    run: float
    encode: float
    audio: float


def main() -> int:
    """Print the measured times and the simulated throughput."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving_scaling", description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|DIR")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of audio per request (%(default)s)")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    args = parser.parse_args()
    torch.set_num_threads(1)
    times = measured(args.model, args.seconds)
    parts = {name: f"{1000 * getattr(times, name):.2f} ms" for name in ("prepare", "run", "encode")}
    print(f"{machine(clock=BUSY)}\n{args.seconds:g} s of audio: " + ", ".join(f"{k} {v}" for k, v in parts.items()))
    first, rows = simulated(times, 1, 2), []
    for cores in args.cores:
        pace = simulated(times, cores, 2 * cores)
        rows.append([str(cores), f"{pace:.0f}", f"{pace / first:.2f}"])
    header = ["cores", "audio s/s", "of one core"]
    print(f"\n{markdown_table(header, rows)}")
    return 0


def measured(model: str, seconds: float) -> Times:
    """Return the CPU times of a request on one thread."""
    synthesizer = load(model, guard="off")
    mel = speech_mel(synthesizer.mel_config, seconds, 0)
    body = io.BytesIO()
    np.save(body, mel)
    wav, rate, x = FORMATS[0], synthesizer.sample_rate, synthesizer.synthesize(mel, seed=0)
    tasks: dict[str, Callable[[], object]] = {
        "prepare": lambda: synthesizer.check(np.load(io.BytesIO(body.getvalue()))),
        "run": lambda: synthesizer.synthesize(mel, seed=0),
        "encode": lambda: wav.encode(x, rate),
    }
    found = alternate(tasks, 9, warm_ups=2, clock=time.thread_time)
    return Times(found["prepare"], found["run"], found["encode"], len(x) / rate)


def simulated(times: Times, cores: int, clients: int) -> float:
    """Return the seconds of audio per second for clients that each send a request when the last is answered."""
    core, lanes, workers, interpreter = Resource(cores), Resource(cores), Resource(WORKERS), Resource(1)
    answered = itertools.count()

    def request() -> Process:
        """Repeatedly prepare, run and encode."""
        while True:
            yield from _worked((workers, interpreter, core), times.prepare)
            yield from _worked((lanes, core), times.run)
            yield from _worked((workers, interpreter, core), times.encode)
            next(answered)

    simulate([request() for _ in range(clients)], LASTS)
    return next(answered) * times.audio / LASTS


def _worked(resources: tuple[Resource, ...], seconds: float) -> Process:
    for resource in resources:
        yield "take", resource
    yield seconds
    for resource in resources:
        yield "give", resource


def simulate(processes: list[Process], lasts: float) -> None:
    """Run processes for a number of simulated seconds."""
    numbers = itertools.count()
    events = [(0.0, next(numbers), process) for process in processes]
    while events:
        now, _, process = heapq.heappop(events)
        if now > lasts:
            return
        step = next(process, None)
        if isinstance(step, float):
            heapq.heappush(events, (now + step, next(numbers), process))
        elif step is not None:
            for ready in _moved(process, *step):
                heapq.heappush(events, (now, next(numbers), ready))


def _moved(process: Process, move: str, resource: Resource) -> list[Process]:
    """Take or give a resource; return the processes that continue."""
    if move == "take":
        if resource.free:
            resource.free -= 1
            return [process]
        resource.waiting.append(process)
        return []
    if resource.waiting:
        return [process, resource.waiting.popleft()]
    resource.free += 1
    return [process]


if __name__ == "__main__":
    raise SystemExit(main())
