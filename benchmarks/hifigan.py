"""The generator of HiFi-GAN, a common alternative: V1 with 13.9 million parameters, V2 with 0.93 million.

Kong, Kim, Bae, "HiFi-GAN: Generative Adversarial Networks for Efficient and High Fidelity Speech Synthesis" (2020),
table 5: four transposed convolutions take the mel to the rate of samples, and after each of them the mean of three
residual blocks with kernels of 3, 7 and 11 is formed. Its speed does not depend on the weights.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

V1, V2 = 512, 128
"""numbers of channels"""
UPSAMPLING = ((8, 16), (8, 16), (2, 4), (2, 4))
"""rate and kernel of each transposed convolution"""
KERNELS = (3, 7, 11)
DILATIONS = (1, 3, 5)
SLOPE = 0.1


class ResidualBlock(nn.Module):
    """Three pairs of a dilated and a plain convolution, each pair with a skip connection."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.dilated = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=d, padding=d * (kernel // 2)) for d in DILATIONS
        )
        self.plain = nn.ModuleList(nn.Conv1d(channels, channels, kernel, padding=kernel // 2) for _ in DILATIONS)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, T) to (B, channels, T)."""
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            x = x + plain(F.leaky_relu(dilated(F.leaky_relu(x, SLOPE)), SLOPE))
        return x


class HiFiGAN(nn.Module):
    """Maps a mel (B, n_mels, frames) to audio (B, frames * 256)."""

    def __init__(self, n_mels: int = 80, channels: int = V2) -> None:
        super().__init__()
        self.first = nn.Conv1d(n_mels, channels, 7, padding=3)
        self.upsampling, self.blocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel in UPSAMPLING:
            channels //= 2
            padding = (kernel - rate) // 2
            self.upsampling.append(nn.ConvTranspose1d(2 * channels, channels, kernel, rate, padding=padding))
            self.blocks.append(nn.ModuleList(ResidualBlock(channels, kernel) for kernel in KERNELS))
        self.last = nn.Conv1d(channels, 1, 7, padding=3)

    @torch.no_grad()
    def forward(self, mel: Tensor) -> Tensor:
        """Return the audio."""
        x: Tensor = self.first(mel)
        for upsample, blocks in zip(self.upsampling, self.blocks, strict=True):
            assert isinstance(blocks, nn.ModuleList)
            x = upsample(F.leaky_relu(x, SLOPE))
            x = torch.stack([block(x) for block in blocks]).mean(0)
        return torch.tanh(self.last(F.leaky_relu(x, 0.01))).squeeze(1)


def published(checkpoint: Path) -> HiFiGAN:
    """Return V1 with the weights of a published checkpoint, which has them normalised (w = g v / ||v||)."""
    state, net = torch.load(checkpoint, "cpu", weights_only=True)["generator"], HiFiGAN(channels=V1)
    names = [name.removesuffix(".bias") for name in state if name.endswith(".bias")]
    layers = [layer for layer in net.modules() if isinstance(layer, (nn.Conv1d, nn.ConvTranspose1d))]
    for layer, name in zip(layers, names, strict=True):
        v, g = state[f"{name}.weight_v"], state[f"{name}.weight_g"]
        layer.load_state_dict({"weight": g * v / v.norm(dim=(1, 2), keepdim=True), "bias": state[f"{name}.bias"]})
    return net.eval()
