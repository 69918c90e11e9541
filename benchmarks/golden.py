"""Records the samples of every shipped model and compares them after a change: whole, streamed and in rows.

    python -m benchmarks.golden record runs/golden
    python -m benchmarks.golden compare runs/golden

Samples are float32, made on one thread. The mels are recorded beside them, so that a change of the mel extraction does
not look like a change of a model. A recording holds for one processor and one PyTorch.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.speech import speech
from vocoder.files import reason
from vocoder.loading import load, shipped_models
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import mel_of
from vocoder.sampling import Utterance
from vocoder.synthesis.synthesizer import Synthesizer
from vocoder.timing import markdown_table

Audio = NDArray[np.float32]

LIMIT_DB = -90.0
"""power of the difference relative to the recorded samples, in dB, up to which the sound counts as the same"""
MADE = {"seed": 7, "sharpen": 0.0}
"""options for all samples; no sharpening, which earlier releases lack and the glide, without texture, would get"""


def golden_mels(config: MelConfig) -> dict[str, Audio]:
    """Return mels (n_mels, frames): of speech of three lengths, a glide, and bursts of noise."""
    time = np.arange(3 * config.sample_rate) / config.sample_rate
    harmonics = [np.cos(k * (2 * np.pi * 110 * time + 40 * time**2)) / k for k in range(1, 20)]
    noise = np.random.default_rng(0).standard_normal(config.sample_rate)
    audio = {
        "sentence": speech(config.sample_rate, 5 * config.sample_rate, 0),
        "word": speech(config.sample_rate, config.sample_rate // 2, 1),
        "long": speech(config.sample_rate, 14 * config.sample_rate, 2),  # more frames than in one pass
        "glide": 0.1 * np.sum(harmonics, axis=0),
        "bursts": 0.05 * noise * (np.arange(len(noise)) % 4000 < 2000),
    }
    return {name: mel_of(np.asarray(x, np.float32), config) for name, x in audio.items()}


def samples(v: Synthesizer, mels: Mapping[str, Audio]) -> dict[str, Audio]:
    """Return a model's audio for each mel, by way of synthesis."""
    found = {f"whole {name}": v.synthesize(mel, **MADE, guard="off") for name, mel in mels.items()}
    for name, mel in mels.items():
        found[f"streamed {name}"] = np.concatenate(list(v.stream(mel, **MADE, guard="off")))
    rows = v.synthesize_many([Utterance(mel, **MADE) for mel in mels.values()])
    return found | {f"row {name}": x for name, x in zip(mels, rows, strict=True)}


def difference(x: Audio, recorded: Audio) -> float:
    """Return the power of a difference relative to the recorded samples in dB, infinite if lengths differ."""
    if x.shape != recorded.shape:
        return float("inf")
    power = float(np.mean(np.square(recorded, dtype=np.float64)))
    error = float(np.mean(np.square(x.astype(np.float64) - recorded)))
    return float(10 * np.log10(error / max(power, 1e-30))) if error else -float("inf")


def report(found: Mapping[str, Audio], recorded: Mapping[str, Audio]) -> dict[str, float]:
    """Return the largest difference in dB for each way of synthesis."""
    if set(found) != set(recorded):
        raise ValueError(f"the recorded file has {sorted(recorded)}, not {sorted(found)}")
    worst: dict[str, float] = {}
    for name, x in found.items():
        way = name.split()[0]
        worst[way] = max(worst.get(way, -float("inf")), difference(x, recorded[name]))
    return worst


def record(directory: Path, models: Sequence[str]) -> bool:
    """Write the mels and the models' samples into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in models:
        v = loaded(name)
        mels = golden_mels(v.mel_config)
        np.savez(mels_file(directory, v), **mels)  # type: ignore[arg-type]
        np.savez(directory / f"{name}.npz", **samples(v, mels))  # type: ignore[arg-type]
        print(f"recorded {name}", flush=True)
    return True


def compare(directory: Path, models: Sequence[str]) -> bool:
    """Print the difference of the models' samples from the recorded ones; return whether all are the same."""
    rows, same = [], True
    for name in models:
        v, recorded = loaded(name), dict(np.load(directory / f"{name}.npz"))
        worst = report(samples(v, dict(np.load(mels_file(directory, v)))), recorded)
        rows.append([name, *(f"{db:.0f}" for db in worst.values())])
        same = same and all(db <= LIMIT_DB for db in worst.values())
    print(markdown_table(["largest difference, dB", "whole", "streamed", "in rows"], rows))
    print("the same" if same else f"NOT the same: the limit is {LIMIT_DB:.0f} dB")
    return same


def mels_file(directory: Path, v: Synthesizer) -> Path:
    """Return the file of a model's mels."""
    return directory / f"mels-{v.mel_config.name}.npz"


def loaded(name: str) -> Synthesizer:
    """Return a shipped model in float32."""
    return load(name, dtype=torch.float32, guard="off")


def main() -> int:
    """Record or compare; return 1 if samples differ, and 2 if a file cannot be read or written."""
    ways: dict[str, Callable[[Path, Sequence[str]], bool]] = {"record": record, "compare": compare}
    parser = argparse.ArgumentParser(description="Whether the shipped models still make the same samples.")
    parser.add_argument("way", choices=ways)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--models", nargs="+", default=shipped_models(), help="models (default: all shipped)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        return 0 if ways[args.way](args.directory, args.models) else 1
    except OSError as error:
        parser.exit(2, f"golden {args.way}: {reason(error)}\n")


if __name__ == "__main__":
    raise SystemExit(main())
