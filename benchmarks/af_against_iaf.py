"""Autoregressive flow against inverse autoregressive flow: what is parallel for one is sequential for the other.

The teacher scores audio in one pass and samples step by step; the student samples in one pass, with the density of its
own sample for nothing, and scores given audio step by step. Times of the weights of trained models, or, where none are
named, of random weights in the configurations of this project: how long it takes does not depend on them.

    python -m benchmarks.af_against_iaf [--teacher DIR] [--student DIR ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch

from vocoder.commands.benchmark import noise_mel
from vocoder.layers.stack import WaveNetConfig, default_dtype, set_compute_dtype
from vocoder.loading import load
from vocoder.machine.timing import alternate, machine, markdown_table
from vocoder.mel.config import preset
from vocoder.models.student import Student
from vocoder.models.student_config import StudentConfig
from vocoder.models.wavenet import WaveNet
from vocoder.models.wavenet_config import WaveNetModelConfig

__all__ = ["measure", "tasks"]

CYCLE = tuple(2**i for i in range(10))
Task = Callable[[], object]


def students() -> dict[str, Student]:
    """Return students of random weights over samples and over frames, in this project's configurations."""
    stack = partial(WaveNetConfig, channels=64, kernel_size=2, causal=True)
    stacks = (*(stack(dilations=CYCLE) for _ in range(3)), stack(dilations=CYCLE * 2))
    return {
        "student over samples": Student(StudentConfig(kind="samples", stacks=stacks)),
        "student over frames": Student(StudentConfig(kind="frames")),
    }


def tasks(model: WaveNet | Student, seconds: float) -> tuple[Task, Task]:
    """Return what scores that many seconds of audio, and what samples them, with their density where it is free."""
    mel = torch.from_numpy(noise_mel(preset("nvidia"), seconds))[None]
    x = 0.05 * torch.randn(1, mel.shape[2] * model.config.hop_length)
    noise = torch.randn(model.noise_shape(1, mel.shape[2]))
    if isinstance(model, Student):
        return partial(model.log_prob_step_by_step, x, mel), partial(model.sample_with_log_prob, noise, mel)
    return partial(model.log_prob, x, mel), partial(model.inverse, noise, mel)


def measure(task: Callable[[float], Task], lengths: list[float], patience: float) -> list[str]:
    """Return the time of each length, ascending; beyond `patience` seconds it is extrapolated, and marked."""
    found: list[str] = []
    rate = 0.0
    for seconds in lengths:
        if rate * seconds > patience:
            found.append(f"~{rate * seconds:.3g}")
            continue
        short = rate * seconds < 1.0
        taken = alternate({"task": task(seconds)}, repetitions=3 if short else 1, warm_ups=1 if short else 0)["task"]
        rate = taken / seconds
        found.append(f"{taken:.3g}")
    return found


@torch.no_grad()
def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time to score and time to sample, teacher and students.")
    parser.add_argument("--teacher", metavar="DIR", help="directory or shipped name of a WaveNet")
    parser.add_argument("--student", metavar="DIR", action="append", default=[], help="of a student (repeatable)")
    parser.add_argument("--lengths", type=float, nargs="+", default=[0.1, 0.3, 1.0, 3.0, 10.0], help="in seconds")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds beyond which a time is extrapolated")
    args = parser.parse_args()
    teacher = load(args.teacher).model if args.teacher else WaveNet(WaveNetModelConfig())
    models = {"teacher": teacher, **({name: load(name).model for name in args.student} or students())}
    lengths = sorted(args.lengths)
    rows = []
    for name, model in models.items():
        set_compute_dtype(model.eval(), default_dtype("cpu"))
        for index, verb in enumerate(("scores", "samples")):
            times = measure(lambda s, m=model, i=index: tasks(m, s)[i], lengths, args.patience)
            rows.append([f"{name} {verb}", *times])
    print(f"Seconds of computing for seconds of audio; {machine()}\n")
    print(markdown_table(["", *(f"{seconds:g} s" for seconds in lengths)], rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
