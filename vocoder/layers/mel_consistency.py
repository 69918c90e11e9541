"""Correct a waveform until its mel is the one that was asked for."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import ConfigError
from vocoder.layers.stack import Matrix, takes
from vocoder.mel.config import MelConfig
from vocoder.mel.filterbank import mel_filterbank

__all__ = ["MelConsistency", "overlap_add"]

MAX_GAIN = 3.0
"""largest correction of one step, in nepers"""
RELAXATION = 1.4
"""how far beyond the difference a step goes; overlapping frames take back a part of each correction"""


class MelConsistency(nn.Module):
    """Filter audio by the difference between its own mel and the target's, a few times.

    A sample of a flow has the right phases long before it has exactly the right magnitudes, and those are known: they
    were the input. Each step takes the STFT of the mel's own convention, multiplies it by
    exp(RELAXATION * (target - own)), spread from the mel bands to the bins by the bands' own triangles, and
    overlap-adds the result with the window that makes it the nearest signal (Griffin and Lim, 1984, equation 6).
    Unlike the algorithm of that name it keeps the phases. It has no parameters, is differentiable, and reaches
    `context` frames to each side. Audio too short to have a mel is left as it is.

    Args:
        config: the mel contract; natural logarithm of a magnitude, without statistics, n_fft a multiple of the hop.
        steps: how often to correct; 0 leaves audio as it is.

    Raises:
        ConfigError: the contract is of another kind.
    """

    window: Tensor
    filterbank: Tensor
    spread: Tensor

    def __init__(self, config: MelConfig, steps: int) -> None:
        super().__init__()
        plain = config.log == "ln" and config.power == 1.0 and config.mean is None
        if steps and not (plain and config.n_fft % config.hop_length == 0):
            raise ConfigError(
                f"a waveform can be corrected towards natural-log magnitude mels whose n_fft is a multiple of "
                f"hop_length, not towards those of {config.name!r}"
            )
        self.config = config
        self.steps = steps
        self._kept: tuple[Tensor, Matrix, Matrix] | None = None
        padding = (config.n_fft - config.win_length) // 2
        window = F.pad(torch.hann_window(config.win_length), (padding, padding))
        filterbank = mel_filterbank(config).float()
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filterbank", filterbank, persistent=False)
        self.register_buffer("spread", filterbank / filterbank.sum(dim=0).clamp_min(1e-12), persistent=False)

    @property
    def context(self) -> int:
        """Number of frames to each side that a frame of corrected audio depends on.

        Its samples lie in windows that begin up to n_fft - padding before them or end up to padding after them, and
        these hold samples as far again on the other side.
        """
        padding, hop_length = self.config.padding, self.config.hop_length
        each = -(-padding // hop_length) + -(-(self.config.n_fft - padding) // hop_length) - 1
        return self.steps * each

    def forward(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return the corrected audio (B, T) for x (B, T) and its target mel (B, n_mels, T / hop_length)."""
        if self.steps == 0 or x.shape[1] <= self.config.padding:
            return x
        count = 1 + (x.shape[1] + 2 * self.config.padding - self.config.n_fft) // self.config.hop_length
        weight = overlap_add(self.window.square().expand(1, count, -1), self.config.hop_length).clamp_min(1e-3)
        for _ in range(self.steps):
            x = self._step(x, mel, weight)
        return x

    def _step(self, x: Tensor, mel: Tensor, weight: Tensor) -> Tensor:
        config, length = self.config, x.shape[1]
        padded = F.pad(x[:, None], (config.padding, config.padding), mode="reflect")[:, 0]
        frames = padded.unfold(1, config.n_fft, config.hop_length)
        spectrum, difference = self.compare(frames, mel.transpose(1, 2))
        missing = spectrum.shape[1] - difference.shape[1]  # a last frame beyond the mel is corrected as its neighbour
        difference = torch.cat([difference, difference[:, -1:].expand(-1, missing, -1)], dim=1)
        total = overlap_add(self.filtered(spectrum, difference), config.hop_length)
        return (total / weight)[:, config.padding : config.padding + length]

    def compare(self, frames: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the spectra (B, count, bins) of audio frames (B, count, n_fft), and by how much to correct them.

        That is (B, frames, n_mels) in nepers, for the mel `target` (B, frames, n_mels) of the first of them.
        """
        spectrum = torch.fft.rfft(frames * self.window)
        own = self._times(magnitude(spectrum), 0).clamp_min(self.config.floor).log()
        difference = (target - own[:, : target.shape[1]]).clamp(-MAX_GAIN, MAX_GAIN) * RELAXATION
        return spectrum, difference

    def filtered(self, spectrum: Tensor, difference: Tensor) -> Tensor:
        """Return windowed audio frames (B, count, n_fft) of the spectra, with their mel moved by `difference`."""
        gain = torch.exp(self._times(difference, 1))
        frames: Tensor = torch.fft.irfft(spectrum * gain, n=self.config.n_fft) * self.window
        return frames

    def _times(self, rows: Tensor, which: int) -> Tensor:
        """Return the bands of magnitudes, or the bins that bands are spread over."""
        matrices = (self.filterbank.T, self.spread)
        if not takes(rows) or rows.dtype != self.spread.dtype:
            return rows @ matrices[which]
        kept = self._kept
        if kept is None or kept[0] is not self.spread:  # which is replaced where the module goes elsewhere
            kept = self._kept = (self.spread, Matrix(matrices[0].contiguous()), Matrix(matrices[1]))
        return (kept[1] if which == 0 else kept[2]).times(rows)


def overlap_add(frames: Tensor, hop_length: int) -> Tensor:
    """Return the sum of frames (B, count, size) at distances of hop_length: (B, (count - 1) * hop_length + size)."""
    batch, count, size = frames.shape
    pieces = frames.reshape(batch, count, size // hop_length, hop_length)
    overlap = size // hop_length
    total = frames.new_zeros(batch, count + overlap - 1, hop_length)
    for i in range(overlap):
        if frames.requires_grad:
            total = total + F.pad(pieces[:, :, i], (0, 0, i, overlap - 1 - i))
        else:
            total[:, i : i + count] += pieces[:, :, i]
    return total.flatten(1)


def magnitude(spectrum: Tensor) -> Tensor:
    """Return |spectrum|; without a gradient, which is infinite at zero, by a root that is twice as fast."""
    if spectrum.requires_grad:
        return spectrum.abs()
    return spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag).sqrt_()
