"""Linear maps of frames. Frozen weights are arranged once for oneDNN."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.kernels.eligible import takes
from vocoder.layers.kept import Kept
from vocoder.layers.stack import Matrix


class Product(nn.Linear):
    """A linear map of rows, computed in `compute_dtype`, or in the dtype of its weight if that is None."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.compute_dtype: torch.dtype | None = None
        self._kept: Kept[tuple[Matrix, Tensor]] = Kept()

    def forward(self, rows: Tensor, gelu: bool = False) -> Tensor:
        """Map rows (..., inputs) to (..., outputs), in the compute dtype; with `gelu` to the GELU of that."""
        rows = rows.to(self.dtype)
        if self.weight.requires_grad or not takes(rows):
            made = F.linear(rows, self.weight.to(self.dtype), self.bias.to(self.dtype))
            return F.gelu(made) if gelu else made
        matrix, bias = self.arranged()
        return matrix.times(rows, bias, gelu)

    @property
    def dtype(self) -> torch.dtype:
        """In which it multiplies."""
        return self.compute_dtype or self.weight.dtype

    def room(self, rows: int) -> int:
        """Return how many rows it takes without copying them, for at least so many."""
        return self.arranged()[0].room(rows)

    def arranged(self) -> tuple[Matrix, Tensor]:
        """Return its matrix and bias in the compute dtype, as products take them."""
        return self._kept.of((self.weight, self.bias), self._arrange, self.dtype)

    def _arrange(self) -> tuple[Matrix, Tensor]:
        return Matrix(self.weight.t().to(self.dtype)), self.bias.detach().to(self.dtype)


class FrameConv(nn.Conv1d):
    """A convolution over frames. With frozen weights it is one matrix product of frames beside their neighbours.

    PyTorch's own convolution is slower for the few frames of an utterance. Frozen float32 weights multiply in the
    compute dtype unless `precise` is set; the output has the dtype of the weights. It sees `kernel_size` frames,
    `ahead` of them after a frame's own, half of the others if left out, and zeros beyond the ends.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel_size: int, ahead: int | None = None, precise: bool = False
    ) -> None:
        super().__init__(inputs, outputs, kernel_size)
        ahead = kernel_size // 2 if ahead is None else ahead
        self.sides = kernel_size - 1 - ahead, ahead
        self.precise = precise
        self.in_products = False
        """whether it is written as a matrix product in plain operations too, for runtimes that convolve no float64"""
        self.compute_dtype: torch.dtype | None = None
        self._kept: Kept[tuple[Matrix, Tensor]] = Kept()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, frames) to (B, outputs, frames)."""
        if self.in_products:
            return self._shifted(x)
        if self.weight.requires_grad or x.device.type != "cpu" or not takes(x):
            return super().forward(F.pad(x, self.sides))
        assert self.bias is not None
        matrix, bias = self._kept.of((self.weight, self.bias), self._arrange, self._dtype)
        frames, (before, after) = x.shape[2], self.sides
        if x.shape[0] == 1:
            after += matrix.room(frames) - frames  # so that rows need not be copied for the product
        padded = F.pad(x.to(self._dtype).transpose(1, 2), (0, 0, before, after))
        return matrix.windows(padded, before + self.sides[1] + 1, bias)[:, :frames].to(x.dtype).transpose(1, 2)

    def _shifted(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        frames, x = x.shape[2], F.pad(x, self.sides)
        shifted = torch.cat([x[:, :, tap : tap + frames] for tap in range(self.kernel_size[0])], dim=1)
        return self.weight.transpose(1, 2).flatten(1) @ shifted + self.bias[:, None]

    @property
    def _dtype(self) -> torch.dtype:
        own = self.weight.dtype
        return own if self.precise or own != torch.float32 or self.compute_dtype is None else self.compute_dtype

    def _arrange(self) -> tuple[Matrix, Tensor]:
        assert self.bias is not None
        matrix = self.weight.permute(2, 1, 0).flatten(0, 1)
        return Matrix(matrix.to(self._dtype)), self.bias.detach().to(self._dtype)
