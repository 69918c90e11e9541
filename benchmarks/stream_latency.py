"""Measures a stream's time to the first audio, idle and over real sockets, and whether it stays ahead of playback.

A server is started on loopback; one client after another sends the mel of a recording over WebSocket /v1/stream: all
of it at once, as from an acoustic model much faster than speech, or with --pace frame by frame.

    python -m benchmarks.stream_latency [--model NAME|DIR] [--streams N] [--audio FILE] [--pace X]
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving_program import serving
from benchmarks.speech import RECORDING
from vocoder.audio.reading import read_audio
from vocoder.client import Client, Speech
from vocoder.loading import DEFAULT_MODEL
from vocoder.mel.spectrogram import mel_of
from vocoder.timing import machine, markdown_table


@dataclass(frozen=True)
class Heard:
    """One stream: seconds to the first audio and to the end, its lead over playback, and the audio.

    `first` begins before the connection is opened. `ahead` is the least time, over all chunks after the first, between
    the arrival of a chunk and the moment at which who began to listen with the first has heard all before it.
    """

    first: float
    whole: float
    ahead: float
    x: Any


def main() -> int:
    """Print the machine and a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream_latency", description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|DIR")
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--audio", type=Path, default=RECORDING)
    parser.add_argument("--pace", type=float, metavar="X", help="speed relative to real time (all at once)")
    args = parser.parse_args()
    print(machine(), flush=True)
    with serving(args.model) as program, Client(program.url, trust_env=False) as client:
        (model, *_) = client.models()
        assert model.mel_config is not None
        mel = mel_of(read_audio(args.audio, model.mel_config.sample_rate)[0], model.mel_config)
        listen(client, mel)  # warms up: the first stream is slower
        whole = client.synthesize(mel, seed=1)
        rate = float((args.pace or 0.0) / model.mel_config.frame_seconds)
        heard = [listen(client, paced(mel, rate) if rate else mel) for _ in range(args.streams)]
    error = max(float(np.abs(stream.x - whole.x).max()) for stream in heard)
    print(report(heard, whole))
    print(f"\nLargest difference between a stream and the whole answer: {error:.1e}")
    return 0


def paced(mel: Any, rate: float) -> Iterator[Any]:
    """Yield the frames of a mel (n_mels, frames) at a number per second."""
    started = time.perf_counter()
    for number, frame in enumerate(mel.T):
        time.sleep(max(0.0, started + number / rate - time.perf_counter()))
        yield frame


def listen(client: Client, mel: Any) -> Heard:
    """Stream a mel, whole or an iterator of frames."""
    started = time.perf_counter()
    with client.stream(mel, seed=1) as speech:
        arrivals, chunks = [], []
        for chunk in speech:
            arrivals.append(time.perf_counter())
            chunks.append(chunk)
        rate = speech.start.sample_rate
    ends = arrivals[0] + np.cumsum([len(chunk) for chunk in chunks]) / rate
    ahead = float(np.min(ends[:-1] - arrivals[1:]))
    return Heard(arrivals[0] - started, arrivals[-1] - started, ahead, np.concatenate(chunks))


def report(heard: list[Heard], whole: Speech) -> str:
    """Return the table of all streams."""
    seconds = len(whole.x) / whole.sample_rate
    rows = []
    for name, values in (
        ("first audio, ms", [1e3 * stream.first for stream in heard]),
        ("least margin before playback, ms", [1e3 * stream.ahead for stream in heard]),
        ("whole stream, x real time", [seconds / stream.whole for stream in heard]),
    ):
        rows.append([name, *(f"{value:.1f}" for value in (np.median(values), np.min(values), np.max(values)))])
    return markdown_table([f"{len(heard)} streams of {seconds:.2f} s", "median", "least", "most"], rows)


if __name__ == "__main__":
    raise SystemExit(main())
