"""The published WaveGlow's conditioning: a transposed convolution, then grouping."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["MelUpsampler"]


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

    def forward(self, mel: Tensor) -> Tensor:
        """Map (B, n_mels, frames) to (B, n_mels * group_size, frames * hop_length / group_size)."""
        batch, n_mels, frames = mel.shape
        upsampled = self.upsample(mel)[:, :, : frames * self.hop_length]
        grouped = upsampled.reshape(batch, n_mels, -1, self.group_size).permute(0, 1, 3, 2)
        return grouped.reshape(batch, n_mels * self.group_size, -1)
