"""`python -m recipes adapted-mels`: list recordings again with mels of other presets, which adapters convert."""

import argparse
import shutil
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np

from training.corpora.manifest import read_manifest, write_manifest
from training.data.stores import AudioStore
from vocoder.audio.resampling import resample
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import mel_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("manifest", type=Path, help="manifest.jsonl of a prepared corpus")
    parser.add_argument("--presets", nargs="+", required=True, help="presets of the mels, used in turn")
    parser.add_argument("--every", type=int, default=4, help="use every n-th recording (default: %(default)s)")
    parser.add_argument("--min-seconds", type=float, default=0.9, help="leave out shorter ones (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="manifest to write, in the same folder")


def run(args: argparse.Namespace) -> int:
    """Write the mels, and a manifest that lists all recordings and then some again with these mels."""
    manifest, configs = read_manifest(args.manifest), [preset(name) for name in args.presets]
    train = [e for e in manifest.select("train") if e.mel is None and e.duration >= args.min_seconds]
    taken, made = train[:: args.every], []
    store = AudioStore(manifest, taken)
    for i, (entry, config) in enumerate(zip(taken, cycle(configs), strict=False)):
        audio = f"adapted/{entry.path}"
        mel = f"{audio}.{config.name}.npy"
        (manifest.root / audio).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(manifest.root / entry.path, manifest.root / audio)
        heard = resample(store.whole(i), manifest.sample_rate, config.sample_rate)
        np.save(manifest.root / mel, mel_of(heard, config))
        made.append(replace(entry, path=audio, mel=mel, mel_preset=config.name))
    write_manifest(args.output, (*manifest.entries, *made))
    print(f"{args.output}: listed {len(made)} of {len(train)} recordings again, with mels of other presets")
    return 0
