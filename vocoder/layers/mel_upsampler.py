"""The published WaveGlow's conditioning: a transposed convolution, then grouping."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.packing import silenced

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
