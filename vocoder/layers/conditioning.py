"""The networks that turn a mel into the condition of the couplings."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.layers.product import FrameConv
from vocoder.packing import silenced

__all__ = ["MelEncoder", "MelUpsampler", "normalised"]


class MelEncoder(nn.Module):
    """Three convolutions over mel frames: (B, n_mels, frames) to (B, channels, frames).

    The mel is centred by fixed constants first: natural-log mels of speech lie around -5 with a spread of 2.5, and
    a network that sees values near zero trains faster.

    Args:
        n_mels: mel bins.
        channels: channels of the condition.
        kernel_size: odd, in frames.
    """

    def __init__(self, n_mels: int, channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.kernel_size = kernel_size
        self.layers = nn.Sequential(
            FrameConv(n_mels, channels, kernel_size, padding=padding),
            nn.SiLU(),
            FrameConv(channels, channels, kernel_size, padding=padding),
            nn.SiLU(),
            FrameConv(channels, channels, kernel_size, padding=padding),
            nn.SiLU(),
        )

    @property
    def context(self) -> int:
        """Number of frames on each side that a frame of the condition depends on."""
        return 3 * (self.kernel_size // 2)

    def forward(self, mel: Tensor, gaps: Tensor | None = None) -> Tensor:
        """Map natural-log mels (B, n_mels, frames) to the condition (B, channels, frames), which is 0 in the gaps.

        The condition has the dtype of the weights.
        """
        cond = silenced(normalised(mel.to(next(self.parameters()).dtype)), gaps)
        for layer in self.layers:
            cond = silenced(layer(cond), gaps) if isinstance(layer, nn.SiLU) else layer(cond)
        return cond


def normalised(mel: Tensor) -> Tensor:
    """Centre and scale natural-log mels for a network."""
    return (mel + 5.0) / 2.5


class MelUpsampler(nn.Module):
    """Upsample the mel to samples and group it like the audio: (B, n_mels, frames) to (B, n_mels * group, steps).

    A transposed convolution of `kernel` samples and stride hop_length (section 3.1 of WaveGlow, and its code), cut at
    the end to frames * hop_length samples. Channel `mel * group + j` belongs to sample `group * step + j`.
    """

    def __init__(self, n_mels: int, hop_length: int, kernel: int, group_size: int) -> None:
        super().__init__()
        self.hop_length = hop_length
        self.group_size = group_size
        self.upsample = nn.ConvTranspose1d(n_mels, n_mels, kernel, stride=hop_length)

    def forward(self, mel: Tensor, gaps: Tensor | None = None) -> Tensor:
        """Map (B, n_mels, frames) to (B, n_mels * group_size, frames * hop_length / group_size)."""
        mel = silenced(mel, gaps)
        batch, n_mels, frames = mel.shape
        upsampled = self._upsampled(mel)[:, :, : frames * self.hop_length]
        steps = upsampled.reshape(batch, n_mels, -1, self.group_size).permute(0, 2, 1, 3).flatten(2)
        return steps.transpose(1, 2)  # in memory (B, steps, channels), as the couplings need it

    def _upsampled(self, mel: Tensor) -> Tensor:
        """Return what `self.upsample` does to (B, n_mels, frames), as one product and an overlap-add.

        PyTorch's own transposed convolution is a scalar loop on CPUs.
        """
        weight, bias = self.upsample.weight, self.upsample.bias
        assert bias is not None
        kernel = weight.shape[2]
        pieces = weight.flatten(1).T @ mel  # (B, n_mels * kernel, frames)
        length = (mel.shape[2] - 1) * self.hop_length + kernel
        added = F.fold(pieces, (1, length), (1, kernel), stride=(1, self.hop_length))
        return added.squeeze(2) + bias[:, None]
