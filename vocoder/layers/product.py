"""Linear maps of frames by matrices that are arranged once where they are frozen."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.layers.kept import Kept
from vocoder.layers.stack import Matrix, takes

__all__ = ["FrameConv", "Product"]


class Product(nn.Linear):
    """A linear map of rows; `compute_dtype` is what it multiplies in, the dtype of its weight if it is None."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.compute_dtype: torch.dtype | None = None
        self._kept: Kept[tuple[Matrix, Tensor]] = Kept()

    def forward(self, rows: Tensor) -> Tensor:
        """Map rows (..., inputs) to (..., outputs), in the compute dtype."""
        rows = rows.to(self.dtype)
        if self.weight.requires_grad or not takes(rows):
            return F.linear(rows, self.weight.to(self.dtype), self.bias.to(self.dtype))
        matrix, bias = self._arranged()
        return matrix.times(rows, bias)

    @property
    def dtype(self) -> torch.dtype:
        """In which it multiplies."""
        return self.compute_dtype or self.weight.dtype

    def room(self, rows: int) -> int:
        """Return how many rows it takes without copying them, for at least so many."""
        return self._arranged()[0].room(rows)

    def _arranged(self) -> tuple[Matrix, Tensor]:
        return self._kept.of((self.weight, self.bias), self._arrange, self.dtype)

    def _arrange(self) -> tuple[Matrix, Tensor]:
        return Matrix(self.weight.t().to(self.dtype)), self.bias.detach().to(self.dtype)


class FrameConv(nn.Conv1d):
    """A convolution over frames, computed as one product of frames with their neighbours where it is frozen.

    PyTorch's own takes longer for the few frames of an utterance. There float32 weights multiply in the compute dtype,
    unless they are to be precise; what comes out has the dtype of the weights all the same.

    Args:
        inputs: channels.
        outputs: channels.
        kernel_size: frames that it sees.
        padding: zeros at each end.
        precise: whether it stays in the dtype of its weights.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, padding: int = 0, precise: bool = False) -> None:
        super().__init__(inputs, outputs, kernel_size, padding=padding)
        self.precise = precise
        self.compute_dtype: torch.dtype | None = None
        self._kept: Kept[tuple[Matrix, Tensor]] = Kept()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, frames) to (B, outputs, frames + 2 * padding - kernel_size + 1)."""
        if self.weight.requires_grad or x.device.type != "cpu" or not takes(x):
            return super().forward(x)
        assert self.bias is not None
        matrix, bias = self._kept.of((self.weight, self.bias), self._arrange, self._dtype)
        taps, side = self.kernel_size[0], int(self.padding[0])
        rows = F.pad(x.transpose(1, 2).to(self._dtype), (0, 0, side, side)).contiguous()
        batch, frames, inputs = rows.shape
        # A frame and its neighbours lie next to each other already.
        seen = rows.as_strided((batch, frames - taps + 1, taps * inputs), (frames * inputs, inputs, 1))
        return matrix.times(seen.contiguous(), bias).to(x.dtype).transpose(1, 2)

    @property
    def _dtype(self) -> torch.dtype:
        own = self.weight.dtype
        return own if self.precise or own != torch.float32 or self.compute_dtype is None else self.compute_dtype

    def _arrange(self) -> tuple[Matrix, Tensor]:
        assert self.bias is not None
        matrix = self.weight.permute(2, 1, 0).flatten(0, 1)
        return Matrix(matrix.to(self._dtype)), self.bias.detach().to(self._dtype)
