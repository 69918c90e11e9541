"""A convolution over mel frames that is one product where its weights are frozen."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.layers.stack import Matrix, takes

__all__ = ["FrameConvolution"]


class FrameConvolution(nn.Conv1d):
    """A convolution that keeps the number of frames, padded with zeros.

    PyTorch arranges the weights of a convolution anew at each call, which for a second of speech takes longer than the
    convolution itself. On a CPU a frozen one is therefore a product of rows, each with the frames that it sees.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        kernel_size: odd, in frames.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self._kept: tuple[tuple[Any, ...], Matrix] | None = None

    def forward(self, input: Tensor) -> Tensor:
        """Map (B, in_channels, frames) to (B, out_channels, frames)."""
        if input.device.type != "cpu" or self.weight.requires_grad or not takes(input):
            return super().forward(input)
        frames, reach = input.shape[2], self.kernel_size[0] // 2
        padded = F.pad(input.transpose(1, 2), (0, 0, reach, reach))
        rows = torch.cat([padded[:, tap : tap + frames] for tap in range(self.kernel_size[0])], dim=2)
        return self._matrix().times(rows, self.bias).transpose(1, 2)

    def _matrix(self) -> Matrix:
        now = (self.weight.data_ptr(), self.weight._version, self.weight.dtype)
        if self._kept is None or self._kept[0] != now:
            self._kept = (now, Matrix(self.weight.permute(2, 1, 0).flatten(0, 1)))
        return self._kept[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}  # what is arranged is made anew by copies
