"""Compare timings: medians of alternating repetitions in one process, and a description of the machine."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

MATRIX_SIZE, SMALL_SIZE = 2048, 256
SLOW_RATE = 5e9

Clock = Callable[[], float]
QUIET: Clock = time.perf_counter  # wall-clock time, for an idle machine
BUSY: Clock = time.process_time
"""processor time of all threads: with one thread it is valid on a busy machine too"""


def alternate(
    tasks: Mapping[str, Callable[[], Any]], repetitions: int, warm_ups: int = 1, clock: Clock = QUIET, untimed: int = 0
) -> dict[str, float]:
    """Return the median seconds of each task, which must have finished when it returns.

    The tasks take turns, so that other load on the machine affects all of them alike and their ratios are reliable even
    if single figures are not. Each runs `untimed` times before it is timed, to find its weights in the caches.
    """
    if repetitions < 1:
        raise ValueError(f"repetitions must be at least 1, not {repetitions}")
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for i in range(warm_ups + repetitions):
        for name, task in tasks.items():
            for _ in range(untimed):
                task()
            start = clock()
            task()
            if i >= warm_ups:
                seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def matmul_rate(
    dtype: torch.dtype, device: str | torch.device = "cpu", clock: Clock = QUIET, size: int = SMALL_SIZE
) -> float:
    """Measure the floating-point operations per second of a product of two square matrices.

    If a small product is slow, the device has no instructions for the type and a large one would take minutes, so the
    rate of the small one is returned.
    """
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = alternate({"product": lambda: float((a @ b)[0, 0])}, 9, warm_ups=2, clock=clock)["product"]
    rate = 2.0 * size**3 / seconds
    return rate if rate < SLOW_RATE or size == MATRIX_SIZE else matmul_rate(dtype, device, clock, MATRIX_SIZE)


def machine(device: str | torch.device = "cpu", clock: Clock = QUIET) -> str:
    """Describe the machine in one line: processor, cores, threads, PyTorch, and measured rates of matrix products."""
    dtypes = {"bfloat16": torch.bfloat16, "float32": torch.float32}
    rates = (f"{name} {matmul_rate(dtype, device, clock=clock) / 1e9:.0f}" for name, dtype in dtypes.items())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").is_file() else ""
    names = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    processor = f"{(names or [platform.processor() or platform.machine()])[0]}, {cores} cores"
    if torch.device(device).type == "cuda":
        processor = torch.cuda.get_device_name(device)
    threads = f"{torch.get_num_threads()} threads" + (", of processor time" if clock is BUSY else "")
    measured = f"products of {MATRIX_SIZE}-cubes in GFLOP/s: {', '.join(rates)}"
    return f"{processor}, {threads}, PyTorch {torch.__version__}, {measured}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1) -> str:
    """Return a Markdown table, aligned to be readable as text: `text` columns of text, then columns of numbers."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * width if i < text else f"{'-' * (width - 1)}:" for i, width in enumerate(widths)]
    lines = (
        [v.ljust(w) if i < text else v.rjust(w) for i, (v, w) in enumerate(zip(line, widths, strict=True))]
        for line in (header, rule, *rows)
    )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
