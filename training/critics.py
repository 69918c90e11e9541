"""Critics (discriminators) that judge audio by its complex spectrogram at several resolutions, and their training."""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from training.losses.spectral import spectrum
from vocoder.config import ConfigError, from_dict, to_dict

CRITICS_FILE = "critics.safetensors"  # file of the critics, beside the weights of the model that they judged


@dataclass(frozen=True)
class CriticConfig:
    """Shape of the critics."""

    sizes: tuple[int, ...] = (512, 1024, 2048)
    """FFT size of each critic in samples"""
    channels: int = 32
    length: int = 8192
    """samples of each segment that the critics see, at a random position; 0 for all"""
    f_max: float = 8000.0
    """highest frequency that the critics see, in Hz"""


class SpectrogramCritics(nn.Module):
    """One convolutional critic for each resolution; they see log magnitude and compressed real and imaginary parts.

    The layers stride over frequency alone, as in the multi-resolution discriminators of UnivNet and Encodec. On a CPU
    the convolutions run in bfloat16 and channels-last.
    """

    def __init__(self, config: CriticConfig, sample_rate: int, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.critics = nn.ModuleList(_Critic(size, config, sample_rate, compute_dtype) for size in config.sizes)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """Return each critic's feature maps of audio x (B, T), the last of which is the judgement."""
        return [critic(x) for critic in self.critics]


class _Critic(nn.Module):
    def __init__(self, size: int, config: CriticConfig, sample_rate: int, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.size, self.compute_dtype, channels = size, compute_dtype, config.channels
        self.bins = int(size * config.f_max / sample_rate)
        shapes = [(3, (3, 9), 2), (channels, (3, 9), 2), (channels, (3, 9), 2), (channels, (3, 5), 2)]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(width, channels, kernel, (1, stride), (kernel[0] // 2, kernel[1] // 2)))
            for width, kernel, stride in shapes
        )
        self.judge = weight_norm(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the feature maps of audio (B, T) and, last, its judgement (B, 1, frames, bins)."""
        image = torch.view_as_real(spectrum(x, self.size)[:, : self.bins]).permute(0, 3, 2, 1)
        power = image.square().sum(dim=1, keepdim=True) + 1e-8
        features = torch.cat([power.log() / 4 + 2, 2 * image * power.pow(-0.35)], dim=1)
        hidden, maps = features.to(memory_format=torch.channels_last), []
        with torch.autocast(x.device.type, self.compute_dtype, enabled=self.compute_dtype != torch.float32):
            for layer in self.layers:
                hidden = F.leaky_relu(layer(hidden), 0.1)
                maps.append(hidden)
            return [*maps, self.judge(hidden).float()]


def critic_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """Return the critics' hinge loss, averaged over resolutions."""
    losses = [F.relu(1 - r[-1]).mean() + F.relu(1 + f[-1]).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(losses).mean()


def generator_loss(fake: list[list[Tensor]]) -> Tensor:
    """Return the generator's hinge loss, averaged over resolutions."""
    return torch.stack([-f[-1].mean() for f in fake]).mean()


def feature_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """Return the distance between the critics' feature maps, relative to their size."""
    losses = [
        (a.detach().float() - b.float()).abs().mean() / a.detach().float().abs().mean()
        for r, f in zip(real, fake, strict=True)
        for a, b in zip(r[:-1], f[:-1], strict=True)
    ]
    return torch.stack(losses).mean()


class Adversary(nn.Module):
    """Critics that remember what they judged, so that their own update sees the same audio as the model's update."""

    def __init__(
        self, config: CriticConfig, sample_rate: int, compute_dtype: torch.dtype, *, first: int = 0, every: int = 1
    ) -> None:
        super().__init__()
        self.config = config
        self.first, self.every = first, every
        self.critics = SpectrogramCritics(config, sample_rate, compute_dtype)
        self._judged: deque[tuple[Tensor, Tensor]] = deque()

    def asked(self, step: int) -> bool:
        """Return whether the critics judge at a step."""
        return step >= self.first and step % self.every == 0

    def judge(self, x_hat: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the adversarial and feature losses of generated audio x_hat (B, T) against x (B, T)."""
        length = min(self.config.length or x.shape[1], x.shape[1])
        start = int(torch.randint(x.shape[1] - length + 1, ()))
        generated, recorded = x_hat[:, start : start + length], x[:, start : start + length]
        self._judged.append((generated.detach(), recorded))
        judged = self.critics(generated)
        with torch.no_grad():
            real = self.critics(recorded)
        return generator_loss(judged), feature_loss(real, judged)

    def loss(self, step: int = 0) -> Tensor | None:
        """Return the critics' own loss on the oldest unused judgement, or None if they do not judge at this step."""
        if not self.asked(step):
            return None
        fake, real = self._judged.popleft()
        return critic_loss(self.critics(real), self.critics(fake))

    def save(self, directory: Path) -> None:
        """Write the critics beside a model, so that fine-tuning can start from them."""
        _write(directory, self.config, self.critics.state_dict())

    def load(self, directory: Path) -> bool:
        """Load the critics beside a model; return whether there are any of this shape.

        Raises ConfigError if the file is damaged.
        """
        found = critics_beside(directory)
        if found is None or replace(found[0], length=self.config.length) != self.config:
            return False
        self.critics.load_state_dict(found[1])
        return True


def critics_beside(directory: Path) -> tuple[CriticConfig, dict[str, Tensor]] | None:
    """Return the shape and the weights of the critics beside a model, or None if there are none.

    Raises ConfigError if the file is damaged.
    """
    path = directory / CRITICS_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return from_dict(CriticConfig, json.loads((file.metadata() or {})["config"])), load_file(path)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ConfigError(f"{path} holds no critics: {error}") from error


def copy_critics(source: Path, target: Path, dtype: torch.dtype) -> bool:
    """Copy the critics beside a model to another directory in a given precision; return whether there are any."""
    found = critics_beside(source)
    if found is not None:
        _write(target, found[0], {name: value.to(dtype) for name, value in found[1].items()})
    return found is not None


def _write(directory: Path, config: CriticConfig, weights: Mapping[str, Tensor]) -> None:
    tensors = {name: value.contiguous() for name, value in weights.items()}
    save_file(tensors, directory / CRITICS_FILE, {"config": json.dumps(to_dict(config))})
    (directory / CRITICS_FILE).chmod(0o644)  # safetensors makes it private, but containers run as other users
