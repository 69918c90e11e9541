"""Critics (discriminators) that judge audio by its complex spectrogram at several resolutions."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from training.losses.spectral import spectrum


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
        self.critics = nn.ModuleList(
            _Critic(size, int(size * config.f_max / sample_rate), config.channels, compute_dtype)
            for size in config.sizes
        )

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """Return each critic's feature maps of audio x (B, T), the last of which is the judgement."""
        return [critic(x) for critic in self.critics]


class _Critic(nn.Module):
    def __init__(self, size: int, bins: int, channels: int, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.size, self.bins, self.compute_dtype = size, bins, compute_dtype
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
