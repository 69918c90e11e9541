"""A small network that recognises what is said at which pitch, and the perceptual loss, which compares its features."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.losses.spectral import spectrum
from vocoder.config import ConfigError, from_dict, to_dict
from vocoder.layers.source.pitch import PitchConfig

__all__ = [
    "FrameRecogniser",
    "FrameRecogniserConfig",
    "feature_distance",
    "gram",
    "load_recogniser",
    "save_recogniser",
    "style_distance",
]


@dataclass(frozen=True)
class FrameRecogniserConfig:
    """Shape of a recogniser, and what it tells apart."""

    n_mels: int = 80
    hop_length: int = 256
    sample_rate: int = 22050
    n_fft: int = 512
    """size of the transform that it looks at; its hop is a quarter of hop_length"""
    channels: int = 96
    layers: int = 4
    """layers at frame rate, after the two that lead there"""
    classes: int = 64
    """clusters of mel frames"""
    pitch: PitchConfig = field(default_factory=lambda: PitchConfig(bins=36))

    def __post_init__(self) -> None:
        if self.hop_length % 4 or self.n_fft < self.hop_length:
            raise ConfigError("hop_length must be a multiple of 4 and n_fft no shorter than it")
        if min(self.channels, self.layers, self.n_mels) < 1 or self.classes < 2:
            raise ConfigError("a recogniser needs a channel, a layer, a mel bin and two classes at least")


class FrameRecogniser(nn.Module):
    """Classify each frame of audio: the cluster of its mel, its pitch, and whether it has one.

    Of the published network, which recognises phones and needs their labels, these classes are the counterpart that
    any corpus has: clusters of spectra are near phones, and pitch is the rest of intonation.
    """

    window: Tensor
    centroids: Tensor

    def __init__(self, config: FrameRecogniserConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        layers = [
            nn.Conv1d(config.n_fft // 2 + 1, width, 5, padding=2),
            nn.Conv1d(width, width, 4, stride=2, padding=1),
            nn.Conv1d(width, width, 4, stride=2, padding=1),
            *(nn.Conv1d(width, width, 5, padding=2) for _ in range(config.layers)),
        ]
        self.layers = nn.ModuleList(layers)
        self.output = nn.Conv1d(width, config.classes + config.pitch.bins + 1, 1)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        self.register_buffer("centroids", torch.zeros(config.classes, config.n_mels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map audio x (B, T) to the logits of class, pitch (B, ..., frames) and voicing (B, frames)."""
        out = self.output(self.features(x)[-1])
        classes, pitch, voicing = torch.split(out, [self.config.classes, self.config.pitch.bins, 1], dim=1)
        return classes, pitch, voicing.squeeze(1)

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the output of every layer, (B, channels, frames), for audio x (B, T)."""
        steps = 4 * (x.shape[1] // self.config.hop_length)
        image = spectrum(x, self.config.n_fft, self.window, self.config.hop_length // 4)[:, :, :steps]
        hidden = (torch.view_as_real(image).square().sum(dim=3) + 1e-8).log() / 4 + 2
        found = []
        for layer in self.layers:
            hidden = nn.functional.silu(layer(hidden))
            found.append(hidden)
        return found

    def classes_of(self, mel: Tensor) -> Tensor:
        """Return the nearest cluster (B, frames) of each frame of natural-log mels (B, n_mels, frames)."""
        return torch.cdist(mel.transpose(1, 2), self.centroids.expand(mel.shape[0], -1, -1)).argmin(dim=2)

    @torch.no_grad()
    def fit_classes(self, frames: Tensor, rounds: int = 12) -> None:
        """Set the clusters by k-means of mel frames (n, n_mels), from random ones among them.

        Raises:
            ValueError: there are fewer frames than classes.
        """
        if len(frames) < self.config.classes:
            raise ValueError(f"{len(frames)} frames are too few for {self.config.classes} classes")
        self.centroids.copy_(frames[torch.randperm(len(frames), device=frames.device)[: self.config.classes]])
        for _ in range(rounds):
            nearest = torch.cdist(frames, self.centroids).argmin(dim=1)
            counts = torch.bincount(nearest, minlength=self.config.classes)
            sums = torch.zeros_like(self.centroids).index_add_(0, nearest, frames)
            filled = counts > 0
            self.centroids[filled] = sums[filled] / counts[filled, None]


def save_recogniser(directory: Path, model: FrameRecogniser) -> None:
    """Write config.json and model.safetensors."""
    directory.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, directory / "model.safetensors")
    (directory / "config.json").write_text(json.dumps(to_dict(model.config), indent=2) + "\n", encoding="utf-8")


def load_recogniser(directory: Path | str) -> FrameRecogniser:
    """Read a recogniser, ready to compare audio.

    Raises:
        ConfigError: the directory holds none.
    """
    directory = Path(directory)
    try:
        config = from_dict(FrameRecogniserConfig, json.loads((directory / "config.json").read_text(encoding="utf-8")))
        model = FrameRecogniser(config)
        model.load_state_dict(load_file(directory / "model.safetensors"))
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{directory} holds no recogniser: {error}") from error
    return model.eval().requires_grad_(False)


def feature_distance(generated: Sequence[Tensor], recorded: Sequence[Tensor]) -> Tensor:
    """Return the distance of feature maps (B, C, frames), relative to the recording's, the mean over layers."""
    return _mean([_relative(a, b) for a, b in zip(generated, recorded, strict=True)])


def style_distance(generated: Sequence[Tensor], recorded: Sequence[Tensor]) -> Tensor:
    """Return the relative distance of Gram matrices, the mean over layers (Gatys et al., 2015, section 2)."""
    return _mean([_relative(gram(a), gram(b)) for a, b in zip(generated, recorded, strict=True)])


def gram(features: Tensor) -> Tensor:
    """Return which of the features (B, C, frames) occur together, averaged over time: (B, C, C)."""
    return features @ features.transpose(1, 2) / features.shape[2]


def _relative(generated: Tensor, recorded: Tensor) -> Tensor:
    distance: Tensor = (generated - recorded).square().sum(dim=(1, 2))
    size: Tensor = recorded.square().sum(dim=(1, 2))
    return (distance / (size + 1e-8)).mean()


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()
