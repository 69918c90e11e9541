"""The network that turns a mel into the condition of the couplings."""

from __future__ import annotations

from torch import Tensor, nn

from vocoder.packing import silenced

__all__ = ["MelEncoder", "normalised"]


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
            nn.Conv1d(n_mels, channels, kernel_size, padding=padding),
            nn.SiLU(),
            nn.Conv1d(channels, channels, kernel_size, padding=padding),
            nn.SiLU(),
            nn.Conv1d(channels, channels, kernel_size, padding=padding),
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
