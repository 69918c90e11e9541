"""Time and memory of one utterance from a second to ten minutes, each length in a process of its own.

python -m benchmarks.length [--picture FILE]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vocoder.commands.benchmark import noise_mel
from vocoder.loading import load
from vocoder.machine.timing import machine, markdown_table
from vocoder.synthesizer import Synthesizer

LENGTHS = (1, 3, 10, 30, 60, 180, 600)
MODEL = "waveglow"
MADE = 10.0  # seconds of noise whose mel is repeated: to take the mel of ten minutes at once would need more memory


def main() -> int:
    """Print the machine and a table; draw it where a picture is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.length", description=__doc__)
    parser.add_argument("--model", default=MODEL, metavar="NAME|DIR")
    parser.add_argument("--seconds", type=float, nargs="+", default=LENGTHS)
    parser.add_argument("--picture", type=Path, metavar="FILE")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        print(json.dumps(measured(args.model, args.seconds[0])))
        return 0
    print(machine(), flush=True)
    figures = [_in_process(args.model, seconds) for seconds in args.seconds]
    rows = [
        [f"{f['audio']:.0f} s", f"{f['seconds']:.2f} s", f"{f['audio'] / f['seconds']:.1f}", f"{f['megabytes']:.0f} MB"]
        for f in figures
    ]
    print(f"\n{markdown_table([f'{args.model}: length', 'time', 'x real time', 'peak memory of the process'], rows)}")
    if args.picture:
        draw(figures, args.picture)
    return 0


def measured(model: str, seconds: float) -> dict[str, float]:
    """Return the length of the audio, the least time of some repetitions and the peak resident memory until then."""
    voice = load(model, guard="off")
    mel = _repeated(noise_mel(voice.mel_config, min(seconds, MADE)), voice, seconds)
    voice.synthesize(mel[:, :100], seed=0)
    times = []
    for _ in range(1 if seconds > 60 else 3):
        start = time.perf_counter()
        voice.synthesize(mel, seed=0)
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"audio": mel.shape[1] * voice.hop_length / voice.sample_rate, "seconds": min(times), "megabytes": peak}


def _repeated(mel: NDArray[np.float32], voice: Synthesizer, seconds: float) -> NDArray[np.float32]:
    frames = max(1, round(seconds * voice.sample_rate / voice.hop_length))
    return np.tile(mel, -(-frames // mel.shape[1]))[:, :frames]


def draw(figures: list[dict[str, float]], file: Path) -> None:
    """Draw time and memory over length, and what lies exactly in proportion to the longest."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    audio = [f["audio"] for f in figures]
    figure, (time_axis, memory_axis) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    time_axis.loglog(audio, [f["seconds"] for f in figures], "o-")
    time_axis.loglog(audio, [figures[-1]["seconds"] * a / audio[-1] for a in audio], ":", label="in proportion")
    time_axis.set(xlabel="seconds of audio", ylabel="seconds to make it")
    time_axis.legend()
    memory_axis.semilogx(audio, [f["megabytes"] for f in figures], "o-")
    memory_axis.set(xlabel="seconds of audio", ylabel="peak memory of the process, MB", ylim=(0, 1500))
    figure.savefig(file, dpi=110)


def _in_process(model: str, seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.length", "--alone", "--model", model, "--seconds", str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    raise SystemExit(main())
