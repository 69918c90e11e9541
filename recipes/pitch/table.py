"""`python -m recipes pitch-table`: pitch networks beside pYIN, by corpus, playing speed and pitch."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from training.corpora.manifest import Entry, Manifest, read_manifest
from training.corpora.pitch import LabelConfig, follow
from training.data.audio_store import AudioStore
from training.data.mel_variation import BlurConfig, blurred
from training.data.rational_resampling import RATE_STEPS, RateResampler
from training.distil.pitch_weights import load_pitch
from vocoder.layers.source.pitch import PitchNet
from vocoder.mel.config_file import load_mel_config
from vocoder.mel.spectrogram import MelSpectrogram

__all__ = ["Heard", "add_arguments", "heard", "row", "run"]

RANGES = ((50, 80), (80, 110), (110, 150), (150, 200), (200, 300), (300, 600))
"""Hz, of a voice's median"""
CENTS = 100.0
"""beyond which a pitch is off"""
SPEEDS = (1.0, 0.85, 0.7, 0.6)
SHORTEST = 0.5  # seconds
HEADER = "speed | frames | median Hz | voicing right | off, % | beside pyin of all: voicing right | off, % |"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Heard:
    """Frames (n,) of a voice at a speed: what the network says, and two trackers, 0 where a frame is unvoiced.

    Attributes:
        net: f0 in Hz.
        tracker: that of labels, which hears nothing below 60 Hz of the recording.
        plain: the same tracker of the recording as it is.
    """

    net: Floats
    tracker: Floats
    plain: Floats

    @property
    def median(self) -> float:
        """Return the median pitch in Hz, by the tracker of labels; 0 where nothing is voiced."""
        voiced = self.tracker[self.tracker > 0]
        return float(np.median(voiced)) if len(voiced) else 0.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("net", help="directory of a pitch network, model directory or shipped name")
    parser.add_argument(
        "--corpus", action="append", required=True, metavar="DIR", help="prepared corpus; more than one"
    )
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="corpora of these names alone")
    parser.add_argument("--speeds", nargs="*", type=float, default=SPEEDS, help="playing speeds, multiples of 1/40")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each voice, at most (60)")
    parser.add_argument("--blurred", action="store_true", help="smooth and disturb mels as the recipe does in training")
    parser.add_argument("--voices", action="store_true", help="a row for each voice instead of each corpus")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    net = load_pitch(args.net).double().requires_grad_(False)
    named: dict[tuple[str, float], list[Heard]] = defaultdict(list)
    ranged: dict[tuple[str, float], list[Heard]] = defaultdict(list)
    for manifest in map(read_manifest, args.corpus):
        for entries in _voices(manifest, args.only, args.seconds):
            name = entries[0].speaker if args.voices else entries[0].corpus
            for speed in args.speeds:
                voice = heard(net, manifest, entries, speed, BlurConfig(share=float(args.blurred)))
                named[name, speed].append(voice)
                for low, high in RANGES:
                    if low <= voice.median < high:
                        ranged[f"{low} to {high} Hz", speed].append(voice)
    _print("voice" if args.voices else "corpus", named)
    _print("voices with a median of", dict(sorted(ranged.items(), key=lambda item: int(item[0][0].split()[0]))))
    return 0


def heard(net: PitchNet, manifest: Manifest, entries: Sequence[Entry], speed: float, blur: BlurConfig) -> Heard:
    """Return what trackers say of some recordings, played at a speed, and a network of their mels, blurred."""
    torch.manual_seed(0)
    mel, found = MelSpectrogram(load_mel_config("nvidia")), []
    resampler = RateResampler(Fraction(round(speed * RATE_STEPS), RATE_STEPS))
    store = AudioStore(manifest, entries)
    for index in range(len(entries)):
        length = resampler.length(int(store.lengths[index]))
        x = resampler.crop(partial(store.read, index), 0, length)
        f0, voicing = net.pitch(blurred(mel(torch.from_numpy(x)[None]), blur).double())
        said = torch.where(voicing > 0.5, f0, 0.0)[0].float().numpy()
        edges = speed * LabelConfig().high_pass, 0.0
        tracks = [follow(x, manifest.sample_rate, LabelConfig(high_pass=edge)) for edge in edges]
        frames = min(len(said), len(tracks[0]))
        found.append([track[:frames] for track in (said, *tracks)])
    return Heard(*(np.concatenate(part) for part in zip(*found, strict=True)))


def row(voices: Sequence[Heard]) -> str:
    """Return frames, median pitch, and voicing right and pitch off beside both trackers, as columns of a table."""
    net, tracker, plain = (np.concatenate([getattr(v, name) for v in voices]) for name in ("net", "tracker", "plain"))
    median = Heard(net, tracker, plain).median
    return f"{len(net)} | {median:.0f} | {_scores(net, tracker)} | {_scores(net, plain)}"


def _scores(net: Floats, tracker: Floats) -> str:
    """Return the share of right voicing, and the percentage of frames voiced in both whose pitch is off."""
    both = (net > 0) & (tracker > 0)
    off = np.abs(1200 * np.log2(net[both] / tracker[both])) > CENTS
    return f"{((net > 0) == (tracker > 0)).mean():.3f} | {100 * off.mean() if len(off) else 0:.1f}"


def _print(title: str, table: dict[tuple[str, float], list[Heard]]) -> None:
    print(f"| {title} | {HEADER}\n|---|--:|--:|--:|--:|--:|--:|--:|")
    for (name, speed), voices in table.items():
        print(f"| {name} | {speed:g} | {row(voices)} |")
    print()


def _voices(manifest: Manifest, only: Sequence[str], seconds: float) -> Iterator[list[Entry]]:
    """Yield the test entries of each voice, evenly spread, that last so long together."""
    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in manifest.select("test"):
        if (not only or entry.corpus in only) and entry.duration >= SHORTEST:
            groups[entry.corpus, entry.speaker].append(entry)
    for entries in groups.values():
        total = sum(entry.duration for entry in entries)
        yield entries[:: max(1, round(total / seconds))]
