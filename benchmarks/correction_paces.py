"""How the paces of the correction were found, and what they are worth beside equal steps over all frames.

python -m benchmarks.correction_paces --manifest runs/speech/manifest.jsonl [--iterations N] [--limit N]

Fits the pace of each step, by gradients through the correction of samples of training segments, and prints how far the
mels are from the target then: with plain steps, with the paces of `vocoder/layers/correction_pace.py`, with those that
were fitted. Then scores held-out recordings: steps over all frames as version 0.1 took them, and over the grids in
turn, plain and as they ship.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from vocoder.layers.correction_pace import Pace, paces
from vocoder.layers.mel_consistency import MelConsistency

from benchmarks.corrections import grouped
from training.corpora.manifest import read_manifest
from training.data.datasets import SegmentConfig, SegmentDataset
from training.evaluate.candidates import Candidate, of_vocoder
from training.evaluate.evaluation import evaluate
from training.evaluate.metric import Audio, split_by_package
from training.evaluate.metrics import METRICS
from training.evaluate.scoring import ScoreStore
from training.evaluate.summary import markdown_table, summarise
from vocoder.loading import load
from vocoder.machine.timing import machine
from vocoder.machine.timing import markdown_table as table
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.synthesizer import Synthesizer

FITTED_STEPS = (2, 4, 5, 8, 12, 20)
START = Pace(1.4, 0.1)
PLAIN = Pace(1.0, 0.0)
RATE, BATCH, SEGMENTS, EDGE = 0.05, 4, 64, 2
ALL_FRAMES, GRIDS = (6, 20, 60), (4, 12, 40)
VERSION_0_1 = Pace(1.4, 0.0)


def main() -> int:
    """Print the machine, the coefficients and the table."""
    args = _parser().parse_args()
    torch.manual_seed(0)
    voice = load(args.model, guard="off", dtype=torch.float32)
    print(machine(), flush=True)
    if args.iterations:
        print(f"\n{_fits(voice, args.manifest, args.iterations)}", flush=True)
    metrics, _ = split_by_package([metric for metric in METRICS if metric.name in ("pesq", "stoi")])
    chosen = grouped(read_manifest(args.manifest), of_vocoder(voice, args.model), args.limit)
    ways = {f"{steps} over all frames": over_all_frames(voice, steps) for steps in ALL_FRAMES}
    ways |= {f"{steps} over grids, plain": paced(voice, (PLAIN,) * steps) for steps in GRIDS}
    ways |= {f"{steps} over grids": MelConsistency(voice.mel_config, steps) for steps in GRIDS}
    rows = []
    for name, consistency in ways.items():
        candidate = Candidate(name, voice.mel_config, speak=partial(corrected, voice, consistency))
        rows += evaluate(candidate, chosen, metrics, ScoreStore(Path())).rows
    print(f"\n{markdown_table(summarise(rows), metrics)}")
    return 0


def over_all_frames(voice: Synthesizer, steps: int) -> MelConsistency:
    """Return the correction of version 0.1: equal steps, each over every frame."""
    consistency = MelConsistency(voice.mel_config, steps)
    consistency.grids, consistency.paces = 1, (VERSION_0_1,) * steps
    return consistency


@torch.no_grad()
def corrected(voice: Synthesizer, consistency: MelConsistency, mel: Audio) -> Audio:
    """Return audio (T,) of a mel (n_mels, frames), corrected in a given way."""
    x = voice.synthesize(torch.from_numpy(mel), seed=0, corrections=0)
    audio: Audio = consistency(x[None], torch.from_numpy(mel)[None])[0].numpy()
    return audio


def _fits(voice: Synthesizer, manifest: Path, iterations: int) -> str:
    """Return the table of the mels' distances for each number of steps, and of the paces that were fitted."""
    samples, mels = _samples(voice, manifest)
    rows = []
    for steps in FITTED_STEPS:
        found = fitted(voice, samples, mels, steps, iterations)
        ways = ((PLAIN,) * steps, paces(steps), found)
        with torch.no_grad():
            distances = [float(distance(paced(voice, way), samples, mels)) for way in ways]
        described = ", ".join(f"{pace.relaxation:.2f} {pace.momentum:+.2f}" for pace in found)
        rows.append([str(steps), *(f"{value:.4f}" for value in distances), described])
    return table(["steps", "plain", "shipped", "fitted", "relaxation and momentum as fitted"], rows)


def fitted(voice: Synthesizer, samples: Tensor, mels: Tensor, steps: int, iterations: int) -> tuple[Pace, ...]:
    """Return the paces that bring the mels of samples (B, T) nearest to `mels` (B, n_mels, frames)."""
    values = torch.tensor([[START.relaxation, START.momentum]] * steps, requires_grad=True)
    optimiser = torch.optim.Adam([values], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, iterations)
    pace: Callable[..., Any] = Pace
    for _ in range(iterations):
        chosen = torch.randperm(len(samples))[:BATCH]
        consistency = paced(voice, tuple(pace(*row) for row in values))
        loss = distance(consistency, samples[chosen].requires_grad_(), mels[chosen])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return tuple(Pace(*row) for row in values.tolist())


def paced(voice: Synthesizer, chosen: tuple[Pace, ...]) -> MelConsistency:
    """Return the correction with these paces."""
    consistency = MelConsistency(voice.mel_config, len(chosen))
    consistency.paces = chosen
    return consistency


def distance(consistency: MelConsistency, samples: Tensor, mels: Tensor) -> Tensor:
    """Return the mean distance in nepers of the mels of corrected samples (B, T) from their targets."""
    own = MelSpectrogram(consistency.config, precise=False)(consistency(samples, mels))
    inside = slice(EDGE, mels.shape[2] - EDGE)
    return (own[:, :, inside] - mels[:, :, inside]).abs().mean()


@torch.no_grad()
def _samples(voice: Synthesizer, manifest: Path) -> tuple[Tensor, Tensor]:
    """Return samples (B, T) before their correction, and the mels (B, n_mels, frames) of training segments."""
    config = voice.mel_config
    segments = SegmentDataset(read_manifest(manifest), "train", SegmentConfig(epoch_length=SEGMENTS))
    x = torch.stack([segments[i]["x"] for i in range(SEGMENTS)])
    frames = segments.config.segment_length // config.hop_length
    mels = MelSpectrogram(config, precise=False).frame(x)[:, :, :frames]
    return voice.synthesize(mels, seed=0, corrections=0), mels


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.correction_paces", description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="of a prepared corpus")
    parser.add_argument("--model", default="waveglow", metavar="NAME|DIR")
    parser.add_argument("--iterations", type=int, default=70, help="of the fit; 0 for the table alone (%(default)s)")
    parser.add_argument("--limit", type=int, default=2, help="recordings of each corpus (default: %(default)s)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
