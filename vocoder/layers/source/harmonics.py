"""A phase-coherent harmonic source from a pitch track."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vocoder.packing import Packing
from vocoder.stages import Span, frames_of

__all__ = ["HarmonicSource", "at_sample_rate", "elapsed_cycles", "harmonic_source"]


class HarmonicSource:
    """The stage of the harmonic source, which remembers the phase of its last sample and nothing else.

    Args:
        hop_length: samples per frame.
        sample_rate: in Hz.
        f_max: highest frequency in Hz.
        packing: where each utterance stands in a row of several; each begins at phase 0.
    """

    def __init__(self, hop_length: int, sample_rate: int, f_max: float, packing: Packing | None = None) -> None:
        self._shape = hop_length, sample_rate
        self._f_max = f_max
        self._packing = packing
        self._cycles: Tensor | None = None

    @torch.no_grad()
    def __call__(self, span: Span, pitch: Tensor, mel: Tensor) -> Tensor:
        """Return the source (B, 1, T) of the wanted frames, in the dtype of the mel.

        Args:
            span: which frames the windows hold, and which are wanted.
            pitch: f0 in Hz and probability of voicing, (B, 2, frames).
            mel: (B, n_mels, frames).
        """
        if self._packing is not None:
            pitch = pitch[:, :, self._packing.held()]
        f0, voicing = pitch.unbind(dim=1)
        cycles = elapsed_cycles(f0, *self._shape, self._cycles)
        if self._packing is not None:
            cycles = self._packing.restarted(cycles)
        self._cycles = torch.remainder(cycles[:, (span.stop - span.start) * self._shape[0] - 1], 1.0)
        source = harmonic_source(f0, voicing, *self._shape, self._f_max, cycles)
        return frames_of(source.to(mel.dtype).unsqueeze(1), span)


def harmonic_source(
    f0: Tensor, voicing: Tensor, hop_length: int, sample_rate: int, f_max: float, cycles: Tensor | None = None
) -> Tensor:
    """Return a band-limited pulse train with the given pitch, as flat and as strong as white noise of variance 1.

    All harmonics of f0 below `f_max` are cosines of equal amplitude 2 * sqrt(f0 / sample_rate), in phase with the
    integral of f0 since the start, so that the source never jumps at a frame boundary. The sum is the closed form of
    the Dirichlet kernel; one more harmonic fades out as f0 moves it from `f_max` to `f_max` + f0. (The idea of feeding
    a neural vocoder with such a source: Wang et al., "Neural source-filter waveform models", 2019.)

    Args:
        f0: (B, frames) in Hz, above 0 in unvoiced frames too; frame n stands at sample n * hop_length.
        voicing: (B, frames) in [0, 1], the gain of the source.
        hop_length: samples per frame.
        sample_rate: in Hz.
        f_max: highest frequency in Hz.
        cycles: (B, frames * hop_length) periods of f0 so far; `elapsed_cycles` of this f0 if left out.

    Returns:
        (B, frames * hop_length)
    """
    f0_t = _pitch_of_samples(f0, hop_length)
    cycles = elapsed_cycles(f0, hop_length, sample_rate) if cycles is None else cycles
    phase = (2 * math.pi * torch.remainder(cycles, 1.0)).to(f0.dtype)
    highest = f_max / f0_t
    count = torch.floor(highest)
    half = torch.sin(phase / 2)
    safe = torch.where(half.abs() < 1e-4, torch.ones_like(half), half)
    kernel = torch.where(half.abs() < 1e-4, count, torch.sin((count + 0.5) * phase) / (2 * safe) - 0.5)
    kernel = kernel + (highest - count) * torch.cos((count + 1) * phase)
    return kernel * (2 * torch.sqrt(f0_t / sample_rate)) * at_sample_rate(voicing, hop_length)


def elapsed_cycles(f0: Tensor, hop_length: int, sample_rate: int, before: Tensor | None = None) -> Tensor:
    """Return how many periods of f0 (B, frames) have passed at each sample: (B, frames * hop_length) in float64.

    `before` (B,) is how many had passed before the first sample, none if left out.
    """
    cycles = torch.cumsum(_pitch_of_samples(f0, hop_length).double() / sample_rate, dim=1)
    return cycles if before is None else cycles + before[:, None]


def at_sample_rate(frames: Tensor, hop_length: int) -> Tensor:
    """Interpolate frame values (B, frames) linearly to samples (B, frames * hop_length), holding the last one."""
    following = torch.cat([frames[:, 1:], frames[:, -1:]], dim=1)
    fraction = torch.arange(hop_length, dtype=frames.dtype, device=frames.device) / hop_length
    return torch.lerp(frames[:, :, None], following[:, :, None], fraction).flatten(1)


def _pitch_of_samples(f0: Tensor, hop_length: int) -> Tensor:
    return torch.exp(at_sample_rate(torch.log(f0), hop_length))
