"""Correct a waveform towards the mel that was asked for."""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import ConfigError
from vocoder.correction.chains import BLOCK, FEW, Chains, Order, View, joined
from vocoder.kernels.launcher import compilable, kernel
from vocoder.kernels.memory import LANES, MAX_BOOST
from vocoder.layers.mel_filter import MelFilter, vector_tables
from vocoder.layers.product import multiplies_tiles
from vocoder.mel.config import MelConfig
from vocoder.stages import Span, Stage, overlap_add, torch_defaults

HERTZ, SHARES = (0.0, 1000.0, 2850.0, 7700.0), (1.0, 0.9, 0.4, 0.1)
"""share of a step's relaxation at frequencies, linear between them. Bands above 1 kHz hold several harmonics and
correct the noise between them as well; small steps there leave less of it."""


class Correction(nn.Module):
    """Filters audio by the difference between its mel and the target, a few times, in the order of a stream.

    A model's sample has good phases long before its magnitudes are exact, but those are known from the input. A step
    computes spectra with the mel config's windows, multiplies them by exp(relaxation * (target - own)), spread from
    mel bands to bins, and overlap-adds the change with the window that yields the nearest signal (Griffin and Lim,
    1984, equation 6). Phases are kept. `Order` defines the order of frames. There are no parameters. Plain operations
    support gradients and all devices; compiled code replaces them if no gradient is needed. Audio too short to have a
    mel is left unchanged, as is all audio if `count`, the number of corrections of each frame, is 0.

    Raises a ConfigError if the mel config is not correctable.
    """

    def __init__(self, config: MelConfig, count: int, filter: MelFilter | None = None) -> None:
        super().__init__()
        if count and not config.correctable:
            needed = "natural-log magnitude mels with n_fft a multiple of hop_length"
            raise ConfigError(f"a waveform can only be corrected towards {needed}, not towards {config.name!r} mels")
        self.config, self.count, self.order = config, count, Order(config, max(count, 1))
        self.filter = MelFilter(config) if filter is None else filter
        self.spread = nn.Buffer(_spread(self.filter, config, count), persistent=False)

    def with_count(self, count: int | None) -> "Correction":
        """Return the correction with another count, or itself if that is None."""
        return self if count is None or count == self.count else Correction(self.config, count, self.filter)

    def forward(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return the corrected audio (B, T) for x (B, T) and its target mel (B, n_mels, T / hop_length)."""
        frames = mel.shape[2]
        if self.count == 0:
            return x
        return Chains(self.order, self.run)(Span(0, 0, frames, frames), x[:, None], mel)[:, 0]

    def at_once(self, x: Tensor, mel: Tensor) -> Tensor:
        """Correct audio (B, T) towards its mel (B, n_mels, T / hop_length), all frames of a grid at once.

        It is for other runtimes, which have no loop over frames. Each frame gets as many corrections as in the order of
        a stream, with large steps except for the last, so the samples differ slightly.
        """
        if self.count == 0:
            return x
        order = self.order
        padded = F.pad(x[:, None], (order.padding, order.padding), mode="reflect")[:, 0]
        for i in range(self.count):
            pace = order.relaxation(0 if i + 1 == self.count else self.count - 2)
            for grid in range(order.grids):
                target = mel[:, :, grid :: order.grids].transpose(1, 2)
                padded = self._step(padded, grid * order.hop_length, target, padded.new_full((1,), pace))
        return padded[:, order.padding : order.padding + x.shape[1]]

    def many(self, audio: Sequence[Tensor], mels: Sequence[Tensor]) -> list[Tensor]:
        """Correct audio (T,) of utterances of different lengths towards their mels (n_mels, frames)."""
        order, corrected = self.order, list(audio)
        wanted = [i for i, x in enumerate(audio) if self.count and len(x) > self.config.padding]
        given = []
        for i in wanted:
            frames = mels[i].shape[1]
            view = View(order, Span(0, 0, frames, frames), audio[i][None], mels[i][None], ended=True)
            given.append(view.chains(0, -(-frames // BLOCK), 0, order.hops))
        if given:
            made = self.run(-order.warm_up, *(torch.cat(parts) for parts in zip(*given, strict=True)))
            pieces = torch.split(made, [len(chains) for chains, _, _ in given])
            for i, own in zip(wanted, pieces, strict=True):
                corrected[i] = joined(order, mels[i].shape[1], own, 1)[0]
        return corrected

    def stages(self, signal: str, target: str) -> list[Stage]:
        """Return a new stage that corrects `signal` (B, 1, T) towards the mel `target`; none if count is 0."""
        if self.count == 0:
            return []
        order, chains = self.order, Chains(self.order, self.run)
        return [Stage("corrected", (signal, target), chains, order.before, order.after, stateful=True)]

    def run(self, first: int, audio: Tensor, target: Tensor, exists: Tensor) -> Tensor:
        """Correct chains as `plain` does, if possible with compiled code, whose result for one depends on no other."""
        fit = compilable(audio) and compilable(target)
        tables = compiled_tables(self.config, self.order.corrections) if fit else None
        pairs = multiplies_tiles()  # such processors have fast wide vectors; few corrections leave half of them idle
        compiled = kernel("correction", "corrected_in_pairs" if pairs else "corrected") if tables else None
        if compiled is None:
            return self.plain(first, audio, target, exists)
        order, (chains, length) = self.order, audio.shape
        audio = audio if audio.stride(1) == 1 else audio.contiguous()
        step, out = audio.stride(0), audio.new_empty(chains, length)
        samples = audio.as_strided(((chains - 1) * step + length,), (1,))
        places = first, order.grids, order.hop_length, order.offset, self.filter.floor
        compiled(chains, places, samples, step, target.contiguous(), exists.contiguous(), tables, out)
        return out

    def plain(self, first: int, audio: Tensor, target: Tensor, exists: Tensor) -> Tensor:
        """Correct chains (C, T) with plain operations; after each hop the first slot of the window is final.

        Args:
            first: index of the first frame, or of any on the same grid.
            audio: (C, T) with T = (slots - 1 + hops) * hop_length.
            target: mel (C, hops + corrections - 1, n_mels).
            exists: (C, hops + corrections - 1), 1 for frames of the utterance and 0 beyond its ends.
        """
        order, size = self.order, (self.order.slots - 1) * self.order.hop_length
        active, final = audio[:, :size], []
        paces = exists.new_ones(order.corrections)
        for place in range(order.corrections):
            paces[place] = order.relaxation(place)
        for hop, slot in enumerate(torch.split(audio[:, size:], order.hop_length, dim=1)):
            active = torch.cat([active, slot], dim=1)
            for grid in range(order.grids):
                places = range((grid - first - hop) % order.grids, order.corrections, order.grids)
                if not places:
                    continue
                frames = slice(hop + places.start, hop + places.stop, places.step)
                pace = (paces[places.start : places.stop : places.step] * exists[:, frames])[:, :, None]
                start = order.offset + places.start * order.hop_length
                active = self._step(active, start, target[:, frames], pace)
            final.append(active[:, : order.hop_length])
            active = active[:, order.hop_length :]
        return torch.cat([*final, active], dim=1)

    def _step(self, active: Tensor, start: int, target: Tensor, pace: Tensor) -> Tensor:
        """Correct a grid's frames in samples (C, T), the first from `start`, towards a mel (C, frames, n_mels)."""
        n_fft, stride, count = self.order.n_fft, self.order.stride, target.shape[1]
        seen = active[:, start : start + (count - 1) * stride + n_fft]
        spectrum = torch.fft.rfft(seen.unfold(1, n_fft, stride) * self.filter.window)
        move = (pace * self.filter.difference(spectrum.real, spectrum.imag, target)).clamp(-MAX_BOOST, MAX_BOOST)
        change = torch.fft.irfft(spectrum * torch.expm1(move @ self.spread), n=n_fft) * self.filter.window
        added = overlap_add(change, stride) * _share(self.filter.window, stride).repeat(count + n_fft // stride - 1)
        return active + F.pad(added, (start, active.shape[1] - start - added.shape[1]))


def _spread(filter: MelFilter, config: MelConfig, corrections: int) -> Tensor:
    """Return a filter's spread (n_mels, bins), times each band's share of the relaxation unless corrections are few."""
    if corrections <= FEW:
        return filter.spread
    peaks = filter.filterbank.argmax(dim=1).cpu() * (config.sample_rate / config.n_fft)
    return filter.spread * torch.from_numpy(np.interp(peaks, HERTZ, SHARES)).to(filter.spread)[:, None]


def _share(window: Tensor, stride: int) -> Tensor:
    """Return the factor (stride,) of overlap-added changes, which is periodic in the stride of a grid."""
    return window.square().view(-1, stride).sum(dim=0).clamp_min(1e-3).reciprocal()


@cache
@torch_defaults()
def compiled_tables(config: MelConfig, corrections: int) -> tuple[Any, ...] | None:
    """Return the tables of the compiled correction in the order of its parameters; None for unsupported mel configs."""
    order, filter, fourier = Order(config, corrections), MelFilter(config).float(), fourier_tables(config.n_fft)
    if fourier is None or config.n_mels < LANES:
        return None
    pace = torch.tensor([order.relaxation(place) for place in range(order.corrections)], dtype=torch.float32)
    share = _share(filter.window, order.stride).repeat(config.n_fft // order.stride)
    back = filter.window * share / (2 * config.n_fft)  # the kernel's spectra are twice as large
    spread = _spread(filter, config, corrections)
    return pace, (filter.window, back, *fourier), vector_tables(filter.filterbank / 2, spread)


def fourier_tables(length: int) -> tuple[Tensor, ...] | None:
    """Return the Fourier tables for frames of a length; None if it is not a power of two, or below 128.

    Each lane is a real signal, transformed as a complex one of half its length. The tables are the radices (passes,)
    int32, 4 or 8, whose product is that half; the position (half,) int32 at which the in-place transform leaves each
    bin; the twiddle factors of all passes, as pairs; exp(-2 pi i k / lane) for the bins k up to half / 2, as pairs;
    exp(-2 pi i k l / length) for each bin k and the lanes l, eight real and eight imaginary parts; and the matrix that
    combines the last bin of the lanes, with the one that separates it again.
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
