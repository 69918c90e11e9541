"""Fourier transforms as products of small matrices, for runtimes whose own transforms are slow or missing.

A transform of n = p * q points is p transforms of q points and q transforms of p points, with twiddle factors between
them (Cooley and Tukey, "An algorithm for the machine calculation of complex Fourier series", 1965). ONNX Runtime's DFT
took a third of the time of a whole vocoder, WebGPU has none, and every runtime has fast matrix products.
"""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class Transform:
    """A transform of n = p * q points, from point q a + b to bin c + p d; c stops at p / 2."""

    def __init__(self, n: int, dtype: torch.dtype) -> None:
        q = next(q for q in range(math.isqrt(n), 0, -1) if n % q == 0)
        self.p, self.q, rows = n // q, q, n // q // 2 + 1
        a, b, c = (torch.arange(size, dtype=torch.float64) for size in (self.p, q, rows))
        self.columns = _turn(c[:, None] * a, self.p).flatten(0, 1).to(dtype)
        """(2 rows, p), cosines over negative sines of a and c"""
        self.back = self.columns.T.contiguous()
        self.turn = _turn(c[:, None] * b, n).to(dtype)
        """(2, rows, q), twiddle factors of b and c as cosines and negative sines"""
        cos, sin = _turn(b[:, None] * b, q)
        self.rows = torch.cat([torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)]).to(dtype)
        """(2 q, 2 q), maps real and imaginary parts over b to those over d"""
        k = torch.arange(n // 2 + 1)
        mirrored = k % self.p >= rows
        source = torch.where(mirrored, n - k, k)
        self.half = (source % self.p) * q + source // self.p
        """index of each of the n // 2 + 1 bins, or of its mirror image, among (rows, q)"""
        self.sign = torch.where(mirrored, -1.0, 1.0).to(dtype)  # sign of its imaginary part, -1 for a mirror image
        bins = torch.arange(rows)[:, None] + self.p * torch.arange(q)  # 0 to n - 1
        self.whole = torch.where(bins > n // 2, n - bins, bins).flatten()
        """index of each of (rows, q), or of its mirror image, among the n // 2 + 1 bins"""
        self.mirror = torch.where(bins > n // 2, -1.0, 1.0).flatten().to(dtype)  # sign of that imaginary part
        once = (c == 0) | (2 * c == self.p)
        self.weight = (torch.where(once, 1.0, 2.0).double()[:, None] / n).to(dtype)
        """(rows, 1), number of values of c that a row represents, divided by n"""


tables = functools.cache(Transform)


def _turn(product: Tensor, n: int) -> Tensor:
    """Return cos and -sin of 2 pi product / n, as one tensor."""
    angle = 2.0 * math.pi * torch.remainder(product, n) / n
    return torch.stack([torch.cos(angle), -torch.sin(angle)])


def rfft(x: Tensor) -> Tensor:
    """Compute `torch.fft.rfft` of real x (..., n) as matrix products."""
    table = tables(int(x.shape[-1]), x.dtype)
    real, imaginary = (table.columns @ x.reshape(*x.shape[:-1], table.p, table.q)).chunk(2, dim=-2)
    cos, sin = table.turn[0], table.turn[1]
    turned = torch.cat([real * cos - imaginary * sin, real * sin + imaginary * cos], dim=-1)
    halves = (turned @ table.rows).chunk(2, dim=-1)
    real, imaginary = (half.flatten(-2).index_select(-1, table.half) for half in halves)
    return torch.complex(real, imaginary * table.sign)


def irfft(spectrum: Tensor, n: int) -> Tensor:
    """Compute `torch.fft.irfft` of a spectrum (..., n // 2 + 1) for even n as matrix products."""
    table = tables(int(n), spectrum.real.dtype)
    shape = (*spectrum.shape[:-1], *table.turn.shape[1:])
    real = spectrum.real.index_select(-1, table.whole).reshape(shape)
    imaginary = (spectrum.imag.index_select(-1, table.whole) * table.mirror).reshape(shape)
    # The transform of the conjugate is the conjugate of the inverse transform.
    real, imaginary = (torch.cat([real, -imaginary], dim=-1) @ table.rows).chunk(2, dim=-1)
    cos, sin = table.turn[0] * table.weight, table.turn[1] * table.weight
    turned = torch.cat([real * cos - imaginary * sin, -(real * sin + imaginary * cos)], dim=-2)
    return (table.back @ turned).flatten(-2)


class ProductTransforms(TorchFunctionMode):
    """A context that computes `torch.fft.rfft` and `irfft` over the whole last dimension as products, for `sizes`."""

    def __init__(self, sizes: Iterable[int]) -> None:
        super().__init__()
        self._sizes = set(sizes)
        for n in self._sizes:
            tables(n, torch.float32)  # before tracing, so that they are constants

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute transforms as products, and call all other functions unchanged."""
        kwargs = kwargs or {}
        if func in (torch.fft.rfft, torch.fft.irfft) and len(args) == 1 and set(kwargs) <= {"n"}:
            x, n = args[0], kwargs.get("n")
            if func is torch.fft.irfft and n in self._sizes and x.dtype == torch.complex64:
                return irfft(x, n)
            if func is torch.fft.rfft and n in (None, x.shape[-1]) and x.dtype == torch.float32:
                return rfft(x) if int(x.shape[-1]) in self._sizes else func(x)
        return func(*args, **kwargs)
