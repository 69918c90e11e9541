"""How the paces of the correction were found, and what they are worth beside equal steps over all frames.

python -m benchmarks.correction_paces --manifest runs/speech/manifest.jsonl [--iterations N] [--limit N]

Fits relaxation and momentum as polynomials of the progress, by gradients through the correction of samples of training
segments, and prints the coefficients beside those of `vocoder/layers/mel_consistency.py`. Then scores held-out
recordings: steps over all frames as version 0.1 took them, and steps over the grids in turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.corrections import grouped
from training.corpora.manifest import read_manifest
from training.data.datasets import SegmentConfig, SegmentDataset
from training.evaluate.candidates import Candidate, of_vocoder
from training.evaluate.evaluation import evaluate
from training.evaluate.metric import Audio, split_by_package
from training.evaluate.metrics import METRICS
from training.evaluate.scoring import ScoreStore
from training.evaluate.summary import markdown_table, summarise
from vocoder.layers.mel_consistency import MelConsistency, Pace
from vocoder.loading import load
from vocoder.machine.timing import machine
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.synthesizer import Synthesizer

FITTED_STEPS = (12, 20)
START = ((1.6, -0.4, 0.0, 0.0), (0.4, -0.2, 0.0, 0.0))
RATE, BATCH, SEGMENTS, EDGE = 0.04, 4, 64, 2
ALL_FRAMES, GRIDS = (6, 20, 60), (12, 20, 40)
VERSION_0_1 = Pace(1.4, 0.0)


def main() -> int:
    """Print the machine, the coefficients and the table."""
    args = _parser().parse_args()
    torch.manual_seed(0)
    voice = load(args.model, guard="off", dtype=torch.float32)
    print(machine(), flush=True)
    if args.iterations:
        for name, row in zip(("relaxation", "momentum"), fitted(voice, args.manifest, args.iterations), strict=True):
            print(f"{name}: {' '.join(f'{value:+.3f} u^{power}' for power, value in enumerate(row.tolist()))}")
    metrics, _ = split_by_package([metric for metric in METRICS if metric.name in ("pesq", "stoi")])
    chosen = grouped(read_manifest(args.manifest), of_vocoder(voice, args.model), args.limit)
    ways = {f"{steps} over all frames": over_all_frames(voice, steps) for steps in ALL_FRAMES}
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


def fitted(voice: Synthesizer, manifest: Path, iterations: int) -> Tensor:
    """Return the coefficients (2, 4) of relaxation and momentum, from power 0 of the progress on."""
    samples, mels = _samples(voice, manifest)
    coefficients = torch.tensor(START, requires_grad=True)
    optimiser = torch.optim.Adam([coefficients], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, iterations, RATE / 50)
    extract = MelSpectrogram(voice.mel_config, precise=False)
    for iteration in range(iterations):
        consistency = _paced(voice, FITTED_STEPS[iteration % len(FITTED_STEPS)], coefficients)
        chosen = torch.randperm(len(samples))[:BATCH]
        own = extract(consistency(samples[chosen].requires_grad_(), mels[chosen]))
        inside = slice(EDGE, mels.shape[2] - EDGE)
        loss = (own[:, :, inside] - mels[chosen][:, :, inside]).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([coefficients], 1.0)
        optimiser.step()
        schedule.step()
    return coefficients.detach()


def _paced(voice: Synthesizer, steps: int, coefficients: Tensor) -> MelConsistency:
    """Return the correction whose paces are the polynomials of these coefficients, differentiable in them."""
    progress = torch.linspace(0, 1, steps)[:, None] ** torch.arange(coefficients.shape[1])
    consistency = MelConsistency(voice.mel_config, steps)
    pace: Callable[..., Any] = Pace
    consistency.paces = tuple(pace(*row) for row in progress @ coefficients.T)
    return consistency


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
