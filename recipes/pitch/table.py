"""`python -m recipes pitch-table`: pitch networks beside pYIN, by corpus, playing speed and pitch range."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from training.corpora.manifest import Entry, Manifest, read_manifest
from training.corpora.pitch import LabelConfig, follow
from training.data.audio_store import AudioStore
from training.data.rational_resampling import RATE_STEPS, RateResampler
from training.distil.pitch_weights import load_pitch
from vocoder.layers.source.pitch import PitchNet
from vocoder.mel.contract import contract
from vocoder.mel.spectrogram import MelSpectrogram

__all__ = ["Score", "add_arguments", "run", "scores"]

RANGES = ((0, 80), (80, 110), (110, 150), (150, 200), (200, 300), (300, 1000))
"""Hz, of the pitch that the tracker finds"""
CENTS = 100.0
"""beyond which a pitch is off"""
SPEEDS = (1.0, 0.85, 0.7, 0.6)
SHORTEST = 0.5  # seconds


@dataclass
class Score:
    """Counts of frames: all, right in voicing, voiced in both, off in pitch of these; and the pitches."""

    frames: int = 0
    right: int = 0
    both: int = 0
    off: int = 0
    pitches: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, f0: NDArray[np.float32], found: NDArray[np.float64], voiced: NDArray[np.bool_]) -> None:
        """Count frames, (n,) each, of a tracker's f0, 0 where unvoiced, and of a network's f0 and voicing."""
        both = (f0 > 0) & voiced
        self.frames += len(f0)
        self.right += int(((f0 > 0) == voiced).sum())
        self.both += int(both.sum())
        self.off += int((np.abs(1200 * np.log2(found[both] / f0[both])) > CENTS).sum())
        self.pitches.append(f0[f0 > 0])

    def row(self) -> str:
        """Return median pitch, voicing right and pitch off, in columns of a table."""
        pitches = np.concatenate(self.pitches)
        median = f"{np.median(pitches):.0f}" if len(pitches) else ""
        off = f"{100 * self.off / self.both:.1f}" if self.both else ""
        return f"{self.frames} | {median} | {self.right / max(self.frames, 1):.3f} | {off}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("net", help="directory of a pitch network, model directory or shipped name")
    parser.add_argument(
        "--corpus", action="append", required=True, metavar="DIR", help="prepared corpus; more than one"
    )
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="corpora of these names alone")
    parser.add_argument("--speeds", nargs="*", type=float, default=SPEEDS, help="playing speeds, multiples of 1/40")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each voice, at most (60)")
    parser.add_argument("--voices", action="store_true", help="a row for each voice instead of each corpus")


@torch.no_grad()
def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    net = load_pitch(args.net).double().requires_grad_(False)
    heard = [
        (manifest, entries)
        for manifest in map(read_manifest, args.corpus)
        for entries in _chosen(manifest, args.only, args.seconds)
    ]
    by_name: dict[tuple[str, float], Score] = defaultdict(Score)
    by_range: dict[tuple[str, float], Score] = defaultdict(Score)
    for manifest, entries in heard:
        name = entries[0].speaker if args.voices else entries[0].corpus
        for speed in args.speeds:
            for f0, found, voiced in scores(net, manifest, entries, speed):
                by_name[name, speed].add(f0, found, voiced)
                for low, high in RANGES:
                    inside = (f0 >= low) & (f0 < high) & (f0 > 0)
                    by_range[f"{low} to {high} Hz", speed].add(f0[inside], found[inside], voiced[inside])
    for title, table in (("voice" if args.voices else "corpus", by_name), ("pitch (voiced frames)", by_range)):
        print(
            f"| {title} | speed | frames | median Hz | voicing right | off by > 100 cents, % |\n"
            "|---|--:|--:|--:|--:|--:|"
        )
        for (name, speed), score in table.items():
            print(f"| {name} | {speed:g} | {score.row()} |")
        print()
    return 0


def scores(
    net: PitchNet, manifest: Manifest, entries: Iterable[Entry], speed: float
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_]]]:
    """Yield the tracker's f0, the network's and its voicing, (frames,) each, of each entry played at a speed."""
    mel = MelSpectrogram(contract("nvidia"))
    resampler = RateResampler(Fraction(round(speed * RATE_STEPS), RATE_STEPS))
    entries = list(entries)
    store = AudioStore(manifest, entries)
    for index in range(len(entries)):
        length = resampler.length(int(store.lengths[index]))
        x = resampler.crop(partial(store.read, index), 0, length)
        f0 = follow(x, manifest.sample_rate, LabelConfig())
        found, voicing = net.pitch(mel(torch.from_numpy(x)[None]).double())
        frames = min(len(f0), found.shape[1])
        yield f0[:frames], found[0, :frames].numpy(), voicing[0, :frames].numpy() > 0.5


def _chosen(manifest: Manifest, only: list[str], seconds: float) -> Iterator[list[Entry]]:
    """Yield the test entries of each voice, evenly spread, until they last so long."""
    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in manifest.select("test"):
        if (not only or entry.corpus in only) and entry.duration >= SHORTEST:
            groups[entry.corpus, entry.speaker].append(entry)
    for entries in groups.values():
        total = sum(entry.duration for entry in entries)
        yield entries[:: max(1, int(total / seconds))]
