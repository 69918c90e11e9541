"""The element-wise work of a correction towards a mel as four passes over memory, compiled by numba.

PyTorch takes a dozen passes for it, and for a second of speech the calls alone take as long as the work. Everything is
float32 and runs without the interpreter's lock.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["CorrectionKernel", "correction_kernel"]

FAST = {"contract", "nsz", "arcp"}  # but NaN stays NaN
Compiled = Callable[..., None]


@dataclass(frozen=True)
class CorrectionKernel:
    """The four passes; all tensors are contiguous float32 on the CPU."""

    _windowed: Compiled
    _magnitudes: Compiled
    _scale: Compiled
    _combine: Compiled

    def windowed(self, x: Tensor, window: Tensor, first: int, stride: int, count: int) -> Tensor:
        """Return windowed frames (B, count, n) of audio x (B, T), which is mirrored around its ends.

        Frame m begins at sample first + m * stride, which may lie up to T - 1 samples outside.
        """
        frames = x.new_empty(x.shape[0], count, len(window))
        self._windowed(x.numpy(), window.numpy(), first, stride, frames.numpy())
        return frames

    def magnitudes(self, spectrum: Tensor) -> Tensor:
        """Return |spectrum|, (B, count, bins)."""
        found = torch.empty(spectrum.shape)
        self._magnitudes(_parts(spectrum), found.flatten(0, 1).numpy())
        return found

    def scale(self, spectrum: Tensor, gain: Tensor) -> Tensor:
        """Multiply spectrum by gain, both (B, count, bins), in place."""
        self._scale(_parts(spectrum), gain.flatten(0, 1).numpy())
        return spectrum

    def combined(
        self, frames: Tensor, window: Tensor, share: Tensor, x: Tensor, before: Tensor, momentum: float, place: range
    ) -> Tensor:
        """Return audio (B, T): the sum of windowed frames (B, count, n), times share (T,), and a part of the last move.

        Frame m begins at sample place[m]; the last move is that from `before` to `x`, both (B, T).
        """
        out = torch.empty_like(x)
        arrays = (frames.numpy(), window.numpy(), share.numpy(), x.numpy(), before.numpy())
        self._combine(*arrays, momentum, place.start, place.step, out.numpy())
        return out


@functools.cache
def correction_kernel() -> CorrectionKernel | None:
    """Compile the passes in some seconds, or take them from disk if they were compiled before; None where it fails."""
    try:
        import numba  # a second to import

        if numba.config.DISABLE_JIT:
            return None
        passes = [_compiled(numba, entry) for entry in (_windowed, _magnitudes, _scale, _combine)]
    except Exception as error:  # whatever compilers and their libraries may raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        warnings.warn(
            f"numba cannot compile corrections here ({reason}): slower code takes its place", RuntimeWarning, 2
        )
        return None
    return CorrectionKernel(*passes)


def _compiled(numba: Any, entry: Compiled) -> Any:
    signature = _SIGNATURES[entry.__name__]
    settings = {"nogil": True, "fastmath": FAST, "error_model": "numpy"}
    try:
        return numba.njit(signature, cache=True, **settings)(entry)
    except RuntimeError:  # no folder to keep it in
        return numba.njit(signature, **settings)(entry)


_SIGNATURES = {
    "_windowed": "void(f4[:,::1], f4[::1], i8, i8, f4[:,:,::1])",
    "_magnitudes": "void(f4[:,::1], f4[:,::1])",
    "_scale": "void(f4[:,::1], f4[:,::1])",
    "_combine": "void(f4[:,:,::1], f4[::1], f4[::1], f4[:,::1], f4[:,::1], f4, i8, i8, f4[:,::1])",
}


def _parts(spectrum: Tensor) -> Any:
    """Return a complex spectrum (B, count, bins) as an array (B * count, 2 * bins) of real and imaginary parts."""
    return torch.view_as_real(spectrum).flatten(2).flatten(0, 1).numpy()


def _windowed(x: Any, window: Any, first: int, stride: int, frames: Any) -> None:
    length, size = x.shape[1], window.shape[0]
    for b in range(x.shape[0]):
        for m in range(frames.shape[1]):
            start, frame = first + m * stride, frames[b, m]
            if start >= 0 and start + size <= length:
                seen = x[b, start : start + size]
                for j in range(size):
                    frame[j] = seen[j] * window[j]
            else:
                for j in range(size):
                    t = abs(start + j)
                    frame[j] = x[b, t if t < length else 2 * (length - 1) - t] * window[j]


def _magnitudes(parts: Any, out: Any) -> None:
    for row in range(out.shape[0]):
        for k in range(out.shape[1]):
            real, imaginary = parts[row, 2 * k], parts[row, 2 * k + 1]
            out[row, k] = (real * real + imaginary * imaginary) ** 0.5


def _scale(parts: Any, gain: Any) -> None:
    for row in range(gain.shape[0]):
        for k in range(gain.shape[1]):
            parts[row, 2 * k] *= gain[row, k]
            parts[row, 2 * k + 1] *= gain[row, k]


def _combine(
    frames: Any, window: Any, share: Any, x: Any, before: Any, momentum: Any, first: int, stride: int, out: Any
) -> None:
    size, length = window.shape[0], x.shape[1]
    for b in range(x.shape[0]):
        total, now, then = out[b], x[b], before[b]
        for t in range(length):
            total[t] = 0.0
        for m in range(frames.shape[1]):
            start = first + m * stride
            low, high = max(0, -start), min(size, length - start)
            if low < high:
                here, frame, part = total[start + low : start + high], frames[b, m, low:high], window[low:high]
                for j in range(high - low):
                    here[j] += frame[j] * part[j]
        for t in range(length):
            total[t] = total[t] * share[t] + momentum * (now[t] - then[t])
