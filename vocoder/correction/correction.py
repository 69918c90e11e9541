"""Correct a waveform until its mel is the one that was asked for."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vocoder.config import ConfigError
from vocoder.correction.chains import Chains, Order, View, joined, side_by_side
from vocoder.correction.plain import PlainCorrection
from vocoder.kernels.launcher import Kernel, compilable, kernel
from vocoder.kernels.memory import LANES
from vocoder.layers.mel_filter import vector_tables
from vocoder.layers.product import Kept
from vocoder.mel.config import MelConfig
from vocoder.stages import Span, Stage


class Correction(nn.Module):
    """Filter audio by the difference between its own mel and the target's, a few times, in the order of a stream.

    A sample of a model has the right phases long before it has exactly the right magnitudes, and those are known: they
    were the input. `PlainCorrection` says what a step does, `Order` in which order frames take it. It has no
    parameters and is differentiable; compiled code takes its place where no gradient is asked for. Audio too short to
    have a mel is left as it is, and so is all audio if `count`, how often each frame is corrected, is 0.

    Raises a ConfigError if the mel config is not correctable.
    """

    def __init__(self, config: MelConfig, count: int) -> None:
        super().__init__()
        self.config = config
        self.plain = PlainCorrection(config)
        self._kept: Kept[CompiledCorrection | None] = Kept()
        self._set_count(count)

    def with_count(self, count: int | None) -> "Correction":
        """Return the correction with another count, or itself where that is None; both share their tables."""
        if count is None or count == self.count:
            return self
        other = copy.copy(self)
        other._set_count(count)
        return other

    def _set_count(self, count: int) -> None:
        if count and not self.config.correctable:
            raise ConfigError(
                f"a waveform can be corrected towards natural-log magnitude mels whose n_fft is a multiple of "
                f"hop_length, not towards those of {self.config.name!r}"
            )
        self.count = count
        self.order = Order.of(self.config, max(count, 1))

    def forward(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return the corrected audio (B, T) for x (B, T) and its target mel (B, n_mels, T / hop_length)."""
        frames = mel.shape[2]
        if self.count == 0:
            return x
        return Chains(self.order, self.run)(Span(0, 0, frames, frames), x[:, None], mel)[:, 0]

    def at_once(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return audio (B, T) corrected towards its mel (B, n_mels, T / hop_length), all frames of a grid at once."""
        return x if self.count == 0 else self.plain.at_once(self.order, x, mel)

    def many(self, audio: Sequence[Tensor], mels: Sequence[Tensor]) -> list[Tensor]:
        """Return the corrected audio (T,) of utterances of different lengths, with their mels (n_mels, frames)."""
        order, corrected = self.order, list(audio)
        wanted = [i for i, x in enumerate(audio) if self.count and len(x) > self.config.padding]
        given = []
        for i in wanted:
            frames = mels[i].shape[1]
            view = View(order, Span(0, 0, frames, frames), audio[i][None], mels[i][None], ended=True)
            given.append(side_by_side(order, frames, view))
        if given:
            made = self.run(-order.warm_up, *(torch.cat(parts) for parts in zip(*given, strict=True)))
            pieces = torch.split(made, [len(chains) for chains, _, _ in given])
            for i, own in zip(wanted, pieces, strict=True):
                corrected[i] = joined(order, mels[i].shape[1], own, 1)[0]
        return corrected

    def stages(self, signal: str, target: str) -> list[Stage]:
        """Return the stage that corrects `signal` (B, 1, T) towards the mel `target`, fresh; none if count is 0."""
        if self.count == 0:
            return []
        return [Stage("corrected", (signal, target), Chains(self.order, self.run), self.order.before, self.order.after)]

    def run(self, first: int, audio: Tensor, target: Tensor, exists: Tensor) -> Tensor:
        """Return the corrected chains; arguments as of `PlainCorrection.forward`."""
        compiled = None
        if compilable(audio) and compilable(target):
            compiled = self._kept.of((self.plain.filter.window,), lambda: CompiledCorrection.of(self.plain))
        corrected: Tensor = (compiled or self.plain)(self.order, first, audio, target, exists)
        return corrected


@dataclass(frozen=True)
class CompiledCorrection:
    """`PlainCorrection` without gradients, for float32 on a CPU.

    Each chain is computed by itself, so that none of the arithmetic depends on which chains there are.
    """

    _kernel: Kernel
    _plain: PlainCorrection
    _bands: tuple[Tensor, ...]
    _fourier: tuple[Tensor, ...]
    _kept: dict[Order, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, plain: PlainCorrection) -> "CompiledCorrection | None":
        """Return the same correction in compiled code; None where there is none."""
        bank, fourier = plain.filter.filterbank, fourier_tables(len(plain.filter.window))
        if fourier is None or len(bank) < LANES:
            return None
        compiled = kernel("correction", "corrected")
        return None if compiled is None else cls(compiled, plain, vector_tables(bank / 2, plain.filter.spread), fourier)

    def __call__(self, order: Order, first: int, audio: Tensor, target: Tensor, exists: Tensor) -> Tensor:
        """Return the corrected chains; arguments as of `PlainCorrection.forward`."""
        chains, length = audio.shape
        audio = audio if audio.stride(1) == 1 else audio.contiguous()
        step, out = audio.stride(0), audio.new_empty(chains, length)
        samples = audio.as_strided(((chains - 1) * step + length,), (1,))
        if order not in self._kept:
            self._kept[order] = self._steps(order)
        pace, back = self._kept[order]
        sizes = (first, target.shape[1] - order.corrections + 1, order.grids)
        places = (order.hop_length, order.offset, self._plain.filter.floor)
        given = (samples, step, target.contiguous(), exists.contiguous())
        tables = (pace, self._plain.filter.window, back, *self._fourier, *self._bands)
        self._kernel(chains, *sizes, *places, *given, *tables, out)
        return out

    def _steps(self, order: Order) -> tuple[Tensor, Tensor]:
        """Return how far a step goes at each place, and what the changed samples of a frame are multiplied by."""
        window = self._plain.filter.window
        pace = torch.tensor([order.relaxation(place) for place in range(order.corrections)])
        share = self._plain.share(order).repeat(len(window) // order.stride)
        return pace, window * share / (2 * len(window))  # the kernel has spectra that are twice as large


def fourier_tables(length: int) -> tuple[Tensor, ...] | None:
    """Return the numbers for frames of a length; None if it is no power of two, or below 128.

    A lane is a real signal, transformed by way of a complex one of half its length. These are the radices (passes,)
    int32, 4 or 8, whose product is that half; for each bin the place (half,) int32 where the transform in place leaves
    it; the complex numbers of all passes, one after another, as pairs; exp(-2 pi i k / lane) for the bins k up to
    half / 2, as pairs; exp(-2 pi i k l / length) for each bin k and the lanes l, eight real and eight imaginary parts;
    and the matrix that joins the last bin of the lanes, with that which parts it again.
    """
    lane = length // LANES
    exponent = lane.bit_length() - 2
    if length != LANES * 2 << exponent or exponent < 3:
        return None
    fours = (0, 2, 1)[exponent % 3]
    radices = [4] * fours + [8] * ((exponent - 2 * fours) // 3)
    half = lane // 2
    place, size, turns = torch.zeros(half, dtype=torch.long), half, []
    number = torch.arange(half)
    for radix in radices:
        step = size // radix
        place, number = place + number % radix * step, number // radix
        turns.append(_turns(torch.arange(step)[:, None] * torch.arange(1, radix), size).flatten())
        size = step
    bin_turns = _turns(torch.arange(half // 2 + 1), lane).flatten()
    lanes = torch.arange(LANES)
    lane_turns = _turns(torch.arange(half)[:, None] * lanes, length).transpose(1, 2).flatten()
    last = _turns(lanes[:, None] * (2 * torch.arange(LANES // 2) + 1), 2 * LANES).transpose(1, 2).flatten(1)
    across = torch.cat([last, 2 * last.t()]).flatten()
    return torch.tensor(radices, dtype=torch.int32), place.int(), torch.cat(turns), bin_turns, lane_turns, across


def _turns(number: Tensor, size: int) -> Tensor:
    """Return exp(-2 pi i number / size), (..., 2)."""
    angle = number.double() * (-2 * math.pi / size)
    return torch.stack([angle.cos(), angle.sin()], dim=-1).float()
