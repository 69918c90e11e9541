"""A held-out sentence through the real server: its mel goes out by HTTP, a waveform comes back, is measured and drawn.

Run it with ``make demo``. It starts ``vocoder-serve`` on a free port, and leaves demo.wav and demo.png behind.
"""

import argparse
import io
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np
import soundfile
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.evaluate.opinions import short_time_intelligibility
from training.evaluate.spectra import multi_resolution_stft_distance
from vocoder.audio import read_audio
from vocoder.loading import DEFAULT_MODEL
from vocoder.mel.config import PRESETS, MelConfig
from vocoder.mel.spectrogram import mel_of

HELD_OUT = Path(__file__).with_name("heldout.flac")
READY = re.compile(r"ready on (http://\S+:\d+)")
PATIENCE_SECONDS = 30.0
"""of silence while the server starts"""
ANSWER_SECONDS = 120.0
ADVICE = "this machine is busy or slow; run it again when other programs have ended"
SEED = 1


class DemoError(RuntimeError):
    """The demo cannot go on; the text says why."""


@dataclass(frozen=True)
class Speech:
    """What the server sent back.

    Attributes:
        x: audio (T,).
        infer_seconds: the model's own time, from the server's Server-Timing header.
        wall_seconds: what the client waited, with HTTP, queue and encoding.
        wav: the audio as it came, which says that it is synthetic.
    """

    x: NDArray[np.float32]
    infer_seconds: float
    wall_seconds: float
    wav: bytes


@contextmanager
def running_server(model: str) -> Iterator[str]:
    """Start the server on a free loopback port, yield its address, and stop it, whatever happens in between."""
    program = Path(sys.executable).with_name("vocoder-serve")
    if not program.exists():
        raise DemoError(f"there is no {program}: install the project first, as 'make demo' does")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "server.log")
        with log.open("w") as output:
            command = [str(program), "--host", "127.0.0.1", "--port", "0", "--model", model]
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield wait_until_ready(process, log)
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """Return the server's address once /readyz answers 200; say every `PATIENCE_SECONDS` that it is still starting."""
    started = told = time.monotonic()
    while process.poll() is None:
        if time.monotonic() > told + PATIENCE_SECONDS:
            told = time.monotonic()
            print(f"the server is still starting after {told - started:.0f} s; Ctrl-C gives up", flush=True)
        announced = READY.search(log.read_text())
        with suppress(httpx.TimeoutException):  # it is asked again
            if announced and httpx.get(f"{announced[1]}/readyz", trust_env=False).status_code == 200:
                return announced[1]
        time.sleep(0.1)
    raise DemoError(f"the server ended with status {process.returncode}; its log:\n{log.read_text()}")


@contextmanager
def waiting_for(request: str) -> Iterator[None]:
    """Say which request timed out, and what can be done."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise DemoError(
            f"{request} was not answered within {ANSWER_SECONDS:.0f} s: {ADVICE}, or on a shorter recording: "
            "make demo ARGS='--audio short.wav'"
        ) from error


def default_mel_config(address: str) -> MelConfig:
    """Return the mel config of the server's default model."""
    with waiting_for("GET /models"):
        answer = httpx.get(f"{address}/models", timeout=ANSWER_SECONDS, trust_env=False).raise_for_status()
    name = answer.json()["models"][0]["mel"]["name"]
    if name not in PRESETS:
        raise DemoError(f"the model's mel is {name!r}, and this demo makes only {', '.join(PRESETS)}")
    return PRESETS[name]


def synthesize(address: str, mel: NDArray[np.float32]) -> Speech:
    """POST a mel (n_mels, frames) as npy and read the wav that comes back."""
    body = io.BytesIO()
    np.save(body, mel)
    started = time.perf_counter()
    with waiting_for("POST /synthesize"):
        answer = httpx.post(
            f"{address}/synthesize",
            params={"seed": SEED},
            content=body.getvalue(),
            headers={"Content-Type": "application/x-npy", "Accept": "audio/wav"},
            timeout=ANSWER_SECONDS,
            trust_env=False,
        )
    wall_seconds = time.perf_counter() - started
    if answer.status_code != 200:
        raise DemoError(f"POST /synthesize answered {answer.status_code}: {answer.text}")
    timing = re.search(r"\binfer;dur=([0-9.]+)", answer.headers.get("Server-Timing", ""))
    if timing is None:
        raise DemoError(f"the answer does not say how long the model took: {dict(answer.headers)}")
    x, _ = soundfile.read(io.BytesIO(answer.content), dtype="float32")
    return Speech(x, float(timing[1]) / 1000.0, wall_seconds, answer.content)


def decibels(x: NDArray[np.float32], config: MelConfig) -> NDArray[np.float32]:
    """Return the spectrogram (n_fft // 2 + 1, frames) of audio x (T,)."""
    window = torch.hann_window(config.win_length)
    spectrum = torch.stft(
        torch.from_numpy(x), config.n_fft, config.hop_length, config.win_length, window, return_complex=True
    )
    levels: NDArray[np.float32] = (20.0 * spectrum.abs().clamp(min=1e-5).log10()).numpy()
    return levels


def draw(axes: Axes, x: NDArray[np.float32], config: MelConfig, title: str, loudest: float, peak: float) -> None:
    """Draw the waveform of x (T,) over its spectrogram: 80 dB below `loudest`, samples between -peak and peak."""
    seconds = len(x) / config.sample_rate
    axes.imshow(
        decibels(x, config),
        origin="lower",
        aspect="auto",
        extent=(0.0, seconds, 0.0, config.sample_rate / 2000.0),
        cmap="magma",
        vmin=loudest - 80.0,
        vmax=loudest,
    )
    axes.set(xlabel="s", ylabel="kHz")
    wave = axes.inset_axes((0.0, 1.1, 1.0, 0.35))
    wave.plot(np.arange(len(x)) / config.sample_rate, x, linewidth=0.4, color="#3b528b")
    wave.set(title=title, xlim=(0.0, seconds), ylim=(-peak, peak), xticks=[])


def draw_both(path: Path, original: NDArray[np.float32], generated: NDArray[np.float32], config: MelConfig) -> None:
    """Save a picture with the original above the generated audio, both on the same scales."""
    loudest = float(decibels(original, config).max())
    peak = 1.1 * float(max(np.abs(original).max(), np.abs(generated).max()))
    figure = Figure(figsize=(11.0, 8.5))
    rows = figure.subplots(2, 1)
    draw(rows[0], original, config, "original, held out from training", loudest, peak)
    draw(rows[1], generated, config, "generated from its mel", loudest, peak)
    figure.subplots_adjust(left=0.06, right=0.985, top=0.83, bottom=0.06, hspace=0.85)
    figure.savefig(path, dpi=110)


def report(original: NDArray[np.float32], speech: Speech, sample_rate: int) -> None:
    """Print speed and closeness."""
    seconds = len(speech.x) / sample_rate
    intelligibility = short_time_intelligibility(original, speech.x, sample_rate)
    distance = multi_resolution_stft_distance(original, speech.x, sample_rate)
    print(f"audio                        {seconds:7.2f} s at {sample_rate} Hz")
    print(
        f"model, server's own clock    {seconds / speech.infer_seconds:7.1f} x real time (seconds of audio in a second)"
    )
    print(f"whole request, wall clock    {seconds / speech.wall_seconds:7.1f} x real time")
    print(f"STOI (1 = original)          {intelligibility:7.3f}")
    print(f"multi-resolution STFT        {distance:7.3f}  (0 = original)")


def run(model: str, audio: Path, folder: Path) -> None:
    """Do everything once."""
    print("starting the server; its first start on a machine compiles for a minute or two on a slow core", flush=True)
    with running_server(model) as address:
        print(f"serving {model} on {address}")
        config = default_mel_config(address)
        x, _ = read_audio(audio, config.sample_rate)
        mel = mel_of(x, config)
        print(f"POST /synthesize: the mel of {audio.name}, {mel.shape[0]} x {mel.shape[1]}")
        synthesize(address, mel)  # the first answer is slower than the next
        speech = synthesize(address, mel)
    length = min(len(x), len(speech.x))
    original, speech = x[:length], replace(speech, x=speech.x[:length])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "demo.wav").write_bytes(speech.wav)
    draw_both(folder / "demo.png", original, speech.x, config)
    report(original, speech, config.sample_rate)
    print(f"saved {folder / 'demo.wav'} and {folder / 'demo.png'}; the server is stopped")


def main() -> int:
    """Parse the command line and run; 1 with one line of explanation if anything fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a shipped name or a model directory")
    parser.add_argument("--audio", type=Path, default=HELD_OUT, help="the recording to take the mel from")
    parser.add_argument("--out", type=Path, default=Path(), help="the folder for demo.wav and demo.png")
    options = parser.parse_args()
    try:
        run(options.model, options.audio, options.out)
    except (DemoError, OSError, ValueError, httpx.HTTPError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
