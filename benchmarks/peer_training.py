"""What Vocos makes of the same recordings in the same time: PyPI's package, its losses and its discriminators.

python -m benchmarks.peer_training --manifest runs/speech/manifest.jsonl -o runs/vocos [--minutes N] [--resume]
       [--bfloat16] [--models NAME|DIR ...] [--limit N]

Trains from nothing for so many minutes on segments cut and varied as ours, with the settings that the package publishes
for mels, and its own option to begin with the mel loss alone. Then prints the scores of its speech beside those of
models of ours, on held-out recordings of voices that training heard and of others. Needs the extra `peers`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.corrections import QUALITY, grouped
from benchmarks.vocos_peer import VocosPeer
from training.corpora.manifest import read_manifest
from training.data.augment import AugmentConfig
from training.data.datasets import SegmentConfig, SegmentDataset
from training.evaluate.candidates import Candidate, of_vocoder
from training.evaluate.evaluation import evaluate
from training.evaluate.metric import Audio, split_by_package
from training.evaluate.metrics import METRICS
from training.evaluate.scoring import ScoreStore
from training.evaluate.summary import markdown_table, summarise
from vocoder.loading import load
from vocoder.machine.timing import machine
from vocoder.mel.config import MelConfig, preset
from vocoder.mel.spectrogram import MelSpectrogram

RATE, BETAS, BATCH = 5e-4, (0.8, 0.9), 4
MEL_WEIGHT, RESOLUTIONS_WEIGHT = 45.0, 0.1
"""weights of the mel loss and of the discriminators at several resolutions, as the package's configuration has them"""
MEL_ALONE = 0.4
"""share of the time without discriminators"""
SEGMENTS = SegmentConfig(
    balance=0.7,
    gain_db=(-20.0, 10.0),
    rates=(0.85, 1.375),
    augment=AugmentConfig(equaliser_db=6.0, low_pass=0.1, noise=0.3, reverberation=0.15),
)
WEIGHTS, PROGRESS = "vocos.safetensors", "progress.json"


@dataclass
class Judges:
    """The package's discriminators and losses."""

    periods: nn.Module
    resolutions: nn.Module
    generator: nn.Module
    discriminator: nn.Module
    features: nn.Module
    mel: nn.Module

    @classmethod
    def of(cls, config: MelConfig) -> Judges:
        """Return them as the package sets them up."""
        from vocos import discriminators, loss  # only who asks for this peer needs its package

        return cls(
            discriminators.MultiPeriodDiscriminator(),
            discriminators.MultiResolutionDiscriminator(),
            loss.GeneratorLoss(),
            loss.DiscriminatorLoss(),
            loss.FeatureMatchingLoss(),
            loss.MelSpecReconstructionLoss(config.sample_rate),
        )

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What the discriminators learn."""
        return [*self.periods.parameters(), *self.resolutions.parameters()]

    def own_loss(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """Return the loss of the discriminators on recorded x and generated x_hat (B, T)."""
        total = x.new_zeros(())
        for judge, weight in ((self.periods, 1.0), (self.resolutions, RESOLUTIONS_WEIGHT)):
            real, fake, _, _ = judge(y=x, y_hat=x_hat)
            loss, parts, _ = self.discriminator(disc_real_outputs=real, disc_generated_outputs=fake)
            total = total + weight * loss.squeeze() / len(parts)
        return total

    def generator_loss(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """Return the adversarial loss of the generator, and the distance of the features."""
        total = x.new_zeros(())
        for judge, weight in ((self.periods, 1.0), (self.resolutions, RESOLUTIONS_WEIGHT)):
            _, fake, features, generated = judge(y=x, y_hat=x_hat)
            loss, parts = self.generator(disc_outputs=fake)
            distance = self.features(fmap_r=features, fmap_g=generated) / len(features)
            total = total + weight * (loss / len(parts) + distance).squeeze()
        return total


class Training:
    """A run of so many seconds; whatever it has learnt is in `directory`.

    `bfloat16` casts products and convolutions by autocast, the discriminators' too, as training of ours does.
    """

    def __init__(self, manifest: Path, directory: Path, config: MelConfig, bfloat16: bool) -> None:
        self.directory, self.config, self.bfloat16 = directory, config, bfloat16
        self.peer, self.judges = VocosPeer(config), Judges.of(config)
        self.mel = MelSpectrogram(config, precise=False)
        self.segments = SegmentDataset(read_manifest(manifest), "train", SEGMENTS)
        self.seconds, self.steps = 0.0, 0

    def resume(self) -> None:
        """Take over the weights of an earlier part of the run; optimisers and discriminators begin anew."""
        self.peer.load_state_dict(load_file(self.directory / WEIGHTS))
        progress = json.loads((self.directory / PROGRESS).read_text(encoding="utf-8"))
        self.seconds, self.steps = progress["seconds"], progress["steps"]

    def run(self, seconds: float) -> None:
        """Train until so many seconds have gone into it; the learning rate falls along a cosine."""
        adam = [torch.optim.AdamW(p, RATE, BETAS) for p in (self.peer.parameters(), self.judges.parameters)]
        while self.seconds < seconds:
            self.segments.set_epoch(self.steps)
            for batch in DataLoader(self.segments, BATCH, shuffle=True, drop_last=True):
                share = self.seconds / seconds
                if share >= 1:
                    break
                for optimiser in adam:
                    for group in optimiser.param_groups:
                        group["lr"] = RATE * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * share)).item())
                started = time.perf_counter()
                loss = self._step(batch, adam, judged=share >= MEL_ALONE)
                self.seconds += time.perf_counter() - started
                self.steps += 1
                if self.steps % 50 == 0:
                    print(f"step {self.steps}  {self.seconds / 60:.1f} minutes  mel {loss:.4f}", flush=True)
                    self.save()
        self.save()

    def _step(self, batch: dict[str, Tensor], adam: list[torch.optim.AdamW], judged: bool) -> float:
        margin = self.config.n_fft // 2
        x = batch["x"][:, margin:-margin]
        mel = self.mel.frame(batch["x"])[:, :, : x.shape[1] // self.config.hop_length]
        with self._cast():
            x_hat = self.peer(mel)
        if judged:
            adam[1].zero_grad()
            with self._cast():
                own_loss = self.judges.own_loss(x, x_hat.detach())
            own_loss.backward()  # type: ignore[no-untyped-call]
            adam[1].step()
        distance = self.judges.mel(x_hat, x)
        with self._cast():
            loss = MEL_WEIGHT * distance + (self.judges.generator_loss(x, x_hat) if judged else 0.0)
        adam[0].zero_grad()
        loss.backward()
        adam[0].step()
        return float(distance)

    def _cast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16)

    def save(self) -> None:
        """Write the generator and how far it has come."""
        self.directory.mkdir(parents=True, exist_ok=True)
        save_file(self.peer.state_dict(), self.directory / WEIGHTS)
        progress = {"seconds": self.seconds, "steps": self.steps}
        (self.directory / PROGRESS).write_text(json.dumps(progress), encoding="utf-8")


def main() -> int:
    """Train, and print the table."""
    args = _parser().parse_args()
    torch.manual_seed(0)
    config = preset("nvidia")
    print(machine(), flush=True)
    training = Training(args.manifest, args.output, config, args.bfloat16)
    if args.resume:
        training.resume()
    training.run(60 * args.minutes)
    print(f"\nVocos: {training.steps} steps in {training.seconds / 60:.0f} minutes\n\n{scores(training.peer, args)}")
    return 0


def scores(peer: VocosPeer, args: argparse.Namespace) -> str:
    """Return the table of the peer and of models of ours."""
    peer.eval()

    def speak(mel: Audio) -> Audio:
        audio: Any = peer.speak(torch.from_numpy(mel)[None])[0].numpy()
        return audio  # type: ignore[no-any-return]

    ours = [of_vocoder(load(name, guard="off"), name) for name in args.models]
    metrics, _ = split_by_package([metric for metric in METRICS if metric.name in (*QUALITY, "band_db")])
    chosen, rows = grouped(read_manifest(args.manifest), ours[0], args.limit), []
    for candidate in (Candidate("Vocos", ours[0].mel_config, speak=speak), *ours):
        rows += evaluate(candidate, chosen, metrics, ScoreStore(Path())).rows
    return markdown_table(summarise(rows), metrics)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peer_training", description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="of a prepared corpus")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("--minutes", type=float, default=90.0, help="of training (default: %(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
    parser.add_argument("--bfloat16", action="store_true", help="train in bfloat16 where autocast does")
    parser.add_argument("--models", nargs="+", default=["reverse", "waveglow"], metavar="NAME|DIR", help="of ours")
    parser.add_argument("--limit", type=int, default=2, help="recordings of each corpus (default: %(default)s)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
