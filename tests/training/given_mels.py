"""A corpus whose recordings came with mels that are not their own: each frame says which one it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from training.corpora.manifest import Entry, Manifest, read_manifest, write_manifest
from vocoder.mel.config import MelConfig


def numbered_mel(mel_config: MelConfig, frames: int) -> NDArray[np.float32]:
    """Return a mel (n_mels, frames) within the contract's range, whose frame i is -8 + i / 100 in every band."""
    return np.tile(np.float32(-8) + np.arange(frames, dtype=np.float32) / 100, (mel_config.n_mels, 1))


def write_given(root: Path, mel_config: MelConfig, plan: list[tuple[str, int, bool]]) -> Manifest:
    """Write noise for each (split, samples, with a mel), and the numbered mels of those that have one."""
    entries = []
    rate = mel_config.sample_rate
    for number, (split, samples, with_mel) in enumerate(plan):
        x = 0.1 * np.random.default_rng(number).standard_normal(samples)
        soundfile.write(root / f"{number}.flac", x, rate, subtype="PCM_16")
        mel = f"{number}.npy" if with_mel else None
        if mel is not None:
            np.save(root / mel, numbered_mel(mel_config, mel_config.frames(samples)))
        entries.append(Entry(f"{number}.flac", "c", "s", split, samples / rate, rate, "CC0-1.0", mel=mel))
    write_manifest(root / "manifest.jsonl", entries)
    return read_manifest(root)
