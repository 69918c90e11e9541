"""Correct a waveform until its mel is the one that was asked for."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import ConfigError
from vocoder.layers.correction_kernel import BandTable, CorrectionKernel, correction_kernel
from vocoder.layers.correction_pace import Pace, paces
from vocoder.layers.stack import Matrix, takes
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import mel_filterbank

__all__ = ["BEST_STEPS", "MelConsistency", "correctable", "overlap_add"]

BEST_STEPS = 40
"""steps beyond which little is gained"""
KEPT_SHARES = 32
"""weights of so many lengths of audio that are kept for the next of that length"""
MAX_GAIN = 3.0
"""largest difference that one step takes note of, in nepers"""
MAX_BOOST = 4.0
"""largest logarithm of a gain of one step, in nepers"""


def correctable(config: MelConfig) -> bool:
    """Whether audio can be corrected towards mels of a contract."""
    plain = config.log == "ln" and config.power == 1.0 and config.mean is None
    return plain and config.n_fft % config.hop_length == 0


@dataclass
class _Grid:
    """What all steps on a grid have in common.

    Attributes:
        mel: (B, frames, n_mels) of its frames of audio, contiguous.
        count: of those frames; the last may lie beyond the mel, and is corrected as its neighbour.
        weigh: returns the weights (1, samples) of so many frames.
    """

    mel: Tensor
    count: int
    weigh: Callable[[int], Tensor]

    @functools.cached_property
    def target(self) -> Tensor:
        """The mel (B, count, n_mels) of each frame."""
        return self.mel[:, self.index]

    @functools.cached_property
    def index(self) -> Tensor:
        """(count,) whose difference from the target a frame is corrected by."""
        # By index, since export knows no size that may be 0.
        return torch.arange(self.count, device=self.mel.device).clamp_max(self.mel.shape[1] - 1)

    @functools.cached_property
    def weight(self) -> Tensor:
        """(1, samples) what the sum of the filtered frames is divided by."""
        return self.weigh(self.count)


class MelConsistency(nn.Module):
    """Filter audio by the difference between its own mel and the target's, a few times.

    A sample of a flow has the right phases long before it has exactly the right magnitudes, and those are known: they
    were the input. Each step takes spectra of the mel's own convention, multiplies them by
    exp(relaxation * (target - own)), spread from the mel bands to the bins by the bands' own triangles, and
    overlap-adds the result with the window that makes it the nearest signal (Griffin and Lim, 1984, equation 6).
    Unlike the algorithm of that name it keeps the phases.

    A step uses every second frame of a mel whose windows overlap by three quarters, the next step the others: where
    windows overlap by half, a frame is heard through hardly any other, and corrections do not undo each other. To the
    result it adds a part of the move before (the heavy ball; Polyak, 1964). Twelve such steps cost what six over all
    frames would, and most recordings gain as much PESQ as from twenty of those (docs/sound.md). It has no parameters,
    is differentiable, and reaches `context` frames to each side. Audio too short to have a mel is left as it is.

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
        self.config = config
        self._set_steps(steps)
        half = config.win_length == config.n_fft and config.n_fft % (2 * config.hop_length) == 0
        self.grids = config.n_fft // (2 * config.hop_length) if half else 1
        """so many grids of frames take turns; a grid holds one frame of so many"""
        self._kept: tuple[Tensor, Matrix, Matrix] | None = None
        self._shares: dict[tuple[int, ...], Tensor] = {}
        padding = (config.n_fft - config.win_length) // 2
        window = F.pad(torch.hann_window(config.win_length), (padding, padding))
        filterbank = mel_filterbank(config).float()
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filterbank", filterbank, persistent=False)
        self.register_buffer("spread", filterbank / filterbank.sum(dim=0).clamp_min(1e-12), persistent=False)

    def with_steps(self, steps: int | None) -> MelConsistency:
        """Return the correction with another number of steps, or itself where that is None; both share their tables.

        Raises:
            ConfigError: the contract's mels cannot be corrected towards.
        """
        if steps is None or steps == self.steps:
            return self
        other = copy.copy(self)
        other._set_steps(steps)
        return other

    def _set_steps(self, steps: int) -> None:
        if steps and not correctable(self.config):
            raise ConfigError(
                f"a waveform can be corrected towards natural-log magnitude mels whose n_fft is a multiple of "
                f"hop_length, not towards those of {self.config.name!r}"
            )
        self.steps, self.paces = steps, paces(steps)

    @property
    def reach(self) -> int:
        """Number of frames to each side that a frame of audio depends on through one step.

        Its samples lie in windows that begin up to n_fft - padding before them or end up to padding after them, and
        these hold samples as far again on the other side.
        """
        padding, hop_length = self.config.padding, self.config.hop_length
        return -(-padding // hop_length) + -(-(self.config.n_fft - padding) // hop_length) - 1

    @property
    def context(self) -> int:
        """Number of frames to each side that a frame of corrected audio depends on."""
        return self.steps * self.reach

    @property
    def stride(self) -> int:
        """Samples between the frames of a grid."""
        return self.grids * self.config.hop_length

    def forward(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return the corrected audio (B, T) for x (B, T) and its target mel (B, n_mels, T / hop_length)."""
        before = x
        shared: dict[int, _Grid] = {}
        for i in range(self.steps):
            x, before = self.step(i, x, before, mel, shared), x
        return x

    def step(self, i: int, x: Tensor, before: Tensor, mel: Tensor, shared: dict[int, _Grid] | None = None) -> Tensor:
        """Return the audio (B, T) after step number `i`.

        Args:
            i: from 0 on; it decides the pace, and the grid.
            x: (B, T) after the step before.
            before: (B, T) before that.
            mel: the target (B, n_mels, T / hop_length).
            shared: what all steps on a grid have in common, by the number of the grid; this step adds its own.
        """
        config, length = self.config, x.shape[1]
        if length <= config.padding:
            return x
        number, pace = i % self.grids, self.paces[i]
        first = number * config.hop_length - config.padding
        grid = None if shared is None else shared.get(number)
        if grid is None:
            count = 1 + (length + config.padding - first - config.n_fft) // self.stride
            own_mel = mel[:, :, number :: self.grids].transpose(1, 2).contiguous()
            grid = _Grid(own_mel, count, self.weight)
        if shared is not None:
            shared[number] = grid
        compiled = self.compiled(x)
        if compiled is not None:
            return self._step_compiled(*compiled, grid, pace, first, x.contiguous(), before.contiguous())
        padded = F.pad(x[:, None], (config.padding, config.padding), mode="reflect")[:, 0]
        frames = padded[:, first + config.padding :].unfold(1, config.n_fft, self.stride)
        spectrum, difference = self.compare(frames, grid.target)
        total = overlap_add(self.filtered(spectrum, difference[:, grid.index] * pace.relaxation), self.stride)
        return (total / grid.weight)[:, -first : length - first] + pace.momentum * (x - before)

    def compiled(self, x: Tensor) -> tuple[CorrectionKernel, BandTable] | None:
        """Return the compiled code that takes the steps on audio x (B, T); None where plain operations do."""
        compilable = x.device.type == "cpu" and x.dtype == torch.float32 and takes(x)
        kernel = correction_kernel() if compilable else None
        return None if kernel is None or self._table is None else (kernel, self._table)

    def _step_compiled(
        self, kernel: CorrectionKernel, table: BandTable, grid: _Grid, pace: Pace, first: int, x: Tensor, before: Tensor
    ) -> Tensor:
        """Take a step by compiled code, to rounding."""
        frames = kernel.windowed(x, self.window, first, self.stride, grid.count)
        spectrum = torch.fft.rfft(frames)
        kernel.filter(spectrum, grid.mel, table, self.config.floor, pace.relaxation)
        torch.fft.irfft(spectrum, n=self.config.n_fft, out=frames)
        place = range(first, first + grid.count * self.stride, self.stride)
        return kernel.combined(
            frames, self.window, self._share(grid.count, -first, x.shape[1]), x, before, pace.momentum, place
        )

    def _share(self, count: int, start: int, length: int) -> Tensor:
        """Return what the sum of `count` frames is multiplied by, (length,) from sample `start` on, kept."""
        key = (count, start, length, self.window.data_ptr())
        if key not in self._shares:
            if len(self._shares) >= KEPT_SHARES:
                self._shares.clear()
            self._shares[key] = self.weight(count)[0, start : start + length].reciprocal()
        return self._shares[key]

    @functools.cached_property
    def _table(self) -> BandTable | None:
        return BandTable.of(self.filterbank, self.spread)

    def weight(self, count: int, owned: Tensor | None = None) -> Tensor:
        """Return what to divide the sum of `count` filtered frames by, (1, samples).

        Args:
            count: of frames of a grid.
            owned: (count,) 1 for each frame that is added, 0 for others; all are if left out.
        """
        windows = self.window.square().expand(count, -1)
        windows = windows if owned is None else windows * owned[:, None]
        return overlap_add(windows[None], self.stride).clamp_min(1e-3)

    def compare(self, frames: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the spectra (B, count, bins) of audio frames (B, count, n_fft), and by how much they are off.

        That is (B, frames, n_mels) in nepers, for the mel `target` (B, frames, n_mels) of the first of them.
        """
        spectrum = torch.fft.rfft(frames * self.window)
        own = self._times(magnitude(spectrum), 0).clamp_min(self.config.floor).log()
        return spectrum, (target - own[:, : target.shape[1]]).clamp(-MAX_GAIN, MAX_GAIN)

    def filtered(self, spectrum: Tensor, correction: Tensor) -> Tensor:
        """Return windowed audio frames (B, count, n_fft) of the spectra, their mel moved by `correction` in nepers."""
        gain = torch.exp(self._times(correction.clamp(-MAX_BOOST, MAX_BOOST), 1))  # a bin has the mean of its bands
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


def overlap_add(frames: Tensor, stride: int) -> Tensor:
    """Return the sum of frames (B, count, size) at distances of `stride`: (B, (count - 1) * stride + size)."""
    batch, count, size = frames.shape
    pieces = frames.reshape(batch, count, size // stride, stride)
    overlap = size // stride
    total = frames.new_zeros(batch, count + overlap - 1, stride)
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
