"""`python -m recipes adapted-mels`: recordings once more, with mels that went through an adapter."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from training.corpora.manifest import Entry, Manifest, read_manifest, write_manifest
from training.data.stores import AudioStore
from vocoder.adapt.path import MelPath, path_between
from vocoder.audio.resampling import resample
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram

FOLDER = "adapted"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("manifest", type=Path, help="manifest.jsonl of a prepared corpus")
    parser.add_argument("--presets", nargs="+", required=True, help="mels that the adapters take, in turn")
    parser.add_argument("--target", default="nvidia", help="preset of the vocoder's mels (default: %(default)s)")
    parser.add_argument("--every", type=int, default=4, help="take every this-many-th recording (default: %(default)s)")
    parser.add_argument("--min-seconds", type=float, default=0.9, help="leave out shorter ones (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="manifest to write, in the same folder")


def run(args: argparse.Namespace) -> int:
    """Write the mels and a manifest that lists the recordings as they are, then some with the mels of adapters."""
    manifest = read_manifest(args.manifest)
    paths = [path_between(preset(name), preset(args.target)) for name in args.presets]
    train = [e for e in manifest.select("train") if e.mel is None and e.duration >= args.min_seconds]
    taken = train[:: args.every]
    store = AudioStore(manifest, taken)
    made = [_paired(manifest, entry, store.whole(i), paths[i % len(paths)]) for i, entry in enumerate(taken)]
    write_manifest(args.output, (*manifest.entries, *made))
    print(f"{args.output}: {len(made)} of {len(train)} recordings once more, with adapted mels")
    return 0


def _paired(manifest: Manifest, entry: Entry, x: np.ndarray, path: MelPath) -> Entry:
    """Write the mel of a recording that an adapter estimates, and return its entry."""
    audio = f"{FOLDER}/{entry.path}"
    mel = f"{audio}.{path.source.name}.npy"
    (manifest.root / audio).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(manifest.audio_path(entry), manifest.root / audio)
    np.save(manifest.root / mel, adapted_mel(x, manifest.sample_rate, path))
    return replace(entry, path=audio, mel=mel, mel_preset=path.target.name)


@torch.inference_mode()
def adapted_mel(x: np.ndarray, sample_rate: int, path: MelPath) -> np.ndarray:
    """Return the mel (n_mels, frames) that an adapter estimates of audio x (T,) at its target's rate, as long as x."""
    given = MelSpectrogram(path.source)(torch.from_numpy(resample(x, sample_rate, path.source.sample_rate))[None])[0]
    made, frames = path.convert(given), len(x) // path.target.hop_length
    missing = max(frames - made.shape[1], 0)
    mel: np.ndarray = torch.cat([made, made[:, -1:].expand(-1, missing)], dim=1)[:, :frames].float().numpy()
    return mel
