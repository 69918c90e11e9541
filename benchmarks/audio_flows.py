"""The audio flow in the manner of each flow that came before WaveGlow: same data, networks, batches and steps.

All start from the lapped transform and the mel-conditioned element-wise scaling; what differs is what the couplings do
and how the channels are mixed between them. Trained by likelihood alone, for a short while; scored on held-out
recordings: nats per sample, and the intelligibility (STOI) of what a flow makes of the mel of a recording.

    python -m benchmarks.audio_flows --manifest runs/speech/manifest.jsonl
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from training.corpora.manifest import Manifest, read_manifest
from training.data.datasets import SegmentConfig, SegmentDataset
from training.evaluate.density import nats_per_sample
from training.evaluate.opinions import short_time_intelligibility
from training.evaluate.recordings import Recording, Selection, recordings
from training.loop.objective import Batch
from training.objectives.waveglow import WaveGlowObjective
from training.objectives.waveglow_losses import WaveGlowLosses
from vocoder.layers.stack import WaveNetConfig
from vocoder.machine.timing import machine, markdown_table
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import WaveGlowConfig

__all__ = ["STYLES", "evaluate", "train"]

STYLES: dict[str, dict[str, Any]] = {
    "no coupling": {"flows": 1, "mixing": "reversal", "coupling": "additive"},
    "NICE": {"coupling": "additive", "mixing": "reversal"},
    "RealNVP": {"mixing": "reversal"},
    "RealNVP, random orders": {"mixing": "shuffle"},
    "Glow, additive": {"coupling": "additive", "mixing": "swap", "actnorm": True},
    "Glow": {"mixing": "swap", "actnorm": True},
    "WaveGlow": {"mixing": "swap"},
}
HEADER = ["setting", "coupling", "mixing", "actnorm", "parameters", "nats per sample", "STOI", "STOI, sigma 0.7"]
LIKELIHOOD = WaveGlowLosses(samples_from=1_000_000_000, critics_from=1_000_000_000, adversarial=0.0)


def train(objective: WaveGlowObjective, manifest: Manifest, steps: int, batch_size: int, rate: float) -> None:
    """Fit by likelihood: AdamW, a warm-up of a tenth and a cosine, the same segments in the same order every time."""
    batches = _batches(manifest, batch_size)
    objective.train()
    with torch.no_grad():
        objective.initialise([next(batches) for _ in range(8)])
    parameters = [p for p in objective.model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=rate, betas=(0.8, 0.99))
    for step in range(steps):
        progress = step / steps
        for group in optimiser.param_groups:
            group["lr"] = rate * min((step + 1) / (0.1 * steps), 0.5 * (1 + math.cos(math.pi * progress)) + 0.01)
        optimiser.zero_grad()
        found = objective.loss("model", next(batches), step)
        assert found is not None  # the model's phase has a loss at every step
        found[0].backward()
        nn.utils.clip_grad_norm_(parameters, 10.0)
        optimiser.step()


@torch.inference_mode()
def evaluate(model: WaveGlow, chosen: list[Recording]) -> tuple[float, float, float]:
    """Return nats per sample of the recordings, and the STOI of samples at temperatures 1 and 0.7."""
    contract = preset("nvidia")
    model.eval()
    nats, clear, cool = [], [], []
    for recording in chosen:
        x = recording.at(contract.sample_rate)
        x = x[: len(x) // contract.hop_length * contract.hop_length]
        nats.append(nats_per_sample(model, x, contract))
        mel = MelSpectrogram(contract)(torch.from_numpy(x)[None])[:, :, : len(x) // contract.hop_length]
        noise = torch.randn(model.noise_shape(1, mel.shape[2]), generator=torch.Generator().manual_seed(0))
        for sigma, scores in ((1.0, clear), (0.7, cool)):
            made = model.inverse(model.prior(noise, mel, sigma), mel)[0][0].numpy()
            scores.append(short_time_intelligibility(x, made, contract.sample_rate))
    return statistics.mean(nats), statistics.mean(clear), statistics.mean(cool)


def _batches(manifest: Manifest, batch_size: int) -> Iterator[Batch]:
    segments = SegmentDataset(manifest, "train", SegmentConfig(gain_db=(-8.0, 5.0)))
    for epoch in range(1_000_000):
        segments.set_epoch(epoch)
        yield from DataLoader(segments, batch_size, drop_last=True)  # type: ignore[misc]


def main() -> int:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description="NICE, RealNVP, Glow and WaveGlow as settings of one audio flow.")
    parser.add_argument("--manifest", default="runs/speech/manifest.jsonl", help="of a prepared corpus")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--batch", type=int, default=4, help="segments of 16,384 samples")
    parser.add_argument("--channels", type=int, default=64, help="of the couplings' networks")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="learning rate")
    parser.add_argument("--per-voice", type=int, default=2, help="held-out recordings of each voice")
    parser.add_argument("--settings", nargs="+", choices=list(STYLES), default=list(STYLES))
    args = parser.parse_args()
    manifest = read_manifest(args.manifest)
    chosen = recordings(manifest, Selection(limit=args.per_voice))
    stack = WaveNetConfig(channels=args.channels, dilations=(1, 2, 1))
    base = WaveGlowConfig(cond_channels=64, stack=stack, source=None, corrections=0)
    print(f"{args.steps} steps of {args.batch} x 16384 samples, {len(chosen)} recordings; {machine()}\n")
    print(markdown_table(HEADER, []), flush=True)
    for name in args.settings:
        config = replace(base, **STYLES[name])
        torch.manual_seed(0)
        objective = WaveGlowObjective(WaveGlow(config), preset("nvidia"), LIKELIHOOD)
        if name != "no coupling":
            train(objective, manifest, args.steps, args.batch, args.rate)
        else:
            objective.initialise([batch for batch, _ in zip(_batches(manifest, args.batch), range(8), strict=False)])
        nats, clear, cool = evaluate(objective.model, chosen)
        settings = [config.coupling, config.mixing, "yes" if config.actnorm else "no"]
        parameters = sum(p.numel() for p in objective.model.parameters())
        row = [name, *settings, str(parameters), f"{nats:.3f}", f"{clear:.3f}", f"{cool:.3f}"]
        print(f"| {' | '.join(row)} |", flush=True)
        del objective
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
